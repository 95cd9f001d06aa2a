"""The paper's samples: as many patients as it names, and nothing that it does not tell."""

import pytest

from ctprep.split.corpus import paper_sizes
from ctprep.split.draw import Sizes, draw_sides
from ctprep.split.groups import Group
from ctprep.store.errors import TableError
from ctprep.store.manifest import load_manifest


@pytest.mark.parametrize(
    ("dataset", "patients", "volumes"),
    [
        ("ct_rate", {"train": 573, "test": 215}, {"train": 1333, "test": 504}),
        ("nidch", {"train": 505, "test": 176}, {"train": 1336, "test": 511}),
    ],
)
def test_numbers_are_those_of_section_iv_b(
    dataset: str, patients: dict[str, int], volumes: dict[str, int]
) -> None:
    """788 patients and 1,837 volumes of CT-RATE; 681 and 1,847 of NIDCH, as its sums say."""
    splits = load_manifest(dataset).splits

    assert {split.used_as: split.patients for split in splits} == patients
    assert {split.used_as: split.volumes for split in splits} == volumes
    totals = {"ct_rate": (788, 1837), "nidch": (681, 1847)}
    assert (sum(patients.values()), sum(volumes.values())) == totals[dataset]
    assert paper_sizes(dataset) == Sizes(train=patients["train"], tune=0, test=patients["test"])


def test_a_tuning_side_comes_from_who_is_left() -> None:
    """Of 1,000 patients; a hospital of just the paper's 681 has none to spare."""
    groups = [Group((f"p{n}",), (f"s{n}",)) for n in range(1000)]

    found = list(draw_sides(groups, paper_sizes("ct_rate", 0.1), seed=0).values())

    sides = ("train", "tune", "test", "unused")
    assert [found.count(side) for side in sides] == [573, 100, 215, 112]  # type: ignore[arg-type]
    with pytest.raises(TableError, match="505 to train, 10 to tune, 176 to test leaves too few"):
        draw_sides(groups[:681], paper_sizes("nidch", 10), seed=0)


def test_rad_chestct_has_no_such_sample() -> None:
    """501 instances for the test; of how many patients is not stated."""
    with pytest.raises(TableError, match="tells no patients"):
        paper_sizes("rad_chestct")
