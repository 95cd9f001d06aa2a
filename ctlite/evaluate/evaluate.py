"""A trained run to its scores: embed the scans, choose thresholds, measure, write."""

import csv
import io
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float64

from ctlite.evaluate.embed import embed_scans
from ctlite.evaluate.scores import Level, Scores, ThresholdChoice
from ctlite.evaluate.summary import Sample, by_study, choose_thresholds, summarize
from ctlite.evaluate.thresholds import FILE_NAME, Thresholds
from ctlite.evaluate.zero_shot import PAPER_PROMPTS, prompt_directions, zero_shot_scores
from ctlite.models.ct_clip import CtClip, find_model
from ctprep.store.attributes import Kind
from ctprep.store.disk import write_together
from ctprep.store.errors import CheckpointError, RecipeError, TableError, located
from ctprep.store.evaluated import choose_evaluated
from ctprep.store.find_rows import find_rows
from ctprep.store.manifest import Prompts, load_manifest
from ctprep.store.outputs import check_outputs
from ctprep.store.place import Where
from ctprep.store.store import VolumeStore
from ctprep.store.tables import LabelTable, ScanRow, read_labels, read_scans

METRICS, SCORES = "metrics.json", "scores.csv"
OnScan = Callable[[str], None]


def _ignore(scan_id: str) -> None:
    """Nobody watches."""


def evaluate_run(
    run: Path,
    *,
    labels: Path,
    scans: Path,
    store: Where | None = None,
    label_names: Sequence[str] | None = None,
    dataset: str | None = None,
    prompts: Prompts = PAPER_PROMPTS,
    thresholds: ThresholdChoice = "tune",
    resamples: int = 1000,
    seed: int = 0,
    batch_size: int = 1,
    threads: int = 2,
    device: torch.device | str = "cpu",
    on_scan: OnScan = _ignore,
    out: Path | None = None,
) -> Scores:
    """Score the test scans of a run's model and write `metrics.json` and `scores.csv`.

    Args:
        run: run folder with the trained model in `model/`, or a model folder.
        labels: label table, a row a scan or a study of the scan table.
        scans: scan table; its test scans are scored, its tuning scans choose the thresholds.
        store: where the volumes are; by default the store of the model's kind that the run's
            recipe names.
        label_names: labels to score; by default all of the label table.
        dataset: score the labels that the paper evaluates on this data set, whose columns the
            label table has, by their CT-RATE names.
        prompts: templates of the prompt pair.
        thresholds: `tune` chooses them on the tuning scans and keeps them with the model;
            `stored` takes those that the model has; `same-set` chooses them on the test scans
            themselves, as CT-CLIP's scripts do, which flatters F1 and accuracy.
        resamples: bootstrap samples.
        seed: of the bootstrap.
        batch_size: volumes encoded at once.
        threads: volumes decoded at once.
        device: where the model runs.
        on_scan: called with the id of every scan that has been scored.
        out: folder of both files; by default `eval` in the run folder. Where it is given, the
            run is left as it is, and no thresholds are kept with its model.

    Returns:
        What was written to `metrics.json`.

    Raises:
        CtError: a table, the store or the model does not fit the others, or scores are not
            finite.
    """
    target = run / "eval" if out is None else out
    check_outputs(target / SCORES, target / METRICS, inputs=(labels, scans))
    folder = find_model(run)
    model = CtClip.from_pretrained(folder).to(device).eval()
    splits = ("tune", "test") if thresholds == "tune" else ("test",)
    listed = read_scans(scans)
    rows = [row for row in listed if row.split in splits]
    table = read_labels(labels)
    with located(labels.name):
        if dataset is not None:
            table = choose_evaluated(table, load_manifest(dataset))
        table = _chosen_labels(table, label_names, rows, listed)
    _check_splits(rows, splits)
    volumes = _open_store(run, store, model)
    directions = prompt_directions(model, model.tokenizer, table.names, prompts, device=device)
    scan_ids = tuple(row.scan_id for row in rows)
    scores = np.empty((len(rows), len(table.names)))
    done = 0
    for batch_ids, latents in embed_scans(
        model, volumes, scan_ids, batch_size=batch_size, threads=threads, device=device
    ):
        end = done + len(batch_ids)
        scores[done:end] = zero_shot_scores(latents, directions).cpu().numpy()
        done = end
        for scan_id in batch_ids:
            on_scan(scan_id)
    _check_finite(scan_ids, scores)

    levels = _levels(rows, scores, table.values)
    chosen = _thresholds(levels, table.names, thresholds, folder, prompts)
    kind = volumes.attributes.kind
    found = Scores(
        run=run.resolve().name,
        store=volumes.name,
        store_kind=kind,
        bytes_per_volume=_bytes_per_volume(volumes, scan_ids),
        head_parameters=sum(p.numel() for p in model.to_visual_latent.parameters()),
        prompts=prompts,
        thresholds=thresholds,
        resamples=resamples,
        seed=seed,
        levels={
            level: summarize(
                samples["test"], table.names, chosen[level], resamples=resamples, seed=seed
            )
            for level, samples in levels.items()
        },
    )
    written = {
        target / SCORES: _encode_csv(rows, table.names, scores),
        target / METRICS: found.encode(),
    }
    write_together(written)
    if thresholds == "tune" and out is None:
        _keep(chosen, table.names, folder, prompts, kind)
    return found


