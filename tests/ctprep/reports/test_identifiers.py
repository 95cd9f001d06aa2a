"""Names, dates, phone and record numbers go; eponyms and measures stay."""

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctprep.reports.identifiers import PLACEHOLDER, scrub

FOUND = {
    # names
    "Reviewed by Dr. Smith.": "Reviewed by Dr. XXXX.",
    "Dr. A. B. Smith was informed": "Dr. XXXX was informed",
    "Prof. Dr. Ayşe Öztürk": "Prof. Dr. XXXX",
    "Findings were discussed with Dr Jones at noon": (
        "Findings were discussed with Dr XXXX at noon"
    ),
    "discussed with John Smith": "discussed with XXXX",
    "Mr. O'Neil and Mrs. Smith-Jones": "Mr. XXXX and Mrs. XXXX",
    "Electronically signed by: Jane Q. Doe, MD on call": (
        "Electronically signed by: XXXX, MD on call"
    ),
    "Read by Dr Smith The lungs are clear": "Read by Dr XXXX The lungs are clear",
    "Patient name: DOE, JOHN\nFindings: nodule": "Patient name: XXXX\nFindings: nodule",
    "Name: Jan van der Berg": "Name: XXXX",
    "Referring physician: Robert Brown": "Referring physician: XXXX",
    "Jane Doe, M.D.": "XXXX, M.D.",
    "Nodule. Jane A. Doe, MD": "Nodule. XXXX, MD",
    "Best regards,\nJane Doe": "Best regards,\nXXXX",
    "/s/ Jane Doe": "/s/ XXXX",
    "Radiologist: Doe": "Radiologist: XXXX",
    # dates
    "CT of 12.03.2019": "CT of XXXX",
    "CT of 12/3/2019 10:45": "CT of XXXX",
    "Compared with 2019-03-12.": "Compared with XXXX.",
    "Compared with 03/31/2019,": "Compared with XXXX,",
    "Compared with 12/03/19": "Compared with XXXX",
    "Compared with 12-03-19": "Compared with XXXX",
    "on March 12, 2019": "on XXXX",
    "on March 12th": "on XXXX",
    "on 12 March 2019": "on XXXX",
    "on 12-Mar-2019": "on XXXX",
    "on the 3rd of May": "on the XXXX",
    "in May 2019": "in XXXX",
    "since 03/2019": "since XXXX",
    # phones
    "Tel: 0212 555 12 34": "Tel: XXXX",
    "call 555-123-4567": "call XXXX",
    "call (555) 123-4567 now": "call XXXX now",
    "call +90 212 555 1234": "call XXXX",
    "pager 12345": "pager XXXX",
    # numbers
    "MRN: 12345": "MRN: XXXX",
    "Accession number A12-345": "Accession number XXXX",
    "Patient ID AB123": "Patient ID XXXX",
    "Protocol no: 4711/19": "Protocol no: XXXX",
    "file 12345678901": "file XXXX",
    "study CT2019-12345": "study XXXX",
    "SSN 123-45-6789": "SSN XXXX",
    "series 1.2.840.113619.2.55.3": "series XXXX",
    # addresses
    "jane.doe@example.org": "XXXX",
    "see https://example.org/p?id=4": "see XXXX",
}

KEPT = [
    # eponyms
    "A Swan-Ganz catheter is in the pulmonary artery",
    "Hodgkin lymphoma, Kerley B lines and a Bochdalek hernia",
    "Ghon focus; Pancoast tumor; Hampton hump",
    "Port-A-Cath, Hickman and Foley catheters",
    "Morgagni hernia, Schmorl nodes, Paget disease",
    "Virchow node, Takayasu arteritis, Wegener granulomatosis",
    "Stanford type B and DeBakey III dissection",
    # measures
    "A 5/10 mm nodule",
    "Nodule of 10/5/12 mm",
    "A 12 x 9 x 10 mm lesion",
    "12.5 mm, 3.2.4 cm and 0.5 cc",
    "Density of -600 HU, 100 200 3000 HU",
    "Compression of T12 and L1-L2-L3",
    "lymph nodes of level 3/4",
    "Fractures of ribs 8/9/10",
    "Fractures of ribs 8-9-10",
    "segments 4-5-6",
    "stage 3/4, grade 1/2, Bosniak 2F, TNM T2N1M0",
    "An ejection fraction of 55 %, 120 kV, 250 mAs",
    "The nodule may 5 mm apart",
    "It may be a cyst",
    "0.625 mm slices, 1000 ml",
    "images 120-140 of series 4",
    "Since 2019 she had 5 operations",
    "A 52-year-old woman",
    "COVID-19 and SARS-CoV-2",
    "5-10 days",
    # labels and titles before what is no name
    "MR angiography, DR chest, MS lesions",
    "Discussed with the referring physician",
    "Discussed with Thoracic Surgery",
    "Reported to Emergency Department",
    "Signed by the radiologist on call",
    "Patient: Hodgkin Lymphoma, COPD",
    "Indication: Known lung cancer",
    "Radiologist: unknown",
    "IDs differ; the identity of the lesion",
    "Extension to the chest wall",
    "Extension 35 mm",
    "Cell 12 counts",
    "The trachea, MD",
    "RECIST 1.1, CTDIvol 12.3, DLP 456.7",
    "The left lung, no effusion",
]


@pytest.mark.parametrize("text", FOUND)
def test_identifiers_go(text: str) -> None:
    """Each is replaced whole, and counted."""
    scrubbed = scrub(text)

    assert scrubbed.text == FOUND[text]
    assert sum(scrubbed.counts.values()) == scrubbed.text.count(PLACEHOLDER)


@pytest.mark.parametrize("text", KEPT)
def test_medicine_stays(text: str) -> None:
    """Not a letter is changed."""
    assert scrub(text).text == text
    assert scrub(text).counts == {}


def test_counts() -> None:
    """By kind."""
    text = "Dr. Doe, 12.03.2019, 13.03.2019, MRN 12345, tel 555-123-4567, a@b.de"

    assert scrub(text).counts == {"address": 1, "date": 2, "name": 1, "number": 1, "phone": 1}


@given(st.text(alphabet="Dr. MRN:12/3ab\n,AZé@+-", max_size=60))
def test_twice_is_once(text: str) -> None:
    """A scrubbed text is scrubbed: running it again takes out nothing more."""
    once = scrub(text).text

    assert scrub(once).text == once


@pytest.mark.parametrize("text", ["-" * 30_000, "a-" * 15_000, " " * 30_000, "1 " * 15_000])
def test_odd_texts_take_no_minutes(text: str) -> None:
    """Rules of dashes and blanks are searched once, not once a sign."""
    assert scrub(text).counts == {}


def test_real_reports_lose_only_dates(shared_data: Path) -> None:
    """Published reports, whose names were taken out before, still tell dates of earlier scans."""
    path = shared_data / "reports/01_chest_ct_18_labels/train.csv"
    with path.open(encoding="utf-8", newline="") as file:
        texts = [row[1] for row in csv.reader(file)][1::8]

    found = [scrub(text).counts for text in texts]

    assert {kind for counts in found for kind in counts} == {"date"}
    assert len([counts for counts in found if counts]) > 10
