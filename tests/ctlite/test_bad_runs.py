"""What goes wrong within a run folder is told, and what was done before is kept."""

import json
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch

from ctlite import checkpoint, trainer
from ctlite.checkpoint import frozen_checksum, publish_folder
from ctlite.data.loader import Loader
from ctlite.models.config import CONFIG_FILE
from ctlite.run_folder import RunFolder
from ctlite.stages.stage import Stage
from ctlite.trainer import train
from ctprep.store.errors import CheckpointError, CtError, PlaceError, RecipeError, StoreError
from ctprep.store.store import VolumeStore
from tests.ctlite.test_trainer import losses

EVERY_STEP = "schedule.checkpoint_steps=1"


def shard_of(corpus: Path, scan_id: str, store: str = "hifi.zarr") -> Path:
    """The file with a volume's voxels."""
    return VolumeStore.open(corpus / store).path / scan_id / "0" / "c" / "0" / "0" / "0"


def checkpoints(run: Path) -> list[str]:
    """What lies in the folder of checkpoints."""
    return sorted(path.name for path in (run / "checkpoints").iterdir())


@contextmanager
def small_files(bytes_: int) -> Iterator[None]:
    """The system refuses files to grow beyond a size, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_keeps_the_checkpoint_before(toy_recipe, tmp_path: Path) -> None:
    """Three lines in place of a traceback, nothing half written, and the run goes on."""
    recipe = toy_recipe("clip", EVERY_STEP)
    run = tmp_path / "run"
    reports = train(recipe, run)
    next(reports)
    with small_files(4000), pytest.raises(PlaceError) as caught:
        next(reports)

    assert caught.value.where == str(run / "checkpoints" / "step-00000002")
    assert "run the same command again" in caught.value.mend
    assert checkpoints(run) == ["step-00000001"]
    assert [report.step for report in train(recipe, run)] == [2, 3, 4]


def test_a_full_disk_at_the_end_can_be_mended(toy_recipe, tmp_path: Path, monkeypatch) -> None:
    """The model is written when the command runs again, and no half of it is left."""
    recipe = toy_recipe("clip", "schedule.steps=1")
    save = RunFolder.save_model

    def save_on_full_disk(self, *arguments) -> None:
        with small_files(4000):
            save(self, *arguments)

    monkeypatch.setattr(RunFolder, "save_model", save_on_full_disk)
    with pytest.raises(PlaceError):
        list(train(recipe, tmp_path))
    assert not list(tmp_path.glob("*model*"))
    monkeypatch.undo()
    list(train(recipe, tmp_path))

    assert (tmp_path / "model" / CONFIG_FILE).is_file()


def test_a_full_disk_keeps_the_recipe(toy_recipe, tmp_path: Path) -> None:
    """Without it nobody would know what the run was."""
    recipe = toy_recipe("clip", "schedule.steps=1")
    list(train(recipe, tmp_path))
    before = (tmp_path / "recipe.toml").read_text()

    with small_files(10), pytest.raises(PlaceError):
        list(train(recipe, tmp_path))
    assert (tmp_path / "recipe.toml").read_text() == before


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ("[]", "cannot be read"),
        ('{"step": 1}', "cannot be read"),
        ('{"step": 1, "loader": []}', "lacks epoch, order_digest, position, seed"),
    ],
)
def test_a_damaged_state_is_told(toy_recipe, tmp_path: Path, state: str, told: str) -> None:
    """Whatever JSON is there; the mend says from where the run would go on."""
    recipe = toy_recipe("clip", EVERY_STEP)
    reports = train(recipe, tmp_path)
    list(islice(reports, 2))
    reports.close()
    last = tmp_path / "checkpoints" / "step-00000002"
    (last / "state.json").write_text(state)

    with pytest.raises(CheckpointError, match=told) as caught:
        list(train(recipe, tmp_path))
    assert caught.value.where == str(last)
    shutil.rmtree(last)
    assert [report.step for report in train(recipe, tmp_path)] == [2, 3, 4]


def test_the_only_checkpoint_damaged_means_to_begin_anew(toy_recipe, tmp_path: Path) -> None:
    """There is none before it."""
    recipe = toy_recipe("clip", EVERY_STEP)
    reports = train(recipe, tmp_path)
    next(reports)
    reports.close()
    (tmp_path / "checkpoints" / "step-00000001" / "state.json").write_text("{")
    (tmp_path / "checkpoints" / "step-notes").mkdir()

    with pytest.raises(CheckpointError) as caught:
        list(train(recipe, tmp_path))
    assert caught.value.mend.endswith("begins anew")


@pytest.mark.parametrize(
    ("file", "told"),
    [("zarr.json", "a store"), (CONFIG_FILE, "a model folder"), (None, "lost its recipe.toml")],
)
def test_what_is_no_run_folder(toy_recipe, tmp_path: Path, file: str | None, told: str) -> None:
    """Nothing is written into a store or a model, or where checkpoints are of an unknown recipe."""
    name = file or "checkpoints/step-00000001/state.json"
    (tmp_path / "run" / name).parent.mkdir(parents=True)
    (tmp_path / "run" / name).write_text("{}")

    with pytest.raises(RecipeError, match=told) as caught:
        list(train(toy_recipe("clip"), tmp_path / "run"))
    assert caught.value.where == str(tmp_path / "run")
    assert [path.name for path in (tmp_path / "run").iterdir()] == [Path(name).parts[0]]


def test_a_file_in_the_way_of_a_run(toy_recipe, tmp_path: Path) -> None:
    """Told in three lines."""
    (tmp_path / "run").write_text("mine")

    with pytest.raises(PlaceError, match="a file is in the way"):
        list(train(toy_recipe("clip"), tmp_path / "run"))


def test_another_stage_is_told_in_few_words(toy_recipe, tmp_path: Path) -> None:
    """Dozens of keys differ then."""
    list(train(toy_recipe("clip", "schedule.steps=1"), tmp_path))

    with pytest.raises(RecipeError, match=r"; and \d+ more"):
        list(train(toy_recipe("fast", f"init.from={tmp_path}"), tmp_path))


def test_damaged_metrics_stop_no_run(toy_recipe, tmp_path: Path) -> None:
    """What can be read of them is kept."""
    recipe = toy_recipe("clip", EVERY_STEP)
    reports = train(recipe, tmp_path)
    list(islice(reports, 2))
    reports.close()
    metrics = tmp_path / "metrics.jsonl"
    metrics.write_bytes(b"\xff\n[]\n" + metrics.read_bytes() + b'{"step": 3, "los')
    list(train(recipe, tmp_path))

    assert [json.loads(line)["step"] for line in metrics.read_text().splitlines()] == [1, 2, 3, 4]


def test_metrics_that_cannot_be_written_end_the_run(toy_recipe, tmp_path: Path) -> None:
    """At the step that they are of, which is saved: the run goes on with no metric amiss."""
    recipe, run = toy_recipe("clip"), tmp_path / "run"
    list(train(recipe, tmp_path / "unbroken"))
    reports = train(recipe, run)
    next(reports)
    metrics, aside = run / "metrics.jsonl", tmp_path / "aside"
    metrics.rename(aside)
    metrics.mkdir()

    with pytest.raises(PlaceError, match="Is a directory") as caught:
        next(reports)
    assert caught.value.where == str(metrics)
    assert caught.value.mend.endswith("; step 2 is saved with its metrics")
    metrics.rmdir()
    aside.rename(metrics)
    assert [report.step for report in train(recipe, run)] == [3, 4]
    assert losses(run) == losses(tmp_path / "unbroken")


def test_metrics_and_checkpoint_refused_tell_where_the_run_goes_on(
    toy_recipe, tmp_path: Path
) -> None:
    """A disk that is full takes neither; what was saved before stays."""
    recipe = toy_recipe("clip", "schedule.steps=5", "schedule.checkpoint_steps=2")
    reports = train(recipe, tmp_path)
    list(islice(reports, 3))
    with small_files(200), pytest.raises(PlaceError) as caught:
        next(reports)

    assert caught.value.where == str(tmp_path / "checkpoints" / "step-00000004")
    assert caught.value.mend.endswith("; it goes on after step 2")
    assert [report.step for report in train(recipe, tmp_path)] == [3, 4, 5]
    assert len(losses(tmp_path)) == 5


def test_a_damaged_volume_loses_no_step(toy_recipe, toy_corpus: Path, tmp_path: Path) -> None:
    """What was trained so far is saved; repaired, the run ends as an unbroken one."""
    recipe = toy_recipe("clip", "schedule.steps=8", "data.batch_size=3", "model.text.dropout=0.1")
    list(train(recipe, tmp_path / "unbroken"))
    shard, run = shard_of(toy_corpus, "s3"), tmp_path / "run"
    whole = shard.read_bytes()
    reports = train(recipe, run)
    next(reports)
    shard.write_bytes(whole[:-30])
    with pytest.raises(StoreError) as caught:
        list(reports)
    kept = checkpoints(run)
    shard.write_bytes(whole)
    went_on = [report.step for report in train(recipe, run)]

    assert caught.value.where == "s3"
    assert caught.value.mend.endswith("or go without: --set data.unreadable_quota=1")
    assert kept == [f"step-{went_on[0] - 1:08d}"]
    assert losses(run) == losses(tmp_path / "unbroken")


def test_a_run_goes_on_without_a_damaged_volume(
    toy_recipe, toy_corpus: Path, tmp_path: Path
) -> None:
    """The quota may be set for a run that has begun."""
    options = ["schedule.steps=8", "data.batch_size=3"]
    reports = train(toy_recipe("clip", *options), tmp_path)
    next(reports)
    shard = shard_of(toy_corpus, "s3")
    shard.unlink()
    shard.mkdir()

    with pytest.raises(StoreError, match="cannot be read: Is a directory"):
        list(reports)
    assert checkpoints(tmp_path)
    list(train(toy_recipe("clip", *options, "data.unreadable_quota=1"), tmp_path))
    assert len(losses(tmp_path)) == 8


def test_the_quota_goes_on_when_a_run_is_resumed(
    toy_recipe, toy_corpus: Path, set_splits, tmp_path: Path
) -> None:
    """Or a run that is resumed often would go without ever more scans, of either split."""
    set_splits(["train"] * 6 + ["tune"] * 2)
    quota, volumes = "data.unreadable_quota=1", ("s0", "s1", "s6", "s7")
    shards = {scan_id: shard_of(toy_corpus, scan_id) for scan_id in volumes}
    whole = {scan_id: shard.read_bytes() for scan_id, shard in shards.items()}
    options = ["schedule.steps=40", "schedule.tune_steps=1", "data.batch_size=1", EVERY_STEP]
    for scan_id in ("s0", "s6"):
        shards[scan_id].write_bytes(b"")
    reports = train(toy_recipe("clip", *options, quota), tmp_path)
    list(islice(reports, 7))
    reports.close()

    for before, damaged in (("s0", "s1"), ("s6", "s7")):
        shards[before].write_bytes(whole[before])
        shards[damaged].write_bytes(b"")
        with pytest.raises(StoreError) as caught:
            list(train(toy_recipe("clip", *options, quota), tmp_path))
        assert caught.value.where == damaged
        assert caught.value.mend.endswith("--set data.unreadable_quota=2")
        shards[damaged].write_bytes(whole[damaged])
    # All are whole again, and no quota is needed.
    list(islice(train(toy_recipe("clip", *options), tmp_path), 2))


def test_a_lower_quota_counts_what_is_known(make_store) -> None:
    """Of a run that went without a scan, by a command that allows none."""
    store = make_store("jpeg", ["s0", "s1"])
    shard_of(store.path.parent, "s0", store.path.name).unlink()
    options = {"gray_store": store, "shuffle": False, "batch_size": 1}
    before = Loader(["s0", "s1"], **options, unreadable_quota=1)
    assert [batch.scan_ids for batch in before.epoch(0)] == [("s1",)]
    loader = Loader(["s0", "s1"], **options)
    loader.load_state_dict(before.state_dict())

    with pytest.raises(StoreError) as caught:
        next(iter(loader))
    assert caught.value.mend.endswith("--set data.unreadable_quota=1")


def test_a_quota_beyond_all_scans_comes_to_an_end(
    toy_recipe, toy_corpus: Path, tmp_path: Path
) -> None:
    """Without a batch it would go over the epochs for ever."""
    for number in range(8):
        shard_of(toy_corpus, f"s{number}").unlink()

    with pytest.raises(CtError, match="not one scan of a whole epoch could be read"):
        list(train(toy_recipe("clip", "data.unreadable_quota=99"), tmp_path))


def test_a_teacher_that_changed_meanwhile_is_refused(
    toy_recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No checkpoint holds it, and the student would go on with another one.

    Its bytes are summed once a run, since a real one has gigabytes.
    """
    teacher, run = tmp_path / "teacher", tmp_path / "run"
    list(train(toy_recipe("clip", "schedule.steps=1"), teacher))
    recipe = toy_recipe("fast", f"init.from={teacher}", EVERY_STEP)
    sums: list[int] = []

    def count(stage: Stage) -> int:
        sums.append(frozen_checksum(stage))
        return sums[-1]

    for module in (checkpoint, trainer):
        monkeypatch.setattr(module, "frozen_checksum", count)
    reports = train(recipe, run)
    for _ in range(2):
        next(reports)
    reports.close()
    assert len(checkpoints(run)) == 2
    assert len(sums) == 1
    shutil.rmtree(teacher)
    list(train(toy_recipe("clip", "schedule.steps=2"), teacher))

    with pytest.raises(CheckpointError, match="has changed since"):
        list(train(recipe, run))


