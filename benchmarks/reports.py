"""What does the report filter keep and drop? Measured on real reports and sentences with labels.

Run `CTLITE_TEST_DATA=<folder> python benchmarks/reports.py`; it writes
`reports_<hardware>_<date>.md` beside itself, and says so and stops where the data are absent.
"""

import csv
import os
import re
import statistics
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from ctprep.reports.filter import read_sentences
from ctprep.reports.rules import judge, read_rules
from ctprep.store.labels import CT_RATE_LABELS

# Words by which a sentence speaks of a label; wide on purpose, for what is kept and what is left.
TERMS = {
    "Medical material": r"catheter|stent|suture|pacemaker|prosthe|port\b|tube|clip|implant|cannula"
    r"|metallic|material|bypass|cabg|acbg|valve|electrode|battery|lead\b",
    "Arterial wall calcification": r"(?=.*(aort|arter|vascul|vessel|arch))"
    r"(?=.*(calcif|ather|plaq))",
    "Cardiomegaly": r"cardiomegal|heart.*(increas|larg|wide)|cardiothoracic|\bctr\b|cardiac size"
    r"|dilat|heart size",
    "Pericardial effusion": r"pericard.*(effus|fluid)|effusion.*pericard",
    "Coronary artery wall calcification": r"coronary",
    "Hiatal hernia": r"hernia",
    "Lymphadenopathy": r"lymph|\blap\b",
    "Emphysema": r"emphysem|bulla|bleb|air cyst|bullous",
    "Atelectasis": r"atelecta|collapse",
    "Lung nodule": r"nodul|mass",
    "Lung opacity": r"ground|opaci|consolid|infiltr|densit|frosted",
    "Pulmonary fibrotic sequela": r"sequel|fibro|scar|reticul|pleuroparench|band",
    "Pleural effusion": r"effusion|pleural.*fluid|hydrothor",
    "Mosaic attenuation pattern": r"mosaic",
    "Peribronchial thickening": r"bronch.*thick|thick.*bronch|peribronch",
    "Consolidation": r"consolid|infiltr|pneumon",
    "Bronchiectasis": r"bronchiect|bronchi.*(dilat|enlarg|expan)",
    "Interlobular septal thickening": r"sept",
}
KEYWORDS = re.compile(r"\b(no|not|without|normal|natural|open|clear|preserved|intact)\b")
Keep = Callable[[str], bool]


def keep_by_rules(sentence: str) -> bool:
    """Tell whether our rules keep a sentence."""
    return not judge(sentence, read_rules()).is_normal


def keep_by_keywords(sentence: str) -> bool:
    """The naive way: drop what holds a word of negation or normality."""
    return not KEYWORDS.search(sentence.lower())


def measure_reports(path: Path, keep: Keep) -> tuple[Counter[str], Counter[str]]:
    """Count, over the labelled reports, what a filter keeps.

    Returns:
        Totals, and per label `<label> mentioned` and `<label> kept` over positive reports.
    """
    totals: Counter[str] = Counter()
    labels: Counter[str] = Counter()
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        sentences = [
            text.lower() for text, is_read in read_sentences(row["report_text"]) if is_read
        ]
        kept = [text for text in sentences if keep(text)]
        present = {name for name in CT_RATE_LABELS if row[name] in ("1", "1.0")}
        totals.update(reports=1, sentences=len(sentences), kept=len(kept))
        totals.update(emptied=not kept, unlabelled=not present, lost=bool(present) and not kept)
        for name in CT_RATE_LABELS:
            term = re.compile(TERMS[name])
            if not any(term.search(text) for text in sentences):
                continue
            is_left = any(term.search(text) for text in kept)
            if name in present:
                labels.update({f"{name} mentioned": 1, f"{name} kept": is_left})
            else:
                totals.update(negatives=1, negatives_left=is_left)
    return totals, labels


def measure_sentences(path: Path, keep: Keep) -> dict[str, float]:
    """Share of the sick sentences kept, of the healthy dropped, and of the kept that are sick."""
    counts: Counter[tuple[str, bool]] = Counter()
    with path.open(encoding="utf-8", newline="") as file:
        counts.update((row["Label"], keep(row["Sentence"])) for row in csv.DictReader(file))
    sick, healthy = counts["s", True], counts["h", True]
    return {
        "sick recall": sick / (sick + counts["s", False]),
        "healthy removed": counts["h", False] / (healthy + counts["h", False]),
        "precision": sick / (sick + healthy),
        "ambiguous kept": counts["a", True] / (counts["a", True] + counts["a", False]),
    }


