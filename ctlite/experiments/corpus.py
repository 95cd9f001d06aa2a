"""Where the data of an experiment lies: the synthetic corpus in its folder, or real stores."""

import re
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from ctlite.experiments.definition import CLEAN, Scale
from ctlite.model_recipe import Section
from ctprep.store.errors import RecipeError

PREFIX = "corpus."
JPEG_STORE = re.compile(r"(native-)?q(\d{1,3})")


class Corpus(Section):
    """Stores and tables; `--set corpus.KEY=VALUE` changes them."""

    hifi: str
    """Store of clean volumes."""
    stores: str
    """Folder, or URL, of the JPEG stores, which are named after their quality: `q90.zarr`."""
    reports: Path
    scans: Path
    labels: Path
    teacher: Path | None = None
    """Model folder of a teacher; None where it is trained."""
    archive: Path | None = None
    """What was ingested, for stores that are compressed before resampling."""
    grid: str
    """Grid of the stores, likewise."""
    patients: int = Field(default=0, ge=0)
    """Of a synthetic corpus; 0 for real data, which is never made."""
    seed: int = Field(default=1, ge=0)
    """Of a synthetic corpus; the demo's is 0."""
    batch_size: int = Field(default=1, gt=0)
    """Volumes encoded at once when a model is scored."""

    def path(self, store: str) -> str:
        """Tell where a store is.

        Args:
            store: `hifi`, or such as `q90`.

        Returns:
            Folder or URL.
        """
        return self.hifi if store == CLEAN else f"{self.stores}/{store}.zarr"


def find_corpus(scale: Scale, out: Path, overrides: Sequence[str]) -> Corpus:
    """Lay out the corpus of a scale.

    Args:
        scale: `phantom` or `paper`.
        out: folder of the experiments; a synthetic corpus is made in it.
        overrides: those that begin with `corpus.`; others are passed over.

    Returns:
        Its places.

    Raises:
        RecipeError: an override names no key of the corpus, or is no value for it.
    """
    folder = out / "phantom"
    values: dict[str, object] = (
        {
            "hifi": str(folder / "hifi.zarr"),
            "stores": str(folder),
            "reports": folder / "reports.parquet",
            "scans": folder / "source" / "scans.csv",
            "labels": folder / "source" / "labels.csv",
            "archive": folder / "source" / "scans",
            "grid": "phantom",
            "patients": 1000,
            "batch_size": 8,
        }
        if scale == "phantom"
        else {
            "hifi": "stores/hifi.zarr",
            "stores": "stores",
            "reports": "reports.parquet",
            "scans": "scans.csv",
            "labels": "labels.csv",
            "teacher": "models/ct-clip-v1",
            "grid": "ct-clip",
        }
    )
    for override in overrides:
        key, equals, value = override.partition("=")
        if not key.startswith(PREFIX):
            continue
        if not equals or key.removeprefix(PREFIX) not in Corpus.model_fields:
            raise RecipeError(
                f"the override {override!r} sets nothing",
                mend=f"write {PREFIX}KEY=VALUE with one of {', '.join(Corpus.model_fields)}",
            )
        values[key.removeprefix(PREFIX)] = value
    try:
        return Corpus.model_validate(values)
    except ValueError as error:
        raise RecipeError(
            f"the corpus cannot be laid out: {error}", mend="correct --set corpus.KEY=VALUE"
        ) from error


def jpeg_quality(store: str) -> tuple[int, bool]:
    """Read what the name of a JPEG store says.

    Args:
        store: such as `q90` or `native-q90`.

    Returns:
        Quality, and whether volumes are compressed before they are resampled.

    Raises:
        RecipeError: it is no such name.
    """
    found = JPEG_STORE.fullmatch(store)
    if found is None or not 1 <= int(found[2]) <= 100:
        raise RecipeError(f"{store!r} is no JPEG store", mend="write it as q90 or native-q90")
    return int(found[2]), found[1] is not None
