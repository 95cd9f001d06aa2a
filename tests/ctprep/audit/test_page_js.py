"""What a judge does on the page, and what comes of it; in a browser made of as little as it needs.

Report b has a disagreement (0), a dropped (1) and a kept (2) sentence; c a kept and a dropped one.
"""

import json
from pathlib import Path

from ctprep.audit.judgements import read_judgements
from tests.ctprep.audit.node import use_page
from tests.ctprep.audit.verdicts_files import PAGE

KEY = f"ctprep-audit-{PAGE}"


def test_a_disagreement_is_asked_about_before_a_report_counts() -> None:
    """Enter goes to it and says so; settled, Enter goes on to the next report."""
    asked = use_page(["ArrowDown", "Enter"])
    settled = use_page(["ArrowDown", "Enter", "d", "Enter"])

    assert (asked["current"], asked["focus"], asked["judged"]) == (0, "0", [False, False])
    assert asked["notice"].startswith("The tables disagree about sentence 0")
    assert (settled["current"], settled["judged"][0]) == (1, True)
    assert settled["verdicts"][0] == ["ought to be dropped", "", ""]


def test_marks_by_key_and_click() -> None:
    """Wrongly kept and wrongly dropped, unsure, and back."""
    told = use_page(["click:1", "ArrowDown", " ", "n", "x", "ArrowDown", "u", "p"])

    assert told["verdicts"] == [["", "wrongly dropped", "wrongly kept"], ["wrongly kept", "unsure"]]
    assert use_page(["click:1", "x"])["verdicts"][0] == ["", "", ""]


def test_a_judged_report_with_its_disagreement_open_again_counts_no_more() -> None:
    """Else the file would have a sentence without a verdict."""
    told = use_page(["k", "Enter", "p", "k"])

    assert told["judged"] == [False, False]


def test_seconds_and_progress() -> None:
    """Each report has its own time, and none after it was judged."""
    told = use_page(["wait:4", "k", "Enter", "wait:8", "Enter", "wait:30", "p", "wait:30", "n"])

    assert told["progress"] == "report 2; 2 of 2 judged, 6.0 s a report"


def test_the_saved_file(tmp_path: Path) -> None:
    """Asks for initials, then has what was judged, by them."""
    steps = ["wait:5", "k", "Enter", "press:save"]
    nameless = use_page(steps)
    told = use_page([*steps, "name:A, B", "press:save"])
    path = tmp_path / "j.csv"
    path.write_text(told["csv"])

    assert (nameless["csv"], nameless["notice"]) == (None, "Enter your initials first.")
    assert told["name"] == f"judgements-{PAGE}-AB.csv"
    (report,) = read_judgements([path])
    assert (report.judge, report.seconds) == ("AB", 5.0)
    assert report.verdicts == {0: "keep", 1: "drop", 2: "keep"}


def test_verdicts_are_remembered() -> None:
    """A page that is opened again is as it was, at the first report that is not judged."""
    before = use_page(["name:AB", "k", "Enter", "x"])
    assert list(before["memory"]) == [KEY]

    after = use_page([], stored=before["memory"])

    assert after["current"] == 1
    assert after["verdicts"] == [["ought to be kept", "", ""], ["wrongly kept", ""]]
    assert after["progress"].startswith("report 2; 1 of 2 judged")


def test_two_judges_in_one_browser() -> None:
    """The second begins anew; the first finds his verdicts again."""
    second = use_page(["k", "name:AB", "name:CD", "ArrowDown", "x"])
    first = use_page(["name:AB"], stored=second["memory"])

    assert second["verdicts"][0] == ["", "wrongly dropped", ""]
    assert set(json.loads(second["memory"][KEY])["judges"]) == {"AB", "CD"}
    assert first["verdicts"][0] == ["ought to be kept", "", ""]


def test_a_browser_that_remembers_nothing() -> None:
    """Is told of, and the page works all the same."""
    told = use_page(["k", "Enter", "name:AB", "press:save"], can_store=False)

    assert told["notice"].startswith("This browser keeps nothing")
    assert told["csv"].count("\n") == 5


def test_damaged_memory() -> None:
    """Does not keep the page from opening."""
    assert use_page(["k"], stored={KEY: "{"})["verdicts"][0][0] == "ought to be kept"


def test_what_is_shown() -> None:
    """Flagged, with disagreements, not judged, marked: the keys go through these alone."""
    assert use_page(["show:flagged"])["current"] == 1
    assert use_page(["show:split", "n"])["notice"] == "This is the last one shown."
    assert use_page(["k", "Enter", "show:open", "p"])["current"] == 1
    assert use_page(["show:marked"])["notice"] == "There is none to show."
    done = use_page(["k", "Enter", "Enter"])
    assert done["notice"] == "All that are shown are judged. Save the verdicts."


def test_the_next_disagreement() -> None:
    """Within the report, then in the others."""
    assert use_page(["n", "g"])["current"] == 0
    assert use_page(["ArrowDown", "g"])["focus"] == "0"
