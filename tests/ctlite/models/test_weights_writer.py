"""What is written piece by piece is a safetensors file like any other."""

import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from ctlite.models import weights_writer
from ctlite.models.weights_writer import (
    in_file_order,
    is_writable,
    write_state,
    write_weights,
)


def test_the_library_reads_it_back_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scalars, empty, strided and half-precision tensors, in pieces that do not divide them."""
    monkeypatch.setattr(weights_writer, "PIECE", 7)
    tensors = {
        "scalar": torch.tensor(1.25),
        "matrix": torch.randn(5, 3),
        "transposed": torch.randn(4, 3).T,
        "column": torch.randn(4, 3)[:, 1],
        "repeated": torch.randn(1).expand(3),
        "every other": torch.arange(6, dtype=torch.uint8)[::2],
        "empty": torch.zeros(2, 0, 3),
        "half": torch.randn(3).half(),
        "brain": torch.randn(3).bfloat16(),
        "double": torch.randn(2, dtype=torch.float64),
        "count": torch.tensor([-3, 2**40]),
        "bytes": torch.tensor([1, 255, 3], dtype=torch.uint8),
        "flag": torch.tensor([True, False]),
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
        assert torch.equal(bits, tensor.reshape(-1).contiguous().view(torch.uint8)), name
    with safe_open(tmp_path / "w.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt"}


def test_tensors_that_come_one_by_one_are_each_let_go_of(tmp_path: Path) -> None:
    """The next one is asked for when the last one is in the file; the widest numbers lead."""
    state = in_file_order(
        {"flag": torch.ones(3, dtype=torch.bool), "a": torch.randn(4), "b": torch.randn(2, 2)}
    )
    alive: list[weakref.ref[torch.Tensor]] = []

    def wholes() -> Iterator[torch.Tensor]:
        for tensor in state.values():
            assert not [each for each in alive if each() is not None]
            copy = tensor.clone()
            alive.append(weakref.ref(copy))
            yield copy
            del copy
        raise AssertionError("more were asked for than there are")

    write_state(tmp_path / "w.safetensors", state, wholes())
    found = load_file(tmp_path / "w.safetensors")

    assert list(state) == ["a", "b", "flag"]
    assert len(alive) == 3
    torch.testing.assert_close(found, state, rtol=0, atol=0)


def test_only_plain_numbers_are_writable() -> None:
    """Integers, sparse tensors and those without memory are not."""
    assert is_writable(torch.zeros(2))
    for odd in (torch.zeros(2, dtype=torch.int64), torch.zeros(2, device="meta")):
        assert not is_writable(odd)
    assert not is_writable(torch.eye(2).to_sparse())
