"""Headings part a report; a word that merely looks like one does not."""

from ctprep.reports.reading.sections import find_sections


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
