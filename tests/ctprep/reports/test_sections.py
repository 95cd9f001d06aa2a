"""Headings part a report; a word that merely looks like one does not."""

import pytest

from ctprep.reports.filter import join_text
from ctprep.reports.identifiers.scrub import scrub
from ctprep.reports.reading.sections import find_sections
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
