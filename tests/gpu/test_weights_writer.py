"""Weights go from the memory of a GPU into a file piece by piece."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ctlite.models import weights_writer
from ctlite.models.weights_writer import write_weights


def test_tensors_of_a_gpu_are_written_piece_by_piece(
    gpu: torch.device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None is in the CPU's memory whole."""
    monkeypatch.setattr(weights_writer, "PIECE", 7)
    tensors = {"matrix": torch.randn(5, 3, device=gpu), "count": torch.tensor(3, device=gpu)}
    done = list(write_weights(tmp_path / "w.safetensors", tensors))
    found = load_file(tmp_path / "w.safetensors")

    assert max(done) <= 7
    for name, tensor in tensors.items():
        assert torch.equal(found[name], tensor.cpu())
