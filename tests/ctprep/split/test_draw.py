"""A split keeps together what belongs together, has the sizes asked for, and spreads labels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctprep.split.draw import Sizes, draw_sides
from ctprep.split.groups import Group, group_scans
from ctprep.store.errors import TableError


def single_groups(count: int) -> list[Group]:
    """Patients p000, p001, ... of one scan each, s000, s001, ..."""
    return [Group((f"p{number:03}",), (f"s{number:03}",)) for number in range(count)]


def test_equal_reports_bind_two_patients_and_a_template_binds_none() -> None:
    """Four patients share "Normal.", a and b one unusual text, spelled with other spaces."""
    patient_of = {f"{patient}{n}": patient for patient in "abcdef" for n in (1, 2)}
    text_of = dict.fromkeys(("c1", "d1", "e1", "f1"), "Normal.")
    text_of |= {"a1": "Nodule of  7 mm.", "b2": "nodule of 7 mm.\n", "a2": "", "b1": "  "}

    grouping = group_scans(patient_of, text_of)

    assert grouping.groups[0] == Group(("a", "b"), ("a1", "a2", "b1", "b2"))
    assert [group.patients for group in grouping.groups[1:]] == [("c",), ("d",), ("e",), ("f",)]
    assert (grouping.bound, grouping.templates) == (2, 1)


def test_bonds_chain() -> None:
    """A shares a text with b, and b another with c: all three stay together."""
    patient_of = {"a": "a", "b1": "b", "b2": "b", "c": "c"}

    grouping = group_scans(patient_of, {"a": "x", "b1": "x", "b2": "y", "c": "y"})

    assert [group.patients for group in grouping.groups] == [("a", "b", "c")]


@given(
    st.lists(st.integers(1, 3), min_size=8, max_size=40),
    st.integers(0, 2**16),
    st.sampled_from([0.0, 0.2, 0.4]),
)
def test_every_scan_gets_one_side_and_no_group_two(
    scans_each: list[int], seed: int, share: float
) -> None:
    """Any corpus, any seed: sizes in patients are exact where a group is one patient."""
    groups = [
        Group((f"p{number}",), tuple(f"s{number}-{n}" for n in range(scans)))
        for number, scans in enumerate(scans_each)
    ]

    sides = draw_sides(groups, Sizes(tune=0.1, test=share), seed=seed)

    of_group = [{sides[scan] for scan in group.scan_ids} for group in groups]
    assert all(len(found) == 1 for found in of_group)
    assert sum(found == {"test"} for found in of_group) == round(share * len(groups))
    assert sum(found == {"tune"} for found in of_group) == round(0.1 * len(groups))


def test_counts_leave_the_rest_unused() -> None:
    """The paper's way: so many patients for training, so many for the test."""
    sides = draw_sides(single_groups(100), Sizes(train=57, tune=0, test=21), seed=3)

    found = list(sides.values())
    assert [found.count(side) for side in ("train", "tune", "test", "unused")] == [57, 0, 21, 22]  # type: ignore[comparison-overlap]


def test_a_test_set_from_elsewhere_trains_nobody() -> None:
    """501 of many for the test as the paper has of RAD-ChestCT, or everyone; none for training."""
    groups = [Group(("p000", "q"), ("s000", "q")), *single_groups(20)[1:]]

    some = list(draw_sides(groups, Sizes(train=0, tune=0, test=5), seed=0).values())
    everyone = draw_sides(
        groups,
        Sizes(train=0, tune=0),
        seed=0,
        fixed=dict.fromkeys(("q", *map("s{:03}".format, range(20))), "test"),
    )

    assert "train" not in some
    assert some.count("test") in (5, 6)  # type: ignore[comparison-overlap]
    assert set(everyone.values()) == {"test"}


def test_a_share_of_few_patients_is_one_of_them() -> None:
    """A tenth of three rounds to none: thresholds would have no scans to be chosen on."""
    sides = list(draw_sides(single_groups(3), Sizes(), seed=0).values())

    assert sorted(sides) == ["test", "train", "tune"]


