"""The record sets of a corpus: what each table's rows and columns are, and how they refer."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ctprep.exchange.nodes import (
    FLOAT,
    INTEGER,
    LABEL,
    TEXT,
    Node,
    column,
    inline_set,
    record_set,
    slug,
)
from ctprep.store.attributes import StoreAttributes
from ctprep.store.columns import read_text_table, text_column
from ctprep.store.errors import TableError
from ctprep.store.tables import ID_COLUMNS, read_labels, read_reports

VOLUME_KEY = "volumes/scan_id"
SCAN_KEY = "scans/scan_id"
VOLUME_NAME = r"^(.+?)(?:\.nii\.gz|\.nii|\.npz|\.nrrd|\.mha)?$"
"""Of a cell that names the file of a scan; the group is the scan id."""

_VOLUME_COLUMNS = {
    "scan_id": (TEXT, "Id of the scan: name of the volume's folder in the store."),
    "patient_id": (TEXT, "Pseudonym of the patient."),
    "source_format": (TEXT, "What the volume was read from."),
    "source_sha256": (TEXT, "SHA-256 of the source file, or of the digests of several."),
    "original_shape": ("cr:Int32", "Voxels of the source along slice, row, column."),
    "original_spacing_mm": ("cr:Float64", "Spacing of the source along slice, row, column, mm."),
    "original_axis_codes": (TEXT, "Direction in which each index of the source grew."),
    "hu_decision": (TEXT, "Whether slope and intercept were applied."),
    "kernel": (TEXT, "Convolution kernel."),
    "manufacturer": (TEXT, "Manufacturer of the scanner."),
    "kvp": (FLOAT, "Tube voltage in kV."),
    "verdicts": (TEXT, "Warnings about the source."),
    "mends": (TEXT, "What was mended on the way in."),
    "nbytes": (INTEGER, "Bytes of the volume's shard."),
    "ratio": (FLOAT, "Bytes of the int16 array over those of the shard."),
    "psnr_db": (FLOAT, "PSNR of the compressed volume in dB."),
    "ssim": (FLOAT, "SSIM of the compressed volume."),
}
_VOLUME_LISTS = ("original_shape", "original_spacing_mm", "verdicts", "mends")
_SCAN_COLUMNS = {
    "scan_id": "Id of the scan.",
    "patient_id": "The patient, by a pseudonym or the data set's own id.",
    "split": "Side of the split.",
    "path": "File or series folder in the source.",
    "study_id": "The study.",
    "format": "Format of the source.",
}
_REPORT_COLUMNS = {
    "scan_id": (TEXT, "Id of the scan."),
    "text_full": (TEXT, "The report's findings and impression."),
    "text_positive": (TEXT, "Its sentences that tell of something abnormal; never empty."),
    "text_negative": (TEXT, "Its sentences that tell of something absent."),
    "kept_sentences": ("cr:Int32", "Indices, from 0, of the sentences that are kept."),
    "backend": (TEXT, "What chose the sentences."),
    "model": (TEXT, "Language model that did, if any."),
    "prompt_hash": (TEXT, "Hash of its prompt, or of the rules."),
    "flags": (TEXT, "What is unusual about the row."),
}
_REPORT_LISTS = ("kept_sentences", "flags")
_SPLITS = {"train": "cr:TrainingSplit", "tune": "cr:ValidationSplit", "test": "cr:TestSplit"}


def store_set(attributes: StoreAttributes, volumes: int, digest: str) -> Node:
    """Describe a store in one row: what its voxels are, and the digest of its volumes."""
    grid, window = attributes.grid, attributes.window
    facts = {
        "kind": (TEXT, attributes.kind),
        "format_version": (TEXT, attributes.format_version),
        "orientation": (TEXT, attributes.orientation),
        "grid": (TEXT, grid.name),
        "shape": (TEXT, " x ".join(map(str, grid.shape))),
        "spacing_mm": (TEXT, " x ".join(f"{n:g}" for n in grid.spacing_mm)),
        "hu_range": (TEXT, "{} to {}".format(*attributes.hu_range)),
        "window_center_hu": (FLOAT, None if window is None else window.center_hu),
        "window_width_hu": (FLOAT, None if window is None else window.width_hu),
        "quality": (INTEGER, attributes.quality),
        "volumes": (INTEGER, volumes),
        "volumes_sha256": (TEXT, digest),
    }
    given = {name: fact for name, fact in facts.items() if fact[1] is not None}
    return inline_set(
        "store",
        "The Zarr store in one row. volumes_sha256 is the SHA-256 of a line a volume, sorted: its "
        "id and the SHA-256 of its two zarr.json (group, array), which hold the CRC-32C of every "
        "chunk of voxels.",
        {name: own for name, (own, _) in given.items()},
        [{name: value for name, (_, value) in given.items()}],
    )


def volume_set(volumes: int) -> Node:
    """Describe the catalog of a store, which has a row a volume."""
    fields = [
        column("volumes", name, own, what, is_list=name in _VOLUME_LISTS)
        for name, (own, what) in _VOLUME_COLUMNS.items()
    ]
    return record_set("volumes", f"The volumes of the store: {volumes} rows.", fields)


def split_set() -> Node:
    """Describe the sides of a split."""
    rows = [{"name": name, "url": url} for name, url in _SPLITS.items()]
    described = inline_set("splits", "Sides of the split.", {"name": TEXT, "url": "sc:URL"}, rows)
    return described | {"dataType": "cr:Split"}


def scan_set(path: Path, absent: int, unlisted: int) -> Node:
    """Describe a scan table.

    Args:
        path: of the table, whose columns are known to be right.
        absent: scans of the table that the store does not have.
        unlisted: scans of the store that it does not name.
    """
    table = read_text_table(path)
    references = {"scan_id": VOLUME_KEY, "split": "splits/name"}
    fields = [
        column("scans", name, TEXT, what, references=references.get(name))
        for name, what in _SCAN_COLUMNS.items()
        if name in table.column_names
    ]
    described = f"Patient and side of each scan; {_count(table.num_rows, absent, unlisted)}"
    return record_set("scans", described, fields)


def label_set(path: Path, key: str | None, absent: int, unlisted: int) -> Node:
    """Describe a label table.

    Args:
        path: of the table.
        key: field that its scans are of; None where rows are of studies.
        absent: scans of the table that the store does not have.
        unlisted: scans of the store that it does not name.

    Raises:
        TableError: its names of scans do not give scan ids by leaving out the suffix of a file.
    """
    table, labels = read_text_table(path), read_labels(path)
    source = next((name for name in ID_COLUMNS if name in table.column_names), None)
    cells = [] if source is None else text_column(table, source)
    _check_names(path, cells, labels.scan_ids)
    plain = tuple(cells) == labels.scan_ids
    fields = [
        column(
            "labels",
            "scan_id",
            TEXT,
            "Id of the scan.",
            source=source,
            references=key,
            regex=None if plain else VOLUME_NAME,
        )
    ]
    used = Counter(["scan_id"])
    for name in labels.names:
        used[slug(name)] += 1
        field = column("labels", name, LABEL, "1 present, 0 absent, empty where it is missing.")
        if used[slug(name)] > 1:
            field["@id"] += f"--{used[slug(name)]}"
        fields.append(field)
    described = f"Labels of scans; {_count(table.num_rows, absent, unlisted)}"
    return record_set("labels", described, fields)


def _check_names(path: Path, cells: Sequence[str], scan_ids: Sequence[str]) -> None:
    found = [re.match(VOLUME_NAME, cell) for cell in cells]
    if [None if match is None else match[1] for match in found] != list(scan_ids):
        raise TableError(
            "its scans are not named by their scan ids, so no reader could join it with the others",
            mend="save it with a first column `scan_id` that holds the ids of the store",
            where=path.name,
        )


def report_set(path: Path, key: str | None, absent: int, unlisted: int) -> Node:
    """Describe a table of filtered reports; no text of it is quoted.

    Args:
        path: of the table.
        key: field that its scans are of; None where rows are of studies.
        absent: scans of the table that the store does not have.
        unlisted: scans of the store that it does not name.
    """
    rows = read_reports(path).num_rows
    fields = [
        column(
            "reports",
            name,
            own,
            what,
            references=key if name == "scan_id" else None,
            is_list=name in _REPORT_LISTS,
        )
        for name, (own, what) in _REPORT_COLUMNS.items()
    ]
    described = f"Filtered reports; {_count(rows, absent, unlisted)}"
    return record_set("reports", described, fields)


def _count(rows: int, absent: int, unlisted: int) -> str:
    return (
        f"{rows} rows, {absent} of scans that the store does not have; {unlisted} volumes of the "
        "store have no row."
    )
