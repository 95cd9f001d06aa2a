"""The labels of the paper are found in the columns of each data set, and nothing else is."""

from pathlib import Path

import numpy as np
import pytest

from ctprep.reports.label import label_reports
from ctprep.store.errors import TableError
from ctprep.store.evaluated import choose_evaluated
from ctprep.store.labels import CT_LITE_LABELS, CT_RATE_LABELS
from ctprep.store.manifest import load_manifest
from ctprep.store.tables import LabelTable, read_labels

COUNTS = {"ct_rate": 12, "nidch": 8, "rad_chestct": 11}
MAPPED = {
    "Cardiomegaly": "cardiomegaly",
    "Emphysema": "emphysema",
    "Atelectasis": "atelectasis",
    "Lung nodule": "nodule",
    "Lung opacity": "opacity",
    "Pulmonary fibrotic sequela": "fibrosis",
    "Pleural effusion": "pleural_effusion",
    "Peribronchial thickening": "bronchial_wall_thickening",
    "Consolidation": "consolidation",
    "Bronchiectasis": "bronchiectasis",
    "Interlobular septal thickening": "septal_thickening",
}


def _table(names: tuple[str, ...]) -> LabelTable:
    """One scan, whose labels are numbered."""
    return LabelTable(("a",), names, np.arange(len(names), dtype=np.float64)[None])


@pytest.mark.parametrize("dataset", COUNTS)
def test_what_label_reports_writes_is_what_is_scored(tmp_path: Path, dataset: str) -> None:
    """By the columns that the data set has, under the names that the prompts need."""
    raw, out = tmp_path / "raw.csv", tmp_path / "labels.csv"
    raw.write_text("scan_id,report_text\na,Emphysema is seen. A nodule is seen in the lung.\n")
    list(label_reports(raw, out, dataset=dataset))

    table = choose_evaluated(read_labels(out), load_manifest(dataset))

    assert len(table.names) == COUNTS[dataset]
    assert set(table.names) <= set(CT_LITE_LABELS)
    present = {name for name, value in zip(table.names, table.values[0], strict=True) if value == 1}
    assert present == {"Emphysema", "Lung nodule"}


def test_rad_chestct_is_mapped_by_name() -> None:
    """By hand, from the published columns; the other 73 of 84 are left out."""
    names = tuple(sorted({*MAPPED.values(), "mass", "groundglass", "hernia", "scarring"}))
    table = _table(names)

    chosen = choose_evaluated(table, load_manifest("rad_chestct"))

    assert {
        name: names[int(value)] for name, value in zip(chosen.names, chosen.values[0], strict=True)
    } == MAPPED


def test_ct_rate_names_serve_for_every_data_set() -> None:
    """Labels of CT-RATE's labeler on another hospital's reports."""
    for dataset, count in COUNTS.items():
        chosen = choose_evaluated(_table(CT_RATE_LABELS), load_manifest(dataset))
        assert len(chosen.names) == count
        assert [CT_RATE_LABELS[int(value)] for value in chosen.values[0]] == list(chosen.names)


def test_a_label_without_a_column_or_with_two_is_told() -> None:
    """Nothing is scored as absent that the table does not have."""
    rad = load_manifest("rad_chestct")
    names = tuple(MAPPED.values())

    with pytest.raises(TableError, match="no column 'fibrosis' or 'Pulmonary fibrotic sequela'"):
        choose_evaluated(_table(tuple(name for name in names if name != "fibrosis")), rad)
    with pytest.raises(TableError, match="'nodule' and 'Lung nodule' are one label"):
        choose_evaluated(_table((*names, "Lung nodule")), rad)
