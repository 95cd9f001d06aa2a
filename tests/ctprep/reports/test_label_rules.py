"""Which labels a sentence asserts: each by hand, with what must not count."""

import csv
import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctprep.reports.filter import read_sentences
from ctprep.reports.labels.label_rules import label_sentences, read_label_rules
from ctprep.reports.reading.mentions import Status
from ctprep.store.labels import CT_RATE_LABELS

RULES = read_label_rules()
STYLES = Path(__file__).with_name("other_styles.tsv")

PRESENT = {
    "Medical material": [
        "A port catheter ends in the superior vena cava.",
        "Suture materials secondary to surgery are seen at the sternum.",
        "There are stents in the coronary arteries.",
    ],
    "Arterial wall calcification": [
        "Calcified atheroma plaques are observed in the aortic arch and coronary arteries.",
        "Atherosclerotic wall calcifications in the thoracic aorta.",
    ],
    "Cardiomegaly": ["Mild cardiomegaly.", "The heart size has increased.", "CTR is increased."],
    "Pericardial effusion": [
        "Minimal pericardial effusion.",
        "A fluid of 9.5 mm is seen in the pericardial space.",
    ],
    "Coronary artery wall calcification": [
        "Calcific plaques are observed in the aorta, coronary arteries.",
        "Coronary artery calcification.",
    ],
    "Hiatal hernia": ["A sliding type hiatal hernia is seen.", "Hiatus hernia at the lower end."],
    "Lymphadenopathy": [
        "Enlarged lymph nodes are observed in the mediastinum.",
        "Mediastinal lymphadenopathies are seen.",
    ],
    "Emphysema": ["Paraseptal emphysema in the upper lobes.", "Bullae are seen at the apex."],
    "Atelectasis": ["Linear atelectasis in the lingula.", "The left lower lobe is collapsed."],
    "Lung nodule": ["A 4 mm nodule in the right upper lobe.", "Nodular lesions in both lungs."],
    "Lung opacity": [
        "Ground-glass areas in both lungs.",
        "Patchy opacities are seen.",
        "Crazy paving pattern in the right lung.",
        "Dependent density increases in both lungs.",
    ],
    "Pulmonary fibrotic sequela": [
        "Pleuroparenchymal sequelae changes at both apices.",
        "Fibrotic bands in the middle lobe.",
    ],
    "Pleural effusion": [
        "Bilateral pleural effusion.",
        "Pleural fluid reaches 3 cm on the right.",
        "Effusion is seen in the left hemithorax.",
    ],
    "Mosaic attenuation pattern": ["Mosaic attenuation is seen (small airway disease?)."],
    "Peribronchial thickening": [
        "Peribronchial thickening in both lungs.",
        "Thickening of the peribronchial sheath.",
    ],
    "Consolidation": ["A consolidation with air bronchograms in the left lung."],
    "Bronchiectasis": [
        "Traction bronchiectasis is observed.",
        "Bronchi are dilated in the lower lobes.",
    ],
    "Interlobular septal thickening": [
        "Interlobular septal thickenings are seen.",
        "Thickening of the interlobular septa.",
    ],
}
NOT_PRESENT = {
    "Medical material": [
        "Findings consistent with pneumonia.",
        "No contrast material was given.",
        "No catheter is seen.",
    ],
    "Arterial wall calcification": [
        "Calcific plaques in the coronary arteries.",
        "Calcification is observed in the aortic valve.",
        "No atheroma plaque is seen in the aorta.",
    ],
    "Cardiomegaly": [
        "The heart is not enlarged.",
        "Heart contour and size are normal.",
        "Fusiform dilatation of the ascending aorta.",
    ],
    "Pericardial effusion": [
        "Pericardial effusion was not detected.",
        "No pericardial or pleural effusion.",
    ],
    "Coronary artery wall calcification": [
        "Calcified plaques in the aortic arch.",
        "No calcification is seen in the coronary arteries.",
    ],
    "Hiatal hernia": ["Left inguinal hernia.", "No hiatal hernia."],
    "Lymphadenopathy": ["No lymph node in pathological size was detected."],
    "Emphysema": ["Subcutaneous emphysema on the left.", "No emphysema is seen."],
    "Atelectasis": ["Fibroatelectatic changes at the bases.", "No atelectasis."],
    "Lung nodule": [
        "A hypodense nodule in the left thyroid lobe.",
        "No nodule is seen in the lungs.",
        "Schmorl nodules in the vertebrae.",
    ],
    "Lung opacity": [
        "Pleuroparenchymal sequelae density increases at the apex.",
        "No opacity.",
        "Liver density is decreased.",
    ],
    "Pulmonary fibrotic sequela": ["No fibrosis is seen.", "Sequela of an old rib fracture."],
    "Pleural effusion": ["Pericardial effusion.", "No pleural effusion is seen."],
    "Mosaic attenuation pattern": ["No mosaic attenuation."],
    "Peribronchial thickening": [
        "No peribronchial thickening.",
        "Bronchi are normal, thickening of the esophageal wall.",
    ],
    "Consolidation": ["No consolidation or infiltration.", "Pneumonia."],
    "Bronchiectasis": ["No bronchiectasis is observed.", "Bronchi are open."],
    "Interlobular septal thickening": [
        "No interlobular septal thickening.",
        "The nasal septum is thickened.",
    ],
}


def _pairs(examples: dict[str, list[str]]) -> list[tuple[str, str]]:
    return [(label, text) for label, texts in examples.items() for text in texts]


