"""From a recipe to the parts of a run: stores, reports, stage, loaders."""

import logging
from dataclasses import dataclass
from pathlib import Path

import torch

from ctlite import ranks
from ctlite.data.loader import Loader
from ctlite.data.reports import Reports, read_report_texts, reports_of_scans
from ctlite.memory import GIB, MemoryEstimate, estimate_memory, is_out_of_memory
from ctlite.models.approximated import OnBlock
from ctlite.recipe import DataRecipe, Recipe
from ctlite.stages.stage import Need, Setup, Stage
from ctprep.store.attributes import Kind
from ctprep.store.errors import CtError, RecipeError, TableError, located
from ctprep.store.machine import count_cores
from ctprep.store.place import find_place
from ctprep.store.store import VolumeStore
from ctprep.store.tables import read_scans

logger = logging.getLogger(__name__)

THREADS_BESIDE_CPU, MOST_THREADS = 2, 16


@dataclass(frozen=True)
class Parts:
    """What a run consists of."""

    stage: Stage
    loader: Loader
    """Endless batches of the training scans."""
    tuning: Loader | None
    """The tuning scans, where their loss is asked for."""


def assemble(recipe: Recipe, on_block: OnBlock | None = None, *, is_plan: bool = False) -> Parts:
    """Open, check and build everything a run needs.

    Args:
        recipe: resolved.
        on_block: follows a projection that is factorized for it.
        is_plan: whether sizes alone matter: such a projection is then left as memory has it.

    Returns:
        The parts; the stage is on the CPU.

    Raises:
        RecipeError: files that the recipe names are missing.
        CtError: stores, tables or the initial model do not fit each other.
    """
    _check_files(recipe)
    needs, data = recipe.stage.needs, recipe.data
    hifi = _open(data, data.hifi_store, "hifi") if "hu" in needs else None
    jpeg = _open(data, data.jpeg_store, "jpeg") if "gray" in needs else None
    rows = read_scans(data.scans)
    by_scan = {}
    if "text" in needs and data.reports is not None:
        with located(data.reports.name):
            by_scan = reports_of_scans(read_report_texts(data.reports), rows)
    # Of training scans alone: what is learned from texts must not have seen the test reports.
    train = {row.scan_id for row in rows if row.split == "train"}
    setup = Setup(
        model=recipe.model,
        init=None if recipe.init is None else recipe.init.source,
        hifi=None if hifi is None else hifi.attributes,
        jpeg=None if jpeg is None else jpeg.attributes,
        max_tokens=data.max_tokens,
        reports=[report for scan_id, report in by_scan.items() if scan_id in train],
        on_block=on_block,
        is_plan=is_plan,
    )
    reports = None
    if "text" in needs:
        reports = Reports(
            by_scan,
            # The model comes last: it may take long to load, and the data may not fit.
            lambda *texts, **options: stage.model.tokenizer(*texts, **options),
            choice=data.text,
            max_length=data.max_tokens,
            seed=recipe.seed,
            per_scan=data.texts_per_scan,
        )
        _warn_of_single_pairs(data)

    def load(split: str, *, shuffle: bool) -> Loader:
        chosen = [row for row in rows if row.split == split]
        if not chosen:
            raise TableError(
                f"the scan table has no scan with split {split!r}",
                mend="split the scans first, by patient",
                where=str(data.scans),
            )
        with located(f"{data.scans}, split {split!r}"):
            return Loader(
                [row.scan_id for row in chosen],
                gray_store=jpeg,
                hu_store=hifi,
                reports=reports,
                patients={row.scan_id: row.patient_id for row in chosen},
                batch_size=data.batch_size,
                seed=recipe.seed,
                shuffle=shuffle,
                prefetch=data.prefetch,
                threads=data.threads or choose_threads(recipe.device),
                unreadable_quota=data.unreadable_quota,
                rank=ranks.rank(),
                world_size=ranks.world_size(),
            )

    loader = load("train", shuffle=True)
    tuning = load("tune", shuffle=False) if recipe.schedule.tune_steps else None
    stage = _build(recipe, setup)
    stage.model.visual_transformer.recompute = recipe.recompute
    if reports is not None:
        _check_tokens(stage, data.max_tokens)
    return Parts(stage, loader, tuning)


def choose_threads(device: str) -> int:
    """Tell how many volumes to decode at once.

    Args:
        device: of the recipe. A GPU leaves the cores to the loader; a CPU needs them itself.

    Returns:
        The number of threads of this process.
    """
    if device == "cpu" or not torch.cuda.is_available():
        return THREADS_BESIDE_CPU
    return min(MOST_THREADS, max(THREADS_BESIDE_CPU, count_cores() // ranks.local_world_size()))


def estimate_step(stage: Stage, recipe: Recipe) -> MemoryEstimate:
    """Estimate the memory that each process of a run will need.

    Args:
        stage: as it was assembled.
        recipe: of the run.

    Returns:
        The estimate; what `fsdp` divides is divided.
    """
    return estimate_memory(
        stage,
        stage.model.config,
        recipe.data.batch_size,
        keeps_maps=stage.keeps_maps,
        shares=ranks.world_size() if recipe.parallel == "fsdp" else 1,
        averages=recipe.optimizer.average_decay > 0,
        precision=recipe.precision,
        recompute=recipe.recompute,
    )


def _build(recipe: Recipe, setup: Setup) -> Stage:
    try:
        return recipe.stage.build(setup)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise CtError(
            "memory ran out while the model was made",
            mend="make it smaller (model.dim, model.codebook_size, model.latent_dim), or take a "
            "machine with more memory",
        ) from error


def _warn_of_single_pairs(data: DataRecipe) -> None:
    if data.batch_size * ranks.world_size() == 1:
        logger.warning(
            "in batches of one scan there is no other report to tell its own from, and little is "
            "learned; raise data.batch_size"
        )


def _check_tokens(stage: Stage, max_tokens: int) -> None:
    known = getattr(stage.model.text_transformer.config, "max_position_embeddings", max_tokens)
    if max_tokens > known:
        raise RecipeError(
            f"data.max_tokens is {max_tokens}, and the text encoder takes {known}",
            mend=f"--set data.max_tokens={known}",
        )


def _check_files(recipe: Recipe) -> None:
    data = recipe.data
    inputs: dict[Need, tuple[str, str | Path | None]] = {
        "hu": ("data.hifi_store", data.hifi_store),
        "gray": ("data.jpeg_store", data.jpeg_store),
        "text": ("data.reports", data.reports),
    }
    named = [inputs[need] for need in sorted(recipe.stage.needs)]
    named.append(("data.scans", data.scans))
    if recipe.init is not None:
        named.append(("init.from", recipe.init.source))
    missing = [
        f"{key}: {where}"
        for key, where in named
        if where is not None and not find_place(where).exists()
    ]
    if missing:
        mend = (
            "correct their paths, which start from the current folder, in the file or by "
            "--set key=path"
        )
        if missing[-1].startswith("init.from"):
            mend += (
                "; the model to begin from is made by `ctlite convert-teacher` of published "
                "weights (docs/teachers.md), or by training the stage before"
            )
        raise RecipeError("what the recipe names is not there: " + "; ".join(missing), mend=mend)


def _open(data: DataRecipe, where: str | None, kind: Kind) -> VolumeStore | None:
    if where is None:
        return None
    place = find_place(where)
    if data.cache is not None and place.path is None:
        # Late: it needs what buckets need.
        from ctprep.store.cached import cache_bucket

        place = cache_bucket(place, data.cache, int(data.cache_gib * GIB))
    return VolumeStore.open(place, kind=kind)
