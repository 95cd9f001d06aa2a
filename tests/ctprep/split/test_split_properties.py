"""What holds of every split, whatever the corpus, its texts, its labels and the seed."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctprep.split.draw import Positives, Side, Sizes, draw_sides
from ctprep.split.groups import MOST_SHARING, Group, group_scans

Corpus = tuple[dict[str, str], dict[str, str], dict[str, np.ndarray]]
"""Patient, text and labels by scan id."""


@st.composite
def corpora(draw: st.DrawFn) -> Corpus:
    """Up to 40 patients of up to three scans, texts of which some are equal, three labels."""
    scans_each = draw(st.lists(st.integers(1, 3), min_size=12, max_size=40))
    rng = random.Random(draw(st.integers(0, 2**32)))
    texts = max(1, draw(st.integers(60, 300)))
    patient_of, text_of, positives = {}, {}, {}
    for patient, scans in enumerate(scans_each):
        for scan in range(scans):
            scan_id = f"s{patient:02}_{scan}"
            patient_of[scan_id] = f"p{patient:02}"
            text_of[scan_id] = f"text {rng.randrange(texts)}"
            positives[scan_id] = np.array([float(rng.random() < p) for p in (0.05, 0.3, 0.6)])
    return patient_of, text_of, positives


def _split(corpus: Corpus, seed: int, sizes: Sizes | None = None) -> dict[str, Side]:
    patient_of, text_of, positives = corpus
    groups = group_scans(patient_of, text_of).groups
    # One group may hold nearly everyone: then there is no split.
    if max(len(group.patients) for group in groups) > len(set(patient_of.values())) // 3:
        return {}
    return draw_sides(groups, sizes or Sizes(tune=0.2, test=0.3), seed=seed, positives=positives)


@given(corpora(), st.integers(0, 2**16))
def test_no_patient_and_no_shared_report_is_on_two_sides(corpus: Corpus, seed: int) -> None:
    """Every scan has one side; equal texts of two or three patients bind them."""
    patient_of, text_of, _ = corpus
    sides = _split(corpus, seed)
    if not sides:
        return

    assert sides.keys() == patient_of.keys()
    for patient in set(patient_of.values()):
        assert len({sides[scan] for scan, own in patient_of.items() if own == patient}) == 1
    for text in set(text_of.values()):
        sharing = [scan for scan, own in text_of.items() if own == text]
        if len({patient_of[scan] for scan in sharing}) <= MOST_SHARING:
            assert len({sides[scan] for scan in sharing}) == 1


@given(corpora(), st.integers(0, 2**16), st.integers(0, 2**16))
def test_a_split_is_a_function_of_seed_and_corpus(corpus: Corpus, seed: int, order: int) -> None:
    """Rows of the catalog, of reports and of labels in any other order give the same sides."""
    shuffled = []
    for table in corpus:
        items = list(table.items())
        random.Random(order).shuffle(items)
        shuffled.append(dict(items))

    assert _split(tuple(shuffled), seed) == _split(corpus, seed)  # type: ignore[arg-type]


@given(corpora(), st.integers(0, 2**16))
def test_sizes_are_met_to_a_group(corpus: Corpus, seed: int) -> None:
    """A side has too many by less than its last group, in patients."""
    patient_of, text_of, _ = corpus
    sides = _split(corpus, seed)
    if not sides:
        return

    largest = max(len(group.patients) for group in group_scans(patient_of, text_of).groups)
    total = len(set(patient_of.values()))
    for side, share in (("tune", 0.2), ("test", 0.3)):
        found = len({patient_of[scan] for scan, own in sides.items() if own == side})
        assert abs(found - round(share * total)) < largest * 2
        assert found < round(share * total) + largest


@given(st.integers(30, 80), st.integers(3, 20), st.integers(0, 2**16), st.sampled_from([0.2, 0.35]))
def test_the_rarest_label_is_spread_to_a_scan_or_two(
    patients: int, ill: int, seed: int, share: float
) -> None:
    """No side has one scan too many of it, none lacks two; a common label lies over it."""
    rng = np.random.default_rng(seed)
    rare = set(rng.permutation(patients)[:ill].tolist())
    common = set(rng.permutation(patients)[: patients - 2].tolist())
    groups = [Group((f"p{n}",), (f"s{n}",)) for n in range(patients)]
    positives = {f"s{n}": np.array([float(n in rare), float(n in common)]) for n in range(patients)}

    sides = draw_sides(groups, Sizes(tune=share, test=share), seed=seed, positives=positives)

    for side in ("train", "tune", "test"):
        inside = [scan for scan, own in sides.items() if own == side]
        found = sum(positives[scan][0] for scan in inside)
        assert -1 < ill * len(inside) / patients - found < 2


def _shares(sides: dict[str, Side], positives: Positives, side: str) -> np.ndarray:
    return np.mean([positives[scan] for scan, own in sides.items() if own == side], axis=0)


@pytest.mark.parametrize("seed", range(3))
def test_labels_are_spread_though_the_test_side_is_given(seed: int) -> None:
    """An official test set of the healthy: tuning scans are as ill as training scans are.

    Were labels counted over all, both sides would have more of them than there should be, and
    the smaller would get half of what is too many.
    """
    groups = [Group((f"p{n}",), (f"s{n}",)) for n in range(400)]
    fixed: dict[str, Side] = {f"s{n}": "test" for n in range(100)}
    rng = np.random.default_rng(seed)
    positives = {
        f"s{n}": (rng.random(4) < (0.02 if n < 100 else 0.3)).astype(float) for n in range(400)
    }

    sides = draw_sides(groups, Sizes(tune=0.1), seed=seed, positives=positives, fixed=fixed)

    np.testing.assert_allclose(
        _shares(sides, positives, "tune"), _shares(sides, positives, "train"), atol=0.04
    )


def test_a_further_scan_of_a_known_patient_moves_nobody() -> None:
    """Without labels; a further patient does, as the sizes are then others (docs/ct_rate.md)."""
    patient_of = {f"s{n}_1": f"p{n}" for n in range(40)}
    grown = {**patient_of, "s7_2": "p7"}

    before = draw_sides(group_scans(patient_of).groups, Sizes(), seed=5)
    after = draw_sides(group_scans(grown).groups, Sizes(), seed=5)

    assert {scan: after[scan] for scan in before} == before
    assert after["s7_2"] == before["s7_1"]