def _is_present(label: str, sentence: str) -> bool:
    return label_sentences([sentence], RULES).get(label) in ("present", "uncertain")


def test_all_labels_have_examples_of_both_kinds() -> None:
    """None of the 18 goes untried, and the lists know no other."""
    assert PRESENT.keys() == NOT_PRESENT.keys() == set(CT_RATE_LABELS) == RULES.labels.keys()


@pytest.mark.parametrize(("label", "sentence"), _pairs(PRESENT))
def test_what_is_asserted_counts(label: str, sentence: str) -> None:
    """Each label in several wordings."""
    assert _is_present(label, sentence)


@pytest.mark.parametrize(("label", "sentence"), _pairs(NOT_PRESENT))
def test_what_is_denied_or_of_another_organ_does_not(label: str, sentence: str) -> None:
    """Negation before and behind, and words that mean something else."""
    assert not _is_present(label, sentence)


@pytest.mark.parametrize(
    ("sentence", "statuses"),
    [
        (
            "No pleural effusion, but a 6 mm nodule is seen.",
            {"Pleural effusion": "absent", "Lung nodule": "present"},
        ),
        (
            "Emphysema is seen and no consolidation is observed.",
            {"Emphysema": "present", "Consolidation": "absent"},
        ),
        (
            "No nodule, consolidation or emphysema was detected.",
            {"Lung nodule": "absent", "Consolidation": "absent", "Emphysema": "absent"},
        ),
        (
            "No consolidation is seen, small nodule in the left lung.",
            {"Consolidation": "absent", "Lung nodule": "present"},
        ),
        (
            "Atelectasis (consolidation?).",
            {"Atelectasis": "uncertain", "Consolidation": "uncertain"},
        ),
        ("Possible emphysema.", {"Emphysema": "uncertain"}),
        ("In the patient with a history of emphysema.", {"Emphysema": "history"}),
        ("The nodule has resolved.", {"Lung nodule": "absent"}),
        ("The consolidation is no longer seen.", {"Consolidation": "absent"}),
        ("The heart is normal.", {}),
    ],
)
def test_scopes(sentence: str, statuses: dict[str, Status]) -> None:
    """By clause: denial, doubt, history and what is gone."""
    assert label_sentences([sentence], RULES) == statuses


def test_the_strongest_sentence_decides() -> None:
    """Present over doubt over absence over history, whatever their order."""
    sentences = ["No emphysema.", "Emphysema in both lungs.", "History of emphysema.", "Emphysema?"]

    assert label_sentences(sentences, RULES) == {"Emphysema": "present"}
    assert label_sentences(sentences[::-1], RULES) == {"Emphysema": "present"}
    assert label_sentences(sentences[::3], RULES) == {"Emphysema": "uncertain"}


@given(st.sampled_from(_pairs(PRESENT)), st.booleans())
def test_a_normal_sentence_around_it_changes_nothing(pair: tuple[str, str], before: bool) -> None:
    """Labels of a report are those of its sentences."""
    label, sentence = pair
    normal = "The spleen is normal."

    found = label_sentences([normal, sentence] if before else [sentence, normal], RULES)

    assert found == label_sentences([sentence], RULES)
    assert found[label] in ("present", "uncertain")


@given(st.text(max_size=80))
def test_no_text_is_too_strange(sentence: str) -> None:
    """Any string is read, and nothing but known labels comes out."""
    assert label_sentences([sentence], RULES).keys() <= set(CT_RATE_LABELS)


def test_a_clause_without_end_is_read_to_its_end() -> None:
    """Cut into parts, since patterns take the square of its length, and none of it is lost."""
    text = "spleen " * 2_000 + "calcified plaques in the aorta " + "aorta " * 2_000

    assert label_sentences([text], RULES) == {"Arterial wall calcification": "present"}


def test_real_reports_that_people_labelled(shared_data: Path) -> None:
    """Translated reports of the half that was not looked at: macro F1 as measured, less 0.03."""
    path = shared_data / "reports/01_chest_ct_18_labels/train.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if _is_held_out(row["AccessionNo"])][::4]
    hits = dict.fromkeys(CT_RATE_LABELS, 0)
    claims = dict.fromkeys(CT_RATE_LABELS, 0)
    for row in rows:
        sentences = [text for text, is_read in read_sentences(row["report_text"]) if is_read]
        found = label_sentences(sentences, RULES)
        for name in CT_RATE_LABELS:
            is_said, is_so = found.get(name) in ("present", "uncertain"), row[name] == "1"
            hits[name] += is_said and is_so
            claims[name] += is_said + is_so
    scores = [2 * hits[name] / claims[name] for name in CT_RATE_LABELS]

    assert sum(scores) / len(scores) > 0.91


def _is_held_out(name: str) -> bool:
    return hashlib.sha256(f"0:{name}".encode()).digest()[0] % 2 == 1


def test_other_styles_of_reporting() -> None:
    """Telegraphic and template English, written for this test: labels by hand, a line each."""
    rows = list(csv.DictReader(STYLES.read_text("utf-8").splitlines(), delimiter="\t"))
    wrong = [
        row["sentence"]
        for row in rows
        if _labels(row["sentence"]) != set(filter(None, row["labels"].split("; ")))
    ]

    assert len(rows) > 200
    assert not wrong


def _labels(sentence: str) -> set[str]:
    told = label_sentences([sentence], RULES)
    return {name for name, status in told.items() if status in ("present", "uncertain")}
