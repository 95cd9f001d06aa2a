"""Finding mail, web, machine and street addresses, post codes with a place, and hospitals."""

import re
from collections.abc import Iterator
from functools import lru_cache

from ctprep.reports.identifiers.text import Span, Text
from ctprep.reports.identifiers.words import (
    NAME_WORD,
    fold,
    is_known,
    one_of,
    read_lists,
    read_words,
)

_CAPITAL_WORD = rf"(?=[^\W\d_a-z]){NAME_WORD}\.?"
_CAPITALS = re.compile(rf"{_CAPITAL_WORD}(?:,? {_CAPITAL_WORD}){{0,3}}")
_MAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]+(?:\.[\w-]+)+")
_WEB = re.compile(r"(?i:\bhttps?://|\bftp://|\bwww\.)[^\s\"<>)]+")
_DOMAIN = re.compile(
    r"(?<![\w.@-])(?:[a-z0-9-]{1,40}\.){1,5}(?:com|org|net|edu|gov|info)(?:/[^\s\"<>)]*)?(?!\w)"
)
_MACHINE = re.compile(
    r"(?<![\w.])(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]\d)(?:\.(?:25[0-5]|2[0-4]\d|1?\d?\d)){3}(?![\w.]*\d)"
)
_HARDWARE = re.compile(r"(?<![\w:])(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}(?![\w:])")
_BRITISH = re.compile(r"[0-9][A-Z0-9]? [0-9][A-Z]{2}|[A-Z][0-9][A-Z] [0-9]")
_DUTCH = re.compile(r" ?[A-Z]{2} [^\W\d_a-z]")
_STATES = (
    "A[KLRZ]|C[AOT]|D[CE]|FL|GA|HI|I[ADLN]|K[SY]|LA|M[ADEINOST]|N[CDEHJMVY]|O[HKR]|PA|RI|S[CD]|T[NX]"
    "|UT|V[AT]|W[AIVY]"
)
_ZIP = r"\d{5}(?:-\d{4})?"
_CODES = re.compile(
    "|".join(
        [
            rf"{_CAPITAL_WORD}(?: {_CAPITAL_WORD}){{0,2}},? (?:{_STATES})\.?,? {_ZIP}(?!\w)",
            rf"(?<!\w)(?:{_STATES}),? {_ZIP}(?![\w.,]\d)",
            r"(?<!\w)(?i:zip(?: code)?|postcode|plz|posta kodu)[ :.]*"
            r"(?P<zip>[A-Z]{0,2}\d[\w -]{2,6}\d)(?!\w)",
            rf"(?:{_CAPITAL_WORD},? )[A-Z]{{1,2}}\d[A-Z\d]? \d(?!(?:HU|ST|ND|RD|TH|XL)\b)"
            r"[ABD-HJLNP-UW-Z]{2}(?!\w)",
            r"(?<!\w)(?:ON|QC|BC|AB|MB|SK|NS|NB|NL|PE),? [A-Z]\d[A-Z] \d[A-Z]\d(?!\w)",
            rf"(?<![\w.,/-])\d{{4}} ?[A-Z]{{2}} (?P<dutch>{_CAPITAL_WORD})(?!\w)",
            rf"(?<![\w.,/-])(?:(?:D|A|F|I|E|B|L|CH|TR|NL|DE|AT)-?)?\d{{5}} "
            rf"(?P<place>{_CAPITAL_WORD}(?:[ /]{_CAPITAL_WORD}){{0,2}})",
            rf"(?<![\w.,/-])(?:A|B|CH|AT|DK|L)-\d{{4}} (?P<town>{_CAPITAL_WORD})",
        ]
    )
)
_LABEL = re.compile(
    r"(?<!\w)(?:(?:address|adres[ei]?|adresse|anschrift|residence)[ \t]{0,9}:"  # codespell:ignore
    r"|(?:resides|residing|lives|living) (?:at|in)(?= \S))[ \t]{0,9}"
)
_LABELLED = re.compile(
    r"\S[^\n;]{2,120}?(?=\.?[ \t]{0,9}(?:\n|;|$)|\.[ \t]+[A-Z]|,?[ \t][A-Z][a-z]+(?: [a-z]+)?:)"
)
_BOX = re.compile(r"(?<!\w)(?:P\.? ?O\.? ?Box|PO BOX|Postfach|P\.K\.)[ :]*\d+(?!\w)", re.IGNORECASE)


