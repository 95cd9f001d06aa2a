"""The report table: own sentences only, never empty, every report accounted for, restartable."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctprep.reports.backends.cache import AnswerCache
from ctprep.reports.backends.rules_backend import RulesBackend
from ctprep.reports.filter import (
    ANSWERED_BY_RULES,
    NORMAL_SENTENCE,
    NOTHING_ABNORMAL,
    REWRITE_REFUSED,
    REWRITTEN,
    ReportItem,
    filter_batch,
    filter_reports,
    read_sentences,
)
from ctprep.store.errors import TableError
from ctprep.store.tables import RawReport, read_reports

REPORTS = """scan_id,findings,impression
sick,The heart is normal. No effusion. A 4.5 mm nodule is seen.,Lung nodule
well,"Lungs are clear.No effusion or mass is seen.",Normal chest CT.
none,Technique: 120 kV.,
"""


class Scripted:
    """A backend that gives the answers it was told to give, and counts the questions."""

    name, model, prompt_hash = "scripted", "m", "p"

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.asked = 0

    def answer(self, reports: Sequence[Sequence[str]]) -> list[str]:
        """Give the next answers."""
        self.asked += len(reports)
        return [self.answers.pop(0) for _ in reports if self.answers]


class Writing(Scripted):
    """A language model that writes what it was told to write, one report at a time."""

    chunk = 1

    def chat(
        self, mode: str, reports: Sequence[Sequence[str]], wrong: Sequence[str] | None = None
    ) -> Iterator[Mapping[int, str]]:
        """Give the next texts."""
        yield dict(enumerate(self.answer(reports)))


def _table(folder: Path, text: str = REPORTS, name: str = "raw.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def _rows(path: Path) -> dict[str, dict[str, object]]:
    return {row["scan_id"]: row for row in read_reports(path).to_pylist()}


def test_a_placeholder_is_no_report(tmp_path: Path) -> None:
    """Kept, "see above" would be a finding to learn from."""
    table = tmp_path / "raw.csv"
    table.write_text("scan_id,report_text\na,See above.\nb,Emphysema.\n")

    items = list(filter_reports(table, tmp_path / "reports.parquet"))

    assert [item.status for item in items] == ["refused", "filtered"]


def test_worked_example(tmp_path: Path) -> None:
    """By hand: what is kept, what is told absent, what becomes of a normal and an empty report."""
    out = tmp_path / "reports.parquet"

    items = list(filter_reports(_table(tmp_path), out))

    assert items[0] == ReportItem("sick", "filtered", (2, 3), 4)
    assert items[1] == ReportItem("well", "filtered", (), 3, (NOTHING_ABNORMAL,))
    assert (items[2].status, items[2].what) == (
        "refused",
        "the report has no text of findings or impression",
    )
    rows = _rows(out)
    assert rows.keys() == {"sick", "well"}
    assert rows["sick"] == {
        "scan_id": "sick",
        "text_full": "The heart is normal. No effusion. A 4.5 mm nodule is seen.\n\f\nLung nodule",
        "text_positive": "A 4.5 mm nodule is seen. Lung nodule.",
        "text_negative": "No effusion.",
        "kept_sentences": [2, 3],
        "backend": "rules",
        "model": RulesBackend().model,
        "prompt_hash": RulesBackend().prompt_hash,
        "flags": [],
    }
    assert rows["well"]["text_positive"] == NORMAL_SENTENCE
    assert rows["well"]["text_negative"] == "No effusion or mass is seen."
    assert rows["well"]["kept_sentences"] == []


def test_only_findings_and_impression_are_read(tmp_path: Path) -> None:
    """History and technique are never kept, and numbers count all sentences."""
    text = "History: known cancer.\nTechnique: 120 kV.\nFindings: A cyst.\nImpression: Cyst."
    out = tmp_path / "reports.parquet"

    list(filter_reports(_table(tmp_path, f'scan_id,report_text\na,"{text}"\n'), out))

    assert _rows(out)["a"]["text_positive"] == "A cyst. Cyst."
    assert _rows(out)["a"]["kept_sentences"] == [2, 3]


def test_an_impression_is_read_after_findings_that_end_in_technique(tmp_path: Path) -> None:
    """A heading within one column does not swallow the next column."""
    table = _table(tmp_path, 'scan_id,findings,impression\na,"Cyst.\nTechnique: 120 kV.",Tumor\n')
    out = tmp_path / "reports.parquet"

    list(filter_reports(table, out))

    assert _rows(out)["a"]["text_positive"] == "Cyst. Tumor."


@given(st.lists(st.text(alphabet='aN o.;"?()\n1:', max_size=40), min_size=1, max_size=3))
def test_the_output_is_the_sources_own(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str]
) -> None:
    """Every kept sentence is a substring of the source, and no text is empty."""
    cache = AnswerCache(tmp_path_factory.getbasetemp() / "property.jsonl")
    reports = [
        RawReport(str(number), findings=text, impression="A nodule. No mass.")
        for number, text in enumerate(texts)
    ]

    for done in filter_batch(reports, RulesBackend(), cache, NORMAL_SENTENCE):
        row, count = done.row, done.sentence_count
        sentences = [text for text, _ in read_sentences(row.text_full)]
        assert len(sentences) == count
        assert row.text_positive.strip()
        assert list(row.kept_sentences) == sorted(set(row.kept_sentences))
        bodies = [sentences[number].rstrip(" .,;:") for number in row.kept_sentences]
        assert _are_in_order(bodies, row.text_positive)
        assert _are_in_order(bodies, row.text_full)
        for number in row.kept_sentences:
            assert sentences[number] in row.text_full
            assert sentences[number].rstrip(" .,;:") in row.text_positive
        rest = row.text_positive
        for number in row.kept_sentences:
            rest = rest.replace(sentences[number].rstrip(" .,;:"), "", 1)
        assert not any(letter.isalnum() for letter in rest)


def _are_in_order(parts: list[str], text: str) -> bool:
    place = 0
    for part in parts:
        found = text.find(part, place)
        if found < 0:
            return False
        place = found + len(part)
    return True


def test_a_restart_asks_only_what_is_open(tmp_path: Path) -> None:
    """Stopped before the end there is no table; run again, the backend is not asked again."""
    table, out = _table(tmp_path), tmp_path / "reports.parquet"
    first, second = Scripted("[2]", "[]"), Scripted()

    next(filter_reports(table, out, backend=first))
    assert not out.exists()
    list(filter_reports(table, out, backend=second))

    assert (first.asked, second.asked) == (2, 0)
    assert _rows(out)["sick"]["text_positive"] == "A 4.5 mm nodule is seen."


def test_a_report_of_several_scans_is_asked_about_once(tmp_path: Path) -> None:
    """Reconstructions share their report: one question, one answer, a row each."""
    table = _table(tmp_path, "scan_id,report_text\na_1,A cyst.\na_2,A cyst.\nb,Clear.\n")
    out = tmp_path / "reports.parquet"
    backend = Scripted("[0]", "[]")

    list(filter_reports(table, out, backend=backend))

    assert backend.asked == 2
    assert [row["text_positive"] for row in _rows(out).values()] == [
        "A cyst.",
        "A cyst.",
        NORMAL_SENTENCE,
    ]


def test_a_wrong_answer_is_asked_once_more_then_the_rules_decide(tmp_path: Path) -> None:
    """First report: mended at the second asking. Second report: never, so rules and a flag."""
    out = tmp_path / "reports.parquet"
    backend = Scripted("keep the nodule", "[9]", "[3]", "[9]")

    items = list(filter_reports(_table(tmp_path), out, backend=backend))

    assert backend.asked == 4
    assert _rows(out)["sick"]["text_positive"] == "Lung nodule."
    assert _rows(out)["sick"]["flags"] == []
    assert items[1].flags == (NOTHING_ABNORMAL, ANSWERED_BY_RULES)


def test_replies_that_are_too_few_are_not_guessed(tmp_path: Path) -> None:
    """One reply to two questions belongs to neither."""
    out = tmp_path / "reports.parquet"

    list(filter_reports(_table(tmp_path), out, backend=Scripted("[0]")))

    assert all(ANSWERED_BY_RULES in row["flags"] for row in _rows(out).values())
    assert _rows(out)["sick"]["kept_sentences"] == [2, 3]


def test_a_rewrite_is_numbered_like_the_whole_report(tmp_path: Path) -> None:
    """Its sources count sentences of history, too; a restart asks for nothing."""
    text = "History: cancer.\nFindings: The heart is normal. No mass. A cyst is seen."
    table = _table(tmp_path, f'scan_id,report_text\na,"{text}"\nb,A cyst.\n')
    out = tmp_path / "reports.parquet"

    next(filter_reports(table, out, backend=Writing("A cyst."), mode="generative"))
    list(filter_reports(table, out, backend=Writing("Tumor.", "x", "[0]"), mode="generative"))

    first, second = _rows(out)["a"], _rows(out)["b"]
    assert (first["text_positive"], first["kept_sentences"]) == ("A cyst.", [3])
    assert (first["text_negative"], first["flags"]) == ("No mass.", [REWRITTEN])
    assert (second["text_positive"], second["flags"]) == ("A cyst.", [REWRITE_REFUSED])


def test_scan_table_says_which(tmp_path: Path) -> None:
    """Others are told as unlisted, and a listed scan without a report is refused."""
    scans = "scan_id,patient_id,split,path\nsick,p,train,a\nlost,q,test,b\n"
    out = tmp_path / "reports.parquet"

    items = list(
        filter_reports(_table(tmp_path), out, scan_table=_table(tmp_path, scans, "scans.csv"))
    )

    assert [(item.scan_id, item.status) for item in items] == [
        ("sick", "filtered"),
        ("well", "unlisted"),
        ("none", "unlisted"),
        ("lost", "refused"),
    ]
    assert _rows(out).keys() == {"sick"}


def test_reports_of_studies_are_taken_for_their_scans(tmp_path: Path) -> None:
    """One report of an accession and its two reconstructions: written once, nothing refused."""
    raw = "AccessionNo,report_text\n2024/A1,A cyst.\n2024/A2,A nodule.\n"
    scans = "scan_id,patient_id,split,study_id\nx1,p,train,2024/A1\nx2,p,train,2024/A1\n"
    scans += "y,q,train,2024/A3\n"
    out = tmp_path / "reports.parquet"

    items = list(
        filter_reports(
            _table(tmp_path, raw, "raw.csv"), out, scan_table=_table(tmp_path, scans, "scans.csv")
        )
    )

    assert [(item.scan_id, item.status) for item in items] == [
        ("2024-a1", "filtered"),
        ("2024-a2", "unlisted"),
        ("y", "refused"),
    ]
    assert _rows(out).keys() == {"2024-a1"}


def test_a_scan_s_report_is_not_that_of_a_study_spelled_alike(tmp_path: Path) -> None:
    """The scan `x` has no report, whatever the scan `a` has."""
    scans = _table(
        tmp_path, "scan_id,patient_id,split,study_id\nx,p1,train,A\na,p2,train,B\n", "scans.csv"
    )
    raw = _table(tmp_path, "scan_id,report_text\na,Emphysema is seen.\n")

    with pytest.raises(TableError, match="'x' has no row of its own, and its study is"):
        next(filter_reports(raw, tmp_path / "out.parquet", scan_table=scans))


def test_the_normal_sentence_is_configured(tmp_path: Path) -> None:
    """Any sentence but an empty one."""
    out = tmp_path / "reports.parquet"
    list(filter_reports(_table(tmp_path), out, normal_sentence="Nothing."))

    assert _rows(out)["well"]["text_positive"] == "Nothing."
    with pytest.raises(TableError, match="normal sentence is empty"):
        list(filter_reports(_table(tmp_path), out, normal_sentence=" "))


def test_errors(tmp_path: Path) -> None:
    """An unknown backend, and a table that leaves nothing to write."""
    out = tmp_path / "reports.parquet"
    with pytest.raises(TableError, match="no report backend 'magic'"):
        list(filter_reports(_table(tmp_path), out, backend="magic"))
    with pytest.raises(TableError, match="no report was left"):
        list(filter_reports(_table(tmp_path, "scan_id,report_text\na,\n"), out))
    assert not out.exists()


def test_the_cache_holds_no_text(tmp_path: Path) -> None:
    """Answers are hashes and numbers."""
    list(filter_reports(_table(tmp_path), tmp_path / "reports.parquet"))

    text = (tmp_path / "reports.parquet.answers.jsonl").read_text()
    assert "nodule" not in text
    assert len(text.split()) > 1


def test_no_real_report_with_a_label_is_emptied(shared_data: Path, tmp_path: Path) -> None:
    """Translated reports labelled by hand: whoever has a label keeps a sentence."""
    path = shared_data / "reports/01_chest_ct_18_labels/train.csv"
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    # A quarter of them, for time; the benchmark takes all.
    some = tmp_path / "some.csv"
    with some.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows[::4]])
    labelled = {row[0] for row in rows if {"1", "1.0"} & set(row[2:])}

    items = list(filter_reports(some, tmp_path / "reports.parquet"))

    assert len(items) == len(rows[::4])
    assert not [item for item in items if not item.kept_sentences and item.scan_id in labelled]
    kept = sum(len(item.kept_sentences) for item in items)
    assert kept < 0.6 * sum(item.sentence_count for item in items)
