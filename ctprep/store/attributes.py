"""What a store says about itself and about each of its volumes: the attributes in `zarr.json`."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Kind = Literal["hifi", "jpeg"]
Triple = tuple[float, float, float]
Affine = tuple[
    tuple[float, float, float, float],
    tuple[float, float, float, float],
    tuple[float, float, float, float],
    tuple[float, float, float, float],
]

FORMAT_VERSION = "1"
STORED_ORIENTATION = "SPL"
PAD_HU = -1024


class Attributes(BaseModel):
    """Base of everything read from disk: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Window(Attributes):
    """A range of HU that is kept, `center_hu` plus or minus half of `width_hu`."""

    center_hu: float
    width_hu: float = Field(gt=0)


LUNG = Window(center_hu=-600, width_hu=1500)


class Grid(Attributes):
    """The common sampling of a corpus, axes (slice, row, column)."""

    name: str
    spacing_mm: Triple
    shape: tuple[int, int, int]


GRIDS = {
    grid.name: grid
    for grid in (
        Grid(name="ct-clip", spacing_mm=(1.5, 0.75, 0.75), shape=(240, 480, 480)),
        Grid(name="isotropic-2mm", spacing_mm=(2.0, 2.0, 2.0), shape=(192, 192, 192)),
        Grid(name="phantom", spacing_mm=(6.0, 4.0, 4.0), shape=(48, 80, 80)),
    )
}


class StoreAttributes(Attributes):
    """Attributes of the corpus group: what holds for every volume in it."""

    format_version: str = FORMAT_VERSION
    kind: Kind
    grid: Grid
    orientation: str = STORED_ORIENTATION
    """Axis codes of the stored array, the direction in which each index grows."""
    hu_range: tuple[int, int] = (-1024, 3071)
    """Clip applied before resampling."""
    window: Window | None = None
    """None in a hi-fi store."""
    quality: int | None = Field(default=None, ge=1, le=100)
    encode_at: Literal["resampled", "native"] | None = None
    encoder: str | None = None
    """JPEG encoder and version: encoders differ in their DCT."""
    versions: dict[str, str] = Field(default_factory=dict)
    """Packages that made the store; informative, never compared."""


class OriginalGeometry(Attributes):
    """The sampling of the source, from which the stored array was made."""

    shape: tuple[int, int, int]
    spacing_mm: Triple
    affine_ras: Affine
    """Source array index to RAS+ mm."""
    axis_codes: str


class HuDecision(Attributes):
    """Whether slope and intercept were applied, and why; pictures come windowed."""

    policy: Literal["auto", "rescale", "already"]
    decision: Literal["rescaled", "already", "windowed"]
    slope: float
    intercept: float
    reason: str


class CompressionQuality(Attributes):
    """What JPEG kept of the windowed volume."""

    nbytes: int
    """Bytes of the volume's shard."""
    ratio: float
    """Bytes of the int16 array over `nbytes`."""
    psnr_db: float | None
    """None when the volume came back exactly."""
    ssim: float


class VolumeAttributes(Attributes):
    """Attributes of one volume: provenance, without anything that identifies a person."""

    scan_id: str = Field(pattern=r"^[a-z0-9_-][a-z0-9._-]{0,127}$")
    patient_id: str
    """Pseudonym or manifest id; what splits and bootstraps group by."""
    source_format: str
    source_sha256: tuple[str, ...]
    """SHA-256 of every source file, in reading order."""
    parameters: dict[str, str | int | float | bool | None] = Field(default_factory=dict)
    """Everything that, with the source, determines the stored voxels; compared on resume."""
    original: OriginalGeometry
    affine_ras: Affine
    """Stored array index (slice, row, column) to RAS+ mm."""
    content: tuple[tuple[int, int], tuple[int, int], tuple[int, int]] | None = None
    """Begin and end of the scan along each stored axis; the rest is padding. None: unknown."""
    hu: HuDecision
    acquisition: dict[str, str | float] = Field(default_factory=dict)
    """The allow-listed acquisition facts: kernel, kVp, manufacturer and the like."""
    verdicts: tuple[str, ...] = ()
    mends: tuple[str, ...] = ()
    quality: CompressionQuality | None = None
    """None in a hi-fi store."""
    versions: dict[str, str] = Field(default_factory=dict)
