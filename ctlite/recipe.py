"""What a run is made of: one TOML file, checked whole before anything is read."""

import tomllib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import BeforeValidator, Field, ValidationError, model_validator

from ctlite.data.reports import TextChoice
from ctlite.model_recipe import ModelRecipe, Section
from ctlite.precision import Precision
from ctlite.recipe_faults import fault_lines, suggest
from ctlite.stages.clip import ClipConfig
from ctlite.stages.fast import FastConfig
from ctlite.stages.sfp import SfpConfig
from ctprep.store.errors import RecipeError


def _spell(where: object) -> object:
    # Paths in the one way that `Path` spells them; a URL would lose a slash by it.
    if isinstance(where, Path) or (isinstance(where, str) and "://" not in where):
        return str(Path(where))
    return where


StoreUrl = Annotated[str, BeforeValidator(_spell)]
"""A folder, or a URL in a bucket such as `s3://bucket/q90.zarr`."""
StageSection = Annotated[ClipConfig | FastConfig | SfpConfig, Field(discriminator="name")]


class DataRecipe(Section):
    """Where the data is, and how it comes in batches."""

    hifi_store: StoreUrl | None = None
    jpeg_store: StoreUrl | None = None
    reports: Path | None = None
    """Report table of `ctprep filter-reports`."""
    scans: Path
    """Scan table: split and patient of every scan."""
    text: TextChoice = "positive"
    """Which text of a report is seen; the paper's is `positive`. `sentences` draws single
    sentences about findings and absences, which suits a text encoder that is not pretrained."""
    texts_per_scan: int = Field(default=1, gt=0)
    """Sentences drawn of each scan's report, for one look at its volume."""
    max_tokens: int = Field(default=512, ge=3)
    """Tokens kept of a report; two of them mark its begin and end."""
    batch_size: int = Field(default=4, gt=0)
    """Scans in a batch of each process."""
    threads: int | None = Field(default=None, gt=0)
    """Volumes decoded at once: by default 2 beside the work of a CPU, and beside that of a GPU as
    many as the process has cores, 16 at most."""
    prefetch: int = Field(default=2, gt=0)
    """Batches decoded ahead."""
    cache: Path | None = None
    """Folder on a local disk for volumes of stores in buckets; each is then transferred once."""
    cache_gib: float = Field(default=100.0, gt=0)
    """What the folder may hold."""
    unreadable_quota: int = Field(default=0, ge=0)
    """Unreadable volumes, of all processes, to go without before the run stops."""


class InitRecipe(Section):
    """Where the weights come from."""

    source: Path = Field(alias="from")
    """Run folder, or model folder such as `ctlite convert-teacher` makes; or a published CT-CLIP
    checkpoint as it is, and then `[model]` says its geometry."""


