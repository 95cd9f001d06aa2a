"""Golden encoders, and tiny stores and tokenizers for everything that trains or scores."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.torch import load_file

from ctlite.models.ct_encoder import CTViT
from ctlite.models.reference_weights import load_encoder_weights
from ctlite.recipe import Recipe, load_recipe
from ctprep.store.attributes import (
    LUNG,
    Grid,
    HuDecision,
    Kind,
    OriginalGeometry,
    StoreAttributes,
    VolumeAttributes,
)
from ctprep.store.store import VolumeStore
from ctprep.store.tables import ReportRow, ScanRow, read_scans, write_reports, write_scans

LoadEncoder = Callable[..., CTViT]
MakeStore = Callable[..., VolumeStore]
ToyRecipe = Callable[..., Recipe]
SetSplits = Callable[[Sequence[str]], None]

TOY_SECTIONS = """
[optimizer]
lr = 3e-3
[schedule]
steps = 4
"""
TOY_MODEL = """
[model]
dim = 16
heads = 2
dim_head = 8
patch_size = 8
temporal_patch_size = 4
spatial_depth = 1
temporal_depth = 1
codebook_size = 16
latent_dim = 16
[model.text]
encoder = "small-bert"
width = 16
layers = 1
vocabulary_size = 200
"""

UNIT = ((1.0, 0, 0, 0), (0, 1.0, 0, 0), (0, 0, 1.0, 0), (0, 0, 0, 1.0))
SHAPE = (8, 16, 24)


def volume_attributes(scan_id: str, patient_id: str) -> VolumeAttributes:
    """Attributes of a made-up scan."""
    return VolumeAttributes(
        scan_id=scan_id,
        patient_id=patient_id,
        source_format="nifti",
        source_sha256=("0" * 64,),
        original=OriginalGeometry(
            shape=SHAPE, spacing_mm=(1.0, 1.0, 1.0), affine_ras=UNIT, axis_codes="SPL"
        ),
        affine_ras=UNIT,
        hu=HuDecision(policy="already", decision="already", slope=1, intercept=0, reason="made up"),
    )


@pytest.fixture
def make_store(tmp_path: Path) -> MakeStore:
    """Build a store of random volumes: `make_store(kind, scan_ids, shape=..., name=...)`."""

    def make(
        kind: Kind,
        scan_ids: Sequence[str],
        *,
        shape: tuple[int, int, int] = SHAPE,
        name: str | None = None,
    ) -> VolumeStore:
        is_jpeg = kind == "jpeg"
        attributes = StoreAttributes(
            kind=kind,
            grid=Grid(name="tiny", spacing_mm=(1.5, 0.75, 0.75), shape=shape),
            window=LUNG if is_jpeg else None,
            quality=90 if is_jpeg else None,
            encode_at="resampled" if is_jpeg else None,
        )
        store = VolumeStore.create(tmp_path / (name or f"{kind}.zarr"), attributes)
        for number, scan_id in enumerate(scan_ids):
            random = np.random.default_rng(number)
            voxels = (
                random.integers(0, 256, shape, dtype=np.uint8)
                if is_jpeg
                else random.integers(-1024, 3072, shape, dtype=np.int16)
            )
            store.write(scan_id, voxels, volume_attributes(scan_id, f"p-{scan_id}"))
        return store

    return make


@pytest.fixture
def toy_corpus(tmp_path: Path) -> Path:
    """Folder with both stores, reports and scan table of 8 scans, told apart by brightness."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    grid = Grid(name="toy", spacing_mm=(6, 4, 4), shape=(8, 16, 16))
    hifi = VolumeStore.create(folder / "hifi.zarr", StoreAttributes(kind="hifi", grid=grid))
    jpeg = VolumeStore.create(
        folder / "q90.zarr",
        StoreAttributes(kind="jpeg", grid=grid, window=LUNG, quality=90, encode_at="resampled"),
    )
    words = ("clear", "emphysema", "effusion", "nodule", "opacity", "hernia", "mass", "fluid")
    reports, scans = [], []
    for number, word in enumerate(words):
        scan_id, patient_id = f"s{number}", f"p{number}"
        hu = np.random.default_rng(number).normal(-900 + 110 * number, 40, grid.shape)
        hu[:, number : number + 6] += 150
        gray = np.clip(255 * ((hu + 600) / 1500 + 0.5), 0, 255)
        attributes = volume_attributes(scan_id, patient_id)
        hifi.write(scan_id, hu.astype(np.int16), attributes)
        jpeg.write(scan_id, np.rint(gray).astype(np.uint8), attributes)
        text = f"There is {word}."
        reports.append(
            ReportRow(
                scan_id=scan_id,
                text_full=f"{text} No fracture {number}.",
                text_positive=text,
                text_negative=f"No fracture {number}.",
                kept_sentences=(0,),
                backend="rules",
                model="rules",
                prompt_hash="0",
            )
        )
        split = "tune" if number == 7 else "train"
        scans.append(ScanRow(scan_id=scan_id, patient_id=patient_id, split=split, path=scan_id))
    write_reports(folder / "reports.parquet", reports)
    write_scans(folder / "scans.csv", scans)
    return folder


@pytest.fixture
def set_splits(toy_corpus: Path) -> SetSplits:
    """Give the scans of the toy corpus other splits: `set_splits(["train"] * 4 + ["tune"] * 4)`."""

    def change(splits: Sequence[str]) -> None:
        table = toy_corpus / "scans.csv"
        rows = zip(read_scans(table), splits, strict=True)
        write_scans(table, [row.model_copy(update={"split": split}) for row, split in rows])

    return change


@pytest.fixture
def toy_recipe(toy_corpus: Path) -> ToyRecipe:
    """Make a recipe of a stage on the toy corpus: `toy_recipe("clip", "schedule.steps=5")`."""

    def make(stage: str, *overrides: str) -> Recipe:
        data = {"scans": "scans.csv", "hifi_store": "hifi.zarr", "jpeg_store": "q90.zarr"}
        data["reports"] = "reports.parquet"
        lines = [f'{key} = "{toy_corpus / name}"' for key, name in data.items()]
        text = "\n".join(["[data]", "batch_size = 4", *lines, "", TOY_SECTIONS])
        text += TOY_MODEL if stage == "clip" else ""
        path = toy_corpus / "recipe.toml"
        path.write_text(f'out = "runs/toy"\n[stage]\nname = "{stage}"\n{text}')
        return load_recipe(str(path), overrides)

    return make


def read_config(path: Path) -> dict[str, Any]:
    """Constructor arguments, from the metadata of a golden file."""
    with safe_open(path, "pt") as file:
        config = json.loads(file.metadata()["config"])
    return {
        key: tuple(value) if isinstance(value, list) else value for key, value in config.items()
    }


@pytest.fixture
def load_encoder(golden: Path) -> LoadEncoder:
    """Builds an encoder with golden weights, in evaluation mode."""

    def load(name: str, **options: Any) -> CTViT:
        path = golden / f"{name}.weights.safetensors"
        encoder = CTViT(**read_config(path), **options).eval()
        load_encoder_weights(encoder, load_file(path))
        return encoder

    return load
