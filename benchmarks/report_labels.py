"""How well do rules, and a classifier, label reports? F1 of each label against labels by hand.

`benchmarks/reports.py` writes the table of the rules. Who has the weights of the classifier runs
`CTLITE_TEST_DATA=<folder> python benchmarks/report_labels.py --radbert RadBertClassifier.pth`,
which writes `report-labels_<hardware>_<date>.md` beside itself.
"""

import csv
import hashlib
import os
import time
from collections import Counter
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Annotated, Literal

import typer

from ctprep.reports.labels.labeller import Judgement, Labeller
from ctprep.reports.labels.rules_labeller import RulesLabeller
from ctprep.store.errors import CtError
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


Row = dict[str, str]
Counts = Counter[tuple[str, str]]


def judge_rows(rows: Sequence[Row], labeller: Labeller) -> list[Judgement | None]:
    """Have a labeller judge each report."""
    told = dict(labeller.judge([row["report_text"] for row in rows]))
    return [told[place] for place in range(len(rows))]


def count_labels(rows: Sequence[Row], judged: Sequence[Judgement | None]) -> Counts:
    """Count hits, claims of a labeller and claims of people by label."""
    counts: Counts = Counter()
    for row, judgement in zip(rows, judged, strict=True):
        for name in CT_RATE_LABELS:
            is_told = judgement is not None and judgement.values[name] == 1
            by_people = is_present(row, name)
            counts[name, "hits"] += is_told and by_people
            counts[name, "told"] += is_told
            counts[name, "people"] += by_people
    return counts


def count_halves(rows: Sequence[Row], labeller: Labeller) -> list[Counts]:
    """Count on either half and on both."""
    judged = judge_rows(rows, labeller)
    counted = []
    for half in HALVES:
        places = [place for place, row in enumerate(rows) if half_of(row["AccessionNo"]) == half]
        counted.append(count_labels([rows[p] for p in places], [judged[p] for p in places]))
    return [*counted, count_labels(rows, judged)]


def f1(counts: Counts, name: str) -> float:
    """Harmonic mean of precision and recall; 0 where nothing is told, or is there."""
    return 2 * counts[name, "hits"] / max(1, counts[name, "told"] + counts[name, "people"])


def macro(counts: Counts) -> float:
    """Mean F1 of the labels."""
    return sum(f1(counts, name) for name in CT_RATE_LABELS) / len(CT_RATE_LABELS)


