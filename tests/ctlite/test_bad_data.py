"""Data that does not fit a run is told before its model is made, with what, where and mend."""

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cli.training import show_plan
from ctlite.assembly import assemble, estimate_step
from ctlite.models.build import with_gray
from ctlite.models.config import ModelConfig
from ctlite.stages.clip import ClipConfig
from ctlite.trainer import train
from ctprep.store.attributes import StoreAttributes, Window
from ctprep.store.errors import CtError, StoreMismatchError
from ctprep.store.store import VolumeStore

REPORTS, SCANS = "reports.parquet", "scans.csv"


@pytest.fixture
def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Making the stage fails the test."""

    def fail(self: ClipConfig, setup: object) -> None:
        raise AssertionError("the model was made before the data was looked at")

    monkeypatch.setattr(ClipConfig, "build", fail)


def change_reports(corpus: Path, change: Callable[[dict[str, str]], dict[str, str]]) -> None:
    """Write the report table again, row by row."""
    table = pq.read_table(corpus / REPORTS)
    rows = [change(row) for row in table.to_pylist()]
    pq.write_table(pa.Table.from_pylist(rows, table.schema), corpus / REPORTS)


def change_scans(corpus: Path, old: str, new: str) -> None:
    """Replace words of the scan table."""
    path = corpus / SCANS
    path.write_text(path.read_text().replace(old, new))


@pytest.mark.parametrize(
    ("change", "options", "told"),
    [
        (lambda row: row | {"scan_id": f"x{row['scan_id']}"}, [], "7 of 7 scans have no report"),
        (
            lambda row: row | ({"text_positive": " "} if row["scan_id"] == "s2" else {}),
            [],
            "1 of 7 scans have a report whose positive text is empty, the first are s2",
        ),
        (
            lambda row: row | {"text_full": "", "text_positive": "", "text_negative": ""},
            ["data.text=sentences"],
            "7 of 7 scans have a report whose sentences text is empty",
        ),
        (lambda row: row | {"text_positive": "Same."}, [], "of 7 scans only 1 go together"),
    ],
)
def test_reports_that_do_not_fit(
    toy_recipe, toy_corpus: Path, no_model: None, change, options: list[str], told: str
) -> None:
    """How many, which, and of which table."""
    change_reports(toy_corpus, change)

    with pytest.raises(CtError) as caught:
        assemble(toy_recipe("clip", *options))
    assert told in caught.value.what
    assert caught.value.where == f"{toy_corpus / SCANS}, split 'train'"


def test_raw_reports_are_to_be_filtered(toy_recipe, toy_corpus: Path, no_model: None) -> None:
    """To rename their columns would not do."""
    raw = toy_corpus / "raw.csv"
    raw.write_text("scan_id,findings,impression\ns0,Emphysema.,\n")

    with pytest.raises(CtError) as caught:
        assemble(toy_recipe("clip", f"data.reports={raw}"))
    assert "ctprep filter-reports" in caught.value.mend


def test_a_table_without_training_scans(toy_recipe, toy_corpus: Path, no_model: None) -> None:
    """It is not taken for a want of reports."""
    change_scans(toy_corpus, "train", "test")

    with pytest.raises(CtError, match="no scan with split 'train'") as caught:
        assemble(toy_recipe("clip"))
    assert caught.value.where == str(toy_corpus / SCANS)


def test_too_few_tuning_scans_are_told_as_such(
    toy_recipe, toy_corpus: Path, no_model: None
) -> None:
    """The batch size is right for the training scans."""
    with pytest.raises(CtError, match="of 1 scans only 1 go together") as caught:
        assemble(toy_recipe("clip", "schedule.tune_steps=1"))
    assert caught.value.where == f"{toy_corpus / SCANS}, split 'tune'"


def test_a_volume_is_no_store(toy_recipe, toy_corpus: Path, no_model: None) -> None:
    """A path that is one folder too long."""
    with pytest.raises(CtError, match="it is a volume of a store") as caught:
        assemble(toy_recipe("clip", f"data.hifi_store={toy_corpus}/hifi.zarr/s0"))
    assert caught.value.where == "s0"


def test_more_tokens_than_the_text_encoder_takes(toy_recipe) -> None:
    """The first long report would stop the run."""
    with pytest.raises(CtError, match=r"max_tokens is 99999, and the text encoder takes 512"):
        assemble(toy_recipe("clip", "data.max_tokens=99999"))


def test_a_batch_of_one_is_warned_of(toy_recipe, caplog: pytest.LogCaptureFixture) -> None:
    """Its contrastive loss is always 0; FAST compares no reports."""
    assemble(toy_recipe("clip"))
    assert not caplog.text

    assemble(toy_recipe("clip", "data.batch_size=1"))
    assert "raise data.batch_size" in caplog.text


def test_a_model_of_another_window_is_refused(toy_recipe, toy_corpus: Path, tmp_path: Path) -> None:
    """One of clean volumes may begin with any window, one of gray levels only with its own."""
    list(train(toy_recipe("clip", "schedule.steps=1"), tmp_path / "teacher"))
    config = ModelConfig.read(tmp_path / "teacher" / "model")
    lung = VolumeStore.open(toy_corpus / "q90.zarr").attributes
    soft = StoreAttributes(**{**lung.model_dump(), "window": Window(center_hu=40, width_hu=400)})

    assert with_gray(with_gray(config, lung), lung).preprocessing.window == lung.window
    assert with_gray(config, soft).preprocessing.window == soft.window
    with pytest.raises(StoreMismatchError, match=r"40 \+- 200 HU.*-600 \+- 750 HU"):
        with_gray(with_gray(config, lung), soft)


def test_a_store_that_does_not_fit_is_told_by_its_key(
    toy_recipe, toy_corpus: Path, tmp_path: Path
) -> None:
    """FAST has two of them."""
    list(train(toy_recipe("clip", "schedule.steps=1"), tmp_path / "teacher"))
    list(
        train(
            toy_recipe("fast", f"init.from={tmp_path / 'teacher'}", "schedule.steps=1"),
            tmp_path / "fast",
        )
    )

    with pytest.raises(CtError, match="kind is hifi, the model wants jpeg") as caught:
        assemble(toy_recipe("fast", f"init.from={tmp_path / 'fast'}"))
    assert caught.value.where == "data.hifi_store of the recipe"


def test_a_model_that_fits_no_memory_is_told(toy_recipe) -> None:
    """The allocator refuses it at once, in a place that names no key."""
    with pytest.raises(CtError, match="memory ran out while the model was made") as caught:
        assemble(toy_recipe("clip", f"model.codebook_size={2**50}"))
    assert "model.codebook_size" in caught.value.mend


def test_a_plan_counts_what_each_process_holds(
    toy_recipe, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A dry run tells what training will check, and of several processes the first tells it."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    totals = []
    for parallel in ("ddp", "fsdp"):
        recipe = toy_recipe("clip", "data.batch_size=1", f"parallel={parallel}")
        show_plan(recipe, as_json=True)
        totals.append(json.loads(capsys.readouterr().out)["memory_bytes"])
        parts = assemble(recipe)
        assert estimate_step(parts.stage, recipe).total == totals[-1]
    monkeypatch.setenv("RANK", "1")
    show_plan(recipe, as_json=True)

    assert totals[1] < totals[0]
    assert capsys.readouterr().out == ""
