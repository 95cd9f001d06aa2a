"""The sidecar of a stack of pictures: what pictures cannot say of themselves."""

import json
import tomllib
from typing import Annotated

import numpy as np
from jaxtyping import Float64
from pydantic import Field, ValidationError, field_validator

from ctprep.orientation import affine_of
from ctprep.sources.files import SourceFile
from ctprep.store.attributes import LUNG, Attributes, Window
from ctprep.store.columns import SCAN_ID_PATTERN
from ctprep.store.errors import SourceError

SIDECARS = ("stack.json", "stack.toml")
MAX_BYTES = 1 << 16
MIN_WIDTH_HU = 256
"""A narrower window has gray levels less than one HU apart, which whole HU cannot hold."""
MAX_HU = 10_000

TEMPLATE = (
    "write stack.toml beside the pictures, such as: spacing_mm = [1.5, 0.7, 0.7] (slice, row, "
    'column); axis_codes = "IPL" (where slices, rows and columns run to); optionally '
    "window = { center_hu = -600, width_hu = 1500 }, origin_ras_mm, scan_id, patient_id"
)
Millimeters = Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)]
Coordinate = Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)]


class Sidecar(Attributes):
    """Geometry and window of a stack of gray pictures, from `stack.json` or `stack.toml`."""

    spacing_mm: tuple[Millimeters, Millimeters, Millimeters]
    """Between slices, rows and columns."""
    axis_codes: str = Field(pattern=r"^[LRAPSI]{3}$")
    """Where the pictures in the order of their numbers, rows and columns run to, such as IPL."""
    window: Window | None = None
    """HU that became gray 0 to 255; None takes the lung window."""
    origin_ras_mm: tuple[Coordinate, Coordinate, Coordinate] = (0.0, 0.0, 0.0)
    """Position of the first pixel of the first picture."""
    scan_id: str | None = Field(default=None, pattern=SCAN_ID_PATTERN)
    """Name in the store; None takes the folder's."""
    patient_id: str | None = Field(default=None, min_length=1)
    """What identifies the patient; only a keyed hash of it is stored."""

    @field_validator("axis_codes")
    @classmethod
    def _names_each_axis(cls, codes: str) -> str:
        if len({"LRAPSI".index(code) // 2 for code in codes}) != 3:
            raise ValueError("names an axis twice")
        return codes

    @field_validator("window")
    @classmethod
    def _fits_whole_hu(cls, window: Window | None) -> Window | None:
        if window is not None and not (
            abs(window.center_hu) <= MAX_HU and MIN_WIDTH_HU <= window.width_hu <= 2 * MAX_HU
        ):
            raise ValueError(
                f"must be {MIN_WIDTH_HU} to {2 * MAX_HU} HU wide, its center within {MAX_HU} HU"
            )
        return window

    @property
    def assumed_window(self) -> Window:
        """The window that the gray levels are taken to be of."""
        return self.window or LUNG

    @property
    def affine_ras(self) -> Float64[np.ndarray, "4 4"]:
        """Index (picture, row, column) to RAS+ mm."""
        return affine_of(self.axis_codes, self.spacing_mm, self.origin_ras_mm)


def read_sidecar(path: SourceFile) -> Sidecar:
    """Read and check a sidecar.

    Args:
        path: `stack.json` or `stack.toml`.

    Raises:
        SourceError: `bad-sidecar`, with every wrong, missing or unknown key.
    """
    name = path.basename
    with path.open() as file:
        content = file.read(MAX_BYTES + 1)
    try:
        if len(content) > MAX_BYTES:
            raise ValueError(f"it is longer than {MAX_BYTES} bytes")  # noqa: TRY301
        text = content.decode("utf-8")
        settings = tomllib.loads(text) if name.endswith(".toml") else json.loads(text)
    except (ValueError, RecursionError) as error:
        # Both parsers' errors are ValueErrors; they name the place, not the content.
        raise _bad(f"{name} cannot be read: {error}") from error
    try:
        # Strict would refuse the whole numbers and lists that people write.
        return Sidecar.model_validate(settings)
    except ValidationError as error:
        faults = [
            f"{'.'.join(map(str, fault['loc'])) or name}: {fault['msg']}"
            for fault in error.errors(include_input=False)
        ]
        raise _bad("; ".join(faults)) from error


def _bad(what: str) -> SourceError:
    return SourceError(what, verdict="bad-sidecar", mend=TEMPLATE)
