"""Resampling gives what CT-CLIP gives, rounded once to whole HU."""

from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from ctprep.resample import content_box, plan_axis, to_grid
from ctprep.store.attributes import PAD_HU, Grid
from ctprep.store.errors import SourceError
from ctprep.volume import Volume

CASES = ("up_crop", "down_pad", "mixed", "odd", "trunc", "identity")
ROUNDING = 0.5 / 1000 + 1e-6


def _volume(hu: np.ndarray, slice_mm: float, plane_mm: float) -> Volume:
    affine = np.array(
        [
            [0, 0, -plane_mm, 100.0],
            [0, -plane_mm, 0, 200.0],
            [slice_mm, 0, 0, -300.0],
            [0, 0, 0, 1.0],
        ]
    )
    return Volume(hu=hu.astype(np.int16), affine_ras=affine)


def _case(golden: Path, case: str) -> tuple[Volume, Grid, dict[str, np.ndarray]]:
    vectors = load_file(golden / "preprocess.safetensors")
    parts = {k.split(".")[1]: v for k, v in vectors.items() if k.startswith(f"{case}.")}
    slope, intercept = parts["slope_intercept"]
    # Columns run to the left, so the golden's (x, y, z) is our (column, row, slice).
    hu = (slope * parts["raw"] + intercept).transpose(2, 1, 0)
    plane_mm, slice_mm = parts["spacing_xyz"][[0, 2]]
    shape = tuple(int(n) for n in parts["target_xyz"][::-1])
    grid = Grid(name="golden", spacing_mm=(1.5, 0.75, 0.75), shape=shape)
    return _volume(hu, float(slice_mm), float(plane_mm)), grid, parts


