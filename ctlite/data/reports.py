"""Report table to token ids: which text of a report is seen, and its tokens."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Int64
from torch import Tensor

from ctprep.store.errors import TableError
from ctprep.store.tables import read_reports

Tokenizer = Callable[..., Mapping[str, Any]]
TextChoice = Literal["positive", "full", "mixed"]


@dataclass(frozen=True)
class Reports:
    """The reports of a corpus and how they become tokens.

    With `mixed`, each scan's text is drawn anew every epoch, half of the time the full report;
    the draw is a pure function of seed, epoch and scan id.
    """

    full: Mapping[str, str]
    """Whole report by scan id."""
    positive: Mapping[str, str]
    """Abnormal findings alone, by scan id."""
    tokenizer: Tokenizer
    """A Hugging Face tokenizer."""
    choice: TextChoice = "positive"
    max_length: int = 512
    """Tokens kept of a report; the rest is cut."""
    seed: int = 0

    @classmethod
    def read(
        cls,
        path: Path,
        tokenizer: Tokenizer,
        *,
        choice: TextChoice = "positive",
        max_length: int = 512,
        seed: int = 0,
    ) -> "Reports":
        """Read a report table.

        Args:
            path: Parquet, as `ctprep filter-reports` writes it.
            tokenizer: a Hugging Face tokenizer.
            choice: the text that is seen.
            max_length: tokens kept of a report.
            seed: of the draws of `mixed`.

        Returns:
            The reports of all scans in the table.

        Raises:
            TableError: the table breaks its schema.
        """
        table = read_reports(path)
        rows = table.select(["scan_id", "text_full", "text_positive"]).to_pylist()
        full = {row["scan_id"]: row["text_full"] for row in rows}
        positive = {row["scan_id"]: row["text_positive"] for row in rows}
        return cls(full, positive, tokenizer, choice=choice, max_length=max_length, seed=seed)

    def check(self, scan_ids: Iterable[str]) -> None:
        """Check that every scan has a report.

        Args:
            scan_ids: the scans to be trained on.

        Raises:
            TableError: naming the first scans without one.
        """
        missing = [scan_id for scan_id in scan_ids if scan_id not in self.full]
        if missing:
            raise TableError(
                f"{len(missing)} scans have no report, the first are {', '.join(missing[:5])}",
                mend="add their reports to the report table, or take them out of the scan table",
            )

    def text(self, scan_id: str, epoch: int) -> str:
        """Choose the text of a scan.

        Args:
            scan_id: the scan.
            epoch: counts from 0; matters for `mixed` only.

        Returns:
            The text the text tower sees.
        """
        is_full = self.choice == "full"
        if self.choice == "mixed":
            draw = hashlib.blake2b(f"{self.seed}/{epoch}/{scan_id}".encode(), digest_size=1)
            is_full = draw.digest()[0] < 128
        return self.full[scan_id] if is_full else self.positive[scan_id]

    def tokenize(
        self, scan_ids: Sequence[str], epoch: int
    ) -> tuple[Int64[Tensor, "batch length"], Int64[Tensor, "batch length"]]:
        """Make the tokens of a batch.

        Args:
            scan_ids: the scans of the batch.
            epoch: counts from 0.

        Returns:
            Token ids, padded to the longest text of the batch, and the attention mask.
        """
        return tokenize(
            self.tokenizer,
            [self.text(scan_id, epoch) for scan_id in scan_ids],
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
