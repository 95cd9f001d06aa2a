"""A Croissant description of a corpus: which files it consists of, and what is in its tables.

The document is JSON-LD after Croissant 1.1. It names store and tables by their way from its own
folder, quotes no row of them, and says of licence, authors and dates what its owner says. Zarr is
no format that Croissant reads: the store is a set of files there, and its catalog a table.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from glob import escape
from importlib import resources
from pathlib import Path
from typing import Any

from ctprep.exchange.about import About, Creator
from ctprep.exchange.content import digest_volumes
from ctprep.exchange.nodes import Node, file_object
from ctprep.exchange.record_sets import (
    SCAN_KEY,
    VOLUME_KEY,
    label_set,
    report_set,
    scan_set,
    split_set,
    store_set,
    volume_set,
)
from ctprep.exchange.tables import look_at_file, relative_url
from ctprep.store.disk import write_atomically
from ctprep.store.errors import TableError, located
from ctprep.store.find_rows import find_rows
from ctprep.store.layout import ARRAY, CATALOG, METADATA, SHARD
from ctprep.store.place import Where
from ctprep.store.store import VolumeStore
from ctprep.store.tables import read_labels, read_reports, read_scans

CROISSANT = "http://mlcommons.org/croissant/1.1"
RAI = "http://mlcommons.org/croissant/RAI/1.0"
ZARR = "application/vnd.zarr"
SUFFIXES = (".json", ".jsonld")
_TYPES = {"person": "sc:Person", "organization": "sc:Organization"}


@dataclass(frozen=True)
class Description:
    """A Croissant document, and what of the tables does not fit the store."""

    content: bytes
    volumes: int
    absent: dict[str, tuple[str, ...]]
    """Rows of each table that are of nothing the store has, by the table's name."""
    unlisted: dict[str, tuple[str, ...]]
    """Scans of the store that a table has no row for, likewise."""


def describe_corpus(
    store: Where,
    out: Path,
    about: About,
    *,
    scans: Path | None = None,
    labels: Path | None = None,
    reports: Path | None = None,
) -> Description:
    """Describe a store and the tables beside it.

    Args:
        store: folder with a current catalog, at or below the folder of `out`.
        out: where the document will be; nothing is written.
        about: what its owner says of the corpus.
        scans: scan table.
        labels: label table; a row may be of a study of the scan table.
        reports: table of filtered reports; likewise.

    Returns:
        The document: the same bytes for the same corpus.

    Raises:
        StoreError: there is no store, it lies in a bucket, or its catalog is not current.
        TableError: a table breaks its schema, lies outside the folder of `out`, or does not name
            scans by their ids, or the row of a study may be that of another scan; or `out` lies
            in the store, or is not named as JSON.
    """
    opened = VolumeStore.open(store)
    root, folder = opened.path, out.parent
    _check_out(out, root)
    with located(opened.name):
        there = set(opened.current_catalog().column("scan_id").to_pylist())
    given = {"scans": scans, "labels": labels, "reports": reports}
    paths = {name: path for name, path in given.items() if path is not None}
    ids_of = {name: _READ_IDS[name](path) for name, path in paths.items()}
    rows_of = _rows_of_scans(paths, ids_of, there)
    absent = {name: tuple(sorted(own - {*rows_of[name].values()})) for name, own in ids_of.items()}
    unlisted = {name: tuple(sorted(there - rows_of[name].keys())) for name in paths}
    counts = {name: (len(absent[name]), len(unlisted[name])) for name in paths}
    files = [*_store_files(root, folder), *_table_files(paths, folder)]
    store_row = store_set(opened.attributes, len(there), digest_volumes(opened))
    sets = [store_row, volume_set(len(there)), *_table_sets(paths, counts, rows_of)]
    document = {**_head(about), "distribution": files, "recordSet": sets}
    content = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    return Description(content.encode(), len(there), absent, unlisted)


def _check_out(out: Path, root: Path) -> None:
    if out.suffix not in SUFFIXES:
        # So that `--overwrite` never replaces a table, or what is said of the corpus.
        raise TableError(
            f"a description does not end in {out.suffix!r}",
            mend=f"give a path that ends in {' or '.join(SUFFIXES)}, such as croissant.json",
            where=out.name,
        )
    if out.absolute().is_relative_to(root.absolute()):
        raise TableError(
            "the description would lie in the store, where it counts as damage",
            mend="write it beside the store",
            where=out.name,
        )


_READ_IDS: dict[str, Callable[[Path], set[str]]] = {
    "scans": lambda path: {row.scan_id for row in read_scans(path)},
    "labels": lambda path: set(read_labels(path).scan_ids),
    "reports": lambda path: set(read_reports(path).column("scan_id").to_pylist()),
}


