"""Names, dates, numbers and addresses go; eponyms, measures and findings stay."""

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ctprep.reports.backends.backend import in_order
from ctprep.reports.filter import filter_reports, read_sentences
from ctprep.reports.identifiers.scrub import PLACEHOLDER, scrub
from ctprep.reports.labels.label_rules import label_sentences, read_label_rules
from ctprep.reports.reading.language import Rules, read_rules
from ctprep.reports.reading.rules import judge
from ctprep.store.tables import read_reports

LINES = Path(__file__).parent / "identifier_lines"
_PLANTED = re.compile(r"\{(\w+)\|([^}]*)\}")


def read_lines(name: str) -> list[str]:
    """Read the lines of a file that are no remarks, with their line breaks."""
    lines = (LINES / name).read_text(encoding="utf-8").splitlines()
    return [line.replace("\\n", "\n") for line in lines if line and not line.startswith("#")]


PLANTED = [line for line in read_lines("planted.txt") if not line.startswith("? ")]
MISSED = [line[2:] for line in read_lines("planted.txt") if line.startswith("? ")]
CLEAN = read_lines("clean.txt")

FINDINGS = [
    "A 5 mm nodule is seen in the right upper lobe",
    "Bilateral pleural effusion",
    "Possible metastasis in the liver",
    "The lungs are clear",
    "No pleural effusion is seen",
    "Heart size is normal",
]
MARKS = [
    " (Dr. Jane Doe)",
    ", discussed with John Smith",
    ", Dr. Smith, pager 12345",
    " (tel 617-555-0132)",
]


def test_the_lines_are_many() -> None:
    """Rates in docs/report_backends.md are of these."""
    assert len(PLANTED) + len(MISSED) > 300
    assert len(CLEAN) > 250


@pytest.mark.parametrize("line", PLANTED)
def test_identifiers_go(line: str) -> None:
    """Each planted identifier is replaced whole and counted by its kind, and nothing else is."""
    scrubbed = scrub(_PLANTED.sub(r"\2", line))

    assert scrubbed.text == _PLANTED.sub(PLACEHOLDER, line)
    assert scrubbed.counts == Counter(kind for kind, _ in _PLANTED.findall(line))


@pytest.mark.parametrize("line", MISSED)
def test_what_is_missed_is_told(line: str) -> None:
    """A line that is no miss any more belongs to the others, and so in the rates."""
    assert scrub(_PLANTED.sub(r"\2", line)).text != _PLANTED.sub(PLACEHOLDER, line)


@pytest.mark.parametrize("line", CLEAN)
def test_medicine_stays(line: str) -> None:
    """Not a letter is changed."""
    scrubbed = scrub(line)

    assert scrubbed.text == line
    assert scrubbed.counts == {}


def test_clean_lines_stay_in_one_report() -> None:
    """What stands on the lines around makes no name of a finding."""
    text = "\n".join(line for line in CLEAN if line not in ("Kind regards", "Sincerely"))

    assert scrub(text).text == text


def test_counts() -> None:
    """By kind."""
    text = (
        "Dr. Doe, 12.03.2019, 13.03.2019, MRN 12345, tel 555-123-4567, a@b.de, a 93-year-old man,"
        " Lakeview Hospital"
    )

    assert scrub(text).counts == {
        "address": 1,
        "age": 1,
        "date": 2,
        "hospital": 1,
        "name": 1,
        "number": 1,
        "phone": 1,
    }


def test_a_mark_counts_once() -> None:
    """What was scrubbed before is not counted again, nor joined with what stands beside it."""
    scrubbed = scrub("Dr. XXXX was told. Dr. Smith XXXX at XXXX, Boston, MA 02115")

    assert scrubbed.text == "Dr. XXXX was told. Dr. XXXX XXXX at XXXX, XXXX"
    assert scrubbed.counts == {"address": 1, "name": 1}


def test_planted_lines_are_scrubbed_once() -> None:
    """Running it again takes out nothing more."""
    for line in (*PLANTED, *MISSED):
        once = scrub(_PLANTED.sub(r"\2", line)).text

        assert scrub(once).text == once


@given(st.text(alphabet="Dr. MRN:12/3ab\n,AZé@+-", max_size=60))
@example("Dr. John John, John MD, MD 02115 12.03.2019")
def test_twice_is_once(text: str) -> None:
    """A scrubbed text is scrubbed, and each mark is counted."""
    scrubbed = scrub(text)

    assert scrub(scrubbed.text).text == scrubbed.text
    assert sum(scrubbed.counts.values()) == scrubbed.text.count(PLACEHOLDER)


@given(
    st.lists(st.sampled_from([line for line in (*PLANTED, *CLEAN) if "\n" not in line]), max_size=6)
)
def test_lines_together_are_scrubbed_once(lines: list[str]) -> None:
    """So is a report of any of the lines."""
    once = scrub(_PLANTED.sub(r"\2", "\n".join(lines)))

    assert scrub(once.text).counts == {}


