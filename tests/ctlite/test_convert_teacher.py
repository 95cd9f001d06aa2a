"""A published checkpoint becomes a model folder, number for number, that trains and scores."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ctlite.convert_teacher import Teacher, check_out, read_teacher, write_teacher
from ctlite.evaluate.evaluate import evaluate_run
from ctlite.models.config import ModelConfig
from ctlite.models.ct_clip import CtClip
from ctlite.models.reference_weights import is_dead
from ctlite.recipe import load_recipe
from ctlite.stages.stage import Setup
from ctprep.store.attributes import GRIDS, LUNG, Grid, StoreAttributes
from ctprep.store.errors import CheckpointError, PlaceError
from ctprep.store.tables import read_scans
from tests.ctlite.published import (
    FULL,
    FULL_VOCABULARY,
    WORDS,
    early_extras,
    published_state,
    write_tokenizer,
)
from tests.ctlite.test_bad_runs import small_files

GRID = GRIDS["ct-clip"]
RECIPES = {"v1": "paper-fast", "v2": "ct-clip-v2-fast"}
SMALL = {"hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 2}


@pytest.fixture
def tokenizer(tmp_path: Path) -> str:
    """Folder of a tokenizer."""
    return str(write_tokenizer(tmp_path / "words"))


def convert(path: Path, out: Path, tokenizer: str, grid: Grid = GRID, **options: object) -> Teacher:
    """Read and write in one."""
    teacher = read_teacher(str(path), grid=grid, tokenizer=tokenizer, **options)
    assert sum(write_teacher(teacher, out)) == teacher.work_bytes
    return teacher


def save(path: Path, state: object, layout: str = "zip") -> Path:
    """Save in one of the layouts that weights are given in."""
    if layout == "safetensors":
        path = path.with_suffix(".safetensors")
        save_file(state, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=layout == "zip")
    return path


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("layout", ["zip", "legacy", "safetensors"])
def test_every_living_number_is_kept(
    version: str, layout: str, tmp_path: Path, tokenizer: str
) -> None:
    """Bit for bit, in each layout; the dead are left out by name and listed."""
    state = published_state(version)
    if version == "v1":
        state |= early_extras()
    path = save(tmp_path / "CT-CLIP.pt", state, layout)
    teacher = convert(path, tmp_path / "out", tokenizer)
    found = load_file(tmp_path / "out" / "model.safetensors")
    config = ModelConfig.read(tmp_path / "out")

    dead = {name for name in state if is_dead(name)}
    assert len(dead) == 36 - 1 + 2 + 2 + 1 + (4 if version == "v1" else 0)
    assert teacher.left_out.keys() == dead
    assert found.keys() == state.keys() - dead
    assert all(torch.equal(found[name], state[name]) for name in found)
    assert config.origin is not None
    assert config.origin.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (config.origin.name, config.origin.file) == (f"CT-CLIP {version}", path.name)
    assert (config.origin.license, config.origin.text_encoder) == ("CC-BY-NC-SA-4.0", "words")
    card = (tmp_path / "out" / "README.md").read_text()
    assert "\nlicense: cc-by-nc-sa-4.0\n---\n" in card
    assert "which keep their licence, CC-BY-NC-SA-4.0" in card


def test_the_folder_loads_alone(tmp_path: Path, tokenizer: str) -> None:
    """Its tokenizer lies in it, and nothing in it tells where it was made."""
    state = published_state("v2")
    convert(save(tmp_path / "CT-CLIP_v2.pt", state), tmp_path / "out", tokenizer)
    shutil.rmtree(tokenizer)
    model = CtClip.from_pretrained(tmp_path / "out")
    own = model.state_dict()

    assert all(torch.equal(own[name], state[name]) for name in own)
    ids = model.tokenizer("No NODULE.")["input_ids"]
    assert [WORDS[number] for number in ids] == ["[CLS]", "no", "nodule", ".", "[SEP]"]
    texts = [path for path in (tmp_path / "out").rglob("*") if path.suffix in (".json", ".md")]
    assert len(texts) >= 4
    for path in texts:
        assert str(tmp_path) not in path.read_text()
        assert "auto_map" not in path.read_text()


@pytest.mark.parametrize(("version", "pooling"), [("v1", "none"), ("v2", "mean")])
def test_tokens_and_latents_are_the_reference(
    version: str, pooling: str, golden: Path, tmp_path: Path, tokenizer: str
) -> None:
    """Golden: the small encoder and both heads, through the checkpoint and back."""
    values = load_file(golden / "ctclip_head.safetensors")
    state = {
        f"visual_transformer.{name}": tensor
        for name, tensor in load_file(golden / "ctvit_small.weights.safetensors").items()
    }
    for name in ("to_visual_latent.weight", "to_text_latent.weight", "temperature"):
        state[name] = values[f"{version}.{name}"]
    text = published_state("v2", **SMALL)
    state |= {name: text[name] for name in text if name.startswith("text_transformer.")}
    grid = Grid(name="small", spacing_mm=(1.5, 0.75, 0.75), shape=(30, 40, 40))
    path = save(tmp_path / "small.pt", {"model": state, "step": 7})
    teacher = convert(path, tmp_path / "out", tokenizer, grid, hu_range=(-1000.0, 1000.0))
    model = CtClip.from_pretrained(tmp_path / "out")
    io = load_file(golden / "ctvit_small.io.safetensors")
    video = load_file(golden / "ctvit_small.video.safetensors")["video"]
    with torch.inference_mode():
        output = model.visual_transformer.encode(video)
        latents = model.project_image(output.tokens)
        texts = model.project_text(values["text_hidden"][:, 0])

    assert teacher.notes == ("the weights lie under 'model'; left aside: step",)
    assert teacher.config.pooling == pooling
    torch.testing.assert_close(
        output.tokens_pre_codebook, io["tokens_pre_vq"], atol=5e-5, rtol=1e-5
    )
    assert torch.equal(output.tokens, io["tokens"])
    torch.testing.assert_close(latents, values[f"{version}.image_latents"], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(texts, values[f"{version}.text_latents"], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_the_shipped_recipe_builds_its_stage(version: str, tmp_path: Path, tokenizer: str) -> None:
    """FAST takes the folder as its teacher, and the student keeps where it comes from."""
    state = published_state(version)
    convert(save(tmp_path / "CT-CLIP.pt", state), tmp_path / "teacher", tokenizer)
    recipe = load_recipe(RECIPES[version], [f"init.from={tmp_path / 'teacher'}"])
    assert recipe.init is not None
    gray = {"window": LUNG, "quality": 90, "encode_at": "resampled"}
    setup = Setup(
        model=recipe.model,
        init=recipe.init.source,
        hifi=StoreAttributes(kind="hifi", grid=GRID),
        jpeg=StoreAttributes(kind="jpeg", grid=GRID, **gray),
    )
    stage = recipe.stage.build(setup)
    own = stage.model.state_dict()

    assert torch.equal(own["to_visual_latent.weight"], state["to_visual_latent.weight"])
    assert stage.model.config.preprocessing.kind == "jpeg"
    assert stage.model.config.origin is not None
    assert stage.model.config.origin.license == "CC-BY-NC-SA-4.0"


def test_it_trains_and_scores_on_a_store(tmp_path: Path, tokenizer: str, toy_corpus: Path) -> None:
    """One step of FAST with the teacher, then `eval` of the teacher's folder and of the student."""
    from ctlite.trainer import train

    state = published_state("v2", num_hidden_layers=1)
    shrink = {"to_patch_emb.1.weight": 64, "to_patch_emb.1.bias": 64}
    state = {name: tensor for name, tensor in state.items() if "first_frame" not in name}
    for name, voxels in shrink.items():
        state[f"visual_transformer.{name}"] = torch.ones(voxels)
    state["visual_transformer.to_patch_emb.2.weight"] = torch.randn(16, 64)
    for extra in ("", "_extra"):
        state[f"to_visual_latent{extra}.weight"] = torch.randn(16, 4 * 16)
    grid = Grid(name="toy", spacing_mm=(6, 4, 4), shape=(8, 16, 16))
    path = save(tmp_path / "toy.pt", state)
    teacher = tmp_path / "teacher"
    convert(path, teacher, tokenizer, grid, hu_range=(-1000.0, 1000.0))
    sets = [
        f"init.from={teacher}",
        f"data.hifi_store={toy_corpus / 'hifi.zarr'}",
        f"data.jpeg_store={toy_corpus / 'q90.zarr'}",
        f"data.scans={toy_corpus / 'scans.csv'}",
        "schedule.steps=1",
        "schedule.warmup_steps=0",
        "stage.calibration_batches=1",
        "precision=float32",
        "device=cpu",
    ]
    list(train(load_recipe("paper-fast", sets), tmp_path / "run"))
    rows = read_scans(toy_corpus / "scans.csv")
    scans, labels = tmp_path / "scans.csv", tmp_path / "labels.csv"
    lines = [f"{row.scan_id},{row.patient_id},test,{row.path}" for row in rows]
    scans.write_text("\n".join(["scan_id,patient_id,split,path", *lines]) + "\n")
    marks = [f"{row.scan_id},{number % 2}" for number, row in enumerate(rows)]
    labels.write_text("\n".join(["scan_id,Emphysema", *marks]) + "\n")
    for run, store in ((teacher, "hifi.zarr"), (tmp_path / "run", "q90.zarr")):
        scores = evaluate_run(
            run,
            labels=labels,
            scans=scans,
            store=toy_corpus / store,
            thresholds="same-set",
            resamples=10,
        )
        assert scores.head_parameters == 16 * 64
        assert (run / "eval" / "metrics.json").is_file()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda s: s.pop("temperature"), r"1 are missing, 0 unknown.* temperature +none +\(\)"),
        (
            lambda s: s.update({"visual_transformer.surprise": torch.zeros(3)}),
            r"1 unknown.*surprise +\(3,\) +none",
        ),
        (
            lambda s: s.update({"to_text_latent.weight": torch.zeros(16, 8)}),
            r"1 of another shape.*to_text_latent\n +weight +\(16, 8\) +\(16, 16\)",
        ),
        (
            lambda s: [s.pop(name) for name in list(s) if "temporal" in name and ".to_q" in name],
            r"4 are missing.*layers\.\*\.1\.to_q\.weight \(4 layers\)",
        ),
        (
            lambda s: s.update({"temperature": torch.tensor(1)}),
            r"no plain floating-point numbers: temperature \(torch\.int64\)",
        ),
    ],
    ids=["missing", "unknown", "shape", "layers", "integer"],
)
def test_what_does_not_fit_is_refused(change, told: str, tmp_path: Path, tokenizer: str) -> None:
    """Anything but the dead names, with both shapes and the file."""
    state = published_state("v2")
    change(state)
    path = save(tmp_path / "odd.pt", state)
    with pytest.raises(CheckpointError, match=f"(?s){told}") as caught:
        read_teacher(str(path), grid=GRID, tokenizer=tokenizer)

    assert caught.value.where == str(path)
    assert len(caught.value.what.splitlines()) <= 21


