"""The radbert labeller: a text classifier of this machine tells the labels, in batches."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int32

from ctprep.reports.device import try_in_memory
from ctprep.reports.labels.classifier import Pooling, ReportClassifier
from ctprep.reports.labels.classifier_checkpoint import CHECKPOINT, SUFFIXES, load_checkpoint
from ctprep.reports.labels.classifier_folder import load_folder
from ctprep.reports.labels.labeller import Judgement, read_findings
from ctprep.reports.model_folder import find_model, missing_extra
from ctprep.reports.reading.language import read_rules
from ctprep.store.errors import BackendError
from ctprep.store.labels import CT_RATE_LABELS

BATCH_SIZE = 32
THRESHOLD = 0.5
OVERLAP = 128
"""Tokens that a window shares with the one before it."""
_TEXTS_AT_ONCE = 256

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Window:
    text: int
    token_ids: Int32[np.ndarray, " token"]


@dataclass
class _Open:
    """A text some of whose windows are still to be read."""

    left: int
    is_cut: bool
    probabilities: Float[np.ndarray, " label"]


class RadBertLabeller:
    """Labels reports by a classifier with one probability a label.

    Args:
        model: checkpoint `RadBertClassifier.pth`, model folder, or name on the Hugging Face hub
            that was downloaded before.
        tokenizer: folder or name to take the tokenizer from; else it is looked for beside the
            weights.
        pooling: what the last layer of a checkpoint reads; a folder's config tells it.
        threshold: a label of at least this probability is present.
        windows: read a long report in overlapping windows, and take the highest probability of
            each label; else its end is cut off, as in training.
        batch_size: reports at once; halved where memory does not suffice.
        language: word lists by whose headings a report is parted.

    Raises:
        BackendError: the model or its tokenizer is not here, or does not fit.
        CheckpointError: the weights are no such classifier's, are damaged or ask for code to be
            run.
        TableError: the word lists are unknown.
    """

    name = "radbert"
    labels = CT_RATE_LABELS

    def __init__(
        self,
        model: str,
        *,
        tokenizer: str | None = None,
        pooling: Pooling = "auto",
        threshold: float = THRESHOLD,
        windows: bool = False,
        batch_size: int = BATCH_SIZE,
        language: str | Path = "english",
    ) -> None:
        self._rules = read_rules(language)
        try:
            loaded = try_in_memory(lambda: _load(model, tokenizer, pooling))
        except ImportError as error:
            raise missing_extra("torch and transformers") from error
        if loaded is None:
            raise _too_small("the classifier does not fit the memory of the device", model)
        self._classifier = loaded
        self._threshold = threshold
        self._windows = windows
        self.batch_size = batch_size
        """As it is now, after what memory has refused."""
        self.model = loaded.label
        self.length = loaded.length
        """Tokens that it reads at once."""

    def judge(self, texts: Sequence[str]) -> Iterator[tuple[int, Judgement | None]]:
        """Judge reports, the longest first, equal ones once; see `Labeller.judge`."""
        places: dict[str, list[int]] = {}
        for place, text in enumerate(texts):
            places.setdefault(read_findings(text, self._rules), []).append(place)
        for place in places.pop("", []):
            yield place, None
        distinct = list(places)
        for number, judgement in self._judge(distinct):
            for place in places[distinct[number]]:
                yield place, judgement

    def _judge(self, texts: Sequence[str]) -> Iterator[tuple[int, Judgement]]:
        waiting: list[_Window] = []
        open_: dict[int, _Open] = {}
        for start in range(0, len(texts), _TEXTS_AT_ONCE):
            for number, windows in enumerate(
                self._cut(texts[start : start + _TEXTS_AT_ONCE]), start
            ):
                read = windows if self._windows else windows[:1]
                lowest = np.zeros(len(self._classifier.names))
                open_[number] = _Open(len(read), len(read) < len(windows), lowest)
                waiting += [_Window(number, token_ids) for token_ids in read]
        waiting.sort(key=lambda window: -len(window.token_ids))
        while waiting:
            batch = waiting[: self.batch_size]
            told = try_in_memory(partial(self._classify, batch))
            if told is None:
                self._shrink(batch)
                continue
            waiting = waiting[len(batch) :]
            for window, row in zip(batch, told, strict=True):
                text = open_[window.text]
                text.left -= 1
                text.probabilities = np.maximum(text.probabilities, row)
                if not text.left:
                    yield window.text, self._to_judgement(open_.pop(window.text))

    def _cut(self, texts: Sequence[str]) -> Iterator[list[Int32[np.ndarray, " token"]]]:
        """Give the overlapping windows of each text."""
        tokenizer = self._classifier.tokenizer
        overlap = min(OVERLAP, self.length // 4)
        for text in texts:
            encoded = tokenizer(
                text,
                truncation=True,
                max_length=self.length,
                stride=overlap,
                return_overflowing_tokens=True,
                return_attention_mask=False,
            )
            yield [np.array(token_ids, np.int32) for token_ids in encoded["input_ids"]]

    def _classify(self, batch: Sequence[_Window]) -> Float[np.ndarray, "report label"]:
        import torch

        longest = max(len(window.token_ids) for window in batch)
        token_ids = torch.full((len(batch), longest), int(self._classifier.tokenizer.pad_token_id))
        mask = torch.zeros((len(batch), longest), dtype=torch.long)
        for row, window in enumerate(batch):
            token_ids[row, : len(window.token_ids)] = torch.from_numpy(window.token_ids)
            mask[row, : len(window.token_ids)] = 1
        with torch.inference_mode():
            device = self._classifier.device
            logits = self._classifier.to_logits(token_ids.to(device), mask.to(device))
            told: Float[np.ndarray, "report label"] = logits.float().sigmoid().cpu().numpy()
        if not np.isfinite(told).all():
            raise BackendError(
                "the classifier answers with what is no number",
                mend="its weights may be damaged: compare their checksum with the published one",
                where=self.model,
            )
        return told

    def _shrink(self, batch: Sequence[_Window]) -> None:
        if len(batch) == 1:
            raise _too_small("the classifier has too little memory for a single report", self.model)
        self.batch_size = len(batch) // 2
        logger.warning(
            "too little memory for %d reports at once: going on with %d",
            len(batch),
            self.batch_size,
        )

    def _to_judgement(self, text: _Open) -> Judgement:
        told = dict(zip(self._classifier.names, text.probabilities.tolist(), strict=True))
        values = {name: float(value >= self._threshold) for name, value in told.items()}
        return Judgement(values, told, text.is_cut)


def _load(model: str, tokenizer: str | None, pooling: Pooling) -> ReportClassifier:
    path = Path(model).expanduser()
    if not (path / "config.json").exists() and (path / CHECKPOINT).is_file():
        path /= CHECKPOINT
    if path.is_file():
        return load_checkpoint(path, tokenizer, pooling)
    if path.suffix in SUFFIXES and not path.exists():
        raise BackendError(
            "there is no such checkpoint",
            mend=f"check its path; it is {CHECKPOINT} among the models of CT-RATE",
            where=path.name,
        )
    if pooling != "auto":
        raise BackendError(
            "a model folder tells by itself what its last layer reads",
            mend="leave out --pooling",
            where=path.name,
        )
    return load_folder(find_model(model), tokenizer)


def _too_small(what: str, model: str) -> BackendError:
    return BackendError(what, mend="use a larger device, or the rules", where=Path(model).name)
