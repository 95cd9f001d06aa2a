"""What a classifier reads of a report: what speaks of the scan, on one line."""

import pytest

from ctprep.reports.labels import labeller
from ctprep.reports.labels.labeller import read_findings
from ctprep.reports.reading import sections
from ctprep.reports.reading.language import read_rules


def test_findings_and_impression_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The technique is not; a report without findings gives nothing; each is parted once."""
    parted: list[str] = []
    find = labeller.find_sections

    def counted(text, rules):
        parted.append(text)
        return find(text, rules)

    for module in (labeller, sections):
        monkeypatch.setattr(module, "find_sections", counted)
    told = "Technique: 120 kV.\nFindings: A nodule.\nNo effusion.\nImpression: Nodule."

    found = read_findings(told, read_rules("english"))

    assert "A nodule. No effusion." in found
    assert found.endswith("Nodule.")
    assert "kV" not in found
    assert read_findings("Technique: 120 kV.", read_rules("english")) == ""
    assert len(parted) == 2
