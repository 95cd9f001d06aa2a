"""Decision thresholds, chosen on the tuning scans and kept with the model."""

import json
from pathlib import Path

from pydantic import ValidationError

from ctlite.evaluate.scores import Level
from ctprep.store.attributes import Attributes, Kind
from ctprep.store.errors import CheckpointError
from ctprep.store.manifest import Prompts

FILE_NAME = "thresholds.json"


class Thresholds(Attributes):
    """The thresholds of a model, and what they hold for."""

    prompts: Prompts
    store_kind: Kind
    levels: dict[Level, dict[str, float | None]]
    """By unit of counting and label; None where the tuning scans hold one class only."""

    def write(self, model_folder: Path) -> None:
        """Keep them with a model.

        Args:
            model_folder: where the weights are.
        """
        path = model_folder / FILE_NAME
        path.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, model_folder: Path, *, prompts: Prompts | None = None) -> "Thresholds":
        """Read those of a model.

        Args:
            model_folder: where the weights are.
            prompts: with which the scores are made; None takes any.

        Returns:
            The thresholds.

        Raises:
            CheckpointError: there are none, they are damaged, or hold for other prompts.
        """
        try:
            text = (model_folder / FILE_NAME).read_text(encoding="utf-8")
            thresholds = cls.model_validate(json.loads(text))
        except (FileNotFoundError, ValidationError, ValueError) as error:
            raise CheckpointError(
                f"the model's thresholds cannot be read: {str(error).splitlines()[0]}",
                mend="evaluate the model on a scan table with tuning scans first",
                where=FILE_NAME,
            ) from error
        if prompts is not None and thresholds.prompts != prompts:
            raise CheckpointError(
                f"the model's thresholds hold for prompts like {thresholds.prompts.positive!r}, "
                f"not {prompts.positive!r}",
                mend="evaluate with the same prompts, or choose thresholds on tuning scans again",
                where=FILE_NAME,
            )
        return thresholds
