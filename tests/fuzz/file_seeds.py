"""Tiny valid files of one volume: NIfTI, NRRD, MetaImage, NPZ; and what packs their content."""

import gzip
import io
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import nibabel
import numpy as np
import SimpleITK

from tests.fuzz.chest import chest_hu

EPOCH = (1980, 1, 1, 0, 0, 0)
"""Equal seeds give equal bytes, so no archive may hold the time."""


def nifti_file(version: int) -> bytes:
    """Write NIfTI-1 or NIfTI-2, unpacked."""
    kind = nibabel.Nifti1Image if version == 1 else nibabel.Nifti2Image
    content: bytes = kind(chest_hu().transpose(2, 1, 0), np.diag([-4.0, -4, 4, 1])).to_bytes()
    return content


def gzipped(content: bytes) -> bytes:
    """Pack by gzip, without the time."""
    return gzip.compress(content, 1, mtime=0)


def itk_file(suffix: str, *, packed: bool) -> bytes:
    """Write NRRD or MetaImage.

    Args:
        suffix: `.nrrd` or `.mha`.
        packed: by gzip or zlib.
    """
    image = SimpleITK.GetImageFromArray(chest_hu())
    image.SetSpacing((4.0, 4.0, 4.0))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"scan{suffix}")
        SimpleITK.WriteImage(image, path, packed)
        return path.read_bytes()


def npy_array(array: np.ndarray, *, allow_pickle: bool = False) -> bytes:
    """Write one array in NumPy's own format."""
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, allow_pickle=allow_pickle)
    return buffer.getvalue()


def zipped(content: bytes, *, packed: bool = True, name: str = "ct.npy") -> bytes:
    """Put content into a zip archive, as its one member."""
    return zip_of({name: content}, packed=packed)


def zip_of(files: Mapping[str, bytes], *, packed: bool = True) -> bytes:
    """Put files into a zip archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        kind = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name, EPOCH), content, kind)
    return buffer.getvalue()


def tarred(content: bytes, *, name: str = "scan.nii") -> bytes:
    """Put content into a tar archive, as its one member."""
    return tar_of({name: content})


def tar_of(files: Mapping[str, bytes]) -> bytes:
    """Put files into a tar archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()
