"""Which scans must stay together: those of one patient, and of patients who share a report."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

MOST_SHARING = 3
"""Patients who may share a text and still be bound by it; more of them share a template."""


@dataclass(frozen=True)
class Group:
    """Scans that go to one side of a split."""

    patients: tuple[str, ...]
    scan_ids: tuple[str, ...]


@dataclass(frozen=True)
class Grouping:
    """All scans, in groups."""

    groups: tuple[Group, ...]
    """By their first patient."""
    bound: int
    """Patients who are in a group with another."""
    templates: int
    """Texts of so many patients that they bind none."""


def group_scans(
    patient_of: Mapping[str, str],
    text_of: Mapping[str, str] | None = None,
    *,
    most_sharing: int = MOST_SHARING,
) -> Grouping:
    """Join the scans of a patient, and patients whose reports are equal.

    A report of two patients is often one patient under two numbers. One of many patients is a
    template ("Normal examination."), and would bind the whole corpus together.

    Args:
        patient_of: patient by scan id.
        text_of: report by scan id; white space and case are of no account, and an empty one
            binds none.
        most_sharing: patients who may share a text and still be bound by it.

    Returns:
        Every scan in exactly one group.
    """
    scans_of: dict[str, list[str]] = defaultdict(list)
    patients_of: dict[str, set[str]] = defaultdict(set)
    for scan_id in sorted(patient_of):
        scans_of[patient_of[scan_id]].append(scan_id)
        text = " ".join((text_of or {}).get(scan_id, "").split()).casefold()
        if text:
            patients_of[text].add(patient_of[scan_id])
    sharing = [sorted(patients) for patients in patients_of.values() if len(patients) > 1]
    binding = [patients for patients in sharing if len(patients) <= most_sharing]
    joined = _join(sorted(scans_of), binding)
    groups = tuple(
        Group(tuple(patients), tuple(scan for patient in patients for scan in scans_of[patient]))
        for patients in joined
    )
    return Grouping(
        groups,
        bound=sum(len(group.patients) for group in groups if len(group.patients) > 1),
        templates=len(sharing) - len(binding),
    )


def _join(items: list[str], bonds: list[list[str]]) -> list[list[str]]:
    """Find the connected components, each sorted and in the order of their first item."""
    root = {item: item for item in items}

    def find(item: str) -> str:
        while root[item] != item:
            root[item] = root[root[item]]
            item = root[item]
        return item

    for first, *others in bonds:
        for other in others:
            low, high = sorted((find(first), find(other)))
            root[high] = low
    parts: dict[str, list[str]] = defaultdict(list)
    for item in items:
        parts[find(item)].append(item)
    return list(parts.values())