@lru_cache
def _read_patterns() -> dict[str, re.Pattern[str]]:
    lists = read_lists("identifiers")
    either = {
        name: one_of(lists[name]) for name in lists if name.startswith(("streets", "institutions"))
    }
    capital = _CAPITAL_WORD
    words = rf"(?:{capital}|\d{{1,3}}(?:st|nd|rd|th))"
    house = r"(?<![\w.,/-])\d{1,5}[A-Za-z]?(?:-\d{1,4})?,? "
    unit = r"(?:,? (?:Apt|Suite|Ste|Unit|Floor|Fl|No|Room|Flat|Bldg|#)\.?:? ?[A-Z]?\d+\w{0,2})?"
    patterns = {
        "street": rf"{house}(?:{words} ){{1,4}}(?:{either['streets']})(?!\w){unit}",
        "weak": rf"{house}(?P<words>(?:{words} ){{1,3}})(?:{either['streets_weak']})(?!\w){unit}",
        "german": (
            rf"(?=[^\W\d_a-z])[^\W\d_]{{1,40}}(?:[- ][^\W\d_]{{1,40}})?"
            rf"(?:{either['streets_german']}) \d{{1,4}} ?[a-z]?(?!\w)"
        ),
        "turkish": (
            rf"(?:{capital} ){{1,3}}(?:{either['streets_turkish']})"
            r"(?:,? ?No ?[:.]? ?\d+(?:[/-]\w+)?|,? \d+(?:/\w+)?)?"
        ),
        "romance": (
            rf"(?:(?<![\w.,/-])\d{{1,4}},? (?:bis |ter )?(?:{either['streets_french']}) "
            rf"(?:(?:de|du|des|la|le|les) |l'){{0,3}}(?:{capital}[ ]?){{1,3}}"
            rf"|(?<!\w)(?:{either['streets_southern']}) "
            rf"(?:(?:de|del|della|di|da|do|la|las|los|el) ){{0,3}}"
            rf"(?:{capital} ?){{1,4}},? ?(?:n\.? ?[\u00b0\u00ba]? ?)?\d{{1,4}}(?!\w))"
        ),
        "house": (
            rf"(?P<before>(?:{capital}(?: (?:of|and|de|la|the) | ?& ?|[ ]|(?<=')s? )){{1,6}})"
            rf"(?P<kind>(?i:{either['institutions']}))(?!\w)"
            rf"(?P<of>(?: (?:of|at|for|in) (?:the )?{capital}(?: {capital}){{0,2}})?)"
        ),
        "named": (
            rf"(?<!\w)(?i:{either['institutions_before']})"
            rf" (?:(?:of|de|del|di|da|la|las|los|le|\u2013|-) ){{0,3}}"
            rf"(?P<name>{capital}(?: (?:(?:de|del|di|la|von|der) ){{0,2}}{capital}){{0,3}})"
        ),
    }
    return {name: re.compile(pattern) for name, pattern in patterns.items()}


_HOUSE_BEHIND = re.compile(r"[A-Za-z]?(?:-\d{1,4})?,? \S")


@lru_cache
def _read_words() -> dict[str, frozenset[str]]:
    """Read words without which a text has no such address."""
    lists = read_lists("identifiers")
    links = {"of", "de", "da"}
    streets = {
        name: frozenset(street.lower().strip("\\./ ") for street in lists[name])
        for name in ("streets_german", "streets_turkish", "streets_french", "streets_southern")
    }
    houses = [name.split() for name in [*lists["institutions"], *lists["institutions_before"]]]
    return {
        **streets,
        "houses": frozenset(words[0] if words[-1] in links else words[-1] for words in houses),
        "residences": frozenset(lists["residences"]),
        "place_words": frozenset(lists["place_words"]),
    }


