"""Every real DICOM file, by what its header says by hand: stored, or refused by which name."""

from collections import Counter
from pathlib import Path

import pytest

from ctprep.sources.discover import discover
from ctprep.sources.source import Refused

STORED = "stored"
CASES: dict[str, dict[str, int]] = {
    # Two series UIDs, B70f 30 and B40f 3 slices, each 8 mm apart.
    "01_siemens_two_kernels": {STORED: 2},
    # 32 positions 1.25 mm apart.
    "02_ge_jpeg_lossless_padding": {STORED: 1},
    # 9 positions 0.8 mm apart; the thickness of 1.25 mm is no spacing.
    "03_ge_overlapping_implicit_vr": {STORED: 1},
    # 7 positions 1 mm apart.
    "04_siemens_stripped_headers": {STORED: 1},
    # 10 positions 2 mm apart, no identifiers: one folder, one series.
    "06_siemens_jpeg2000_empty_uids": {STORED: 1},
    # 79 positions, gaps of 3.987 and 3.988 mm.
    "07_tiny_full_thorax": {STORED: 1},
    # Six series of one image.
    "08_mixed_planes_and_vendors": {"single-image": 6},
    # Eight series of one image.
    "09_single_slices_mixed_positions": {"single-image": 8},
    # The row axis keeps 1,0,0 while the positions step along z: 18.5 degrees off the normal.
    "12_gantry_tilt_mixed_spacing": {"gantry-tilt": 1},
    # z 18.1, 23.1, 28.1 and 38.1 mm: 33.1 is missing; acos 0.9703 is 14 degrees.
    "14_geometry_only_noise_pixels": {"gantry-tilt": 1, "missing-slice": 1},
    # Modality SEG.
    "16_odd_headers/modality_seg_single_frame": {"segmentation": 1},
    # Slopes 1 and 1.001.
    "16_odd_headers/slope_differs_between_slices": {"mixed-rescale": 1},
    # Intercepts 0 and 0.01.
    "16_odd_headers/intercept_differs_between_slices": {"mixed-rescale": 1},
    # No Modality, 2 positions 1 mm apart.
    "16_odd_headers/no_modality_intercept_zero": {STORED: 1},
    # One image.
    "16_odd_headers/flipped_rows_private_un": {"single-image": 1},
}
MENDED = {
    "16_odd_headers/slope_differs_between_slices": {STORED: 1},
    "16_odd_headers/intercept_differs_between_slices": {STORED: 1},
}
"""What `--tolerant` takes nevertheless: each slice has a rescale of its own."""


@pytest.mark.parametrize("tolerant", [False, True], ids=["strict", "tolerant"])
@pytest.mark.parametrize("case", CASES)
def test_verdict_is_the_one_by_hand(shared_data: Path, case: str, tolerant: bool) -> None:
    """As many series are taken, and as many refused by each name, as the headers say."""
    outcomes = discover(shared_data / "dicom" / case, tolerant=tolerant)

    got = Counter(o.verdict if isinstance(o, Refused) else STORED for o in outcomes)
    got.pop("not-a-scan", None)
    assert got == (MENDED if tolerant else {}).get(case, CASES[case])
