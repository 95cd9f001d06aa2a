"""Finding the names of people: by title, label, signature, verb, given name, or a line of its own.

Only capitals tell a name from a word, and in reports in capitals not even these; so a word that is
in a list of known words, or has an ending of medicine, counts as a name only behind strong cues.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from ctprep.reports.identifiers.text import Span, Text, gate, through
from ctprep.reports.identifiers.walk import (
    WORD,
    behind_cue,
    find_companions,
    if_sure,
    is_sure,
    unless_eponym,
    walk,
    walk_back,
)
from ctprep.reports.identifiers.words import (
    NAME_WORD,
    Trust,
    fold,
    is_given,
    is_known,
    is_name,
    one_of,
    read_lists,
    read_words,
)

_AUXILIARY = re.compile(
    r",?[ \t]+(?:(?:has|have|had|was|were|is|will)[ \t]+)?(?:(?:be|been|also|then|not)[ \t]+)?$"
)
_INITIALS = re.compile(
    rf"(?<![\w.'])(?:[^\W\d_a-z]\.[ -]?){{1,3}}(?=[^\W\d_a-z][^\W\d_]){NAME_WORD}"
)
_HAS_INITIALS = re.compile(r"[A-Z\u00c0-\u024f]\.[ -]?[A-Z\u00c0-\u024f]")
# "Type B. Teflon" and "vitamin D. Lungs" are ends of sentences.
_NO_INITIAL = re.compile(
    r"(?:type|vitamin|hepatitis|stage|grade|group|class|influenza|child|pugh|segment|panel|figure"
    r"|image|part|zone|level|factor|virus|lobe|station)\s+$"
)
_SLASHED = re.compile(r"(?m)(?:^|(?<=[.:;] ))([A-Z]{2,3}[/:][A-Za-z]{2,3})(?=[ \t]*$)")
_LINE = re.compile(rf"(?=[^\W\d_a-z])(?:{NAME_WORD}|,(?= )|(?<=\w)\.|[ \t]+){{2,16}}+")
_MAX_LINE = 60
_SMALL_WORD = r"[ \t]{1,9}(?P<%s>[^\W\d_][\w'\u2019-]{2,30})"
_SMALL_NAME = re.compile(rf"{_SMALL_WORD % 'first'}(?:{_SMALL_WORD % 'second'})?")
_BLANKS = re.compile(r"[ \t]{0,20}(?:\n[ \t]{0,20})?")
_COMMA = re.compile(r",?[ \t]{0,9}")
_COLON = re.compile(r"[ \t:]{0,9}")
_CLOSED = re.compile(r"[,.!]?\s{0,8}")
_SMALL_INITIALS = re.compile(r"[a-z]{2,3}(?=[ \t]*(?:$|[\n.,;]))")


@dataclass(frozen=True, eq=False)
class Cues:
    """What stands beside names, sorted by first words or compiled."""

    titles: dict[str, list[str]]
    title: re.Pattern[str]
    weak_title: re.Pattern[str]
    small_titles: dict[str, list[str]]
    roles: dict[str, list[str]]
    by: re.Pattern[str]
    signature: re.Pattern[str]
    told: frozenset[str]
    told_cues: dict[str, list[str]]
    informed: frozenset[str]
    acted: frozenset[str]
    label: re.Pattern[str]
    patient_label: re.Pattern[str]
    credentials: dict[str, list[str]]
    credential: re.Pattern[str]
    comma_credentials: frozenset[str]
    closings: dict[str, list[str]]


@lru_cache
def read_cues() -> Cues:
    """Read the words that stand beside names."""
    lists = read_lists("identifiers")
    titles = [*lists["titles"], *lists["weak_titles"]]
    signed = one_of(lists["signed_by"])
    return Cues(
        titles=gate(title.lower() for title in titles),
        # Titles follow one another: "Prof. Dr.".
        title=re.compile(rf"(?:(?:{one_of(map(re.escape, lists['titles']))})(?!\w)[ \t]*){{1,6}}"),
        weak_title=re.compile(rf"(?:{one_of(lists['weak_titles'])})(?!\w)[ \t]+"),
        small_titles=gate(lists["small_titles"]),
        roles=gate(lists["roles"]),
        by=re.compile(
            rf"(?<!\w)(?:{signed})(?:,? (?:and |& |/)?(?:\w+ly|{signed}))?"
            rf"(?: (?:remotely|on site|in person|off))?[ \t]*:?[ \t]*$"
        ),
        signature=re.compile(
            r"/s/[ \t]*|(?:e-?|electronic(?:ally)? |digital(?:ly)? )?sign(?:ed|ature)[ \t]*:[ \t]*"
        ),
        told=frozenset(lists["told"]),
        told_cues=gate(lists["told_cues"]),
        informed=frozenset(lists["informed"]),
        acted=frozenset(lists["acted"]),
        label=re.compile(
            rf"(?<!\w)(?:{one_of(lists['name_labels'])})[ \t]*(?:\([^)\n]{{0,20}}\)[ \t]*)?$"
        ),
        patient_label=re.compile(rf"(?<!\w)(?:{one_of(lists['patient_labels'])})[ \t]*$"),
        credentials=gate(re.sub(r"[\\?]", "", name).lower() for name in lists["credentials"]),
        credential=re.compile(rf"(?:{one_of(lists['credentials'])})(?!\w)"),
        comma_credentials=frozenset(lists["comma_credentials"]),
        closings=gate(lists["closings"]),
    )


def find_names(text: Text) -> Iterator[Span]:
    """Find the names of people in a text.

    Args:
        text: a report.

    Yields:
        Where names stand, in no order; some overlap.
    """
    cues = read_cues()
    for search in _SEARCHES:
        for start, stop in search(text, cues):
            if start < stop:
                yield start, stop
                yield from find_companions(text.text, stop)


def _behind_titles(text: Text, cues: Cues) -> Iterator[Span]:
    done = 0
    for begin, _ in sorted(text.find(through(cues.titles, text))):
        if begin < done:
            continue
        if title := cues.title.match(text.text, begin):
            done = title.end()
            yield done, walk(text.text, done, Trust.TITLE)
        elif title := cues.weak_title.match(text.text, begin):
            stop = walk(text.text, title.end(), Trust.BARE)
            yield unless_eponym(text.text, title.end(), stop)
    for _, stop in text.find(through(cues.small_titles, text)):
        names = _SMALL_NAME.match(text.lower, stop)
        if names is None or is_known(fold(names["first"])):
            continue
        has_second = names["second"] and not is_known(fold(names["second"]))
        yield names.start("first"), names.end("second" if has_second else "first")


def _behind_signatures(text: Text, cues: Cues) -> Iterator[Span]:
    if "by" in text.words:
        for begin, stop in text.find(["by"]):
            if cues.by.search(text.before(begin)):
                place = _skip(text, stop)
                yield behind_cue(text.text, place)
                initials = _SMALL_INITIALS.match(text.text, place)
                if initials and not is_known(initials.group()):
                    yield initials.span()
    if not text.words.isdisjoint(("s", "sign", "signed", "signature", "esigned")):
        for begin, _ in text.find(["/s/", "sign", "signed", "signature", "esigned"]):
            if signature := cues.signature.match(text.lower, begin):
                yield behind_cue(text.text, signature.end())
    for _, stop in text.find(through(cues.closings, text)):
        yield behind_cue(text.text, _past(_CLOSED, text, stop))


def _skip(text: Text, place: int) -> int:
    return _past(_COLON, text, place)


def _past(pattern: re.Pattern[str], text: Text, place: int) -> int:
    match = pattern.match(text.text, place)
    return match.end() if match else place


def _behind_labels(text: Text, cues: Cues) -> Iterator[Span]:
    for mark in re.finditer("[:=]", text.text):
        before = text.before(mark.start())
        place = _past(_BLANKS, text, mark.end())
        if cues.label.search(before):
            yield behind_cue(text.text, place)
        elif cues.patient_label.search(before):
            yield if_sure(text.text, place, walk(text.text, place, Trust.BARE))


def _behind_cues(text: Text, cues: Cues) -> Iterator[Span]:
    for begin, stop in text.find(through(cues.told_cues, text)):
        place = _skip(text, stop)
        end = walk(text.text, place, Trust.BARE)
        # "As per ENT": one word may be anything.
        if text.lower[begin:stop] != "per" or is_sure(text.text[place:end]):
            yield unless_eponym(text.text, place, end)
    for begin, stop in text.find(through(cues.roles, text)):
        place = _past(_COMMA, text, stop)
        if text.lower[begin:stop] in ("patient", "pt") or text.text[stop : stop + 1] == ",":
            yield if_sure(text.text, place, walk(text.text, place, Trust.BARE))
        elif place > stop:
            trust = Trust.BARE if text.text[begin:stop].isupper() else Trust.CUE
            yield unless_eponym(text.text, place, walk(text.text, place, trust))
    if not text.words.isdisjoint(cues.told):
        for begin, stop in text.find(["with", "to", "by"]):
            before = re.split(r"[.;:!?]\s", text.before(begin, 70))[-1]
            if not cues.told.isdisjoint(re.findall(r"[a-z]+", before)):
                yield behind_cue(text.text, _skip(text, stop))


def _beside_verbs(text: Text, cues: Cues) -> Iterator[Span]:
    verbs = text.words & (cues.informed | cues.acted)
    for begin, stop in text.find([*verbs, *(["made aware"] if "aware" in text.words else [])]):
        is_single = text.lower[begin:stop] in cues.informed or stop - begin == len("made aware")
        place = _skip(text, stop)
        if place > stop:
            span = unless_eponym(text.text, place, walk(text.text, place, Trust.BARE))
            if is_single or is_sure(text.text[slice(*span)]):
                yield span
        auxiliary = _AUXILIARY.search(text.before(begin, 24))
        if auxiliary is None:
            continue
        end = begin - len(auxiliary.group())
        start = walk_back(text.text, end, Trust.BARE)
        name = text.text[start:end]
        # "ENT was informed" names no one.
        if is_sure(name) or (is_single and (len(name) > 4 or not name.isupper())):
            yield start, end


def _before_credentials(text: Text, cues: Cues) -> Iterator[Span]:
    for begin, _ in text.find(through(cues.credentials, text)):
        credential = cues.credential.match(text.text, begin)
        gap = re.search(r"(,?)[ \t]{1,9}$", text.text[max(0, begin - 12) : begin])
        if not credential or not gap:
            continue
        if not gap[1] and credential.group() in cues.comma_credentials:
            continue
        stop = begin - len(gap.group())
        yield walk_back(text.text, stop, Trust.CUE if gap[1] else Trust.BARE), stop


def _beside_given_names(text: Text, cues: Cues) -> Iterator[Span]:
    pairs = read_words().eponym_pairs
    for begin, _ in text.find(word for word in text.words if is_given(word)):
        word = WORD.match(text.text, begin)
        # "Jean-Luc" is taken from its beginning.
        if word is None or text.text[max(0, begin - 1) : begin] in ("-", "'", "\u2019"):
            continue
        if not is_given(word.group()) or not word.group()[0].isupper():
            continue
        stop = walk(text.text, begin, Trust.CUE)
        name = text.text[begin:stop].split()
        if len(name) > 1:
            if " ".join(map(fold, name[:2])) not in pairs:
                yield unless_eponym(text.text, begin, stop)
            continue
        start = walk_back(text.text, begin, Trust.BARE, limit=2)
        if len(text.text[start:begin].strip(" \t,")) > 1:
            yield unless_eponym(text.text, start, word.end())


def _with_initials(text: Text, cues: Cues) -> Iterator[Span]:
    if _HAS_INITIALS.search(text.text):
        for initials in _INITIALS.finditer(text.text):
            name = WORD.findall(initials.group())[-1]
            trust = Trust.BARE if initials.group().count(".") < 2 else Trust.UNKNOWN
            if len(name) < 3 or not is_name(name, trust):
                continue
            if not _NO_INITIAL.search(text.before(initials.start(), 20)):
                stop = max(initials.end(), walk(text.text, initials.start(), trust))
                yield unless_eponym(text.text, initials.start(), stop)
    if "/" in text.text or ":" in text.text:
        for line in _SLASHED.finditer(text.text):
            if not any(is_known(part.lower()) for part in re.split("[/:]", line[1])):
                yield line.span(1)


def _on_lines(text: Text, cues: Cues) -> Iterator[Span]:
    """Find lines that are a name and nothing else."""
    if "\n" not in text.text:
        return
    start = 0
    for line in text.text.split("\n"):
        body = line.strip(" \t>*~_-,\r")
        if 4 < len(body) <= _MAX_LINE and _is_line_a_name(body):
            begin = start + line.index(body)
            yield begin, begin + len(body)
        start += len(line) + 1


def _is_line_a_name(body: str) -> bool:
    words = WORD.findall(body)
    if not 2 <= len(words) <= 5 or _LINE.fullmatch(body) is None:
        return False
    particles = read_words().particles
    if not all(is_name(word, Trust.BARE) or word.lower() in particles for word in words):
        return False
    is_pair = re.fullmatch(rf"{NAME_WORD},[ \t]+{NAME_WORD}(?:[ \t]+\w\.?)?", body) is not None
    # In capitals, and with Latin endings, two unknown words may be a diagnosis.
    is_plain = not body.isupper() and not re.search(r"(?:us|um|is|ae|ia|a)\b", body)
    return any(map(is_given, words)) or is_pair or (is_plain and not body.endswith("."))


_SEARCHES: tuple[Callable[[Text, Cues], Iterator[Span]], ...] = (
    _behind_titles,
    _behind_signatures,
    _behind_labels,
    _behind_cues,
    _beside_verbs,
    _before_credentials,
    _beside_given_names,
    _with_initials,
    _on_lines,
)
