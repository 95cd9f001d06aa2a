"""NRRD and MetaImage through SimpleITK, with the geometry it gives them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK
from jaxtyping import Float64, Shaped

from ctprep.sources.silence import silenced
from ctprep.store.errors import SourceError

ITK: Any = SimpleITK  # it ships no types
ITK.ProcessObject.SetGlobalWarningDisplay(False)
SHEAR_WORD = "orthonormal"


@dataclass(frozen=True)
class ItkImage:
    """An image of the library and a view into it, which is dangling once the image is gone."""

    image: Any

    @property
    def voxels(self) -> Shaped[np.ndarray, "z y x"]:
        """View of the voxels, any scaling of the header applied; use it while this lives.

        Raises:
            SourceError: `not-a-volume`.
        """
        return _array(self.image)

    @property
    def affine_ras(self) -> Float64[np.ndarray, "4 4"]:
        """Index (z, y, x) to RAS+ mm."""
        return _affine(self.image)


def read_image(path: Path) -> ItkImage:
    """Read one file.

    Args:
        path: a file of one volume.

    Raises:
        SourceError: `unreadable` or `gantry-tilt`.
    """
    try:
        with silenced():
            return ItkImage(ITK.ReadImage(str(path)))
    except RuntimeError as error:
        raise _unreadable(str(error)) from error


def read_shape(path: Path) -> tuple[tuple[int, ...], int, int]:
    """Read the header of one file.

    Returns:
        Voxels along z, y, x; the number of components of a voxel; bytes of one.

    Raises:
        SourceError: `unreadable`.
    """
    reader = ITK.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        with silenced():
            reader.ReadImageInformation()
        pixel = ITK.Image([1, 1], reader.GetPixelID())
    except RuntimeError as error:
        raise _unreadable(str(error)) from error
    components = int(reader.GetNumberOfComponents())
    return tuple(reversed(reader.GetSize())), components, int(pixel.GetSizeOfPixelComponent())


def _array(image: object) -> Shaped[np.ndarray, "z y x"]:
    voxels: Shaped[np.ndarray, "..."] = ITK.GetArrayViewFromImage(image)
    while voxels.ndim > 3 and voxels.shape[0] == 1:
        voxels = voxels[0]
    if voxels.ndim != 3:
        raise SourceError(
            f"an array of shape {voxels.shape} is no single volume",
            verdict="not-a-volume",
            mend="export one three-dimensional volume a file",
        )
    return voxels


def _affine(image: Any) -> Float64[np.ndarray, "4 4"]:  # noqa: ANN401
    # The library says left and posterior are positive; everything here says right and anterior.
    flip = np.array([-1.0, -1.0, 1.0])
    direction = np.array(image.GetDirection()).reshape(3, 3)
    affine = np.eye(4)
    affine[:3, :3] = flip[:, None] * direction * np.array(image.GetSpacing())
    affine[:3, 3] = flip * np.array(image.GetOrigin())
    return affine[:, [2, 1, 0, 3]]


def _unreadable(message: str) -> SourceError:
    if SHEAR_WORD in message:
        return SourceError(
            "the axes of the volume are not at right angles",
            verdict="gantry-tilt",
            mend="undo the tilt with a tool that shears the slices back, or leave it out",
        )
    # The library's own message quotes the absolute path.
    return SourceError(
        "the file is damaged, or not what its name says",
        verdict="unreadable",
        mend="fetch the file again",
    )
