"""Tiny valid tables, manifests and grids."""

import io

import pyarrow as pa
import pyarrow.parquet as pq

from ctprep.store.tables import REPORT_SCHEMA

METADATA = b"""VolumeName,RescaleSlope,RescaleIntercept,XYSpacing,ZSpacing,Manufacturer
valid_1_a_1.nii.gz,1,-1024,"[0.68, 0.68]",1.5,Siemens
valid_2_a_1.nii.gz,,,"[0.7, 0.7]",1,
"""
SCANS = b"""scan_id,patient_id,split,path,study_id,format
scan_1,p1,train,a/scan_1.nii.gz,s1,nifti
scan_2,p2,tune,"a/scan,2.nii.gz",,
scan_3,p3,test,b/scan_3,s3,dicom
"""
LABELS = b"""VolumeName,Emphysema,Lung nodule
valid_1_a_1.nii.gz,0,1
valid_2_a_1.nii.gz,1.0,
valid_3_a_1.nii.gz,,0
"""
REPORTS = b"""VolumeName,Findings_EN,Impressions_EN,Technique
valid_1_a_1.nii.gz,"Trachea is open.
""No"" nodule.",Not given.,x
valid_2_a_1.nii.gz,Emphysema in both lungs.,Emphysema.,y
"""
GRID = b"""name = "mine"
spacing_mm = [1.5, 0.75, 0.75]
shape = [240, 480, 480]
"""
MANIFEST = b"""name = "input"
title = "A data set"
source = "https://example.org"
licence = "CC-BY-4.0"
citation = "Nobody, 2024."
evaluated = ["Emphysema"]
scans = "scans.csv"
notes = ["none"]

[layout]
format = "nifti"
description = "one file a scan"
globs = ["*.nii.gz"]

[tables.labels]
description = "labels"
key = "VolumeName"
columns = ["Emphysema"]

[[labels]]
name = "Emphysema"
ct_lite_name = "Emphysema"
in_subset_12 = true

[hu]
policy = "auto"
reason = "unknown"

[axes]
orientation = "fixed"
axis_codes = "SPL"
spacing = "fixed"
spacing_mm = [1.5, 0.75, 0.75]
reason = "by definition"

[[splits]]
name = "train"
used_as = "train"
patients = 1
volumes = 2

[prompts]
positive = "{label}"
negative = "no {label}"
"""


def reports_parquet() -> bytes:
    """Write a table of filtered reports."""
    row = {
        "scan_id": "scan_1",
        "text_full": "Emphysema. No nodule.",
        "text_positive": "Emphysema.",
        "text_negative": "No nodule.",
        "kept_sentences": [0],
        "backend": "rules",
        "model": "",
        "prompt_hash": "",
        "flags": ["x"],
    }
    return parquet(pa.Table.from_pylist([row, {**row, "scan_id": "scan_2"}], REPORT_SCHEMA))


def raw_reports_parquet() -> bytes:
    """Write a table of reports as delivered."""
    return parquet(pa.table({"scan_id": ["a", "b"], "report_text": ["Emphysema.", "No nodule."]}))


def parquet(table: pa.Table) -> bytes:
    """Write a table as Parquet."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()
