"""What is no classifier of reports is refused in three lines, and nothing in it is run."""

import json
import logging
import os
import re
import shutil
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from cli import ctprep
from ctprep.reports.labels.build import LabelOptions, build_labeller
from ctprep.reports.labels.radbert import RadBertLabeller
from ctprep.store.errors import BackendError, CheckpointError, CtError, TableError
from ctprep.store.labels import CT_RATE_LABELS
from tests.ctprep.reports.tiny_radbert import (
    build_state,
    build_tokenizer,
    write_checkpoint,
    write_folder,
)


class Evil:
    """Makes a folder when unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder that loads."""
    return write_folder(tmp_path_factory.mktemp("folder") / "RadBERT-CT")


@pytest.fixture
def broken(folder: Path, tmp_path: Path) -> Path:
    """A copy of it to be broken."""
    return Path(shutil.copytree(folder, tmp_path / "broken"))


def _change_config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def _refused(model: Path, kind: type[CtError] = CheckpointError, **options: Any) -> str:
    with pytest.raises(kind) as caught:
        RadBertLabeller(str(model), **options)
    assert str(model.parent) not in str(caught.value.where)
    assert caught.value.mend
    return str(caught.value)


def test_keys_and_shapes_are_told_with_a_diff(tmp_path: Path) -> None:
    """A line for each that is missing, unknown or of another shape."""
    state = build_state()
    del state["model.encoder.layer.1.output.dense.bias"]
    state["strange"] = torch.zeros(3)
    state["model.pooler.dense.weight"] = torch.zeros(2, 128)

    told = _refused(write_checkpoint(tmp_path, state))

    assert "1 are missing, 1 unknown, 1 of another shape" in told
    assert "missing: model.encoder.layer.1.output.dense.bias (128,)" in told
    assert "unknown: strange (3,)" in told
    assert "model.pooler.dense.weight (2, 128), not (128, 128)" in told
    assert "where: RadBertClassifier.pth" in told


def test_a_long_diff_is_cut(tmp_path: Path) -> None:
    """Twelve lines, and how many more."""
    state = {name: tensor for name, tensor in build_state().items() if "layer.1.output" not in name}
    state |= {f"strange.{number}": torch.zeros(1) for number in range(20)}

    told = _refused(write_checkpoint(tmp_path, state))

    assert "4 are missing, 20 unknown" in told
    assert len(told.splitlines()) == 1 + 12 + 1 + 2
    assert "... and 12 more" in told


@pytest.mark.parametrize("labels", [2, 17])
def test_another_number_of_labels(tmp_path: Path, labels: int) -> None:
    """A checkpoint of another task."""
    told = _refused(write_checkpoint(tmp_path, build_state(labels=labels)))

    assert f"tells {labels} labels, and CT-RATE has 18" in told


def test_no_such_model(tmp_path: Path) -> None:
    """Another model's state dict, one too narrow for heads, and no mapping of tensors at all."""
    narrow = {
        name: tensor[..., :100] if tensor.ndim == 2 else tensor
        for name, tensor in build_state().items()
    }

    assert "no matrix model.embeddings.word_embeddings.weight" in _refused(
        write_checkpoint(tmp_path / "a", {"w": torch.zeros(2)})
    )
    assert "100 wide" in _refused(write_checkpoint(tmp_path / "b", narrow))
    assert "no plain mapping" in _refused(
        write_checkpoint(tmp_path / "c", {"state_dict": build_state()})  # type: ignore[dict-item]
    )
    assert "no such checkpoint" in _refused(tmp_path / "none.pth", BackendError)


