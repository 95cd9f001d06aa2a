"""Only what is provably normal is dropped: hand-made sentences with known outcome."""

import csv
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctprep.reports.backends.rules_backend import RulesBackend
from ctprep.reports.reading.language import read_rules
from ctprep.reports.reading.rules import judge

RULES = read_rules()

NORMAL = [
    "The contour, size and density of the spleen are normal.",
    "Heart and aorta are normal in size.",
    "Left and right lung are clear.",
    "Trachea, carina and both main bronchi are open.",
    "Aorta, pulmonary artery: normal calibration.",
    "Chest CT within normal limits.",
    "As far as can be seen, upper abdominal organs are normal.",
    "Cardiomediastinal silhouette is stable.",
    "Heart size and mediastinal contours are unchanged.",
    "The lungs are well-aerated.",
    "Nonobstructive bowel pattern.",
    "The heart remains normal in size.",
    "Normal heart size and hilar markings.",
    "The aorta and heart are stable.",
    "Cardiac silhouette is normal in size and contour, and stable.",
    "Heart size is unchanged from prior study.",
    "Heart size is at the upper limit of normal.",
    "Normal in size and attenuation.",
    "The xyzzy is normal in size.",
    "Xyzzy: Unremarkable.",
]
ABSENT = [
    "No pericardial or pleural thickening.",
    "Pneumothorax is not seen.",
    "There is no mass, nodule or consolidation.",
    "Lungs are clear without consolidation, effusion, or pneumothorax.",
    "The lungs are normal and no infiltration is detected.",
    "No nodule, mass or infiltration was observed in either lung.",
    "Apart from this, no lesion is seen in the liver.",
    "The left atrium is not enlarged.",
    "No free air is seen.",
    "The interlobular septa are not thickened.",
    "Enlarged lymph nodes were not detected in the mediastinum.",
    "The aorta is normal, no dissection.",
    "No focal consolidation, pleural effusion, pneumothorax.",
    "There is no consolidation, pleural effusion, pneumothorax.",
    "Stable chest without acute abnormality.",
    "The heart is not significantly enlarged.",
    "No nodule, mass, infiltration was observed in either lung.",
    "No effusion no pneumothorax.",
    "No effusion or no pneumothorax.",
    "No effusion/pneumothorax.",
    "In the left lung no nodule, in the right lung no mass.",
    "The lungs are free of nodules, masses, and cysts.",
    "No nodule or mass, heart normal.",
    "Nodules - none.",
]
ABNORMAL = [
    "A 4 mm nodule in the right upper lobe.",
    "Emphysema.",
    "The left atrium is larger than normal.",
    "The left adrenal gland was not observed (operated).",
    "The pancreas was not observed.",
    "No significant change in the nodule.",
    "No significant change.",
    "The effusion is no longer seen.",
    "No mass, but a nodule is seen on the left.",
    "No effusion is seen; however, there is a cyst.",
    "Lungs are clear except for a scar.",
    "No lesion other than a cyst in the liver.",
    "The lungs are normal and a hiatal hernia is seen.",
    "No effusion is seen, small nodule in the left lung.",
    "No effusion, emphysema in the upper lobes.",
    "No infection is detected, and atelectasis is present at the bases.",
    "Lymph nodes not reaching pathological size are observed.",
    "Malignancy could not be excluded.",
    "Normal aeration is not observed in the left lung.",
    "No growth is seen in the nodules observed on both sides.",
    "No cardiomegaly with small bilateral effusions.",
    "A nodule without calcification.",
    "Effusion was seen, pneumothorax was not seen.",
    "The right lung is xyzzy.",
    "The xyzzitis is unremarkable.",
    "The nodule is unremarkable.",
    "Xyzzy, heart is normal.",
    "Stable.",
    "The findings are stable.",
    "The nodule is unchanged from prior study.",
    "The effusion remains.",
    "A nodule in the right lung, stable.",
    "The lungs are normal, stable.",
    "The nodule is stable.",
    "Stable lesion in the chest.",
    "Left lung stable.",
    "No pneumothorax, left pleural effusion.",
    "There is no pneumothorax, small pleural effusion.",
    "Calibration of the aorta is above normal.",
    "The lungs are not well aerated.",
    "The lungs are not normal.",
    "Not only the lungs are normal.",
    "Well aerated lungs, density in the left lobe.",
    "Densities are observed in all lobes.",
    "Right lung.",
    "Cavity in the left lung, heart normal.",
    "The left hilum could not be evaluated due to density.",
    "The lungs are clear, density in the left lobe.",
    "No mass, density in the left lobe.",
    "Density in the left lung, effusion is not seen.",
    "The lungs are free of nodules and a cyst.",
    "The lungs are free of nodules and lungs show cysts.",
    "Density in the heart is stable.",
]
ROUTINE = [
    "In the evaluation of the lungs;",
    "Mediastinal structures could not be evaluated optimally due to lack of contrast.",
    "PA and lateral views of the chest were obtained.",
]


