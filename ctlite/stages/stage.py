"""What a stage is: batch in, named losses out; it knows no loop, and the loop knows no stage."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ctlite.data.batch import Batch
from ctlite.data.reports import ReportText
from ctlite.data.volumes import check_store, to_video
from ctlite.model_recipe import ModelRecipe, Section
from ctlite.models.approximated import OnBlock
from ctlite.models.config import Preprocessing
from ctlite.models.ct_clip import CtClip
from ctlite.optimizer import parameter_groups
from ctprep.store.attributes import StoreAttributes
from ctprep.store.errors import located

Need = Literal["hu", "gray", "text"]


@dataclass(frozen=True)
class Setup:
    """What a stage is built from, besides its own section of the recipe."""

    model: ModelRecipe | None
    """Architecture; None where the model of `init` decides."""
    init: Path | None
    """Folder of a saved model, or a published checkpoint."""
    hifi: StoreAttributes | None
    jpeg: StoreAttributes | None
    max_tokens: int = 512
    """Kept of a text."""
    reports: Sequence[ReportText] = ()
    """Of the training scans."""
    on_block: OnBlock | None = None
    """Follows a projection that is factorized, which may take minutes."""
    is_plan: bool = False
    """Whether nothing but the sizes of the stage is asked for, and what takes minutes left out."""

    @property
    def texts(self) -> list[str]:
        """What a new vocabulary is learned from."""
        return [text for report in self.reports for text in (report.full, report.positive)]


class StageConfig(Section):
    """Base of the sections that describe a stage."""

    name: str

    @property
    def needs(self) -> frozenset[Need]:
        """What its batches must hold."""
        raise NotImplementedError

    @property
    def builds_model(self) -> bool:
        """Whether it can do without an `init`, given a `[model]`."""
        return False

    def build(self, setup: Setup) -> "Stage":
        """Make the stage, on the CPU."""
        raise NotImplementedError


class Stage(nn.Module, ABC):
    """A module that holds the model and its losses.

    Buffers and parameters are what a checkpoint keeps, but for names under `frozen`, which are
    the same in every run from the same `init`.
    """

    frozen: tuple[str, ...] = ()
    """Prefixes of names that never change."""
    keeps_maps: bool = False
    """Whether a step holds attention maps, for the estimate of memory."""
    leaves_unused: bool = False
    """Whether trained parameters take no part in the losses, and get no gradient."""

    @property
    @abstractmethod
    def model(self) -> CtClip:
        """What is saved and evaluated."""

    @abstractmethod
    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Compute the losses of a batch, named, weighted, to be summed."""

    def measure(self, batch: Batch) -> dict[str, Tensor]:
        """Compute what is told of tuning scans: `loss`, the sum, and what a stage adds to it."""
        # Not by calling the module: FSDP has its hooks around this method as around a forward.
        return {"loss": torch.stack(list(self.forward(batch).values())).sum()}

    def prepare(self, batches: Iterator[Batch]) -> None:
        """Look at some batches once, on a fresh run, before its first step."""

    def parameter_groups(self, lr: float, weight_decay: float) -> list[dict[str, Any]]:
        """Sort what is trained into groups for the optimizer."""
        return parameter_groups(self.named_parameters(), lr=lr, weight_decay=weight_decay)


class VideoReader:
    """Turns one stream of a batch into the video a model takes.

    Args:
        preprocessing: of the model.
        store: attributes of the store that the stream comes from.

    Raises:
        StoreMismatchError: the store is not what the model takes.
    """

    def __init__(self, preprocessing: Preprocessing, store: StoreAttributes) -> None:
        with located(f"data.{store.kind}_store of the recipe"):
            check_store(
                store,
                kind=preprocessing.kind,
                grid=preprocessing.grid,
                model_orientation=preprocessing.orientation,
                window=preprocessing.window,
            )
        self._hu_range = preprocessing.hu_range
        self._stored = store.orientation
        self._model = preprocessing.orientation

    def __call__(self, batch: Batch) -> Tensor:
        """Normalize and orient the batch's volumes.

        Args:
            batch: holds the stream.

        Returns:
            Float video (batch, 1, frame, height, width) in [-1, 1].
        """
        stored = batch.gray if self._hu_range is None else batch.hu
        return to_video(
            torch.as_tensor(stored),
            hu_range=self._hu_range,
            stored_orientation=self._stored,
            model_orientation=self._model,
        )
