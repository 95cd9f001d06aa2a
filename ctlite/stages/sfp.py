"""Stage 2 of CT-Lite: a structured factorized projection, aligned with the reports by SigLIP.

The student of a FAST run gets an SFP in place of its dense projection; encoder, SFP and text
projection are trained on pairs of compressed volumes and reports, each pair judged alone.
"""

from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ctlite import ranks
from ctlite.data.batch import Batch
from ctlite.losses.siglip import START_BIAS, START_LOG_SCALE, siglip_loss
from ctlite.models.approximated import ProjectionInit, load_approximated
from ctlite.models.build import open_init, with_gray
from ctlite.models.ct_clip import CtClip
from ctlite.models.projection import sfp_core_lr_factors, sfp_lr_factor
from ctlite.models.text_cache import TextCache
from ctlite.optimizer import parameter_groups
from ctlite.stages.pairs import each_view, encode_text, text_of
from ctlite.stages.stage import Need, Setup, Stage, StageConfig, VideoReader
from ctprep.store.errors import RecipeError

LearningRateRule = Literal["paper", "structure-aware"]


class SfpConfig(StageConfig):
    """`[stage]` of SFP."""

    name: Literal["sfp"]
    rank: int = Field(default=6, gt=0)
    """Of the block tensor train; the paper's is 6."""
    projection_init: ProjectionInit = "svd"
    """`svd`: the nearest SFP to the dense projection; `whole-block`, a worse one, the literal
    reading of (13); `random`."""
    lr_rule: LearningRateRule = "paper"
    """How much faster the cores learn: `paper`, both d / r times (19); `structure-aware`, each by
    its own fan-in."""
    freeze_text: bool = True
    """Whether the text encoder keeps its weights, its output then being computed once a text."""
    freeze_encoder: bool = False
    """Whether the image encoder keeps its weights."""
    bias_start: float = START_BIAS
    """SigLIP's -10 suits large batches."""
    scale_start: float = START_LOG_SCALE
    """Logarithm of the factor before the cosine."""

    @property
    def needs(self) -> frozenset[Need]:
        """Compressed images, and reports."""
        return frozenset({"gray", "text"})

    def build(self, setup: Setup) -> "SfpStage":
        """Make the stage from the model of a FAST run."""
        if setup.init is None or setup.jpeg is None:
            raise RecipeError("SFP needs a model and a JPEG store", mend="set init.from")
        stored = open_init(setup.init, setup.model, setup.jpeg, setup.texts)
        model = load_approximated(
            stored, self.rank, self.projection_init, setup.on_block, is_plan=setup.is_plan
        )
        model.config = with_gray(model.config, setup.jpeg)
        model.visual_transformer.requires_grad_(not self.freeze_encoder)
        reader = VideoReader(model.config.preprocessing, setup.jpeg)
        return SfpStage(
            model,
            reader,
            lr_rule=self.lr_rule,
            freeze_text=self.freeze_text,
            bias_start=self.bias_start,
            scale_start=self.scale_start,
        )


class SfpStage(Stage):
    """Image encoder and SFP against the reports.

    Args:
        model: with an SFP.
        reader: makes its videos.
        lr_rule: how much faster the cores learn.
        freeze_text: whether the text encoder keeps its weights; its projection is trained.
        bias_start: b of (16) at the start.
        scale_start: t' of (16) at the start.

    Source:
        CT-Lite (15) to (19); docs/mathematics.md, FAST and SFP.
    """

    def __init__(
        self,
        model: CtClip,
        reader: VideoReader,
        *,
        lr_rule: LearningRateRule,
        freeze_text: bool,
        bias_start: float,
        scale_start: float,
    ) -> None:
        super().__init__()
        self._model = model
        self._reader = reader
        self._lr_rule = lr_rule
        self.t_prime = nn.Parameter(torch.tensor(scale_start))
        self.bias = nn.Parameter(torch.tensor(bias_start))
        model.visual_transformer.codebook.frozen = True
        # Zero-shot scores are cosines, so the factor of CLIP is of no use here.
        model.temperature.requires_grad_(False)
        self._cache = TextCache(model.text_transformer) if freeze_text else None
        if freeze_text:
            model.text_transformer.requires_grad_(False)
            self.frozen = ("_model.text_transformer.",)

    @property
    def model(self) -> CtClip:
        """The model that is trained."""
        return self._model

    def train(self, mode: bool = True) -> "SfpStage":
        """Keep a frozen text encoder in evaluation mode."""
        super().train(mode)
        if self._cache is not None:
            self._model.text_transformer.eval()
        return self

    def parameter_groups(self, lr: float, weight_decay: float) -> list[dict[str, Any]]:
        """Let the cores of the SFP learn faster, by the rule of the recipe."""
        config = self._model.config
        sizes = config.projection_in, config.latent_dim, config.rank or config.latent_dim
        cores = "_model.to_visual_latent"
        faster = {cores: sfp_lr_factor(*sizes[1:])}
        if self._lr_rule == "structure-aware":
            left, right = sfp_core_lr_factors(*sizes)
            faster = {f"{cores}.left": left, f"{cores}.right": right}
        return parameter_groups(
            self.named_parameters(), lr=lr, weight_decay=weight_decay, faster=faster
        )

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Judge every pair of image and report of the batch (18)."""
        token_ids, mask = text_of(batch)
        # Texts first: to look them up waits for the device, which has no volume to encode yet.
        text = encode_text(self._model, token_ids, mask, self._cache)
        views = list(each_view(text, token_ids, mask, len(batch)))
        image = ranks.gather(self._model.encode_image(self._reader(batch)))
        losses = [
            siglip_loss(image, view, self.t_prime, self.bias, numbers) for view, numbers in views
        ]
        return {"siglip": torch.stack(losses).mean()}
