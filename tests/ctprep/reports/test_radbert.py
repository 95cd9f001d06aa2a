"""The classifier of reports: the published formula, from both formats, in any batch."""

import csv
import json
import logging
import math
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from cli import ctprep
from ctprep.reports.labels.labeller import Judgement
from ctprep.reports.labels.radbert import RadBertLabeller
from ctprep.store.errors import BackendError
from ctprep.store.labels import CT_RATE_LABELS
from ctprep.store.tables import read_labels
from tests.ctprep.reports.tiny_radbert import (
    LENGTH,
    build_state,
    build_tokenizer,
    write_checkpoint,
    write_folder,
)

TEXTS = (
    "A nodule is seen.",
    "Emphysema.",
    "No effusion. The heart is normal.",
    "A 4.5 mm nodule is seen in the right lung, and bronchiectasis.",
)
LONG = "A nodule is seen in the left lung. " * 9


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with a trained pooler."""
    return write_checkpoint(tmp_path_factory.mktemp("pooled"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same weights as a model folder, with its outputs the other way round."""
    return write_folder(tmp_path_factory.mktemp("folder") / "RadBERT-CT", CT_RATE_LABELS[::-1])


def _judge(labeller: RadBertLabeller, texts: Sequence[str]) -> list[Judgement]:
    told = dict(labeller.judge(texts))
    assert sorted(told) == list(range(len(texts)))
    judgements = [told[place] for place in range(len(texts))]
    assert all(judgements)
    return judgements  # type: ignore[return-value]


def _probabilities(labeller: RadBertLabeller, texts: Sequence[str]) -> np.ndarray:
    judged = _judge(labeller, texts)
    return np.array([[one.probabilities[name] for name in CT_RATE_LABELS] for one in judged])


def _plain(state: dict[str, torch.Tensor], token_ids: list[int], *, is_pooled: bool) -> np.ndarray:
    """RoBERTa written out for one report, head by head, without padding (Liu et al., 2019)."""

    def dense(name: str, x: torch.Tensor) -> torch.Tensor:
        return x @ state[f"model.{name}.weight"].T + state[f"model.{name}.bias"]

    def norm(name: str, x: torch.Tensor) -> torch.Tensor:
        spread = (x.var(-1, unbiased=False, keepdim=True) + 1e-5).sqrt()
        scaled = (x - x.mean(-1, keepdim=True)) / spread
        return scaled * state[f"model.{name}.weight"] + state[f"model.{name}.bias"]

    words = state["model.embeddings.word_embeddings.weight"][token_ids]
    places = state["model.embeddings.position_embeddings.weight"][2 : 2 + len(token_ids)]
    kind = state["model.embeddings.token_type_embeddings.weight"][0]
    x = norm("embeddings.LayerNorm", words + places + kind)
    for number in range(2):
        layer = f"encoder.layer.{number}"
        q, k, v = (dense(f"{layer}.attention.self.{n}", x) for n in ("query", "key", "value"))
        heads = [
            (q[:, s] @ k[:, s].T / math.sqrt(64)).softmax(-1) @ v[:, s]
            for s in (slice(0, 64), slice(64, 128))
        ]
        mixed = dense(f"{layer}.attention.output.dense", torch.cat(heads, -1))
        x = norm(f"{layer}.attention.output.LayerNorm", x + mixed)
        wide = torch.nn.functional.gelu(dense(f"{layer}.intermediate.dense", x))
        x = norm(f"{layer}.output.LayerNorm", x + dense(f"{layer}.output.dense", wide))
    vector = dense("pooler.dense", x[0]).tanh() if is_pooled else x[0]
    logits = state["classifier.weight"] @ vector + state["classifier.bias"]
    return logits.sigmoid().numpy()


