"""Deflated DICOM: how much it unpacks to, before anything unpacks it at once."""

import zlib
from io import BufferedIOBase

from pydicom.uid import DeflatedExplicitVRLittleEndian

from ctprep.store.errors import SourceError

META_LENGTH_AT = 140
"""Byte of the length of the file meta information, behind preamble, `DICM` and its own element."""
META_AT = 144
CHUNK = 1 << 20
FEW_BYTES = 64 << 20
MAX_RATIO = 100
"""A scan of nothing but padding gains more, but is then small; PS3.5 Annex A.5 sets no limit."""


def check_deflated(file: BufferedIOBase) -> None:
    """Refuse a deflated data set that unpacks to far more than a scan would.

    Other files are left alone, and the place in the file is what it was.

    Args:
        file: opened for reading, at its start.

    Raises:
        SourceError: `too-large`.
    """
    start = file.read(META_AT)
    length = int.from_bytes(start[META_LENGTH_AT:META_AT], "little")
    meta = file.read(min(length, CHUNK))
    if f"{DeflatedExplicitVRLittleEndian}".encode() in meta:
        _check_expansion(file)
    file.seek(0)


def _check_expansion(file: BufferedIOBase) -> None:
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    packed_size = size = 0
    while not unpacker.eof:
        packed = unpacker.unconsumed_tail
        if not packed:
            packed = file.read(CHUNK)
            packed_size += len(packed)
        try:
            unpacked = unpacker.decompress(packed, CHUNK) if packed else b""
        except zlib.error:
            return  # the parser will say so
        if not packed:
            return
        size += len(unpacked)
        if size > max(FEW_BYTES, MAX_RATIO * packed_size):
            raise SourceError(
                f"the file of {packed_size} bytes unpacks to over {size}",
                verdict="too-large",
                mend="export the series again, not deflated",
            )