def find_addresses(text: Text) -> Iterator[Span]:
    """Find mail, web, machine, street and post addresses.

    Args:
        text: a report.

    Yields:
        Where addresses stand; some overlap.
    """
    words = text.words
    if "@" in text.text:
        yield from _spans(_MAIL, text)
    if "//" in text.text or "www" in words:
        yield from _spans(_WEB, text)
    if not words.isdisjoint(("com", "org", "net", "edu", "gov", "info")):
        yield from _spans(_DOMAIN, text)
    if "address" in text.lower or not words.isdisjoint(_read_words()["residences"]):
        yield from _behind_labels(text)
    if not text.digits:
        return
    if text.text.count(":") > 4:
        yield from _spans(_HARDWARE, text)
    if not words.isdisjoint(("box", "postfach", "p")):
        yield from _spans(_BOX, text)
    yield from _find_codes(text)
    yield from _find_streets(text)


def _spans(pattern: re.Pattern[str], text: Text) -> list[Span]:
    return [match.span() for match in pattern.finditer(text.text)]


def _behind_labels(text: Text) -> Iterator[Span]:
    for label in _LABEL.finditer(text.lower):
        if label.group().rstrip().endswith(":") or text.text[label.end()].isdigit():
            address = _LABELLED.match(text.text, label.end())
        else:
            # "Lives in Oakdale", but not "lives in Wards".
            address = _CAPITALS.match(text.text, label.end())
            if address and _is_word_of_reports(address.group().split()[0]):
                continue
        if address:
            yield address.span()


def _find_codes(text: Text) -> Iterator[Span]:
    places = [start for start, stop in text.digits if _may_be_code(text, start, stop)]
    places += [code.start() for code in _BRITISH.finditer(text.text)]
    for place in places:
        for code in _CODES.finditer(text.text, max(0, place - 60), place + 60):
            town = code["dutch"] or code["place"] or code["town"]
            if town is None or not _is_word_of_reports(town):
                yield code.span("zip" if code["zip"] else 0)


def _may_be_code(text: Text, start: int, stop: int) -> bool:
    if stop - start == 5:
        return True
    if stop - start != 4:
        return False
    # Four digits are mostly a year.
    return text.text[start - 1 : start] == "-" or _DUTCH.match(text.text, stop) is not None


def _find_streets(text: Text) -> Iterator[Span]:
    patterns, gates = _read_patterns(), _read_words()
    for start, stop in text.digits:
        if machine := _MACHINE.match(text.text, start):
            yield machine.span()
        if text.before(start, 24).rstrip(" .").endswith(tuple(gates["streets_german"])):
            for german in patterns["german"].finditer(text.text, max(0, start - 60), stop + 3):
                yield german.span()
        if stop - start > 5 or not _HOUSE_BEHIND.match(text.text, stop):
            continue
        if street := patterns["street"].match(text.text, start):
            yield street.span()
        weak = patterns["weak"].match(text.text, start)
        if weak and not all(map(_is_word_of_reports, weak["words"].split())):
            yield weak.span()
    if not text.words.isdisjoint(gates["streets_turkish"]):
        yield from _spans(patterns["turkish"], text)
    if not text.words.isdisjoint(gates["streets_french"] | gates["streets_southern"]):
        yield from _spans(patterns["romance"], text)


def find_houses(text: Text) -> Iterator[Span]:
    """Find the names of hospitals and clinics.

    Args:
        text: a report.

    Yields:
        Where they stand.
    """
    if text.words.isdisjoint(_read_words()["houses"]):
        return
    patterns = _read_patterns()
    for house in patterns["house"].finditer(text.text):
        start = house.start("before") + _skip_words_of_reports(house["before"])
        if start < house.start("kind"):
            yield start, house.end()
        elif house["of"] and not _is_word_of_reports(house["of"].split()[-1]):
            yield house.start("kind"), house.end()
    for house in patterns["named"].finditer(text.text):
        if not _is_word_of_reports(house["name"].split()[0]):
            yield house.span()


def _skip_words_of_reports(before: str) -> int:
    """Count the letters of the leading words that reports use: "Transferred from"."""
    words = list(re.finditer(rf"{NAME_WORD}", before))
    strange = [word for word in words if not _is_word_of_reports(word.group())]
    if not strange:
        return len(before)
    start = strange[0].start()
    for word in reversed([word for word in words if word.start() < start]):
        if word.group().lower() not in _read_words()["place_words"]:
            break
        start = word.start()
    return start


def _is_word_of_reports(word: str) -> bool:
    folded = fold(word.strip(" .,"))
    if folded in ("saint", "st", "mount", "mt"):
        return False
    return is_known(folded) or folded in read_words().never
