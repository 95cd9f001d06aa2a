"""Writing tensors to a `.safetensors` file piece by piece.

Mapped ones are never copied, and those of a GPU are never whole in the CPU's memory.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

FLOATS = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
}
DTYPES = FLOATS | {
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
PIECE = 2**24
"""Bytes written at once."""
ALIGNMENT = 8


def is_writable(tensor: Tensor) -> bool:
    """Tell whether a tensor is a weight of plain numbers.

    Args:
        tensor: any.

    Returns:
        True for dense floating-point numbers in the memory of this machine.
    """
    return (
        tensor.dtype in FLOATS
        and tensor.layout is torch.strided
        and tensor.device.type == "cpu"
        and not tensor.is_neg()
    )


@dataclass(frozen=True)
class Layout:
    """Where the numbers of each tensor lie in a file."""

    header: bytes
    """The first bytes of the file."""
    offsets: Mapping[str, int]
    """First byte of a tensor, by name."""
    size: int
    """Of the whole file, in bytes."""


def lay_out(kinds: Mapping[str, tuple[torch.dtype, Sequence[int]]]) -> Layout:
    """Plan a file.

    Args:
        kinds: type and shape by name, in the order of the file; types among `DTYPES`.

    Returns:
        The plan.

    Source:
        The safetensors format: length of the header (8 bytes, little-endian), header as JSON
        padded by spaces, numbers without gaps.
    """
    fields: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offsets, end = {}, 0
    for name, (dtype, shape) in kinds.items():
        begin, end = end, end + math.prod(shape) * dtype.itemsize
        fields[name] = {
            "dtype": DTYPES[dtype], "shape": list(shape), "data_offsets": [begin, end]
        }  # fmt: skip
        offsets[name] = begin
    text = json.dumps(fields).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    header = len(text).to_bytes(8, "little") + text
    places = {name: len(header) + begin for name, begin in offsets.items()}
    return Layout(header, places, len(header) + end)


def write_weights(path: Path, tensors: Mapping[str, Tensor]) -> Iterator[int]:
    """Write tensors as they are.

    Args:
        path: of a new file.
        tensors: by name; dense ones.

    Yields:
        Bytes of each piece, once it is written.
    """
    yield from _write(path, tensors, iter(tensors.values()))


def in_file_order(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Sort tensors so that each begins at a multiple of the size of its numbers.

    Args:
        state: tensors by name.

    Returns:
        The same, the widest numbers first.
    """
    return dict(sorted(state.items(), key=lambda item: -item[1].dtype.itemsize))


def write_state(path: Path, state: Mapping[str, Tensor], wholes: Iterator[Tensor]) -> None:
    """Write tensors of which each is whole for a short time only.

    Args:
        path: of a new file.
        state: names, types and shapes; each process may have but a part of the numbers.
        wholes: the numbers, in the same order; as many are taken as there are names.
    """
    for _ in _write(path, state, islice(wholes, len(state))):
        pass


def _write(path: Path, state: Mapping[str, Tensor], wholes: Iterator[Tensor]) -> Iterator[int]:
    layout = lay_out({name: (tensor.dtype, tensor.shape) for name, tensor in state.items()})
    with path.open("wb") as file:
        file.write(layout.header)
        for tensor in wholes:
            yield from write_numbers(file, tensor)
            # Held here, it would be in memory while the next one is brought together.
            del tensor


def write_numbers(file: BinaryIO, tensor: Tensor) -> Iterator[int]:
    """Write the numbers of a tensor where the file stands.

    Args:
        file: open for writing.
        tensor: dense, on any device.

    Yields:
        Bytes of each piece, once it is written.
    """
    # A vector may have gaps, or stand for one number many times, and is its own reshaping.
    flat = tensor.detach().reshape(-1).contiguous().view(torch.uint8)
    for piece in torch.split(flat, PIECE):
        file.write(piece.cpu().numpy().data)
        yield len(piece)