@pytest.mark.parametrize(
    "part", ["-", "a-", " ", "1 ", "A-", "ID 1", "May 1", "room 1", "1/", "12345 ", "Dr. ", ": "]
)
def test_odd_texts_take_no_minutes(part: str) -> None:
    """A search that takes the square of the length would take minutes here."""
    text = part * (5000 // len(part))

    assert scrub(scrub(text).text).counts == {}


def test_accents_behind_their_letters() -> None:
    """Some systems write an accent as a letter of its own; capital İ becomes two in small."""
    assert scrub("Dr. Mu\u0308ller-Lu\u0308denscheidt called").text == "Dr. XXXX called"
    assert scrub("İİİİ Dr. İnönü was told on 12.03.2019").text.endswith("XXXX was told on XXXX")


def test_blanks_and_line_breaks_of_other_systems() -> None:
    """Blanks that do not break, and line breaks of Windows, stay as they are."""
    assert scrub("Signed by:\u00a0John\u00a0Smith").text == "Signed by:\u00a0XXXX"
    assert scrub("on\u202f12.\u00a003.\u00a02019").text == "on\u202fXXXX"
    assert scrub("No effusion.\r\nJS/mk\r\n").text == "No effusion.\r\nXXXX\r\n"


@pytest.mark.parametrize("finding", FINDINGS)
def test_marks_change_no_decision(finding: str) -> None:
    """A sentence with a mark is judged as without it, so none is dropped for what it lost."""
    rules = read_rules()
    expected = judge(finding, rules).is_normal

    assert judge(f"{finding} {PLACEHOLDER}", rules).is_normal == expected
    assert judge(f"{PLACEHOLDER}, {finding}", rules).is_normal == expected
    for mark in MARKS:
        assert PLACEHOLDER in scrub(finding + mark).text
        assert not judge(scrub(finding + mark).text, rules).is_normal or expected


class Recorder:
    """A chat model that remembers what it is asked, and never answers rightly."""

    name, model, prompt_hash, chunk = "recorder", "m", "p", 8

    def __init__(self) -> None:
        self.asked: list[str] = []

    def answer(self, reports: Sequence[Sequence[str]]) -> list[str]:
        """Answer with all."""
        return in_order(self.chat("extractive", reports), len(reports))

    def chat(
        self, mode: str, reports: Sequence[Sequence[str]], wrong: Sequence[str] | None = None
    ) -> Iterator[dict[int, str]]:
        """Answer with the last sentence: a rewrite, and no list of numbers."""
        self.asked += [sentence for report in reports for sentence in report]
        self.asked += wrong or []
        for place, report in enumerate(reports):
            yield {place: report[-1] if mode == "generative" else "?"}


def test_nothing_leaves_before_it_is_scrubbed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Questions, caches, table, log and items of both modes hold no planted identifier."""
    lines = [line for line in PLANTED if not _PLANTED.search(line)[2].isdigit()][::6]
    table = tmp_path / "reports.csv"
    with table.open("w", encoding="utf-8", newline="") as file:
        rows = [[f"r{number}", _PLANTED.sub(r"\2", line)] for number, line in enumerate(lines)]
        csv.writer(file).writerows([["scan_id", "report_text"], *rows, ["none", "-"]])
    caplog.set_level("DEBUG")
    seen = []
    for mode in ("extractive", "generative"):
        recorder = Recorder()
        out = tmp_path / mode / "out.parquet"
        out.parent.mkdir()
        items = list(filter_reports(table, out, backend=recorder, mode=mode))
        texts = read_reports(out).to_pylist()
        files = [path.read_text("utf-8") for path in out.parent.glob("*.jsonl")]
        seen += [*recorder.asked, *files, repr(items), *map(repr, texts)]
        assert {item.status for item in items} == {"filtered", "refused"}
    told = "\n".join([*seen, caplog.text])

    for line in lines:
        for _, planted in _PLANTED.findall(line):
            assert len(planted) < 4 or planted not in told


def _read_texts(shared_data: Path) -> list[str]:
    path = shared_data / "reports/01_chest_ct_18_labels/train.csv"
    with path.open(encoding="utf-8", newline="") as file:
        return [row[1] for row in csv.reader(file)][1:]


def test_real_reports_lose_only_dates(shared_data: Path) -> None:
    """Published reports, whose names were taken out before, still tell dates of earlier scans."""
    found = [scrub(text).counts for text in _read_texts(shared_data)[::8]]

    assert {kind for counts in found for kind in counts} == {"date"}
    assert len([counts for counts in found if counts]) > 10


def test_real_reports_lose_no_finding(shared_data: Path) -> None:
    """Labels, and the sentences that are kept, are those of the whole report."""
    rules = read_label_rules()
    changed = 0
    for number, text in enumerate(_read_texts(shared_data)[::10]):
        scrubbed = scrub(text)
        if not scrubbed.counts:
            continue
        before, after = (
            [sentence for sentence, is_read in read_sentences(whole) if is_read]
            for whole in (text, scrubbed.text)
        )
        changed += 1
        assert label_sentences(before, rules) == label_sentences(after, rules), number
        kept = [
            sum(not judge(one, rules.rules).is_normal for one in some) for some in (before, after)
        ]
        assert kept[0] == kept[1], number
    assert changed > 10


def _count_kept(sentences: list[str], rules: Rules) -> int:
    return sum(not judge(sentence, rules).is_normal for sentence in sentences)


def test_real_sentences_lose_nothing(shared_data: Path) -> None:
    """Sentences of the Open-i reports, in which nothing is left to find."""
    path = shared_data / "reports/02_sentences_sick_healthy/openi_count_label_sent.csv"
    with path.open(encoding="utf-8", newline="") as file:
        sentences = [row[2] for row in csv.reader(file)][1:]

    assert [text for text in sentences[::4] if scrub(text).counts] == []
