"""A checkpoint is found where the user says, or the error says what to download."""

from pathlib import Path

import pytest
from huggingface_hub import constants

from ctlite.models.published_file import find_checkpoint
from ctprep.store.errors import CheckpointError


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the Hub, and no way to the Hub."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "cache"


def put(cache: Path, repository: str, *files: str, kind: str = "models", ref: str = "main") -> Path:
    """Lay files into the cache as a download does; give the snapshot."""
    folder = cache / f"{kind}--{repository.replace('/', '--')}"
    commit = {"main": "a", "old": "b"}[ref] * 40
    (folder / "refs").mkdir(parents=True, exist_ok=True)
    (folder / "refs" / ref).write_text(commit)
    (folder / "blobs").mkdir(exist_ok=True)
    for number, name in enumerate(files):
        path = folder / "snapshots" / commit / name
        path.parent.mkdir(parents=True, exist_ok=True)
        blob = folder / "blobs" / f"{ref}{number}"
        blob.write_text(name)
        path.symlink_to(blob)
    return folder / "snapshots" / commit


def test_a_file_is_itself(tmp_path: Path) -> None:
    """Whatever it is called."""
    (tmp_path / "weights").write_text("x")

    assert find_checkpoint(str(tmp_path / "weights")) == tmp_path / "weights"


def test_a_folder_gives_its_one_checkpoint(tmp_path: Path) -> None:
    """However deep; two are a choice, none is an error."""
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "notes.txt").write_text("x")
    with pytest.raises(CheckpointError, match=r"holds no checkpoint, which would end in \.pt"):
        find_checkpoint(str(tmp_path / "models"))
    (tmp_path / "models" / "deep").mkdir()
    (tmp_path / "models" / "deep" / "one.pt").write_text("x")
    assert find_checkpoint(str(tmp_path / "models")).name == "one.pt"
    (tmp_path / "models" / "two.safetensors").write_text("x")
    with pytest.raises(CheckpointError, match=r"2 checkpoints to choose from: .*deep/one\.pt"):
        find_checkpoint(str(tmp_path / "models"))


def test_a_name_is_looked_up_in_the_cache(cache: Path) -> None:
    """Of a model or a data set, by name in the repository or by the file's own."""
    snapshot = put(cache, "org/data", "models/CT-CLIP_v2.pt", "README.md", kind="datasets")
    put(cache, "org/data", "models/old.pt", kind="datasets", ref="old")
    put(cache, "org/model", "a.pt", "b/c.pt", "d/c.pt")

    for given in ("org/data", "org/data:CT-CLIP_v2.pt", "org/data:models/CT-CLIP_v2.pt"):
        assert find_checkpoint(given) == snapshot / "models" / "CT-CLIP_v2.pt"
    assert find_checkpoint("org/model:a.pt").name == "a.pt"
    assert find_checkpoint("org/model:d/c.pt").parent.name == "d"
    with pytest.raises(CheckpointError, match=r"3 checkpoints .* org/model:a\.pt") as caught:
        find_checkpoint("org/model")
    assert "org/model:a.pt" in caught.value.mend


@pytest.mark.parametrize(
    ("given", "mend"),
    [
        ("org/data", "hf download org/data FILE --local-dir FOLDER (with --repo-type dataset for"),
        ("org/data", "FILE is CT_CLIP_zeroshot.pt (v1) or CT-CLIP_v2.pt (v2)"),
        ("org/data:models/x.pt", "hf download org/data models/x.pt --local-dir FOLDER"),
        ("org/data:models/x.pt", "then give FOLDER/models/x.pt"),
        ("org/there:x.pt", "hf download org/there x.pt"),
        ("absent/CT-CLIP_v2.pt", "give a file, a folder that holds one, or owner/name:file"),
        ("/no/such/file.pt", "give a file"),
    ],
)
def test_what_is_absent_is_told_with_its_download(cache: Path, given: str, mend: str) -> None:
    """Repository and file; nothing is downloaded here."""
    put(cache, "org/there", "y.pt")
    with pytest.raises(CheckpointError) as caught:
        find_checkpoint(given)

    assert given in caught.value.what
    assert mend in caught.value.mend