def test_rare_labels_are_on_every_side_in_their_share() -> None:
    """Of 300 patients 10 have the rare label and 100 the common one; a third is for the test."""
    groups = single_groups(300)
    rng = np.random.default_rng(1)
    rare, common = rng.permutation(300)[:10], rng.permutation(300)[:100]
    positives = {
        f"s{number:03}": np.array([float(number in rare), float(number in common)])
        for number in range(300)
    }

    for seed in range(5):
        sides = draw_sides(groups, Sizes(tune=0.2, test=0.3), seed=seed, positives=positives)
        sums = {
            side: sum(positives[scan] for scan, own in sides.items() if own == side)
            for side in ("train", "tune", "test")
        }
        assert sums["test"].tolist() == pytest.approx([3, 30], abs=1)  # type: ignore[union-attr]
        assert sums["tune"].tolist() == pytest.approx([2, 20], abs=1)  # type: ignore[union-attr]


def test_a_rare_label_is_counted_in_patients() -> None:
    """Ten patients have it, one of them ten times: a fifth of them is two, not that one alone."""
    scans_each = [10 if number == 0 else 1 for number in range(100)]
    groups = [
        Group((f"p{number}",), tuple(f"s{number}_{n}" for n in range(scans)))
        for number, scans in enumerate(scans_each)
    ]
    positives = {
        scan: np.array([float(number < 10)])
        for number, group in enumerate(groups)
        for scan in group.scan_ids
    }

    for seed in range(20):
        sides = draw_sides(groups, Sizes(tune=0.2, test=0.3), seed=seed, positives=positives)
        found = [sides[f"s{number}_0"] for number in range(10)]
        assert [found.count(side) for side in ("train", "tune", "test")] == [5, 2, 3]  # type: ignore[comparison-overlap]


def test_seeds_differ_and_one_seed_does_not() -> None:
    """The same seed gives the same split, whatever the order in a dictionary was."""
    groups = single_groups(50)

    first, again, other = (draw_sides(groups, Sizes(), seed=seed) for seed in (0, 0, 1))

    assert first == again != other


def test_official_test_scans_are_the_whole_test_side_with_their_groups() -> None:
    """s000 is official; its patient's other scan goes with it, and nobody else does."""
    groups = [Group(("p000",), ("s000", "extra")), *single_groups(20)[1:]]

    sides = draw_sides(groups, Sizes(), seed=0, fixed={"s000": "test"})

    assert {scan for scan, side in sides.items() if side == "test"} == {"s000", "extra"}


def test_scans_of_one_patient_on_two_fixed_sides_are_refused() -> None:
    """Nothing is guessed where a published split parts a patient."""
    groups = [Group(("p",), ("a", "b")), *single_groups(5)]

    with pytest.raises(TableError, match="a in test, b in train"):
        draw_sides(groups, Sizes(), seed=0, fixed={"a": "test", "b": "train"})


@pytest.mark.parametrize(
    "sizes",
    [
        Sizes(tune=0.5, test=0.5),
        Sizes(train=8, tune=2, test=1),
        Sizes(tune=-0.1),
        Sizes(test=11),
        Sizes(test=1.5),
        Sizes(train=0, tune=0, test=0),
    ],
)
def test_sizes_that_cannot_be_met_are_refused(sizes: Sizes) -> None:
    """None left to train on, more than there are, less than nothing."""
    with pytest.raises(TableError):
        draw_sides(single_groups(10), sizes, seed=0)


def test_a_large_group_leaves_no_side_empty() -> None:
    """Eight patients with one report and three others: the eight go where there is room."""
    eight = Group(tuple(f"g{n}" for n in range(8)), tuple(f"g{n}-1" for n in range(8)))
    for seed in range(8):
        sides = draw_sides([*single_groups(3), eight], Sizes(tune=0.1, test=0.2), seed=seed)
        assert set(sides.values()) == {"train", "tune", "test"}
        assert sides["g0-1"] == "train"


def test_a_side_that_nobody_can_fill_is_told() -> None:
    """Everyone has one report, so all stay together."""
    everyone = Group(tuple(f"p{n}" for n in range(9)), tuple(f"s{n}" for n in range(9)))

    with pytest.raises(TableError, match="no patient is left for tune, test"):
        draw_sides([everyone], Sizes(), seed=0)
