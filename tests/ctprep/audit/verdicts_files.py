"""Judges' files as a page saves them, written by hand."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ctprep.audit.judgements import COLUMNS
from ctprep.audit.sides import Report
from ctprep.reports.reading.sections import number_sentences
from tests.ctprep.audit.tables import TEXTS, make_row

PAGE = "00112233aabbccdd"


def write_judgements(
    path: Path,
    verdicts: Mapping[str, Sequence[str]],
    *,
    judge: str = "AB",
    seconds: str = "6.0",
    only: str = "all",
) -> Path:
    """Write a file of one judge: of each report the verdict of every sentence."""
    rows = [",".join(COLUMNS)]
    for scan_id, given in verdicts.items():
        text = hash_text(scan_id)
        begin = f"{PAGE},{only},{scan_id},{text}"
        rows.append(f"{begin},,corrected,{judge},{seconds}")
        rows += [f"{begin},{number},{verdict},{judge}," for number, verdict in enumerate(given)]
    path.write_text("\n".join(rows) + "\n")
    return path


def hash_text(scan_id: str) -> str:
    """Name the text of a report as the page does."""
    row = make_row(scan_id, TEXTS[scan_id], [])
    return Report(scan_id, tuple(number_sentences(row.text_full)), (row,)).text_hash
