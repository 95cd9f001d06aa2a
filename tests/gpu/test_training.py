"""Training on CUDA: as on the CPU, to rounding; a resumed run is an unbroken one."""

import json
from itertools import islice
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ctlite.models.ct_clip import CtClip
from ctlite.recipe import Recipe
from ctlite.trainer import choose_device, train
from tests.ctlite.test_trainer import losses, metric
from tests.gpu.nearness import apart

DROPOUT = ["model.text.dropout=0.1", "schedule.steps=6", "schedule.checkpoint_steps=1"]


@pytest.fixture
def teacher(toy_recipe, tmp_path: Path) -> Path:
    """A run with a barely trained model, made on the CPU."""
    list(train(toy_recipe("clip", "schedule.steps=2", "device=cpu"), tmp_path / "teacher"))
    return tmp_path / "teacher"


def options_of(stage: str, teacher: Path) -> list[str]:
    """What a stage begins with."""
    start = f"init.from={teacher}"
    return {"clip": ["stage.spread_batches=1"], "fast": [start], "sfp": [start, "stage.rank=1"]}[
        stage
    ]


def weights(run: Path) -> dict[str, torch.Tensor]:
    """Of the model that a run left."""
    return load_file(run / "model" / "model.safetensors")


@pytest.mark.parametrize("stage", ["clip", "fast", "sfp"])
def test_a_run_is_the_cpus(
    gpu: torch.device, toy_recipe, teacher: Path, tmp_path: Path, stage: str
) -> None:
    """Losses and norms of gradients in float32, step by step, and the weights of the end."""
    options = options_of(stage, teacher)
    if stage == "clip":
        # To spread latents turns them along axes, whose signs are each device's own.
        options = ["stage.spread_batches=0"]
    for name in ("cpu", gpu.type):
        list(train(toy_recipe(stage, *options, f"device={name}"), tmp_path / f"on-{name}"))
    own, theirs = tmp_path / f"on-{gpu.type}", tmp_path / "on-cpu"

    for key in ("loss/total", "gradient_norm"):
        assert metric(own, key) == pytest.approx(metric(theirs, key), rel=1e-3)
    assert apart(own, theirs) < 1e-3


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("stage", ["fast", "sfp"])
def test_losses_fall(
    gpu: torch.device, toy_recipe, teacher: Path, tmp_path: Path, stage: str, precision: str
) -> None:
    """In both precisions; what is saved is float32, and the CPU reads it."""
    options = [*options_of(stage, teacher), "schedule.steps=30", f"precision={precision}"]
    lr = {"fast": "optimizer.lr=0.005", "sfp": "optimizer.lr=0.01"}[stage]
    list(train(toy_recipe(stage, *options, lr, f"device={gpu}"), tmp_path / "run"))
    total = losses(tmp_path / "run")
    model = CtClip.from_pretrained(tmp_path / "run" / "model")
    latents = model.encode_image(torch.zeros(2, 1, 8, 16, 16))

    assert total[-1] < 0.8 * total[0]
    assert {tensor.dtype for tensor in weights(tmp_path / "run").values()} == {torch.float32}
    torch.testing.assert_close(latents.norm(dim=-1), torch.ones(2))


def broken(recipe: Recipe, run: Path, steps: int = 3) -> None:
    """Stop after some steps, and go on with other random numbers at hand."""
    reports = train(recipe, run)
    list(islice(reports, steps))
    reports.close()
    torch.manual_seed(99)
    list(train(recipe, run))


def test_a_resumed_run_equals_an_unbroken_one(gpu: torch.device, toy_recipe, tmp_path) -> None:
    """To rounding; dropout, drawn on the device, is far more than that."""
    recipe = toy_recipe("clip", *DROPOUT, f"device={gpu}")
    list(train(recipe, tmp_path / "unbroken"))
    broken(recipe, tmp_path / "broken")
    list(train(toy_recipe("clip", *DROPOUT, "seed=1", f"device={gpu}"), tmp_path / "other"))

    expected = losses(tmp_path / "unbroken")
    assert losses(tmp_path / "broken") == pytest.approx(expected, rel=1e-4)
    assert losses(tmp_path / "other") != pytest.approx(expected, rel=1e-2)