def label_lines(path: Path) -> list[str]:
    """Lay out F1 a label of the rules, on either half and on both, as Markdown."""
    rows = read_rows(path)
    sizes = Counter(half_of(row["AccessionNo"]) for row in rows)
    labeller = RulesLabeller()
    counted = count_halves(rows, labeller)
    means = [macro(counts) for counts in counted]
    held = counted[1]
    lines = [
        f"## Labels by rules {labeller.model}",
        "",
        "F1 against labels by hand, a report each; doubt counts as present. Goal: macro F1 >= "
        "0.85. The words for the labels were written looking at the tuned half alone.",
        "",
        f"| label | positive, held out | precision, held out | recall, held out | F1, held out "
        f"({sizes[HALVES[1]]}) | F1, tuned ({sizes[HALVES[0]]}) | F1, all ({len(rows)}) |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in CT_RATE_LABELS:
        hits = held[name, "hits"]
        precision, recall = hits / held[name, "told"], hits / held[name, "people"]
        scores = " | ".join(f"{f1(counts, name):.3f}" for counts in (held, counted[0], counted[2]))
        lines.append(
            f"| {name} | {held[name, 'people']} | {precision:.3f} | {recall:.3f} | {scores} |"
        )
    lines.append(f"| macro mean | | | | {means[1]:.3f} | {means[0]:.3f} | {means[2]:.3f} |")
    return [*lines, ""]


NOTES = (
    "By `benchmarks/report_labels.py`: F1 against labels by hand, a report each; the rules count "
    "doubt as present, the classifier calls a label present at 0.5.",
    "**Read with care.** These reports are those that the published classifier was trained on, "
    "so its figures tell how well it learned them, and that it is loaded as it was meant; those "
    "of the rules on the held-out half are of reports nobody looked at.",
    "pooler, first: what the last layer of the checkpoint reads. The one that fits should "
    "be far ahead.",
    "windows: long reports are read in parts instead of being cut.",
)


def build_labellers(radbert: str, tokenizer: str | None) -> dict[str, Labeller]:
    """Make the rules, and the classifier in each way that its weights can be read."""
    from ctprep.reports.labels.radbert import RadBertLabeller

    labellers: dict[str, Labeller] = {"rules": RulesLabeller()}
    readings: tuple[Literal["auto", "pooler", "first"], ...] = ("auto",)
    if Path(radbert).is_file():
        readings = ("pooler", "first")
    for pooling in readings:
        for windows in (False, True):
            name = f"radbert{', ' + pooling if pooling != 'auto' else ''}"
            try:
                labellers[name + ", windows" * windows] = RadBertLabeller(
                    radbert, tokenizer=tokenizer, pooling=pooling, windows=windows
                )
            except CtError as error:
                typer.echo(f"{name} is left out: {error}", err=True)
    return labellers


def comparison_lines(rows: Sequence[Row], labellers: dict[str, Labeller]) -> list[str]:
    """Lay out F1 a label of each labeller, on the held-out half and on all reports."""
    counted: dict[str, list[Counts]] = {}
    seconds: dict[str, float] = {}
    for name, labeller in labellers.items():
        begin = time.monotonic()
        counted[name] = count_halves(rows, labeller)
        seconds[name] = time.monotonic() - begin
    heads = [f"{name}, {part}" for name in counted for part in ("held out", "all")]
    lines = [f"| label | {' | '.join(heads)} |", f"|{'---|' * (len(heads) + 1)}"]
    for label in CT_RATE_LABELS:
        scores = [f"{f1(c, label):.3f}" for counts in counted.values() for c in counts[1:]]
        lines.append(f"| {label} | {' | '.join(scores)} |")
    means = [f"{macro(c):.3f}" for counts in counted.values() for c in counts[1:]]
    lines += [f"| macro mean | {' | '.join(means)} |", ""]
    lines += ["| labeller | version | reports a second |", "|---|---|---|"]
    for name, labeller in labellers.items():
        lines.append(f"| {name} | {labeller.model} | {len(rows) / seconds[name]:.1f} |")
    return [*lines, ""]


def main(
    radbert: Annotated[str, typer.Option(help="RadBertClassifier.pth, a model folder or a name.")],
    tokenizer: Annotated[
        str | None, typer.Option(help="Folder or name with the tokenizer, if it is elsewhere.")
    ] = None,
    hardware: Annotated[str, typer.Option(help="What it runs on.")] = "2-core-x86",
) -> None:
    """Score the classifier beside the rules, and write the page beside this script."""
    folder = Path(os.environ.get("CTLITE_TEST_DATA", ""))
    reports = folder / "reports/01_chest_ct_18_labels/train.csv"
    if not os.environ.get("CTLITE_TEST_DATA") or not reports.is_file():
        typer.echo("skipped: set CTLITE_TEST_DATA to the folder of the shared test data")
        return
    rows = read_rows(reports)
    today = date.today().isoformat()
    lines = [f"# Labels of {len(rows)} reports, {hardware}, {today}", "", *NOTES, ""]
    page = "\n".join([*lines, *comparison_lines(rows, build_labellers(radbert, tokenizer))])
    name = f"report-labels_{hardware}_{today}.md"
    Path(__file__).with_name(name).write_text(page, encoding="utf-8")
    typer.echo(page)


if __name__ == "__main__":
    typer.run(main)
