"""`ctlite`: stores and tables to checkpoints and scores, a function a verb."""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from cli.errors import mendable
from cli.options import DryRun, Json, Verbose, Version, start_logging

app = typer.Typer(
    name="ctlite",
    help="Train vision-language models on small stores of chest CT, and score them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    # Boxes take as long to load as all the rest of a page of help.
    rich_markup_mode=None,
)


BatchSize = Annotated[int, typer.Option(min=1, help="Volumes encoded at once.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]


@app.callback()
def root(version: Version = False) -> None:
    """Train vision-language models on small stores of chest CT, and score them."""


@app.command()
def train(
    recipe: Annotated[str, typer.Argument(help="A shipped recipe's name, or a TOML file.")],
    out: Annotated[
        Path | None, typer.Option(help="Run folder. [default: the recipe's `out`]")
    ] = None,
    override: Annotated[
        list[str] | None, typer.Option("--set", help="Override, such as optimizer.lr=3e-4.")
    ] = None,
    dry_run: DryRun = False,
    as_json: Json = False,
    verbose: Verbose = 0,
) -> None:
    """Train one stage: what the recipe says, and no more.

    Run it again to go on where it was cut short.

    Example: ctlite train demo-fast --out runs/fast --set data.batch_size=8
    """
    start_logging(verbose)
    with mendable():
        from cli.training import show_plan, show_training
        from ctlite.recipe import load_recipe

        resolved = load_recipe(recipe, override or [])
        run = out or Path(resolved.out)
        if dry_run:
            show_plan(resolved, as_json=as_json)
        else:
            show_training(resolved, run, as_json=as_json)


@app.command("convert-teacher")
def convert_teacher(
    checkpoint: Annotated[
        str,
        typer.Argument(
            help="CT-CLIP checkpoint: a file, a folder with one, or owner/name[:file] in the "
            "Hugging Face Hub's local cache."
        ),
    ],
    out: Annotated[Path, typer.Argument(help="Model folder to write.")],
    tokenizer: Annotated[
        str | None,
        typer.Option(
            help="Folder with the text encoder's tokenizer, or owner/name in the local cache. "
            "[default: microsoft/BiomedVLP-CXR-BERT-specialized]"
        ),
    ] = None,
    grid: Annotated[
        str, typer.Option(help="Grid the weights were trained on: a name or TOML file.")
    ] = "ct-clip",
    hu_range: Annotated[
        tuple[float, float] | None,
        typer.Option(
            metavar="LOW HIGH",
            help="HU that become -1 and 1. [default: -1000 200 for v1, -1000 1000 for v2]",
        ),
    ] = None,
    dry_run: DryRun = False,
    as_json: Json = False,
    verbose: Verbose = 0,
) -> None:
    """Make a CT-CLIP checkpoint, v1 or v2, into a model folder for train and eval.

    Downloads nothing, and runs nothing that is in the checkpoint.

    Example: ctlite convert-teacher CT_CLIP_zeroshot.pt models/ct-clip-v1
    """
    start_logging(verbose)
    with mendable():
        from cli.teacher import show_conversion
        from ctlite.convert_teacher import read_teacher
        from ctlite.models.reference_text import CXR_BERT
        from ctprep.store.grids import load_grid

        teacher = read_teacher(
            checkpoint, grid=load_grid(grid), tokenizer=tokenizer or CXR_BERT, hu_range=hu_range
        )
        show_conversion(teacher, out, dry_run=dry_run, as_json=as_json)


@app.command()
def factorize(
    model: Annotated[
        Path, typer.Argument(help="Run or model folder whose projection is a dense one.")
    ],
    out: Annotated[Path, typer.Argument(help="Model folder to write, or to finish.")],
    rank: Annotated[int, typer.Option(min=1, help="Of the SFP; the paper's is 6.")] = 6,
    method: Annotated[
        Literal["svd", "whole-block"],
        typer.Option(help="svd of every slice, the nearest; or the paper's literal reading."),
    ] = "svd",
    dry_run: DryRun = False,
    as_json: Json = False,
    verbose: Verbose = 0,
) -> None:
    """Give a model an SFP in place of its dense projection, in little memory.

    Training's stage sfp does the same by itself at every start; a folder made here it takes as it
    is.

    Example: ctlite factorize runs/fast models/fast-rank6 --rank 6
    """
    start_logging(verbose)
    with mendable():
        from cli.factorize import show_factorization
        from ctlite.factorize_model import Factorization

        work = Factorization(model, out, rank, method)
        show_factorization(work, out, dry_run=dry_run, as_json=as_json)


@app.command("eval")
def evaluate(
    run: Annotated[
        Path, typer.Argument(help="Run folder with a trained model, or a model folder.")
    ],
    labels: Annotated[Path, typer.Option(help="CSV with scan_id and one 0/1 column a label.")],
    scans: Annotated[Path, typer.Option(help="CSV with scan_id, patient_id, split and path.")],
    store: Annotated[
        str | None,
        typer.Option(
            help="Store to score, a folder or s3://bucket/path. [default: the one trained on]"
        ),
    ] = None,
    thresholds: Annotated[
        Literal["tune", "stored", "same-set"],
        typer.Option(
            help="Where thresholds come from: tune (the tuning split), stored (the model's own) "
            "or same-set (the test scans themselves, which flatters F1 and accuracy)."
        ),
    ] = "tune",
    prompts: Annotated[
        tuple[str, str], typer.Option(help="Templates of present and absent, with {label}.")
    ] = ("{label}", "no {label}"),
    dataset: Annotated[
        str | None,
        typer.Option(
            help="Score what the paper evaluates on it, from its own columns: ct_rate (12 labels), "
            "nidch (8), rad_chestct (11), or a TOML file. [default: every column]"
        ),
    ] = None,
    batch_size: BatchSize = 1,
    device: Device = "auto",
    as_json: Json = False,
    verbose: Verbose = 0,
) -> None:
    """Score a model zero-shot: AUROC, weighted F1, accuracy, with 95 % intervals by patient.

    Example: ctlite eval runs/sfp --store q90.zarr --scans scans.csv --labels labels.csv
    """
    start_logging(verbose)
    with mendable():
        from cli.progress import progress_bar
        from cli.scores import show_scores
        from ctlite.evaluate.evaluate import evaluate_run
        from ctlite.trainer import choose_device
        from ctprep.store.manifest import Prompts

        with progress_bar() as progress:
            task = progress.add_task(f"eval {run.name}", total=None)
            scores = evaluate_run(
                run,
                labels=labels,
                scans=scans,
                store=store,
                dataset=dataset,
                prompts=Prompts(positive=prompts[0], negative=prompts[1]),
                thresholds=thresholds,
                batch_size=batch_size,
                device=choose_device(device),
                on_scan=lambda _: progress.advance(task),
            )
        show_scores(scores, as_json=as_json)


@app.command()
def compare(
    runs: Annotated[list[Path], typer.Argument(help="Run folders that were evaluated.")],
    as_json: Json = False,
) -> None:
    """Put the scores of several runs into one table.

    Example: ctlite compare runs/teacher runs/sfp
    """
    with mendable():
        from dataclasses import asdict

        from cli.scores import show_comparison
        from ctlite.evaluate.comparison import compare_runs
        from ctlite.evaluate.scores import Interval

        rows = compare_runs(runs)
        if as_json:
            for row in rows:
                typer.echo(json.dumps(asdict(row), default=Interval.model_dump))
        else:
            show_comparison(rows)


@app.command()
def experiment(
    name: Annotated[
        str,
        typer.Argument(
            help="loss-ablation, rank-sweep, comparison, quality-sweep or encode-order."
        ),
    ],
    out: Annotated[
        Path, typer.Option(help="Folder of all experiments: corpus, runs, results.")
    ] = Path("experiments"),
    scale: Annotated[
        Literal["phantom", "paper"],
        typer.Option(help="phantom: a synthetic corpus, made if missing."),
    ] = "phantom",
    seeds: Annotated[int, typer.Option(min=1, help="How often each run is made.")] = 4,
    override: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="Override of all recipes, schedule.steps=9; of a role's, fast:schedule.steps=9; "
            "or of the corpus, corpus.labels=my.csv.",
        ),
    ] = None,
    device: Device = "auto",
    dry_run: DryRun = False,
    as_json: Json = False,
    verbose: Verbose = 0,
) -> None:
    """Do an experiment of the paper: every arm, every seed, one table and one picture.

    Run it again to go on where it was cut short; finished runs are kept, also for other
    experiments. Models are scored on --device, and trained on that of their recipes. Results are
    in OUT/NAME.

    Example: ctlite experiment loss-ablation --out experiments --seeds 4
    """
    start_logging(verbose)
    with mendable():
        from cli.experiment import show_experiment, show_plan
        from ctlite.experiments.corpus import find_corpus
        from ctlite.experiments.definition import load_experiment
        from ctlite.experiments.plan import plan_experiment

        overrides = override or []
        corpus = find_corpus(scale, out, overrides)
        plan = plan_experiment(
            load_experiment(name), scale, corpus, out, seeds=seeds, overrides=overrides
        )
        if dry_run:
            show_plan(plan, as_json=as_json)
        else:
            show_experiment(plan, out / name, device=device, as_json=as_json)


