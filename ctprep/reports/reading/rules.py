"""Rules: which sentences are provably normal, and what a negation covers.

A sentence is dropped only when all of it is explained: each word outside the scope of a negation
is in a list of neutral words, and something says "normal" or negates a finding. An unknown word
keeps its sentence, unless it only names what is called normal. The word lists are data,
`english.toml`.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from ctprep.reports.reading.language import DENIED, Rules

# Letters of any script; digits are words of their own.
_WORD = re.compile(r"[^\W\d_]+|\d+")


@dataclass(frozen=True)
class Judgement:
    """What the rules make of a sentence."""

    is_normal: bool
    """Provably normal or without content: may be dropped."""
    is_absence: bool = False
    """Says that something is absent."""


# Dictated reports are mostly stock phrases, so most sentences have been seen before.
@lru_cache(maxsize=2**16)
def judge(sentence: str, rules: Rules) -> Judgement:
    """Tell whether a sentence is provably normal.

    Args:
        sentence: one sentence of a report.
        rules: word lists of its language.

    Source:
        Negation scopes after NegEx: W. W. Chapman et al., J. Biomed. Inform. 34, 2001, in short:
        a cue covers its clause, up to a word that ends its scope. Unlike there, what is not
        covered has to be known as neutral.
    """
    text = re.sub(rf"[\s{DENIED}]+", " ", sentence.lower()).strip()
    text, scaffolds = rules.scaffold.subn(" ", text)
    text = rules.neutral_phrase.sub(f" {rules.neutral_mark} ", text)
    text = rules.normal_phrase.sub(f" {rules.normal_mark} ", text)
    text = rules.steady_phrase.sub(f" {rules.steady_mark} ", text)
    if rules.keep.search(text):
        return Judgement(is_normal=False)
    text, routines = rules.routine.subn(" ", text)
    if ":" in text or " - " in text:
        # What follows the answer is another statement: "pneumothorax: no, aorta is wide".
        text = rules.told_none.sub(rf"{DENIED}\1;", text)
    text = rules.list_and.sub(rules.list_or, text)
    judged = [
        verdict
        for statement in rules.clause_break.split(text)
        for verdict in _judge_statement(statement, rules)
    ]
    if "unexplained" in judged:
        return Judgement(is_normal=False)
    is_absence = "absent" in judged
    proven = is_absence or "normal" in judged or routines > 0
    # Framing says nothing; bare anatomy without it may be the end of a finding that was split off.
    return Judgement(is_normal=proven or scaffolds > 0, is_absence=is_absence)


def _judge_statement(statement: str, rules: Rules) -> list[str]:
    judged = [_judge_clause(clause, rules) for clause in find_clauses(statement, rules)]
    is_known = "unexplained" not in judged
    return judged if is_known or not _is_verdict(statement, rules) else ["normal"]


def find_clauses(statement: str, rules: Rules) -> list[list[str]]:
    """Group the comma- or and-separated pieces of a statement into clauses with a verb each."""
    clauses: list[list[str]] = []
    current: list[str] = []
    pending: list[str] = []
    is_complete = False
    for piece in rules.separator.split(statement):
        words = set(_WORD.findall(piece))
        if not words:
            continue
        has_verb = not words.isdisjoint(rules.verb)
        if current and _begins_denied(piece, rules):
            clauses += [current, *([rest] for rest in pending)]
            current, pending, is_complete = [piece], [], has_verb
        elif not is_complete or words <= rules.steady:
            current.append(piece)
            is_complete = is_complete or has_verb
        elif has_verb:
            clauses.append(current)
            current, pending = [*pending, piece], []
        else:
            pending.append(piece)
    # "There is no A, B or C" goes on with its list; "no A is seen, B" does not negate B.
    if pending and (rules.list_end.search(" ".join(pending)) or _is_row(current, pending, rules)):
        return [*clauses, [*current, *pending]]
    return [*clauses, *([current] if current else []), *([piece] for piece in pending)]


def _begins_denied(piece: str, rules: Rules) -> bool:
    """Tell whether a cue of negation opens a piece, but for words that say nothing."""
    cue = rules.negation_before.search(piece)
    return cue is not None and rules.neutral.issuperset(_WORD.findall(piece[: cue.start()]))


def _is_row(current: list[str], pending: list[str], rules: Rules) -> bool:
    """Tell whether the pieces behind a negated one are what is habitually negated with it."""
    is_negated = any(rules.negation_before.search(piece) for piece in current)
    return is_negated and _in_a_row(" ".join(pending), rules)


def _in_a_row(text: str, rules: Rules) -> bool:
    return rules.negated_in_a_row.issuperset(_WORD.findall(text))


def _judge_clause(pieces: list[str], rules: Rules) -> str:
    judged = _judge_pieces(pieces, rules)
    if judged == "unexplained" and any(_is_verdict(piece, rules) for piece in pieces):
        known = [rules.normal_mark if _is_verdict(piece, rules) else piece for piece in pieces]
        return _judge_pieces(known, rules)
    return judged


def _judge_pieces(pieces: list[str], rules: Rules) -> str:
    covered, uncovered = find_negation(pieces, rules)
    covered_words = set(_WORD.findall(covered))
    words = set(_WORD.findall(uncovered))
    if words & rules.steady:
        words = _without_steady(words, rules)
    if words - rules.neutral:
        return "unexplained"
    if covered:
        # "no normal flow" and "the spleen was not seen" negate what should be there.
        if (
            covered_words & rules.normal - rules.negated_in_a_row
            or not covered_words - rules.neutral - rules.required
        ):
            return "unexplained"
        if _is_denied_twice(" , ".join(pieces), covered, rules):
            return "unexplained"
        if words & rules.ambiguous and _has_stray_piece(pieces, uncovered, rules):
            return "unexplained"
        if sum(word in rules.presence for word in _WORD.findall(covered)) > 1:
            # "no growth is seen in the nodules observed" tells of nodules.
            return "unexplained"
        return "absent"
    if words & rules.normal:
        # "Density in the left lung, heart normal": the normal heart explains no density.
        lines = [_WORD.findall(piece) for piece in pieces]
        if words & rules.verb or (lines[0] and lines[0][0] in rules.normal):
            # "Normal heart size and vascular markings", "density of liver and spleen is normal";
            # not what is told with its place.
            lines = [line for line in lines if not rules.place.isdisjoint(line)]
            lines = [line for line in lines if rules.verb.isdisjoint(line)]
        is_stray = any(_is_stray(set(line), rules) for line in lines)
        return "unexplained" if is_stray else "normal"
    # "The lungs are clear, density in the left lobe": a measure that nobody calls normal.
    is_finding = bool(words & rules.presence) or _is_stray(words, rules)
    return "unexplained" if is_finding else "neutral"


def _is_stray(words: set[str], rules: Rules) -> bool:
    """Tell whether words name a measure of something without calling it normal."""
    measures = words & rules.ambiguous
    return bool(measures) and not words & rules.normal and bool(words - measures)


def _has_stray_piece(pieces: list[str], uncovered: str, rules: Rules) -> bool:
    """Tell whether a piece that no denial touches is stray: "no mass, density in the left lobe"."""
    whole = {piece.strip() for piece in pieces} & {p.strip() for p in uncovered.split(" , ")}
    return any(_is_stray(set(_WORD.findall(piece)), rules) for piece in whole)


def _is_verdict(text: str, rules: Rules) -> bool:
    """Tell whether a text calls something normal that need not be known by name."""
    if not rules.verdict.search(text.strip()) or rules.no_verdict.search(text):
        return False
    if rules.denies(text):
        return False
    findings = rules.negated_in_a_row - rules.neutral
    return findings.isdisjoint(_WORD.findall(text))


def _is_denied_twice(clause: str, covered: str, rules: Rules) -> bool:
    """Tell whether a denial denies another one: "no lobe is free of nodules"."""
    first, again = rules.negation_before.search(clause), rules.negation_before.search(covered)
    # "No effusion no pneumothorax" lacks but a comma.
    if again is None or (first is not None and first.group() == again.group()):
        return False
    before = covered[: again.start()].rstrip(" ,")
    # "No mass or no nodule", "neither mass nor nodule" only go on with their list.
    ends = [match.end() for match in rules.list_end.finditer(covered[: again.end()])]
    return not any(end in (len(before), again.end()) for end in ends)


def _without_steady(words: set[str], rules: Rules) -> set[str]:
    """Put a word of normality for the steady words, where they are said of a named organ only."""
    rest = words - rules.steady
    tells = rest & rules.ambiguous or rest & rules.presence
    if rest & rules.steady_subject and rest <= rules.neutral and not tells:
        return (rest & rules.neutral) | {rules.normal_mark}
    return words


def find_negation(pieces: list[str], rules: Rules) -> tuple[str, str]:
    """Part a clause into what a negation covers, and the rest; the cue belongs to neither."""
    clause = " , ".join(pieces)
    after = rules.negation_after.search(clause)
    before = rules.negation_before.search(clause)
    if before is not None and (after is None or before.start() < after.start()):
        scope = clause[before.end() :]
        has_verb = not rules.verb.isdisjoint(_WORD.findall(clause))
        first, _, others = scope.partition(" , ")
        is_list = has_verb or rules.list_end.search(scope) or _in_a_row(others, rules)
        # "No A, B in the left lung": telegraphic, B may be a finding.
        scope = _before_normal(scope, rules) if is_list else first
        end = rules.negation_end.search(scope)
        scope = scope[: end.start()] if end else scope
        rest = clause[: before.start()] + " " + clause[before.end() + len(scope) :]
        return scope or " ", rest
    if after is not None:
        # "A is seen, B which ... is not": what is said to be there is not negated.
        seen = [
            word.end()
            for word in _WORD.finditer(clause, 0, after.start())
            if word.group() in rules.presence
        ]
        begin = seen[-1] if seen else 0
        begin += _length_of_stray(clause[begin : after.start()], rules)
        return clause[begin : after.start()] or " ", clause[:begin] + clause[after.end() :]
    return "", clause


def _before_normal(scope: str, rules: Rules) -> str:
    """Cut a list of denied findings where its pieces begin to tell of normal ones."""
    pieces = scope.split(" , ")
    for number, piece in enumerate(pieces[1:], 1):
        if rules.normal.intersection(_WORD.findall(piece)) - rules.negated_in_a_row:
            return " , ".join(pieces[:number])
    return scope


def _length_of_stray(told: str, rules: Rules) -> int:
    """Measure what a cue behind does not deny: "emphysema in both lungs, effusion is not seen"."""
    head, comma, last = told.rpartition(" , ")
    words = set(_WORD.findall(head))
    is_known = words <= rules.neutral and words.isdisjoint(rules.ambiguous)
    is_placed = not words.isdisjoint(rules.place) and not is_known
    if (
        not is_placed
        or rules.list_end.search(told)
        or rules.neutral.issuperset(_WORD.findall(last))
    ):
        return 0
    return len(head) + len(comma)
