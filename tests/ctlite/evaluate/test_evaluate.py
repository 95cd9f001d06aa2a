"""From a run folder to scores on disk, with a tiny model of random weights."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import obstore
import pytest
import sklearn.metrics as oracle
import torch

from ctlite.data.volumes import to_video
from ctlite.evaluate.comparison import compare_runs
from ctlite.evaluate.embed import embed_scans, input_hu_range
from ctlite.evaluate.evaluate import evaluate_run
from ctlite.evaluate.metrics import youden_threshold
from ctlite.evaluate.scores import Scores
from ctlite.evaluate.zero_shot import CT_CLIP_PROMPTS
from ctlite.models.config import ModelConfig, Preprocessing, VisionConfig
from ctlite.models.ct_clip import CtClip
from ctlite.models.text_encoder import build_small_bert
from ctprep.store.attributes import LUNG, Kind
from ctprep.store.errors import CheckpointError, RecipeError, StoreMismatchError, TableError
from ctprep.store.manifest import load_manifest
from ctprep.store.store import VolumeStore

MakeStore = Callable[..., VolumeStore]
SCANS = [f"s{index:02}" for index in range(16)]
LABELS = ["Emphysema", "Lung nodule"]


def build_model(store: VolumeStore, kind: Kind) -> CtClip:
    """A model of random weights on the grid of a store."""
    torch.manual_seed(0)
    config = ModelConfig(
        vision=VisionConfig(
            image_size=(24, 16),
            frames=8,
            patch_size=8,
            temporal_patch_size=4,
            dim=16,
            codebook_size=16,
            spatial_depth=1,
            temporal_depth=1,
            dim_head=8,
            heads=2,
        ),
        latent_dim=8,
        pooling="mean",
        preprocessing=Preprocessing(
            kind=kind,
            grid=store.attributes.grid,
            hu_range=(-1000.0, 1000.0) if kind == "hifi" else None,
            window=LUNG if kind == "jpeg" else None,
        ),
    )
    text = build_small_bert(["emphysema no lung nodule"], width=16, layers=1)
    return CtClip(config, text).eval()


@pytest.fixture
def run(make_store: MakeStore, tmp_path: Path) -> Path:
    """A run with a model of gray levels, its store, and tables of 16 scans of 12 patients."""
    store = make_store("jpeg", SCANS)
    folder = tmp_path / "run"
    build_model(store, "jpeg").save_pretrained(folder / "model")
    (folder / "recipe.toml").write_text(f'[data]\njpeg_store = "{store.path}"\n')
    write_tables(tmp_path)
    return folder


def write_tables(folder: Path, *, tune: int = 8, studies: bool = True) -> None:
    """Scan and label table; scans 8 and 9, 10 and 11 are of one study and patient."""
    with (folder / "scans.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["scan_id", "patient_id", "split", "path"] + ["study_id"] * studies)
        for index, scan_id in enumerate(SCANS):
            person = index // 2 * 2 if 8 <= index < 12 else index
            row = [scan_id, f"p{person}", "tune" if index < tune else "test", scan_id]
            writer.writerow(row + [f"study{person}"] * studies)
    with (folder / "labels.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["scan_id", *LABELS])
        for index, scan_id in enumerate(SCANS):
            writer.writerow([scan_id, index // 2 % 2, "" if index == 15 else int(index % 8 > 3)])


def evaluate(run: Path, **options: object) -> Scores:
    """Evaluate with the tables beside the run."""
    tables = {"labels": run.parent / "labels.csv", "scans": run.parent / "scans.csv"}
    return evaluate_run(run, **{"resamples": 50, **tables, **options})


def test_scores_are_cosine_differences_and_metrics_follow(run: Path) -> None:
    """Each score is worked out anew, and each metric by scikit-learn from the CSV."""
    seen: list[str] = []
    found = evaluate(run, on_scan=seen.append, batch_size=3)

    with (run / "eval" / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["scan_id"] for row in rows] == seen == SCANS
    model = CtClip.from_pretrained(run / "model")
    gray = torch.from_numpy(VolumeStore.open(run.parent / "jpeg.zarr").read("s03"))[None]
    video = to_video(gray, hu_range=None, stored_orientation="SPL", model_orientation="SLP")
    texts = model.tokenizer(["emphysema", "no emphysema"], padding=True, return_tensors="pt")
    with torch.inference_mode():
        cosines = (
            model.encode_image(video)
            @ model.encode_text(texts["input_ids"], texts["attention_mask"]).T
        )
    expected = float(cosines[0, 0] - cosines[0, 1])
    assert float(rows[3]["Emphysema"]) == pytest.approx(expected, abs=1e-6)

    every = np.array([float(row["Emphysema"]) for row in rows])
    scores, truth = every[8:], np.array([index // 2 % 2 for index in range(8, 16)])
    label = found.levels["reconstruction"].labels["Emphysema"]
    assert label.threshold is not None
    assert label.threshold == youden_threshold(every[:8], truth.astype(float))[0]
    assert label.threshold != youden_threshold(scores, truth.astype(float))[0]
    assert label.auroc.value == pytest.approx(oracle.roc_auc_score(truth, scores))
    assert label.accuracy.value == pytest.approx(np.mean((scores > label.threshold) == truth))
    assert found.levels["reconstruction"].labels["Lung nodule"].missing == 1


def test_labels_of_a_data_set_by_study(run: Path, tmp_path: Path) -> None:
    """RAD-ChestCT's columns, a row a study: scored under the names that the prompts take."""
    names = [label.name for label in load_manifest("rad_chestct").labels]
    studies = [f"study{n // 2 * 2 if 8 <= n < 12 else n}" for n in range(len(SCANS))]
    rows = {study: [str(n // 2 % 2)] * len(names) for n, study in enumerate(studies)}
    lines = [",".join(("AccessionNo", *names)), *(",".join((k, *v)) for k, v in rows.items())]
    (tmp_path / "by_study.csv").write_text("\n".join(lines) + "\n")

    found = evaluate(run, labels=tmp_path / "by_study.csv", dataset="rad_chestct")

    assert tuple(found.levels["reconstruction"].labels) == load_manifest("rad_chestct").evaluated
    label = found.levels["reconstruction"].labels["Emphysema"]
    assert (label.positives, label.negatives) == (4, 4)
    with pytest.raises(TableError, match="no column 'cardiomegaly' or 'Cardiomegaly'"):
        evaluate(run, dataset="rad_chestct")


def test_labels_of_a_training_scan_are_no_study_s(run: Path) -> None:
    """Scan s99 trains; the test scan of study S99 does not get its labels."""
    scans = (run.parent / "scans.csv").read_text()
    (run.parent / "scans.csv").write_text(
        scans.replace("study15", "S99") + "s99,p99,train,s99.nii.gz,study99\n"
    )
    labels = (run.parent / "labels.csv").read_text()
    (run.parent / "labels.csv").write_text(labels.replace("s15", "s99"))

    with pytest.raises(TableError, match="'s15' has no row of its own, and its study is") as got:
        evaluate(run)

    assert got.value.where == "labels.csv"


def test_what_is_written_can_be_read_again(run: Path) -> None:
    """`metrics.json` is whole, and says what it was made with."""
    found = evaluate(run, prompts=CT_CLIP_PROMPTS, seed=4)

    assert Scores.read(run / "eval" / "metrics.json") == found
    assert (found.run, found.store, found.store_kind) == ("run", "jpeg.zarr", "jpeg")
    assert found.head_parameters == 3 * 2 * 16 * 8
    assert found.prompts.positive == "{label} is present."
    shards = [
        path.stat().st_size
        for path in (run.parent / "jpeg.zarr").rglob("*")
        if path.is_file() and path.suffix != ".json"
    ]
    assert found.bytes_per_volume == pytest.approx(sum(shards) / 16)
    assert (found.levels["scan"].units, found.levels["scan"].patients) == (6, 6)
    assert found.levels["reconstruction"].units == 8


def test_thresholds_come_from_tuning_scans_and_stay_with_the_model(run: Path) -> None:
    """Test scans alone can be scored later with the stored thresholds, and only with those."""
    first = evaluate(run)
    write_tables(run.parent, tune=0)

    stored = evaluate(run, thresholds="stored")
    same_set = evaluate(run, thresholds="same-set")

    def chosen(scores: Scores) -> list[float | None]:
        return [label.threshold for label in scores.levels["reconstruction"].labels.values()]

    assert chosen(stored) == chosen(first)
    assert chosen(same_set) != chosen(first)
    assert same_set.thresholds == "same-set"
    with pytest.raises(TableError, match="no tune scans"):
        evaluate(run)
    with pytest.raises(CheckpointError, match="hold for prompts"):
        evaluate(run, thresholds="stored", prompts=CT_CLIP_PROMPTS)
    (run / "model" / "thresholds.json").unlink()
    with pytest.raises(CheckpointError, match="cannot be read"):
        evaluate(run, thresholds="stored")


def test_either_store_can_be_scored(run: Path, make_store: MakeStore) -> None:
    """Clean volumes are cut to the window of a model of gray levels."""
    hifi = make_store("hifi", SCANS)
    model = CtClip.from_pretrained(run / "model")

    found = evaluate(run, store=hifi.path)

    assert found.store_kind == "hifi"
    assert input_hu_range(model, hifi.attributes) == (-1350, 150)
    assert input_hu_range(build_model(hifi, "hifi"), hifi.attributes) == (-1000, 1000)
    jpeg = VolumeStore.open(run.parent / "jpeg.zarr")
    assert input_hu_range(build_model(hifi, "hifi"), jpeg.attributes) is None


def test_embedding_is_the_same_in_any_batches(run: Path) -> None:
    """Latents do not depend on the batch, and come in the order asked for."""
    model = CtClip.from_pretrained(run / "model")
    store = VolumeStore.open(run.parent / "jpeg.zarr")
    wanted = ("s05", "s01", "s03")

    one = list(embed_scans(model, store, wanted))
    all_at_once = list(embed_scans(model, store, wanted, batch_size=3))

    assert [scan_ids for scan_ids, _ in one] == [("s05",), ("s01",), ("s03",)]
    assert all_at_once[0][0] == wanted
    together = torch.cat([latents for _, latents in one])
    torch.testing.assert_close(together, all_at_once[0][1], atol=1e-5, rtol=0)


def test_runs_are_compared_on_the_same_scans_only(run: Path, tmp_path: Path) -> None:
    """Rows hold what the paper's table holds; different test sets are refused."""
    evaluate(run)
    other = tmp_path / "other"
    (other / "eval").mkdir(parents=True)
    scores = json.loads((run / "eval" / "metrics.json").read_text())
    (other / "eval" / "metrics.json").write_text(json.dumps(scores | {"run": "other"}))

    rows = compare_runs([run, other])

    assert [row.run for row in rows] == ["run", "other"]
    assert rows[0].head_parameters == 3 * 2 * 16 * 8
    assert rows[0].auroc == rows[1].auroc
    scores["levels"]["reconstruction"]["labels"]["Emphysema"]["positives"] += 1
    (other / "eval" / "metrics.json").write_text(json.dumps(scores))
    with pytest.raises(TableError, match="different scans or labels"):
        compare_runs([run, other])
    with pytest.raises(TableError, match="scores cannot be read"):
        compare_runs([tmp_path / "nowhere"])


def test_inputs_that_do_not_fit_are_refused(run: Path, make_store: MakeStore) -> None:
    """Another grid, unknown labels, unlabeled scans, no store, weights that hold NaN."""
    other = make_store("jpeg", SCANS, shape=(8, 16, 32), name="other.zarr")
    with pytest.raises(StoreMismatchError, match="shape is"):
        evaluate(run, store=other.path)
    with pytest.raises(TableError, match=r"lacks the labels \[Mass\]"):
        evaluate(run, label_names=["Mass"])
    (run / "recipe.toml").unlink()
    with pytest.raises(RecipeError, match="names no jpeg store"):
        evaluate(run)
    store = run.parent / "jpeg.zarr"
    model = CtClip.from_pretrained(run / "model")
    torch.nn.init.constant_(model.to_text_latent.weight, float("nan"))
    model.save_pretrained(run / "model")
    with pytest.raises(CheckpointError, match="16 scans are not finite"):
        evaluate(run, store=store)
    (run.parent / "labels.csv").write_text("scan_id,Emphysema\ns00,1\n")
    with pytest.raises(TableError, match=r"15 scans, the first being \[s01"):
        evaluate(run, store=store)


def test_scores_from_a_bucket_are_those_from_a_folder(run: Path, bucket: str) -> None:
    """Down to the bytes a volume, which are those of its shard."""
    tables = {"labels": run.parent / "labels.csv", "scans": run.parent / "scans.csv"}
    here = evaluate_run(run, resamples=20, **tables)
    target = obstore.store.from_url(bucket)
    for path in (run.parent / "jpeg.zarr").rglob("*"):
        if path.is_file():
            target.put(path.relative_to(run.parent).as_posix(), path.read_bytes())

    there = evaluate_run(run, store=f"{bucket}/jpeg.zarr", resamples=20, **tables)

    assert there == here
    shards = list((run.parent / "jpeg.zarr").glob("*/0/c/0/0/0"))
    assert there.bytes_per_volume == sum(path.stat().st_size for path in shards) / len(shards)