def test_weights_that_changed_places_are_another_model() -> None:
    """As those of two layers, or of two rows, which have the same bytes in all."""
    tensors = {f"teacher.{name}": torch.randn(4, 3) for name in "ab"}
    stage = Mock(spec=Stage, frozen=("teacher.",))

    def checksum(**changed: torch.Tensor) -> int:
        own = {f"teacher.{name}": tensor for name, tensor in changed.items()}
        stage.state_dict.return_value = {**tensors, **own, "student.a": torch.randn(2)}
        return frozen_checksum(stage)

    a, b = tensors.values()
    different = [checksum(), checksum(a=b, b=a), checksum(a=a.flip(0)), checksum(a=a.flip(1))]
    assert len(set(different)) == 4
    assert checksum() == checksum(a=a.clone()) == checksum(a=a.T.contiguous().T)
    stage.state_dict.return_value = {"teacher.a": a, "teacher.c": b}
    assert frozen_checksum(stage) != checksum()
    stage.state_dict.return_value = {"student.a": a}
    assert frozen_checksum(stage) == 0


def test_a_step_whose_tuning_scans_cannot_be_read_is_kept(
    toy_recipe, toy_corpus: Path, set_splits, tmp_path: Path
) -> None:
    """The look comes after the step, which is logged and saved before the run stops."""
    set_splits(["tune"] + ["train"] * 7)
    shard_of(toy_corpus, "s0").write_bytes(b"")
    options = ["schedule.tune_steps=2", "data.batch_size=1"]

    with pytest.raises(CtError):
        list(train(toy_recipe("clip", *options), tmp_path / "run"))

    assert checkpoints(tmp_path / "run") == ["step-00000002"]
    assert len(losses(tmp_path / "run")) == 2


def test_a_folder_that_cannot_be_replaced_stays(tmp_path: Path, monkeypatch) -> None:
    """The name is taken from what was there only when the new one can have it."""
    new, old = tmp_path / "new", tmp_path / "model"
    for folder in (new, old):
        folder.mkdir()
        (folder / "which").write_text(folder.name)
    rename = Path.rename

    def refuse(path: Path, target: Path) -> Path:
        if path == new:
            raise PermissionError(13, "no")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(PermissionError):
        publish_folder(new, old)

    assert (old / "which").read_text() == "model"
