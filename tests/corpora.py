"""A small corpus for tests: a hi-fi store of four scans of three patients, and its tables."""

from pathlib import Path

from ctprep.store.attributes import Grid
from ctprep.store.store import VolumeStore
from ctprep.store.tables import ReportRow, write_reports
from tests.stores import smooth_voxels, store_attributes, volume_attributes

GRID = Grid(name="tiny", spacing_mm=(3.0, 1.5, 2.0), shape=(8, 16, 24))
IDS = ("a1", "a2", "b1", "c1")
SCANS = """scan_id,patient_id,split,study_id
a1,pa,train,s1
a2,pa,train,s1
b1,pb,tune,s2
c1,pc,test,s3
gone,pd,test,s4
"""
LABELS = """scan_id,Lung nodule,Emphysema
a1,1,0
a2,0,
b1,,1
gone,1,1
"""


def report(scan_id: str, positive: str) -> ReportRow:
    """A report of one abnormal sentence and a normal one."""
    return ReportRow(
        scan_id=scan_id,
        text_full=f"{positive} The heart is normal.",
        text_positive=positive,
        text_negative="",
        kept_sentences=(0,),
        backend="rules",
        model="",
        prompt_hash="0",
        flags=("short",),
    )


def write_corpus(folder: Path) -> Path:
    """Write `hifi.zarr`, `scans.csv`, `labels.csv` and `reports.parquet` into a folder.

    The tables name `gone`, which the store lacks; `c1` has no labels and no report.
    """
    store = VolumeStore.create(folder / "hifi.zarr", store_attributes("hifi", GRID))
    for seed, scan_id in enumerate(IDS):
        voxels = smooth_voxels("hifi", GRID.shape, seed)
        store.write(scan_id, voxels, volume_attributes(scan_id, GRID))
    store.write_catalog()
    (folder / "scans.csv").write_text(SCANS)
    (folder / "labels.csv").write_text(LABELS)
    rows = [report("a1", "Nodule of 8 mm."), report("a2", "Émphysème."), report("b1", "Nodule.")]
    write_reports(folder / "reports.parquet", rows)
    return folder
