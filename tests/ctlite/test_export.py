"""The ONNX file gives the latents of the model, by another library and without torch."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ctlite.export import export_onnx
from ctlite.predictor import Predictor
from ctlite.trainer import train
from ctprep.store.errors import RecipeError
from ctprep.store.store import VolumeStore

MAIN = "from cli.ctlite import main; main()"
onnxruntime = pytest.importorskip("onnxruntime")


@pytest.mark.parametrize("stage", [pytest.param("clip", marks=pytest.mark.slow), "sfp"])
def test_stored_voxels_become_the_same_latents(
    toy_recipe, toy_corpus: Path, tmp_path: Path, stage: str
) -> None:
    """HU with a dense head, and gray levels with a factorized one; scores by the description."""
    list(train(toy_recipe("clip", "schedule.steps=2"), tmp_path / "clip"))
    options = ["schedule.steps=2", f"init.from={tmp_path / 'clip'}", "stage.rank=1"]
    if stage == "sfp":
        list(train(toy_recipe("sfp", *options), tmp_path / "sfp"))
    out = tmp_path / "tower.onnx"
    # In a process of its own: the type checks of the tests are nothing that torch exports.
    command = [sys.executable, "-c", MAIN, "export-onnx", str(tmp_path / stage), str(out)]
    command += ["--label", "Emphysema"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    session = onnxruntime.InferenceSession(out)
    store = VolumeStore.open(toy_corpus / ("hifi.zarr" if stage == "clip" else "q90.zarr"))
    described = json.loads(out.with_name("tower.onnx.json").read_text())
    predictor = Predictor(tmp_path / stage)
    ((_, (finding,)),) = predictor.predict(store, ["s3"], labels=["Emphysema"])

    assert "latents differ from torch's by at most" in done.stdout
    assert described["input"]["orientation"] == store.attributes.orientation
    assert done.stderr == ""
    assert described["preprocessing"]["kind"] == store.attributes.kind
    for scan_id, latent in predictor.embed(store):
        (found,) = session.run(None, {"volume": store.read(scan_id)[None]})
        np.testing.assert_allclose(found[0], latent, atol=1e-4)
        if scan_id == "s3":
            score = float(found[0] @ np.array(described["directions"]["Emphysema"]))
            assert score == pytest.approx(finding.score, abs=1e-4)


def test_missing_libraries_are_told(
    toy_recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the extra that brings them, before anything is computed."""
    list(train(toy_recipe("clip", "schedule.steps=1"), tmp_path / "clip"))
    monkeypatch.setitem(sys.modules, "onnxruntime", None)

    with pytest.raises(RecipeError) as caught:
        export_onnx(Predictor(tmp_path / "clip").model, tmp_path / "tower.onnx")
    assert "ct-lite[onnx]" in caught.value.mend
