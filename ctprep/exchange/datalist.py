"""A MONAI datalist: which file is which scan, with its labels, report, patient, side and fold.

The list is the JSON of the Medical Segmentation Decathlon as `monai.data.load_decathlon_datalist`
reads it: a list of entries a side, `image` relative to the list. Every entry of a list has the
same keys, since MONAI's collate wants that; what is missing is null.
"""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np

from ctprep.look.export import SUFFIXES
from ctprep.store.attributes import StoreAttributes
from ctprep.store.errors import TableError, located
from ctprep.store.find_rows import find_rows
from ctprep.store.place import Where
from ctprep.store.store import VolumeStore
from ctprep.store.tables import LabelTable, ScanRow, read_labels, read_reports, read_scans

DATALIST = "datalist.json"
SECTIONS = {"train": "training", "tune": "validation", "test": "test"}
"""Our sides by the names that MONAI uses."""
COUNTS = {"training": "numTraining", "validation": "numValidation", "test": "numTest"}

Text = Literal["positive", "full"]
"""Which text of the report table: what is abnormal, or all of it."""
Entry = dict[str, Any]
Row = TypeVar("Row")


@dataclass(frozen=True)
class DatalistPlan:
    """What a datalist will hold, and what it will not."""

    entries: dict[str, dict[str, Entry]]
    """Entry of each scan, by section and scan id."""
    head: dict[str, Any]
    """What the list says before its sections."""
    absent: tuple[str, ...]
    """Scans of the scan table that the store does not have."""
    unlisted: tuple[str, ...]
    """Scans of the store that the scan table does not name."""
    unlabeled: int
    """Listed scans without a row of labels."""
    unreported: int
    """Listed scans without a report."""

    @property
    def scan_ids(self) -> tuple[str, ...]:
        """All scans that are listed, sorted."""
        return tuple(sorted(scan_id for own in self.entries.values() for scan_id in own))


def plan_datalist(
    store: Where,
    scans: Path,
    *,
    labels: Path | None = None,
    reports: Path | None = None,
    text: Text = "positive",
    folds: int | None = None,
) -> DatalistPlan:
    """Match a store with its tables.

    Args:
        store: a folder, or a URL in a bucket.
        scans: scan table, which tells patients and sides.
        labels: label table. `label` of an entry has a value a label, in the table's order: 1, 0,
            or null where it is missing. A row may be of a study of the scan table.
        reports: table of filtered reports; likewise.
        text: which of its texts becomes `report`.
        folds: how many parts the training side is dealt into, by patient; `fold` of an entry.

    Returns:
        The plan; it lists the scans that both the store and the scan table have.

    Raises:
        StoreError: there is no store.
        TableError: a table breaks its schema, has no scan of the store, or the row of a study may
            be that of another scan; or there are fewer patients than folds.
    """
    opened = VolumeStore.open(store)
    there = set(opened.scan_ids())
    rows = sorted(read_scans(scans), key=lambda row: row.scan_id)
    listed = [row for row in rows if row.scan_id in there]
    _check_overlap(listed, scans)
    with_study = any(row.study_id for row in listed)
    table = None if labels is None else read_labels(labels)
    study_of = dict.fromkeys(there) | {row.scan_id: row.study_id for row in rows}
    values = texts = None
    if table is not None and labels is not None:
        values = _by_scan(_values(table), study_of, labels)
    if reports is not None:
        texts = _by_scan(_texts(reports, text), study_of, reports)
    with located(scans.name):
        fold_of = {} if folds is None else deal_folds(_patients(listed), folds)
    entries: dict[str, dict[str, Entry]] = {section: {} for section in COUNTS}
    for row in listed:
        entry: Entry = {"image": row.scan_id + SUFFIXES["nifti"]}
        if table is not None and values is not None:
            entry["label"] = values.get(row.scan_id, [None] * len(table.names))
        if texts is not None:
            entry["report"] = texts.get(row.scan_id)
        entry |= {"scan_id": row.scan_id, "patient_id": row.patient_id}
        if with_study:
            entry["study_id"] = row.study_id
        if row.split == "train" and folds is not None:
            entry["fold"] = fold_of[row.patient_id]
        entries[SECTIONS[row.split]][row.scan_id] = entry
    own = {row.scan_id for row in listed}
    return DatalistPlan(
        entries=entries,
        head=_head(opened.attributes, table),
        absent=tuple(row.scan_id for row in rows if row.scan_id not in there),
        unlisted=tuple(sorted(there - {row.scan_id for row in rows})),
        unlabeled=0 if values is None else len(own - values.keys()),
        unreported=0 if texts is None else sum(texts.get(scan_id) is None for scan_id in own),
    )


def _check_overlap(listed: Sequence[ScanRow], scans: Path) -> None:
    if not listed:
        raise TableError(
            "the store has no scan of the table",
            mend="check that the scan ids of table and store agree",
            where=scans.name,
        )