def _chosen_labels(
    table: LabelTable,
    names: Sequence[str] | None,
    rows: Sequence[ScanRow],
    listed: Sequence[ScanRow],
) -> LabelTable:
    """The wanted labels of the wanted scans, in that order."""
    absent = [name for name in names or () if name not in table.names]
    place = {name: number for number, name in enumerate(table.scan_ids)}
    # A table by study has its row for each of its reconstructions.
    named = find_rows({row.scan_id: row.study_id for row in listed}, place)
    unlabeled = [row.scan_id for row in rows if row.scan_id not in named]
    if absent or unlabeled:
        raise TableError(
            f"the label table lacks the labels [{', '.join(absent)}] and {len(unlabeled)} scans, "
            f"the first being [{', '.join(unlabeled[:5])}]",
            mend="name labels as the table does, and give every tuning and test scan a row, with "
            "empty cells where a label is missing",
        )
    kept = tuple(table.names if names is None else names)
    columns = [table.names.index(name) for name in kept]
    scan_ids = tuple(row.scan_id for row in rows)
    values = table.values[[place[named[scan_id]] for scan_id in scan_ids]][:, columns]
    return LabelTable(scan_ids, kept, values)


def _check_splits(rows: Sequence[ScanRow], splits: Sequence[str]) -> None:
    for split in splits:
        if not any(row.split == split for row in rows):
            raise TableError(
                f"the scan table has no {split} scans",
                mend="divide the scans into train, tune and test, or take thresholds from "
                "elsewhere: stored or same-set",
            )


def _open_store(run: Path, store: Where | None, model: CtClip) -> VolumeStore:
    if store is not None:
        return VolumeStore.open(store)
    kind = model.config.preprocessing.kind
    recipe = run / "recipe.toml"
    settings = tomllib.loads(recipe.read_text(encoding="utf-8")) if recipe.is_file() else {}
    path = settings.get("data", {}).get(f"{kind}_store")
    if path is None:
        raise RecipeError(
            f"the run's recipe names no {kind} store, which its model takes",
            mend="say where the volumes are: --store PATH or URL",
            where=f"{run.name}/recipe.toml",
        )
    return VolumeStore.open(str(path), kind=kind)


def _check_finite(scan_ids: Sequence[str], scores: Float64[np.ndarray, "scan label"]) -> None:
    bad = np.flatnonzero(~np.isfinite(scores).all(axis=1))
    if bad.size:
        raise CheckpointError(
            f"the scores of {bad.size} scans are not finite, the first is {scan_ids[bad[0]]}",
            mend="the weights hold NaN or infinity: take an earlier checkpoint",
        )


def _levels(
    rows: Sequence[ScanRow],
    scores: Float64[np.ndarray, "scan label"],
    labels: Float64[np.ndarray, "scan label"],
) -> dict[Level, dict[str, Sample]]:
    """The samples of each split, by reconstruction and, where studies are known, by scan."""
    by_split: dict[str, Sample] = {}
    for split in sorted({row.split for row in rows}):
        chosen = [index for index, row in enumerate(rows) if row.split == split]
        by_split[split] = Sample(
            scan_ids=tuple(rows[index].scan_id for index in chosen),
            patients=tuple(rows[index].patient_id for index in chosen),
            scores=scores[chosen],
            labels=labels[chosen],
        )
    levels: dict[Level, dict[str, Sample]] = {"reconstruction": by_split}
    studies = {row.scan_id: row.study_id for row in rows if row.study_id is not None}
    if len(studies) == len(rows):
        levels["scan"] = {split: by_study(part, studies) for split, part in by_split.items()}
    return levels


def _thresholds(
    levels: dict[Level, dict[str, Sample]],
    names: Sequence[str],
    choice: ThresholdChoice,
    model_folder: Path,
    prompts: Prompts,
) -> dict[Level, Float64[np.ndarray, " label"]]:
    if choice != "stored":
        split = "tune" if choice == "tune" else "test"
        return {level: choose_thresholds(samples[split]) for level, samples in levels.items()}
    stored = Thresholds.read(model_folder, prompts=prompts)
    chosen = {}
    for level in levels:
        # A model tuned on single reconstructions has none for their means; theirs come nearest.
        values = stored.levels.get(level, stored.levels["reconstruction"])
        absent = [name for name in names if name not in values]
        if absent:
            raise CheckpointError(
                f"the model has no thresholds for {', '.join(absent)}",
                mend="evaluate it on tuning scans with these labels first, or leave them out",
                where=FILE_NAME,
            )
        chosen[level] = np.array(
            [np.nan if values[name] is None else values[name] for name in names], np.float64
        )
    return chosen


def _keep(
    chosen: dict[Level, Float64[np.ndarray, " label"]],
    names: Sequence[str],
    model_folder: Path,
    prompts: Prompts,
    kind: Kind,
) -> None:
    levels = {
        level: {
            name: None if np.isnan(value) else float(value)
            for name, value in zip(names, values, strict=True)
        }
        for level, values in chosen.items()
    }
    Thresholds(prompts=prompts, store_kind=kind, levels=levels).write(model_folder)


def _bytes_per_volume(store: VolumeStore, scan_ids: Sequence[str]) -> float:
    return sum(store.shard_bytes(scan_ids)) / len(scan_ids)


def _encode_csv(
    rows: Sequence[ScanRow],
    names: Sequence[str],
    scores: Float64[np.ndarray, "scan label"],
) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["scan_id", "patient_id", "study_id", "split", *names])
    for row, values in zip(rows, scores.tolist(), strict=True):
        writer.writerow([row.scan_id, row.patient_id, row.study_id or "", row.split, *values])
    return text.getvalue().encode("utf-8")
