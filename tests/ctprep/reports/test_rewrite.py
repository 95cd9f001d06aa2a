"""A rewritten report counts only if each sentence says what one of the source says, and no more."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctprep.reports.rewrite import Rewrite, find_source, read_rewrite, says_no_more

HONEST = [
    (
        "A nodule measuring 4 mm in diameter was observed in the apex of the right lung",
        "4 mm nodule in the apex of the right lung",
    ),
    ("The heart is normal, but there is a small pericardial effusion", "A small effusion"),
    ("The heart is normal, but there is a small effusion", "There is a small effusion."),
    ("A 12 x 9 mm nodule, no effusion", "12x9 mm nodule"),
    ("Calcified nodules are seen without effusion", "Calcified nodule"),
    ("The gallbladder was not observed (operated)", "Gallbladder not seen (operated)."),
    ("No significant change was seen in the nodule", "No significant change in the nodule."),
    ("Minimal pleural effusion in both hemithoraces", "Pleural effusion"),
    ("Fracture of T12", "T12 fracture"),
    ("Fracture of T12", "A fracture of T12 is seen"),
]
HONEST_BUT_REORDERED = {HONEST[0][1], HONEST[1][1], HONEST[8][1]}

INVENTED = {
    "a new number": ("A 4 mm nodule", "A 5 mm nodule"),
    "a new unit": ("A 4 mm nodule", "A 4 cm nodule"),
    "a number without its unit": ("A 4 mm nodule", "4 nodules"),
    "ten times as much": ("A nodule of .5 cm", "A nodule of 5 cm"),
    "half a decimal": ("A nodule of 9. 3 mm", "A nodule of 9"),
    "a lost minus": ("Density of -60 HU", "Density of 60 HU"),
    "a lost bound": ("A nodule of < 5 mm", "A nodule of 5 mm"),
    "swapped sizes": ("Nodule of 5 mm right, 9 mm left", "Nodule of 9 mm right"),
    "another vertebra": ("Fracture of T12", "Fracture of T11"),
    "a lost denial": ("No effusion is seen", "An effusion is seen"),
    "a lost denial behind": ("A nodule, mass or effusion was not observed", "A nodule"),
    "a lost denial behind a without": ("Nodule without fat was not observed", "Nodule"),
    "a lost denial of a list": ("Nodule: no", "Nodule"),
    "a lost sign": ("Pleural effusion (-)", "Pleural effusion"),
    "a lost short denial": ("There isn't a nodule", "There is a nodule"),
    "a lost non": ("Non-calcified nodule", "Calcified nodule"),
    "a denial that slips in": ("A nodule", "No nodule"),
    "a denial that slips over": ("No nodule, effusion present", "No effusion present"),
    "a list cut in the middle": ("No effusion or nodule, mass seen", "No effusion or mass"),
    "the end of a denied list": ("No effusion, nodule or mass", "Mass"),
    "a wider denial": ("No mass in the left lung", "No mass"),
    "a narrower list behind": ("A nodule and a mass were not seen", "A nodule"),
    "another side": ("Right nodule, left effusion", "Right effusion"),
    "another organ": ("Nodule in the liver, cyst in the kidney", "Nodule in the kidney"),
    "a new finding": ("A nodule", "A malignant nodule"),
    "a conclusion": ("A nodule", "A nodule, suspicious for malignancy"),
    "a lost doubt": ("Possible metastasis", "Metastasis"),
    "a lost doubt behind": ("Metastasis cannot be excluded", "Metastasis"),
    "a lost question": ("Metastasis?", "Metastasis"),
    "a lost history": ("History of pneumonia", "Pneumonia"),
    "a lost change": ("The nodule has resolved", "The nodule"),
    "the first half of a word pair": ("Mass effect on the trachea", "Mass"),
    "no words": ("A 4 mm nodule", "4 mm"),
    "only grammar": ("A nodule is seen", "It is seen"),
    "nothing": ("A nodule", ""),
}


@pytest.mark.parametrize(("source", "written"), HONEST)
def test_honest_sentences(source: str, written: str) -> None:
    """Grammar may go, also whole ends of a sentence; another order is refused."""
    assert says_no_more(written, source) == (written not in HONEST_BUT_REORDERED)


@pytest.mark.parametrize("name", INVENTED)
def test_inventions_are_caught(name: str) -> None:
    """Each says what its source does not say."""
    source, written = INVENTED[name]

    assert not says_no_more(written, source)


@pytest.mark.parametrize("source", [pair[0] for pair in INVENTED.values() if pair[0] != ""])
def test_a_sentence_says_itself(source: str) -> None:
    """Nothing is lost where nothing is changed."""
    assert says_no_more(source, source)


def test_rewrites() -> None:
    """Worked by hand: the source of each sentence, nothing abnormal, one sentence too many."""
    sentences = ["The heart is normal", "A 4 mm nodule is seen", "Emphysema in both lungs"]

    assert read_rewrite("4 mm nodule.\nEmphysema.", sentences) == Rewrite(
        ("4 mm nodule.", "Emphysema."), (1, 2)
    )
    assert read_rewrite("NONE.", sentences) == Rewrite((), ())
    assert read_rewrite("4 mm nodule. Pneumonia.", sentences) is None
    assert read_rewrite("4 mm nodule and emphysema.", sentences) is None
    assert read_rewrite("Emphysema. " * 4, sentences) is None
    assert read_rewrite("", sentences) is None
    assert read_rewrite("Emphysema." * 100_000, sentences) is None


@given(st.text(max_size=60), st.lists(st.text(max_size=40), max_size=3))
def test_any_rewrite_is_safe(answer: str, sentences: list[str]) -> None:
    """Whatever a model writes, each sentence has a source, and is found again in it."""
    rewrite = read_rewrite(answer, sentences)

    if rewrite is not None:
        for text, source in zip(rewrite.sentences, rewrite.sources, strict=True):
            assert find_source(text, sentences) == source
