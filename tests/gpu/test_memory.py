"""Memory of a GPU: what a step takes, what was estimated, and what is said when it is short."""

import gc
from pathlib import Path

import pytest
import torch

from ctlite import memory
from ctlite.assembly import assemble, estimate_step
from ctlite.memory import GIB, check_memory, free_bytes
from ctlite.recipe import Recipe
from ctlite.trainer import train
from ctprep.store.errors import CtError

WIDE = (
    "model.dim=128", "model.heads=4", "model.dim_head=32", "model.patch_size=2",
    "model.temporal_patch_size=1", "model.spatial_depth=2", "model.temporal_depth=2",
    "data.batch_size=7", "schedule.steps=2", "stage.codebook_batches=1",
)  # fmt: skip
"""512 tokens of 128 features in four blocks, so that activations are nearly all there is."""
FACTOR = 2
"""Activations are counted by a formula, and rough."""


@pytest.fixture
def wide(toy_recipe, gpu: torch.device) -> Recipe:
    """A recipe whose step takes some hundred megabytes."""
    recipe: Recipe = toy_recipe("clip", *WIDE, f"device={gpu}")
    return recipe


def peak_of(recipe: Recipe, run: Path) -> int:
    """Most bytes that tensors took in a run."""
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    reports = list(train(recipe, run))
    peak = torch.cuda.max_memory_allocated()

    assert reports[-1].peak_gib * GIB == pytest.approx(peak, rel=0.01)
    return peak - before


def test_a_step_takes_what_was_estimated(cuda: torch.device, wide: Recipe, tmp_path: Path) -> None:
    """Within a factor of two, either way."""
    estimate = estimate_step(assemble(wide).stage, wide)
    peak = peak_of(wide, tmp_path / "run")

    assert estimate.total / FACTOR < peak < estimate.total * FACTOR, estimate.total / peak


def test_fast_takes_what_was_estimated(
    cuda: torch.device, wide: Recipe, toy_recipe, tmp_path: Path
) -> None:
    """With the maps of two encoders."""
    list(train(wide.model_copy(update={"device": "cpu"}), tmp_path / "teacher"))
    start = [f"init.from={tmp_path / 'teacher'}", "schedule.steps=2", "data.batch_size=4"]
    recipe = toy_recipe("fast", *start, "stage.calibration_batches=1", "device=cuda")
    estimate = estimate_step(assemble(recipe).stage, recipe)
    peak = peak_of(recipe, tmp_path / "run")

    assert estimate.total / FACTOR < peak < estimate.total * FACTOR, estimate.total / peak


def test_what_saves_memory_saves_it(cuda: torch.device, wide: Recipe, tmp_path: Path) -> None:
    """The options that the error names: recomputation, half the batch, bfloat16."""
    half = wide.data.model_copy(update={"batch_size": 3})
    changes = {"recompute": True, "data": half, "precision": "bfloat16"}
    plain = peak_of(wide, tmp_path / "plain")
    saved = {
        name: peak_of(wide.model_copy(update={name: value}), tmp_path / name)
        for name, value in changes.items()
    }

    assert saved["recompute"] < 0.6 * plain
    assert saved["data"] < 0.7 * plain
    assert saved["precision"] < plain


def test_nothing_is_left_on_the_device(cuda: torch.device, wide: Recipe, tmp_path: Path) -> None:
    """A run that has ended holds no memory."""
    list(train(wide, tmp_path / "first"))
    gc.collect()
    before = torch.cuda.memory_allocated()
    list(train(wide, tmp_path / "second"))
    gc.collect()

    assert torch.cuda.memory_allocated() <= before + 2**20


def test_a_real_lack_of_memory_says_what_to_do(allow, wide: Recipe, tmp_path: Path) -> None:
    """Torch's own error becomes ours; with memory again, the same run goes to its end."""
    allow(48 * 2**20)
    with pytest.raises(CtError) as caught:
        list(train(wide, tmp_path / "run"))
    assert isinstance(caught.value.__cause__, torch.OutOfMemoryError)
    assert "memory ran out with batches of 7 volumes in float32" in str(caught.value)
    for option in ('--set precision="bfloat16"', "--set data.batch_size=3", "recompute=true"):
        assert option in caught.value.mend
    # Its traceback holds the tensors.
    del caught
    allow(None)

    assert [report.step for report in train(wide, tmp_path / "run")] == [1, 2]


def test_free_memory_is_the_devices(cuda: torch.device) -> None:
    """What is taken is no longer free; what cannot fit is refused beforehand."""
    torch.cuda.empty_cache()
    free = free_bytes(cuda)
    taken = torch.empty(2**30, dtype=torch.uint8, device=cuda)
    less = free_bytes(cuda)
    assert free is not None
    assert less is not None
    del taken

    assert free - less >= 2**30
    estimate = memory.MemoryEstimate(free, free, free, 0)
    with pytest.raises(CtError, match="more on cuda, and"):
        check_memory(estimate, cuda)