@pytest.mark.parametrize("sentence", NORMAL)
def test_normal_sentences_go(sentence: str) -> None:
    """They say that something is as it should be, and that nothing is absent."""
    assert judge(sentence, RULES).is_normal
    assert not judge(sentence, RULES).is_absence


@pytest.mark.parametrize("sentence", ABSENT)
def test_absent_findings_go(sentence: str) -> None:
    """They are dropped, and known as absences."""
    assert judge(sentence, RULES).is_normal
    assert judge(sentence, RULES).is_absence


@pytest.mark.parametrize("sentence", ABNORMAL)
def test_anything_else_stays(sentence: str) -> None:
    """Findings, exceptions, change, surgery, doubt and unknown words."""
    assert not judge(sentence, RULES).is_normal


def _written(name: str) -> list[str]:
    lines = Path(__file__).with_name(name).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def test_normal_sentences_of_many_styles_go() -> None:
    """Telegraphic, template, American and European style, from head to pelvis."""
    sentences = _written("sentences_normal.txt")

    assert len(sentences) > 400
    assert [text for text in sentences if not judge(text, RULES).is_normal] == []


def test_findings_of_many_styles_stay() -> None:
    """Also stable, gone, doubted or missing, behind denials that deny something else."""
    sentences = _written("sentences_abnormal.txt")

    assert len(sentences) > 400
    assert [text for text in sentences if judge(text, RULES).is_normal] == []


@pytest.mark.parametrize(
    ("name", "is_normal", "share"),
    [("normal", True, 0.94), ("abnormal", False, 0.99)],
)
def test_sentences_that_the_rules_were_not_mended_on(
    name: str, is_normal: bool, share: float
) -> None:
    """Written with the halves in the files above, and left alone since: most are judged right."""
    sentences = _written(f"sentences_{name}_untuned.txt")

    right = [judge(text, RULES).is_normal == is_normal for text in sentences]

    assert len(sentences) == 200
    assert sum(right) / len(right) >= share


@pytest.mark.parametrize("sentence", ROUTINE)
def test_routine_remarks_go(sentence: str) -> None:
    """Framing and technical limits say nothing about the patient."""
    assert judge(sentence, RULES).is_normal


@given(st.sampled_from(NORMAL + ABSENT), st.sampled_from(["nodules", "emphysema", "qwertz"]))
def test_a_finding_added_by_but_keeps_the_sentence(sentence: str, finding: str) -> None:
    """Whatever normal sentence: '..., but <finding> is seen' stays."""
    assert not judge(f"{sentence.rstrip('.')}, but {finding} is seen.", RULES).is_normal


@given(st.text(max_size=80))
def test_no_text_is_too_strange(sentence: str) -> None:
    """Any string is judged, and letter case does not matter."""
    assert judge(sentence, RULES) == judge(sentence.lower(), RULES)


def test_backend_answers_with_numbers() -> None:
    """Its answer is the JSON list that every backend gives, one a report."""
    backend = RulesBackend()

    answers = backend.answer([["No effusion.", "A nodule."], [], ["Lungs are clear."]])

    assert [json.loads(answer) for answer in answers] == [[1], [], []]
    assert backend.prompt_hash == RULES.data_hash


def test_real_sentences_that_people_called_sick(shared_data: Path) -> None:
    """Open-i sentences labelled by hand: at least 97 % of the sick stay, most healthy go."""
    path = shared_data / "reports/02_sentences_sick_healthy/openi_count_label_sent.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = [(row["Label"], row["Sentence"]) for row in csv.DictReader(file)]

    def dropped(label: str) -> float:
        verdicts = [judge(text, RULES).is_normal for kind, text in rows if kind == label]
        return sum(verdicts) / len(verdicts)

    assert dropped("s") < 0.01
    assert dropped("h") > 0.85