@pytest.mark.parametrize("is_pooled", [True, False])
def test_the_published_formula(tmp_path: Path, is_pooled: bool) -> None:
    """Against RoBERTa written out; a pooler that was never trained is not read."""
    state = build_state(is_pooled=is_pooled)
    labeller = RadBertLabeller(str(write_checkpoint(tmp_path, state)))

    told = _probabilities(labeller, TEXTS)

    expected = [
        _plain(state, build_tokenizer()(text)["input_ids"], is_pooled=is_pooled) for text in TEXTS
    ]
    np.testing.assert_allclose(told, expected, atol=2e-5)
    assert 0.1 < (told > 0.5).mean() < 0.9
    assert labeller.model.endswith("pooler" if is_pooled else "first token")


def test_pooling_can_be_told(tmp_path: Path, checkpoint: Path) -> None:
    """Either way, whatever the pooler looks like; a missing pooler is never read."""
    state = build_state()
    token_ids = build_tokenizer()(TEXTS[0])["input_ids"]
    bare = {name: tensor for name, tensor in state.items() if "pooler" not in name}
    path = write_checkpoint(tmp_path, bare)

    fresh = build_state(is_pooled=False)
    untrained = write_checkpoint(tmp_path / "untrained", fresh)

    first = _probabilities(RadBertLabeller(str(checkpoint), pooling="first"), TEXTS[:1])
    pooled = _probabilities(RadBertLabeller(str(untrained), pooling="pooler"), TEXTS[:1])
    without = _probabilities(RadBertLabeller(str(path)), TEXTS[:1])

    np.testing.assert_allclose(first, [_plain(state, token_ids, is_pooled=False)], atol=2e-5)
    np.testing.assert_allclose(pooled, [_plain(fresh, token_ids, is_pooled=True)], atol=2e-5)
    np.testing.assert_allclose(without, first, atol=2e-5)


def test_a_folder_of_the_checkpoint(checkpoint: Path) -> None:
    """The folder that the file was downloaded to does as well."""
    labeller = RadBertLabeller(str(checkpoint.parent))

    assert labeller.model == RadBertLabeller(str(checkpoint)).model


def test_both_formats_agree(checkpoint: Path, folder: Path) -> None:
    """Names of a folder's config give the order; those of a checkpoint are CT-RATE's."""
    by_file = _probabilities(RadBertLabeller(str(checkpoint)), TEXTS)
    by_folder = _probabilities(RadBertLabeller(str(folder)), TEXTS)

    np.testing.assert_allclose(by_folder, by_file, atol=2e-5)


def test_a_file_of_safetensors(tmp_path: Path, checkpoint: Path) -> None:
    """The same names in the other container."""
    from safetensors.torch import save_file

    save_file(build_state(), tmp_path / "classifier.safetensors")
    labeller = RadBertLabeller(
        str(tmp_path / "classifier.safetensors"), tokenizer=str(checkpoint.parent)
    )

    told, expected = (
        _probabilities(x, TEXTS) for x in (labeller, RadBertLabeller(str(checkpoint)))
    )

    np.testing.assert_array_equal(told, expected)


@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_batches_change_nothing(checkpoint: Path, batch_size: int) -> None:
    """Nor does the order; equal reports and reports without findings keep their places."""
    one = _probabilities(RadBertLabeller(str(checkpoint)), TEXTS)
    labeller = RadBertLabeller(str(checkpoint), batch_size=batch_size)
    texts = [TEXTS[3], "Technique: 120 kV.", TEXTS[0], TEXTS[3], TEXTS[1]]

    told = dict(labeller.judge(texts))

    assert told[1] is None
    for place, source in ((0, 3), (2, 0), (3, 3), (4, 1)):
        row = list(told[place].probabilities.values())  # type: ignore[union-attr]
        np.testing.assert_allclose(row, one[source], atol=2e-5)


def test_the_threshold(checkpoint: Path) -> None:
    """By hand: present at a probability of at least the threshold."""
    told = _judge(RadBertLabeller(str(checkpoint)), TEXTS[:1])[0]
    name, value = sorted(told.probabilities.items(), key=lambda pair: pair[1])[9]

    exact = _judge(RadBertLabeller(str(checkpoint), threshold=value), TEXTS[:1])[0]

    assert exact.values[name] == 1
    assert sum(exact.values.values()) == 9
    assert told.values == {n: float(p >= 0.5) for n, p in told.probabilities.items()}


