"""Tiny pictures in every encoding of a scan, with what they must decode to."""

import tomllib
from base64 import b64decode
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from jaxtyping import UInt8, UInt16

SIDE = 16


@dataclass(frozen=True)
class Sample:
    """One compressed picture.

    Args:
        name: of its encoding.
        uid: DICOM transfer syntax.
        bits: of a pixel.
        tolerance: by how much a lossy one may be off.
        package: that decodes it.
        data: the encoded picture.
    """

    name: str
    uid: str
    bits: int
    tolerance: int
    package: str
    data: bytes

    @property
    def pixels(self) -> UInt16[np.ndarray, "row column"]:
        """What it must decode to."""
        return ramp() >> 4 if self.bits == 8 else ramp()


def ramp() -> UInt16[np.ndarray, "row column"]:
    """Give the picture that all samples show: steps of 100 down and of -30 to the right."""
    row, column = np.indices((SIDE, SIDE))
    pixels: UInt16[np.ndarray, "row column"] = (1000 + 100 * row - 30 * column).astype(np.uint16)
    return pixels


def dicom_samples() -> list[Sample]:
    """Give a sample of every compressed transfer syntax that chest CT comes in."""
    return [Sample(**{**entry, "data": b64decode(entry["data"])}) for entry in _samples()["sample"]]


def jpeg_sample() -> tuple[bytes, UInt8[np.ndarray, "row column"]]:
    """Give a gray JPEG, and its pixels as the accurate cosine transform decodes them."""
    entry = _samples()["jpeg"]
    gray = np.frombuffer(b64decode(entry["gray"]), np.uint8).reshape(SIDE, SIDE)
    return b64decode(entry["data"]), gray


@cache
def _samples() -> dict[str, Any]:
    text = files("ctprep.doctor").joinpath("samples.toml").read_text("utf-8")
    return tomllib.loads(text)