@pytest.mark.parametrize("case", CASES)
def test_clipped_before_resampling_equals_the_inference_loader(golden: Path, case: str) -> None:
    """The reference's inference view: clip, resample, divide by 1000, crop or pad with -1."""
    volume, grid, parts = _case(golden, case)

    stored = to_grid(volume, grid, hu_range=(-1000, 1000)).hu

    video = np.clip(stored, -1000, 1000).transpose(0, 2, 1)[None] / 1000
    np.testing.assert_allclose(video, parts["infer"], rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("case", CASES)
def test_clipped_after_resampling_equals_the_training_loader(golden: Path, case: str) -> None:
    """The reference's training view: resample everything, then clip."""
    volume, grid, parts = _case(golden, case)

    stored = to_grid(volume, grid, hu_range=(-32768, 32767)).hu

    video = np.clip(stored, -1000, 1000).transpose(0, 2, 1)[None] / 1000
    # HU down to -11192 leave float32 a little less exact.
    np.testing.assert_allclose(video, parts["train"], rtol=0, atol=ROUNDING + 4e-6)


def test_length_truncates_the_exact_quotient() -> None:
    """By hand: 10 * (1.2 / 1.5) is 7.999... in double precision, so 7 and not 8."""
    assert plan_axis(10, 1.2, 1.5, 240).resampled == 7


def test_spacing_kept_in_single_precision_counts_as_what_was_meant() -> None:
    """0.75 mm is the same length whether DICOM or a float32 of NIfTI says it."""
    exact = [plan_axis(n, 0.8, 0.75, 480).resampled for n in range(2, 600)]
    single = [plan_axis(n, float(np.float32(0.8)), 0.75, 480).resampled for n in range(2, 600)]

    assert single == exact


def test_ties_round_to_even() -> None:
    """By hand: doubling [0, 3] samples 0, 0.75, 2.25, 3; [0, 2] gives 0, 0.5, 1.5, 2."""
    grid = Grid(name="t", spacing_mm=(1, 1, 1), shape=(2, 2, 4))
    hu = np.broadcast_to([0, 2], (2, 2, 2))

    stored = to_grid(
        Volume(hu=hu.astype(np.int16), affine_ras=np.diag([1.0, 1, 2, 1])),
        grid,
        hu_range=(-1024, 3071),
    ).hu

    assert stored[0, 0].tolist() == [0, 0, 2, 2]


@pytest.mark.parametrize("length", [3, 5, 8, 11])
def test_affine_follows_crop_and_pad(length: int) -> None:
    """A ramp that encodes world position still does so after crop or pad, away from borders."""
    grid = Grid(name="t", spacing_mm=(2, 1, 1), shape=(7, 6, 6))
    ramp = np.broadcast_to(100 * np.arange(length)[:, None, None], (length, 6, 6))
    volume = _volume(ramp, 3.0, 1.0)

    gridded = to_grid(volume, grid, hu_range=(-1024, 3071))

    (first, end), *_ = content_box(volume, grid)
    for index in range(first + 1, end - 1):
        world_mm = (gridded.affine_ras @ [index, 2, 2, 1])[2]
        meant = 100 * (world_mm + 300) / 3
        if 0 <= meant <= 100 * (length - 1):
            assert abs(gridded.hu[index, 2, 2] - meant) <= 0.5 + 1e-3
    assert (gridded.hu[:first] == PAD_HU).all()
    assert (gridded.hu[end:] == PAD_HU).all()


def test_too_few_slices_are_refused() -> None:
    """Less than one voxel of the grid is no volume, and the error says what to do."""
    volume = _volume(np.zeros((2, 8, 8)), 0.5, 1.0)

    with pytest.raises(SourceError, match="less than one") as caught:
        to_grid(
            volume, Grid(name="t", spacing_mm=(2, 1, 1), shape=(4, 8, 8)), hu_range=(-1024, 3071)
        )

    assert caught.value.verdict == "too-thin"
    assert caught.value.mend


@pytest.mark.parametrize("shape", [(50, 61, 70), (9, 30, 31), (3, 5, 7)])
@pytest.mark.parametrize("spacing_mm", [(0.5, 0.9, 0.4), (5.0, 0.6, 0.6), (9.0, 4.0, 2.0)])
def test_every_voxel_is_the_trilinear_mean(
    shape: tuple[int, int, int], spacing_mm: tuple[float, float, float]
) -> None:
    """Against double precision: thin slices that are jumped over, crops, pads, flipped views."""
    hu = np.random.default_rng(0).integers(-3000, 4000, shape).astype(np.int16)[::-1, :, ::-1]
    volume = Volume(hu=hu, affine_ras=np.diag([*spacing_mm, 1.0]))
    grid = Grid(name="t", spacing_mm=(1.5, 0.75, 0.75), shape=(24, 40, 56))

    got = to_grid(volume, grid, hu_range=(-1024, 3071)).hu

    meant = np.clip(hu, -1024, 3071).astype(np.float64)
    for axis, (spacing, target) in enumerate(zip(spacing_mm, grid.spacing_mm, strict=True)):
        plan = plan_axis(shape[axis], spacing, target, grid.shape[axis])
        position = (np.arange(plan.resampled) + 0.5) * shape[axis] / plan.resampled - 0.5
        position = position[plan.crop : plan.crop + plan.kept].clip(0, shape[axis] - 1)
        lines = np.moveaxis(meant, axis, -1)
        low = np.floor(position).astype(int)
        high = np.ceil(position).astype(int)
        meant = np.moveaxis(
            lines[..., low] + (lines[..., high] - lines[..., low]) * (position - low), -1, axis
        )
    box = tuple(slice(first, end) for first, end in content_box(volume, grid))
    np.testing.assert_allclose(got[box], meant, rtol=0, atol=0.5 + 1e-3)
    assert np.count_nonzero(got == PAD_HU) >= got.size - meant.size


@pytest.mark.parametrize(
    ("shape", "spacing_mm", "digest"),
    [
        pytest.param(
            (20, 70, 61),
            (2.0, 0.7, 0.7),
            "6fe240e0ce69e2dc8c6c66c0dbe7be2b44214eec96c998c502950f740e5bc850",
            id="finer-slices-coarser-plane",
        ),
        pytest.param(
            (20, 70, 61),
            (2.0, 0.8, 0.9),
            "2d993da7d26d7a5de671b64dfbddd69fae5bcb36fd56cf3fe188f368b0a5e21f",
            id="finer-everywhere",
        ),
        pytest.param(
            (90, 70, 61),
            (0.6, 0.7, 0.7),
            "2e30cab3825a705f9475bc95e6078a4f5ab08a831acc59bba9ac89240db18cde",
            id="thin-slices-blended-first",
        ),
        pytest.param(
            (20, 70, 61),
            (1.5, 0.75, 0.7),
            "b6d4396426ce4af1ca82b4ea0fedf8e7c92246a753afe6af4406a14cb3ae8f41",
            id="axes-that-stay",
        ),
    ],
)
def test_bytes_are_the_same_on_every_machine(
    shape: tuple[int, int, int], spacing_mm: tuple[float, float, float], digest: str
) -> None:
    """From whole numbers to a pinned digest; which memory order they came in does not matter."""
    z, y, x = (np.arange(n, dtype=np.int64) for n in shape)
    mixed = z[:, None, None] * 7919 + y[:, None] * 104729 + x * 1299709
    hu = (mixed * mixed % 6007 - 1500).astype("<i2")
    grid = Grid(name="t", spacing_mm=(1.5, 0.75, 0.75), shape=(24, 48, 56))
    affine = np.diag([*spacing_mm, 1.0])

    for laid in (hu, np.asfortranarray(hu), hu[::-1, ::-1, ::-1].copy()[::-1, ::-1, ::-1]):
        got = to_grid(Volume(hu=laid, affine_ras=affine), grid, hu_range=(-1024, 3071)).hu
        assert sha256(got.astype("<i2").tobytes()).hexdigest() == digest
