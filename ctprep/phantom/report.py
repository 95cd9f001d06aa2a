"""A report that tells of each finding of a patient, and denies some of the others."""

import tomllib
from importlib.resources import files

import numpy as np

from ctprep.phantom.findings import Finding
from ctprep.phantom.patient import Patient
from ctprep.store.labels import CT_LITE_LABELS

_PHRASES = tomllib.loads(
    files("ctprep.phantom").joinpath("phrases.toml").read_text(encoding="utf-8")
)

DENIED_SHARE = 0.45
"""Chance that an absent finding is denied; otherwise the report is silent on it."""


def write_report(patient: Patient) -> tuple[str, str]:
    """Report on a patient.

    Args:
        patient: all scans of one patient share the report.

    Returns:
        The findings section and the impression.
    """
    rng = patient.rng(4)
    sentences = [_pick(rng, _PHRASES["opening"]), _pick(rng, _PHRASES["mediastinum"])]
    impressions = []
    for number in rng.permutation(len(CT_LITE_LABELS)):
        label = CT_LITE_LABELS[int(number)]
        phrases = _PHRASES[label]
        positive, negative = (_pick(rng, phrases[key]) for key in ("positive", "negative"))
        denied = rng.random() < DENIED_SHARE
        conclusion = _pick(rng, phrases["impression"])
        finding = patient.finding(label)
        if finding is not None:
            sentences.append(_fill(positive, finding))
            impressions.append(_fill(conclusion, finding))
        elif denied:
            sentences.append(negative)
    if not patient.findings:
        sentences.append(_pick(rng, _PHRASES["normal_lungs"]))
        impressions.append(_pick(rng, _PHRASES["normal_impression"]))
    sentences += [_pick(rng, _PHRASES["abdomen"]), _pick(rng, _PHRASES["closing"])]
    return " ".join(sentences), " ".join(impressions)


def _pick(rng: np.random.Generator, phrases: list[str]) -> str:
    return phrases[int(rng.integers(len(phrases)))]


def _fill(phrase: str, finding: Finding) -> str:
    side = "bilateral" if len(finding.sides) == 2 else finding.sides[0]
    degree = finding.severity
    words = {
        "where": _name_lobes(finding),
        "lung": "both lungs" if len(finding.sides) == 2 else f"the {finding.sides[0]} lung",
        "size": _name_size(finding),
        "degree": _ADVERBS[degree] if "enlarged" in phrase or "increased" in phrase else degree,
        "Degree": degree.capitalize(),
        "side": side,
        "Side": side.capitalize(),
    }
    return phrase.format(**words)


_ADVERBS = {"mild": "mildly", "moderate": "moderately", "severe": "markedly"}


def _name_lobes(finding: Finding) -> str:
    names = []
    for side, lobe in finding.lobes:
        name = f"the {side} {lobe} lobe"
        if name not in names:
            names.append(name)
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]


def _name_size(finding: Finding) -> str:
    if finding.label in ("Lung nodule", "Pleural effusion"):
        return f"{round(finding.amount)} mm"
    return f"{round(2 * finding.amount)} mm"
