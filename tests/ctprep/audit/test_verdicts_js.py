"""The script that keeps verdicts and writes the judge's file, run by node where there is one."""

import json
from pathlib import Path

from ctprep.audit.judgements import read_judgements
from ctprep.audit.score import score_tables
from tests.ctprep.audit.node import evaluate
from tests.ctprep.audit.tables import FIRST, write_table
from tests.ctprep.audit.verdicts_files import PAGE, hash_text


def test_clicks_and_keys() -> None:
    """A click says the opposite, and takes it back; of a disagreement it goes through both.

    A key says one thing, and takes it back; what was decided anyway needs no mark.
    """
    told = evaluate(
        '[[["keep"], ["keep", "drop"], ["drop"], ["split"], ["split", "keep"], ["split", "drop"],'
        ' ["drop", "unsure"]].map((a) => Verdicts.next(...a) ?? ""),'
        ' [["keep", undefined, "drop"], ["keep", "drop", "drop"], ["keep", "drop", "keep"],'
        ' ["split", "keep", "drop"], ["drop", undefined, "unsure"]]'
        '.map((a) => Verdicts.choose(...a) ?? "")]'
    )

    assert told[0] == ["drop", "", "keep", "keep", "drop", "", ""]
    assert told[1] == ["drop", "", "", "drop", "unsure"]


def test_disagreements_are_to_be_settled() -> None:
    """A verdict or "unsure" settles one."""
    told = evaluate(
        "[{}, {0: 'drop'}, {0: 'unsure'}].map((m) => Verdicts.unsettled(REPORTS[0], m))"
    )

    assert told == [["0"], [], []]


def test_time_and_progress() -> None:
    """A long pause counts as a minute, a clock set back as nothing."""
    told = evaluate(
        "[Verdicts.spent(1000, 7200), Verdicts.spent(0, 3600000), Verdicts.spent(5000, 0),"
        " Verdicts.progress(100, {a: {done: true, seconds: 5}, b: {done: true, seconds: 7.4},"
        " c: {done: false, seconds: 90}}), Verdicts.progress(3, {})]"
    )

    assert told == [6.2, 60, 0, "2 of 100 judged, 6.2 s a report", "0 of 3 judged"]


def test_initials() -> None:
    """Hold nothing that a table or a file name could trip over."""
    assert evaluate("Verdicts.tidyInitials('=A,\"B\\n/../é_1')") == "AB.._1"


def test_the_saved_file_is_read_back_and_scored(tmp_path: Path) -> None:
    """Judged reports alone, every sentence of them, and the very columns that Python reads."""
    given = {
        "b": {"done": True, "seconds": 6.25, "marks": {"0": "drop", "2": "unsure"}},
        "c": {"done": True, "seconds": 2, "marks": {}},
        "other": {"done": True, "seconds": 1, "marks": {}},
    }
    csv = evaluate(f'Verdicts.toCsv("{PAGE}", "all", "AB", REPORTS, {json.dumps(given)})')
    path = tmp_path / "j.csv"
    path.write_text(csv)

    first, second = read_judgements([path])
    (score,) = score_tables([write_table(tmp_path / "t.parquet", FIRST)], [path]).scores

    assert csv.splitlines()[1] == f"{PAGE},all,b,{hash_text('b')},,corrected,AB,6.3"
    assert f"{hash_text('c')},,right,AB,2.0" in csv
    assert (first.scan_id, first.verdicts) == ("b", {0: "drop", 1: "drop", 2: "unsure"})
    assert (second.scan_id, second.verdicts) == ("c", {0: "keep", 1: "drop"})
    assert (score.precision.hits, score.precision.total) == (1, 2)


def test_reports_that_were_not_finished_are_not_saved() -> None:
    """Marks without a last word on the report are not its judgement."""
    given = {"c": {"done": False, "seconds": 2, "marks": {"0": "drop"}}}

    csv = evaluate(f'Verdicts.toCsv("{PAGE}", "all", "AB", REPORTS, {json.dumps(given)})')

    assert csv.count("\n") == 1
