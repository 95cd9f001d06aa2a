"""Which scans are of one study, and so of one report: by a scan table, or by names."""

from collections.abc import Collection
from pathlib import Path

from ctprep.owners import owners_by_names
from ctprep.store.columns import study_key
from ctprep.store.errors import TableError
from ctprep.store.find_rows import find_rows
from ctprep.store.manifest import load_manifest
from ctprep.store.tables import read_scans


def check_studies_told(scan_table: Path | None, dataset: str | None) -> None:
    """Refuse to go on where nothing tells the studies.

    Raises:
        TableError: there is no scan table, and no data set whose names tell them.
    """
    by_names = dataset is not None and load_manifest(dataset).study_pattern is not None
    if scan_table is None and not by_names:
        raise TableError(
            "which reconstructions are of one scan is not known",
            mend="give a scan table with a column study_id, or a data set whose names tell it, "
            "such as ct_rate",
        )


def find_studies(
    names: Collection[str], *, scan_table: Path | None, dataset: str | None = None
) -> dict[str, str | None]:
    """Find the study of each scan.

    Args:
        names: scan ids, or studies, that have reports; they are the scans where no table is.
            None may be a study's that may as well be of another scan.
        scan_table: whose scans are asked for, by its `study_id`.
        dataset: whose names tell the studies that no table does.

    Returns:
        Study by scan id, as it is spelled there; None where it is not known.

    Raises:
        TableError: the scan table is wrong, names are not those of the data set, or the report of
            a study may be that of another scan (`find_rows`).
    """
    manifest = None if dataset is None else load_manifest(dataset)
    if scan_table is None and manifest is not None:
        named = owners_by_names(manifest, names)
        return {scan_id: owner.study_id for scan_id, owner in named.items()}
    studies: dict[str, str | None] = {}
    for row in [] if scan_table is None else read_scans(scan_table):
        by_name = None if manifest is None else manifest.study_of(row.scan_id)
        studies[row.scan_id] = row.study_id or by_name
    find_rows(studies, names)
    return studies


def name_study(scan_id: str, study: str | None) -> str:
    """Name the study of a scan as its row is named; a scan of no known study is its own."""
    return scan_id if study is None else study_key(study)
