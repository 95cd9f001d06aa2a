"""The encoders whose golden vectors are there."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open
from safetensors.torch import load_file

from ctlite.models.ct_encoder import CTViT
from ctlite.models.reference_weights import load_encoder_weights

LoadEncoder = Callable[..., CTViT]


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
