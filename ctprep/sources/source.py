"""What a source reader says: a scan was found, a file was refused, a scan was read."""

from dataclasses import dataclass, field

from ctprep.sources.files import SourceFile
from ctprep.store.attributes import HuDecision, OriginalGeometry
from ctprep.store.errors import SourceError
from ctprep.volume import Volume


@dataclass(frozen=True)
class Found:
    """One candidate volume, of which nothing but headers is read so far.

    Args:
        format: `dicom`, `nifti`, `npz`, `nrrd`, `mha` or `pictures`.
        paths: its files, each once, in reading order.
        name: where it lies, relative to the source; holds no header text.
        key: what identifies it; personal, so it is never logged or stored.
        patient_key: what identifies the patient; never logged or stored.
        peak_bytes: memory to read and resample it, estimated from the header.
        mends: what was put right, in words.
        verdicts: warnings that do not refuse the scan.
        frames: of a DICOM series, the file (its place in `paths`) and the frame of each slice;
            the frame is None where the file is one image.
        geometry: sampling of the source, as its header tells it; None where it does not.
    """

    format: str
    paths: tuple[SourceFile, ...]
    name: str
    key: str = field(repr=False)
    patient_key: str = field(repr=False)
    peak_bytes: int
    mends: tuple[str, ...] = ()
    verdicts: tuple[str, ...] = ()
    frames: tuple[tuple[int, int | None], ...] = ()
    geometry: OriginalGeometry | None = None


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


def changed_source() -> SourceError:
    """Give the error of a source that is written to while it is read."""
    return SourceError(
        "a file changed since it was found",
        verdict="changed",
        mend="run again while nothing else writes to the source",
    )
