"""Which file a published checkpoint is: a path, the one in a folder, or one in the Hub's cache."""

from pathlib import Path

from ctlite.models.config import CONFIG_FILE
from ctlite.models.hub_cache import REPOSITORY, find_snapshot
from ctlite.models.weights_file import SUFFIXES, show_name
from ctprep.store.errors import CheckpointError

PUBLISHED_FILES = "CT_CLIP_zeroshot.pt (v1) or CT-CLIP_v2.pt (v2)"


def find_checkpoint(given: str) -> Path:
    """Find a checkpoint, on this machine alone.

    Args:
        given: a file; a folder that holds one; `owner/name` or `owner/name:file` of a repository
            that the Hub's cache holds, a model's or a data set's.

    Returns:
        The file.

    Raises:
        CheckpointError: there is none, or a choice; with what to download or to name.
    """
    path = Path(given)
    if path.is_file():
        return path
    if path.is_dir():
        return _the_one(path, "", f"{given}/")
    repository, _, name = given.partition(":")
    if not REPOSITORY.fullmatch(repository) or repository.endswith(SUFFIXES):
        raise CheckpointError(
            f"there is no checkpoint {given!r}",
            mend="give a file, a folder that holds one, or owner/name:file of the Hugging Face Hub",
        )
    snapshot = find_snapshot(repository)
    if snapshot is None or (name and not _files(snapshot, name)):
        wanted = name or "FILE"
        raise CheckpointError(
            f"there is no file or folder {given!r}, nor is "
            f"{name or 'a checkpoint'} of {repository} in the local cache of the Hugging Face Hub, "
            "and nothing is downloaded here",
            mend=f"where there is a network: hf download {repository} {wanted} --local-dir FOLDER "
            f"(with --repo-type dataset for a data set"
            + ("" if name else f"; FILE is {PUBLISHED_FILES}")
            + f"); then give FOLDER/{wanted}",
        )
    return _the_one(snapshot, name, f"{repository}:")


def _the_one(folder: Path, name: str, prefix: str) -> Path:
    found = _files(folder, name)
    if len(found) == 1:
        return found[0]
    names = [prefix + show_name(path.relative_to(folder).as_posix()) for path in found]
    raise CheckpointError(
        f"there are {len(found)} checkpoints to choose from: {', '.join(names[:6])}"
        if found
        else f"the folder holds no checkpoint, which would end in {', '.join(SUFFIXES)}",
        mend=f"name one of them, such as {names[0]}" if found else "give the file itself",
        where=prefix[:-1],
    )


def _files(folder: Path, name: str) -> list[Path]:
    found = [path for path in folder.rglob("*") if path.suffix in SUFFIXES and path.is_file()]
    whole = [path for path in found if path.relative_to(folder).as_posix() == name]
    return sorted(whole or [path for path in found if name in ("", path.name)])


def is_own_model(path: Path) -> bool:
    """Tell whether a file is the weights of a model folder of ours.

    Args:
        path: of the weights.

    Returns:
        True where a configuration of ours lies beside it.
    """
    config = path.with_name(CONFIG_FILE)
    return config.is_file() and '"config_version"' in config.read_text("utf-8", errors="replace")
