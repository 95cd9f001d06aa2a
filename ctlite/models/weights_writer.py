"""Writing tensors to a `.safetensors` file piece by piece, so that mapped ones are never copied."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
}
PIECE = 2**24
"""Bytes written at once."""
ALIGNMENT = 8


def is_writable(tensor: Tensor) -> bool:
    """Tell whether a tensor is plain numbers.

    Args:
        tensor: any.

    Returns:
        True for dense floating-point numbers in the memory of this machine.
    """
    return (
        tensor.dtype in DTYPES
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
        kinds: type and shape by name, in the order of the file; types as `is_writable` takes them.

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
        tensors: by name; all of them `is_writable`.

    Yields:
        Bytes of each piece, once it is written.
    """
    layout = lay_out({name: (tensor.dtype, tensor.shape) for name, tensor in tensors.items()})
    with path.open("wb") as file:
        file.write(layout.header)
        for tensor in tensors.values():
            yield from write_numbers(file, tensor)


def write_numbers(file: BinaryIO, tensor: Tensor) -> Iterator[int]:
    """Write the numbers of a tensor where the file stands.

    Args:
        file: open for writing.
        tensor: `is_writable`.

    Yields:
        Bytes of each piece, once it is written.
    """
    flat = tensor.detach().reshape(-1).view(torch.uint8)
    for piece in torch.split(flat, PIECE):
        file.write(piece.numpy().data)
        yield len(piece)
