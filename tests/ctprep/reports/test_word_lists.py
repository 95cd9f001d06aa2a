"""No entry of the pattern lists is idle: each has a sentence whose fate it alone decides."""

import dataclasses
import tomllib
from importlib.resources import files

import pytest

from ctprep.reports.language import either, read_rules
from ctprep.reports.rules import judge

RULES = read_rules()
LISTS = tomllib.loads(files("ctprep.reports").joinpath("english.toml").read_text("utf-8"))
WHOLE_WORDS = ("negation_before", "negation_after", "negation_end")

# In the order of the entries.
KEPT_BY = {
    "keep": [
        "No lesion is seen in the operated lung.",
        "No lesion is seen in the postoperative lung.",
        "No lesion is seen at the lobectomy site.",
        "No lesion is seen in the resected lung.",
        "No change is seen in the lungs.",
        "No previous lesion is seen.",
        "No mass is any longer seen.",
        "No lesion is seen that is not benign.",
        "No suspected lesion is seen.",
        "No lesion is seen other than a cyst.",
        "Heart size is upper normal.",
        "Heart size is at the limit of normal.",
        "Heart size is near normal.",
        "The aorta is over normal.",
        "No loss of volume is seen.",
    ],
    "negation_end": [
        "No effusion is seen due to empyema.",
        "No effusion is seen secondary to empyema.",
        "No effusion is seen because empyema is drained.",
        "No effusion is seen after empyema.",
        "No effusion is seen following empyema.",
        "No effusion is seen since empyema is drained.",
        "No effusion is seen which hides empyema.",
        "No effusion is seen where empyema is drained.",
        "No effusion is seen in addition a cyst.",
        "No effusion is seen only a cyst.",
        "No effusion is seen accompanied by empyema.",
        "No effusion there is empyema.",
        "No cardiomegaly with small bilateral effusions.",
    ],
}
DROPPED_BY = {
    "normal_phrase": [
        "The heart remains normal.",
        "The lungs are well expanded.",
        "Nondilated bowel loops.",
    ],
    "steady_phrase": ["Heart size is unchanged from prior study."],
    "routine": [
        "Mediastinal structures could not be evaluated.",
        "The lungs are suboptimal.",
        "The vessels are normal due to the lack of contrast.",
        "Contrast material was not given.",
        "No contrast material was given.",
        "Unenhanced CT of the chest.",
        "The lungs are normal, respiratory artifacts.",
        "Clinical evaluation is recommended.",
        "Two views of the chest were obtained.",
        "Clinical and laboratory correlation will be appropriate.",
    ],
    "negation_before": [
        "No effusion.",
        "Lungs without effusion.",
        "None of the lungs has a mass.",
        "Neither lung has a mass.",
        "Nor is a mass seen.",
        "The lungs are free of masses.",
        "The lungs are free from masses.",
        "The lungs are clear of masses.",
        "Absence of effusion.",
        "Negative for effusion.",
        "Absent effusion.",
        "The heart is not enlarged.",
    ],
    "negation_after": ["Effusion was not seen.", "Effusion is absent."],
}
CASES = [
    (name, number, sentence, is_dropped)
    for examples, is_dropped in ((KEPT_BY, False), (DROPPED_BY, True))
    for name, sentences in examples.items()
    for number, sentence in enumerate(sentences)
]


def test_every_entry_has_its_sentence() -> None:
    """An entry that is added needs one."""
    for name, sentences in {**KEPT_BY, **DROPPED_BY}.items():
        assert len(LISTS[name]) == len(sentences), name


@pytest.mark.parametrize(("name", "number", "sentence", "is_dropped"), CASES)
def test_an_entry_decides(name: str, number: int, sentence: str, is_dropped: bool) -> None:
    """With it the sentence goes or stays as it should, without it the other way."""
    others = [entry for place, entry in enumerate(LISTS[name]) if place != number]
    pattern = either(others, whole_words=name in WHOLE_WORDS)

    assert judge(sentence, RULES).is_normal == is_dropped
    assert judge(sentence, dataclasses.replace(RULES, **{name: pattern})).is_normal != is_dropped
