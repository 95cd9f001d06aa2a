"""Who is scanned: anatomy and findings of a synthetic patient, drawn from a seed."""

from dataclasses import dataclass, replace

import numpy as np

from ctprep.phantom.findings import Finding, draw_findings


@dataclass(frozen=True)
class Anatomy:
    """Measures of a body in mm, left, back and up as seen by the patient."""

    body_left: float
    """Half the width of the trunk."""
    body_back: float
    """Half its depth."""
    fat: float
    """Thickness of the fat under the skin."""
    lung_top: float
    lung_base: float
    """Height of the lowest recess of the lungs."""
    dome_right: float
    """Height of the right diaphragm above the recess."""
    dome_left: float
    heart: float
    """Size relative to a heart that takes 0.45 of the chest."""
    heart_shift: float
    tilt: float
    """Slope of the ribs: mm down a mm to the front."""
    lung_hu: float
    offset: tuple[float, float, float]
    """Where the middle of the chest lies from the middle of the picture."""
    arms_down: bool

    @property
    def cavity_left(self) -> float:
        """Half the inner width of the chest."""
        return self.body_left - self.fat - 22

    @property
    def cavity_back(self) -> float:
        """Half its inner depth."""
        return self.body_back - self.fat - 17


@dataclass(frozen=True)
class Patient:
    """A body with findings.

    Args:
        seed: seed of the corpus.
        index: number of the patient in it.
        anatomy: its measures, findings included.
        findings: at most one of each label.
    """

    seed: int
    index: int
    anatomy: Anatomy
    findings: tuple[Finding, ...]

    def finding(self, label: str) -> Finding | None:
        """Give the finding of a label, if there."""
        return next((finding for finding in self.findings if finding.label == label), None)

    def rng(self, *purpose: int) -> np.random.Generator:
        """Make a generator that depends on the patient and the purpose alone."""
        return np.random.default_rng([self.seed, self.index, *purpose])


def draw_patient(seed: int, index: int) -> Patient:
    """Draw a patient: the same for the same numbers."""
    rng = np.random.default_rng([seed, index, 0])
    findings = draw_findings(np.random.default_rng([seed, index, 1]))
    return make_patient(seed, index, findings, rng)


def make_patient(
    seed: int, index: int, findings: tuple[Finding, ...], rng: np.random.Generator | None = None
) -> Patient:
    """Make a patient with given findings; the anatomy is drawn as in `draw_patient`."""
    anatomy = _draw_anatomy(rng or np.random.default_rng([seed, index, 0]))
    for finding in findings:
        if finding.label == "Cardiomegaly":
            anatomy = replace(anatomy, heart=anatomy.heart * finding.amount)
        if finding.label == "Emphysema":
            anatomy = _inflate(anatomy, finding.amount)
        if finding.label == "Atelectasis":
            raised = finding.amount
            if "right" in finding.sides:
                anatomy = replace(anatomy, dome_right=anatomy.dome_right + raised)
            if "left" in finding.sides:
                anatomy = replace(anatomy, dome_left=anatomy.dome_left + raised)
    return Patient(seed, index, anatomy, findings)


def _inflate(anatomy: Anatomy, amount_mm: float) -> Anatomy:
    """Give a body the shape that emphysema brings: barrel chest, low and flat diaphragm."""
    return replace(
        anatomy,
        body_back=min(anatomy.body_back + 0.9 * amount_mm, 138.0),
        lung_base=anatomy.lung_base - amount_mm,
        dome_right=max(anatomy.dome_right - 1.8 * amount_mm, 16.0),
        dome_left=max(anatomy.dome_left - 1.8 * amount_mm, 12.0),
        heart=0.92 * anatomy.heart,
    )


def _draw_anatomy(rng: np.random.Generator) -> Anatomy:
    size = rng.normal(1, 0.05)
    fat = rng.uniform(7, 24)
    volume = rng.normal(0, 8)
    return Anatomy(
        body_left=float(np.clip(152 * size + 0.7 * fat, 135, 180)),
        body_back=float(np.clip(101 * size + rng.normal(0, 4) + 0.7 * fat, 90, 130)),
        fat=float(fat),
        lung_top=float(118 * size),
        lung_base=float(-122 * size - volume),
        dome_right=float(rng.uniform(52, 66)),
        dome_left=float(rng.uniform(42, 56)),
        heart=float(size * rng.uniform(0.93, 1.05)),
        heart_shift=float(rng.normal(0, 3)),
        tilt=float(rng.uniform(0.35, 0.55)),
        lung_hu=float(rng.uniform(-825, -800)),
        offset=(float(rng.normal(0, 6)), float(rng.normal(0, 6)), float(rng.normal(0, 7))),
        arms_down=bool(rng.random() < 0.12),
    )
