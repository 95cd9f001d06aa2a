"""One process under torchrun: alone, and in a group of NCCL as if there were others."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ctlite.recipe import to_toml
from ctlite.trainer import train
from tests.ctlite.test_trainer import metric
from tests.gpu.nearness import apart

PROGRAM = Path(__file__).with_name("lone_rank.py")
LAUNCH = ("-m", "torch.distributed.run", "--standalone", "--local-addr=127.0.0.1")


def run(*arguments: str) -> str:
    """Let one rank come to its end, and give what it said."""
    done = subprocess.run(
        [sys.executable, *LAUNCH, str(PROGRAM), *arguments],
        capture_output=True,
        text=True,
        timeout=150,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_ddp_and_fsdp_over_nccl_train_as_a_process_does(
    gpu: torch.device, toy_recipe, tmp_path: Path
) -> None:
    """All stages, divided and not, in one launch; losses, norms and weights are the same."""
    teacher = tmp_path / "teacher"
    list(train(toy_recipe("clip", "schedule.steps=2", "device=cpu"), teacher))
    start = f"init.from={teacher}"
    stages = {
        "clip": ["clip"],
        "fast": ["fast", start],
        "sfp": ["sfp", start, "stage.rank=1", "stage.freeze_text=false"],
    }
    recipes = []
    for name, (stage, *options) in stages.items():
        list(train(toy_recipe(stage, *options, f"device={gpu}"), tmp_path / f"{name}-alone"))
        for how in ("ddp", "fsdp"):
            recipe = toy_recipe(stage, *options, f"device={gpu}", f"parallel={how}")
            path = tmp_path / f"{name}-{how}.toml"
            path.write_text(to_toml(recipe))
            recipes.append(str(path))
    told = run("group", *recipes)

    assert f"{'nccl' if gpu.type == 'cuda' else 'gloo'} of 1" in told
    for name in stages:
        alone = tmp_path / f"{name}-alone"
        for how in ("ddp", "fsdp"):
            own = tmp_path / f"{name}-{how}"
            for key in ("loss/total", "gradient_norm"):
                assert metric(own, key) == pytest.approx(metric(alone, key), rel=1e-3), (own, key)
            assert apart(own, alone) < 1e-3, own


def test_one_rank_alone_needs_no_group(gpu: torch.device, toy_recipe, tmp_path: Path) -> None:
    """It trains with the same options as many would, and ends with 0."""
    recipes = []
    for how in ("ddp", "fsdp"):
        path = tmp_path / f"{how}.toml"
        path.write_text(to_toml(toy_recipe("clip", f"device={gpu}", f"parallel={how}")))
        recipes.append(str(path))
    told = run("alone", *recipes)

    assert " of 1" not in told
    for how in ("ddp", "fsdp"):
        assert len(metric(tmp_path / how, "loss/total")) == 4
        assert (tmp_path / how / "model" / "model.safetensors").is_file()