def test_sections_that_are_not_read(checkpoint: Path) -> None:
    """Findings and impression on one line; clinical information is not read."""
    labeller = RadBertLabeller(str(checkpoint))
    whole = "Clinical information: emphysema.\nFindings: A nodule\nis seen.\nImpression: Cyst."

    told = _probabilities(labeller, [whole, "A nodule is seen. Cyst."])

    np.testing.assert_array_equal(told[0], told[1])


def test_a_long_report_is_cut_and_told(checkpoint: Path) -> None:
    """As in training: what is behind the last token changes nothing."""
    labeller = RadBertLabeller(str(checkpoint))

    short, long = _judge(labeller, [TEXTS[0], LONG])
    longer = _judge(labeller, [LONG + "Emphysema."])[0]

    assert (short.is_cut, long.is_cut, longer.is_cut) == (False, True, True)
    assert long.probabilities == pytest.approx(longer.probabilities, abs=2e-5)
    token_ids = build_tokenizer()(LONG, truncation=True, max_length=LENGTH)["input_ids"]
    expected = _plain(build_state(), token_ids, is_pooled=True)
    np.testing.assert_allclose(list(long.probabilities.values()), expected, atol=2e-5)


def test_the_length_of_a_folder(folder: Path, tmp_path: Path) -> None:
    """By its positions, of which RoBERTa leaves out two, or by what its tokenizer says."""
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    path = copy / "tokenizer_config.json"
    told = json.loads(path.read_text())

    for longest, length in ((10**30, LENGTH), (50, 50)):
        path.write_text(json.dumps({**told, "model_max_length": longest}))
        labeller = RadBertLabeller(str(copy))

        assert labeller.length == length
        assert _judge(labeller, [LONG])[0].is_cut


