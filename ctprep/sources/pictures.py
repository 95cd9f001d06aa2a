"""Stacks of gray JPEG or PNG pictures: windowed already, placed by a sidecar."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int16

from ctprep.hu import check_policy
from ctprep.sources.files import SourceFile
from ctprep.sources.original import geometry_of, original_geometry, peak_bytes
from ctprep.sources.picture_order import in_order
from ctprep.sources.picture_pixels import PictureHeader, decode_picture, read_picture_header
from ctprep.sources.sidecar import SIDECARS, TEMPLATE, Sidecar, read_sidecar
from ctprep.sources.source import Found, Read, Refused
from ctprep.store.attributes import HuDecision, Window
from ctprep.store.errors import SourceError, located
from ctprep.volume import Volume

FORMAT = "pictures"
SUFFIXES = (".jpg", ".jpeg", ".png")
WINDOW_ASSUMED = "window-assumed"
GRAY_MAX = 255


def belongs_to_stack(path: SourceFile) -> bool:
    """Tell by its name whether a file is a picture or the sidecar of a stack."""
    name = path.basename.lower()
    return name.endswith(SUFFIXES) or name in SIDECARS


def find_stack(
    paths: Sequence[SourceFile], name: str, folder: str, *, tolerant: bool = False
) -> Found | Refused:
    """Describe the pictures of one folder from their headers and their sidecar.

    Args:
        paths: every file of the folder for which `belongs_to_stack` holds.
        name: where the stack lies, relative to the source.
        folder: name of the folder, which names the scan unless the sidecar does.
        tolerant: take evenly spaced numbers.

    Returns:
        The candidate, or one refusal for all its files.
    """
    try:
        return _find(paths, name, folder, tolerant=tolerant)
    except SourceError as error:
        what = error.what if error.where is None else f"{error.what} (in {error.where})"
        return Refused(name, error.verdict, what, error.mend, len(paths))
    except OSError as error:
        what = f"a file cannot be read: {error.strerror}"
        return Refused(name, "unreadable", what, "check its permissions", len(paths))


def read_stack(found: Found, *, hu_policy: str) -> Read:
    """Read a stack, its gray levels as the HU of its window.

    The HU are rounded to whole numbers, of which there are more than gray levels: windowing them
    again gives every gray level back. HU that the window cut off are at its edge.

    Args:
        found: of format `pictures`.
        hu_policy: what was asked; there is nothing to rescale.

    Raises:
        SourceError: a picture is damaged or no gray one, the sidecar is wrong, or they changed.
    """
    sidecar_path, *pictures = found.paths
    sidecar = read_sidecar(sidecar_path)
    window = sidecar.assumed_window
    first = read_picture_header(pictures[0])
    hu = np.empty((len(pictures), *first.shape), np.int16)
    levels_hu = _levels_hu(window)
    for index, path in enumerate(pictures):
        with located(path.basename):
            header = _same_size(read_picture_header(path), first)
            hu[index] = levels_hu[decode_picture(path, header)]
    volume = Volume(hu=hu, affine_ras=sidecar.affine_ras)
    return Read(
        volume=volume,
        hu=_decision(sidecar, hu_policy),
        original=original_geometry(volume),
        acquisition={},
        source_sha256=tuple(path.sha256() for path in found.paths),
        verdicts=(WINDOW_ASSUMED,),
        mends=found.mends,
    )


def assumed_window(found: Found) -> Window:
    """Give the window that the gray levels of a stack are taken to be of.

    Args:
        found: of format `pictures`.

    Raises:
        SourceError: the sidecar is wrong by now.
    """
    return read_sidecar(found.paths[0]).assumed_window


def _find(paths: Sequence[SourceFile], name: str, folder: str, *, tolerant: bool) -> Found:
    sidecars = [path for path in paths if path.basename.lower() in SIDECARS]
    pictures = [path for path in paths if path not in sidecars]
    _check_parts(len(pictures), len(sidecars))
    sidecar = read_sidecar(sidecars[0])
    ordered, mends = in_order(pictures, tolerant=tolerant)
    headers = []
    for path in ordered:
        with located(path.basename):
            headers.append(read_picture_header(path))
            _same_size(headers[-1], headers[0])
    rows, columns = headers[0].shape
    return Found(
        format=FORMAT,
        paths=(sidecars[0], *ordered),
        name=name,
        key=sidecar.scan_id or folder,
        patient_key=sidecar.patient_id or sidecar.scan_id or folder,
        peak_bytes=peak_bytes(len(ordered) * rows * columns, 1),
        mends=mends,
        geometry=geometry_of((len(ordered), rows, columns), sidecar.affine_ras),
    )


def _check_parts(pictures: int, sidecars: int) -> None:
    if pictures == 0:
        raise SourceError(
            "a sidecar without pictures", verdict="no-pictures", mend="put it beside its pictures"
        )
    if sidecars == 0:
        raise SourceError(
            f"{pictures} pictures without a sidecar: nothing tells their spacing and axes",
            verdict="no-sidecar",
            mend=f"{TEMPLATE}; or leave the pictures out",
        )
    if sidecars > 1:
        raise SourceError(
            "two sidecars in one folder", verdict="two-sidecars", mend="keep one, of one spelling"
        )
    if pictures == 1:
        raise SourceError(
            "one picture alone forms no volume",
            verdict="single-image",
            mend="put all pictures of the scan in one folder",
        )


def _same_size(header: PictureHeader, first: PictureHeader) -> PictureHeader:
    if header.shape != first.shape:
        raise SourceError(
            f"a picture of {header.shape[0]} x {header.shape[1]} pixels in a stack of "
            f"{first.shape[0]} x {first.shape[1]}",
            verdict="mixed-sizes",
            mend="put the pictures of one scan in a folder of their own",
        )
    return header


def _levels_hu(window: Window) -> Int16[np.ndarray, "256"]:
    slope, intercept = _rescale(window)
    levels_hu: Int16[np.ndarray, "256"]
    levels_hu = np.rint(np.arange(GRAY_MAX + 1) * slope + intercept).astype(np.int16)
    return levels_hu


def _rescale(window: Window) -> tuple[float, float]:
    return window.width_hu / GRAY_MAX, window.center_hu - window.width_hu / 2


def _decision(sidecar: Sidecar, hu_policy: str) -> HuDecision:
    window = sidecar.assumed_window
    slope, intercept = _rescale(window)
    whence = "no window is told, so it" if sidecar.window is None else "the sidecar's window"
    return HuDecision(
        policy=check_policy(hu_policy),
        decision="windowed",
        slope=slope,
        intercept=intercept,
        reason=f"gray levels; {whence} is assumed to be center {window.center_hu:g}, "
        f"width {window.width_hu:g} HU",
    )
