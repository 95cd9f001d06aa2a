"""Versions: the packages that had a hand in a volume, for its provenance."""

from functools import cache
from importlib.metadata import PackageNotFoundError, version

PACKAGES = (
    *("ct-lite", "isal", "nibabel", "numpy", "pillow", "pydicom"),
    *("SimpleITK", "simplejpeg", "zarr"),
)


@cache
def installed_versions() -> dict[str, str]:
    """Give the versions of the packages that read, resample and write, where installed."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def jpeg_encoder() -> str:
    """Name the JPEG encoder: encoders differ in their cosine transform, so in their pixels."""
    return f"simplejpeg {version('simplejpeg')}"
