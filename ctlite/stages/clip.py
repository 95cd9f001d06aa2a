"""CT-CLIP's contrastive training: makes a teacher, or tunes one on JPEG (the paper's baseline).

Image and text latents of a batch are compared pair by pair; each image must find its report and
each report its image. The codebook follows the tokens by a running average, as CT-CLIP's does.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ctlite import ranks
from ctlite.data.batch import Batch
from ctlite.data.reports import ReportText
from ctlite.losses.clip import clip_loss
from ctlite.models.build import SMALL_BERT, build_model, open_init, with_gray
from ctlite.models.ct_clip import CtClip
from ctlite.models.head import pool_tokens
from ctlite.models.spread import spread_projection
from ctlite.models.text_cache import TextCache
from ctlite.models.text_encoder import TextTower, encode_cls
from ctlite.models.text_warmup import warm_up_text
from ctlite.stages.pairs import each_view, encode_text, text_of
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
    spread_batches: int = Field(default=0, ge=0)
    """Batches by which a new model's projections begin to tell scans and texts apart; 0 leaves
    them random."""
    text_warmup_steps: int = Field(default=0, ge=0)
    """Steps in which a new model's text encoder learns from the reports alone; for one that is
    not pretrained."""
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
        self._check_start(setup)
        if setup.init is not None:
            model = open_init(setup.init, setup.model, store, setup.texts).load()
            start = Start()
        elif setup.model is not None:
            model = build_model(setup.model, store, setup.texts)
            nn.init.constant_(model.temperature, self.temperature_start)
            start = Start(
                self.codebook_batches,
                self.spread_batches,
                self.text_warmup_steps,
                setup.reports,
                setup.max_tokens,
            )
        else:
            raise RecipeError("there is no model to train", mend="add [model] or init.from")
        if store.kind == "jpeg":
            model.config = with_gray(model.config, store)
        reader = VideoReader(model.config.preprocessing, store)
        return ClipStage(model, reader, start=start, freeze_text=self.freeze_text)

    def _check_start(self, setup: Setup) -> None:
        if setup.init is not None and (self.spread_batches or self.text_warmup_steps):
            raise RecipeError(
                "spread_batches and text_warmup_steps are for a new model, and init.from is given",
                mend="leave them out of [stage], or take init.from out",
            )
        new = setup.model is not None and setup.model.text.encoder == SMALL_BERT
        if self.text_warmup_steps and not new:
            raise RecipeError(
                "text_warmup_steps would train a pretrained text encoder anew",
                mend="set stage.text_warmup_steps = 0",
            )


@dataclass(frozen=True)
class Start:
    """What a new model looks at before its first step; nothing for a model that is trained."""

    codebook_batches: int = 0
    spread_batches: int = 0
    text_warmup_steps: int = 0
    reports: Sequence[ReportText] = ()
    max_tokens: int = 512


class ClipStage(Stage):
    """Both encoders and both projections, trained together.

    Args:
        model: to be trained.
        reader: makes its videos.
        start: what is looked at before the first step.
        freeze_text: whether the text encoder keeps its weights.

    Source:
        CT-CLIP; docs/mathematics.md, CT-ViT 5 and 6.
    """

    def __init__(
        self, model: CtClip, reader: VideoReader, *, start: Start, freeze_text: bool
    ) -> None:
        super().__init__()
        self._model = model
        self._reader = reader
        self._start = start
        self._cache = TextCache(model.text_transformer) if freeze_text else None
        if freeze_text:
            model.text_transformer.requires_grad_(False)

    @property
    def model(self) -> CtClip:
        """The model that is trained."""
        return self._model

    def train(self, mode: bool = True) -> "ClipStage":
        """Keep a frozen text encoder in evaluation mode."""
        super().train(mode)
        if self._cache is not None:
            self._model.text_transformer.eval()
        return self

    def prepare(self, batches: Iterator[Batch]) -> None:
        """Give codebook, text encoder and projections of a new model a start from the data."""
        start, seed = self._start, torch.initial_seed()
        generator = torch.Generator().manual_seed(seed)
        if start.codebook_batches:
            # Random rows are hardly ever the nearest to a token.
            encoder = self._model.visual_transformer.eval()
            with torch.no_grad():
                tokens = [
                    ranks.gather(
                        encoder.encode(self._reader(batch)).tokens_pre_codebook.flatten(0, 3)
                    )
                    for batch in islice(batches, start.codebook_batches)
                ]
            encoder.codebook.seed_from(torch.cat(tokens), generator)
        if start.text_warmup_steps:
            tower = TextTower(self._model.text_transformer, self._model.tokenizer)
            self._model.text_transformer.requires_grad_(True)
            warm_up_text(
                tower,
                start.reports,
                steps=start.text_warmup_steps,
                seed=seed,
                max_length=start.max_tokens,
            )
            self._model.text_transformer.requires_grad_(self._cache is None)
        if start.spread_batches:
            self._spread(islice(batches, start.spread_batches), generator)

    @torch.no_grad()
    def _spread(self, batches: Iterator[Batch], generator: torch.Generator) -> None:
        model = self._model.eval()
        images, texts = [], []
        for batch in batches:
            token_ids, mask = text_of(batch)
            tokens = model.visual_transformer(self._reader(batch))
            images.append(ranks.gather(pool_tokens(tokens, model.config.pooling)))
            texts.append(ranks.gather(encode_cls(model.text_transformer, token_ids, mask)))
        pairs = ((model.to_visual_latent, images), (model.to_text_latent, texts))
        for projection, features in pairs:
            if isinstance(projection, nn.Linear):
                spread_projection(projection, torch.cat(features), generator)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Compare every image with every report of the batch."""
        token_ids, mask = text_of(batch)
        # Texts first: to look them up waits for the device, which has no volume to encode yet.
        text = encode_text(self._model, token_ids, mask, self._cache)
        views = list(each_view(text, token_ids, mask, len(batch)))
        image = ranks.gather(self._model.encode_image(self._reader(batch)))
        losses = [
            clip_loss(image, view, self._model.temperature, numbers) for view, numbers in views
        ]
        return {"clip": torch.stack(losses).mean()}