def test_damaged_files(tmp_path: Path) -> None:
    """Text, nothing, and a half of either container."""
    whole = write_checkpoint(tmp_path).read_bytes()
    save_file(build_state(), tmp_path / "half.safetensors")
    half = (tmp_path / "half.safetensors").read_bytes()
    for name, content in {
        "text.pth": b"not a checkpoint",
        "empty.pth": b"",
        "half.pth": whole[: len(whole) // 2],
        "half.safetensors": half[: len(half) // 2],
    }.items():
        (tmp_path / name).write_bytes(content)

        assert "cannot be read" in _refused(tmp_path / name), name


@pytest.mark.parametrize("is_zip", [True, False])
def test_a_pickle_is_not_run(tmp_path: Path, is_zip: bool) -> None:
    """In neither of torch's layouts; what it asks for is named."""
    path, trace = tmp_path / "RadBertClassifier.pth", tmp_path / "trace"
    state = {**build_state(), "evil": Evil(trace)}
    torch.save(state, path, _use_new_zipfile_serialization=is_zip)

    told = _refused(path)

    assert not trace.exists()
    assert re.search(r"asks for code to be run, and was not loaded: \w+\.mkdir", told)


def test_an_archive_compressed_again(tmp_path: Path) -> None:
    """Is read whole: its bytes must not be mapped as numbers."""
    path = write_checkpoint(tmp_path)
    again = tmp_path / "again" / path.name
    again.parent.mkdir()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(again, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.namelist():
            new.writestr(entry, old.read(entry))
    labellers = [RadBertLabeller(str(file), tokenizer=str(tmp_path)) for file in (path, again)]

    one, other = (dict(labeller.judge(["A nodule."]))[0] for labeller in labellers)
    assert one == other


def test_a_pooler_asked_for_in_vain(tmp_path: Path, folder: Path) -> None:
    """A checkpoint without one; a folder, whose config tells."""
    bare = {name: tensor for name, tensor in build_state().items() if "pooler" not in name}

    assert "no pooler" in _refused(write_checkpoint(tmp_path, bare), pooling="pooler")
    assert "leave out --pooling" in _refused(folder, BackendError, pooling="first")


def test_tokenizers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """None, one of another size, one that is broken; the right one given by folder."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    path = write_checkpoint(tmp_path, tokenizer=False)
    larger, wrong = build_tokenizer(), tmp_path / "wrong"
    larger.add_tokens(["nodule"])
    larger.save_pretrained(tmp_path / "larger")
    wrong.mkdir()
    (wrong / "tokenizer.json").write_text("{}")

    assert "hf download zzxslp/RadBERT-RoBERTa-4m" in _refused(path, BackendError)
    assert "262 tokens" in _refused(path, BackendError, tokenizer=str(tmp_path / "larger"))
    assert "cannot be loaded" in _refused(path, BackendError, tokenizer=str(wrong))
    assert RadBertLabeller(str(path), tokenizer=str(folder)).length == 96


def test_the_tokenizer_of_the_base_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the local cache, in the files that it is published as."""
    repository = tmp_path / "models--zzxslp--RadBERT-RoBERTa-4m"
    snapshot = repository / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40)
    vocabulary = build_tokenizer().get_vocab()
    (snapshot / "vocab.json").write_text(json.dumps(vocabulary))
    (snapshot / "merges.txt").write_text("#version: 0.2\n")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    bare = write_checkpoint(tmp_path / "bare", tokenizer=False)
    beside = write_checkpoint(tmp_path / "beside")

    by_cache, by_file = (
        dict(RadBertLabeller(str(path)).judge(["A nodule.", "Ä 4.5 mm, <s>"]))
        for path in (bare, beside)
    )

    assert by_cache == by_file


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ([f"LABEL_{number}" for number in range(18)], "'LABEL_0' is none of CT-RATE's 18"),
        ([*CT_RATE_LABELS[:17], "Pneumothorax"], "'Pneumothorax' is none"),
        ([*CT_RATE_LABELS[:17], "Emphysema"], "without an output: Interlobular septal"),
        (CT_RATE_LABELS[:12], "tells 12 labels, and CT-RATE has 18"),
    ],
)
def test_names_of_a_folder(broken: Path, names: list[str], told: str) -> None:
    """Nothing is guessed about the order of outputs."""
    label2id = {name: number for number, name in enumerate(names)}
    _change_config(broken, id2label=dict(enumerate(names)), label2id=label2id)

    assert told in _refused(broken, BackendError)


def test_spelling_of_names(broken: Path) -> None:
    """Case, underscores and hyphens do not matter."""
    names = [name.lower().replace(" ", "_") for name in CT_RATE_LABELS]
    _change_config(broken, id2label=dict(enumerate(names)))

    judged = dict(RadBertLabeller(str(broken)).judge(["A nodule."]))[0]

    assert judged is not None
    assert tuple(judged.values) == CT_RATE_LABELS


