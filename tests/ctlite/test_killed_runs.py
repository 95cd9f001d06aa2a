"""A run that is killed again and again leaves the curve of one that never was."""

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ctlite.recipe import to_toml
from ctlite.trainer import train
from tests.ctlite.test_ranks import PROGRAM
from tests.ctlite.test_trainer import losses

KILLS = 20


@pytest.mark.slow
def test_a_run_killed_at_random_instants_is_the_same(toy_recipe, tmp_path: Path) -> None:
    """`kill -9` in steps, in checkpoints, while the model is saved; nothing is cleaned by hand."""
    chance = random.Random(0)
    options = ["schedule.steps=400", "schedule.checkpoint_steps=3", "model.text.dropout=0.1"]
    recipe = toy_recipe("clip", *options, "optimizer.average_decay=0.9")
    list(train(recipe, tmp_path / "unbroken"))
    path = tmp_path / "killed.toml"
    path.write_text(to_toml(recipe))
    command = [sys.executable, PROGRAM, path]
    for _ in range(KILLS):
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process:
            assert process.stdout is not None
            for _ in range(chance.randrange(1, 24)):
                process.stdout.readline()
            time.sleep(chance.random() / 10)
            process.kill()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    assert losses(tmp_path / "killed") == losses(tmp_path / "unbroken")
    weights = [
        (tmp_path / name / "model" / "model.safetensors").read_bytes()
        for name in ("killed", "unbroken")
    ]
    assert weights[0] == weights[1]
