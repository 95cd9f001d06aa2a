"""The loop leaves runs that go on as if nothing had happened, and stops where it must."""

import json
import math
import os
import signal
import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from ctlite import memory
from ctlite.data.batch import Batch
from ctlite.recipe import to_toml
from ctlite.stages.clip import ClipStage
from ctlite.trainer import choose_device, train
from ctprep.store.errors import CheckpointError, CtError, RecipeError
from ctprep.store.store import VolumeStore


def metric(run: Path, key: str) -> list[float]:
    """One of a run's metrics, step by step."""
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)[key] for line in lines]


def losses(run: Path) -> list[float]:
    """The total loss of every step."""
    return metric(run, "loss/total")


@pytest.mark.parametrize(
    "options",
    [
        (),
        (
            "data.text=sentences",
            "data.texts_per_scan=2",
            "stage.freeze_text=true",
            "stage.text_warmup_steps=2",
            "stage.spread_batches=1",
        ),
    ],
)
def test_a_resumed_run_equals_an_unbroken_one(
    toy_recipe, tmp_path: Path, options: tuple[str, ...]
) -> None:
    """Bit for bit: losses, weights, and the order of scans over the turn of an epoch."""
    overrides = ["schedule.steps=6", "schedule.checkpoint_steps=1", "model.text.dropout=0.1"]
    recipe = toy_recipe("clip", *overrides, *options)
    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"
    list(train(recipe, unbroken))
    reports = train(recipe, broken)
    list(islice(reports, 3))
    reports.close()
    torch.manual_seed(99)
    went_on = [report.step for report in train(recipe, broken)]

    assert went_on == [4, 5, 6]
    assert losses(broken) == losses(unbroken)
    weights = [(run / "model" / "model.safetensors").read_bytes() for run in (unbroken, broken)]
    assert weights[0] == weights[1]


def test_a_finished_run_is_left_alone(toy_recipe, tmp_path: Path) -> None:
    """Training again does nothing, and another recipe is refused by the keys that differ."""
    list(train(toy_recipe("clip", "schedule.steps=1"), tmp_path))

    assert list(train(toy_recipe("clip", "schedule.steps=1"), tmp_path)) == []
    with pytest.raises(RecipeError, match=r"optimizer\.lr: 0\.1, not 0\.003"):
        list(train(toy_recipe("clip", "schedule.steps=1", "optimizer.lr=0.1"), tmp_path))


def test_where_and_how_a_run_is_computed_may_change(toy_recipe, tmp_path: Path) -> None:
    """Threads, caches and the like are no part of what it computes."""
    list(train(toy_recipe("clip", "schedule.steps=1"), tmp_path))
    options = ["data.threads=1", "data.prefetch=1", f"data.cache={tmp_path}", "parallel=fsdp"]

    assert list(train(toy_recipe("clip", "schedule.steps=1", *options), tmp_path)) == []


def test_a_grid_named_since_may_go_on(toy_recipe, toy_corpus: Path, tmp_path: Path) -> None:
    """A recipe's grid checks the store and computes nothing, so that older runs go on."""
    list(train(toy_recipe("clip", "schedule.steps=1"), tmp_path))
    grid = VolumeStore.open(toy_corpus / "hifi.zarr").attributes.grid.name
    named = toy_recipe("clip", "schedule.steps=1", f"model.grid={grid}")

    assert list(train(named, tmp_path)) == []


def test_what_a_run_leaves(toy_recipe, tmp_path: Path) -> None:
    """Recipe, environment without a host, metrics with units, two checkpoints, a model."""
    recipe = toy_recipe(
        "clip",
        "schedule.steps=3",
        "schedule.checkpoint_steps=1",
        "schedule.tune_steps=3",
        "data.batch_size=1",
    )
    list(train(recipe, tmp_path))
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]

    assert (tmp_path / "recipe.toml").read_text() == to_toml(recipe)
    assert "packages" in json.loads((tmp_path / "environment.json").read_text())
    assert {path.name for path in (tmp_path / "checkpoints").iterdir()} == {
        "step-00000002",
        "step-00000003",
    }
    assert {"loss/clip", "loss/total", "lr", "time/step_s", "memory/peak_gib"} <= lines[0].keys()
    assert "tune/loss" in lines[2]
    assert (tmp_path / "model" / "config.json").is_file()
    card = (tmp_path / "model" / "README.md").read_text()
    assert "stage `clip`, from random weights: 3 steps of 1 scans" in card
    assert "8 x 16 x 16 voxels (slice, row, column) of 6 x 4 x 4 mm" in card
    assert "-1000 to 1000 become -1 to 1" in card
    assert str(tmp_path) not in card