def test_windows_read_it_whole(checkpoint: Path) -> None:
    """By hand: the highest probability of overlapping windows, in small batches."""
    labeller = RadBertLabeller(str(checkpoint), windows=True, batch_size=2)
    body = build_tokenizer()(LONG.strip(), add_special_tokens=False)["input_ids"]
    room, step = LENGTH - 2, LENGTH - 2 - LENGTH // 4
    parts = [body[start : start + room] for start in range(0, len(body) - LENGTH // 4, step)]

    short, long = _judge(labeller, [TEXTS[0], LONG])

    assert not long.is_cut
    assert len(parts) > 3
    state = build_state()
    expected = [_plain(state, [0, *part, 2], is_pooled=True) for part in parts]
    np.testing.assert_allclose(
        list(long.probabilities.values()), np.max(expected, axis=0), atol=2e-5
    )
    alone = _judge(RadBertLabeller(str(checkpoint)), TEXTS[:1])[0]
    np.testing.assert_allclose(
        list(short.probabilities.values()), list(alone.probabilities.values()), atol=2e-5
    )


def _forgetful(labeller: RadBertLabeller, most: int) -> Callable[[Any], np.ndarray]:
    classify = labeller._classify

    def limited(batch: Sequence[Any]) -> np.ndarray:
        if len(batch) > most:
            raise torch.OutOfMemoryError
        return classify(batch)

    return limited


def test_too_little_memory_halves_the_batch(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """With the same answers, and told."""
    labeller = RadBertLabeller(str(checkpoint), batch_size=4)
    expected = _probabilities(labeller, TEXTS)
    monkeypatch.setattr(labeller, "_classify", _forgetful(labeller, 1))

    with caplog.at_level(logging.WARNING):
        told = _probabilities(labeller, TEXTS)

    np.testing.assert_allclose(told, expected, atol=2e-5)
    assert labeller.batch_size == 1
    counts = [record.args for record in caplog.records if record.name.endswith("radbert")]
    assert counts == [(4, 2), (2, 1)]
    assert "too little memory for 4 reports at once" in caplog.text


def test_too_little_memory_for_one(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An end with a mend, and no loop."""
    labeller = RadBertLabeller(str(checkpoint))
    monkeypatch.setattr(labeller, "_classify", _forgetful(labeller, 0))

    with pytest.raises(BackendError, match="too little memory for a single report"):
        list(labeller.judge(TEXTS))


def test_no_text_in_the_log(checkpoint: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Not even where a report is cut."""
    with caplog.at_level(logging.DEBUG):
        _judge(RadBertLabeller(str(checkpoint)), [LONG, *TEXTS])

    assert "nodule" not in caplog.text


def test_the_command(tmp_path: Path, checkpoint: Path) -> None:
    """Labels, probabilities and cut reports in tables; model and count on the terminal."""
    reports = tmp_path / "raw.csv"
    reports.write_text(f"scan_id,report_text\na,{TEXTS[0]}\nb,{LONG}\nc,\n", encoding="utf-8")
    out, probabilities = tmp_path / "labels.csv", tmp_path / "p.csv"
    command = ["label-reports", str(reports), str(out), "--backend", "radbert"]
    options = ["--model", str(checkpoint), "--threshold", "0.4"]

    result = CliRunner().invoke(
        ctprep.app, [*command, *options, "--probabilities", str(probabilities), "--json"]
    )

    assert result.exit_code == 3, result.output
    told = json.loads(result.stdout.splitlines()[-1])
    assert (told["labelled"], told["refused"], told["cut"]) == (2, 1, 1)
    assert told["backend"] == "radbert"
    assert told["model"].startswith("RadBertClassifier.pth@")
    assert str(tmp_path) not in result.output
    labels = read_labels(out)
    assert (labels.scan_ids, labels.names) == (("a", "b"), CT_RATE_LABELS)
    with probabilities.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["report_cut"] for row in rows] == ["0", "1"]
    values = np.array([[float(row[name]) for name in CT_RATE_LABELS] for row in rows])
    np.testing.assert_array_equal(values >= 0.4, labels.values == 1)
    expected = _probabilities(RadBertLabeller(str(checkpoint)), [TEXTS[0], LONG])
    np.testing.assert_allclose(values, expected, atol=2e-5)
    plain = CliRunner().invoke(ctprep.app, [*command, "--model", str(checkpoint)])
    assert "by radbert RadBertClassifier.pth@" in plain.output
    assert "classifier ends: 1 (--windows" in plain.output


def test_a_row_a_reconstruction(tmp_path: Path, checkpoint: Path) -> None:
    """Probabilities and the cut go with the labels of a study; columns by the data set."""
    reports, scans = tmp_path / "raw.csv", tmp_path / "scans.csv"
    reports.write_text(f"scan_id,report_text\ns1_a,{LONG}\n", encoding="utf-8")
    scans.write_text(
        "scan_id,patient_id,split,study_id\ns1_a,p,test,s1\ns1_b,p,test,s1\n", encoding="utf-8"
    )
    command = ["label-reports", str(reports), str(tmp_path / "l.csv"), "--backend", "radbert"]
    options = ["--scans", str(scans), "--dataset", "rad_chestct", "--probabilities"]

    result = CliRunner().invoke(
        ctprep.app, [*command, "--model", str(checkpoint), *options, str(tmp_path / "p.csv")]
    )

    assert result.exit_code == 0, result.output
    with (tmp_path / "p.csv").open(encoding="utf-8") as file:
        first, second = csv.DictReader(file)
    labels = read_labels(tmp_path / "l.csv")
    assert tuple(first) == ("scan_id", "report_cut", *labels.names)
    assert (first.pop("scan_id"), second.pop("scan_id")) == ("s1_a", "s1_b")
    assert first == second
    assert first.pop("report_cut") == "1"
    by_column = [float(value) >= 0.5 for value in first.values()]
    assert by_column == (labels.values[0] == 1).tolist()
    assert 0 < sum(by_column) < len(by_column)
