"""A trained model on volumes that nobody has labelled: latents, and findings by their prompts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32

from ctlite.evaluate.embed import embed_scans
from ctlite.evaluate.thresholds import FILE_NAME, Thresholds
from ctlite.evaluate.zero_shot import PAPER_PROMPTS, prompt_directions, zero_shot_scores
from ctlite.models.config import Preprocessing
from ctlite.models.ct_clip import CtClip, find_model
from ctprep.store.errors import CheckpointError
from ctprep.store.labels import CT_LITE_LABELS
from ctprep.store.manifest import Prompts
from ctprep.store.store import VolumeStore


@dataclass(frozen=True)
class Finding:
    """One label of one scan."""

    label: str
    score: float
    """cos(image, positive prompt) - cos(image, negative prompt), between -2 and 2."""
    threshold: float | None
    """Above it the label is called present; None where the model has none."""

    @property
    def is_present(self) -> bool | None:
        """Whether the score is above the threshold; None without one."""
        return None if self.threshold is None else self.score > self.threshold


class Predictor:
    """A saved model, ready to look at volumes.

    For research: no number of it is a diagnosis.

    Args:
        folder: run folder of `ctlite train`, or model folder.
        device: where the model runs.

    Raises:
        CheckpointError: there is no model, or it is damaged.
    """

    def __init__(self, folder: Path, *, device: torch.device | str = "cpu") -> None:
        self._folder = find_model(folder)
        if not self._folder.is_dir():
            raise CheckpointError(
                "there is no trained model",
                mend="give a run folder whose training has ended, or a folder with config.json",
                where=folder.name,
            )
        self._device = torch.device(device)
        self._model = CtClip.from_pretrained(self._folder).to(self._device).eval()

    @property
    def model(self) -> CtClip:
        """The model itself, in evaluation mode."""
        return self._model

    @property
    def preprocessing(self) -> Preprocessing:
        """The volumes that the model takes; `ctprep.prepare.prepared` makes them of a scan."""
        return self._model.config.preprocessing

    def embed(
        self, store: VolumeStore, scan_ids: Sequence[str] | None = None, *, batch_size: int = 1
    ) -> Iterator[tuple[str, Float32[np.ndarray, " latent"]]]:
        """Encode volumes.

        Args:
            store: of the model's grid.
            scan_ids: of volumes; None takes all.
            batch_size: volumes encoded at once.

        Yields:
            Scan id and unit-length latent.

        Raises:
            StoreMismatchError: the store does not fit the model.
            StoreError: a volume is missing or damaged.
        """
        chosen = tuple(store.scan_ids() if scan_ids is None else scan_ids)
        batches = embed_scans(
            self._model, store, chosen, batch_size=batch_size, device=self._device
        )
        for ids, latents in batches if chosen else ():
            yield from zip(ids, latents.float().cpu().numpy(), strict=True)

    def predict(
        self,
        store: VolumeStore,
        scan_ids: Sequence[str] | None = None,
        *,
        labels: Sequence[str] | None = None,
        prompts: Prompts | None = None,
        batch_size: int = 1,
    ) -> Iterator[tuple[str, list[Finding]]]:
        """Score labels by pairs of prompts.

        Args:
            store: of the model's grid.
            scan_ids: of volumes; None takes all.
            labels: what to look for, in words of radiology reports; None takes the labels that
                the model has thresholds for, else the 12 of CT-Lite.
            prompts: templates; None takes those that the thresholds hold for, else the paper's.
            batch_size: volumes encoded at once.

        Yields:
            Scan id, and a finding a label.

        Raises:
            CheckpointError: the thresholds of the model are damaged.
            StoreError: as `embed`.
        """
        known = self._thresholds(store, prompts)
        prompts = prompts or (PAPER_PROMPTS if known is None else known.prompts)
        levels = {} if known is None else known.levels.get("reconstruction", {})
        names = list(labels or levels or CT_LITE_LABELS)
        directions = prompt_directions(
            self._model, self._model.tokenizer, names, prompts, device=self._device
        ).cpu()
        for scan_id, latent in self.embed(store, scan_ids, batch_size=batch_size):
            scores = zero_shot_scores(torch.from_numpy(latent)[None], directions)[0].tolist()
            yield (
                scan_id,
                [
                    Finding(name, score, levels.get(name))
                    for name, score in zip(names, scores, strict=True)
                ],
            )

    def _thresholds(self, store: VolumeStore, prompts: Prompts | None) -> Thresholds | None:
        """Give the thresholds of the model, where they hold for this store and these prompts."""
        if not (self._folder / FILE_NAME).is_file():
            return None
        known = Thresholds.read(self._folder, prompts=prompts)
        return known if known.store_kind == store.attributes.kind else None
