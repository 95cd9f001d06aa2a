"""Compiled blocks compute what they computed before."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ctlite.recipe import to_toml
from ctlite.trainer import train
from tests.ctlite.test_ranks import PROGRAM
from tests.ctlite.test_trainer import losses


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch compiles by a C++ compiler")
@pytest.mark.slow
def test_compiled_blocks_compute_the_same(toy_recipe, tmp_path: Path) -> None:
    """With attention maps and their gradients; and the weights keep their names."""
    teacher, plain, compiled = (tmp_path / name for name in ("teacher", "plain", "compiled"))
    list(train(toy_recipe("clip", "schedule.steps=2"), teacher))
    options = (f"init.from={teacher}", "schedule.steps=3")
    list(train(toy_recipe("fast", *options), plain))
    recipe = compiled.with_suffix(".toml")
    recipe.write_text(to_toml(toy_recipe("fast", "compile=true", *options)))
    # In a process of its own: the type checks of the tests are nothing that torch compiles.
    subprocess.run([sys.executable, PROGRAM, recipe], check=True, stdout=subprocess.DEVNULL)

    torch.testing.assert_close(losses(compiled), losses(plain), rtol=1e-4, atol=1e-5)
    names = [load_file(run / "model" / "model.safetensors").keys() for run in (plain, compiled)]
    assert names[0] == names[1]
