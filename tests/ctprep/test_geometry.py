"""Any storage order comes to SPL with every voxel at its place in the world."""

from itertools import permutations, product

import nibabel
import numpy as np
import pytest

from ctprep.affines import map_points
from ctprep.geometry import is_oblique, reorient, to_canonical
from ctprep.store.attributes import PAD_HU
from ctprep.store.errors import SourceError
from ctprep.volume import Volume

SHAPE = (4, 5, 6)
SPACING_MM = (3.0, 2.0, 1.0)
ORIENTATIONS = [
    (order, signs) for order in permutations(range(3)) for signs in product((1, -1), repeat=3)
]


def _volume(order: tuple[int, ...], signs: tuple[int, ...]) -> Volume:
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis, world in enumerate(order):
        affine[world, axis] = signs[axis] * SPACING_MM[axis]
    affine[:3, 3] = (10, -20, 30)
    hu = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)
    return Volume(hu=hu, affine_ras=affine)


def _places(volume: Volume) -> dict[int, tuple[float, ...]]:
    index = np.argwhere(np.ones(volume.hu.shape, bool))
    world = np.round(map_points(volume.affine_ras, index.astype(np.float64)), 6) + 0.0
    return dict(zip(volume.hu.ravel().tolist(), map(tuple, world.tolist()), strict=True))


@pytest.mark.parametrize(("order", "signs"), ORIENTATIONS)
def test_every_storage_order_keeps_every_voxel_in_place(
    order: tuple[int, ...], signs: tuple[int, ...]
) -> None:
    """All 48 storage orders: codes become SPL and no voxel moves in the world."""
    volume = _volume(order, signs)

    canonical = to_canonical(volume)

    assert canonical.axis_codes == "SPL"
    assert _places(canonical) == _places(volume)


@pytest.mark.parametrize(("order", "signs"), ORIENTATIONS)
def test_axis_codes_are_those_of_nibabel(order: tuple[int, ...], signs: tuple[int, ...]) -> None:
    """The letters agree with nibabel's, also for a slightly turned affine."""
    affine = _volume(order, signs).affine_ras
    affine[:3, :3] = _turn(0.3) @ affine[:3, :3]

    codes = Volume(hu=np.zeros(SHAPE, np.int16), affine_ras=affine).axis_codes

    assert tuple(codes) == nibabel.aff2axcodes(affine)


def _turn(angle: float) -> np.ndarray:
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])


def _ramp(angle: float) -> Volume:
    """A volume whose HU is its own height above the floor in mm, times ten."""
    shape = (30, 40, 20)
    affine = np.eye(4)
    affine[:3, :3] = _turn(angle) @ np.array([[0, 0, -1.0], [0, -1.5, 0], [2.0, 0, 0]])
    index = np.argwhere(np.ones(shape, bool)).astype(np.float64)
    height_mm = map_points(affine, index)[:, 2].reshape(shape)
    return Volume(hu=np.rint(10 * height_mm).astype(np.int16), affine_ras=affine)


def test_oblique_scan_is_resampled_onto_the_axes() -> None:
    """After resampling, height is still what the affine says, and all of the scan is inside."""
    volume = _ramp(0.25)

    canonical = to_canonical(volume)

    assert canonical.axis_codes == "SPL"
    assert not is_oblique(canonical)
    index = np.argwhere(canonical.hu != PAD_HU)
    meant = 10 * map_points(canonical.affine_ras, index.astype(np.float64))[:, 2]
    found = canonical.hu[tuple(index.T)]
    # Beyond the outermost voxel centers the interpolation holds its last value.
    inner = np.abs(found - meant) <= 1.0
    assert inner.mean() > 0.9
    assert len(index) > 0.9 * volume.hu.size
    corners = np.array(list(product(*((0, n - 1) for n in volume.hu.shape))), np.float64)
    inside = (
        np.linalg.inv(canonical.affine_ras)
        @ np.c_[map_points(volume.affine_ras, corners), np.ones(8)].T
    )[:3].T
    assert (inside > -1e-6).all()
    assert (inside < np.array(canonical.hu.shape) - 1 + 1e-6).all()


def test_tilt_below_half_a_voxel_touches_no_value() -> None:
    """A turn by 1e-4 moves no voxel by half its size, so the values stay as they are."""
    volume = _ramp(1e-4)

    assert np.shares_memory(to_canonical(volume).hu, volume.hu)


def test_shear_is_refused_as_gantry_tilt() -> None:
    """Slices shifted against each other cannot be undone by turning."""
    volume = _ramp(0.0)
    volume.affine_ras[1, 0] = 0.5

    with pytest.raises(SourceError) as caught:
        to_canonical(volume)

    assert caught.value.verdict == "gantry-tilt"
    assert "tilt" in caught.value.mend


def test_reorient_goes_anywhere_and_back() -> None:
    """To LPS order and back gives the same array and affine."""
    volume = _volume((2, 1, 0), (1, -1, -1))

    there = reorient(volume, "LAI")
    back = reorient(there, volume.axis_codes)

    assert there.axis_codes == "LAI"
    np.testing.assert_array_equal(back.hu, volume.hu)
    np.testing.assert_allclose(back.affine_ras, volume.affine_ras)