@pytest.mark.parametrize("stage", ["clip", "fast", "sfp"])
def test_with_deterministic_algorithms_bit_for_bit(
    gpu: torch.device, toy_recipe, teacher: Path, tmp_path: Path, stage: str
) -> None:
    """Losses and weights, where torch has such an algorithm for all that is computed."""
    steps = ["schedule.steps=4", "schedule.checkpoint_steps=1"]
    steps += DROPOUT[:1] if stage == "clip" else []
    recipe = toy_recipe(stage, *options_of(stage, teacher), *steps, f"device={gpu}")
    torch.use_deterministic_algorithms(True)
    try:
        list(train(recipe, tmp_path / "unbroken"))
        broken(recipe, tmp_path / "broken", 2)
    except RuntimeError as error:
        if "does not have a deterministic implementation" not in str(error):
            raise
        pytest.skip(str(error).splitlines()[0])
    finally:
        torch.use_deterministic_algorithms(False)

    assert losses(tmp_path / "broken") == losses(tmp_path / "unbroken")
    torch.testing.assert_close(
        weights(tmp_path / "broken"), weights(tmp_path / "unbroken"), rtol=0, atol=0
    )


def test_a_checkpoint_keeps_the_random_numbers_of_the_device(
    cuda: torch.device, toy_recipe, tmp_path: Path
) -> None:
    """As they are after the step, and they are put back."""
    recipe = toy_recipe("clip", *DROPOUT, f"device={cuda}")
    reports = train(recipe, tmp_path / "run")
    next(reports)
    kept = torch.cuda.get_rng_state()
    reports.close()
    (checkpoint,) = (tmp_path / "run" / "checkpoints").iterdir()
    states = [
        load_file(path)["0.cuda"]
        for path in checkpoint.glob("*.safetensors")
        if "0.cuda" in load_file(path)
    ]

    assert len(states) == 1
    assert torch.equal(states[0], kept)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_recomputation_changes_no_step(
    gpu: torch.device, toy_recipe, teacher: Path, tmp_path: Path, precision: str
) -> None:
    """Under autocast too, with open maps and their gradients."""
    for name in ("false", "true"):
        options = [f"recompute={name}", f"precision={precision}", f"device={gpu}"]
        list(train(toy_recipe("fast", f"init.from={teacher}", *options), tmp_path / name))

    for key in ("loss/total", "gradient_norm"):
        own, theirs = (metric(tmp_path / name, key) for name in ("true", "false"))
        # Where a sum is rounded to bfloat16, its last bit may be another.
        assert own == pytest.approx(theirs, rel=1e-3 if precision == "float32" else 1e-2)


def test_a_run_may_go_on_on_the_cpu(gpu: torch.device, toy_recipe, teacher: Path, tmp_path) -> None:
    """Begun on the device, ended on the CPU: the same losses, to rounding."""
    options = [f"init.from={teacher}", "schedule.checkpoint_steps=1"]
    list(train(toy_recipe("fast", *options, f"device={gpu}"), tmp_path / "whole"))
    reports = train(toy_recipe("fast", *options, f"device={gpu}"), tmp_path / "moved")
    list(islice(reports, 2))
    reports.close()
    list(train(toy_recipe("fast", *options, "device=cpu"), tmp_path / "moved"))

    expected = losses(tmp_path / "whole")
    assert losses(tmp_path / "moved") == pytest.approx(expected, rel=1e-3)


def test_auto_takes_the_gpu(cuda: torch.device, toy_recipe, tmp_path: Path) -> None:
    """And the run folder says which."""
    list(train(toy_recipe("clip", "schedule.steps=1", "device=auto"), tmp_path))
    told = json.loads((tmp_path / "environment.json").read_text())

    assert choose_device("auto").type == "cuda"
    assert told["gpu"] == torch.cuda.get_device_name()
    assert told["cuda"] == torch.version.cuda
