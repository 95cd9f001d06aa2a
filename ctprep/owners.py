"""Whose each scan is, and of which study: by the store, by names, or by a table."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from ctprep.store.columns import (
    check_columns,
    check_faults,
    check_no_numbers,
    patient_key,
    read_text_table,
    text_column,
)
from ctprep.store.errors import TableError, located
from ctprep.store.find_rows import find_rows
from ctprep.store.manifest import DatasetManifest, load_manifest
from ctprep.store.tables import scan_id_column

SHOWN = 3
PATIENT_COLUMNS = ("patient_id", "MRN_DEID")
"""Ours, and that of RAD-ChestCT's metadata table."""


@dataclass(frozen=True)
class Owner:
    """The patient of a scan, and its study where that is known."""

    patient_id: str
    study_id: str | None = None


Owners = Mapping[str, Owner]
"""By scan id."""


def owners_by_catalog(catalog: pa.Table) -> dict[str, Owner]:
    """Take the patients that the store has.

    Args:
        catalog: of the store, which knows no studies.

    Raises:
        TableError: the ids are those of CT-RATE, and the store parts its patients.
    """
    columns = (catalog.column(name).to_pylist() for name in ("scan_id", "patient_id"))
    owners = {scan_id: Owner(patient) for scan_id, patient in zip(*columns, strict=True)}
    _check_owners(owners)
    _check_known_names(owners)
    return owners


def owners_by_names(manifest: DatasetManifest, scan_ids: Collection[str]) -> dict[str, Owner]:
    """Read patients and studies from scan ids.

    Args:
        manifest: of the data set whose names they are.
        scan_ids: of the store.

    Raises:
        TableError: the data set's names tell no patient, or ids are of another form.
    """
    if manifest.patient_pattern is None:
        raise TableError(
            f"the names of {manifest.title} tell no patient",
            mend="give a table of scans and patients",
            where=manifest.name,
        )
    owners = _named(manifest, scan_ids)
    others = sorted(set(scan_ids) - owners.keys())
    if others:
        raise TableError(
            f"{len(others)} scan ids are not of the form of the names of {manifest.title}, such as "
            f"{', '.join(others[:SHOWN])}",
            mend="name the data set that they are of, or give a table of scans and patients",
        )
    return owners


def owners_by_table(path: Path, scan_ids: Collection[str]) -> dict[str, Owner]:
    """Read patients and studies from a table, such as a hospital has.

    Args:
        path: CSV or Parquet with a column that names the scan (`ID_COLUMNS`), `patient_id` (or
            RAD-ChestCT's `MRN_DEID`), and `study_id` where several scans are of one study; other
            columns are ignored.
        scan_ids: of the store; other rows are left out.

    Raises:
        TableError: a column, a patient or the row of a scan is missing, or a study is of two
            patients.
    """
    with located(path.name):
        table = read_text_table(path)
        _, names = scan_id_column(table)
        column = next(
            (name for name in PATIENT_COLUMNS if name in table.column_names), "patient_id"
        )
        check_columns(table.column_names, required=(column,), extra_allowed=True)
        patients = text_column(table, column)
        check_no_numbers(column, patients)
        studies = [""] * table.num_rows
        if "study_id" in table.column_names:
            studies = text_column(table, "study_id")
        rows = zip(names, patients, studies, strict=True)
        owners = {
            name: Owner(patient, study or None) for name, patient, study in rows if name in scan_ids
        }
        _check_owners(owners)
        absent = sorted(set(scan_ids) - owners.keys())
        if absent:
            raise TableError(
                f"{len(absent)} scans of the store have no row, such as "
                f"{', '.join(absent[:SHOWN])}; the table has {', '.join(sorted(names)[:SHOWN])}",
                mend="add their rows, with scan ids as the store has them",
            )
    return owners


def rows_of(owners: Owners, names: Collection[str]) -> dict[str, str]:
    """Find the row of another table that speaks of each scan: its own, else its study's.

    Args:
        owners: of all scans.
        names: of the rows, as `to_scan_id` makes them.

    Returns:
        Name of the row by scan id, where there is one.

    Raises:
        TableError: the row of a study may be that of another scan (`find_rows`).
    """
    return find_rows({scan_id: owner.study_id for scan_id, owner in owners.items()}, names)


def _named(manifest: DatasetManifest, scan_ids: Collection[str]) -> dict[str, Owner]:
    found = {}
    for scan_id in scan_ids:
        patient, study = manifest.patient_of(scan_id), manifest.study_of(scan_id)
        if patient is not None and (study is not None or manifest.study_pattern is None):
            found[scan_id] = Owner(patient, study)
    return found


def _check_known_names(owners: Owners) -> None:
    # Files that were ingested without --dataset have a patient each: reconstructions of one scan
    # would be on two sides.
    manifest = load_manifest("ct_rate")
    parted: dict[str, set[str]] = {}
    for scan_id, named in _named(manifest, owners.keys()).items():
        parted.setdefault(named.patient_id, set()).add(owners[scan_id].patient_id)
    count = sum(len(patients) > 1 for patients in parted.values())
    if count:
        raise TableError(
            f"scan ids are those of {manifest.title}, and the store takes {count} of its patients "
            "for several",
            mend="pass --dataset ct_rate; where the names mean something else, tell the patients "
            "by --patients",
        )


def _check_owners(owners: Owners) -> None:
    """Refuse patients that are missing or spelled in two ways, and studies of two patients."""
    faults = []
    first_of: dict[str, tuple[str, str]] = {}
    of_study: dict[str, tuple[str, str]] = {}
    for scan_id, owner in owners.items():
        patient = owner.patient_id
        if not patient:
            faults.append(f"scan {scan_id!r} has no patient_id")
            continue
        first, spelled = first_of.setdefault(patient_key(patient), (scan_id, patient))
        if spelled != patient:
            faults.append(f"scans {first!r} and {scan_id!r} spell one patient in two ways")
        if owner.study_id is not None:
            first, other = of_study.setdefault(owner.study_id, (scan_id, patient))
            if other != patient:
                faults.append(f"scans {first!r} and {scan_id!r} are of one study and two patients")
    check_faults(faults, mend="give every scan its patient, each always spelled alike")
