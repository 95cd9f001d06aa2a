"""How well do rules label reports? F1 of each of the 18 labels against labels by hand.

Part of `benchmarks/reports.py`, which writes its table; here is what is counted.
"""

import csv
import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from ctprep.reports.filter import read_sentences
from ctprep.reports.label_rules import label_sentences, read_label_rules
from ctprep.store.labels import CT_RATE_LABELS

SEED = 0
HALVES = ("tuned", "held out")


def half_of(name: str) -> str:
    """Tell on which half a report is, by a seeded hash of its name: word lists saw only one."""
    is_even = hashlib.sha256(f"{SEED}:{name}".encode()).digest()[0] % 2 == 0
    return HALVES[0] if is_even else HALVES[1]


def is_present(row: dict[str, str], label: str) -> bool:
    """Tell whether people gave a report a label."""
    return row[label] in ("1", "1.0")


def read_rows(path: Path) -> list[dict[str, str]]:
    """Read a CSV."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def count_labels(rows: Iterable[dict[str, str]]) -> Counter[tuple[str, str]]:
    """Count hits, claims of rules and claims of people by label; doubt counts as present."""
    rules = read_label_rules()
    counts: Counter[tuple[str, str]] = Counter()
    for row in rows:
        sentences = [text for text, is_read in read_sentences(row["report_text"]) if is_read]
        told = label_sentences(sentences, rules)
        for name in CT_RATE_LABELS:
            by_rules, by_people = told.get(name) in ("present", "uncertain"), is_present(row, name)
            counts[name, "hits"] += by_rules and by_people
            counts[name, "rules"] += by_rules
            counts[name, "people"] += by_people
    return counts


def f1(counts: Counter[tuple[str, str]], name: str) -> float:
    """Harmonic mean of precision and recall."""
    return 2 * counts[name, "hits"] / (counts[name, "rules"] + counts[name, "people"])


def label_lines(path: Path) -> list[str]:
    """Lay out F1 a label, on either half and on both, as Markdown."""
    rows = read_rows(path)
    parts: Sequence[list[dict[str, str]]] = [
        *([row for row in rows if half_of(row["AccessionNo"]) == half] for half in HALVES),
        rows,
    ]
    counted = [count_labels(part) for part in parts]
    macro = [sum(f1(counts, name) for name in CT_RATE_LABELS) / 18 for counts in counted]
    held = counted[1]
    lines = [
        f"## Labels by rules {read_label_rules().version}",
        "",
        "F1 against labels by hand, a report each; doubt counts as present. Goal: macro F1 >= "
        "0.85. The words for the labels were written looking at the tuned half alone.",
        "",
        f"| label | positive, held out | precision, held out | recall, held out | F1, held out "
        f"({len(parts[1])}) | F1, tuned ({len(parts[0])}) | F1, all ({len(rows)}) |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in CT_RATE_LABELS:
        hits = held[name, "hits"]
        precision, recall = hits / held[name, "rules"], hits / held[name, "people"]
        scores = " | ".join(f"{f1(counts, name):.3f}" for counts in (held, counted[0], counted[2]))
        lines.append(
            f"| {name} | {held[name, 'people']} | {precision:.3f} | {recall:.3f} | {scores} |"
        )
    lines.append(f"| macro mean | | | | {macro[1]:.3f} | {macro[0]:.3f} | {macro[2]:.3f} |")
    return [*lines, ""]
