"""How do ConText and NegEx do what our rules do? The same questions, asked of two libraries.

Part of `benchmarks/reports.py`, which writes its table; what is not installed is told so. Both are
built for an older NumPy and need an environment of their own, in which the benchmark runs as well:
`pip install medspacy negspacy jaxtyping pydantic rich typer "numpy<2" "pyarrow==20.*"`, and what
else `ctprep.store` needs.
Neither has a vocabulary of its own here: both are given ours.
"""

import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from report_labels import is_present, macro

from ctprep.reports.filter import read_sentences
from ctprep.reports.labels.label_rules import read_label_rules
from ctprep.store.labels import CT_RATE_LABELS

PACKAGES = ("medspacy", "negspacy")
PEER_QUESTIONS = (
    "Open-i, sick kept",
    "Open-i, healthy dropped",
    "Open-i, healthy dropped, each once",
    "CPU time a report, ms",
    "as labels: macro F1 of 18",
)
PEER_NOTE = (
    "ConText (medspacy) and NegEx (negspacy) with the rules they come with, each sentence by "
    "itself, on every word of ours that names a finding. Affirmed: a sentence stays if it has such "
    "a word that is not denied; all but denied: one without any such word stays, too. As labels: a "
    "term of ours with an affirmed word in it, without the patient's and the family's history "
    "where the library knows it."
)

# The one word of a mention that is denied or not: "effusion" in "fluid, pericardial effusion".
TARGET = re.compile(
    r"(?:catheter|stent|suture|pacemaker|prosthe|tube|clip|implant|cannula|metal|wire|screw|bypass"
    r"|material|battery|electrode|calcif|plaq|ather|cardiomegal|enlarg|dilat|increas|larg|wider"
    r"|promin|hypertroph|effus|fluid|hydro|hemo|empyem|herni|lymph|emphysem|bull|bleb|cyst|atelect"
    r"|fibroatelect|collapse|nodul|micronodul|mass|lesion|ground|frosted|opaci|consolid|infiltr"
    r"|densit|sequel|fibro|scar|reticul|pleuroparench|band|mosaic|trapping|paving|replacement|thick|cuff|pneumon"
    r"|bronchiect|expan)\w*|ports?|laps?|icd|filter"
)


@dataclass(frozen=True)
class Target:
    """A word that names a finding, and what a library says of it."""

    start: int
    is_denied: bool
    is_past: bool = False
    """Of the patient's history, or of the family's."""


@dataclass(frozen=True, eq=False)
class Peer:
    """A library that tells denied from affirmed words."""

    name: str
    find_targets: Callable[[str], tuple[Target, ...]]

    def keeps_affirmed(self, sentence: str) -> bool:
        """Keep a sentence with a target that is not denied."""
        return any(not target.is_denied for target in self.find_targets(sentence))

    def keeps_all_but_denied(self, sentence: str) -> bool:
        """Keep such a sentence, and every one without a target."""
        return not self.find_targets(sentence) or self.keeps_affirmed(sentence)

    def label(self, sentences: Iterable[str]) -> set[str]:
        """Tell the labels that have an affirmed target within one of their terms."""
        return {name for text in sentences for name in self._label_sentence(text)}

    def _label_sentence(self, sentence: str) -> Iterator[str]:
        text = sentence.lower()
        affirmed = [
            target.start
            for target in self.find_targets(sentence)
            if not target.is_denied and not target.is_past
        ]
        for name, patterns in read_label_rules().labels.items():
            if patterns.unless.search(text):
                continue
            spans = [match.span() for match in patterns.terms.finditer(text)]
            if any(start <= place < stop for start, stop in spans for place in affirmed):
                yield name


def find_peers() -> list[Peer]:
    """Give the libraries that are installed."""
    found = []
    for package in PACKAGES:
        try:
            name = f"{package} {version(package)}"
        except PackageNotFoundError:
            continue
        pipe = "medspacy_context" if package == "medspacy" else "negex"
        found.append(Peer(name, _targets_by(package, pipe)))
    return found


def _targets_by(package: str, pipe: str) -> Callable[[str], tuple[Target, ...]]:
    spacy: Any = import_module("spacy")
    span: Any = import_module("spacy.tokens").Span
    import_module("medspacy.context" if package == "medspacy" else "negspacy.negation")
    nlp = spacy.blank("en")
    # A sentence comes as one; it is not to be cut at its decimals.
    nlp.add_pipe("sentencizer", config={"punct_chars": ["\n"]})
    nlp.add_pipe(pipe)

    @lru_cache(maxsize=2**16)
    def find_targets(sentence: str) -> tuple[Target, ...]:
        text = re.sub(r"\s", " ", sentence)
        document = nlp.make_doc(text)
        document.ents = [
            span(document, token.i, token.i + 1, label="FINDING")
            for token in document
            if TARGET.fullmatch(token.lower_)
        ]
        for _, component in nlp.pipeline:
            document = component(document)
        if package == "negspacy":
            return tuple(Target(word.start_char, word._.negex) for word in document.ents)
        return tuple(
            Target(word.start_char, word._.is_negated, word._.is_historical or word._.is_family)
            for word in document.ents
        )

    return find_targets


def measure_peer_time_ms(peer: Peer, rows: Sequence[dict[str, str]]) -> float:
    """CPU time a report takes, splitting included, with a cold cache."""
    peer.find_targets.cache_clear()  # type: ignore[attr-defined]
    begin = time.process_time()
    for row in rows:
        for sentence, _ in read_sentences(row["report_text"]):
            peer.find_targets(sentence)
    return 1000 * (time.process_time() - begin) / len(rows)


def measure_peer_f1(peer: Peer, rows: Sequence[dict[str, str]]) -> float:
    """Macro F1 of the labels that a library's affirmed targets make."""
    counts: Counter[tuple[str, str]] = Counter()
    for row in rows:
        told = peer.label(text for text, is_read in read_sentences(row["report_text"]) if is_read)
        for name in CT_RATE_LABELS:
            counts[name, "hits"] += name in told and is_present(row, name)
            counts[name, "told"] += name in told
            counts[name, "people"] += is_present(row, name)
    return macro(counts)
