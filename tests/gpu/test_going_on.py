"""What a run computes on a GPU is what it computes on the CPU, but for rounding."""

import itertools
from pathlib import Path

import pytest

from ctlite.trainer import train
from tests.ctlite.test_trainer import losses

# Of the first step, before rounding has had time to grow.
NEAR = {"float32": 1e-3, "bfloat16": 5e-2}


@pytest.mark.usefixtures("cuda")
@pytest.mark.parametrize("precision", NEAR)
def test_every_stage_trains_on_a_gpu_and_goes_on(
    toy_recipe, tmp_path: Path, precision: str
) -> None:
    """By a device without a number, as most recipes name it."""
    common = [f"precision={precision}", "schedule.checkpoint_steps=2"]
    init, near = [], NEAR[precision]
    for stage in ("clip", "fast", "sfp"):
        options = [*common, *init, *(["stage.rank=1"] if stage == "sfp" else [])]
        runs = {device: tmp_path / f"{stage}-{device}" for device in ("cpu", "cuda")}
        list(train(toy_recipe(stage, *options, "device=cpu"), runs["cpu"]))
        recipe = toy_recipe(stage, *options, "device=cuda")
        reports = train(recipe, runs["cuda"])
        begun = list(itertools.islice(reports, 3))
        reports.close()
        went_on = [report.step for report in train(recipe, runs["cuda"])]

        first = [losses(run)[0] for run in runs.values()]
        assert begun[-1].peak_gib > 0
        assert went_on == [3, 4]
        assert first[1] == pytest.approx(first[0], rel=near)
        init = [f"init.from={runs['cpu']}"]
