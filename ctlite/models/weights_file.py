"""Reading the tensors of a file that others wrote, without running anything that is in it.

What is special about it:
- a pickle is read by torch's weights-only unpickler, which knows tensors and plain containers and
  calls nothing else; what else a file asks for is told by name;
- tensors of a `.safetensors` file, and of a `.pt` file of today's zip layout, are mapped, not read.
"""

import pickle
import pickletools
import re
import warnings
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file
from torch import Tensor

from ctprep.store.errors import CheckpointError

SUFFIXES = (".pt", ".pth", ".bin", ".ckpt", ".safetensors")
ZIP_MAGIC = b"PK\x03\x04"
WRAPPERS = ("state_dict", "model_state_dict", "model")
"""Keys under which training loops keep a model's weights beside their own state."""
PREFIXES = ("module.", "_orig_mod.")
"""What wrappers for parallel training and for compilation put before every name."""
LEGACY_PICKLES = 5
"""Magic number, protocol, system, object and storage keys of torch's layout before the zip."""
NAMES_SHOWN, NAME_LENGTH = 8, 80
HARMLESS = re.compile(
    r"collections\.OrderedDict|torch\._utils\._rebuild_(tensor|tensor_v2|parameter)"
    r"|torch\.\w+Storage|torch\.Size|torch\.\w*(float|int|bool|uint)\d*"
)
TENSORS_MEND = (
    "give a whole .safetensors file, or a .pt file of tensors; whoever trusts this one may load "
    "it elsewhere and write its state dict by safetensors.torch.save_file"
)


class Weights(NamedTuple):
    """Tensors by name, on the CPU, and what had to be taken off to get at them."""

    tensors: dict[str, Tensor]
    notes: tuple[str, ...] = ()


def read_weights(path: Path) -> Weights:
    """Read the tensors of a checkpoint, executing nothing that is in it.

    Args:
        path: `.safetensors`, or a file of `torch.save`, whose tensors may lie in a wrapper such as
            `{"state_dict": ...}` or have names that all begin with `module.`.

    Returns:
        The tensors, mapped from the file where its layout allows it.

    Raises:
        CheckpointError: there is no such file, it is damaged, or it holds more than tensors.
    """
    try:
        with path.open("rb") as file:
            is_zip = file.read(len(ZIP_MAGIC)) == ZIP_MAGIC
        if path.suffix == ".safetensors":
            values: Any = load_file(path)
        else:
            mapped = is_zip and _is_stored(path)
            with warnings.catch_warnings():
                # Of a pickle protocol that may not be understood; if so, an error follows.
                warnings.simplefilter("ignore")
                values = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except Exception as error:
        names = _wanted(path, is_zip) if isinstance(error, pickle.UnpicklingError) else []
        what = (
            "the file asks for code to be run, and was not loaded; it names " + ", ".join(names)
            if names
            else f"the weights cannot be read: {(str(error) or repr(error)).splitlines()[0]}"
        )
        raise CheckpointError(what, mend=TENSORS_MEND, where=str(path)) from error
    try:
        return _unwrap(values)
    except CheckpointError as error:
        error.where = str(path)
        raise


def _is_stored(path: Path) -> bool:
    # Mapped, the bytes of a file that someone compressed again would be taken for numbers.
    with zipfile.ZipFile(path) as archive:
        return all(entry.compress_type == zipfile.ZIP_STORED for entry in archive.infolist())


def _unwrap(values: object) -> Weights:
    notes = []
    while isinstance(values, Mapping) and not _is_flat(values):
        inner = [key for key in WRAPPERS if isinstance(values.get(key), Mapping)]
        if len(inner) != 1:
            break
        others = [show_name(str(key)) for key in values if key != inner[0]]
        aside = f"; left aside: {', '.join(sorted(others)[:NAMES_SHOWN])}" if others else ""
        notes.append(f"the weights lie under {inner[0]!r}{aside}")
        values = values[inner[0]]
    if not isinstance(values, Mapping) or not _is_flat(values):
        raise CheckpointError(
            f"the file holds no plain mapping of names to tensors{_others(values)}",
            mend="give the model's state dict, alone or under one of " + ", ".join(WRAPPERS),
        )
    tensors = dict(values)
    while prefix := next((p for p in PREFIXES if all(name.startswith(p) for name in tensors)), ""):
        tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
        notes.append(f"every name begins with {prefix!r}, which was taken off")
    return Weights(tensors, tuple(notes))


def _is_flat(values: Mapping[Any, Any]) -> bool:
    return bool(values) and all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in values.items()
    )


def _others(values: object) -> str:
    pairs = values.items() if isinstance(values, Mapping) else ()
    names = [show_name(str(name)) for name, value in pairs if not isinstance(value, Tensor)]
    return f"; no tensors are: {', '.join(names[:NAMES_SHOWN])}" if names else ""


def show_name(name: str) -> str:
    """Make a name out of a file fit to be printed.

    Args:
        name: anything.

    Returns:
        Without control characters, and of bounded length.
    """
    plain = name.encode("unicode_escape").decode("ascii")
    return plain if len(plain) <= NAME_LENGTH else plain[:NAME_LENGTH] + "..."


def _wanted(path: Path, is_zip: bool) -> list[str]:
    """What the pickles of a file would import, as far as their opcodes tell; for messages only."""
    found: dict[str, None] = {}
    try:
        if is_zip:
            with zipfile.ZipFile(path) as archive:
                for entry in archive.namelist():
                    if entry.endswith("data.pkl"):
                        with archive.open(entry) as file:
                            _collect(pickletools.genops(file), found)
        else:
            with path.open("rb") as file:
                for _ in range(LEGACY_PICKLES):
                    _collect(pickletools.genops(file), found)
    except (OSError, ValueError, zipfile.BadZipFile):
        pass  # What follows the pickles, or damage: the names up to there are told.
    names = [show_name(name) for name in found if not HARMLESS.fullmatch(name)]
    more = [f"and {len(names) - NAMES_SHOWN} more"] if len(names) > NAMES_SHOWN else []
    return names[:NAMES_SHOWN] + more


def _collect(
    operations: Iterable[tuple[pickletools.OpcodeInfo, Any, Any]], found: dict[str, None]
) -> None:
    texts: list[str] = []
    for opcode, argument, _ in operations:
        if opcode.name in ("GLOBAL", "INST"):
            found[str(argument).replace(" ", ".")] = None
        elif opcode.name == "STACK_GLOBAL":
            found[".".join(texts[-2:])] = None
        elif isinstance(argument, str):
            texts.append(argument)
