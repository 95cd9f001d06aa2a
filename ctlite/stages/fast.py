"""Stage 1 of CT-Lite: FAST, by which a student that sees JPEG learns from a teacher that does not.

The frozen teacher encodes the clean volume, the student the windowed and compressed one. The
student is drawn to the teacher's attention patterns (style), attention outputs (dual) and final
tokens, with weights that are measured once and then left alone.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from ctlite import ranks
from ctlite.data.batch import Batch
from ctlite.losses.fast import FastLosses, Term, calibrate_weights, fast_losses
from ctlite.model_recipe import Section
from ctlite.models.build import open_init, with_gray
from ctlite.models.ct_clip import CtClip, build_encoder
from ctlite.models.ct_encoder import CTViT
from ctlite.stages.stage import Need, Setup, Stage, StageConfig, VideoReader
from ctprep.store.errors import RecipeError

TERMS: dict[str, tuple[Term, ...]] = {
    "style": ("style",),
    "dual": ("self", "cross"),
    "features": ("features",),
    "final": ("final",),
}


class FastWeights(Section):
    """Explicit weights of the terms, instead of measured ones."""

    style: float = Field(ge=0)
    dual: float = Field(ge=0)
    features: float = Field(default=0.0, ge=0)
    final: float = Field(ge=0)


class FastConfig(StageConfig):
    """`[stage]` of FAST; the paper's ablations switch terms off."""

    name: Literal["fast"]
    style: bool = True
    """Whether attention patterns are compared (2)."""
    dual: bool = True
    """Whether attention outputs are compared (3)."""
    features: bool = False
    """Whether the stream after each block is compared: feature distillation, an ablation."""
    final: bool = True
    """Whether final tokens are compared (4)."""
    final_after_codebook: bool = False
    """Whether they are compared after the codebook (docs/mathematics.md, F9)."""
    weights: FastWeights | None = None
    """Fixed weights; without them they are measured, so that the terms stand at 1 : 1 : 4."""
    calibration_batches: int = Field(default=8, gt=0)
    """Batches that the weights are measured on."""
    student_init: Literal["random", "teacher"] = "random"
    """`random` as in the paper; `teacher` begins from the teacher's weights."""

    @property
    def needs(self) -> frozenset[Need]:
        """Clean and compressed images."""
        return frozenset({"hu", "gray"})

    def build(self, setup: Setup) -> "FastStage":
        """Make the stage from the teacher of `init`."""
        if setup.init is None or setup.hifi is None or setup.jpeg is None:
            raise RecipeError("FAST needs a teacher and both stores", mend="set init.from")
        student = open_init(setup.init, setup.model, setup.hifi, setup.texts).load()
        read_clean = VideoReader(student.config.preprocessing, setup.hifi)
        teacher = part_student(student, self.student_init)
        student.config = with_gray(student.config, setup.jpeg)
        return FastStage(
            teacher,
            student,
            read_clean,
            VideoReader(student.config.preprocessing, setup.jpeg),
            terms=tuple(term for term in TERMS if getattr(self, term)),
            weights=None if self.weights is None else self.weights.model_dump(),
            calibration_batches=self.calibration_batches,
            final_after_codebook=self.final_after_codebook,
        )


def part_student(model: CtClip, student_init: Literal["random", "teacher"]) -> CTViT:
    """Give a trained model a new image encoder, and keep everything else.

    Args:
        model: the teacher; becomes the student.
        student_init: weights of the new encoder.

    Returns:
        The teacher's encoder. The new one has its codebook, so that the student's tokens are
        those that the projection was trained on (docs/mathematics.md, F10).
    """
    teacher = model.visual_transformer
    student = build_encoder(model.config.vision)
    state = teacher.state_dict()
    if student_init == "random":
        state = {name: value for name, value in state.items() if name.startswith("vq.")}
    student.load_state_dict(state, strict=False)
    model.visual_transformer = student
    return teacher


class FastStage(Stage):
    """A frozen teacher and the student's image encoder, which alone is trained.

    Args:
        teacher: image encoder that sees clean volumes.
        student: sees compressed ones; its text encoder and projections are the teacher's.
        read_clean: makes the teacher's videos.
        read_gray: makes the student's videos.
        terms: of the loss, out of `TERMS`.
        weights: by term; None to measure them.
        calibration_batches: batches they are measured on.
        final_after_codebook: whether final tokens are compared after it.

    Raises:
        RecipeError: no term is left.

    Source:
        CT-Lite (1) to (5); docs/mathematics.md, FAST.
    """

    frozen = (
        "teacher.",
        "_student.text_transformer.",
        "_student.to_visual_latent.",
        "_student.to_text_latent.",
        "_student.temperature",
    )

    def __init__(
        self,
        teacher: CTViT,
        student: CtClip,
        read_clean: VideoReader,
        read_gray: VideoReader,
        *,
        terms: tuple[str, ...],
        weights: dict[str, float] | None,
        calibration_batches: int,
        final_after_codebook: bool,
    ) -> None:
        super().__init__()
        if not terms:
            raise RecipeError("all terms of FAST are off", mend="leave one of them on")
        self.teacher = teacher.requires_grad_(False)
        self._student = student.requires_grad_(False)
        student.visual_transformer.requires_grad_(True)
        student.visual_transformer.codebook.frozen = True
        self._read_clean, self._read_gray = read_clean, read_gray
        self._terms = terms
        self._after = final_after_codebook
        self._batches = 0 if weights is not None else calibration_batches
        start = [1.0 if weights is None else weights[term] for term in TERMS]
        self.weights: Tensor
        self.register_buffer("weights", torch.tensor(start))
        self.keeps_maps = "style" in terms
        # What comes after the last attention layer reaches the final tokens alone.
        self.leaves_unused = "final" not in terms

    @property
    def model(self) -> CtClip:
        """The student, with the teacher's text encoder and projections."""
        return self._student

    def train(self, mode: bool = True) -> "FastStage":
        """Train the student's encoder alone; its codebook stays as it is."""
        super().train(False)
        self._student.visual_transformer.train(mode)
        return self

    @torch.no_grad()
    def prepare(self, batches: Iterator[Batch]) -> None:
        """Measure the weights with the untrained student, once for the whole run (5)."""
        if self._batches:
            observed = [
                {term: ranks.mean(value) for term, value in self._raw(batch).terms().items()}
                for batch in islice(batches, self._batches)
            ]
            weights = calibrate_weights(observed)
            self.weights.copy_(torch.tensor([weights.get(term, 0.0) for term in TERMS]))

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Compare the student with the teacher, weighted (5)."""
        return self._weighted(self._raw(batch))

    def measure(self, batch: Batch) -> dict[str, Tensor]:
        """Add `end`, the raw error of the final tokens before the codebook (F9).

        It is measured alike whatever terms are trained on, as the curves of the paper's
        ablation are.
        """
        raw = self._raw(batch)
        return {"loss": torch.stack(list(self._weighted(raw).values())).sum(), "end": raw.end}

    def _weighted(self, raw: FastLosses) -> dict[str, Tensor]:
        weights = dict(zip(TERMS, self.weights, strict=True))
        return {term: weights[term] * value for term, value in raw.terms().items()}

    def _raw(self, batch: Batch) -> FastLosses:
        return fast_losses(
            self.teacher,
            self._student.visual_transformer,
            self._read_clean(batch),
            self._read_gray(batch),
            terms={part for term in self._terms for part in TERMS[term]},
            final_after_codebook=self._after,
        )