def test_weights_of_a_folder(broken: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Never made up where they are missing; no advice of other libraries beside our error."""
    state = load_file(broken / "model.safetensors")
    del state["classifier.dense.weight"]
    state["classifier.out_proj.bias"] = torch.zeros(3)
    save_file({**state, "x": torch.zeros(1)}, broken / "model.safetensors", {"format": "pt"})

    logging.getLogger("transformers").addHandler(caplog.handler)
    try:
        told = _refused(broken)
    finally:
        logging.getLogger("transformers").removeHandler(caplog.handler)

    assert "missing: classifier.dense.weight" in told
    assert "unknown: x" in told
    assert "classifier.out_proj.bias (3,), not (18,)" in told
    assert "newly initialized" not in caplog.text


def test_damaged_folders(broken: Path, tmp_path: Path) -> None:
    """Half a file, a pickle in its place, a broken tokenizer, no config."""
    weights = broken / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    assert "cannot be loaded" in _refused(broken, BackendError)
    weights.unlink()
    torch.save(build_state(), broken / "pytorch_model.bin")
    assert "no file named model.safetensors" in _refused(broken, BackendError)
    torch.save({"evil": Evil(tmp_path / "trace")}, broken / "pytorch_model.bin")
    assert "cannot be loaded" in _refused(broken, BackendError)
    assert not (tmp_path / "trace").exists()
    weights.write_bytes(whole)
    (broken / "tokenizer.json").write_text("{}")
    assert "cannot be loaded" in _refused(broken, BackendError)
    (broken / "config.json").unlink()
    assert "cannot be loaded" in _refused(broken, BackendError)


def test_code_in_a_folder_is_not_run(broken: Path, tmp_path: Path) -> None:
    """Though its config asks for it."""
    (broken / "evil.py").write_text(f"import os\nos.mkdir({str(tmp_path / 'trace')!r})\n")
    _change_config(
        broken,
        auto_map={
            "AutoConfig": "evil.Config",
            "AutoModelForSequenceClassification": "evil.Model",
        },
    )

    RadBertLabeller(str(broken))

    assert not (tmp_path / "trace").exists()


def test_weights_that_are_no_numbers(tmp_path: Path) -> None:
    """Told at the first batch, not written as labels."""
    state = build_state()
    state["classifier.bias"][3] = float("nan")
    labeller = RadBertLabeller(str(write_checkpoint(tmp_path, state)))

    with pytest.raises(BackendError, match="no number"):
        list(labeller.judge(["A nodule."]))


def test_options_of_the_other_labeller(folder: Path) -> None:
    """Refused by name, so that none is ignored."""
    with pytest.raises(
        TableError, match="this labeller does not take --model, --probabilities, --windows"
    ):
        build_labeller("rules", LabelOptions(model="m", windows=True, probabilities=Path("p")))
    with pytest.raises(TableError, match="this labeller does not take --uncertain, --words"):
        build_labeller("radbert", LabelOptions(model=str(folder), uncertain="absent", words="w"))
    with pytest.raises(TableError, match="needs a model"):
        build_labeller("radbert")
    with pytest.raises(TableError, match="no labeller"):
        build_labeller("oracle")


def test_missing_libraries(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error tells how to install them."""
    monkeypatch.setitem(sys.modules, "transformers", None)

    with pytest.raises(BackendError, match="is not installed"):
        RadBertLabeller(str(folder))


def test_the_command(tmp_path: Path) -> None:
    """Three lines and exit code 1; one file for both tables is refused before any work."""
    reports = tmp_path / "raw.csv"
    reports.write_text("scan_id,report_text\na,A nodule.\n", encoding="utf-8")
    path = write_checkpoint(tmp_path)
    command = ["label-reports", str(reports), str(tmp_path / "l.csv"), "--backend", "radbert"]

    missing = CliRunner().invoke(ctprep.app, [*command, "--model", str(tmp_path / "no.pth")])
    same = CliRunner().invoke(
        ctprep.app,
        [*command, "--model", str(path), "--probabilities", str(tmp_path / "l.csv")],
    )

    assert missing.exit_code == same.exit_code == 1
    assert missing.output.splitlines()[0] == "error: there is no such checkpoint"
    assert len(missing.output.splitlines()) == 3
    assert "one file" in same.output
    assert not (tmp_path / "l.csv").exists()
