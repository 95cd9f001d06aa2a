"""A rewritten report counts only if each sentence says what one of the source says, and no more."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctprep.reports.rewriting.rewrite import Rewrite, read_rewrite, says_no_more

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

# What an earlier check let pass.
ATTACKS = [
    # no sentence
    ("Small nodule of 5 mm", "Small nodule of of 5 mm"),
    # a place that moves from one finding to another
    ("No nodule in the right lung, effusion on the left", "Nodule in the right lung"),
    ("Nodule in the right lung, effusion on the left", "Right lung effusion"),
    ("Nodule in the right lung, effusion on the left", "lung, effusion"),
    ("Nodule in the right lung, effusion on the left", "Right lung, effusion on the left"),
    ("Nodule in the right upper lobe and effusion on the left", "Upper lobe effusion"),
    ("Atelectasis on the right, pneumothorax on the left", "Right pneumothorax"),
    ("Calcified nodule in the liver, metastasis in the lung", "Liver metastasis in the lung"),
    ("Cyst in the liver. Metastasis in the lung", "Liver metastasis"),
    ("Right pneumonectomy, effusion on the left", "Pneumonectomy effusion"),
    ("Mild cardiomegaly, severe emphysema", "Cardiomegaly severe emphysema"),
    ("A 5 mm nodule and a mass in the liver", "Nodule mass in the liver"),
    ("Nodule adjacent to the cyst", "Cyst"),
    ("Fat containing nodule", "Containing nodule"),
    ("Tumor embolism of the artery", "Embolism of the artery"),
    ("Nodule without calcification", "Nodule with calcification"),
    # a measure
    ("Nodule of 5 mm in the lung and lymph node of 12 mm", "5 mm lymph node of 12 mm"),
    ("Nodule in the lung measuring 5 mm and lymph node of 12 mm", "5 mm lymph node"),
    ("Nodule of 5-8 mm", "Nodule of 5"),
    ("Nodule of 5-8 mm", "Nodule of 5 8 mm"),
    ("Nodule of 5 x 8 mm", "Nodule of 5 8 mm"),
    ("Nodule of 12 mm to 5 mm", "Nodule of 12 mm"),
    ("The nodule was 12 mm and is 5 mm", "Nodule 12 mm"),
    ("Attenuation of \u2212600 HU", "Attenuation of 600 HU"),
    ("Attenuation of \u2013600 HU", "Attenuation of 600 HU"),
    ("Nodule of 1,200.5 ml", "Nodule of 1 ml"),
    ("Nodule of ~5 mm", "Nodule of 5 mm"),
    ("A nodule of approximately 5 mm", "A nodule of 5 mm"),
    ("A nodule", "Nodules"),
    # doubt
    ("Rule out pneumonia", "Pneumonia"),
    ("R/O pneumonia", "Pneumonia"),
    ("To exclude metastasis, PET is recommended", "Metastasis"),
    ("PET is recommended for metastasis", "Metastasis"),
    ("Concern for malignancy", "Malignancy"),
    ("Worrisome for malignancy", "Malignancy"),
    ("Presumed metastasis", "Metastasis"),
    ("Appears to be a metastasis", "Metastasis"),
    ("Doubtful effusion", "Effusion"),
    ("Query effusion", "Effusion"),
    ("Barely visible nodule", "Visible nodule"),
    ("Nodule or vessel in the left lung", "Vessel in the left lung"),
    ("Effusion/thickening", "Effusion"),
    ("Artifact mimicking dissection", "Dissection"),
    ("Biopsy for cancer was done", "Cancer"),
    # time
    ("Resolution of the effusion", "Effusion"),
    ("Interval removal of the catheter", "Catheter"),
    ("Complete regression of the nodule", "Nodule"),
    ("Effusion has cleared", "Effusion"),
    ("The effusion was drained", "Effusion"),
    ("Aneurysm, repaired", "Aneurysm"),
    ("Treated pneumonia", "Pneumonia"),
    ("Old fracture", "Fracture"),
    ("Sequelae of tuberculosis", "Tuberculosis"),
    ("In 2015 there was an effusion", "Effusion"),
    ("Two years ago a nodule was seen", "Nodule"),
    ("The patient had an effusion", "Effusion"),
    ("Status post lobectomy for cancer", "Cancer"),
    ("Mother had lung cancer", "Lung cancer"),
    # denial
    ("Fails to show an effusion", "Effusion"),
    ("Little evidence of effusion", "Effusion"),
    ("Effusion: 0", "Effusion"),
    ("Effusion (0)", "Effusion"),
    ("Effusion -", "Effusion"),
    ("Effusion \u2013", "Effusion"),
    # letters
    ("N\u043e nodule", "Nodule"),
    ("N\u200bo nodule", "Nodule"),
    ("\uff4e\uff4f nodule", "Nodule"),
    ("Nodule in the left lung", "Nodule in the l\u0435ft lung"),
    # no finding
    ("Right and left lung nodules and effusion", "Right"),
    ("Nodule in the left lung", "Lung"),
]

FOLLOWING = ["A cyst in the liver", "A nodule in the lung", "It is calcified", "An effusion"]

_FINDINGS = ("nodule", "cyst", "effusion", "mass")
_CLAUSE = re.compile(
    r"(?P<cue>no |possible )?(?P<extent>small |large )?(?P<finding>nodule|cyst|effusion|mass)"
    r"(?P<size>(?: of)? \d+ (?:mm|cm))?(?P<place> in (?:right|left) (?:lung|kidney))?"
)


@pytest.mark.parametrize(("source", "written"), HONEST)
def test_honest_sentences(source: str, written: str) -> None:
    """Grammar may go, also whole ends of a sentence; another order is refused."""
    assert says_no_more(written, source) == (written not in HONEST_BUT_REORDERED)


@pytest.mark.parametrize("name", INVENTED)
def test_inventions_are_caught(name: str) -> None:
    """Each says what its source does not say."""
    source, written = INVENTED[name]

    assert not says_no_more(written, source)


@pytest.mark.parametrize(("source", "written"), ATTACKS)
def test_attacks_are_refused(source: str, written: str) -> None:
    """Each says what its source does not say."""
    assert not says_no_more(written, source)
    assert says_no_more(source, source)


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


def test_a_word_that_points_needs_what_it_points_to() -> None:
    """It is the cyst where the nodule between is left out, and was the nodule."""
    assert read_rewrite("A nodule in the lung. It is calcified", FOLLOWING) is not None
    assert read_rewrite("A cyst in the liver. It is calcified", FOLLOWING) is None
    assert read_rewrite("It is calcified", FOLLOWING) is None
    assert read_rewrite("Calcified", FOLLOWING) is None
    assert read_rewrite("It is calcified. A nodule in the lung", FOLLOWING) is None
    assert read_rewrite("A cyst in the liver. It is an effusion", FOLLOWING) is None


def test_what_is_said_twice() -> None:
    """Two sentences need two sources."""
    assert read_rewrite("Emphysema. Emphysema", ["Emphysema", "Effusion"]) is None
    assert read_rewrite("Emphysema. Emphysema", ["Emphysema", "Emphysema"]) == Rewrite(
        ("Emphysema.", "Emphysema"), (0, 1)
    )


Fact = tuple[str, str, str, str, str]


def read_facts(text: str) -> set[Fact] | None:
    """Read what a sentence of the clauses below says; None where it is none."""
    facts: set[Fact] = set()
    body = " ".join(re.sub(r"\b(?:the|a|is|seen|there)\b", " ", text.lower()).split())
    body = re.sub(r"^[, ]*(?:but |and )?", "", body).strip(" ,.").replace(" ,", ",")
    for clause in re.split(r", but | but |, | and ", body):
        match = _CLAUSE.fullmatch(clause)
        if match is None:
            return None
        facts.add(
            tuple(
                (match[name] or "").strip().removeprefix("of ")
                for name in ("cue", "extent", "finding", "size", "place")
            )
        )
    return facts


def follows(fact: Fact, facts: set[Fact]) -> bool:
    """Tell whether a fact is one of others, or less of one that denies nothing."""
    return fact in facts or any(
        fact[0] == other[0] != "no"
        and fact[2] == other[2]
        and all(part in ("", whole) for part, whole in zip(fact, other, strict=True))
        for other in facts
    )


@st.composite
def clauses(draw: st.DrawFn) -> str:
    """Draw a clause: a finding with or without denial, doubt, extent, size and place."""
    cue = draw(st.sampled_from(["", "", "no ", "possible "]))
    extent = draw(st.sampled_from(["", "small ", "large "]))
    size = draw(st.sampled_from(["", " of 5 mm", " of 12 mm", " of 5 cm"]))
    place = draw(
        st.sampled_from(
            ["", *(f" in the {s} {o}" for s in ("right", "left") for o in ("lung", "kidney"))]
        )
    )
    return f"{cue}{extent}{draw(st.sampled_from(_FINDINGS))}{size}{place}"


@given(st.data())
@settings(max_examples=150)
def test_any_part_of_a_sentence_says_no_more(data: st.DataObject) -> None:
    """Runs of a sentence, with words dropped, doubled or changed, are taken only if true."""
    parts = data.draw(st.lists(clauses(), min_size=1, max_size=3))
    joints = data.draw(st.lists(st.sampled_from([", ", " and ", ", but "]), min_size=2, max_size=2))
    source = parts[0] + "".join(
        joint + part for joint, part in zip(joints, parts[1:], strict=False)
    )
    words = re.findall(r"\w+|,", source)
    start = data.draw(st.integers(0, len(words) - 1))
    written = words[start : data.draw(st.integers(start + 1, len(words)))]
    for _ in range(data.draw(st.integers(0, 3))):
        place = data.draw(st.integers(0, len(written) - 1))
        other = data.draw(st.sampled_from([*words, "right", "left", "no", "5", "mm", "and", ","]))
        change = data.draw(st.sampled_from(["drop", "double", "put", "add"]))
        written[place : place + 1] = {
            "drop": [] if len(written) > 1 else written[place : place + 1],
            "double": [written[place]] * 2,
            "put": [other],
            "add": [written[place], other],
        }[change]
    text = " ".join(written).replace(" ,", ",")

    if says_no_more(text, source):
        facts, told = read_facts(source), read_facts(text)
        assert facts is not None
        assert told is not None, text
        assert all(follows(fact, facts) for fact in told), text


@given(st.text(max_size=60), st.lists(st.text(max_size=40), max_size=3))
def test_any_rewrite_is_safe(answer: str, sentences: list[str]) -> None:
    """Whatever a model writes, each sentence has a source, and is found again in it."""
    rewrite = read_rewrite(answer, sentences)

    if rewrite is not None:
        for text, source in zip(rewrite.sentences, rewrite.sources, strict=True):
            assert says_no_more(text, sentences[source])
