"""What does it save to compute once what all prompts to a language model begin with?

Run `PYTHONPATH=. CTLITE_TEST_DATA=<folder> python benchmarks/prompt_prefix.py [MODEL]`; without a
model it takes a Gemma 3 of random weights, whose tokens are bytes. It runs where `filter-reports`
would: on the GPU in bfloat16, else on the processor in float32.
"""

import csv
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import torch
import typer
from devices import Setting
from results import publish

from ctprep.reports.backends.backend import in_order
from ctprep.reports.backends.local_model import TransformersBackend
from ctprep.reports.filter import read_sentences
from tests.ctprep.reports.tiny_gemma import write_tiny_gemma

REPORTS = "reports/01_chest_ct_18_labels/train.csv"


def read_some(count: int) -> list[list[str]]:
    """Give the sentences of the first reports."""
    with (Path(os.environ["CTLITE_TEST_DATA"]) / REPORTS).open(
        encoding="utf-8", newline=""
    ) as file:
        rows = list(csv.reader(file))[1 : count + 1]
    return [[text for text, is_read in read_sentences(row[1]) if is_read] for row in rows]


def time_answers(
    backend: TransformersBackend, reports: Sequence[Sequence[str]]
) -> tuple[float, list[str]]:
    """Give the seconds that the answers took, and them."""
    begin = time.monotonic()
    answers = in_order(backend.chat("extractive", reports), len(reports))
    return time.monotonic() - begin, answers


def main(
    model: Annotated[str | None, typer.Argument()] = None,
    count: int = 16,
    out: Path = Path(__file__).parent,
) -> None:
    """Measure both ways twice, in turn, and write the table."""
    reports = read_some(count)
    with tempfile.TemporaryDirectory() as folder:
        name = model or str(write_tiny_gemma(Path(folder) / "tiny", sees=False))
        backend = TransformersBackend(name)
    backend.answer([["A nodule"]])
    prefix = backend._prefixes["extractive"]
    if prefix is None:
        raise SystemExit("this model allows no prefix")
    lengths = [len(backend._ask(0, "extractive", report, None).token_ids) for report in reports]
    seconds: dict[bool, list[float]] = {True: [], False: []}
    answers = {}
    for _ in range(2):
        for reused in (True, False):
            backend._prefixes["extractive"] = prefix if reused else None
            spent, answers[reused] = time_answers(backend, reports)
            seconds[reused].append(spent)
    same = sum(one == other for one, other in zip(answers[True], answers[False], strict=True))
    share = len(prefix.token_ids) / (sum(lengths) / len(lengths))
    lines = [
        f"# The prompt's shared prefix, {model or 'a Gemma 3 of random weights'}, {count} reports",
        "",
        "By `benchmarks/prompt_prefix.py`, in batches of 8; the better of two runs, in turn.",
        "Answers of random weights run to their limit, which costs both ways the same.",
        "",
        "| question | plain | prefix computed once |",
        "|---|---|---|",
        f"| tokens of a prompt, mean | {sum(lengths) / count:.0f} | |",
        f"| of them computed once for all | | {len(prefix.token_ids)} ({share:.0%}) |",
        f"| seconds | {min(seconds[False]):.1f} | {min(seconds[True]):.1f} |",
        f"| ratio | 1 | {min(seconds[True]) / min(seconds[False]):.2f} |",
        f"| answers that are the same | | {same} of {count} |",
    ]
    setting = Setting(backend._model.device, "bf16" if torch.cuda.is_available() else "float32")
    publish("prompt-prefix", lines, out, accelerator=setting.accelerator)


if __name__ == "__main__":
    typer.run(main)
