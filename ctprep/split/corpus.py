"""A store, and the tables beside it, to a scan table with splits."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from ctprep.owners import (
    Owners,
    owners_by_catalog,
    owners_by_names,
    owners_by_table,
    rows_of,
)
from ctprep.reports.filter import join_text
from ctprep.split.draw import SIDES, Positives, Side, Sizes, draw_sides
from ctprep.split.groups import group_scans
from ctprep.store.columns import patient_key
from ctprep.store.errors import TableError, located
from ctprep.store.manifest import load_manifest
from ctprep.store.outputs import check_outputs
from ctprep.store.place import Where
from ctprep.store.store import VolumeStore
from ctprep.store.table_bytes import check_table_name
from ctprep.store.tables import (
    LabelTable,
    ScanRow,
    read_raw_reports,
    read_scans,
    write_scans,
)


@dataclass(frozen=True)
class SideCount:
    """What a side got."""

    side: Side
    patients: int
    scans: int
    positives: dict[str, int] = field(default_factory=dict)
    """Scans that have a label, where there are labels."""
    positive_patients: dict[str, int] = field(default_factory=dict)
    """Patients who have such a scan."""


@dataclass(frozen=True)
class CorpusSplit:
    """A split of a store."""

    rows: tuple[ScanRow, ...]
    """Of the scans that are used, sorted by scan id; without paths."""
    counts: tuple[SideCount, ...]
    bound: int
    """Patients who stay with another, since their reports are equal."""
    templates: int
    """Texts that bind none, since too many patients have them."""
    unlabeled: int
    """Scans that the label table does not have."""
    unreported: int
    """Scans without a report."""
    gone: int
    """Scans of the split to keep that the store does not have."""


def split_corpus(
    store: Where,
    sizes: Sizes,
    *,
    seed: int = 0,
    labels: LabelTable | None = None,
    reports: Path | None = None,
    test_pattern: str | None = None,
    dataset: str | None = None,
    patients: Path | None = None,
    keep: Path | None = None,
) -> CorpusSplit:
    """Split the scans of a store by patient.

    Args:
        store: whose catalog names scans and patients.
        sizes: of the sides.
        seed: of the draw.
        labels: to have each label as frequent on every side; a row may be of a study.
        reports: as delivered; patients with equal ones stay together (`group_scans`); likewise.
        test_pattern: regular expression; scans whose ids it matches are the test side.
        dataset: whose names tell patients and studies, in place of the catalog.
        patients: table that tells them, in place of the catalog (`owners_by_table`).
        keep: scan table of an earlier split, whose scans and patients stay where they are; with
            `train` left out of the sizes, further patients are for training.

    Returns:
        The split.

    Raises:
        StoreError: there is no store, or its catalog is not that of its volumes.
        TableError: the sizes cannot be met, patients are not told or contradict each other, the
            tables have none of the store's scans, or the pattern matches none.
    """
    opened = VolumeStore.open(store)
    with located(opened.name):
        catalog = opened.current_catalog()
        owners = _owners(catalog, dataset, patients)
    patient_of = {scan_id: owner.patient_id for scan_id, owner in owners.items()}
    texts = {} if reports is None else _texts(reports, owners)
    kept = [] if keep is None else read_scans(keep)
    with located(opened.name):
        grouping = group_scans(patient_of, texts)
        positives = {} if labels is None else _positives(labels, owners)
        sides = draw_sides(
            grouping.groups,
            sizes,
            seed=seed,
            fixed=_fixed(patient_of, test_pattern, kept),
            positives=positives,
        )
    rows = tuple(
        ScanRow(
            scan_id=scan_id,
            patient_id=patient_of[scan_id],
            split=side,
            study_id=owners[scan_id].study_id,
        )
        for scan_id, side in sorted(sides.items())
        if side != "unused"
    )
    return CorpusSplit(
        rows=rows,
        counts=_count(sides, patient_of, positives, () if labels is None else labels.names),
        bound=grouping.bound,
        templates=grouping.templates,
        unlabeled=0 if labels is None else len(patient_of.keys() - positives.keys()),
        unreported=0 if reports is None else len(patient_of.keys() - texts.keys()),
        gone=len({row.scan_id for row in kept} - patient_of.keys()),
    )


def _owners(catalog: pa.Table, dataset: str | None, patients: Path | None) -> Owners:
    scan_ids = set(catalog.column("scan_id").to_pylist())
    if patients is not None:
        return owners_by_table(patients, scan_ids)
    if dataset is not None:
        return owners_by_names(load_manifest(dataset), scan_ids)
    return owners_by_catalog(catalog)


def paper_sizes(dataset: str, tune: int | float = 0) -> Sizes:
    """Take the numbers of patients that the CT-Lite paper sampled.

    Args:
        dataset: name of a manifest, such as `ct_rate` or `nidch`.
        tune: a tuning side beside them; the paper names none.

    Returns:
        The sizes; who is left is unused.

    Raises:
        TableError: no such data set, or the paper does not tell.

    Source:
        CT-Lite, section IV-B. It lists no patients and no scans, so that its volumes (1,333 and
        504, 1,336 and 511) cannot be had again, only as many patients.
    """
    told = {split.used_as: split.patients for split in load_manifest(dataset).splits}
    train, test = told.get("train"), told.get("test")
    if train is None or test is None:
        raise TableError(
            "the paper tells no patients of its training and test sides",
            mend="give sizes by --train, --tune and --test",
            where=dataset,
        )
    return Sizes(train=train, tune=tune, test=test)


def check_path(path: Path, *inputs: Path | None) -> None:
    """Refuse a scan table that could not be written, before the split is drawn.

    Args:
        path: of the table.
        inputs: what the split is made of. One to keep is none of them: what is there is not
            replaced.

    Raises:
        TableError: it is an input, or is called neither `.csv` nor `.parquet`.
        PlaceError: it cannot be written.
    """
    check_outputs(path, inputs=inputs)
    check_table_name(path)


def write_split(path: Path, split: CorpusSplit) -> bool:
    """Write the scan table, unless it is there.

    Args:
        path: CSV or Parquet to write.
        split: its rows.

    Returns:
        False where an equal table was there.

    Raises:
        TableError: another table is there: models may have been trained on its split.
    """
    if path.exists():
        try:
            is_same = read_scans(path) == list(split.rows)
        except TableError as error:
            raise TableError(
                "another file is there already, and it is no scan table",
                mend="give the split another name",
                where=path.name,
            ) from error
        if is_same:
            return False
        # It may be the user's own: nothing is said of removing it.
        raise TableError(
            "another split is there already, and models may have been trained on it",
            mend="give the new split another name; to go on from the one that is there, pass it "
            "as --keep",
            where=path.name,
        )
    write_scans(path, split.rows)
    return True


def _texts(path: Path, owners: Owners) -> dict[str, str]:
    told = {report.scan_id: join_text(report) for report in read_raw_reports(path)}
    texts = {name: text for name, text in told.items() if text}
    with located(path.name):
        found = {scan_id: texts[row] for scan_id, row in rows_of(owners, texts).items()}
    _check_overlap(found, owners, tuple(told), "a report", path.name)
    return found


def _positives(labels: LabelTable, owners: Owners) -> Positives:
    # A missing label asks for nothing.
    present = dict(zip(labels.scan_ids, np.nan_to_num(labels.values), strict=True))
    with located("the label table"):
        found = {scan_id: present[row] for scan_id, row in rows_of(owners, present).items()}
    _check_overlap(found, owners, labels.scan_ids, "labels", "the label table")
    return found


def _check_overlap(
    found: Collection[str], owners: Owners, names: Sequence[str], what: str, where: str
) -> None:
    if not found:
        raise TableError(
            f"no scan of the store has {what}: it has {min(owners, default='none')}, and the table "
            f"{names[0] if names else 'no row'}",
            mend="check that the scan ids of table and store agree, leading zeros included; rows "
            "of studies need --dataset or --patients",
            where=where,
        )


def _fixed(
    patient_of: Mapping[str, str], pattern: str | None, kept: Sequence[ScanRow]
) -> dict[str, Side] | None:
    if not kept:
        return None if pattern is None else _matching(pattern, patient_of)
    own: dict[str, Side] = {row.scan_id: row.split for row in kept}
    # A patient stays on his side, also where his scans have other ids now.
    side_of: dict[str, Side] = {patient_key(row.patient_id): row.split for row in kept}
    known = {
        scan_id: own.get(scan_id) or side_of.get(patient_key(patient))
        for scan_id, patient in patient_of.items()
    }
    fixed = {scan_id: side for scan_id, side in known.items() if side is not None}
    if not fixed:
        raise TableError(
            f"the split to keep has no scan of the store, but {kept[0].scan_id} and others",
            mend="check that the scan ids of both agree",
        )
    return fixed


def _matching(pattern: str, patient_of: Mapping[str, str]) -> dict[str, Side]:
    try:
        found: dict[str, Side] = {
            scan_id: "test" for scan_id in patient_of if re.search(pattern, scan_id)
        }
    except re.error as error:
        raise TableError(
            f"{pattern!r} is no regular expression: {error}", mend="correct it"
        ) from error
    if not found:
        raise TableError(
            f"no scan id matches {pattern!r}, such as {min(patient_of, default='none')}",
            mend="correct the pattern; ids are in lower case",
        )
    return found


def _count(
    sides: Mapping[str, Side],
    patient_of: Mapping[str, str],
    positives: Positives,
    names: tuple[str, ...],
) -> tuple[SideCount, ...]:
    counts = []
    for side in SIDES:
        inside = [scan_id for scan_id, own in sides.items() if own == side]
        patients = {patient_of[scan_id] for scan_id in inside}
        ill = [
            [scan_id for scan_id in inside if scan_id in positives and positives[scan_id][column]]
            for column in range(len(names))
        ]
        scans = dict(zip(names, map(len, ill), strict=True))
        ill_patients = (len({patient_of[scan_id] for scan_id in found}) for found in ill)
        told = dict(zip(names, ill_patients, strict=True))
        counts.append(SideCount(side, len(patients), len(inside), scans, told))
    return tuple(counts)
