"""Two processes train as one does on the whole batch, stop together, and go on together."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ctlite import ranks
from ctlite.assembly import assemble
from ctlite.recipe import Recipe, to_toml
from ctlite.trainer import train
from tests.ctlite.test_bad_runs import shard_of
from tests.ctlite.test_trainer import losses, metric

PROGRAM = Path(__file__).with_name("train_on_ranks.py")
LAUNCH = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
SENTENCES = ("data.text=sentences", "data.texts_per_scan=2")


def launch(*arguments: str) -> "subprocess.Popen[str]":
    """Start two ranks, each with a thread."""
    return subprocess.Popen(
        [sys.executable, "-W", "ignore::DeprecationWarning", *LAUNCH, str(PROGRAM), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def run(*arguments: str) -> str:
    """Let two ranks come to their end, and give what they said besides."""
    with launch(*arguments) as process:
        _, told = process.communicate(timeout=240)
    assert process.returncode == 0, told
    return told


def write(path: Path, recipe: Recipe) -> str:
    """Put a recipe where a run of it is to lie, and give the file."""
    path.with_suffix(".toml").write_text(to_toml(recipe))
    return str(path.with_suffix(".toml"))


@pytest.fixture
def stages(toy_recipe, tmp_path: Path) -> dict[str, tuple[str, list[str]]]:
    """Every stage with what makes it hard to divide, by name."""
    teacher = tmp_path / "teacher"
    list(train(toy_recipe("clip", "schedule.steps=2"), teacher))
    start = f"init.from={teacher}"
    return {
        "clip": ("clip", ["stage.spread_batches=1", "schedule.tune_steps=0"]),
        "added": ("clip", ["optimizer.accumulation=2", "recompute=true"]),
        "fast": ("fast", [start, "stage.calibration_batches=2"]),
        "style": ("fast", [start, "stage.final=false", "stage.dual=false"]),
        "sfp": ("sfp", [start, "stage.rank=1", "stage.freeze_text=false", *SENTENCES]),
    }


def test_a_process_alone_takes_the_gpu_that_is_current() -> None:
    """Torch sets no device without a number, which `cuda` and `auto` have none of on one GPU."""
    ranks.join(torch.device("cuda"))

    assert not torch.distributed.is_initialized()


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_two_ranks_train_as_one_process_does(
    toy_recipe, tmp_path: Path, stages: dict[str, tuple[str, list[str]]], parallel: str
) -> None:
    """Losses over the global batch, and the weights that their gradients lead to."""
    recipes = []
    for name, (stage, options) in stages.items():
        list(train(toy_recipe(stage, *options, "data.batch_size=4"), tmp_path / f"{name}-alone"))
        divided = toy_recipe(stage, *options, "data.batch_size=2", f"parallel={parallel}")
        recipes.append(write(tmp_path / name, divided))
    told = run(*recipes)

    assert "Warning" not in told
    for name in stages:
        alone = tmp_path / f"{name}-alone"
        for key in ("loss/total", "gradient_norm"):
            torch.testing.assert_close(
                metric(tmp_path / name, key), metric(alone, key), rtol=1e-4, atol=1e-6
            )
        own, theirs = (
            load_file(folder / "model" / "model.safetensors") for folder in (tmp_path / name, alone)
        )
        # Four steps of Adam move a weight by 0.01; a tiny gradient's rounding is felt in full.
        torch.testing.assert_close(own, theirs, rtol=0, atol=2e-3)


def test_two_ranks_go_on_as_if_never_stopped(toy_recipe, tmp_path: Path) -> None:
    """Bit for bit, dropout of each rank included; and divided otherwise, but for rounding."""
    options = ["data.batch_size=2", "model.text.dropout=0.1", "schedule.checkpoint_steps=1"]
    recipe = toy_recipe("clip", *options)
    unbroken, broken = write(tmp_path / "unbroken", recipe), write(tmp_path / "broken", recipe)
    run(unbroken, f"{broken}@2")
    shutil.copytree(tmp_path / "broken", tmp_path / "divided")
    divided = write(tmp_path / "divided", toy_recipe("clip", *options, "parallel=fsdp"))
    run(broken, divided)

    assert losses(tmp_path / "broken") == losses(tmp_path / "unbroken")
    torch.testing.assert_close(losses(tmp_path / "divided"), losses(tmp_path / "unbroken"))


def test_a_signal_stops_all_ranks_after_the_same_step(toy_recipe, tmp_path: Path) -> None:
    """Each rank notes it at another time; one checkpoint is left, and no traceback of a hang."""
    recipe = write(
        tmp_path / "run", toy_recipe("clip", "schedule.steps=100000", "data.batch_size=2")
    )
    with launch(recipe) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "1\n"
        process.send_signal(signal.SIGTERM)
        _, told = process.communicate(timeout=60)
    (checkpoint,) = (tmp_path / "run" / "checkpoints").iterdir()
    step = int(checkpoint.name.removeprefix("step-"))

    assert told.count(f"KeyboardInterrupt: stopped after step {step}, which is saved") == 2
    assert len(losses(tmp_path / "run")) == step


def test_a_loss_that_is_not_finite_names_the_scans_of_all_ranks(toy_recipe, tmp_path: Path) -> None:
    """They stop together, before the weights are touched."""
    fault = toy_recipe("clip", "optimizer.lr=1e30", "optimizer.clip_norm=0", "data.batch_size=2")
    with launch(write(tmp_path / "run", fault)) as process:
        _, told = process.communicate(timeout=60)

    assert process.returncode
    lines = [line for line in told.splitlines() if "is not finite in the batch of" in line]
    assert len(lines) == 2
    assert all(line.count(", s") == 3 for line in lines)
    # The traceback that ended a rank keeps the model, and the model the group.
    assert "outlives its end" not in told


@pytest.mark.slow
@pytest.mark.parametrize("looked_at_before", [0, 8])
def test_a_damaged_volume_of_one_rank_stops_all(
    toy_recipe, toy_corpus: Path, tmp_path: Path, looked_at_before: int
) -> None:
    """None hangs or dies of the other's silence, and the steps done before are saved."""
    options = ["schedule.steps=100", f"stage.codebook_batches={looked_at_before}"]
    first = assemble(toy_recipe("clip", *options, "data.batch_size=4")).loader.order(0)[0]
    damaged = next(f"s{number}" for number in range(7) if f"s{number}" not in first)
    shard_of(toy_corpus, damaged).write_bytes(b"")
    recipe = toy_recipe("clip", *options, "data.batch_size=2")
    with launch(write(tmp_path / "run", recipe)) as process:
        _, told = process.communicate(timeout=60)

    assert process.returncode
    assert told.count(f"where: {damaged}") == 1
    assert told.count("another process could not read its scans") == 1
    assert "Connection closed" not in told
    if not looked_at_before:
        (checkpoint,) = (tmp_path / "run" / "checkpoints").iterdir()
        done = len(losses(tmp_path / "run"))
        assert checkpoint.name == f"step-{done:08d}"
        state = json.loads((checkpoint / "state.json").read_text())["loader"]
        # Two batches of four an epoch; what one rank read and no step was made of comes again.
        assert 2 * state["epoch"] + state["position"] == done


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2])
def test_ranks_go_without_a_damaged_volume_together(
    toy_recipe, toy_corpus: Path, tmp_path: Path, count: int
) -> None:
    """Within the quota all steps are done, and one volume too many ends both, by its name."""
    options = ["data.unreadable_quota=1"]
    first = assemble(toy_recipe("clip", *options, "data.batch_size=4")).loader.order(0)[0]
    # Of the first batch, one in the part of each rank.
    for damaged in (first[0], first[3])[:count]:
        shard_of(toy_corpus, damaged).write_bytes(b"")
    recipe = toy_recipe("clip", *options, "data.batch_size=2")
    with launch(write(tmp_path / "run", recipe)) as process:
        _, told = process.communicate(timeout=120)

    assert "Connection closed" not in told
    assert told.count("went without scan") == 1
    if count == 1:
        assert process.returncode == 0, told
        assert len(losses(tmp_path / "run")) == 4
    else:
        assert process.returncode
        assert told.count("or go without: --set data.unreadable_quota=2") == 2


