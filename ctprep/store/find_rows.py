"""Which row of another table speaks of a scan: its own, else its study's."""

from collections.abc import Collection, Mapping

from ctprep.store.columns import check_faults, study_key


def find_rows(study_of: Mapping[str, str | None], names: Collection[str]) -> dict[str, str]:
    """Find the row of another table that speaks of each scan: its own, else its study's.

    Args:
        study_of: study by scan id, None where it is not known. Of all scans that are known, also
            of those whose rows are not wanted: a study may be spelled like one of them.
        names: of the rows: scan ids, or studies in their form.

    Returns:
        Name of the row by scan id, where there is one.

    Raises:
        TableError: a scan has no row of its own, and that of its study may be of another scan or
            study (`find_doubtful`).
    """
    found: dict[str, str] = {}
    by_study: dict[str, str] = {}
    for scan_id, study in study_of.items():
        key = None if study is None else study_key(study)
        if scan_id in names:
            found[scan_id] = scan_id
        elif key is not None and key in names:
            by_study[scan_id] = found[scan_id] = key
    doubtful = find_doubtful(study_of) if by_study else {}
    check_faults(
        [
            # Studies as a hospital spells them are numbers of its own, and stay untold.
            f"scan {scan_id!r} has no row of its own, and its study is spelled as the row {key!r} "
            f"is, which may not be of it: {doubtful[key]}"
            for scan_id, key in by_study.items()
            if key in doubtful
        ],
        mend="give the scan a row of its own, or the study another study_id; scans of one study "
        "need the same study_id",
    )
    return found


def find_doubtful(study_of: Mapping[str, str | None]) -> dict[str, str]:
    """Find the studies whose rows, by their name alone, may be of something else.

    Args:
        study_of: study by scan id, None where it is not known.

    Returns:
        Why, by study in the form of a scan id: it is the id of a scan of another study, or of
        none that is known, or two studies have this form.
    """
    spelled: dict[str, list[str]] = {}
    for study in dict.fromkeys(study_of.values()):
        if study is not None:
            spelled.setdefault(study_key(study), []).append(study)
    doubtful = {}
    for key, studies in spelled.items():
        if len(studies) > 1:
            doubtful[key] = f"{len(studies)} studies are {key!r} there"
        elif key in study_of and study_of[key] != studies[0]:
            own = study_of[key]
            told = "of no known study" if own is None else "of another study"
            doubtful[key] = f"it is the id of scan {key!r}, {told}"
    return doubtful
