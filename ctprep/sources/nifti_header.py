"""The NIfTI header: shape, type, scaling and the affine that the file declares."""

import math
from dataclasses import dataclass
from gzip import BadGzipFile
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import numpy as np
from isal import igzip, isal_zlib
from jaxtyping import Float64
from nibabel.nifti1 import Nifti1Header
from nibabel.nifti2 import Nifti2Header
from nibabel.spatialimages import HeaderDataError

from ctprep.geometry import check_spacing
from ctprep.sources.archives import MAX_DEFLATE_RATIO
from ctprep.sources.files import SourceFile
from ctprep.store.errors import NotFiniteError, SourceError

GZIP_MAGIC = b"\x1f\x8b"
MAX_MM = 1e9
KINDS: dict[int, tuple[Any, bytes]] = {348: (Nifti1Header, b"n+1"), 540: (Nifti2Header, b"n+2")}
"""By the size that a header states first; the magic is that of a single file."""
UnpackError: Any = (BadGzipFile, isal_zlib.error)  # its types say instance, not class


@dataclass(frozen=True)
class NiftiHeader:
    """What is needed of a header.

    Args:
        shape: voxels along the file's x, y and z.
        dtype: of a stored voxel, in the byte order of the file.
        offset: byte of the unpacked file at which the voxels start.
        slope: value of one stored unit.
        intercept: value of the stored 0.
        affine_ras: index (x, y, z) to RAS+ mm; None in a bare header.
    """

    shape: tuple[int, int, int]
    dtype: np.dtype
    offset: int
    slope: float
    intercept: float
    affine_ras: Float64[np.ndarray, "4 4"] | None

    @property
    def nbytes(self) -> int:
        """Size of the unpacked file that the header promises."""
        return self.offset + math.prod(self.shape) * self.dtype.itemsize


def open_unpacked(file: SourceFile) -> BufferedIOBase:
    """Open a file, unpacking it on the way where it is packed by gzip.

    Args:
        file: the file.
    """
    with file.open() as stream:
        packed = stream.read(2) == GZIP_MAGIC
    if packed:
        return unpacker(file.place if file.member is None else file.open())
    return file.open()


def unpacker(file: Path | BufferedIOBase) -> BufferedIOBase:
    """Open what is packed by gzip; reading to the end compares its checksum.

    Args:
        file: its path, or the file at the place where the packed part starts.
    """
    opened: BufferedIOBase = igzip.open(file, "rb")  # type: ignore[no-untyped-call]
    return opened


def read_nifti_header(source: SourceFile, *, may_be_bare: bool = False) -> NiftiHeader:
    """Read the header of a NIfTI-1 or NIfTI-2 file, compressed or not.

    Args:
        source: the file.
        may_be_bare: take a header without geometry, which must then come from elsewhere.

    Raises:
        SourceError: `truncated`, `unreadable`, `not-a-volume`, `no-spacing`, `no-orientation`.

    Source:
        nifti1.h, "3D IMAGE (VOLUME) ORIENTATION AND LOCATION IN SPACE".
    """
    try:
        with open_unpacked(source) as file:
            start = file.read(max(KINDS))
    except EOFError as error:
        raise damaged("the file ends within its header", "truncated") from error
    except UnpackError as error:
        raise damaged("the file cannot be unpacked", "unreadable") from error
    for order in ("little", "big"):
        size = int.from_bytes(start[:4], order)
        if size in KINDS and len(start) >= size:
            kind, magic = KINDS[size]
            # Not from the file: that would read the extensions, which are longer than `start`.
            header = kind(start[:size], "<" if order == "little" else ">", check=False)
            if bytes(header["magic"].item())[:3] == magic:
                parsed = _parse(header, may_be_bare=may_be_bare)
                _check_size(source, parsed.nbytes)
                return parsed
    whole = len(start) >= min(KINDS)
    raise damaged("the file holds no whole NIfTI header", "unreadable" if whole else "truncated")


def damaged(what: str, verdict: str) -> SourceError:
    """Give the error of a damaged file.

    Args:
        what: one sentence.
        verdict: `truncated` or `unreadable`.
    """
    return SourceError(what, verdict=verdict, mend="fetch the file again")


def _check_size(file: SourceFile, promised: int) -> None:
    with file.open() as stream:
        packed = stream.read(2) == GZIP_MAGIC
    size = file.size
    # Before memory is asked for: a header can promise anything.
    possible = size * MAX_DEFLATE_RATIO if packed else size
    if possible < promised:
        what = f"the file ends early: {promised} bytes are promised, at most {possible} are there"
        raise damaged(what, "truncated")


def _parse(header: Any, *, may_be_bare: bool) -> NiftiHeader:  # noqa: ANN401
    rank, *lengths = (int(n) for n in header["dim"])
    if not 3 <= rank <= 7 or any(n != 1 for n in lengths[3:rank]) or min(lengths[:3]) < 1:
        raise _no_volume(f"an image of {rank} dimensions {tuple(lengths[: max(rank, 0)])}")
    try:
        dtype = header.get_data_dtype()
        offset = int(header.get_data_offset())
    except (HeaderDataError, KeyError, ValueError, OverflowError) as error:
        raise damaged(
            "the header states no known type and place of voxels", "unreadable"
        ) from error
    if dtype.kind not in "iuf":
        raise _no_volume(f"an image of {dtype}")
    if offset < int(header["sizeof_hdr"]):
        raise damaged(f"the voxels cannot start at byte {offset}", "unreadable")
    slope, intercept = _scaling(header)
    shape = (lengths[0], lengths[1], lengths[2])
    affine_ras = None
    try:
        affine_ras = _affine(header)
    except SourceError:
        if not may_be_bare:
            raise
    return NiftiHeader(shape, dtype, offset, slope, intercept, affine_ras)


def _no_volume(what: str) -> SourceError:
    return SourceError(
        f"{what} is no single volume",
        verdict="not-a-volume",
        mend="export one three-dimensional volume of numbers a file",
    )


def _scaling(header: Any) -> tuple[float, float]:  # noqa: ANN401
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    # 0 means unset in the standard, NaN with some writers.
    if slope == 0 or math.isnan(slope):
        return 1.0, 0.0
    if not (math.isfinite(slope) and math.isfinite(intercept)):
        raise NotFiniteError(
            f"the header scales by {slope} and {intercept}",
            verdict="not-finite",
            mend="convert the scan again",
        )
    return slope, intercept


def _affine(header: Any) -> Float64[np.ndarray, "4 4"]:  # noqa: ANN401
    pixdim = header["pixdim"]
    if int(header["sform_code"]) > 0:
        affine = np.asarray(header.get_sform(), np.float64)
    elif int(header["qform_code"]) > 0:
        # Only the sign of this field counts, and the library takes 1 and -1 alone.
        pixdim[0] = -1 if pixdim[0] < 0 else 1
        try:
            affine = np.asarray(header.get_qform(), np.float64)
        except (HeaderDataError, ValueError) as error:
            raise _no_spacing() from error
    else:
        raise SourceError(
            "the header declares no orientation (qform and sform codes are 0)",
            verdict="no-orientation",
            mend="convert the scan again with its orientation, for instance with dcm2niix",
        )
    if not (np.abs(affine) < MAX_MM).all() or (np.abs(affine[:3, :3]).sum(axis=0) == 0).any():
        raise _no_spacing()
    check_spacing(affine)
    return affine


def _no_spacing() -> SourceError:
    return SourceError(
        "the header declares a spacing of zero, or none",
        verdict="no-spacing",
        mend="convert the scan again with its spacing",
    )
