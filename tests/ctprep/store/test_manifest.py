"""Every data-set manifest validates, and a fault in one is named by its key."""

from pathlib import Path

import pytest

from ctprep.store.errors import TableError
from ctprep.store.labels import CT_LITE_LABELS, CT_RATE_LABELS
from ctprep.store.manifest import load_manifest, read_manifest

MANIFESTS = Path(__file__).parents[3] / "data_manifests"


def _header(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()[0].split(",")


@pytest.mark.parametrize("path", sorted(MANIFESTS.glob("*.toml")), ids=lambda path: path.stem)
def test_every_manifest_validates(path: Path) -> None:
    """The files of the repository are examples that hold."""
    manifest = read_manifest(path)

    assert manifest.name == path.stem
    assert set(manifest.evaluated) <= set(CT_LITE_LABELS)


@pytest.mark.parametrize(
    ("name", "labels", "lacking"),
    [
        ("ct_rate", 18, set()),
        ("rad_chestct", 13, {"Mosaic attenuation pattern"}),
        (
            "nidch",
            18,
            {
                "Interlobular septal thickening",
                "Peribronchial thickening",
                "Atelectasis",
                "Cardiomegaly",
            },
        ),
    ],
)
def test_evaluated_labels_are_the_papers(name: str, labels: int, lacking: set[str]) -> None:
    """K is 12, 11 and 8."""
    manifest = read_manifest(MANIFESTS / f"{name}.toml")

    assert set(CT_LITE_LABELS) - set(manifest.evaluated) == lacking
    assert len(manifest.labels) == labels


def test_rad_chestct_names_are_columns_of_its_table(shared_data: Path) -> None:
    """The mapping speaks of columns that the authors' own sample has."""
    header = _header(next(shared_data.glob("npz/*/*/imgtrain_BinaryLabels.csv")))
    manifest = read_manifest(MANIFESTS / "rad_chestct.toml")

    columns = set(header)
    assert {label.name for label in manifest.labels} <= columns
    assert set(manifest.tables["labels"].columns) <= columns


def test_ct_rate_columns_are_those_of_its_tables(shared_data: Path) -> None:
    """The metadata columns exist, and the label columns are the 18 in order."""
    header = _header(next(shared_data.glob("ct_rate_metadata/*.csv")))
    manifest = read_manifest(MANIFESTS / "ct_rate.toml")

    assert set(manifest.tables["metadata"].columns) <= set(header)
    assert manifest.tables["labels"].columns == CT_RATE_LABELS


@pytest.mark.parametrize(
    ("good", "bad", "named"),
    [
        ('name = "ct_rate"', 'name = "other"', "not that of the file"),
        ('licence = "', 'license = "', "license: Extra inputs"),
        ('policy = "auto"', 'policy = "guess"', "hu.policy"),
        ('spacing = "metadata-table"', 'spacing = "fixed"', "axes: Value error, spacing_mm"),
        ('orientation = "header"', 'orientation = "fixed"\naxis_codes = "LRS"', "axis twice"),
        ('fallback_axis_codes = "SPL"', 'fallback_axis_codes = "SPA"', "axis twice"),
        ('patient_pattern = "^([', 'patient_pattern = "^(?:[', "must have one group"),
        ('patient_pattern = "^([', 'patient_pattern = "^[', "no regular expression"),
        ('study_pattern = "^((?:', 'study_pattern = "^(((?:', "no regular expression"),
        ('study_pattern = "^((?:', 'study_pattern = "^((', "study_pattern '^((train|valid)"),
        ('key = "VolumeName"', "", "tables.reports.key"),
        ('ct_lite_name = "Emphysema"', 'ct_lite_name = "emphysema"', "labels.7: Value error"),
        ('ct_lite_name = "Emphysema"', 'ct_lite_name = "Atelectasis"', "twice"),
        (
            '"Medical material", in_subset_12 = false',
            '"Medical material", in_subset_12 = true',
            "in_subset_12 is wrong",
        ),
        ('negative = "no {label}"', 'negative = "no finding"', "prompts: Value error"),
        ('used_as = "test"', 'used_as = "valid"', "splits.1.used_as"),
        ('title = "CT-RATE"', "title = CT-RATE", "not TOML"),
    ],
)
def test_a_fault_is_named_by_its_key(tmp_path: Path, good: str, bad: str, named: str) -> None:
    """Break one thing of a good manifest: the error says which."""
    text = (MANIFESTS / "ct_rate.toml").read_text(encoding="utf-8")
    assert good in text
    path = tmp_path / "ct_rate.toml"
    path.write_text(text.replace(good, bad, 1), encoding="utf-8")

    with pytest.raises(TableError) as caught:
        read_manifest(path)

    assert named in caught.value.what
    assert caught.value.where == "ct_rate.toml"


def test_all_faults_come_in_one_error(tmp_path: Path) -> None:
    """Two wrong keys are both named."""
    text = (MANIFESTS / "ct_rate.toml").read_text(encoding="utf-8")
    path = tmp_path / "ct_rate.toml"
    text = text.replace('policy = "auto"', 'policy = "x"').replace("[layout]", "[layuot]")
    path.write_text(text, encoding="utf-8")

    with pytest.raises(TableError) as caught:
        read_manifest(path)

    assert all(key in caught.value.what for key in ("hu.policy", "layout: ", "layuot: "))


def test_a_manifest_is_found_by_name_or_path(tmp_path: Path) -> None:
    """The names are those of the files; another is told with them."""
    own = tmp_path / "ct_rate.toml"
    own.write_bytes((MANIFESTS / "ct_rate.toml").read_bytes())

    assert load_manifest("ct_rate") == load_manifest(str(own))
    with pytest.raises(TableError, match="'ctrate'") as caught:
        load_manifest("ctrate")
    assert "ct_rate, nidch, phantom, rad_chestct" in caught.value.mend


def test_missing_manifest(tmp_path: Path) -> None:
    """No traceback for a wrong path."""
    with pytest.raises(TableError, match="no such manifest"):
        read_manifest(tmp_path / "absent.toml")
