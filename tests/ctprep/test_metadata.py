"""Metadata tables: what is taken of a row, and each bad cell told with its line."""

from pathlib import Path

import pytest

from ctprep import metadata
from ctprep.dataset import load_dataset
from ctprep.metadata import read_metadata
from ctprep.sources import dicom_header
from ctprep.store.errors import TableError
from ctprep.store.manifest import load_manifest

HEADER = "VolumeName,RescaleSlope,RescaleIntercept,XYSpacing,ZSpacing"


def _table(folder: Path, *rows: str, header: str = HEADER) -> Path:
    path = folder / "metadata.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_a_row_gives_rescale_spacing_and_allowed_facts(tmp_path: Path) -> None:
    """By hand, list cell and all; age, sex and date are not among the facts."""
    header = f"{HEADER},Manufacturer,ConvolutionKernel,PatientAge,PatientSex,StudyDate,KVP"
    row = 'valid_53_a_1.nii.gz,1,-8192,"[0.68, 0.7]",1.5,Siemens,Br40f,050Y,F,20200101,120'

    table = read_metadata(_table(tmp_path, row, header=header))

    assert table.manifest.name == "ct_rate"
    (found,) = table.rows.values()
    assert (found.path, found.scan_id) == ("valid_53_a_1.nii.gz", "valid_53_a_1")
    assert (found.slope, found.intercept) == (1, -8192)
    assert found.spacing_mm == (1.5, 0.68, 0.7)
    assert dict(found.facts) == {
        "Manufacturer": "Siemens",
        "ConvolutionKernel": "Br40f",
        "KVP": 120,
    }


def test_the_facts_are_those_that_are_kept_of_dicom() -> None:
    """One allow-list, and exactly this: what is added to it is added to every store."""
    assert set(metadata.KEPT_TEXT) == set(dicom_header.KEPT_TEXT) == {
        "ConvolutionKernel", "Manufacturer", "ManufacturerModelName", "PatientPosition",
        "FilterType",
    }  # fmt: skip
    assert set(metadata.KEPT_NUMBERS) == set(dicom_header.KEPT_NUMBERS) == {
        "KVP", "SliceThickness", "XRayTubeCurrent", "SpiralPitchFactor",
    }  # fmt: skip


def test_empty_cells_are_unknown(tmp_path: Path) -> None:
    """As nothing, or as pandas writes nothing."""
    table = read_metadata(_table(tmp_path, "a_1_a_1.nii.gz,,nan,,"))

    (row,) = table.rows.values()
    assert (row.slope, row.intercept, row.spacing_mm) == (None, None, (None, None, None))
    assert row.parameters == {}


@pytest.mark.parametrize(
    ("cells", "told"),
    [
        ('1,-1024,"[0.68 0.68]",1.5', "XYSpacing holds a text of 11 characters, and not [mm, mm]"),
        ('1,-1024,"[0.68, zero]",1.5', "XYSpacing holds a text of 4 characters: no number"),
        ('1,-1024,"[0.68, 0]",1.5', "XYSpacing holds '0': no spacing in mm"),
        ('1,-1024,"[0.68, 0.68]",-1', "ZSpacing holds '-1': no spacing in mm"),
        ('1,-1024,"[0.68, 0.68]",inf', "ZSpacing holds 'inf': no number"),
        ('0,-1024,"[0.68, 0.68]",1.5', "RescaleSlope is 0"),
        ('one,-1024,"[0.68, 0.68]",1.5', "RescaleSlope holds a text of 3 characters: no number"),
        ('1,-10 24,"[0.68, 0.68]",1.5', "RescaleIntercept holds a text of 6 characters: no number"),
    ],
)
def test_a_bad_cell_is_told_with_its_line(tmp_path: Path, cells: str, told: str) -> None:
    """The header is line 1, so that an editor finds it."""
    path = _table(tmp_path, 'v_1_a_1.nii.gz,1,0,"[1, 1]",1', f"v_2_a_1.nii.gz,{cells}")

    with pytest.raises(TableError) as raised:
        read_metadata(path)

    assert f"line 3: {told}" in raised.value.what
    assert raised.value.where == "metadata.csv"


def test_all_bad_rows_are_told_at_once_and_no_volume_twice(tmp_path: Path) -> None:
    """Two faults in one error; the same volume packed and unpacked is one."""
    with pytest.raises(TableError, match=r"line 2: .*line 3: "):
        read_metadata(_table(tmp_path, "a.nii.gz,x,0,,", "b.nii.gz,y,0,,"))
    with pytest.raises(TableError, match="more than one row"):
        read_metadata(_table(tmp_path, "a.nii.gz,1,0,,", "a.nii,1,0,,"))


def test_a_table_of_no_data_set_is_told(tmp_path: Path) -> None:
    """With the columns that would be known."""
    path = _table(tmp_path, "a,1", header="name,spacing")

    with pytest.raises(TableError, match="no data set is known") as raised:
        read_metadata(path)
    assert "RescaleSlope" in raised.value.mend
    with pytest.raises(TableError, match="of no metadata table of RAD-ChestCT"):
        read_metadata(_table(tmp_path, "a,1,0,,"), load_manifest("rad_chestct"))


def test_rad_chestct_names_by_accession_and_knows_what_failed(tmp_path: Path) -> None:
    """The file is the table's, the scan id the accession, by which labels go."""
    header = "Accession,Set_Assigned,Subset_Assigned,status,full_filename_npz"
    rows = "TRN1,a,b,success,trn00001.npz", "TRN2,a,b,too few slices,trn00002.npz"

    table = read_metadata(_table(tmp_path, *rows, header=header))

    assert table.manifest.name == "rad_chestct"
    assert {file: (row.scan_id, row.failed) for file, row in table.rows.items()} == {
        "trn00001": ("trn1", ""),
        "trn00002": ("trn2", "too few slices"),
    }


def test_the_sample_tables_are_read(shared_data: Path) -> None:
    """The layout of the published tables: all 44 columns, and both of RAD-ChestCT."""
    ct_rate = read_metadata(next(shared_data.glob("ct_rate_metadata/*.csv")))
    log = read_metadata(next(shared_data.glob("npz/01*/CT_Scan_Preprocessing*.csv")))
    identifiers = read_metadata(next(shared_data.glob("npz/01*/all_identifiers.csv")))

    assert len(ct_rate.rows) == 7
    assert ct_rate.rows["valid_904_a_1"].spacing_mm == (None, 0.68, 0.68)
    assert ct_rate.rows["valid_905_a_1"].slope is None
    assert dict(ct_rate.rows["valid_902_a_1"].facts)["Manufacturer"] == "Philips"
    assert set(log.rows) == set(identifiers.rows)
    assert {log.manifest.name, identifiers.manifest.name} == {"rad_chestct"}


def test_npz_of_another_geometry_is_no_data_set_of_ours(tmp_path: Path) -> None:
    """The manifest of RAD-ChestCT says what the reader takes for granted; another is refused."""
    from ctprep.store.manifest import MANIFESTS

    text = (MANIFESTS / "rad_chestct.toml").read_text()
    other = tmp_path / "other.toml"
    other.write_text(
        text.replace('name = "rad_chestct"', 'name = "other"').replace("0.8, 0.8, 0.8", "1, 1, 1")
    )

    assert load_dataset("rad_chestct", None) is not None
    with pytest.raises(TableError, match="NPZ files are read as IPL"):
        load_dataset(str(other), None)
    with pytest.raises(TableError, match="no data set is called 'radchest'"):
        load_dataset("radchest", None)
