"""What may be found: side, lobe, severity and size of each of the twelve findings."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ctprep.store.labels import CT_LITE_LABELS

Side = Literal["right", "left"]
Severity = Literal["mild", "moderate", "severe"]

NORMAL_SHARE = 0.1
"""Share of patients without any finding."""

PREVALENCE = 0.2
"""Chance of each finding in the other patients."""

SEVERITIES: tuple[Severity, ...] = ("mild", "moderate", "severe")
SEVERITY_SHARES = (0.1, 0.4, 0.5)

LOBES: dict[Side, tuple[str, ...]] = {
    "right": ("upper", "middle", "lower"),
    "left": ("upper", "lower"),
}

_SPREAD = frozenset({"Emphysema", "Mosaic attenuation pattern", "Peribronchial thickening"})
"""Findings of both lungs."""

_PAIRED = frozenset(
    {
        "Interlobular septal thickening",
        "Bronchiectasis",
        "Lung nodule",
        "Lung opacity",
        "Pulmonary fibrotic sequela",
    }
)
"""Findings that are mostly in both lungs."""


@dataclass(frozen=True)
class Finding:
    """One finding of a patient.

    Args:
        label: its CT-RATE name.
        sides: one or both.
        lobes: side and lobe of each place, in the order of drawing.
        severity: how conspicuous it is.
        amount: what grows with severity; mm, or a factor for the heart.
        seed: seed of its details.
    """

    label: str
    sides: tuple[Side, ...]
    lobes: tuple[tuple[Side, str], ...]
    severity: Severity
    amount: float
    seed: int


_AMOUNTS: dict[str, tuple[tuple[float, float], tuple[float, float], tuple[float, float]]] = {
    # mm or factor, for mild, moderate and severe.
    "Cardiomegaly": ((1.20, 1.25), (1.30, 1.40), (1.40, 1.55)),
    "Emphysema": ((7, 9), (12, 15), (15, 20)),
    "Atelectasis": ((20, 26), (30, 38), (38, 50)),
    "Lung nodule": ((16, 20), (28, 34), (32, 40)),
    "Lung opacity": ((30, 36), (44, 54), (52, 64)),
    "Pulmonary fibrotic sequela": ((14, 18), (32, 40), (40, 48)),
    "Pleural effusion": ((16, 20), (32, 42), (42, 60)),
    "Mosaic attenuation pattern": ((110, 130), (210, 250), (250, 300)),
    "Peribronchial thickening": ((3.2, 4), (7, 8.5), (8.5, 10)),
    "Consolidation": ((28, 32), (42, 52), (50, 60)),
    "Bronchiectasis": ((5, 6), (10, 12), (12, 15)),
    "Interlobular septal thickening": ((2, 2.6), (3.4, 4.4), (4.4, 5.6)),
}


def draw_findings(rng: np.random.Generator) -> tuple[Finding, ...]:
    """Draw the findings of a patient, in the order of the labels."""
    normal = rng.random() < NORMAL_SHARE
    drawn = []
    for label in CT_LITE_LABELS:
        present = rng.random() < PREVALENCE
        finding = draw_finding(label, rng)
        if present and not normal:
            drawn.append(finding)
    return tuple(drawn)


def draw_finding(label: str, rng: np.random.Generator, severity: Severity | None = None) -> Finding:
    """Draw side, place, severity and size of one finding.

    Args:
        label: one of `CT_LITE_LABELS`.
        rng: where the choices come from.
        severity: given, or drawn.
    """
    drawn = SEVERITIES[int(rng.choice(3, p=SEVERITY_SHARES))]
    severity = severity or drawn
    low, high = _AMOUNTS[label][SEVERITIES.index(severity)]
    amount = float(rng.uniform(low, high))
    chance = rng.random()
    both = label in _SPREAD or chance < (0.85 if label in _PAIRED else 0.5)
    first: Side = "right" if rng.random() < 0.5 else "left"
    sides: tuple[Side, ...] = ("right", "left") if both else (first,)
    lobes = _draw_lobes(label, sides, severity, rng)
    return Finding(label, sides, lobes, severity, amount, int(rng.integers(2**31)))


_COUNTS: dict[str, tuple[int, int, int]] = {
    "Lung nodule": (5, 14, 18),
    "Lung opacity": (3, 4, 5),
    "Consolidation": (1, 2, 2),
    "Bronchiectasis": (5, 10, 14),
}


def _draw_lobes(
    label: str, sides: tuple[Side, ...], severity: Severity, rng: np.random.Generator
) -> tuple[tuple[Side, str], ...]:
    count = max(_COUNTS.get(label, (1, 1, 1))[SEVERITIES.index(severity)], len(sides))
    lobes = []
    for number in range(max(_COUNTS["Lung nodule"])):
        side = sides[number % len(sides)]
        options = LOBES[side]
        if label in ("Bronchiectasis", "Consolidation"):
            options = options[1:]
        if label == "Lung opacity":
            options = options[:-1]
        lobe = options[int(rng.integers(len(options)))]
        if label in ("Atelectasis", "Pleural effusion"):
            lobe = "lower"
        if label in ("Emphysema", "Pulmonary fibrotic sequela"):
            lobe = "upper"
        if number < count:
            lobes.append((side, lobe))
    return tuple(lobes)
