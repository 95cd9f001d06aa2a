"""Statistics of a corpus: how often each label, sampling and scanner occurs, and which HU."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Int64

from ctprep.look.preview import spread
from ctprep.store.attributes import Kind
from ctprep.store.errors import StoreError, located
from ctprep.store.find_rows import find_rows
from ctprep.store.place import Where
from ctprep.store.store import VolumeStore
from ctprep.store.tables import SPLITS, LabelTable, ScanRow, read_labels, read_scans

ALL = "all"
"""Name of the split where no scan table tells others."""
UNLISTED = "unlisted"
"""Of scans that the scan table does not name."""
UNKNOWN = "not stated"
PERCENTILES = (1, 5, 25, 50, 75, 95, 99)
LOWEST = {"hifi": np.iinfo(np.int16).min, "jpeg": 0}
VALUES = {"hifi": 2**16, "jpeg": 2**8}


@dataclass(frozen=True)
class SplitCount:
    """How large a split is."""

    split: str
    scans: int
    patients: int


@dataclass(frozen=True)
class LabelCount:
    """How often a label occurs in a split.

    Args:
        label: its name.
        split: whose scans are counted.
        positive: scans that have it.
        negative: scans that do not.
        missing: scans without a value, or without a row.
        patients: who have a scan that has it.
    """

    label: str
    split: str
    positive: int
    negative: int
    missing: int
    patients: int


@dataclass(frozen=True)
class ValueCount:
    """How many scans have a value of a field."""

    field: str
    value: str
    scans: int


@dataclass(frozen=True)
class ValueHistogram:
    """Which HU, or gray levels, some scans hold; padding left out.

    Args:
        kind: of the store.
        scan_ids: whose voxels were counted.
        unreadable: scans of the sample that are damaged.
        counts: voxels of each value, from the lowest that the type has.
    """

    kind: Kind
    scan_ids: tuple[str, ...]
    unreadable: tuple[str, ...]
    counts: Int64[np.ndarray, " value"]

    @property
    def values(self) -> Int64[np.ndarray, " value"]:
        """The value that each count is of."""
        return np.arange(len(self.counts)) + LOWEST[self.kind]

    def percentiles(self) -> dict[str, int]:
        """Give the values below which so many percent of the voxels lie."""
        total = np.cumsum(self.counts)
        if not total[-1]:
            return {}
        places = np.searchsorted(total, np.array(PERCENTILES) / 100 * total[-1])
        return {
            f"{percent} %": int(self.values[place])
            for percent, place in zip(PERCENTILES, places, strict=True)
        }


@dataclass(frozen=True)
class CorpusStats:
    """What a corpus consists of.

    Args:
        splits: in their usual order.
        labels: a row a label and split; empty without a label table.
        values: a row a field and value, the most common first.
        unlabeled: scans of the store without a row of labels.
        absent: rows of labels whose scan is not in the store.
        gone: rows of the scan table whose scan is not.
        histogram: of a sample of the scans.
    """

    splits: tuple[SplitCount, ...]
    labels: tuple[LabelCount, ...]
    values: tuple[ValueCount, ...]
    unlabeled: int
    absent: int
    gone: int
    histogram: ValueHistogram


def measure_corpus(
    store: Where, *, labels: Path | None = None, scans: Path | None = None, sample: int = 8
) -> CorpusStats:
    """Count what is in a store.

    Args:
        store: hi-fi or JPEG store with a current catalog: a folder, or a URL in a bucket.
        labels: label table; a row may be of a study of the scan table, and rows of nothing that
            the store has are left out, and counted.
        scans: scan table, for splits, patients and studies.
        sample: how many scans are read for the histogram, spread over the store.

    Raises:
        StoreError: there is no store, or its catalog is not that of its volumes.
        TableError: a table breaks its schema, or the row of a study may be that of another scan.
    """
    opened = VolumeStore.open(store)
    with located(opened.name):
        catalog = opened.current_catalog()
    scan_ids: list[str] = catalog.column("scan_id").to_pylist()
    rows = read_scans(scans) if scans is not None else None
    split_of = _split_of(scan_ids, rows)
    patients: list[str] = catalog.column("patient_id").to_pylist()
    patient_of = dict(zip(scan_ids, patients, strict=True))
    patient_of |= {row.scan_id: row.patient_id for row in rows or () if row.scan_id in patient_of}
    table = read_labels(labels) if labels is not None else None
    named = {}
    if table is not None and labels is not None:
        with located(labels.name):
            named = _rows_of_labels(table, scan_ids, rows or ())
    return CorpusStats(
        splits=tuple(count_splits(split_of, patient_of)),
        labels=() if table is None else tuple(count_labels(table, split_of, patient_of, named)),
        values=tuple(count_values(catalog)),
        unlabeled=0 if table is None else len(scan_ids) - len(named),
        absent=0 if table is None else len(set(table.scan_ids) - set(named.values())),
        gone=sum(row.scan_id not in patient_of for row in rows or ()),
        histogram=count_voxels(opened, spread(scan_ids, sample)),
    )


def _rows_of_labels(
    table: LabelTable, scan_ids: Sequence[str], rows: Sequence[ScanRow]
) -> dict[str, str]:
    studies = dict.fromkeys(scan_ids) | {row.scan_id: row.study_id for row in rows}
    found = find_rows(studies, set(table.scan_ids))
    return {scan_id: found[scan_id] for scan_id in scan_ids if scan_id in found}


def _split_of(scan_ids: Iterable[str], rows: Sequence[ScanRow] | None) -> dict[str, str]:
    if rows is None:
        return dict.fromkeys(scan_ids, ALL)
    listed = {row.scan_id: row.split for row in rows}
    return {scan_id: listed.get(scan_id, UNLISTED) for scan_id in scan_ids}


def count_splits(split_of: dict[str, str], patient_of: dict[str, str]) -> Iterable[SplitCount]:
    """Count the scans and patients of each split.

    Args:
        split_of: split of each scan.
        patient_of: patient of each scan.
    """
    for split in _present(split_of):
        scan_ids = [scan_id for scan_id, own in split_of.items() if own == split]
        patients = {patient_of[scan_id] for scan_id in scan_ids}
        yield SplitCount(split, len(scan_ids), len(patients))


def count_labels(
    table: LabelTable,
    split_of: Mapping[str, str],
    patient_of: Mapping[str, str],
    named: Mapping[str, str],
) -> Iterable[LabelCount]:
    """Count how often each label occurs in each split.

    Args:
        table: of labels.
        split_of: split of each scan of the store.
        patient_of: patient of each scan.
        named: row of the table that speaks of a scan, where there is one.

    Source:
        CT-Lite (arXiv 2605.00448), Figure 3: the class distribution.
    """
    place = {name: number for number, name in enumerate(table.scan_ids)}
    for column, label in enumerate(table.names):
        for split in _present(split_of):
            inside = [scan_id for scan_id, own in split_of.items() if own == split]
            known = [scan_id for scan_id in inside if scan_id in named]
            values = table.values[[place[named[scan_id]] for scan_id in known], column]
            positive, negative = int((values == 1).sum()), int((values == 0).sum())
            ill = {patient_of[known[number]] for number in np.flatnonzero(values == 1)}
            missing = len(inside) - positive - negative
            yield LabelCount(label, split, positive, negative, missing, len(ill))


def _present(split_of: Mapping[str, str]) -> list[str]:
    return [split for split in (ALL, *SPLITS, UNLISTED) if split in split_of.values()]


def count_values(catalog: pa.Table) -> Iterable[ValueCount]:
    """Count the formats, samplings and scanners of a catalog.

    Args:
        catalog: a row a scan.
    """
    told = {
        "format": map(_text, catalog.column("source_format").to_pylist()),
        "shape": map(_numbers, catalog.column("original_shape").to_pylist()),
        "spacing mm": map(_numbers, catalog.column("original_spacing_mm").to_pylist()),
        "axes": map(_text, catalog.column("original_axis_codes").to_pylist()),
        "kernel": map(_text, catalog.column("kernel").to_pylist()),
        "manufacturer": map(_text, catalog.column("manufacturer").to_pylist()),
        "kVp": map(_text, catalog.column("kvp").to_pylist()),
    }
    for field, values in told.items():
        for value, scans in sorted(Counter(values).items(), key=lambda item: (-item[1], item[0])):
            yield ValueCount(field, value, scans)


def _numbers(values: Sequence[float | int] | None) -> str:
    return UNKNOWN if values is None else " x ".join(f"{round(value, 2):g}" for value in values)


def _text(value: str | float | None) -> str:
    if value is None:
        return UNKNOWN
    return f"{value:g}" if isinstance(value, float) else value


def count_voxels(store: VolumeStore, scan_ids: Sequence[str]) -> ValueHistogram:
    """Count the voxels of every value, without the padding around a scan.

    Args:
        store: that has the scans.
        scan_ids: which of them; one is in memory at a time.
    """
    kind = store.attributes.kind
    counts = np.zeros(VALUES[kind], np.int64)
    unreadable = []
    for scan_id in scan_ids:
        try:
            content, voxels = store.read_attributes(scan_id).content, store.read(scan_id)
        except StoreError:
            unreadable.append(scan_id)
            continue
        if content is not None:
            voxels = voxels[tuple(slice(begin, end) for begin, end in content)]
        for plane in voxels:
            places = plane.astype(np.int32).ravel() - LOWEST[kind]
            counts += np.bincount(places, minlength=len(counts))
    read = tuple(scan_id for scan_id in scan_ids if scan_id not in unreadable)
    return ValueHistogram(kind, read, tuple(unreadable), counts)
