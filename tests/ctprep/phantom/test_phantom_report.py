"""Reports tell every finding, and never one that is not there."""

import re

from ctprep.phantom.patient import draw_patient
from ctprep.phantom.report import write_report
from ctprep.store.labels import CT_LITE_LABELS

WORDS = {
    "Cardiomegaly": r"cardiomegaly|heart is|heart size",
    "Emphysema": r"emphysem",
    "Atelectasis": r"atelecta",
    "Lung nodule": r"nodule",
    "Lung opacity": r"opacit",
    "Pulmonary fibrotic sequela": r"fibrotic",
    "Pleural effusion": r"pleural effusion",
    "Mosaic attenuation pattern": r"mosaic",
    "Peribronchial thickening": r"peribronchial",
    "Consolidation": r"consolidation",
    "Bronchiectasis": r"bronchiecta",
    "Interlobular septal thickening": r"interlobular sept",
}
DENIAL = re.compile(r"^no |not |is normal|are normal|and size are", re.IGNORECASE)


def test_each_finding_is_told_and_no_other() -> None:
    """Sentences that name a finding assert it exactly when the patient has it."""
    assert set(WORDS) == set(CT_LITE_LABELS)
    for index in range(120):
        patient = draw_patient(3, index)
        findings, impression = write_report(patient)
        sentences = re.split(r"(?<=\.) ", findings)
        for label, pattern in WORDS.items():
            about = [s for s in sentences if re.search(pattern, s, re.IGNORECASE)]
            claims = [not DENIAL.search(sentence) for sentence in about]
            if patient.finding(label) is None:
                assert not any(claims), (label, about)
                assert not re.search(pattern, impression, re.IGNORECASE)
            else:
                assert claims == [True], (label, about)
                assert re.search(pattern, impression, re.IGNORECASE), (label, impression)


def test_reports_name_no_person_and_no_date() -> None:
    """Nothing in them could be mistaken for an identifier, and no placeholder is left."""
    for index in range(60):
        text = " ".join(write_report(draw_patient(0, index)))

        assert not re.search(r"\d{4}|[{}]|Mr\.|phantom", text)


def test_both_scans_of_a_patient_share_the_report() -> None:
    """The report depends on the patient alone."""
    assert write_report(draw_patient(0, 7)) == write_report(draw_patient(0, 7))


def test_reports_vary() -> None:
    """Few patients get the same text."""
    texts = {write_report(draw_patient(0, index)) for index in range(100)}

    assert len(texts) > 97
