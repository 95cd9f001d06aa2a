"""Sentences are cut where a reader would cut, and nothing of the report is changed or lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctprep.reports.reading.sentences import split_sentences


def _texts(report: str) -> list[str]:
    return [sentence.text for sentence in split_sentences(report)]


@pytest.mark.parametrize(
    ("report", "sentences"),
    [
        ("One nodule. Two cysts.", ["One nodule.", "Two cysts."]),
        ("One nodule.Two cysts.", ["One nodule.", "Two cysts."]),
        ("Lungs are clear.no effusion.A cyst", ["Lungs are clear.", "no effusion.", "A cyst"]),
        ("Aorta is normal.2 cm cyst.....Next", ["Aorta is normal.", "2 cm cyst.....", "Next"]),
        ("A nodule of 3 mm. in the lung. Next", ["A nodule of 3 mm. in the lung.", "Next"]),
        ("It measures 3 mm. Next", ["It measures 3 mm.", "Next"]),
        ("At approx.2 cm and fig.2 it ends", ["At approx.2 cm and fig.2 it ends"]),
        ("(solid).Two cysts", ["(solid).", "Two cysts"]),
        ("A 13x9.3 mm node. Next", ["A 13x9.3 mm node.", "Next"]),
        ("It measures 9. 3 mm today. Next", ["It measures 9. 3 mm today.", "Next"]),
        ("Seen in 2022. Two cysts", ["Seen in 2022.", "Two cysts"]),
        (
            'Open trachea. "Nodule in the lung." Cyst',
            ["Open trachea.", "Nodule in the lung.", "Cyst"],
        ),
        ('Open trachea ""Nodule"" "Cyst', ["Open trachea", "Nodule", "Cyst"]),
        ("1. Nodule. 2. Cyst. 10. Hernia", ["Nodule.", "Cyst.", "Hernia"]),
        ("1) Nodule\n2) Cyst", ["Nodule", "Cyst"]),
        ("- Nodule\n- Cyst\n\n* Hernia", ["Nodule", "Cyst", "Hernia"]),
        ("• Nodule. • Cyst.", ["Nodule.", "Cyst."]),
        ("In the lung window; emphysema is seen.", ["In the lung window", "emphysema is seen."]),
        (
            "Dr. Doe saw approx. two cysts, e.g. here. Next",
            ["Dr. Doe saw approx. two cysts, e.g. here.", "Next"],
        ),
        ("Lesion (cyst?) in the liver. Next", ["Lesion (cyst?) in the liver.", "Next"]),
        ("Is it a cyst? It may be.", ["Is it a cyst?", "It may be."]),
        ("", []),
        (' "" .. ; - ', []),
    ],
)
def test_worked_examples(report: str, sentences: list[str]) -> None:
    """By hand: dictation, lists, decimals, abbreviations, quotation marks as line ends."""
    assert _texts(report) == sentences


@given(st.text(alphabet='aB1 .;"?()\n•-', max_size=60) | st.text(max_size=60))
def test_sentences_are_the_reports_own(report: str) -> None:
    """Each is a substring at its offset, in order, and no letter is outside of them."""
    end = 0
    outside = ""
    for sentence in split_sentences(report):
        assert report[sentence.start : sentence.start + len(sentence.text)] == sentence.text
        assert sentence.start >= end
        outside += report[end : sentence.start]
        end = sentence.start + len(sentence.text)
    outside += report[end:]

    # What may be left out are the numbers and letters of a list.
    assert not [
        word for word in outside.split() if len(word.strip("().-*•")) > 2 and word.isalpha()
    ]


def test_a_long_report_takes_no_time() -> None:
    """A megabyte without a full stop, or of full stops only, is no trap."""
    assert len(split_sentences("a" * 1_000_000)) == 1
    assert split_sentences("." * 100_000) == []
    assert len(split_sentences("( " * 20_000)) == 0
    assert len(split_sentences("." * 100_000 + "x")) == 1
