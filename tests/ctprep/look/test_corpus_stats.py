"""Counts of a corpus agree with its tables, and nothing is left out without a word."""

import csv
import io
import shutil

import numpy as np
import pyarrow as pa
import pytest
from matplotlib.image import imread

from ctprep.compress import compress_store
from ctprep.ingest import ingest
from ctprep.look import plotting, stats_files
from ctprep.look.corpus_stats import (
    LabelCount,
    SplitCount,
    ValueHistogram,
    count_values,
    measure_corpus,
)
from ctprep.look.stats_files import write_stats
from ctprep.store.catalog import CATALOG_SCHEMA
from ctprep.store.errors import CtError, StoreError, TableError
from ctprep.store.store import VolumeStore

SCANS = """scan_id,patient_id,split,path
a,p1,train,a.nii.gz
b,p1,train,b.nii.gz
c,p2,test,c.nii.gz
gone,p3,test,gone.nii.gz
"""
LABELS = """scan_id,Emphysema,Lung nodule
a,1,0
b,0,
c,1,1
gone,1,1
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory, tiny, tiny_grid):
    """A store of four scans, three of them in the tables, which name one more."""
    folder = tmp_path_factory.mktemp("made")
    for number, name in enumerate("abcd"):
        tiny.nifti(folder / "source" / f"{name}.nii.gz", number)
    list(ingest(folder / "source", folder / "hifi.zarr", grid=tiny_grid, key=b"k" * 16))
    (folder / "scans.csv").write_text(SCANS)
    (folder / "labels.csv").write_text(LABELS)
    return folder


@pytest.fixture
def corpus(made, tmp_path):
    """The same, to do with as one likes."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path


def measure(corpus, **options):
    """With both tables."""
    tables = {"labels": corpus / "labels.csv", "scans": corpus / "scans.csv"}
    return measure_corpus(corpus / "hifi.zarr", **{**tables, **options})


def test_splits_and_labels_are_counted_by_hand(corpus) -> None:
    """Every scan of the store is in a split; missing cells and missing rows are missing."""
    stats = measure(corpus)

    assert stats.splits == (
        SplitCount("train", 2, 1),
        SplitCount("test", 1, 1),
        SplitCount("unlisted", 1, 1),
    )
    assert stats.labels == (
        LabelCount("Emphysema", "train", 1, 1, 0, 1),
        LabelCount("Emphysema", "test", 1, 0, 0, 1),
        LabelCount("Emphysema", "unlisted", 0, 0, 1, 0),
        LabelCount("Lung nodule", "train", 0, 1, 1, 0),
        LabelCount("Lung nodule", "test", 1, 0, 0, 1),
        LabelCount("Lung nodule", "unlisted", 0, 0, 1, 0),
    )
    assert (stats.unlabeled, stats.absent, stats.gone) == (1, 1, 1)


def test_rows_of_studies_count_for_their_scans(corpus) -> None:
    """Two reconstructions, one row of labels named by the study: two scans of one patient."""
    (corpus / "scans.csv").write_text(
        "scan_id,patient_id,split,study_id\na,p1,train,S/1\nb,p1,train,S/1\nc,p2,test,\n"
    )
    (corpus / "labels.csv").write_text("AccessionNo,Emphysema\nS/1,1\nc,0\nT/2,1\n")

    stats = measure(corpus)

    assert stats.labels[:2] == (
        LabelCount("Emphysema", "train", 2, 0, 0, 1),
        LabelCount("Emphysema", "test", 0, 1, 0, 0),
    )
    assert (stats.unlabeled, stats.absent) == (1, 1)


def test_the_row_of_a_scan_out_of_the_store_is_no_study_s(corpus) -> None:
    """Study GONE is not the scan `gone` of the table, whose labels it would count."""
    scans = "scan_id,patient_id,split,study_id\na,p1,train,GONE\ngone,p2,test,T\n"
    (corpus / "scans.csv").write_text(scans)
    (corpus / "labels.csv").write_text("scan_id,Emphysema\ngone,1\n")

    with pytest.raises(TableError, match="'a' has no row of its own, and its study is"):
        measure(corpus)


def test_without_tables_there_is_one_split(corpus) -> None:
    """Patients are then those of the store."""
    stats = measure(corpus, labels=None, scans=None)

    assert stats.splits == (SplitCount("all", 4, 4),)
    assert (stats.labels, stats.unlabeled, stats.absent) == ((), 0, 0)


def test_values_are_counted_the_most_common_first() -> None:
    """Spacing to 0.01 mm; what a source does not tell is a value too."""
    row = dict.fromkeys(CATALOG_SCHEMA.names)
    row |= {"source_format": "dicom", "original_shape": [3, 4, 5], "original_axis_codes": "SPL"}
    rows = [
        {**row, "original_spacing_mm": [1.0, 0.7031, 0.7031], "kvp": 120.0},
        {**row, "original_spacing_mm": [1.0, 0.7034, 0.7034], "kvp": 120.0},
        {**row, "original_spacing_mm": [5.0, 0.7, 0.7], "kvp": None, "kernel": "B70f"},
    ]

    counts = count_values(pa.Table.from_pylist(rows, CATALOG_SCHEMA))

    told = [(count.field, count.value, count.scans) for count in counts]
    assert told == [
        ("format", "dicom", 3),
        ("shape", "3 x 4 x 5", 3),
        ("spacing mm", "1 x 0.7 x 0.7", 2),
        ("spacing mm", "5 x 0.7 x 0.7", 1),
        ("axes", "SPL", 3),
        ("kernel", "not stated", 2),
        ("kernel", "B70f", 1),
        ("manufacturer", "not stated", 3),
        ("kVp", "120", 2),
        ("kVp", "not stated", 1),
    ]


