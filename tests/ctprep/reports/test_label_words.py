"""No term of a label is idle: each entry has a sentence that it alone decides."""

import dataclasses
import tomllib
from importlib.resources import files

import pytest

from ctprep.reports.labels.label_rules import LabelRules, label_sentences, read_label_rules
from ctprep.reports.reading.language import either

RULES = read_label_rules()
DATA = tomllib.loads(
    files("ctprep.reports.reading").joinpath("english_labels.toml").read_text("utf-8")
)
LISTS = {
    (label["name"], kind): label.get(kind, [])
    for label in DATA["label"]
    for kind in ("terms", "unless")
}

# In the order of the entries of `terms`: present by this entry alone.
TERMS = {
    "Medical material": [
        "A catheter ends in the right atrium.",
        "A stent is seen in the esophagus.",
        "Sutures are seen at the sternum.",
        "A pacemaker is seen.",
        "Hip prosthesis on the left.",
        "A port is seen in the chest wall.",
        "A nasogastric tube is seen.",
        "PICC tip in the superior vena cava.",
        "Spinal fusion hardware.",
        "Surgical clips in the gallbladder bed.",
        "Bilateral breast implants.",
        "Metallic densities at the sternum.",
        "Mitral valve replacement.",
        "Fixation material in the vertebrae.",
        "A filter in the inferior vena cava.",
    ],
    "Arterial wall calcification": [
        "The aorta is calcified.",
        "Calcified plaques in the thoracic aorta.",
        "Vascular calcifications.",
    ],
    "Cardiomegaly": [
        "Mild cardiomegaly.",
        "The heart size has increased.",
        "Enlarged heart.",
        "Left atrial enlargement.",
        "CTR is increased.",
    ],
    "Pericardial effusion": [
        "Pericardial effusion.",
        "Fluid in the pericardial space.",
        "Hemopericardium.",
    ],
    "Coronary artery wall calcification": [
        "The coronary arteries are calcified.",
        "Calcification of the coronary arteries.",
        "Calcified plaques in the LAD.",
        "LAD calcification.",
    ],
    "Hiatal hernia": [
        "Hiatal hernia.",
        "Herniation of the stomach.",
        "Sliding type hernia.",
    ],
    "Lymphadenopathy": [
        "Enlarged lymph nodes.",
        "Mediastinal adenopathy.",
        "LAP is seen.",
        "Enlarged axillary nodes.",
    ],
    "Emphysema": ["Paraseptal emphysema.", "Bullae are seen.", "A bleb at the apex."],
    "Atelectasis": [
        "Linear atelectasis.",
        "The left lung is collapsed.",
        "A collapsed lobe.",
        "Partial collapse of the right middle lobe.",
    ],
    "Lung nodule": ["A 4 mm nodule.", "Nodular lesions in both lungs.", "Nodularity is seen."],
    "Lung opacity": [
        "Ground-glass areas.",
        "A patchy opacity.",
        "Crazy paving pattern.",
        "Consolidative densities.",
        "Dependent density increases in both lungs.",
        "Subtle increased density in the lingula.",
        "Airspace disease.",
        "Right lower lobe infiltrate.",
    ],
    "Pulmonary fibrotic sequela": [
        "Sequela changes.",
        "Fibrosis at the bases.",
        "Scarring at the apex.",
        "Reticular changes.",
        "Pleuroparenchymal densities.",
        "Parenchymal bands.",
    ],
    "Pleural effusion": [
        "Pleural fluid.",
        "Fluid in the left hemithorax.",
        "Hydropneumothorax.",
        "Empyema on the left.",
        "Minimal effusion on the right.",
        "Pleural and pericardial effusions.",
    ],
    "Mosaic attenuation pattern": ["Mosaic attenuation.", "Air trapping is seen."],
    "Peribronchial thickening": [
        "Peribronchial thickening.",
        "Thickening of the peribronchial sheath.",
        "Bronchial cuffing.",
    ],
    "Consolidation": ["A consolidation."],
    "Bronchiectasis": [
        "Traction bronchiectasis.",
        "Bronchi are dilated.",
        "Dilated bronchi.",
    ],
    "Interlobular septal thickening": [
        "Septal thickening.",
        "Thickening of the septa.",
        "Interlobular thickening.",
        "Kerley B lines.",
    ],
}
# In the order of the entries of `unless`: not present by this entry alone.
UNLESS = {
    "Arterial wall calcification": [
        "Calcification is observed in the aortic valve.",
        "Three-vessel coronary artery calcification.",
    ],
    "Cardiomegaly": ["Cardiac pericardial fluid is increased.", "Heart and aorta are dilated."],
    "Emphysema": [
        "Subcutaneous emphysema.",
        "Emphysema between the muscles.",
        "Emphysema in the fatty planes.",
    ],
    "Lung nodule": [
        "A nodule in the thyroid.",
        "A nodule in the left adrenal gland.",
        "A nodule in the liver.",
        "A nodule in the left breast.",
        "A nodule in the omentum.",
        "Schmorl nodules.",
        "Nodules on the tracheal wall.",
        "A nodule in the subcutaneous tissue.",
    ],
    "Pulmonary fibrotic sequela": [
        "Fibrosis of the liver.",
        "Sequela scar in the left kidney.",
        "Sequela of a rib lesion.",
    ],
    "Pleural effusion": ["Pericardial minimal effusion."],
    "Peribronchial thickening": ["Peribronchial septa are thick."],
    "Interlobular septal thickening": ["Thickening of the nasal septa."],
}
CASES = [
    (label, kind, number, sentence)
    for kind, examples in (("terms", TERMS), ("unless", UNLESS))
    for label, sentences in examples.items()
    for number, sentence in enumerate(sentences)
]


