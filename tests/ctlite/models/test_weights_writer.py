"""What is written piece by piece is a safetensors file like any other."""

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from ctlite.models import weights_writer
from ctlite.models.weights_writer import is_writable, write_weights


def test_the_library_reads_it_back_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scalars, empty, strided and half-precision tensors, in pieces that do not divide them."""
    monkeypatch.setattr(weights_writer, "PIECE", 7)
    tensors = {
        "scalar": torch.tensor(1.25),
        "matrix": torch.randn(5, 3),
        "transposed": torch.randn(4, 3).T,
        "empty": torch.zeros(2, 0, 3),
        "half": torch.randn(3).half(),
        "brain": torch.randn(3).bfloat16(),
        "double": torch.randn(2, dtype=torch.float64),
        "nan": torch.tensor([float("nan"), -0.0]),
    }
    done = list(write_weights(tmp_path / "w.safetensors", tensors))
    found = load_file(tmp_path / "w.safetensors")

    assert sum(done) == sum(tensor.nbytes for tensor in tensors.values())
    assert max(done) <= 7
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype
        assert found[name].shape == tensor.shape
        # As bytes, for which NaN equals itself and the zeros differ.
        bits = found[name].reshape(-1).view(torch.uint8)
        assert torch.equal(bits, tensor.reshape(-1).view(torch.uint8)), name
    with safe_open(tmp_path / "w.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt"}


def test_only_plain_numbers_are_writable() -> None:
    """Integers, sparse tensors and those without memory are not."""
    assert is_writable(torch.zeros(2))
    for odd in (torch.zeros(2, dtype=torch.int64), torch.zeros(2, device="meta")):
        assert not is_writable(odd)
    assert not is_writable(torch.eye(2).to_sparse())
