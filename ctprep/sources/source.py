"""What a source reader says: a scan was found, a file was refused, a scan was read."""

from dataclasses import dataclass, field
from pathlib import Path

from ctprep.store.attributes import HuDecision, OriginalGeometry
from ctprep.volume import Volume


@dataclass(frozen=True)
class Found:
    """One candidate volume, of which nothing but headers is read so far.

    Args:
        format: `dicom`, `nifti`, `npz`, `nrrd`, `mha` or `pictures`.
        paths: its files, in reading order.
        name: where it lies, relative to the source; holds no header text.
        key: what identifies it; personal, so it is never logged or stored.
        patient_key: what identifies the patient; never logged or stored.
        peak_bytes: memory to read and resample it, estimated from the header.
        mends: what was put right, in words.
    """

    format: str
    paths: tuple[Path, ...]
    name: str
    key: str = field(repr=False)
    patient_key: str = field(repr=False)
    peak_bytes: int
    mends: tuple[str, ...] = ()


@dataclass(frozen=True)
class Refused:
    """Files that are no usable scan.

    Args:
        name: where they lie, relative to the source.
        verdict: the short, stable name of the reason.
        what: one sentence with the reason.
        mend: what the user can do about it.
        files: how many files it speaks for.
    """

    name: str
    verdict: str
    what: str
    mend: str
    files: int


@dataclass(frozen=True)
class Read:
    """A scan that was read.

    Args:
        volume: HU in int16, in the orientation of the source, clipped to nothing.
        hu: whether slope and intercept were applied, and why.
        original: sampling of the source.
        acquisition: allow-listed facts, nothing that identifies anyone.
        source_sha256: hash of every file, in reading order.
        verdicts: warnings that do not refuse the scan.
        mends: what was put right, in words.
    """

    volume: Volume
    hu: HuDecision
    original: OriginalGeometry
    acquisition: dict[str, str | float]
    source_sha256: tuple[str, ...]
    verdicts: tuple[str, ...] = ()
    mends: tuple[str, ...] = ()