def _rows_of_scans(
    paths: Mapping[str, Path], ids_of: Mapping[str, set[str]], there: set[str]
) -> dict[str, dict[str, str]]:
    """Row of each volume by its scan id, in each table."""
    study_of: dict[str, str | None] = dict.fromkeys(there)
    if "scans" in paths:
        study_of |= {row.scan_id: row.study_id for row in read_scans(paths["scans"])}
    rows_of = {}
    for name, ids in ids_of.items():
        with located(paths[name].name):
            # The scan table itself has no rows of studies.
            found = find_rows(dict.fromkeys(there) if name == "scans" else study_of, ids)
        rows_of[name] = {scan_id: found[scan_id] for scan_id in there & found.keys()}
    return rows_of


def _table_sets(
    paths: Mapping[str, Path],
    counts: Mapping[str, tuple[int, int]],
    rows_of: Mapping[str, Mapping[str, str]],
) -> list[Node]:
    key = SCAN_KEY if "scans" in paths else VOLUME_KEY
    # Rows of studies are no scans of another table.
    keys = {
        name: None if any(scan_id != row for scan_id, row in own.items()) else key
        for name, own in rows_of.items()
    }
    sets = []
    if "scans" in paths:
        sets += [split_set(), scan_set(paths["scans"], *counts["scans"])]
    if "labels" in paths:
        sets.append(label_set(paths["labels"], keys["labels"], *counts["labels"]))
    if "reports" in paths:
        sets.append(report_set(paths["reports"], keys["reports"], *counts["reports"]))
    return sets


def _head(about: About) -> dict[str, Any]:
    context = json.loads(
        resources.files("ctprep.exchange").joinpath("context.json").read_text(encoding="utf-8")
    )
    responsible = {
        f"rai:{_camel(name)}": _plain(value) for name, value in about.rai if value is not None
    }
    head = {
        "@context": context,
        "@type": "sc:Dataset",
        "name": about.name,
        "description": about.description,
        "conformsTo": [CROISSANT, RAI] if responsible else CROISSANT,
        "license": _plain(about.license),
        "url": about.url,
        "creator": [_agent(creator) for creator in about.creators],
        "datePublished": _plain(about.date_published),
        "version": about.version,
        "citeAs": about.cite_as,
        "keywords": _plain(about.keywords),
        "inLanguage": _plain(about.language),
        "publisher": None if about.publisher is None else _agent(about.publisher),
        "sameAs": _plain(about.same_as),
    }
    return {key: value for key, value in head.items() if value is not None} | responsible


def _agent(creator: Creator) -> Node:
    told = {"@type": _TYPES[creator.kind], "name": creator.name}
    return told if creator.url is None else told | {"url": creator.url}


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others))


def _plain(value: object) -> object:
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, tuple):
        return value[0] if len(value) == 1 else list(value)
    return value


def _store_files(root: Path, folder: Path) -> list[Node]:
    url = relative_url(root, folder)
    catalog = look_at_file("volumes-file", root / CATALOG, folder)
    metadata = look_at_file("store-metadata", root / METADATA, folder)
    keys = (f"{ARRAY}/{SHARD}", f"{ARRAY}/{METADATA}", METADATA)
    return [
        file_object(catalog, "Catalog of the store: a row a volume."),
        file_object(metadata, "Metadata of the store: grid, orientation, window, quality."),
        {
            "@type": "cr:FileSet",
            "@id": "store-files",
            "name": "store-files",
            "description": "The volumes: groups of one Zarr v3 store, each an OME-Zarr 0.5 image "
            "with its metadata and its voxels in one shard. Read them with zarr; a Croissant "
            "reader lists these files and decodes none.",
            "encodingFormat": ZARR,
            "includes": [f"{escape(url)}/*/{key}" for key in keys],
        },
    ]


_TABLES = {
    "scans": "Scan table: patient and side of each scan.",
    "labels": "Label table: a row a scan, a column a label.",
    "reports": "Report table: the text of each report, and its filtered forms.",
}


def _table_files(paths: Mapping[str, Path], folder: Path) -> list[Node]:
    return [
        file_object(look_at_file(f"{name}-file", path, folder), _TABLES[name])
        for name, path in paths.items()
    ]


def write_description(out: Path, description: Description, *, overwrite: bool = False) -> bool:
    """Write the document, unless it is there; whole or not at all.

    Returns:
        False where the same one was there.

    Raises:
        TableError: something else is there, and `overwrite` is not given.
        PlaceError: the disk does not take it.
    """
    if out.is_file() and out.read_bytes() == description.content:
        return False
    if out.exists() and not overwrite:
        raise TableError(
            "another file is there already",
            mend="pass --overwrite, or choose another path",
            where=out.name,
        )
    write_atomically(out, description.content)
    return True