def measure_time_ms(path: Path, rounds: int = 3) -> float:
    """Median over rounds of the CPU time a report takes, splitting included, with a cold cache."""
    with path.open(encoding="utf-8", newline="") as file:
        texts = [row["report_text"] for row in csv.DictReader(file)]
    times_s = []
    for _ in range(rounds):
        judge.cache_clear()
        begin = time.process_time()
        for text in texts:
            for sentence, _ in read_sentences(text):
                keep_by_rules(sentence)
        times_s.append(time.process_time() - begin)
    return 1000 * statistics.median(times_s) / len(texts)


def _column(reports: Path, sentences: Path, keep: Keep) -> tuple[list[str], Counter[str]]:
    totals, labels = measure_reports(reports, keep)
    mentioned = sum(labels[f"{name} mentioned"] for name in CT_RATE_LABELS)
    kept = sum(labels[f"{name} kept"] for name in CT_RATE_LABELS)
    shares = measure_sentences(sentences, keep)
    cells = [
        f"{kept} of {mentioned} ({kept / mentioned:.2%})",
        f"{totals['negatives_left']} of {totals['negatives']} "
        f"({totals['negatives_left'] / totals['negatives']:.1%})",
        f"{totals['kept']} of {totals['sentences']} ({totals['kept'] / totals['sentences']:.1%})",
        f"{totals['emptied']} of {totals['reports']} ({totals['unlabelled']} have no label)",
        str(totals["lost"]),
        *(f"{share:.2%}" for share in shares.values()),
    ]
    return cells, labels


NAMES = (
    "800 reports: label mentions kept",
    "800 reports: mentions of absent labels left",
    "800 reports: sentences kept",
    "800 reports: reports emptied",
    "800 reports: reports with a label emptied",
    "Open-i sentences: sick kept (recall)",
    "Open-i sentences: healthy dropped",
    "Open-i sentences: sick among kept (precision; ambiguous left out)",
    "Open-i sentences: ambiguous kept",
)


NOTES = (
    "By `benchmarks/reports.py`; naive = drop every sentence with a word of negation or of "
    "normality.",
    "A label is kept where a report that has it and mentions it still does so; the words that "
    "count as a mention are in the script.",
    "The word lists were tuned while looking at both sets, so other reports may fare worse.",
)


def write_page(hardware: str, folder: Path) -> str:
    """Measure everything and lay it out as Markdown."""
    reports = folder / "reports/01_chest_ct_18_labels/train.csv"
    sentences = folder / "reports/02_sentences_sick_healthy/openi_count_label_sent.csv"
    ours, labels = _column(reports, sentences, keep_by_rules)
    naive, naive_labels = _column(reports, sentences, keep_by_keywords)
    goals: Sequence[str] = (">= 99 %", "", "", "", "0", ">= 97 %", "", "", "")
    lines = [
        f"# Report filter, rules {read_rules().version}, {hardware}, {date.today().isoformat()}",
        "",
        *NOTES,
        "",
        "| question | rules | naive | goal |",
        "|---|---|---|---|",
        *(f"| {' | '.join(row)} |" for row in zip(NAMES, ours, naive, goals, strict=True)),
        f"| CPU time a report, ms | {measure_time_ms(reports):.1f} | | about 1 |",
        "",
        "| label | mentioned | kept by rules | kept naively |",
        "|---|---|---|---|",
        *(
            f"| {name} | {labels[f'{name} mentioned']} | {labels[f'{name} kept']} "
            f"| {naive_labels[f'{name} kept']} |"
            for name in CT_RATE_LABELS
        ),
        "",
    ]
    return "\n".join(lines)


def main(
    hardware: Annotated[str, typer.Option(help="What it ran on.")] = "2-core-x86",
) -> None:
    """Measure, and write the page beside this script."""
    folder = Path(os.environ.get("CTLITE_TEST_DATA", ""))
    if not os.environ.get("CTLITE_TEST_DATA") or not (folder / "reports").is_dir():
        typer.echo("skipped: set CTLITE_TEST_DATA to the folder of the shared test data")
        return
    page = write_page(hardware, folder)
    name = f"reports_{hardware}_{date.today().isoformat()}.md"
    Path(__file__).with_name(name).write_text(page, encoding="utf-8")
    typer.echo(page)


if __name__ == "__main__":
    typer.run(main)