def test_every_entry_has_its_sentence() -> None:
    """An entry that is added needs one."""
    for (label, kind), entries in LISTS.items():
        examples = TERMS if kind == "terms" else UNLESS
        assert len(entries) == len(examples.get(label, [])), (label, kind)


@pytest.mark.parametrize(("label", "kind", "number", "sentence"), CASES)
def test_an_entry_decides(label: str, kind: str, number: int, sentence: str) -> None:
    """With it the label is present or not as it should be, without it the other way."""
    others = [entry for place, entry in enumerate(LISTS[label, kind]) if place != number]
    patterns = dataclasses.replace(RULES.labels[label], **{kind: either(others)})
    without = dataclasses.replace(RULES, labels={**RULES.labels, label: patterns})

    assert _is_present(label, sentence, RULES) == (kind == "terms")
    assert _is_present(label, sentence, without) != (kind == "terms")


@pytest.mark.parametrize(
    ("kind", "number", "sentence"),
    [
        ("history", 0, "Known history of emphysema."),
        ("history", 1, "Clinical question, emphysema."),
        ("history", 2, "Evaluate for emphysema."),
        ("history", 3, "Rule out emphysema."),
        ("uncertain", 0, "Emphysema?"),
        ("uncertain", 1, "Probable emphysema."),
        ("uncertain", 2, "It may be emphysema."),
        ("uncertain", 3, "Emphysema versus cyst."),
        ("uncertain", 4, "Emphysema is in the differential diagnosis."),
        ("uncertain", 5, "Emphysema cannot be excluded."),
        ("uncertain", 6, "Control in terms of emphysema."),
        ("resolved", 0, "Emphysema has resolved."),
        ("resolved", 1, "Emphysema has cleared."),
        ("resolved", 2, "Emphysema is no longer seen."),
        ("resolved_before", 0, "Resolution of the emphysema."),
        ("resolved_before", 1, "Resolved emphysema."),
        ("none", 0, "Emphysema: none."),
    ],
)
def test_a_cue_decides(kind: str, number: int, sentence: str) -> None:
    """Each cue of history, doubt and of what is gone; without it, the mention is present."""
    others = [entry for place, entry in enumerate(DATA[kind]) if place != number]
    cues = dataclasses.replace(RULES.cues, **{kind: either(others)})
    status = {"history": "history", "uncertain": "uncertain"}.get(kind, "absent")

    assert label_sentences([sentence], RULES) == {"Emphysema": status}
    without = dataclasses.replace(RULES, cues=cues)
    assert label_sentences([sentence], without) == {"Emphysema": "present"}


def _is_present(label: str, sentence: str, rules: LabelRules) -> bool:
    return label_sentences([sentence], rules).get(label) in ("present", "uncertain")
