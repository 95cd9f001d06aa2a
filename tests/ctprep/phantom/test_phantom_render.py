"""What is painted can be measured, and is where a radiologist would look for it."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from jaxtyping import Int16

from ctprep.phantom import render as rendering
from ctprep.phantom.findings import draw_finding, draw_findings
from ctprep.phantom.patient import Patient, draw_patient, make_patient
from ctprep.phantom.render import render, render_hu
from ctprep.store.labels import CT_LITE_LABELS

SPACING = (5.0, 3.0, 3.0)
SHAPE = (60, 118, 118)
Hu = Int16[np.ndarray, "slice row column"]


@cache
def scan(patient: Patient) -> Hu:
    """Render a patient so that the chest is in the middle."""
    centred = replace(patient, anatomy=replace(patient.anatomy, offset=(0.0, 0.0, 0.0)))
    return render_hu(centred, SPACING, SHAPE)


def normal(index: int = 0) -> Patient:
    """A patient without findings."""
    return make_patient(0, index, ())


def with_finding(label: str, index: int = 0) -> Patient:
    """The same patient with one severe finding."""
    finding = draw_finding(label, np.random.default_rng(index), "severe")
    return make_patient(0, index, (finding,))


def share(hu: Hu, low: float, high: float) -> int:
    """Count the voxels of the trunk in a range of HU."""
    return int(((hu >= low) & (hu < high))[:, 25:85, 15:103].sum())


@pytest.mark.parametrize(
    ("label", "low", "high", "more"),
    [
        ("Emphysema", -1024, -930, True),
        ("Atelectasis", -900, -700, False),
        ("Lung nodule", 120, 400, True),
        ("Lung opacity", -560, -330, True),
        ("Pulmonary fibrotic sequela", -100, 10, True),
        ("Pleural effusion", -15, 35, True),
        ("Mosaic attenuation pattern", -680, -480, True),
        ("Peribronchial thickening", 0, 80, True),
        ("Consolidation", 0, 80, True),
        ("Bronchiectasis", -1024, -950, True),
        ("Interlobular septal thickening", -500, -60, True),
    ],
)
def test_a_finding_changes_the_voxels_of_its_density(
    label: str, low: float, high: float, more: bool
) -> None:
    """Against the same patient without it, hundreds of voxels of its density come or go."""
    before, after = (share(scan(who), low, high) for who in (normal(), with_finding(label)))

    assert (after - before) * (1 if more else -1) > 250


def heart_share(hu: Hu) -> float:
    """Cardiothoracic ratio: widest soft tissue before the spine, over the width of the chest."""
    front = hu[12:32, 45:56]
    tissue = (front > -20).mean(1) > 0.8
    # Columns next to the middle, as far as tissue goes on without a gap.
    middle = SHAPE[2] // 2
    widths = []
    for row in tissue:
        left = middle + int(np.argmin(row[middle:]))
        right = middle - int(np.argmin(row[middle::-1]))
        widths.append(left - right)
    return max(width for width in widths if width < 80) / 88


@pytest.mark.parametrize("index", [0, 1, 2])
def test_cardiomegaly_raises_the_cardiothoracic_ratio(index: int) -> None:
    """The widest part of the heart grows by more than a sixth."""
    assert heart_share(scan(with_finding("Cardiomegaly", index))) > 1.15 * heart_share(
        scan(normal(index))
    )


def test_effusion_is_water_at_the_back_of_its_side() -> None:
    """New soft voxels lie behind the middle, and on the side the finding names."""
    ill = with_finding("Pleural effusion", 3)
    (finding,) = ill.findings
    gained = (scan(ill) > -50) & (scan(normal(3)) < -600)
    rows, columns = np.nonzero(gained)[1:]

    assert np.median(rows) > SHAPE[1] / 2 + 5
    on_left = columns > SHAPE[2] / 2
    assert (on_left.mean() > 0.05) == ("left" in finding.sides)
    assert (on_left.mean() < 0.95) == ("right" in finding.sides)


@pytest.mark.parametrize("index", range(3))
def test_landmarks_tell_every_axis(index: int) -> None:
    """Heart left, liver right, spine behind, lungs widest low and narrow at the apex."""
    hu = scan(normal(index))
    middle = SHAPE[2] // 2
    heart = hu[20:26, 48:54] > 0
    assert heart[:, :, middle : middle + 25].sum() > 1.3 * heart[:, :, middle - 25 : middle].sum()
    low = hu[4:9, 50:75]
    assert (low[:, :, 25:50] > 40).sum() > 1.2 * (low[:, :, 68:93] > 40).sum()
    bone = (hu[:, :, middle - 5 : middle + 6] > 350).sum((0, 2))
    assert np.argmax(bone) > SHAPE[1] / 2
    lung = ((hu > -950) & (hu < -600))[:, 30:85, 20:98].sum((1, 2))
    assert lung[46:50].sum() < lung[24:28].sum()


def test_tissues_have_their_hu() -> None:
    """Air, lung, fat, muscle and bone are all there, at their usual values."""
    hu = scan(normal())

    for low, high in ((-1024, -980), (-860, -760), (-125, -75), (25, 75), (300, 1100)):
        assert share(hu, low, high) > 800


def test_kernels_differ_in_noise_and_not_in_anatomy() -> None:
    """A sharp kernel is noisier; means agree."""
    patient = draw_patient(0, 1)
    soft, sharp = (
        render_hu(patient, SPACING, SHAPE, kernel=kernel, scan=number).astype(np.float32)
        for number, kernel in enumerate(("soft", "sharp"))
    )
    heart = np.s_[22:25, 48:53, 62:67]

    assert sharp[heart].std() > 1.5 * soft[heart].std()
    assert abs(np.mean(soft - sharp)) < 1


def test_slabs_join_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    """A volume painted slab by slab equals the one painted at once."""
    findings = tuple(
        draw_finding(label, np.random.default_rng(4), "moderate") for label in CT_LITE_LABELS
    )
    patient = make_patient(0, 4, findings)
    grid = (15.0, 6.0, 6.0), (20, 54, 54)
    whole = render_hu(patient, *grid)
    monkeypatch.setattr(rendering, "SLAB_VOXELS", 54 * 54 * 7)

    np.testing.assert_array_equal(render_hu(patient, *grid), whole)


def test_render_gives_a_volume_about_world_zero() -> None:
    """SPL, with the middle voxel at zero."""
    volume = render(normal(), (20.0, 8.0, 8.0), (15, 41, 43))

    assert volume.axis_codes == "SPL"
    assert volume.spacing_mm == (20.0, 8.0, 8.0)
    np.testing.assert_allclose(volume.affine_ras @ [7, 20, 21, 1], [0, 0, 0, 1])


def test_prevalence_is_what_the_demo_needs() -> None:
    """Each finding in about a fifth of the patients, and some patients are normal."""
    drawn = [draw_findings(np.random.default_rng(seed)) for seed in range(700)]
    for label in CT_LITE_LABELS:
        rate = np.mean([any(f.label == label for f in findings) for findings in drawn])
        assert 0.13 < rate < 0.24
    assert 0.1 < np.mean([not findings for findings in drawn]) < 0.24