Model = Annotated[Path, typer.Argument(help="Run folder with a trained model, or its model/.")]
Source = Annotated[
    str,
    typer.Argument(
        help="Folder or file with scans (DICOM, NIfTI, ...), a store, a volume of one, or s3://."
    ),
]
Tolerant = Annotated[bool, typer.Option("--tolerant", help="Mend what can be mended in SOURCE.")]


@app.command()
def predict(
    model: Model,
    source: Source,
    label: Annotated[
        list[str] | None,
        typer.Option(
            help="What to look for; may come several times. [default: the model's labels]"
        ),
    ] = None,
    batch_size: BatchSize = 1,
    device: Device = "auto",
    tolerant: Tolerant = False,
    as_json: Json = False,
    verbose: Verbose = 0,
) -> None:
    """Score findings in scans that have no labels, zero-shot; for research only.

    Scans are read, resampled, windowed and compressed as those were that the model learned from.
    Exits with 3 when something was refused.

    Example: ctlite predict runs/sfp patient/ --label "pleural effusion"
    """
    start_logging(verbose)
    with mendable():
        from cli.predict import open_scans, show_predictions
        from ctlite.predictor import Predictor
        from ctlite.trainer import choose_device

        predictor = Predictor(model, device=choose_device(device))
        with open_scans(source, predictor.preprocessing, tolerant=tolerant) as scans:
            show_predictions(predictor, scans, labels=label, batch_size=batch_size, as_json=as_json)


