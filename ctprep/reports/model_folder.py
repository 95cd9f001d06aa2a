"""Finding a model on this machine: a folder, or a name that was downloaded before."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from ctprep.store.errors import BackendError

INSTALL = "pip install 'ct-lite[reports]'"


@dataclass(frozen=True)
class FoundModel:
    """A folder of weights, and what to call it in a table."""

    folder: Path
    label: str
    """Name and version; no path of this machine."""


def find_model(name_or_folder: str) -> FoundModel:
    """Find a model without a network.

    Args:
        name_or_folder: a folder, or a name on the Hugging Face hub that is in the local cache.

    Returns:
        Its folder; its label holds the commit of a name, or a hash of the folder's files.

    Raises:
        BackendError: it is not on this machine, or the libraries are not.
    """
    folder = Path(name_or_folder).expanduser()
    if folder.is_dir():
        return FoundModel(folder, f"{folder.resolve().name}@{hash_files(folder)[:12]}")
    if folder.is_file():
        raise BackendError(
            "the language model is a file, and not the folder of one",
            mend="name its folder; a GGUF file is for a server such as llama.cpp's: run that, and "
            "use `--backend openai`",
            where=folder.name,
        )
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError
    except ImportError as error:
        raise missing_extra("huggingface_hub") from error
    try:
        cached = Path(snapshot_download(name_or_folder, local_files_only=True))
    except (HFValidationError, LocalEntryNotFoundError) as error:
        raise BackendError(
            "the model is not on this machine, and nothing is downloaded here",
            mend=f"download it first: `hf download {name_or_folder}` (some models, such as "
            "MedGemma, ask you to accept their terms and to log in before), or name its folder",
            where=name_or_folder,
        ) from error
    return FoundModel(cached, f"{name_or_folder}@{cached.name[:12]}")


def missing_extra(package: str) -> BackendError:
    """Make the error that tells how to install what a backend needs."""
    return BackendError(f"this backend needs {package}, which is not installed", mend=INSTALL)


def hash_files(folder: Path) -> str:
    """Hash of the names and contents of a folder's own files, as SHA-256 in hexadecimal."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as file:
            hashlib.file_digest(file, lambda: digest)
    return digest.hexdigest()


def hash_file(path: Path) -> str:
    """Hash of a file's content, as SHA-256 in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
