"""Headings part a report; a word that merely looks like one does not."""

import pytest

from ctprep.reports.filter import join_text
from ctprep.reports.identifiers.scrub import scrub
from ctprep.reports.labels.labeller import read_findings
from ctprep.reports.reading.language import read_rules
from ctprep.reports.reading.sections import find_sections, is_placeholder, number_sentences
from ctprep.store.tables import RawReport


def _sections(text: str) -> list[tuple[str, str]]:
    return [(s.name, text[s.start : s.stop].strip()) for s in find_sections(text)]


def test_headings_on_lines_and_in_the_run() -> None:
    """Headings on lines of their own, before their text, and in capitals after a full stop."""
    text = (
        "Clinical information: cough\nTECHNIQUE: without contrast\nComparison\nnone\n"
        "FINDINGS: A nodule. A cyst. IMPRESSION: Nodule."
    )

    assert _sections(text) == [
        ("clinical_information", "cough"),
        ("technique", "without contrast"),
        ("comparison", "none"),
        ("findings", "A nodule. A cyst."),
        ("impression", "Nodule."),
    ]


def test_text_before_any_heading_is_findings() -> None:
    """A report without headings is one section."""
    assert _sections("A nodule.") == [("findings", "A nodule.")]
    assert _sections("A nodule.\nConclusion: nodule") == [
        ("findings", "A nodule."),
        ("impression", "nodule"),
    ]
    assert _sections(" \n") == []


def test_other_headings() -> None:
    """What hospitals also write."""
    text = "Clinical indication: cough\nScan technique: 120 kV\nPrior studies: none\nFindings: cyst"

    assert [name for name, _ in _sections(f"{text}\nAssessment: cyst")] == [
        "clinical_information",
        "technique",
        "comparison",
        "findings",
        "impression",
    ]


def test_words_within_a_sentence_are_no_headings() -> None:
    """'findings' and 'history' in a sentence part nothing."""
    text = "No findings: none. In a patient with a history of cough, technique was good."

    assert _sections(text) == [("findings", text)]


def test_a_comparison_without_an_end_hides_no_findings() -> None:
    """Dictated in one line, what follows its first sentence is read; with a heading it is not."""
    text = "Comparison: none. Trachea is open. A nodule."
    headed = "Comparison: none. Not helpful. FINDINGS: A nodule."

    assert _sections(text) == [
        ("comparison", "none."),
        ("findings", "Trachea is open. A nodule."),
    ]
    assert _sections(headed) == [("comparison", "none. Not helpful."), ("findings", "A nodule.")]


@pytest.mark.parametrize(
    ("findings", "impression", "wanted"),
    [
        ("A cyst.", "Cyst.", ["findings: A cyst.", "impression: Cyst."]),
        ("", "Cyst.", ["impression: Cyst."]),
        ("A cyst.", "", ["findings: A cyst."]),
        ("A cyst.", "IMPRESSION: Cyst.", ["findings: A cyst.", "impression: Cyst."]),
        ("A cyst.\nImpression", "Cyst.", ["findings: A cyst.", "impression: Cyst."]),
        ("A\fcyst.", "Cy\fst.", ["findings: A cyst.", "impression: Cy st."]),
        ("A cyst", "Cyst", ["findings: A cyst", "impression: Cyst"]),
        (
            "A cyst.\nTechnique: 120 kV.",
            "Cyst.\nTechnique: 120 kV",
            ["findings: A cyst.", "technique: 120 kV.", "impression: Cyst.", "technique: 120 kV"],
        ),
    ],
)
def test_an_impression_in_a_column_of_its_own(
    findings: str, impression: str, wanted: list[str]
) -> None:
    """It is one without a heading, too; a page break of the source parts nothing."""
    text = join_text(RawReport("a", findings=findings, impression=impression))

    assert [f"{name}: {part}" for name, part in _sections(text)] == wanted
    assert scrub(text).text == text


def test_tokenizers_do_not_see_the_mark() -> None:
    """A text encoder of the BERT kind gets what it got without."""
    normalizers = pytest.importorskip("tokenizers").normalizers
    text = join_text(RawReport("a", findings="A cyst.", impression="Cyst."))

    told = normalizers.BertNormalizer().normalize_str(text)

    assert told.split() == ["a", "cyst.", "cyst."]
    assert "\f" not in told


@pytest.mark.parametrize(
    "text",
    [
        "n/a",
        "N/A.",
        "Report pending.",
        "The final report is not available.",
        "Final report to follow",
        "see above.",
        "See report of accession XXXX.",
        "See report of CT abdomen.",
        "Please refer to addendum",
        "No report available",
        "Exam cancelled.",
        "Findings:\nSee above\nImpression:\nPending",
    ],
)
def test_what_stands_where_no_report_is(text: str) -> None:
    """It is no report of a normal scan, nor a finding."""
    assert _is_placeholder(text)
    assert read_findings(text, read_rules()) == ""


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Normal.",
        "Unremarkable",
        "Negative",
        "Nil acute.",
        "None seen.",
        "No nodule.",
        "Pending fracture.",
        "See report nodule.",
        "See above. There is a nodule.",
        "Nodule. Report pending.",
        "Findings:\nNodule.\nImpression:\nSee above.",
    ],
)
def test_what_says_anything_is_a_report(text: str) -> None:
    """As is one of which a part is elsewhere."""
    assert not _is_placeholder(text)


def _is_placeholder(text: str) -> bool:
    rules = read_rules()
    sentences = [part.text for part in number_sentences(text, rules) if part.is_read]
    return is_placeholder(sentences, rules)
