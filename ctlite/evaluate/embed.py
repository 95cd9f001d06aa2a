"""Scans of a store to image latents, one batch after the other."""

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from ctlite.data.loader import Loader
from ctlite.data.volumes import check_store, to_video
from ctlite.models.ct_clip import CtClip
from ctprep.store.attributes import StoreAttributes
from ctprep.store.store import VolumeStore


def embed_scans(
    model: CtClip,
    store: VolumeStore,
    scan_ids: tuple[str, ...],
    *,
    batch_size: int = 1,
    threads: int = 2,
    device: torch.device | str = "cpu",
) -> Iterator[tuple[tuple[str, ...], Float[Tensor, "batch latent"]]]:
    """Encode scans, in the order given.

    Args:
        model: in evaluation mode, on `device`.
        store: of either kind, on the model's grid.
        scan_ids: the scans, none twice.
        batch_size: volumes encoded at once.
        threads: volumes decoded at once.
        device: where the model is.

    Yields:
        Scan ids and their unit-length latents, on the device.

    Raises:
        StoreMismatchError: the store does not fit the model.
        StoreError: scans are missing from the store or damaged.
    """
    attributes = store.attributes
    hu_range = input_hu_range(model, attributes)
    loader = Loader(
        scan_ids,
        gray_store=store if attributes.kind == "jpeg" else None,
        hu_store=store if attributes.kind == "hifi" else None,
        batch_size=batch_size,
        threads=threads,
        shuffle=False,
        drop_last=False,
    )
    for batch in loader.epoch(0):
        on_device = batch.to(device)
        stored = next(part for part in (on_device.gray, on_device.hu) if part is not None)
        with torch.inference_mode():
            video = to_video(
                stored,
                hu_range=hu_range,
                stored_orientation=attributes.orientation,
                model_orientation=model.config.preprocessing.orientation,
            )
            latents = model.encode_image(video)
        yield batch.scan_ids, latents


def input_hu_range(model: CtClip, attributes: StoreAttributes) -> tuple[float, float] | None:
    """Check a store against a model and tell which HU become -1 and 1.

    A model of windowed gray levels may be shown the clean volumes of a hi-fi store, cut to the
    same window; a model of HU may be shown gray levels, which is the paper's baseline without
    fine-tuning.

    Args:
        model: the model.
        attributes: of the store.

    Returns:
        The range for `to_video`; None for gray levels.

    Raises:
        StoreMismatchError: another grid, or a window other than the model's.
    """
    wanted = model.config.preprocessing
    check_store(
        attributes,
        kind=attributes.kind,
        grid=wanted.grid,
        model_orientation=wanted.orientation,
        # A model of HU has no window of its own to hold against the store's.
        window=wanted.window or attributes.window,
    )
    if attributes.kind == "jpeg":
        return None
    if wanted.window is None:
        return wanted.hu_range
    half = wanted.window.width_hu / 2
    return wanted.window.center_hu - half, wanted.window.center_hu + half
