"""A data set, asked about each scan: what it is called, whose it is, what its table says."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ctprep.metadata import MetadataRow, MetadataTable, read_metadata
from ctprep.orientation import axis_codes
from ctprep.sources import npz, pictures
from ctprep.sources.source import Found
from ctprep.sources.table_geometry import TableGeometry
from ctprep.store.columns import to_scan_id
from ctprep.store.errors import SourceError, TableError
from ctprep.store.manifest import DatasetManifest, load_manifest

RESCALE_INCOMPLETE = "rescale-incomplete"
NOT_LISTED_MEND = "the metadata table does not list it: taken without what it would say"


@dataclass(frozen=True)
class TableFacts:
    """What a scan takes from the table of its data set.

    Args:
        row: its row; None where it has none, or where there is no table.
        axis_codes: of an array whose header tells none.
        is_unlisted: whether there is a table which has no row for it.
    """

    row: MetadataRow | None = None
    axis_codes: str | None = None
    is_unlisted: bool = False

    @property
    def slope(self) -> float:
        """HU per stored value; 1 unless the table tells all of the rescale."""
        told = self.row is not None and self.row.has_rescale and self.row.slope
        return told or 1.0

    @property
    def intercept(self) -> float:
        """HU of the stored value 0."""
        told = self.row is not None and self.row.has_rescale and self.row.intercept
        return told or 0.0

    @property
    def geometry(self) -> TableGeometry | None:
        """Spacing by the table, axes by the data set's rule."""
        return None if self.row is None else TableGeometry(self.row.spacing_mm, self.axis_codes)

    @property
    def acquisition(self) -> dict[str, str | float]:
        """The table's allow-listed facts."""
        return {} if self.row is None else dict(self.row.facts)

    @property
    def parameters(self) -> dict[str, str | float]:
        """What of this determines a stored volume."""
        if self.row is None or not self.row.parameters:
            return {}
        axes = {} if self.axis_codes is None else {"table_axes": self.axis_codes}
        return {**self.row.parameters, **axes}

    @property
    def verdicts(self) -> tuple[str, ...]:
        """What to be warned of."""
        row = self.row
        halved = row is not None and (row.slope is None) != (row.intercept is None)
        return (RESCALE_INCOMPLETE,) if halved else ()

    @property
    def mends(self) -> tuple[str, ...]:
        """What was put right."""
        if self.is_unlisted:
            return (NOT_LISTED_MEND,)
        if self.row is not None and self.row.failed:
            return (f"the metadata table calls it {self.row.failed!r}: taken nevertheless",)
        return ()


class Dataset:
    """The rules of a data set and the metadata table of its volumes.

    Args:
        manifest: of the data set.
        table: None where there is none.
        tolerant: take scans that the table does not list.
    """

    def __init__(
        self, manifest: DatasetManifest, table: MetadataTable | None, *, tolerant: bool
    ) -> None:
        self.manifest = manifest
        self._has_table = table is not None
        self._rows: Mapping[str, MetadataRow] = {} if table is None else table.rows
        self._tolerant = tolerant
        self._met: set[str] = set()

    @property
    def gives_geometry(self) -> bool:
        """Whether a file without geometry may find it here."""
        return self._has_table and self.manifest.axes.fallback_axis_codes is not None

    def name(self, found: Found) -> tuple[str, str] | None:
        """Give scan id and patient by the data set's names; None where they are of another form.

        Args:
            found: any scan.
        """
        file_id = _file_id(found)
        if file_id is None:
            return None
        row = self._rows.get(file_id)
        scan_id = file_id if row is None else row.scan_id
        patient_id = self.manifest.patient_of(scan_id)
        return None if patient_id is None else (scan_id, patient_id)

    def facts(self, found: Found) -> TableFacts | None:
        """Give what the table says of a scan, and count it as met.

        Args:
            found: any scan.

        Returns:
            None where there is no table.

        Raises:
            SourceError: `not-listed`, or `listed-as-failed`, unless tolerant.
        """
        if not self._has_table:
            return None
        file_id = _file_id(found)
        row = None if file_id is None else self._rows.get(file_id)
        if file_id is not None:
            self._met.add(file_id)
        codes = self.manifest.axes.fallback_axis_codes
        if row is None and not self._tolerant:
            raise SourceError(
                "the metadata table does not list it",
                verdict="not-listed",
                mend="add its row, move it out of the source, or pass --tolerant",
                where=found.name,
            )
        if row is not None and row.failed and not self._tolerant:
            raise SourceError(
                f"the metadata table calls it {row.failed!r}",
                verdict="listed-as-failed",
                mend="move it out of the source, or pass --tolerant",
                where=found.name,
            )
        return TableFacts(row, codes, is_unlisted=row is None)

    def listed(self, name: str) -> str | None:
        """Give the scan id of a listed file that yielded no scan, and count it as met.

        Args:
            name: path relative to the source.
        """
        file_id = _slug(PurePosixPath(name).name)
        row = self._rows.get(file_id or "")
        if row is None or file_id is None:
            return None
        self._met.add(file_id)
        return row.scan_id

    def absent(self) -> Iterator[MetadataRow]:
        """Yield the rows for which no file was found, once all is named."""
        for file_id, row in self._rows.items():
            if file_id not in self._met and not row.failed:
                yield row


def load_dataset(
    name_or_path: str | None, metadata: Path | None, *, tolerant: bool = False
) -> Dataset | None:
    """Find a data set and read its table.

    Args:
        name_or_path: a name such as `ct_rate`, a manifest of the user's own, or None.
        metadata: its metadata table, which by its columns names the data set too; or None.
        tolerant: take scans that the table does not list.

    Returns:
        None where neither is given.

    Raises:
        TableError: no such data set, or the table breaks its schema.
    """
    manifest = None if name_or_path is None else load_manifest(name_or_path)
    table = None if metadata is None else read_metadata(metadata, manifest)
    manifest = table.manifest if table is not None else manifest
    if manifest is None:
        return None
    _check_fixed_axes(manifest)
    return Dataset(manifest, table, tolerant=tolerant)


def _check_fixed_axes(manifest: DatasetManifest) -> None:
    axes = manifest.axes
    codes, spacing_mm = axis_codes(npz.AFFINE_RAS), (npz.SPACING_MM,) * 3
    if axes.orientation == "fixed" and (axes.axis_codes, axes.spacing_mm) != (codes, spacing_mm):
        raise TableError(
            f"NPZ files are read as {codes}, {spacing_mm} mm, not as "
            f"{axes.axis_codes}, {axes.spacing_mm} mm",
            mend="convert the volumes to NIfTI with their geometry",
            where=manifest.name,
        )


def _file_id(found: Found) -> str | None:
    if found.format == "dicom":
        return None
    is_stack = found.format == pictures.FORMAT
    return _slug(found.key if is_stack else found.paths[0].basename)


def _slug(name: str) -> str | None:
    try:
        return to_scan_id(name)
    except TableError:
        return None
