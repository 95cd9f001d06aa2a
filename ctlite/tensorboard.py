"""The metrics of a run for TensorBoard, where the recipe asks for them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ctprep.store.errors import RecipeError

FOLDER = "tensorboard"


class Board:
    """Takes the metrics of each step, and writes them as TensorBoard reads them.

    Args:
        run: folder of the run.

    Raises:
        RecipeError: TensorBoard is not installed.
    """

    def __init__(self, run: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise RecipeError(
                "tensorboard is asked for, and not installed",
                mend="pip install 'ct-lite[log]', or leave tensorboard out of the recipe: "
                "metrics.jsonl holds the same numbers",
            ) from error
        self._folder = run / FOLDER
        self._open = SummaryWriter
        self._writer: Any = None

    def log(self, metrics: Mapping[str, float | int]) -> None:
        """Write the metrics of a step.

        Args:
            metrics: as in `metrics.jsonl`.
        """
        step = int(metrics["step"])
        if self._writer is None:
            # What a run wrote of later steps before it was cut short is hidden.
            self._writer = self._open(self._folder, purge_step=step)
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, step)
        # A step that is saved is not done again, so that what is lost now would be lost.
        self._writer.flush()

    def close(self) -> None:
        """Write what is still in memory."""
        if self._writer is not None:
            self._writer.close()
