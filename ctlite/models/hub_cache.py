"""What the local cache of the Hugging Face Hub holds of a repository; nothing is downloaded."""

import re
from pathlib import Path

from huggingface_hub import constants, scan_cache_dir
from huggingface_hub.errors import CacheNotFound

REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


def find_snapshot(repository: str) -> Path | None:
    """Find the files of a repository that were downloaded before.

    Args:
        repository: `owner/name`, of a model or a data set.

    Returns:
        Folder of its main revision, or of the latest where that is not there; None for no folder.
    """
    try:
        cache = scan_cache_dir(constants.HF_HUB_CACHE)
    except (CacheNotFound, ValueError):  # ValueError: the cache's place is a file
        return None
    revisions = [
        revision
        for found in cache.repos
        if found.repo_id == repository and found.repo_type in ("model", "dataset")
        for revision in found.revisions
    ]
    if not revisions:
        return None
    best = max(revisions, key=lambda one: ("main" in one.refs, one.last_modified))
    return best.snapshot_path
