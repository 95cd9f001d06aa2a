"""File names of any bytes: as bytes for hashes and order, as text for people.

A name that is no UTF-8 has lone surrogates in Python (PEP 383), which cannot be written; one with
a line break or an escape sequence would spoil a report or a terminal. So names are carried as the
system gives them, and pass through here wherever they are hashed or written.
"""

LOWEST_BYTE, HIGHEST_BYTE = "\udc80", "\udcff"
"""What stands for a byte that is no UTF-8 (PEP 383)."""


def name_bytes(text: str) -> bytes:
    """Encode text with names in it, whatever they are; UTF-8 where they are text."""
    return text.encode("utf-8", "surrogatepass")


def printable(text: str) -> str:
    r"""Spell text with names in it so that it can be written: a byte as `\xff`, a break as `\n`."""
    return text if text.isprintable() else "".join(map(_spelled, text))


def _spelled(character: str) -> str:
    if character.isprintable():
        return character
    if LOWEST_BYTE <= character <= HIGHEST_BYTE:
        return f"\\x{ord(character) & 0xFF:02x}"
    return character.encode("unicode_escape").decode("ascii")
