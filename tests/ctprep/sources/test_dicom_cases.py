"""Every real DICOM file, by what its header says by hand: stored, or refused by which name."""

import tomllib
from collections import Counter
from pathlib import Path

import pytest

from ctprep.sources.discover import discover
from ctprep.sources.read import read
from ctprep.sources.source import Found
from ctprep.store.errors import SourceError

CASES = {
    case["folder"]: case
    for case in tomllib.loads(Path(__file__).with_name("dicom_cases.toml").read_text())["case"]
}
DOCUMENTS = ("SOURCE.md", "LICENSE")


def _judge(folder: Path, *, tolerant: bool, reads: bool = True) -> Counter[str]:
    got: Counter[str] = Counter()
    for outcome in discover(folder, tolerant=tolerant):
        if not isinstance(outcome, Found):
            got[outcome.verdict] += outcome.files
            continue
        try:
            if reads:
                read(outcome, tolerant=tolerant)
            got["stored"] += 1
        except SourceError as error:
            got[error.verdict] += len(outcome.paths)
    got.pop("not-a-scan", None)
    return got


@pytest.mark.parametrize("case", CASES)
def test_verdict_is_the_one_by_hand(shared_data: Path, case: str) -> None:
    """As many volumes are read, and as many files refused by each name, as the headers say."""
    got = _judge(shared_data / "dicom" / case, tolerant=False)

    assert got == CASES[case]["strict"]


@pytest.mark.parametrize("case", CASES)
def test_tolerant_verdict_is_the_one_by_hand(shared_data: Path, case: str) -> None:
    """Tolerance takes nothing more, except where the table says so; only that is read again."""
    expected = CASES[case].get("tolerant")

    got = _judge(shared_data / "dicom" / case, tolerant=True, reads=expected is not None)

    assert got == (expected or CASES[case]["strict"])


@pytest.mark.slow
@pytest.mark.parametrize("case", [name for name, case in CASES.items() if "tolerant" not in case])
def test_tolerance_reads_the_same(shared_data: Path, case: str) -> None:
    """What was taken strictly is taken tolerantly, to the pixels."""
    got = _judge(shared_data / "dicom" / case, tolerant=True)

    assert got == CASES[case]["strict"]


def test_every_file_is_of_a_case(shared_data: Path) -> None:
    """No folder of the data is left out."""
    root = shared_data / "dicom"
    files = [path.relative_to(root) for path in root.rglob("*") if path.is_file()]

    left = [
        path.as_posix()
        for path in files
        if path.name not in DOCUMENTS
        and not any(parent.as_posix() in CASES for parent in path.parents)
    ]
    assert left == []
    assert len({path.parts[0] for path in files}) == 16