def _by_scan(
    by_name: Mapping[str, Row], study_of: Mapping[str, str | None], path: Path
) -> dict[str, Row]:
    with located(path.name):
        found = find_rows(study_of, by_name)
    return {scan_id: by_name[name] for scan_id, name in found.items()}


def _values(table: LabelTable) -> dict[str, list[int | None]]:
    return {
        scan_id: [None if np.isnan(value) else int(value) for value in row]
        for scan_id, row in zip(table.scan_ids, table.values, strict=True)
    }


def _texts(reports: Path, text: Text) -> dict[str, str | None]:
    table = read_reports(reports)
    columns = (table.column("scan_id"), table.column(f"text_{text}"))
    # MONAI takes the empty text for a path, that of its folder.
    return {
        scan_id: own.strip() or None
        for scan_id, own in zip(*(column.to_pylist() for column in columns), strict=True)
    }


def _patients(rows: Sequence[ScanRow]) -> Counter[str]:
    return Counter(row.patient_id for row in rows if row.split == "train")


def deal_folds(scans_of: Mapping[str, int], folds: int) -> dict[str, int]:
    """Deal patients into folds of nearly equally many scans.

    Args:
        scans_of: number of scans of each patient.
        folds: how many; at least two.

    Returns:
        Fold of each patient, from 0: those of most scans first, in an order that depends on
        nothing but their ids, each into the fold that has fewest.

    Raises:
        TableError: there are fewer patients than folds.
    """
    if len(scans_of) < folds:
        raise TableError(
            f"{len(scans_of)} patients of the training side are too few for {folds} folds",
            mend="ask for fewer folds",
        )

    def order(patient: str) -> tuple[int, bytes]:
        return -scans_of[patient], hashlib.sha256(patient.encode()).digest()

    filled = [0] * folds
    fold_of = {}
    for patient in sorted(scans_of, key=order):
        fold_of[patient] = filled.index(min(filled))
        filled[fold_of[patient]] += scans_of[patient]
    return fold_of


def _head(attributes: StoreAttributes, table: LabelTable | None) -> dict[str, Any]:
    values, window = "HU", attributes.window
    if window is not None:
        values = f"gray 0 to 255 of the window {window.center_hu:g} / {window.width_hu:g} HU"
    head = {
        "description": f"chest CT, {values}",
        "modality": {"0": "CT"},
        "tensorImageSize": "3D",
    }
    if table is not None:
        head["labels"] = {str(place): name for place, name in enumerate(table.names)}
    return head


def check_values(plan: DatalistPlan, out: Path) -> None:
    """Refuse what MONAI would take for a file: it makes a path of any text that names one.

    Args:
        plan: of the list.
        out: folder of the list and its files.

    Raises:
        TableError: an id or a report is the name of a file beside the list.
    """
    files = {entry["image"] for own in plan.entries.values() for entry in own.values()}
    files.add(DATALIST)
    for own in plan.entries.values():
        for scan_id, entry in own.items():
            for key, value in entry.items():
                if key == "image" or not isinstance(value, str):
                    continue
                if os.path.normpath(value) in files or _is_there(out, value):
                    raise TableError(
                        f"{key} is the name of a file beside {DATALIST}, and MONAI would take it "
                        "for one",
                        mend="export into an empty folder, or change the id",
                        where=scan_id,
                    )


def _is_there(folder: Path, name: str) -> bool:
    try:
        return (folder / name).exists()
    except (OSError, ValueError):
        # Too long for a name, as reports are.
        return False


def encode_datalist(plan: DatalistPlan, left_out: Collection[str] = ()) -> bytes:
    """Write the list: the same bytes for the same plan.

    Args:
        plan: of the list.
        left_out: scans without a file.

    Returns:
        JSON in ASCII, since MONAI reads it in the encoding of its machine. A side without a scan
        is left out: MONAI fails on an empty one.
    """
    sections = {
        section: [entry for scan_id, entry in own.items() if scan_id not in left_out]
        for section, own in plan.entries.items()
    }
    counts = {COUNTS[section]: len(own) for section, own in sections.items()}
    filled = {section: own for section, own in sections.items() if own}
    document = plan.head | counts | filled
    return (json.dumps(document, indent=2) + "\n").encode("ascii")


def check_continues(path: Path, plan: DatalistPlan) -> None:
    """Refuse to replace a list that says something else of a scan.

    Args:
        path: of the list, which may be there. A list that lacks scans is one of an earlier run, in
            which they were refused.
        plan: of the new one.

    Raises:
        TableError: another list is there: models may have been trained on it.
    """
    if not path.exists():
        return
    try:
        known = json.loads(path.read_bytes())
        images = {
            section: {entry["image"]: entry for entry in plan.entries[section].values()}
            for section in COUNTS
        }
        is_same = known.get("labels") == plan.head.get("labels") and all(
            images[section].get(entry["image"]) == entry
            for section in COUNTS
            for entry in known.get(section, ())
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        is_same = False
    if not is_same:
        raise TableError(
            "another datalist is there already, and models may have been trained on it",
            mend="pass --overwrite, or export to another folder",
            where=path.name,
        )