def test_a_model_folder_of_ours_is_not_converted_again(tmp_path: Path, tokenizer: str) -> None:
    """Its preprocessing would be lost."""
    convert(save(tmp_path / "CT-CLIP.pt", published_state("v2")), tmp_path / "out", tokenizer)
    with pytest.raises(CheckpointError, match="a model folder of ours already") as caught:
        read_teacher(str(tmp_path / "out"), grid=GRID, tokenizer=tokenizer)

    assert "init.from=" in caught.value.mend


def test_it_is_written_whole_or_not_at_all(
    tmp_path: Path, tokenizer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interrupt leaves nothing, a full disk is told before, and nothing is overwritten."""
    path = save(tmp_path / "CT-CLIP.pt", published_state("v2"))
    teacher = read_teacher(str(path), grid=GRID, tokenizer=tokenizer)
    before = sorted(tmp_path.iterdir())
    work = write_teacher(teacher, tmp_path / "out")
    next(work)
    assert sorted(tmp_path.iterdir()) != before
    work.close()
    assert sorted(tmp_path.iterdir()) == before
    with small_files(4000), pytest.raises(PlaceError) as caught:
        list(write_teacher(teacher, tmp_path / "out"))
    assert caught.value.where == "out"
    assert sorted(tmp_path.iterdir()) == before

    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("x")
    with pytest.raises(CheckpointError, match="something is there already"):
        next(write_teacher(teacher, tmp_path / "full"))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10**6))
    with pytest.raises(PlaceError, match=r"the weights need 4\.3 GB, and 0\.0 GB are free"):
        check_out(tmp_path / "new" / "deep", 4_294_967_296)
    assert sorted(tmp_path.iterdir()) == sorted([*before, tmp_path / "full"])


MEASURE = """
import resource, sys
from pathlib import Path
from ctlite.convert_teacher import read_teacher, write_teacher
from ctprep.store.attributes import GRIDS
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
teacher = read_teacher(sys.argv[1], grid=GRIDS["ct-clip"], tokenizer=sys.argv[2])
before = peak()
for _ in write_teacher(teacher, Path(sys.argv[3])):
    pass
print(before * 1024, peak() * 1024, teacher.weight_bytes)
"""


def needed(gigabytes: int, folder: Path) -> None:
    """Skip where memory or disk lacks."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
    if memory < 8e9 or shutil.disk_usage(folder).free < gigabytes * 1e9:
        pytest.skip(f"needs 8 GB of memory and {gigabytes} GB of disk")


@pytest.mark.slow
@pytest.mark.parametrize("version", ["v2", "v1"])
def test_at_full_size(version: str, tmp_path: Path) -> None:
    """The real names and shapes: bit for bit, and no weight in memory twice.

    Mapped pages of the checkpoint are counted by the peak, as the system does; so the peak may
    exceed the weights by what the program itself needs, not by a copy of them.
    """
    needed(12, tmp_path)
    words = WORDS + tuple(f"word{number}" for number in range(FULL_VOCABULARY - len(WORDS)))
    tokenizer = write_tokenizer(tmp_path / "words", words)
    (tokenizer / "config.json").unlink()
    path = tmp_path / "CT-CLIP.pt"
    _save_full(version, path)
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(path), str(tokenizer), str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=True,
    )
    before, peak, weights = map(int, done.stdout.split())
    assert peak < before + weights + 2**28, f"{before=} {peak=} {weights=}"
    _compare(path, tmp_path / "out" / "model.safetensors")
    for big in (path, tmp_path / "out" / "model.safetensors"):
        big.unlink()


def _save_full(version: str, path: Path) -> None:
    widths = {"dim": 512, "latent": 512, "codes": 8192, "vocabulary": FULL_VOCABULARY}
    state = published_state(version, share=True, **widths, **FULL)
    assert sum(name.startswith("text_transformer.") for name in state) == 199 + 1
    torch.save(state, path)


def _compare(path: Path, written: Path) -> None:
    before: dict[str, Tensor] = torch.load(path, mmap=True, weights_only=True)
    after = load_file(written)
    assert after.keys() == {name for name in before if not is_dead(name)}
    for name, tensor in after.items():
        assert torch.equal(tensor, before[name]), name
