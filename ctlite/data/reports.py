"""Report table to token ids: which texts of a report are seen, and their tokens."""

import hashlib
import random
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Int64
from torch import Tensor

from ctprep.store.errors import TableError
from ctprep.store.find_rows import find_rows
from ctprep.store.tables import ScanRow, read_reports

Tokenizer = Callable[..., Mapping[str, Any]]
TextChoice = Literal["positive", "full", "mixed", "sentences"]

# The filter ends every sentence that it joins with one of these; "approx. 5 mm" is cut too.
_SENTENCE_END = re.compile(r"(?<=[.?!])\s+")


@dataclass(frozen=True)
class ReportText:
    """The texts of one report."""

    full: str
    """The whole report."""
    positive: str
    """Abnormal findings alone."""
    negative: str = ""
    """What is said to be absent."""

    def sentences(self) -> list[str]:
        """Divide findings and absences.

        Returns:
            The sentences of both, each once, findings first; never none.
        """
        parts = _SENTENCE_END.split(f"{self.positive} {self.negative}".strip())
        return list(dict.fromkeys(part for part in parts if part)) or [self.full]


def read_report_texts(path: Path) -> dict[str, ReportText]:
    """Read a report table.

    Args:
        path: Parquet, as `ctprep filter-reports` writes it.

    Returns:
        The texts by scan id.

    Raises:
        TableError: the table breaks its schema.
    """
    table = read_reports(path).select(["scan_id", "text_full", "text_positive", "text_negative"])
    return {
        row["scan_id"]: ReportText(row["text_full"], row["text_positive"], row["text_negative"])
        for row in table.to_pylist()
    }


def reports_of_scans(
    by_name: Mapping[str, ReportText], rows: Iterable[ScanRow]
) -> dict[str, ReportText]:
    """Give each scan its own report, else that of its study.

    Args:
        by_name: reports by scan id, or by study in the form of a scan id.
        rows: of the whole scan table, whose `study_id` tells which reconstructions share a report.

    Returns:
        The texts by scan id; a scan without either is left out.

    Raises:
        TableError: the report of a study may be that of another scan (`find_rows`).
    """
    found = find_rows({row.scan_id: row.study_id for row in rows}, by_name)
    return {scan_id: by_name[name] for scan_id, name in found.items()}


@dataclass(frozen=True)
class Reports:
    """The reports of a corpus and how they become tokens.

    With `mixed`, each scan's text is drawn anew every epoch, half of the time the full report;
    with `sentences` it is one of the sentences about findings and absences. The draws are a pure
    function of seed, epoch and scan id.
    """

    by_scan: Mapping[str, ReportText]
    """Texts by scan id."""
    tokenizer: Tokenizer
    """A Hugging Face tokenizer."""
    choice: TextChoice = "positive"
    max_length: int = 512
    """Tokens kept of a text; the rest is cut."""
    seed: int = 0
    per_scan: int = 1
    """Texts a scan; more than one needs `sentences`, of which none comes twice if there are
    enough."""

    def check(self, scan_ids: Sequence[str]) -> None:
        """Check that every scan has a report, and that there is text in it.

        Args:
            scan_ids: the scans to be trained on.

        Raises:
            TableError: naming the first scans without.
        """
        missing = [scan_id for scan_id in scan_ids if scan_id not in self.by_scan]
        if missing:
            raise TableError(
                f"{len(missing)} of {len(scan_ids)} scans have no report, the first are "
                f"{', '.join(missing[:5])}",
                mend="add their reports to the report table, or take them out of the scan table",
            )
        empty = [
            scan_id
            for scan_id in scan_ids
            if not all(text.strip() for text in self._choices(scan_id))
        ]
        if empty:
            raise TableError(
                f"{len(empty)} of {len(scan_ids)} scans have a report whose {self.choice} text is "
                f"empty, the first are {', '.join(empty[:5])}",
                mend="take these scans out of the scan table, or set another data.text",
            )

    def texts(self, scan_id: str, epoch: int) -> tuple[str, ...]:
        """Choose the texts of a scan.

        Args:
            scan_id: the scan.
            epoch: counts from 0; matters where texts are drawn.

        Returns:
            The `per_scan` texts that the text tower sees.
        """
        report = self.by_scan[scan_id]
        if self.choice == "sentences":
            drawn = self._random(scan_id, epoch)
            sentences = report.sentences()
            order: list[str] = []
            while len(order) < self.per_scan:
                order += drawn.sample(sentences, len(sentences))
            return tuple(order[: self.per_scan])
        is_full = self.choice == "full"
        if self.choice == "mixed":
            is_full = self._random(scan_id, epoch).random() < 0.5
        return (report.full if is_full else report.positive,) * self.per_scan

    def digest(self, scan_ids: Iterable[str]) -> str:
        """Fingerprint all texts that may be drawn, to recognize them when a run is resumed.

        Args:
            scan_ids: the scans that are trained on, in any order.

        Returns:
            32 hexadecimal digits; texts that `choice` leaves out do not matter.
        """
        found = hashlib.blake2b(digest_size=16)
        for scan_id in sorted(scan_ids):
            found.update(repr((scan_id, self._choices(scan_id))).encode())
        return found.hexdigest()

    def _choices(self, scan_id: str) -> tuple[str, ...]:
        report = self.by_scan[scan_id]
        if self.choice == "sentences":
            return tuple(report.sentences())
        if self.choice == "mixed":
            return report.full, report.positive
        return (report.full if self.choice == "full" else report.positive,)

    def unique_text(self, scan_id: str, epoch: int) -> str | None:
        """Tell the text that may not come twice in a batch.

        Args:
            scan_id: the scan.
            epoch: counts from 0.

        Returns:
            The scan's text; None with `sentences`, which many scans share, so that the losses
            leave equal ones out instead.
        """
        return None if self.choice == "sentences" else self.texts(scan_id, epoch)[0]

    def _random(self, scan_id: str, epoch: int) -> random.Random:
        digest = hashlib.blake2b(f"{self.seed}/{epoch}/{scan_id}".encode(), digest_size=8).digest()
        return random.Random(int.from_bytes(digest))

    def tokenize(
        self, scan_ids: Sequence[str], epoch: int
    ) -> tuple[Int64[Tensor, "text length"], Int64[Tensor, "text length"]]:
        """Make the tokens of a batch.

        Args:
            scan_ids: the scans of the batch.
            epoch: counts from 0.

        Returns:
            Token ids, padded to the longest text of the batch, and the attention mask. The first
            text of every scan comes first, in the order of the scans, then the second of every.
        """
        chosen = [self.texts(scan_id, epoch) for scan_id in scan_ids]
        return tokenize(
            self.tokenizer,
            [texts[view] for view in range(self.per_scan) for texts in chosen],
            max_length=self.max_length,
        )


def tokenize(
    tokenizer: Tokenizer, texts: Sequence[str], *, max_length: int
) -> tuple[Int64[Tensor, "batch length"], Int64[Tensor, "batch length"]]:
    """Make the tokens of some texts.

    Args:
        tokenizer: a Hugging Face tokenizer.
        texts: one a row.
        max_length: tokens kept of a text.

    Returns:
        Token ids, padded to the longest of the texts, and the attention mask.
    """
    encoded = tokenizer(list(texts), padding="longest", truncation=True, max_length=max_length)
    token_ids = torch.tensor(encoded["input_ids"], dtype=torch.int64)
    return token_ids, torch.tensor(encoded["attention_mask"], dtype=torch.int64)