def test_accumulated_batches_count_as_their_mean(toy_recipe, tmp_path: Path) -> None:
    """Two batches a step take twice the data, and the loss stays a mean."""
    reports = list(train(toy_recipe("clip", "optimizer.accumulation=2"), tmp_path))

    state = json.loads((tmp_path / "checkpoints" / "step-00000004" / "state.json").read_text())
    assert state["loader"]["epoch"] == 7
    assert reports[0].losses["total"] < 4


def test_a_loss_that_is_not_finite_names_the_scans(
    toy_recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run stops before the weights are touched."""
    monkeypatch.setattr(
        ClipStage, "forward", lambda self, batch: {"clip": self.model.temperature * float("nan")}
    )

    with pytest.raises(CtError, match=r"loss clip, total is not finite in the batch of s\d, s\d"):
        list(train(toy_recipe("clip"), tmp_path))


@pytest.mark.parametrize("bad", [1, 2])
def test_of_accumulated_batches_the_one_that_is_not_finite_is_told(
    toy_recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad: int
) -> None:
    """The losses of all are looked at together, when the last is done."""
    calls = []

    def forward(stage: ClipStage, batch: Batch) -> dict[str, Tensor]:
        calls.append(batch.scan_ids)
        return {"clip": stage.model.temperature * (math.nan if len(calls) >= bad else 1.0)}

    monkeypatch.setattr(ClipStage, "forward", forward)
    with pytest.raises(CtError, match="loss clip, total is not finite") as caught:
        list(train(toy_recipe("clip", "optimizer.accumulation=3"), tmp_path))

    assert len(calls) == 3
    assert caught.value.what.endswith(f" of {', '.join(calls[bad - 1])}")


def test_short_memory_says_which_option_to_turn(
    toy_recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The allocator's error becomes ours."""

    def fail(self: ClipStage, batch: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(ClipStage, "forward", fail)
    with pytest.raises(CtError) as caught:
        list(train(toy_recipe("clip"), tmp_path))

    assert "--set data.batch_size=2 --set optimizer.accumulation=2" in caught.value.mend


@pytest.mark.parametrize(("megabytes", "stops"), [(0.1, True), (0.4, False)])
def test_too_little_memory_is_told_before_the_first_batch(
    toy_recipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    megabytes: float,
    stops: bool,
) -> None:
    """What cannot fit is an error, what may not is a warning."""
    monkeypatch.setattr(memory, "free_bytes", lambda device: int(megabytes * 1e6))
    reports = train(toy_recipe("clip", "schedule.steps=1", "data.batch_size=7"), tmp_path)
    if stops:
        with pytest.raises(CtError, match="moments alone need") as caught:
            next(reports)
        assert "parallel=fsdp" in caught.value.mend
        assert not (tmp_path / "metrics.jsonl").exists()
    else:
        assert next(reports).step == 1
        assert "a step may need more" in caplog.text


def test_free_memory_is_what_this_machine_has() -> None:
    """More than a training process takes, less than there is."""
    free = memory.free_bytes(torch.device("cpu"))

    assert free is None or 2**26 < free < 2**46


def test_a_damaged_checkpoint_is_told(toy_recipe, tmp_path: Path) -> None:
    """It is named, and nothing in it is executed."""
    recipe = toy_recipe("clip", "schedule.checkpoint_steps=1")
    reports = train(recipe, tmp_path)
    next(reports)
    reports.close()
    path = tmp_path / "checkpoints" / "step-00000001" / "stage.safetensors"
    path.write_bytes(path.read_bytes()[:100])

    with pytest.raises(CheckpointError, match=r"cannot be read"):
        list(train(recipe, tmp_path))


def test_missing_files_are_told_by_key(toy_recipe, tmp_path: Path) -> None:
    """All at once."""
    recipe = toy_recipe("clip", "data.hifi_store=nowhere", "data.reports=never")

    with pytest.raises(RecipeError, match=r"data\.hifi_store: nowhere; data\.reports: never"):
        list(train(recipe, tmp_path))


def test_an_unknown_device_is_refused() -> None:
    """Before anything is read."""
    with pytest.raises(RecipeError, match=r"no device 'tpu'"):
        choose_device("tpu")


@pytest.mark.parametrize(
    ("name", "local_rank", "processes", "expected"),
    [("auto", "0", "1", 0), ("cuda", "3", "4", 3), ("cuda:1", "0", "1", 1), ("cuda", "3", "1", 0)],
)
def test_a_gpu_is_chosen_by_its_number(
    monkeypatch: pytest.MonkeyPatch, name: str, local_rank: str, processes: str, expected: int
) -> None:
    """Torch makes no device the current one that has none; each process of a run has its own."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setenv("LOCAL_RANK", local_rank)
    monkeypatch.setenv("WORLD_SIZE", processes)

    assert choose_device(name) == torch.device("cuda", expected)


def test_sigterm_leaves_a_checkpoint(toy_recipe, tmp_path: Path) -> None:
    """A scheduler's signal ends the step, saves, and the run goes on from there."""
    recipe = toy_recipe("clip", "schedule.steps=100000")
    (tmp_path / "recipe.toml").write_text(to_toml(recipe))
    program = (
        "import sys; from pathlib import Path\n"
        "from ctlite.recipe import load_recipe; from ctlite.trainer import train\n"
        "for r in train(load_recipe(sys.argv[1]), Path(sys.argv[2])): print(r.step, flush=True)\n"
    )
    run = tmp_path / "run"
    arguments = [sys.executable, "-c", program, str(tmp_path / "recipe.toml"), str(run)]
    with subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "1\n"
        process.send_signal(signal.SIGTERM)
        error = process.stderr.read()
        process.wait(timeout=30)

    assert "KeyboardInterrupt: stopped after step" in error
    assert len(list((run / "checkpoints").glob("step-*"))) == 1
    assert not (run / "model").exists()


def test_a_signal_between_steps_leaves_a_checkpoint_too(toy_recipe, tmp_path: Path) -> None:
    """It may come while the caller still has the report, after the step decided not to save."""
    run = tmp_path / "run"
    reports = train(toy_recipe("clip", "schedule.steps=9"), run)
    next(reports)
    os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt, match="stopped after step 1, which is saved"):
        next(reports)
    assert [path.name for path in (run / "checkpoints").glob("step-*")] == ["step-00000001"]


def test_the_average_is_saved_and_goes_on(toy_recipe, tmp_path: Path) -> None:
    """By hand from the weights of each step; a resumed run has the same, bit for bit."""
    options = ["optimizer.average_decay=0.6", "schedule.checkpoint_steps=1", "schedule.steps=3"]
    recipe = toy_recipe("clip", *options)
    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"
    mean = torch.tensor(1.0)  # as CT-CLIP's temperature begins
    for report in train(recipe, unbroken):
        path = unbroken / "checkpoints" / f"step-{report.step:08d}" / "stage.safetensors"
        last = load_file(path)["_model.temperature"]
        decay = min(0.6, (1 + report.step) / (10 + report.step))
        mean = decay * mean + (1 - decay) * last
    saved = load_file(unbroken / "model" / "model.safetensors")["temperature"]
    reports = train(recipe, broken)
    list(islice(reports, 2))
    reports.close()
    list(train(recipe, broken))

    torch.testing.assert_close(saved, mean)
    assert saved != last
    weights = [(run / "model" / "model.safetensors").read_bytes() for run in (unbroken, broken)]
    assert weights[0] == weights[1]


def test_tensorboard_holds_the_metrics_of_the_last_try(toy_recipe, tmp_path: Path) -> None:
    """Steps that were done again count once."""
    recipe = toy_recipe("clip", "tensorboard=true", "schedule.checkpoint_steps=2")
    reports = train(recipe, tmp_path)
    list(islice(reports, 3))
    reports.close()
    list(train(recipe, tmp_path))
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    scalars = events.Scalars("loss/total")

    assert [scalar.step for scalar in scalars] == [1, 2, 3, 4]
    assert [scalar.value for scalar in scalars] == pytest.approx(losses(tmp_path))