@pytest.mark.slow
def test_ranks_that_come_to_no_batch_before_the_first_step_end(
    toy_recipe, toy_corpus: Path, tmp_path: Path
) -> None:
    """The look at the data goes from epoch to epoch, and each is left out whole."""
    for number in range(7):
        shard_of(toy_corpus, f"s{number}").write_bytes(b"")
    recipe = toy_recipe("clip", "data.unreadable_quota=9", "data.batch_size=2")
    with launch(write(tmp_path / "run", recipe)) as process:
        try:
            _, told = process.communicate(timeout=60)
        finally:
            process.terminate()

    assert process.returncode
    assert "Connection closed" not in told
    assert told.count("StoreError: 100 batches in a row were left out") == 2


@pytest.mark.slow
def test_what_the_first_rank_refuses_is_told_by_all(toy_recipe, tmp_path: Path) -> None:
    """It alone looks at the run folder; the other does not wait for it."""
    recipe = write(tmp_path / "run", toy_recipe("clip", "data.batch_size=2"))
    (tmp_path / "run").write_text("mine")
    with launch(recipe) as process:
        _, told = process.communicate(timeout=60)

    assert process.returncode
    assert "Connection closed" not in told
    assert told.count("PlaceError: a file is in the way") == 2


@pytest.mark.slow
@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_a_checkpoint_that_cannot_be_written_stops_all(
    toy_recipe, tmp_path: Path, parallel: str
) -> None:
    """The other gives all its parts, whatever becomes of the file, and hears of it then."""
    recipe = toy_recipe("clip", "data.batch_size=2", f"parallel={parallel}")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "checkpoints").write_text("mine")
    with launch(write(tmp_path / "run", recipe)) as process:
        _, told = process.communicate(timeout=60)

    assert process.returncode
    assert "Connection closed" not in told
    assert told.count("PlaceError: a file is in the way") == 2
    assert "outlives its end" not in told


