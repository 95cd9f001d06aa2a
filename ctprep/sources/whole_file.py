"""Whether a file is whole: the image library fills what is missing without a word."""

import gzip
import zlib
from pathlib import Path

from ctprep.store.errors import SourceError

GZIP_MAGIC = b"\x1f\x8b"
SIZE_BYTES = 4
CHUNK = 1 << 20


def check_whole(path: Path, nbytes: int) -> None:
    """Refuse a file that holds less than its header promises.

    Args:
        path: the file, compressed by gzip or not.
        nbytes: unpacked size that the header promises.

    Raises:
        SourceError: `truncated`.

    Source:
        RFC 1952, section 2.3.1: a member ends with its unpacked size, modulo 2**32.
    """
    with path.open("rb") as file:
        packed = file.read(2) == GZIP_MAGIC
        size = file.seek(0, 2)
        if packed:
            file.seek(max(size - SIZE_BYTES, 0))
            size = int.from_bytes(file.read(), "little")
    if packed and size != nbytes % 2**32:
        # Of several members, or with bytes behind the voxels: only unpacking can tell.
        size = _unpacked_size(path)
    if packed and size == nbytes % 2**32:
        return
    if size < nbytes:
        raise SourceError(
            f"the file ends early: {nbytes} bytes are promised, {size} are there",
            verdict="truncated",
            mend="fetch the file again",
        )


def _unpacked_size(path: Path) -> int:
    size = 0
    try:
        with gzip.open(path) as file:
            while chunk := file.read(CHUNK):
                size += len(chunk)
    except (OSError, EOFError, zlib.error):
        # What cannot be unpacked is missing.
        return 0
    return size
