"""Mutations of bytes, JSON and DICOM data sets; equal seeds give equal inputs."""

import copy
import io
import json
import math
import warnings
from collections.abc import Callable
from random import Random
from typing import Any

import pydicom

MOST_BYTES = 1 << 20
"""No input grows beyond this, so that memory is the reader's own doing."""
BOUNDARIES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 65500, 65501)
WIDE = (0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFFFFE, 2**63 - 1, 2**63, 2**64 - 1)
TOKENS = (
    *(b"DICM", b"\xfe\xff\x00\xe0\xff\xff\xff\xff", b"\xfe\xff\xdd\xe0\x00\x00\x00\x00"),
    *(b"\xfe\xff\x0d\xe0\x00\x00\x00\x00", b"\xe0\x7f\x10\x00", b"OW", b"SQ", b"UN", b"DS"),
    *(b"n+1\0", b"n+2\0", b"\x1f\x8b\x08", b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"),
    *(b"\x93NUMPY\x01\x00", b"'descr': '|O'", b"'shape': (9999999, 9999999, 99)", b"(-1,"),
    *(b"\xff\xd8\xff", b"\xff\xc0", b"\xff\xc4", b"\xff\xda", b"\xff\xdd", b"\xff\xd9"),
    *(b"\xff\x4f\xff\x51", b"\xff\x90", b"\xff\xf7", b"\xff\xf8", b"PAR1", b"NRRD0005\n"),
    *(b"encoding: gzip\n", b"sizes: 99999 99999 99999\n", b"DimSize = 99999 99999 99999\n"),
    *(b"ElementDataFile = LIST\n", b"CompressedData = True\n", b"NaN", b"1e308", b"-1", b"\0"),
    *(b'"', b"\n", b",", b"[", b"{", b"null", b"Infinity", b"\xef\xbb\xbf", b"\xff", b"= 1e999\n"),
    *(b"[" * 5000, b'{"a":' * 5000),
)
Mutation = Callable[[bytes, Random], bytes]


def mutate(content: bytes, random: Random) -> bytes:
    """Give bytes with one to four mutations.

    Args:
        content: a valid file.
        random: decides everything.
    """
    # Half of them have one fault alone, which gets deepest into a reader.
    for _ in range(random.choice((1, 1, 1, 2, 3, 4))):
        content = random.choice(MUTATIONS)(content, random)[:MOST_BYTES]
    return content


def _place(content: bytes, random: Random) -> int:
    # Headers lead, so they are hit as often as all the rest.
    end = len(content) if random.random() < 0.5 else min(len(content), 600)
    return random.randrange(end + 1)


def flip(content: bytes, random: Random) -> bytes:
    """Change some single bits."""
    changed = bytearray(content)
    for _ in range(random.choice((1, 1, 2, 8, 32))):
        if changed:
            place = min(_place(content, random), len(changed) - 1)
            changed[place] ^= 1 << random.randrange(8)
    return bytes(changed)


def cut(content: bytes, random: Random) -> bytes:
    """End the file early."""
    return content[: _place(content, random)]


def remove(content: bytes, random: Random) -> bytes:
    """Take some bytes out."""
    place = _place(content, random)
    return content[:place] + content[place + random.choice((1, 2, 4, 16, 300)) :]


def insert(content: bytes, random: Random) -> bytes:
    """Put random, equal or token bytes in."""
    place = _place(content, random)
    size = random.choice((1, 2, 4, 16, 300))
    new = random.choice(
        (random.randbytes(size), bytes([random.randrange(256)]) * size, random.choice(TOKENS))
    )
    return content[:place] + new + content[place:]


def splice(content: bytes, random: Random) -> bytes:
    """Copy one part of the file over, or into, another."""
    begin = _place(content, random)
    part = content[begin : begin + random.choice((1, 4, 20, 300, 3000))]
    place = _place(content, random)
    skipped = len(part) if random.random() < 0.7 else 0
    return content[:place] + part + content[place + skipped :]


def overwrite_token(content: bytes, random: Random) -> bytes:
    """Write a token of some format over what is there."""
    place, token = _place(content, random), random.choice(TOKENS)
    return content[:place] + token + content[place + len(token) :]


def overwrite_integer(content: bytes, random: Random) -> bytes:
    """Write a boundary value over what may be a length, a count or a size."""
    size = random.choice((1, 2, 4, 4, 8))
    order = random.choice(("little", "big"))
    # Fields are aligned in most formats.
    place = _place(content, random) // min(size, 2) * min(size, 2)
    value = random.choice((*BOUNDARIES, *WIDE, len(content), len(content) - place, place))
    encoded = (value % 2 ** (8 * size)).to_bytes(size, order)
    return content[:place] + encoded + content[place + size :]


def add_to_integer(content: bytes, random: Random) -> bytes:
    """Make what may be a length a little or a lot different."""
    size = random.choice((1, 2, 4, 8))
    order = random.choice(("little", "big"))
    place = _place(content, random)
    value = int.from_bytes(content[place : place + size], order)
    value = random.choice((value + 1, value - 1, value * 2, value * 256, -value, value // 2))
    encoded = (value % 2 ** (8 * size)).to_bytes(size, order)
    return content[:place] + encoded + content[place + size :]


def change_digits(content: bytes, random: Random) -> bytes:
    """Change a number that is written out: in JSON, CSV, TOML, DS and headers in words."""
    digits = [place for place, byte in enumerate(content) if 0x30 <= byte <= 0x39]
    if not digits:
        return flip(content, random)
    begin = end = random.choice(digits)
    while end < len(content) and 0x30 <= content[end] <= 0x39:
        end += 1
    new = random.choice(
        (b"0", b"-1", b"65535", b"4294967296", b"9" * 30, b"1e308", b"nan", b"inf", b"1e-320", b"x")
    )
    # Of equal length half of the time: in a binary format the rest stays in place.
    if random.random() < 0.5:
        new = new.ljust(end - begin)[: end - begin]
    return content[:begin] + new + content[end:]


def double(content: bytes, random: Random) -> bytes:
    """Say everything twice."""
    return content + content[: _place(content, random)]


MUTATIONS: tuple[Mutation, ...] = (
    *(flip, flip, cut, remove, insert, splice, overwrite_token, double),
    *(overwrite_integer, overwrite_integer, overwrite_integer, add_to_integer, change_digits),
)

ODD_VALUES: tuple[Any, ...] = (
    *(None, True, 0, -1, 1, 2**31, 2**63, 2**64, 10**400, 0.5, 1e308, -1e308, 1e-320),
    *(math.nan, math.inf, "", "x", "\ud800", "A" * 5000, "\0", [], [[]], {}, [0], [-1, 0, 1]),
    *([10**9] * 3, {"a": {}}, [None], ["bytes"]),
)


def mutate_json(content: bytes, random: Random) -> bytes:
    """Replace, remove or add one value of a JSON document, somewhere.

    Args:
        content: the document.
        random: decides everything.
    """
    document = json.loads(content)
    for _ in range(random.choice((1, 1, 2))):
        holder, key = _somewhere(document, random)
        if holder is None:
            continue
        action = random.random()
        if action < 0.6:
            holder[key] = copy.deepcopy(random.choice(ODD_VALUES))
        elif action < 0.8:
            del holder[key]
        elif isinstance(holder, list):
            holder.insert(key, copy.deepcopy(random.choice((holder[key], *ODD_VALUES))))
        else:
            holder[f"{key}2"] = holder[key]
    text = json.dumps(document)
    return text.encode("utf-8", "surrogatepass")


def _somewhere(document: Any, random: Random) -> tuple[Any, Any]:
    places: list[tuple[Any, Any]] = []
    waiting = [document]
    while waiting:
        holder = waiting.pop()
        keys = list(holder) if isinstance(holder, dict) else range(len(holder))
        for key in keys:
            places.append((holder, key))
            if isinstance(holder[key], dict | list):
                waiting.append(holder[key])
    return random.choice(places) if places else (None, None)


ODD_ELEMENTS: dict[str, tuple[Any, ...]] = {
    "US": (0, 1, 2, 65535, 65500, 3, 32768),
    "SS": (-32768, -1, 0, 32767),
    "IS": ("0", "-1", "2147483647", "99999999999", "1.5", "x", "", "1\\2"),
    "DS": ("nan", "inf", "1e308", "-1e308", "1e-320", "0", "-1", "x", "", "1\\2\\3\\4\\5\\6\\7"),
    "CS": ("", "X", "YES", "DERIVED\\SECONDARY", "\u00e9"),
    "LO": ("", "B" * 3000, "\0\0", "\u00e9", "\x1b$B\x1b(B", "a\\b\\c"),
    "UI": ("", "1", "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.1.99", "x.y"),
    "UL": (0, 1, 2**32 - 1),
    "FD": (math.nan, math.inf, 1e308, 0.0),
    "FL": (math.nan, math.inf, 0.0),
}


def mutate_dicom(content: bytes, random: Random) -> bytes:
    """Delete elements of a DICOM file, or give them odd values, types and places.

    Args:
        content: a file that pydicom reads.
        random: decides everything.

    Returns:
        The file written again; where it cannot be written, its bytes mutated.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            dataset = pydicom.dcmread(io.BytesIO(content), force=True)
            for _ in range(random.choice((1, 1, 2, 3))):
                _change_element(dataset, random)
            buffer = io.BytesIO()
            pydicom.dcmwrite(buffer, dataset)
        except Exception:  # not every odd value can be written
            return mutate(content, random)
    return buffer.getvalue()


def _change_element(dataset: pydicom.Dataset, random: Random) -> None:
    places = [(dataset.file_meta, element) for element in dataset.file_meta]
    places += _elements(dataset)
    holder, element = random.choice(places)
    action = random.random()
    if action < 0.2:
        del holder[element.tag]
    elif action < 0.3:
        # The value of one under the tag of another.
        element._value = random.choice(places)[1].value
    elif action < 0.4:
        holder.add_new(element.tag, "SQ", random.choice(([], [pydicom.Dataset()])))
    elif element.VR == "SQ":
        element.value = random.choice(([], element.value[:1], [pydicom.Dataset()] * 3))
    elif element.VR in ("OW", "OB", "UN"):
        element.value = element.value[: random.randrange(len(element.value) + 1) // 2 * 2]
    else:
        element._value = random.choice(ODD_ELEMENTS.get(element.VR, ODD_ELEMENTS["LO"]))


def _elements(dataset: pydicom.Dataset) -> list[tuple[pydicom.Dataset, pydicom.DataElement]]:
    found = []
    for element in dataset:
        found.append((dataset, element))
        if element.VR == "SQ":
            found += [place for item in element.value for place in _elements(item)]
    return found
