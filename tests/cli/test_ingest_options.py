"""What `ctprep ingest` does with the options that decide what is written."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from cli.ctprep import app
from ctprep.store.store import VolumeStore

GRID = 'name = "tiny"\nspacing_mm = [4.0, 4.0, 4.0]\nshape = [8, 16, 16]\n'


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    """Ingest one NIfTI scan into `out.zarr`, in this process."""
    (tmp_path / "source").mkdir()
    hu = np.full((16, 16, 8), -1000, np.int16)
    hu[3:13, 3:13] = 40
    hu[5:11, 5:11] = -850
    image = nibabel.Nifti1Image(hu, np.diag([4.0, 4.0, 4.0, 1.0]))
    image.header.set_xyzt_units("mm")
    nibabel.save(image, tmp_path / "source" / "doe_jane.nii.gz")
    (tmp_path / "grid.toml").write_text(GRID)
    source, store = str(tmp_path / "source"), str(tmp_path / "out.zarr")
    return ["ingest", source, store, "--grid", str(tmp_path / "grid.toml"), "--workers", "1"]


def test_a_dry_run_makes_no_key(arguments, tmp_path) -> None:
    """Not even the key of the pseudonyms is written."""
    done = CliRunner().invoke(app, [*arguments, "--dry-run"])

    assert done.exit_code == 0, done.output
    assert "1 planned" in done.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["grid.toml", "source"]


def test_native_jpeg_writes_a_jpeg_store(arguments, tmp_path) -> None:
    """Of the given quality, made before resampling."""
    done = CliRunner().invoke(app, [*arguments, "--native-jpeg", "70"])

    assert done.exit_code == 0, done.output
    attributes = VolumeStore.open(tmp_path / "out.zarr", kind="jpeg").attributes
    assert (attributes.encode_at, attributes.quality) == ("native", 70)


@pytest.mark.parametrize(("scan_ids", "begins"), [("stem", "doe_jane"), ("pseudonym", "ct-")])
def test_scan_ids_are_file_names_or_pseudonyms(arguments, tmp_path, scan_ids, begins) -> None:
    """A hospital may keep its file names out of the store."""
    done = CliRunner().invoke(app, [*arguments, "--scan-ids", scan_ids])

    assert done.exit_code == 0, done.output
    (scan_id,) = VolumeStore.open(tmp_path / "out.zarr").scan_ids()
    assert scan_id.startswith(begins)


def test_a_metadata_table_is_found_by_its_columns(arguments, tmp_path) -> None:
    """What it lists and what is there are compared; a refusal is exit code 3."""
    table = tmp_path / "metadata.csv"
    table.write_text(
        "VolumeName,RescaleSlope,RescaleIntercept,XYSpacing,ZSpacing\n"
        'doe_jane.nii.gz,1,-1024,"[4, 4]",4\n'
        'valid_1_a_1.nii.gz,1,-1024,"[4, 4]",4\n'
    )

    done = CliRunner().invoke(app, [*arguments, "--metadata", str(table)])

    assert done.exit_code == 3, done.output
    assert "refused valid_1_a_1.nii.gz: listed-but-absent" in done.output
    assert "1 refused, 1 stored" in done.output


def test_an_unknown_data_set_is_told_in_three_lines(arguments) -> None:
    """With those that are known."""
    done = CliRunner().invoke(app, [*arguments, "--dataset", "ctrate"])

    assert done.exit_code == 1
    assert "no data set is called 'ctrate'" in done.output
    assert "ct_rate" in done.output


def test_pictures_want_a_jpeg_store(arguments, tmp_path) -> None:
    """The refusal names the option, and with it they are stored."""
    folder = tmp_path / "source" / "stack"
    folder.mkdir()
    (tmp_path / "source" / "doe_jane.nii.gz").unlink()
    for number in range(4):
        Image.fromarray(np.full((16, 16), 60 * number, np.uint8)).save(folder / f"{number}.png")
    (folder / "stack.toml").write_text('spacing_mm = [4, 4, 4]\naxis_codes = "IPL"\n')

    refused = CliRunner().invoke(app, [*arguments, "--dry-run"])
    stored = CliRunner().invoke(app, [*arguments, "--native-jpeg", "90"])

    assert refused.exit_code == 3
    assert "already-windowed" in refused.output
    assert "--native-jpeg" in refused.output
    assert stored.exit_code == 0, stored.output
    assert VolumeStore.open(tmp_path / "out.zarr", kind="jpeg").scan_ids() == ("stack",)
