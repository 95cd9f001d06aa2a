"""Check what stores are made of: the JPEG library, and the codecs as plain zarr finds them."""

import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from ctprep.doctor.check import Check, attempt, tell_versions
from ctprep.doctor.samples import jpeg_sample
from ctprep.doctor.sources import check_equal
from ctprep.store.attributes import (
    LUNG,
    Grid,
    HuDecision,
    Kind,
    OriginalGeometry,
    StoreAttributes,
    VolumeAttributes,
)
from ctprep.store.jpeg import DEFAULT_QUALITY, decode_gray, encode_gray
from ctprep.store.store import VolumeStore

REINSTALL = "pip install --force-reinstall ct-lite"
GRID = Grid(name="doctor", spacing_mm=(1.0, 1.0, 1.0), shape=(16, 24, 24))
AFFINE_RAS = (
    (0.0, 0.0, -1.0, 0.0),
    (0.0, -1.0, 0.0, 0.0),
    (1.0, 0.0, 0.0, 0.0),
    (0.0, 0.0, 0.0, 1.0),
)
ROUND_TRIP = 24
"""By how much noise may be off after JPEG at the default quality."""


def check_stores() -> Iterator[Check]:
    """Decode and encode JPEG, and read both kinds of store with plain zarr."""
    mend = "pip install --force-reinstall simplejpeg"
    yield attempt("stores", "JPEG decoder, accurate DCT", _decode_jpeg, mend=mend)
    yield attempt("stores", "JPEG encoder", _encode_jpeg, mend=mend)
    kinds: tuple[Kind, ...] = ("jpeg", "hifi")
    for kind in kinds:
        name = f"{kind} store through plain zarr"
        yield attempt("stores", name, partial(_read_by_zarr, kind), mend=REINSTALL)


def _decode_jpeg() -> str:
    data, gray = jpeg_sample()
    decoded = np.empty_like(gray)
    decode_gray(data, decoded)
    check_equal(decoded, gray, 0)
    return tell_versions("simplejpeg")


def _encode_jpeg() -> str:
    _, gray = jpeg_sample()
    decoded = np.empty_like(gray)
    decode_gray(encode_gray(gray, DEFAULT_QUALITY), decoded)
    check_equal(decoded, gray, ROUND_TRIP)
    return tell_versions("simplejpeg")


def _read_by_zarr(kind: Kind) -> str:
    import zarr
    from zarr.registry import get_codec_class

    # A name alone, as zarr has it from the metadata: it must come by entry point.
    names = ("reshape", "jpeg") if kind == "jpeg" else ("bytes", "blosc")
    classes = [get_codec_class(name) for name in names]
    voxels = np.add.outer(np.arange(16), np.add.outer(np.arange(24), 3 * np.arange(24)))
    with tempfile.TemporaryDirectory(prefix="ctprep-doctor-") as folder:
        store = VolumeStore.create(Path(folder) / "s.zarr", _store_attributes(kind))
        stored = voxels.astype(np.uint8 if kind == "jpeg" else np.int16)
        store.write("doctor", stored, _volume_attributes())
        fast = store.read("doctor")
        plain = np.asarray(zarr.open_array(Path(folder) / "s.zarr" / "doctor" / "0", mode="r")[:])
    check_equal(fast, stored, ROUND_TRIP if kind == "jpeg" else 0)
    check_equal(plain, fast, 0)
    owners = [codec.__module__.split(".")[0] for codec in classes]
    told = [f"{name} of {owner}" for name, owner in zip(names, owners, strict=True)]
    return f"{tell_versions('zarr', 'numcodecs')}; {', '.join(told)}"


def _store_attributes(kind: Kind) -> StoreAttributes:
    if kind == "hifi":
        return StoreAttributes(kind=kind, grid=GRID)
    return StoreAttributes(kind=kind, grid=GRID, window=LUNG, quality=DEFAULT_QUALITY)


def _volume_attributes() -> VolumeAttributes:
    return VolumeAttributes(
        scan_id="doctor",
        patient_id="doctor",
        source_format="none",
        source_sha256=(),
        original=OriginalGeometry(
            shape=GRID.shape, spacing_mm=GRID.spacing_mm, affine_ras=AFFINE_RAS, axis_codes="SPL"
        ),
        affine_ras=AFFINE_RAS,
        hu=HuDecision(policy="auto", decision="already", slope=1, intercept=0, reason="made up"),
    )
