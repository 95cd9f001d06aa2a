"""Stored volumes to what a vision model takes: floats in [-1, 1], in the model's orientation."""

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from ctprep.store.attributes import Grid, Kind, StoreAttributes, Window
from ctprep.store.errors import StoreMismatchError

AXES = {"L": "LR", "R": "LR", "A": "AP", "P": "AP", "S": "SI", "I": "SI"}
HALF_GRAY = 127.5
CODES_MEND = "use three axis codes, one each of L or R, A or P, S or I, such as SLP"


def axis_steps(stored_orientation: str, model_orientation: str) -> list[tuple[int, bool]]:
    """Tell how the axes of a stored volume become those of the model.

    Args:
        stored_orientation: three axis codes, the direction in which each stored index grows.
        model_orientation: the same for the model's (frame, height, width).

    Returns:
        For every model axis, the stored axis it comes from and whether that runs backwards.

    Raises:
        StoreMismatchError: one of the two is not a complete set of axis codes.
    """
    for name, codes in (("stored", stored_orientation), ("model", model_orientation)):
        if sorted(AXES.get(code, "") for code in codes) != ["AP", "LR", "SI"]:
            raise StoreMismatchError(
                f"the {name} orientation {codes!r} is not three different axes", mend=CODES_MEND
            )
    stored_axes = [AXES[code] for code in stored_orientation]
    steps = []
    for code in model_orientation:
        axis = stored_axes.index(AXES[code])
        steps.append((axis, stored_orientation[axis] != code))
    return steps


def video_shape(
    grid_shape: tuple[int, int, int], *, stored_orientation: str, model_orientation: str
) -> tuple[int, int, int]:
    """Tell the (frame, height, width) of a stored grid in the model's orientation.

    Args:
        grid_shape: shape of the stored volume.
        stored_orientation: axis codes of the stored volume.
        model_orientation: axis codes of the model's (frame, height, width).

    Returns:
        Voxels along frame, height and width.

    Raises:
        StoreMismatchError: an orientation is not a complete set of axis codes.
    """
    steps = axis_steps(stored_orientation, model_orientation)
    return grid_shape[steps[0][0]], grid_shape[steps[1][0]], grid_shape[steps[2][0]]


def to_video(
    stored: Shaped[Tensor, "batch slice row column"],
    *,
    hu_range: tuple[float, float] | None,
    stored_orientation: str,
    model_orientation: str,
    out: Float[Tensor, "batch 1 frame height width"] | None = None,
) -> Float[Tensor, "batch 1 frame height width"]:
    """Normalize stored volumes and bring them to the model's orientation, on their device.

    Args:
        stored: uint8 gray levels or int16 HU.
        hu_range: HU that become -1 and 1, values outside are clipped; None for gray levels,
            whose range is the store's window.
        stored_orientation: axis codes of `stored`, such as SPL.
        model_orientation: axis codes of (frame, height, width), such as SLP.
        out: float32 memory to write to and return, so that a loop need not allocate.

    Returns:
        float32 in [-1, 1]; frames run along the first of the model's axis codes.

    Raises:
        StoreMismatchError: gray levels with an HU range, HU without one, an empty HU range,
            another type of voxel, or an orientation that cannot be converted.

    Source:
        Gray: v / 127.5 - 1. HU: clip, then linear, as CT-CLIP's inference loader for
        [-1000, 1000] (its division by 1000) and for [-1000, 200] (its (HU + 400) / 600).
    """
    steps = axis_steps(stored_orientation, model_orientation)
    low, high = _value_range(stored.dtype, hu_range)
    source = stored.permute(0, *(axis + 1 for axis, _ in steps))
    backwards = [axis + 1 for axis, (_, is_backwards) in enumerate(steps) if is_backwards]
    if backwards:
        source = source.flip(backwards)
    video = (
        torch.empty(source.shape, dtype=torch.float32, device=stored.device).unsqueeze(1)
        if out is None
        else out
    )
    half, lowest = (
        torch.full(video.shape[-1:], value, device=video.device)
        for value in ((high - low) / 2, -1.0)
    )
    for part, target in _parts(source, video[:, 0]):
        target.copy_(part)
        if hu_range is not None:
            target.clamp_(low, high)
        if low:
            target.sub_(low)
        # Rows, not numbers: only so is it one vectorized pass, and rounded as v / half - 1 is.
        torch.addcdiv(lowest, target, half, out=target)
    return video


def _value_range(dtype: torch.dtype, hu_range: tuple[float, float] | None) -> tuple[float, float]:
    """The stored values that become -1 and 1."""
    if dtype == torch.uint8 and hu_range is None:
        return 0.0, 2 * HALF_GRAY
    if dtype == torch.int16 and hu_range is not None and hu_range[0] < hu_range[1]:
        return hu_range
    raise StoreMismatchError(
        f"voxels of type {dtype} cannot be normalized with the HU range {hu_range}",
        mend="give uint8 gray levels and no range, or int16 HU and a range (low, high)",
    )


def _parts(source: Tensor, target: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Whole on an accelerator; by frame on the CPU, where a frame stays in cache."""
    if source.device.type != "cpu":
        return [(source, target)]
    return [
        (source[scan, frame], target[scan, frame])
        for scan in range(source.shape[0])
        for frame in range(source.shape[1])
    ]


def check_store(
    attributes: StoreAttributes,
    *,
    kind: Kind,
    grid: Grid,
    model_orientation: str,
    window: Window | None = None,
) -> None:
    """Check that a store holds what a model was trained on, before any volume is read.

    Args:
        attributes: of the store.
        kind: the store the model takes.
        grid: the sampling the model takes, axes as stored; its name does not matter.
        model_orientation: axis codes of the model's (frame, height, width).
        window: the model's window; compared with that of a JPEG store.

    Raises:
        StoreMismatchError: naming everything that differs.
    """
    axis_steps(attributes.orientation, model_orientation)
    pairs: list[tuple[str, object, object]] = [
        ("kind", attributes.kind, kind),
        ("shape", attributes.grid.shape, grid.shape),
        ("spacing_mm", attributes.grid.spacing_mm, grid.spacing_mm),
    ]
    if kind == "jpeg":
        pairs.append(("window", _window_text(attributes.window), _window_text(window)))
    differing = [
        f"{name} is {stored}, the model wants {wanted}"
        for name, stored, wanted in pairs
        if stored != wanted
    ]
    if differing:
        raise StoreMismatchError(
            "the store does not fit the model: " + "; ".join(differing),
            mend="choose the store the model was trained on, or make one with those parameters",
        )


def _window_text(window: Window | None) -> str:
    if window is None:
        return "none"
    return f"center {window.center_hu:g} HU, width {window.width_hu:g} HU"