class OptimizerRecipe(Section):
    """AdamW."""

    lr: float = Field(default=1e-4, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    clip_norm: float = Field(default=1.0, ge=0)
    """Greatest norm of the gradient; 0 does not clip."""
    accumulation: int = Field(default=1, gt=0)
    """Batches whose gradients are added up before a step."""
    average_decay: float = Field(default=0.0, ge=0, lt=1)
    """Share of the weights' running average that a step leaves as it was, such as 0.999, after a
    beginning with less; the model that is saved is then the average. 0 saves the last weights."""


class ScheduleRecipe(Section):
    """How long, and how the learning rate goes; steps are those of the optimizer."""

    steps: int = Field(gt=0)
    warmup_steps: int = Field(default=0, ge=0)
    eta_min_ratio: float = Field(default=0.0, ge=0, le=1)
    """Learning rate at the end, as a fraction of its peak, in every group."""
    checkpoint_steps: int = Field(default=500, gt=0)
    """Steps between checkpoints."""
    tune_steps: int = Field(default=0, ge=0)
    """Steps between evaluations of the loss on the tuning scans; 0 for none."""


class Recipe(Section):
    """A training run."""

    stage: StageSection
    data: DataRecipe
    model: ModelRecipe | None = None
    init: InitRecipe | None = None
    optimizer: OptimizerRecipe = OptimizerRecipe()
    schedule: ScheduleRecipe
    out: Path
    """Run folder."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    device: str = "auto"
    """`auto` takes a GPU where there is one."""
    precision: Precision = "float32"
    """`bfloat16` computes matrix products in it (autocast); weights stay float32."""
    parallel: Literal["ddp", "fsdp"] = "ddp"
    """With several processes: `ddp` keeps the whole model on each, `fsdp` divides it."""
    compile: bool = False
    """Whether the blocks of the image encoder are compiled, which takes a while at the start."""
    tensorboard: bool = False
    """Whether metrics go to `<out>/tensorboard` too."""
    recompute: bool = False
    """Whether the backward pass computes image blocks again, which saves memory for time."""

    @model_validator(mode="after")
    def _check_inputs(self) -> "Recipe":
        sources = {
            "hu": ("data.hifi_store", self.data.hifi_store),
            "gray": ("data.jpeg_store", self.data.jpeg_store),
            "text": ("data.reports", self.data.reports),
        }
        faults = [
            f"{sources[need][0]}: the stage {self.stage.name} needs it"
            for need in sorted(self.stage.needs)
            if sources[need][1] is None
        ]
        if self.init is None and (not self.stage.builds_model or self.model is None):
            other = ", or a [model] to begin anew" if self.stage.builds_model else ""
            faults.append(f"init.from: the stage {self.stage.name} needs it{other}")
        if self.data.texts_per_scan > 1 and self.data.text != "sentences":
            faults.append('data.texts_per_scan: more than one needs data.text = "sentences"')
        if faults:
            raise ValueError("\n".join(faults))
        return self


def load_recipe(name_or_path: str, overrides: Sequence[str] = ()) -> Recipe:
    """Read and check a recipe.

    Args:
        name_or_path: name of a shipped recipe, or a TOML file.
        overrides: such as `optimizer.lr=3e-4`; values are TOML, and text may go without quotes.

    Returns:
        The recipe with all defaults filled in.

    Raises:
        RecipeError: it is not there, or with every fault and its path.
    """
    values = _read_toml(name_or_path)
    for override in overrides:
        _apply(values, override)
    return check_recipe(values, where=name_or_path)


def check_recipe(values: dict[str, Any], *, where: str | None = None) -> Recipe:
    """Check a recipe's values.

    Args:
        values: as TOML gives them.
        where: for messages.

    Returns:
        The recipe.

    Raises:
        RecipeError: with every fault and its path.
    """
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        faults = [line for fault in error.errors() for line in fault_lines(fault, Recipe)]
        count = "a fault" if len(faults) == 1 else f"{len(faults)} faults"
        raise RecipeError(
            f"the recipe has {count}: " + "; ".join(faults),
            mend="correct the file, or give --set section.key=value",
            where=where,
        ) from error


def recipe_names() -> list[str]:
    """Tell the shipped recipes.

    Returns:
        Their names, sorted.
    """
    folder = resources.files("ctlite.recipes")
    return sorted(item.name[:-5] for item in folder.iterdir() if item.name.endswith(".toml"))


def _read_toml(name_or_path: str) -> dict[str, Any]:
    path = Path(name_or_path)
    try:
        if path.suffix == ".toml":
            return tomllib.loads(path.read_text(encoding="utf-8"))
        if name_or_path in recipe_names():
            shipped = resources.files("ctlite.recipes") / f"{name_or_path}.toml"
            return tomllib.loads(shipped.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RecipeError(
            f"the recipe cannot be read: {error}", mend="give a TOML file", where=name_or_path
        ) from error
    if path.is_file():
        mend = "give it a name that ends with .toml"
    else:
        near = suggest(name_or_path, recipe_names())
        mend = f"give a .toml file, or the name of a shipped recipe; {near}"
    raise RecipeError(f"there is no recipe {name_or_path!r}", mend=mend)


def _apply(values: dict[str, Any], override: str) -> None:
    path, equals, text = override.partition("=")
    *parents, last = path.strip().split(".")
    section: Any = values
    for parent in parents:
        section = section.setdefault(parent, {}) if isinstance(section, dict) else None
    if not equals or not last or not isinstance(section, dict):
        raise RecipeError(
            f"the override {override!r} sets nothing", mend="write it as section.key=value"
        )
    try:
        section[last] = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        section[last] = text


def to_toml(recipe: Recipe) -> str:
    """Write a recipe with all its defaults.

    Args:
        recipe: checked.

    Returns:
        TOML from which the same recipe is read.
    """
    return tomli_w.dumps(recipe.model_dump(mode="json", by_alias=True, exclude_none=True))


def differing_keys(one: Recipe, other: Recipe) -> list[str]:
    """Compare two recipes.

    Args:
        one: the first.
        other: the second.

    Returns:
        A line for every key that differs: `optimizer.lr: 0.0001, not 0.0003`.
    """
    mine, theirs = (_flat(recipe.model_dump(mode="json", by_alias=True)) for recipe in (one, other))
    return [
        f"{key}: {mine.get(key)}, not {theirs.get(key)}"
        for key in sorted(mine.keys() | theirs.keys())
        if mine.get(key) != theirs.get(key)
    ]


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat
