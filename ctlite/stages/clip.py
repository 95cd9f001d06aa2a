"""CT-CLIP's contrastive training: makes a teacher, or tunes one on JPEG (the paper's baseline).

Image and text latents of a batch are compared pair by pair; each image must find its report and
each report its image. The codebook follows the tokens by a running average, as CT-CLIP's does.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ctlite.data.batch import Batch
from ctlite.losses.clip import clip_logits, clip_loss
from ctlite.models.build import build_model, load_init, with_gray
from ctlite.models.ct_clip import CtClip
from ctlite.stages.stage import Need, Setup, Stage, StageConfig, VideoReader
from ctprep.store.attributes import Kind
from ctprep.store.errors import RecipeError


class ClipConfig(StageConfig):
    """`[stage]` of contrastive training."""

    name: Literal["clip"]
    input: Kind = "hifi"
    """Which store the images come from; `jpeg` with an `init` is the paper's JPEG fine-tuning."""
    codebook_batches: int = Field(default=8, ge=0)
    """Batches whose tokens a new model's codebook begins with; 0 leaves it random."""
    temperature_start: float = 1.0
    """Logarithm of a new model's factor before the cosine; CT-CLIP's is 1, CLIP's ln(1 / 0.07)."""
    freeze_text: bool = False
    """Whether the text encoder keeps its weights; its projection is trained all the same."""

    @property
    def needs(self) -> frozenset[Need]:
        """Images of one store, and reports."""
        return frozenset({"hu" if self.input == "hifi" else "gray", "text"})

    @property
    def builds_model(self) -> bool:
        """A new model, where no `init` is given."""
        return True

    def build(self, setup: Setup) -> "ClipStage":
        """Make the stage, with a new model or the one of `init`."""
        store = setup.hifi if self.input == "hifi" else setup.jpeg
        if store is None:
            raise RecipeError("there is no store of the stage's input", mend="set its path")
        if setup.init is not None:
            model = load_init(setup.init, setup.model, store, setup.texts)
            seeds = 0
        elif setup.model is not None:
            model = build_model(setup.model, store, setup.texts)
            nn.init.constant_(model.temperature, self.temperature_start)
            seeds = self.codebook_batches
        else:
            raise RecipeError("there is no model to train", mend="add [model] or init.from")
        if store.kind == "jpeg":
            model.config = with_gray(model.config, store)
        reader = VideoReader(model.config.preprocessing, store)
        return ClipStage(model, reader, codebook_batches=seeds, freeze_text=self.freeze_text)


class ClipStage(Stage):
    """Both encoders and both projections, trained together.

    Args:
        model: to be trained.
        reader: makes its videos.
        codebook_batches: batches that seed the codebook.
        freeze_text: whether the text encoder keeps its weights.

    Source:
        CT-CLIP; `CTVIT.md` sections 5 and 6.
    """

    def __init__(
        self, model: CtClip, reader: VideoReader, *, codebook_batches: int, freeze_text: bool
    ) -> None:
        super().__init__()
        self._model = model
        self._reader = reader
        self._codebook_batches = codebook_batches
        self._freeze_text = freeze_text
        if freeze_text:
            model.text_transformer.requires_grad_(False)

    @property
    def model(self) -> CtClip:
        """The model that is trained."""
        return self._model

    def train(self, mode: bool = True) -> "ClipStage":
        """Keep a frozen text encoder in evaluation mode."""
        super().train(mode)
        if self._freeze_text:
            self._model.text_transformer.eval()
        return self

    @torch.no_grad()
    def prepare(self, batches: Iterator[Batch]) -> None:
        """Begin the codebook with tokens, as random rows are hardly ever the nearest."""
        if not self._codebook_batches:
            return
        encoder = self._model.visual_transformer.eval()
        tokens = [
            encoder.encode(self._reader(batch)).tokens_pre_codebook.flatten(0, 3)
            for batch in islice(batches, self._codebook_batches)
        ]
        generator = torch.Generator().manual_seed(torch.initial_seed())
        encoder.codebook.seed_from(torch.cat(tokens), generator)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Compare every image with every report of the batch."""
        if batch.token_ids is None or batch.attention_mask is None:
            raise RecipeError("the batch has no text", mend="give data.reports")
        image = self._model.encode_image(self._reader(batch))
        text = self._model.encode_text(batch.token_ids, batch.attention_mask)
        return {"clip": clip_loss(clip_logits(image, text, self._model.temperature))}
