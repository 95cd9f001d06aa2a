"""What judges said of sentences, read back from the files that a page saves."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from ctprep.audit.only import Only
from ctprep.store.columns import (
    SCAN_ID_PATTERN,
    check_columns,
    check_faults,
    read_text_table,
    text_column,
)
from ctprep.store.errors import TableError, located

COLUMNS = ("page", "only", "scan_id", "text", "sentence", "verdict", "judge", "seconds")
"""Of a judge's file, as `verdicts.js` writes them."""
_PATTERNS = {
    "page": r"[0-9a-f]{16}",
    "only": "|".join(get_args(Only)),
    "scan_id": SCAN_ID_PATTERN,
    "text": r"[0-9a-f]{16}",
    "judge": r"[A-Za-z0-9_.]{1,16}",
}
_REPORT = {"verdict": r"right|corrected", "seconds": r"\d{1,7}(\.\d+)?"}
_SENTENCE = {"sentence": r"\d{1,6}", "verdict": r"keep|drop|unsure", "seconds": ""}
_MEANT = {
    "only": f", one of {', '.join(get_args(Only))}",
    "verdict": ", one of right and corrected of a report, keep, drop and unsure of a sentence",
}
_MEND = "give a file as the page saved it, not as a spreadsheet saved it again"


@dataclass(frozen=True)
class JudgedReport:
    """What one judge said of one report."""

    judge: str
    page: str
    """Name of the page that it was judged on."""
    only: str
    """Which reports that page was drawn from."""
    scan_id: str
    text_hash: str
    seconds: float
    verdicts: Mapping[int, str]
    """Of each sentence, all of them: ought to be `keep`, `drop`, or the judge is `unsure`."""


def read_judgements(paths: Sequence[Path]) -> list[JudgedReport]:
    """Read the files of one or more judges.

    Args:
        paths: CSV files that pages saved; a file that was saved twice counts once.

    Returns:
        The judged reports, by judge and scan id.

    Raises:
        TableError: a file is no such file or is cut off, or one judge contradicts himself.
    """
    found: dict[tuple[str, str], JudgedReport] = {}
    for path in paths:
        with located(path.name):
            for report in _read(path):
                place = (report.judge, report.scan_id)
                first = found.setdefault(place, report)
                if (first.text_hash, first.verdicts) != (report.text_hash, report.verdicts):
                    raise TableError(
                        f"judge {report.judge!r} says two things of {report.scan_id!r}",
                        mend="give the later file alone; two judges need two names",
                    )
    if not found:
        raise TableError("no report was judged", mend="judge some on the page, and save again")
    return [found[place] for place in sorted(found)]


def _read(path: Path) -> Iterable[JudgedReport]:
    table = read_text_table(path)
    check_columns(table.column_names, required=COLUMNS, mend=_MEND)
    columns = {name: text_column(table, name) for name in COLUMNS}
    rows = [dict(zip(COLUMNS, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]
    check_faults(
        [fault for number, row in enumerate(rows, 2) for fault in _row_faults(number, row)],
        mend=_MEND,
    )
    groups: dict[tuple[str, str], list[dict[str, str]]] = {}
    for row in rows:
        groups.setdefault((row["judge"], row["scan_id"]), []).append(row)
    return [_gather(group) for group in groups.values()]


def _row_faults(number: int, row: Mapping[str, str]) -> list[str]:
    wanted = {**_PATTERNS, **(_SENTENCE if row["sentence"] else _REPORT)}
    return [
        f"line {number}: {name} is not as a page writes it{_MEANT.get(name, '')}"
        for name, pattern in wanted.items()
        if not re.fullmatch(pattern, row[name])
    ]


def _gather(rows: Sequence[Mapping[str, str]]) -> JudgedReport:
    """Make one report of its rows: one without a number, and one a sentence."""
    first = rows[0]
    whole = [row for row in rows if not row["sentence"]]
    verdicts = {int(row["sentence"]): row["verdict"] for row in rows if row["sentence"]}
    is_one = len({(row["page"], row["only"], row["text"]) for row in rows}) == 1
    is_whole = len(whole) == 1 and sorted(verdicts) == list(range(len(rows) - 1))
    check_faults(
        [] if is_one and is_whole else [f"the rows of {first['scan_id']!r} are no whole report"],
        mend=_MEND,
    )
    return JudgedReport(
        judge=first["judge"],
        page=first["page"],
        only=first["only"],
        scan_id=first["scan_id"],
        text_hash=first["text"],
        seconds=float(whole[0]["seconds"]),
        verdicts=verdicts,
    )
