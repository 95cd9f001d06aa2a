"""The bytes of a CSV file, checked for what a lenient parser would read as something else."""

import re
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from ctprep.store.errors import TableError

PACKED_SUFFIXES = (".gz", ".bz2", ".lz4", ".zst")
"""What Arrow unpacks by the file's name."""
UTF8_MARK = b"\xef\xbb\xbf"
OTHER_KINDS = {
    b"PK\x03\x04": "an Excel workbook or another archive",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"\xff\xfe": "text in UTF-16",
    b"\xfe\xff": "text in UTF-16",
    b"PAR1": "a Parquet file",
}
"""What files that are called CSV begin with."""
SAVE_AS_CSV = "save it as comma-separated UTF-8 with a header line (Excel: CSV UTF-8)"
_QUOTED = re.compile(rb'"(?:[^"]++|"")*+" *')
_BLOCK = 1 << 20


def read_bytes(path: Path, check_size: Callable[[int], None]) -> bytes:
    """Read a file whole, unpacked where its name says that it is packed.

    Args:
        path: of the file.
        check_size: called with the bytes so far; raises where they are too many.
    """
    if path.suffix.lower() not in PACKED_SUFFIXES:
        check_size(path.stat().st_size)
        return path.read_bytes()
    parts, size = [], 0
    with pa.input_stream(str(path)) as stream:
        while part := stream.read(_BLOCK):
            size += len(part)
            check_size(size)
            parts.append(part)
    return b"".join(parts)


def check_kind(data: bytes) -> None:
    """Refuse what is no text in UTF-8, as far as its bytes tell at once.

    Raises:
        TableError: says what it is instead.
    """
    for begin, kind in OTHER_KINDS.items():
        if data.startswith(begin):
            raise TableError(f"it is {kind}, not a CSV table in UTF-8", mend=SAVE_AS_CSV)
    if b"\0" in data:
        line = _line(data, data.index(b"\0"))
        raise TableError(
            f"there is a NUL byte in line {line}: the file is damaged, or no UTF-8",
            mend=SAVE_AS_CSV,
        )


def check_utf8(data: bytes) -> None:
    """Refuse text in another encoding.

    Raises:
        TableError: names the line; most often it was saved in Windows-1252.
    """
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise TableError(
            f"line {_line(data, error.start)} holds a letter that is no UTF-8: the file was saved "
            "in another encoding, such as Windows-1252",
            mend=SAVE_AS_CSV,
        ) from None  # the cause quotes the file


def find_delimiter(data: bytes) -> str:
    """Tell what parts the columns, by the header line: a comma, else a semicolon or a tab.

    Spreadsheets write semicolons where the decimal sign is a comma.
    """
    header = re.sub(rb'"[^"]*"', b"", re.split(rb"[\r\n]", data, maxsplit=1)[0])
    found = [sign for sign in (b",", b";", b"\t") if sign in header]
    return found[0].decode() if found else ","


def check_quotes(data: bytes, delimiter: str) -> None:
    """Refuse a file whose quotation marks do not pair up.

    A parser takes everything behind a mark that nothing closes as one cell: rows would be lost
    without a word. Marks inside a cell that does not begin with one are plain text.

    Raises:
        TableError: names the line, and quotes nothing of it.
    """
    ends = delimiter.encode() + b"\r\n"
    rest = re.compile(rb"[^" + re.escape(ends) + rb"]*+")
    begin = len(UTF8_MARK) if data.startswith(UTF8_MARK) else 0
    place = data.find(b'"')
    while place >= 0:
        if place == begin or data[place - 1] in ends:
            cell = _QUOTED.match(data, place)
            if cell is None or (cell.end() < len(data) and data[cell.end()] not in ends):
                raise TableError(
                    f"a cell that begins with a quotation mark in line {_line(data, place)} does "
                    "not end with one",
                    mend='close it, or write each mark inside a quoted cell twice: "5"" nodule"',
                )
            place = cell.end()
        elif _begins_blank(data, place, ends):
            raise TableError(
                f"a cell in line {_line(data, place)} begins with a blank and a quotation mark",
                mend="remove the blank: the mark is taken for a letter, and what it quotes is not",
            )
        else:
            place += len(rest.match(data, place)[0])  # type: ignore[index]  # matches nothing, too
        place = data.find(b'"', place)


def _begins_blank(data: bytes, place: int, ends: bytes) -> bool:
    while place > 0 and data[place - 1] == ord(" "):
        place -= 1
    return place == 0 or data[place - 1] in ends


def _line(data: bytes, place: int) -> int:
    return len(re.findall(rb"\r\n?|\n", data[:place])) + 1
