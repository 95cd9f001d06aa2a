"""NRRD and MetaImage in one file: whole, and with a geometry, before the image library reads it.

The library takes unit spacing where none is declared, and follows a path in a header to any file.
"""

import re
from collections.abc import Iterator
from io import SEEK_END, BufferedIOBase
from pathlib import Path

from isal import isal_zlib

from ctprep.sources.nifti_header import UnpackError, damaged, unpacker
from ctprep.store.errors import SourceError

CHUNK = 1 << 20
MAX_HEADER = 1 << 16
Fields = dict[str, str]
MAX_LINE = 1000
NRRD_FIELDS = (
    *("dimension", "type", "block size", "blocksize", "encoding", "endian", "content", "min"),
    *("max", "old min", "oldmin", "old max", "oldmax", "data file", "datafile", "line skip"),
    *("lineskip", "byte skip", "byteskip", "number", "sample units", "sampleunits", "sizes"),
    *("spacings", "thicknesses", "axis mins", "axismins", "axis maxs", "axismaxs", "centers"),
    *("centerings", "labels", "units", "kinds", "space", "space dimension", "space units"),
    *("space origin", "space directions", "measurement frame"),
)
META_LINE = re.compile(r"([A-Za-z_][A-Za-z0-9_.-]*)\s*=([\t\x20-\x7e\x80-\xff]*)")
META_TYPES = tuple(
    f"MET_{kind}"
    for kind in (
        *("CHAR", "UCHAR", "SHORT", "USHORT", "INT", "UINT", "LONG", "ULONG"),
        *("LONG_LONG", "ULONG_LONG", "FLOAT", "DOUBLE"),
    )
)


def check_attached(path: Path, nbytes: int) -> None:
    """Refuse a file that is not whole, names another file, or declares no geometry.

    Args:
        path: a NRRD or MetaImage file.
        nbytes: size of its voxels.

    Raises:
        SourceError: `detached`, `no-orientation`, `no-spacing`, `truncated` or `unreadable`.

    Source:
        NRRD: "Definition of NRRD File Format", sections 4 and 5. MetaImage: the MetaIO reference.
    """
    with path.open("rb") as file:
        nrrd = file.read(4) == b"NRRD"
        file.seek(0)
        fields = _nrrd_fields(file) if nrrd else _meta_fields(file)
        _check_geometry(fields, nrrd=nrrd)
        try:
            size = sum(map(len, _payload(file, fields, nbytes)))
        except EOFError as error:
            raise damaged("the file ends early", "truncated") from error
        except UnpackError as error:
            raise damaged("the file is damaged: it does not unpack", "unreadable") from error
    if size < nbytes:
        what = f"the file ends early: {nbytes} bytes of voxels are promised, {size} are there"
        raise damaged(what, "truncated")
    if size > nbytes:
        raise damaged("the file holds more than its header promises", "unreadable")


def check_header(path: Path) -> None:
    """Refuse a header that the image library would not take well.

    On fields that are none of NRRD's it ends its process, and what it misses in a MetaImage it
    prints on the terminal.

    Args:
        path: a NRRD or MetaImage file.

    Raises:
        SourceError: `unreadable`.
    """
    with path.open("rb") as file:
        if file.read(4) == b"NRRD":
            _check_nrrd_lines(file)
            return
        file.seek(0)
        fields = dict(_strict_fields(file))
    # By spaces alone, as the library does: Python's own idea of a space holds bytes above 127.
    axes, lengths = fields.get("NDims", ""), re.split("[ \t]+", fields.get("DimSize", ""))
    lengths.append(fields.get("CompressedDataSize", "1"))
    counted = axes.isdecimal() and len(lengths) == int(axes) + 1 and all(map(_is_count, lengths))
    if not (counted and fields.get("ElementType") in META_TYPES and "ElementDataFile" in fields):
        raise damaged("the header states no known size, type and place of voxels", "unreadable")


def _check_nrrd_lines(file: BufferedIOBase) -> None:
    for number, line in enumerate(_lines(file)):
        if not line:
            return
        name, colon, value = line.partition(":")
        # The first line is what is left of the magic; a key of the writer's own is set by `:=`.
        if number and (line.startswith("#") or value.startswith("=")):
            continue
        known = number == 0 or (colon and name.strip().lower() in NRRD_FIELDS)
        if not (known and len(line) <= MAX_LINE and line.isascii() and line.isprintable()):
            raise damaged("the header has a line that is none", "unreadable")


