"""A volume as a compressed NIfTI file."""

import io
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from isal import igzip
from jaxtyping import Float64, Int16, UInt8

from ctprep.sources.nifti_header import UnpackError

MAX_NIFTI1 = 2**15 - 1
"""Most voxels along an axis that NIfTI-1 can state."""
SCANNER = 1
"""Code of coordinates in which the scanner lies still."""
COMPRESSION = 2
PIECE_BYTES = 1 << 20
"""Compared at a time."""


def encode_nifti(
    voxels: Int16[np.ndarray, "slice row column"] | UInt8[np.ndarray, "slice row column"],
    affine_ras: Float64[np.ndarray, "4 4"],
    *,
    description: str,
) -> bytes:
    """Write a volume as the content of a `.nii.gz` file: the same bytes every time.

    Args:
        voxels: HU, or gray levels.
        affine_ras: index (slice, row, column) to RAS+ mm.
        description: at most 79 characters for `descrip`.

    Returns:
        The file: axes in the order column, row, slice, no scaling, millimeters, the affine as
        sform and, free of any shear, as qform.

    Source:
        nifti1.h, "3D IMAGE (VOLUME) ORIENTATION AND LOCATION IN SPACE".
    """
    kind: Any = nibabel.Nifti1Image if max(voxels.shape) <= MAX_NIFTI1 else nibabel.Nifti2Image
    # The file's fastest axis x is the array's last.
    affine_xyz = affine_ras[:, [2, 1, 0, 3]]
    image = kind(voxels.transpose(2, 1, 0), affine_xyz)
    image.header.set_xyzt_units("mm")
    image.header.set_slope_inter(1, 0)
    image.header["descrip"] = description.encode("ascii", "replace")[:79]
    image.set_qform(affine_xyz, code=SCANNER)
    image.set_sform(affine_xyz, code=SCANNER)
    buffer = io.BytesIO()
    # No name and no time in the header of gzip.
    with igzip.IGzipFile("", "wb", COMPRESSION, buffer, mtime=0) as packed:  # type: ignore[no-untyped-call]
        image.to_stream(packed)
    return buffer.getvalue()


def is_same_nifti(path: Path, content: bytes) -> bool:
    """Tell whether a `.nii.gz` file holds what another one would, however it was compressed.

    Args:
        path: of the file.
        content: of the other one, as `encode_nifti` gives it.

    Returns:
        False also where the file is damaged.
    """
    # A buffered reader fills each piece, so that pieces end at the same places.
    with path.open("rb") as file:
        there = io.BufferedReader(_unpacked(file))
        ours = io.BufferedReader(_unpacked(io.BytesIO(content)))
        try:
            while (piece := ours.read(PIECE_BYTES)) == there.read(PIECE_BYTES):
                if not piece:
                    return True
        except (OSError, EOFError, *UnpackError):
            return False
    return False


def _unpacked(file: io.BytesIO | io.BufferedReader) -> igzip.IGzipFile:
    return igzip.IGzipFile(None, "rb", fileobj=file)  # type: ignore[no-untyped-call]