@pytest.mark.parametrize("kind", ["hifi", "jpeg"])
def test_the_histogram_counts_the_scan_and_not_its_padding(corpus, kind) -> None:
    """Every voxel of the content once, whatever the type; percentiles are those of numpy."""
    list(compress_store(corpus / "hifi.zarr", corpus / "jpeg.zarr"))
    store = VolumeStore.open(corpus / f"{kind}.zarr")

    histogram = measure_corpus(corpus / f"{kind}.zarr", sample=2).histogram

    assert histogram.scan_ids == ("a", "d")
    content = [
        store.read(scan_id)[tuple(slice(*b) for b in store.read_attributes(scan_id).content)]
        for scan_id in histogram.scan_ids
    ]
    voxels = np.concatenate([part.ravel() for part in content])
    values, counts = np.unique(voxels, return_counts=True)
    filled = np.flatnonzero(histogram.counts)
    np.testing.assert_array_equal(histogram.values[filled], values)
    np.testing.assert_array_equal(histogram.counts[filled], counts)
    assert histogram.percentiles()["50 %"] == np.percentile(voxels, 50, method="inverted_cdf")
    assert histogram.percentiles()["99 %"] == np.percentile(voxels, 99, method="inverted_cdf")


def test_a_damaged_scan_is_named(corpus) -> None:
    """The others of the sample are counted."""
    shard = corpus / "hifi.zarr" / "d" / "0" / "c" / "0" / "0" / "0"
    shard.write_bytes(b"")

    histogram = measure(corpus, sample=2).histogram

    assert (histogram.scan_ids, histogram.unreadable) == (("a",), ("d",))


def test_nothing_has_no_percentiles() -> None:
    """Where no scan could be read."""
    assert ValueHistogram("jpeg", (), ("a",), np.zeros(256, np.int64)).percentiles() == {}


def test_a_catalog_of_other_volumes_is_refused(corpus) -> None:
    """Its counts would be those of another corpus."""
    VolumeStore.open(corpus / "hifi.zarr").remove("b")

    with pytest.raises(StoreError, match="not that of the volumes"):
        measure(corpus)


def test_tables_and_pictures_are_written(corpus, monkeypatch) -> None:
    """The tables hold what was counted; the bars are as long, a color a split."""
    drawn = []
    monkeypatch.setattr(plotting, "DPI", 25)
    monkeypatch.setattr(stats_files, "PAPER_DPI", 25)
    monkeypatch.setattr(
        stats_files,
        "encode_figure",
        lambda figure, kind: drawn.append(figure) or plotting.encode_figure(figure, kind),
    )
    stats = measure(corpus)

    files = write_stats(stats, corpus / "out")

    assert sorted(path.name for path in files) == [
        "class_distribution.csv", "class_distribution.pdf", "class_distribution.png", "corpus.csv",
        "histogram.csv", "histogram.png", "splits.csv",
    ]  # fmt: skip
    with (corpus / "out" / "class_distribution.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert rows[3] == {
        "label": "Lung nodule", "split": "train", "positive": "0", "negative": "1", "missing": "1",
        "patients": "0",
    }  # fmt: skip
    with (corpus / "out" / "histogram.csv").open() as file:
        assert sum(int(row["voxels"]) for row in csv.DictReader(file)) == 4 * 12 * 20 * 20
    assert imread(corpus / "out" / "histogram.png").size
    classes = next(figure for figure in drawn if len(figure.axes[0].containers) == 3).axes[0]
    lengths = [[bar.get_width() for bar in bars] for bars in classes.containers]
    assert lengths == [[50, 0], [100, 100], [0, 0]]
    assert [text.get_text() for text in classes.figure.legends[0].get_texts()] == [
        "train: 2 scans, 1 patient", "test: 1 scan, 1 patient", "unlisted: 1 scan, 1 patient",
    ]  # fmt: skip
    assert [text.get_text() for text in classes.texts] == [
        "1 of 2 (1)", "0 of 1 (0)", "1 of 1 (1)", "1 of 1 (1)", "no labels", "no labels",
    ]  # fmt: skip
    assert (corpus / "out" / "class_distribution.pdf").read_bytes().startswith(b"%PDF")


def test_many_labels_are_drawn_smaller(monkeypatch) -> None:
    """Thousands of labels would be higher than any picture may be; the PDF is as sharp."""
    monkeypatch.setattr(stats_files, "MOST_PIXELS", 400)
    rows = [LabelCount(f"label {n}", "all", n, 3, 0, n) for n in range(20)]

    picture = imread(io.BytesIO(stats_files.draw_classes(rows, [SplitCount("all", 23, 9)])))

    assert 350 < picture.shape[0] <= 400


def test_pictures_need_matplotlib(corpus, monkeypatch) -> None:
    """Nothing is written without."""
    monkeypatch.setattr(plotting, "find_spec", lambda _: None)

    with pytest.raises(CtError, match="matplotlib"):
        write_stats(measure(corpus), corpus / "out")
    assert not (corpus / "out").exists()
