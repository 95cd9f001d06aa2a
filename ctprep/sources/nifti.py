"""NIfTI, NRRD and MetaImage: one file, one volume."""

import math
from dataclasses import replace

import numpy as np
from jaxtyping import Float64

from ctprep.geometry import check_right_angles, check_spacing
from ctprep.hu import decide_hu
from ctprep.sources.attached import check_attached, check_header
from ctprep.sources.files import SourceFile
from ctprep.sources.itk import read_image, read_shape
from ctprep.sources.nifti_header import read_nifti_header
from ctprep.sources.nifti_voxels import read_voxels
from ctprep.sources.original import geometry_of, peak_bytes, read_of_file
from ctprep.sources.source import Found, Read
from ctprep.sources.table_geometry import TableGeometry, settle_geometry
from ctprep.store.errors import SourceError
from ctprep.volume import Volume

FLOAT32_BYTES = 4
SUFFIXES = {
    ".nii.gz": "nifti",
    ".nii": "nifti",
    ".nrrd": "nrrd",
    ".nhdr": "nrrd",
    ".mha": "mha",
    ".mhd": "mha",
}


def find_image(file: SourceFile, kind: str, stem: str, *, may_be_bare: bool = False) -> Found:
    """Describe a file from its header.

    Args:
        file: the file.
        kind: `nifti`, `nrrd` or `mha`.
        stem: its name without suffix.
        may_be_bare: take a NIfTI file without geometry, which a table gives.

    Raises:
        SourceError: it holds no single volume with a geometry.
    """
    geometry = None
    if kind == "nifti":
        header = read_nifti_header(file, may_be_bare=may_be_bare)
        slices, rows, columns = header.shape[::-1]
        if header.affine_ras is not None:
            # The file's fastest axis x is the array's last.
            geometry = geometry_of((slices, rows, columns), header.affine_ras[:, [2, 1, 0, 3]])
        shape: tuple[int, ...] = header.shape
        bytes_a_voxel = max(header.dtype.itemsize, FLOAT32_BYTES)
    else:
        with file.on_disk() as path:
            check_header(path)
            shape, components, itemsize = read_shape(path)
        bytes_a_voxel = max(itemsize, FLOAT32_BYTES)
        if len(shape) != 3 or components != 1:
            raise SourceError(
                f"an image of shape {shape} with {components} components is no single volume",
                verdict="not-a-volume",
                mend="export one three-dimensional volume a file",
            )
    return Found(
        format=kind,
        paths=(file,),
        name=file.name,
        key=stem,
        patient_key=stem,
        peak_bytes=peak_bytes(int(np.prod(shape)), bytes_a_voxel),
        geometry=geometry,
    )


def read_nifti(
    found: Found,
    *,
    hu_policy: str,
    slope: int | float = 1,
    intercept: int | float = 0,
    geometry: TableGeometry | None = None,
    tolerant: bool = False,
) -> Read:
    """Read one file.

    The scaling in a NIfTI header is part of its values; slope and intercept are those of a
    table beside it.

    Args:
        found: of format `nifti`, `nrrd` or `mha`.
        hu_policy: `auto`, `rescale` or `already`.
        slope: HU per value, from a metadata table.
        intercept: HU of the value 0, from a metadata table.
        geometry: what that table says of spacing and axes.
        tolerant: let the table rule where the header says otherwise.

    Raises:
        SourceError: it is damaged, has no geometry or not that of the table, or is not HU.
    """
    file = found.paths[0]
    mends: tuple[str, ...] = ()
    if found.format == "nifti":
        header = read_nifti_header(file, may_be_bare=geometry is not None)
        affine_ras, mends = _settled(header.affine_ras, geometry, tolerant=tolerant)
        # Before the voxels, which take long.
        placeholder = np.broadcast_to(np.int16(0), header.shape[::-1])
        check_right_angles(Volume(hu=placeholder, affine_ras=affine_ras))
        stored = read_voxels(file, header)
    else:
        with file.on_disk() as path:
            shape, _, itemsize = read_shape(path)
            check_attached(path, math.prod(shape) * itemsize)
            image = read_image(path)  # keeps the voxels alive
        affine_ras, mends = settle_geometry(image.affine_ras, geometry, tolerant=tolerant)
        stored = image.voxels
    check_spacing(affine_ras)
    hu, decision = decide_hu(stored, slope, intercept, hu_policy)
    scan = read_of_file(found, hu, affine_ras, decision)
    return replace(scan, mends=(*scan.mends, *mends))


def _settled(
    declared_ras: Float64[np.ndarray, "4 4"] | None,
    geometry: TableGeometry | None,
    *,
    tolerant: bool,
) -> tuple[Float64[np.ndarray, "4 4"], tuple[str, ...]]:
    # The file's fastest axis x is the array's last.
    in_array_order = None if declared_ras is None else declared_ras[:, [2, 1, 0, 3]]
    return settle_geometry(in_array_order, geometry, tolerant=tolerant)
