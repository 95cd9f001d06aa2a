"""The roster: which scan id and which patient every found scan has."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from ctprep.dataset import Dataset, TableFacts
from ctprep.metadata import MetadataRow
from ctprep.pseudonym import origin_pseudonym, patient_pseudonym, scan_pseudonym
from ctprep.sources import pictures
from ctprep.sources.paths import is_folder, leads_somewhere, real_path
from ctprep.sources.source import Found
from ctprep.store.columns import to_scan_id
from ctprep.store.errors import SourceError, TableError
from ctprep.store.tables import ScanRow, read_scans

ScanIds = Literal["stem", "path", "pseudonym"]
"""How scans other than DICOM are named without a scan table."""


@dataclass(frozen=True)
class Identity:
    """What a scan is called in the store, and whose it is."""

    scan_id: str
    patient_id: str
    facts: TableFacts | None = None
    """What the metadata table of its data set says; None where there is no table."""
    origin: str | None = None
    """Keyed hash of where the scan lies, if it has its id from its file name, as other scans may
    have it elsewhere; None where a scan table or a series UID says which scan it is."""


class Roster:
    """Names scans by the scan table, or by pseudonyms where there is none.

    Without a table a DICOM series gets a keyed pseudonym, any other scan the slug of its file
    name (pictures: of the folder's), that of its path, or a keyed pseudonym of its path, and the
    patient one of PatientID or that name.

    Args:
        source: folder, or file, of the scans.
        scans: scan table; its paths are relative to `source`, or to the table's own folder where
            they exist there only. None names by pseudonyms.
        key: key of the pseudonyms.
        scan_ids: `stem` for the slug of the file name, `path` for that of the path below the
            source, `pseudonym` for none of it.
        dataset: what names scans where there is no scan table, and tells more of them.

    Raises:
        TableError: the table breaks its schema, or two rows name the same file.
    """

    def __init__(
        self,
        source: Path,
        scans: Path | None,
        key: bytes,
        *,
        scan_ids: ScanIds = "stem",
        dataset: Dataset | None = None,
    ) -> None:
        self._scan_ids = scan_ids
        # Names and paths are relative to the folder, also where the source is a single file.
        self._root = real_path(source if is_folder(source) else source.parent)
        self._key = key
        self._dataset = dataset
        self._rows = None if scans is None else _rows_by_place(self._root, scans)
        self._names: dict[str, str] = {}
        self._met: set[str] = set()

    def identify(self, found: Found) -> Identity:
        """Name a scan.

        Raises:
            SourceError: `not-listed` in a table, `listed-as-failed`, or `duplicate-scan-id`.
        """
        facts = None if self._dataset is None else self._dataset.facts(found)
        identity = replace(self._name(found), facts=facts)
        first = self._names.setdefault(identity.scan_id, found.name)
        if first != found.name:
            raise SourceError(
                f"scan id {identity.scan_id} is taken by {first}",
                verdict="duplicate-scan-id",
                mend="name scans by their paths (--scan-ids path), or give each its own scan id "
                "in a scan table (--scans)",
                where=found.name,
            )
        return identity

    def listed(self, name: str) -> str | None:
        """Give the scan id of a listed path that yielded no scan, and count it as met.

        Args:
            name: path relative to the source.
        """
        told = None if self._dataset is None else self._dataset.listed(name)
        row = self._row_above(real_path(self._root / name))
        return told if row is None else row.scan_id

    @property
    def gives_geometry(self) -> bool:
        """Whether files without geometry may find theirs in a table."""
        return self._dataset is not None and self._dataset.gives_geometry

    def absent(self) -> Iterator[ScanRow | MetadataRow]:
        """Yield the rows of the table that nothing was found for, once all is identified.

        Where there is a scan table it says what is wanted of a larger data set.
        """
        if self._rows is None and self._dataset is not None:
            yield from self._dataset.absent()
        for row in (self._rows or {}).values():
            if row.scan_id not in self._met:
                yield row

    def _name(self, found: Found) -> Identity:
        if self._rows is not None:
            return self._by_table(found)
        named = None if self._dataset is None else self._dataset.name(found)
        if named is None and found.format == "dicom":
            return Identity(
                scan_pseudonym(self._key, found.key),
                patient_pseudonym(self._key, found.patient_key),
            )
        identity = self._by_file_name(found) if named is None else self._by_dataset(found, *named)
        return replace(identity, origin=origin_pseudonym(self._key, self._root / found.name))

    def _by_dataset(self, found: Found, scan_id: str, patient_id: str) -> Identity:
        if self._scan_ids != "pseudonym":
            return Identity(scan_id, patient_id)
        return Identity(
            scan_pseudonym(self._key, found.key), patient_pseudonym(self._key, patient_id)
        )

    def _by_table(self, found: Found) -> Identity:
        row = self._row_above(found.paths[0].location)
        if row is None:
            raise SourceError(
                "the scan table does not list it",
                verdict="not-listed",
                mend="add a row to the scan table, or move the scan out of the source",
                where=found.name,
            )
        return Identity(row.scan_id, row.patient_id)

    def _row_above(self, place: Path) -> ScanRow | None:
        # A row may name the folder of a series instead of each of its files.
        for candidate in (place, *place.parents):
            row = (self._rows or {}).get(candidate)
            if row is not None:
                self._met.add(row.scan_id)
                return row
        return None

    def _by_file_name(self, found: Found) -> Identity:
        # Single pictures have numbers for names; the stack has one.
        name = found.key if found.format == pictures.FORMAT else found.paths[0].basename
        hidden = found.key
        if self._scan_ids != "stem":
            # Files of one name in many folders are many scans.
            name = hidden = found.name
        # Where nothing tells the patient, each scan has its own.
        patient = hidden if found.patient_key == found.key else found.patient_key
        patient_id = patient_pseudonym(self._key, patient)
        if self._scan_ids == "pseudonym":
            return Identity(scan_pseudonym(self._key, hidden), patient_id)
        try:
            return Identity(to_scan_id(name), patient_id)
        except TableError:
            # A name without a usable letter still deserves a volume.
            return Identity(scan_pseudonym(self._key, hidden), patient_id)


def _rows_by_place(root: Path, scans: Path) -> dict[Path, ScanRow]:
    rows: dict[Path, ScanRow] = {}
    for row in read_scans(scans):
        if row.path is None:
            raise TableError(
                f"scan {row.scan_id!r} has no path",
                mend="say where it lies, relative to the source, in the column `path`",
                where=scans.name,
            )
        place, beside_table = real_path(root / row.path), real_path(scans.parent / row.path)
        if not leads_somewhere(place) and leads_somewhere(beside_table):
            place = beside_table
        if place in rows:
            raise TableError(
                f"scans {rows[place].scan_id!r} and {row.scan_id!r} name the same file",
                mend="give each scan its own file or folder",
                where=scans.name,
            )
        rows[place] = row
    return rows
