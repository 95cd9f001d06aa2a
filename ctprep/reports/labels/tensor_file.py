"""Reading the tensors of a file that others wrote, without running anything that is in it."""

import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ctprep.store.errors import CheckpointError

if TYPE_CHECKING:
    from torch import Tensor

_WANTED = re.compile(r"GLOBAL ([\w.]+)")
_MEND = "give the whole file, as it was published, or one written by safetensors.torch.save_file"
_DIFFERENCES_SHOWN = 12


def read_tensors(path: Path) -> "dict[str, Tensor]":
    """Read a state dict; tensors are mapped from the file where its layout allows it.

    Args:
        path: of `torch.save`, or `.safetensors`.

    Returns:
        Tensors by name, on the CPU.

    Raises:
        CheckpointError: there is no such file, it is damaged, or it holds more than tensors; what
            a pickle asks to be run is told, and not run.
    """
    try:
        values = _read(path)
    except ImportError:
        raise
    except Exception as error:  # Damage shows as almost any error.
        lines = str(error).splitlines() or [repr(error)]
        what = f"the weights cannot be read: {lines[0]}"
        if isinstance(error, pickle.UnpicklingError) and (found := _WANTED.search(str(error))):
            what = f"the file asks for code to be run, and was not loaded: {found[1]}"
        raise CheckpointError(what, mend=_MEND, where=path.name) from error
    from torch import Tensor

    if not isinstance(values, Mapping) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in values.items()
    ):
        raise CheckpointError(
            "the file holds no plain mapping of names to tensors",
            mend="give the state dict alone",
            where=path.name,
        )
    return dict(values)


def _read(path: Path) -> object:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    import torch

    # Mapped, the bytes of an archive that someone compressed again would be taken for numbers.
    is_mapped = zipfile.is_zipfile(path)
    if is_mapped:
        with zipfile.ZipFile(path) as archive:
            is_mapped = all(e.compress_type == zipfile.ZIP_STORED for e in archive.infolist())
    return torch.load(path, map_location="cpu", weights_only=True, mmap=is_mapped)


def check_tensors(
    given: "Mapping[str, Tensor]", own: "Mapping[str, Tensor]", *, where: str, mend: str
) -> None:
    """Refuse tensors that do not fit a model name by name.

    Args:
        given: of the file.
        own: of the model.
        where: name of the file.
        mend: what the user can do about it.

    Raises:
        CheckpointError: a name is missing or unknown, or a shape differs; with the first of them.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in given.items()}
    wanted = {name: tuple(tensor.shape) for name, tensor in own.items()}
    missing = [f"missing: {name} {wanted[name]}" for name in sorted(wanted.keys() - shapes.keys())]
    unknown = [f"unknown: {name} {shapes[name]}" for name in sorted(shapes.keys() - wanted.keys())]
    odd = [
        f"of another shape: {name} {shapes[name]}, not {wanted[name]}"
        for name in sorted(shapes.keys() & wanted.keys())
        if shapes[name] != wanted[name]
    ]
    refuse_differences(missing, unknown, odd, where=where, mend=mend)


def refuse_differences(
    missing: list[str], unknown: list[str], odd: list[str], *, where: str, mend: str
) -> None:
    """Raise if weights differ from those a model wants.

    Args:
        missing: a line for each weight that the file lacks.
        unknown: likewise, that the model has not.
        odd: likewise, that is of another shape.
        where: name of the file or model.
        mend: what the user can do about it.

    Raises:
        CheckpointError: there is such a line; with the first of them.
    """
    lines = [*missing, *unknown, *odd]
    if not lines:
        return
    if len(lines) > _DIFFERENCES_SHOWN:
        more = len(lines) - _DIFFERENCES_SHOWN
        lines = [*lines[:_DIFFERENCES_SHOWN], f"... and {more} more"]
    told = "\n".join(f"    {line}" for line in lines)
    raise CheckpointError(
        f"the weights do not fit a classifier of reports: {len(missing)} are missing, "
        f"{len(unknown)} unknown, {len(odd)} of another shape\n{told}",
        mend=mend,
        where=where,
    )