@app.command()
def embed(
    model: Model,
    source: Source,
    out: Annotated[Path, typer.Argument(help="NPZ file to write: names, latents.")],
    batch_size: BatchSize = 1,
    device: Device = "auto",
    tolerant: Tolerant = False,
    verbose: Verbose = 0,
) -> None:
    """Write the image latents of scans, unit vectors of the space shared with reports.

    Example: ctlite embed runs/sfp stores/q90.zarr latents.npz
    """
    start_logging(verbose)
    with mendable():
        from cli.predict import check_latents, open_scans, save_latents
        from ctlite.predictor import Predictor
        from ctlite.trainer import choose_device

        check_latents(out)
        predictor = Predictor(model, device=choose_device(device))
        with open_scans(source, predictor.preprocessing, tolerant=tolerant) as scans:
            save_latents(predictor, scans, out, batch_size=batch_size)


@app.command("export-onnx")
def export_onnx(
    model: Model,
    out: Annotated[Path, typer.Argument(help="ONNX file to write; its weights go beside it.")],
    label: Annotated[
        list[str] | None,
        typer.Option(help="Label whose direction is told; may come several times. [default: 12]"),
    ] = None,
    batch_size: BatchSize = 1,
    verbose: Verbose = 0,
) -> None:
    """Write the image tower for programs without torch, checked by onnxruntime.

    It takes voxels as they are stored and gives latents; OUT.json tells the preprocessing, and
    the direction of each label, whose dot product with a latent is the label's score.

    Example: ctlite export-onnx runs/sfp ct-lite.onnx
    """
    start_logging(verbose)
    with mendable():
        from ctlite import export
        from ctlite.predictor import Predictor
        from ctprep.store.labels import CT_LITE_LABELS

        export.check_out(out)
        loaded = Predictor(model).model
        difference = export.export_onnx(loaded, out, batch_size=batch_size)
        export.write_description(loaded, out, label or CT_LITE_LABELS)
        typer.echo(f"{out}: latents differ from torch's by at most {difference:.1g}")


def main() -> None:
    """Run the command line."""
    app()