def _strict_fields(file: BufferedIOBase) -> Iterator[tuple[str, str]]:
    for line in _lines(file):
        field = META_LINE.fullmatch(line)
        if field is None:
            raise damaged("the header has a line that is none", "unreadable")
        yield field[1], field[2].strip()
        if field[1] == "ElementDataFile":
            return


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdecimal() and 0 < int(text) < 2**31


def _nrrd_fields(file: BufferedIOBase) -> Fields:
    fields: Fields = {}
    for line in _lines(file):
        if not line:
            return fields
        name, colon, value = line.partition(":")
        if colon:
            fields[name.strip().lower()] = value.removeprefix("=").strip()
    # A header that no empty line ends has its data elsewhere.
    return {"data file": "another", **fields}


def _meta_fields(file: BufferedIOBase) -> Fields:
    fields: Fields = {}
    for line in _lines(file):
        name, _, value = line.partition("=")
        fields[name.strip().lower()] = value.strip()
        if name.strip().lower() == "elementdatafile":
            break
    return fields


def _lines(file: BufferedIOBase) -> Iterator[str]:
    while file.tell() < MAX_HEADER and (line := file.readline(MAX_HEADER)):
        yield line.decode("latin-1").strip()


def _check_geometry(fields: Fields, *, nrrd: bool) -> None:
    if nrrd:
        detached = "data file" in fields or "datafile" in fields
        oriented = {"space", "space directions"} <= fields.keys()
        spaced = True  # by the lengths of the directions
    else:
        detached = fields.get("elementdatafile", "").upper() != "LOCAL"
        oriented = bool({"transformmatrix", "orientation", "rotation"} & fields.keys())
        spaced = bool({"elementspacing", "elementsize"} & fields.keys())
    if detached:
        raise SourceError(
            "the header names another file for the voxels",
            verdict="detached",
            mend="save the volume as one file, .nrrd or .mha",
        )
    if not (oriented and spaced):
        raise SourceError(
            f"the header declares no {'spacing' if oriented else 'orientation'}",
            verdict="no-spacing" if oriented else "no-orientation",
            mend="convert the scan again with its geometry",
        )


def _payload(file: BufferedIOBase, fields: Fields, nbytes: int) -> Iterator[bytes]:
    encoding = fields.get("encoding", "").lower()
    binary = fields.get("binarydata", "").lower() == "true"
    if encoding in ("gzip", "gz"):
        yield from _up_to(unpacker(file), nbytes)
    elif binary and fields.get("compresseddata", "").lower() == "true":
        _check_packed_size(file, fields)
        yield from _unpack_zlib(file, nbytes)
    elif binary or encoding == "raw":
        yield from _up_to(file, nbytes)
    else:
        raise SourceError(
            "the voxels are neither raw nor packed by gzip",
            verdict="unreadable",
            mend="save the volume raw or packed by gzip",
        )


def _check_packed_size(file: BufferedIOBase, fields: Fields) -> None:
    # Otherwise the image library unpacks nothing, and gives whatever was in its memory.
    begin = file.tell()
    size = file.seek(0, SEEK_END) - begin
    file.seek(begin)
    if fields.get("compresseddatasize") != str(size):
        short = fields.get("compresseddatasize", "").isdecimal()
        short = short and int(fields["compresseddatasize"]) > size
        verdict = "truncated" if short else "unreadable"
        raise damaged(f"the header does not promise the {size} packed bytes there are", verdict)


def _up_to(file: BufferedIOBase, nbytes: int) -> Iterator[bytes]:
    size = 0
    while size <= nbytes and (chunk := file.read(CHUNK)):
        size += len(chunk)
        yield chunk


def _unpack_zlib(file: BufferedIOBase, nbytes: int) -> Iterator[bytes]:
    stream = isal_zlib.decompressobj()
    size = 0
    while not stream.eof and size <= nbytes:
        packed = stream.unconsumed_tail or file.read(CHUNK)
        if not packed:
            raise EOFError
        chunk = stream.decompress(packed, CHUNK)
        size += len(chunk)
        yield chunk
