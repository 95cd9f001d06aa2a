"""Making the labeller that a name and its options ask for."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ctprep.reports.backends.build import given_options
from ctprep.reports.labels.rules_labeller import Doubt, RulesLabeller
from ctprep.store.errors import TableError

if TYPE_CHECKING:
    from ctprep.reports.labels.classifier import Pooling
    from ctprep.reports.labels.labeller import Labeller

_RULES = ("uncertain", "words")
_RADBERT = ("model", "tokenizer", "pooling", "threshold", "windows", "batch_size")


@dataclass(frozen=True)
class LabelOptions:
    """What a labeller is made with; None takes its own."""

    uncertain: Doubt | None = None
    words: str | Path | None = None
    model: str | None = None
    tokenizer: str | None = None
    pooling: "Pooling | None" = None
    threshold: float | None = None
    windows: bool | None = None
    batch_size: int | None = None
    probabilities: Path | None = None
    """Not the labeller's own: only a classifier has any to write."""


def build_labeller(
    name: str, options: LabelOptions | None = None, *, language: str | Path = "english"
) -> "Labeller":
    """Make the labeller of a name.

    Args:
        name: `rules` or `radbert`.
        options: those of the other one are refused.
        language: word lists by name, or a TOML file of them.

    Raises:
        TableError: no labeller has this name, an option is missing or of the other one, or a word
            list is wrong.
        BackendError: the model or its tokenizer cannot be loaded.
        CheckpointError: its weights do not fit, or are damaged.
    """
    options = options or LabelOptions()
    page = "docs/reports.md"
    if name == "rules":
        given = given_options(options, *_RULES, of="labeller", page=page)
        return RulesLabeller(language=language, **given)  # type: ignore[arg-type]
    if name != "radbert":
        raise TableError(f"there is no labeller {name!r}", mend="use 'rules' or 'radbert'")
    given = given_options(options, *_RADBERT, "probabilities", of="labeller", page=page)
    given.pop("probabilities", None)
    if not options.model:
        raise TableError(
            "the labeller 'radbert' needs a model",
            mend="add --model, the path of RadBertClassifier.pth or of a model folder",
        )
    # Late: the libraries are those of an extra.
    from ctprep.reports.labels.radbert import RadBertLabeller

    return RadBertLabeller(language=language, **given)  # type: ignore[arg-type]
