"""Small filtered tables whose numbers can be counted by hand."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ctprep.reports.filter import NORMAL_SENTENCE, NOTHING_ABNORMAL, join_sentences, read_sentences
from ctprep.store.tables import ReportRow, write_reports

TEXTS = {
    "a": "Technique: 120 kV.\nFindings: A 6 mm nodule. No effusion. The heart is normal.",
    "b": "Findings: A 8 mm nodule. Lungs are clear.\nImpression: Nodule.",
    "c": "Findings: <script>alert(1)</script> & 'scar' <b>. No effusion.",
}
FIRST = {"a": [1], "b": [0, 2], "c": [0]}
SECOND = {"a": [1, 3], "b": [2], "c": []}
"""Of the 8 sentences up for decision both keep 2, the first alone 2, the second alone 1."""


def make_row(scan_id: str, text: str, kept: Sequence[int], **more: object) -> ReportRow:
    """Filter a report by hand."""
    sentences = [sentence for sentence, _ in read_sentences(text)]
    given: dict[str, object] = {
        "scan_id": scan_id,
        "text_full": text,
        "text_positive": join_sentences([sentences[n] for n in kept]) or NORMAL_SENTENCE,
        "text_negative": "",
        "kept_sentences": tuple(kept),
        "backend": "hand",
        "model": "me",
        "prompt_hash": "0123456789abcdef",
        "flags": () if kept else (NOTHING_ABNORMAL,),
    }
    return ReportRow.model_validate({**given, **more})


def write_table(path: Path, kept: Mapping[str, Sequence[int]], **more: object) -> Path:
    """Write a table of the reports above that keeps these sentences."""
    write_reports(path, [make_row(s, TEXTS[s], numbers, **more) for s, numbers in kept.items()])
    return path
