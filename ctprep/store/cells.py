"""What an error may say of a cell, which in a wrong column may be a name or a report."""

import re
from collections.abc import Collection

_NUMBER = re.compile(r"[-+]?[0-9]{0,4}([.,][0-9]{0,6})?([eE][-+]?[0-9]{1,2})?|[-+]?(inf|nan)", re.I)
"""No date, and not as long as the number of a patient or a telephone."""
_KINDS = (
    ("a line break", re.compile(r"[\r\n]")),
    ("a blank", re.compile(r"[^\S\r\n]")),
    ("a capital letter", re.compile(r"[A-Z]")),
    ("a letter beyond a to z", re.compile(r"[^\W\d_a-zA-Z]")),
)
_SIGN = re.compile(r"[^\w\s.-]")
SIGNS_SHOWN = 3


def tell_cell(cell: str, words: Collection[str] = ()) -> str:
    """Tell a cell by itself where it is a short number or a known word, else by its length.

    Args:
        cell: of any column.
        words: that may be shown, in lower case.
    """
    if _NUMBER.fullmatch(cell) or cell.lower() in words:
        return repr(cell)
    return f"a text of {len(cell)} characters"


def tell_odd(cell: str) -> str:
    """Tell what a cell holds that a scan id may not, such as `a blank and the sign '/'`.

    Args:
        cell: of a column of ids.

    Returns:
        Kinds of characters, and single signs; the empty string where there are none.
    """
    found = [name for name, kind in _KINDS if kind.search(cell)]
    signs = dict.fromkeys(_SIGN.findall(cell))
    found += [f"the sign {sign!r}" for sign in list(signs)[:SIGNS_SHOWN]]
    return " and ".join([", ".join(found[:-1]), found[-1]] if found[1:] else found)