@pytest.mark.slow
def test_metrics_that_cannot_be_written_stop_all(toy_recipe, tmp_path: Path) -> None:
    """The first rank alone writes them; the other does not die of its silence."""
    recipe = write(tmp_path / "run", toy_recipe("clip", "data.batch_size=2"))
    (tmp_path / "run" / "metrics.jsonl").mkdir(parents=True)
    with launch(recipe) as process:
        _, told = process.communicate(timeout=60)

    assert process.returncode
    assert "Connection closed" not in told
    assert told.count("PlaceError: it cannot be written: Is a directory") == 2
    assert told.count(f"where: {tmp_path / 'run' / 'metrics.jsonl'}") == 2


@pytest.mark.slow
@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_two_ranks_measure_as_one_process_does(
    toy_recipe, set_splits, tmp_path: Path, parallel: str
) -> None:
    """Loss and end error of tuning scans are means over all ranks, in both ways of dividing."""
    teacher = tmp_path / "teacher"
    list(train(toy_recipe("clip", "schedule.steps=2"), teacher))
    set_splits(["train"] * 4 + ["tune"] * 4)
    options = [f"init.from={teacher}", "schedule.tune_steps=2", "stage.final=false"]
    list(train(toy_recipe("fast", *options, "data.batch_size=4"), tmp_path / "alone"))
    divided = toy_recipe("fast", *options, "data.batch_size=2", f"parallel={parallel}")
    run(write(tmp_path / "divided", divided))
    for key in ("tune/loss", "tune/end"):
        own, theirs = (tuned(tmp_path / name, key) for name in ("divided", "alone"))
        assert own == pytest.approx(theirs, rel=1e-4)
        assert len(own) == 2


@pytest.mark.slow
@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_a_look_at_the_average_leaves_training_alone(
    toy_recipe, set_splits, tmp_path: Path, parallel: str
) -> None:
    """Divided parameters are brought together for the look, and let go of after it."""
    set_splits(["train"] * 4 + ["tune"] * 4)
    options = ["optimizer.average_decay=0.5", "schedule.tune_steps=1"]
    list(train(toy_recipe("clip", *options, "data.batch_size=4"), tmp_path / "alone"))
    divided = toy_recipe("clip", *options, "data.batch_size=2", f"parallel={parallel}")
    run(write(tmp_path / "divided", divided))

    own, theirs = (losses(tmp_path / name) for name in ("divided", "alone"))
    assert own == pytest.approx(theirs, rel=1e-4)
    own, theirs = (tuned(tmp_path / name, "tune/loss") for name in ("divided", "alone"))
    assert own == pytest.approx(theirs, rel=1e-4)


def tuned(run: Path, key: str) -> list[float]:
    """What was measured on tuning scans."""
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [line[key] for line in lines if key in line]
