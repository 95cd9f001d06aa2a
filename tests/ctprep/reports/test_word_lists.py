"""No entry of the pattern lists is idle: each has a sentence whose fate it alone decides."""

import dataclasses
import tomllib
from importlib.resources import files

import pytest

from ctprep.reports.reading.language import either, read_rules, told_none
from ctprep.reports.reading.rules import judge

RULES = read_rules()
LISTS = tomllib.loads(files("ctprep.reports.reading").joinpath("english.toml").read_text("utf-8"))
WHOLE_WORDS = ("negation_before", "negation_after", "negation_end")

# In the order of the entries.
KEPT_BY = {
    "keep": [
        "No lesion is seen in the operated lung.",
        "No lesion is seen in the postoperative lung.",
        "No lesion is seen at the lobectomy site.",
        "No lesion is seen in the resected lung.",
        "No change is seen in the lungs.",
        "No difference is seen in the lungs.",
        "No previous lesion is seen.",
        "No mass is any longer seen.",
        "No lesion is seen that is not benign.",
        "No mass can be excluded.",
        "No lesion is seen until it is ruled out.",
        "No suspected lesion is seen.",
        "No lesion is seen other than a cyst.",
        "Heart size is near normal.",
        "The aorta is over normal.",
        "No loss of volume is seen.",
        "No lesion in a nodular liver.",
        "No lesion save for a cyst.",
        "Pelvic kidney is patent.",
        "No nodule larger than 4 mm.",
        "No more than mild emphysema.",
        "No or minimal effusion.",
        "No worsening.",
        "No increase in size is seen.",
        "No significant increase.",
        "No endoleak.",
        "No lesion is seen at the colostomy.",
        "No calcification in the nodule.",
        "Homogeneous density in the right lower zone.",
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
        "No effusion is seen despite empyema.",
        "No effusion in the setting of empyema.",
        "No effusion superimposed on empyema.",
        "No effusion on a background of empyema.",
        "No effusion overlying empyema.",
        "No effusion associated with empyema.",
        "No effusion is seen in the lungs with empyema.",
        "No cardiomegaly with small bilateral effusions.",
    ],
    "no_verdict": [
        "The accessory xyzzy is unremarkable.",
        "The xyzzitis is unremarkable.",
        "The xyzzy shunt is patent.",
    ],
}
DROPPED_BY = {
    "neutral_phrase": [
        "L4-L5 is normal.",
        "The small bowel is patent.",
        "The bowel gas pattern is regular.",
        "Lymph node stations are clear.",
        "Lymph nodes: No enlarged nodes.",
        "The lungs are clear 3",
        "Clear fatty planes.",
        "The gastric bubble is regular.",
        "Large mediastinal vessels are patent.",
        "Intact floor of mouth.",
    ],
    "verdict": [
        "The xyzzy is intact.",
        "Unremarkable xyzzy.",
        "The xyzzy has a normal configuration.",
    ],
    "told_none": ["Emphysema in the lung: none seen."],
    "normal_phrase": [
        "The heart remains normal.",
        "The lungs are well expanded.",
        "Nonobstructive bowel loops.",
        "Heart size is top normal.",
        "The liver enhances homogeneously.",
        "Adequate excretion by both kidneys.",
        "The trachea is central.",
        "The costophrenic sinuses are free.",
        "Lymph nodes are unremarkable by size.",
        "Nothing of note.",
        "The heart borders are well defined.",
        "Lung markings extend to the periphery.",
        "The kidneys excrete promptly.",
        "Excretion is adequate.",
        "The lungs are transparent.",
        "The stomach is left-sided.",
        "There are five nonrib-bearing lumbar vertebrae.",
        "Three-vessel arch.",
        "The pericardium is thin.",
        "The heart is normally positioned.",
        "Normal thoracic kyphosis.",
        "Airways free.",
        "The RV/LV ratio is less than 1.",
        "CT severity score: 0/25.",
        "Lines and tubes: none.",
        "No hilar LAD.",
        "The pulmonary veins drain normally.",
        "The aorta measures 32 mm, within normal limits.",
    ],
    "steady_phrase": [
        "Heart size is unchanged from prior study.",
        "Heart size is normal but stable.",
    ],
    "routine": [
        "Mediastinal structures could not be evaluated.",
        "The lungs are suboptimal.",
        "The vessels are normal due to the lack of contrast.",
        "Contrast material was not given.",
        "No contrast material was given.",
        "Unenhanced CT of the chest.",
        "The lungs are normal, respiratory artifacts.",
        "Slightly limited examination.",
        "The patient is rotated to the left.",
        "The examination consists of frontal and lateral views.",
        "Examination limited by body habitus.",
        "Please correlate clinically.",
        "Clinical evaluation is recommended.",
        "Thin axial images from apex to base were reconstructed.",
        "The study is adequate for the evaluation of pulmonary embolism.",
        "Other: None.",
        "Dose reduction techniques.",
        "Two views of the chest were obtained.",
        "Image quality is diagnostic.",
        "Respiratory motion limits evaluation of the lungs.",
        "The results were communicated to Dr. Smith by telephone.",
        "Thank you for this referral.",
        "Continue annual screening with low-dose CT in 12 months.",
        "Clinical and laboratory correlation will be appropriate.",
        "Verified by XXXX.",
        "Patient name: XXXX.",
        "Pt Mrs. XXXX, DOB XXXX, MRN XXXX.",
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
        "Negative acute disease.",
        "Absent effusion.",
        "Lack of effusion.",
        "Lungs w/o effusion.",
        "The lungs are devoid of masses.",
        "Nothing abnormal.",
        "The lungs do not show masses.",
        "The study failed to reveal masses.",
        "The heart is not enlarged.",
        "There does not appear to be an effusion.",
        "Nil acute.",
    ],
    "negation_after": [
        "Masses cannot be identified.",
        "Effusion was not seen.",
        "Effusion is absent.",
        "Embolism is excluded.",
    ],
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
    is_answer = name == "told_none"
    pattern = told_none(others) if is_answer else either(others, whole_words=name in WHOLE_WORDS)

    assert judge(sentence, RULES).is_normal == is_dropped
    assert judge(sentence, dataclasses.replace(RULES, **{name: pattern})).is_normal != is_dropped
