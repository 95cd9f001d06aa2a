"""Foreign weight files give tensors, or a reason; nothing in them is ever run."""

import os
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from ctlite.models.weights_file import read_weights
from ctprep.store.errors import CheckpointError

TENSORS = {"a.weight": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(1.5)}


class Trap:
    """Unpickling it calls whatever it was told."""

    def __init__(self, call: Any, *arguments: Any) -> None:
        self.call, self.arguments = call, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call, self.arguments


def save(path: Path, values: object, *, is_zip: bool) -> Path:
    """Save as torch does, in today's layout or the one before."""
    torch.save(values, path, _use_new_zipfile_serialization=is_zip)
    return path


@pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize(
    ("call", "name"),
    [("system", "posix.system"), ("touch", "pathlib"), ("eval", "__builtin__.eval")],
)
def test_a_pickle_is_not_executed(tmp_path: Path, call: str, name: str, is_zip: bool) -> None:
    """`os.system`, `eval` and a method, in both layouts: told by name, and nothing ran."""
    ran = tmp_path / "ran"
    traps = {
        "system": Trap(os.system, f"touch {ran}"),
        "touch": Trap(Path.touch, ran),
        "eval": Trap(eval, f"open({str(ran)!r}, 'w')"),
    }
    path = save(tmp_path / "evil.pt", TENSORS | {"evil": traps[call]}, is_zip=is_zip)
    with pytest.raises(CheckpointError, match="asks for code to be run, and was not loaded") as got:
        read_weights(path)

    assert name in got.value.what
    assert "OrderedDict" not in got.value.what
    assert "_rebuild_tensor" not in got.value.what
    assert "safetensors" in got.value.mend
    assert got.value.where == str(path)
    assert not ran.exists()


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_bare_pickle_is_not_executed(tmp_path: Path, protocol: int) -> None:
    """Nor one that torch did not write, whatever its protocol."""
    ran, path = tmp_path / "ran", tmp_path / "evil.bin"
    path.write_bytes(pickle.dumps(Trap(os.system, f"touch {ran}"), protocol=protocol))
    with pytest.raises(CheckpointError, match=r"posix\.system"):
        read_weights(path)

    assert not ran.exists()


def test_a_name_in_a_file_cannot_write_to_the_terminal(tmp_path: Path) -> None:
    """Control characters of a name are spelled out."""
    path = tmp_path / "evil.bin"
    path.write_bytes(b"cos\n\x1b[31msystem\n(S'x'\ntR.")
    with pytest.raises(CheckpointError) as caught:
        read_weights(path)

    assert "\x1b" not in caught.value.what


@pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "legacy"])
def test_tensors_are_read_from_either_layout(tmp_path: Path, is_zip: bool) -> None:
    """Both of torch's layouts give what was saved."""
    found = read_weights(save(tmp_path / "plain.pt", TENSORS, is_zip=is_zip))

    assert found.notes == ()
    assert found.tensors.keys() == TENSORS.keys()
    assert all(torch.equal(found.tensors[name], TENSORS[name]) for name in TENSORS)


def test_a_file_that_was_compressed_again_is_read(tmp_path: Path) -> None:
    """Mapping it would take compressed bytes for numbers."""
    tensors = {"a": torch.arange(50.0), "b": torch.rand(5000)}
    plain = save(tmp_path / "plain.pt", tensors, is_zip=True)
    with (
        zipfile.ZipFile(plain) as old,
        zipfile.ZipFile(tmp_path / "small.pt", "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for entry in old.infolist():
            new.writestr(entry.filename, old.read(entry.filename))
    found = read_weights(tmp_path / "small.pt").tensors

    assert all(torch.equal(found[name], tensors[name]) for name in tensors)


def test_safetensors_are_read(tmp_path: Path) -> None:
    """So is the format without pickles."""
    save_file(TENSORS, tmp_path / "plain.safetensors")

    assert torch.equal(read_weights(tmp_path / "plain.safetensors").tensors["b"], TENSORS["b"])


@pytest.mark.parametrize("key", ["state_dict", "model", "model_state_dict"])
def test_a_wrapper_is_taken_off_and_told(tmp_path: Path, key: str) -> None:
    """A training loop's own state lies beside the weights."""
    prefixed = OrderedDict({f"module.{name}": tensor for name, tensor in TENSORS.items()})
    path = save(tmp_path / "w.pt", {key: prefixed, "epoch": 3, "optim": {"lr": 1.0}}, is_zip=True)
    found = read_weights(path)

    assert found.tensors.keys() == TENSORS.keys()
    assert found.notes == (
        f"the weights lie under '{key}'; left aside: epoch, optim",
        "every name begins with 'module.', which was taken off",
    )


def test_a_prefix_of_some_names_alone_is_a_name(tmp_path: Path) -> None:
    """What only some names begin with is part of them."""
    values = {"module.a": torch.zeros(1), "b": torch.zeros(1)}

    assert read_weights(save(tmp_path / "w.pt", values, is_zip=True)).tensors.keys() == {
        "module.a",
        "b",
    }


@pytest.mark.parametrize(
    "values",
    [
        {},
        [torch.zeros(1)],
        {"weight": torch.zeros(1), "epoch": 3},
        {"model": {"a": torch.zeros(1)}, "state_dict": {"a": torch.ones(1)}},
        {1: torch.zeros(1)},
    ],
    ids=["empty", "list", "mixed", "two", "numbered"],
)
def test_what_is_no_mapping_of_tensors_is_refused(tmp_path: Path, values: object) -> None:
    """Rather than guessed at."""
    path = save(tmp_path / "odd.pt", values, is_zip=True)
    with pytest.raises(CheckpointError, match="no plain mapping of names to tensors"):
        read_weights(path)


@pytest.mark.parametrize("name", ["cut.pt", "cut.safetensors", "text.pt", "absent.pt"])
def test_damage_is_told(tmp_path: Path, name: str) -> None:
    """A file cut short, one of text, none at all: one sentence, no traceback of torch's."""
    if name == "cut.pt":
        save(tmp_path / name, TENSORS, is_zip=True)
    elif name == "cut.safetensors":
        save_file(TENSORS, tmp_path / name)
    elif name == "text.pt":
        (tmp_path / name).write_text("version https://git-lfs.github.com/spec/v1\n")
    if name.startswith("cut"):
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(CheckpointError, match="cannot be read") as caught:
        read_weights(tmp_path / name)

    assert "\n" not in caught.value.what
