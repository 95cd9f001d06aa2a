"""Writing tensors to a `.safetensors` file piece by piece, so that mapped ones are never copied."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

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


def write_weights(path: Path, tensors: Mapping[str, Tensor]) -> Iterator[int]:
    """Write tensors as they are.

    Args:
        path: of a new file.
        tensors: by name; all of them `is_writable`.

    Yields:
        Bytes of each piece, once it is written.

    Source:
        The safetensors format: length of the header (8 bytes, little-endian), header as JSON
        padded by spaces, numbers without gaps.
    """
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, tensor in tensors.items():
        begin, end = end, end + tensor.nbytes
        shape = list(tensor.shape)
        header[name] = {"dtype": DTYPES[tensor.dtype], "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for tensor in tensors.values():
            flat = tensor.detach().reshape(-1).view(torch.uint8)
            for piece in torch.split(flat, PIECE):
                file.write(piece.numpy().data)
                yield len(piece)
