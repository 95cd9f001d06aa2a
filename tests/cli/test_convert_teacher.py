"""`ctlite convert-teacher` tells what it found, and what it wrote."""

import json
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from typer.testing import CliRunner

from cli.ctlite import app
from tests.ctlite.published import early_extras, published_state, write_tokenizer

runner = CliRunner()


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    """Of the command, on an early checkpoint of v1 in a wrapper."""
    state = published_state("v1") | early_extras()
    torch.save({"state_dict": state, "epoch": 1}, tmp_path / "early.pt")
    tokenizer = write_tokenizer(tmp_path / "words")
    places = [str(tmp_path / "early.pt"), str(tmp_path / "out")]
    return ["convert-teacher", *places, "--tokenizer", str(tokenizer)]


def test_it_tells_what_it_did(arguments: list[str], tmp_path: Path) -> None:
    """Release, range, wrapper, what was left out, licence and place."""
    result = runner.invoke(app, arguments)

    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines[0].startswith("CT-CLIP v1: patches of 15x30x30 voxels, 16x16x16 tokens of 16")
    assert lines[1] == "takes HU on the grid ct-clip, -1000 to 200"
    assert lines[2] == "the weights lie under 'state_dict'; left aside: epoch"
    assert lines[3].startswith("left out, as they take no part (")
    for part in (
        "text_transformer.embeddings.position_ids",
        "text_transformer.pooler.dense (2)",
        "to_visual_latent_extra",
        "visual_transformer.enc_spatial_transformer.layers.*.1.null_kv (4)",
        "visual_transformer.vgg.features.0",
    ):
        assert f"  {part}" in lines[4:-2]
    assert lines[-2].endswith("CC-BY-NC-SA-4.0")
    assert lines[-1].endswith(f"GB to {tmp_path / 'out'}")
    assert (tmp_path / "out" / "model.safetensors").is_file()


def test_a_dry_run_writes_nothing(arguments: list[str], tmp_path: Path) -> None:
    """It checks the whole checkpoint and says what it would write."""
    before = sorted(tmp_path.iterdir())
    result = runner.invoke(app, [*arguments, "--dry-run", "--json", "--hu-range", "-1000", "1000"])

    assert result.exit_code == 0, result.output
    told = json.loads(result.output)
    assert (told["release"], told["written"]) == ("CT-CLIP v1", False)
    assert told["config"]["preprocessing"]["hu_range"] == [-1000, 1000]
    assert told["left_out"]["text_transformer.embeddings.position_ids"] == 512 * 8
    assert sorted(tmp_path.iterdir()) == before


def test_what_is_absent_is_told(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkpoint of the Hub or a tokenizer that is not in the cache: three lines."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    command, checkpoint, *rest = arguments
    for given in ([command, "org/repo:x.pt", *rest], [command, checkpoint, rest[0]]):
        result = runner.invoke(app, given)

        assert result.exit_code == 1
        assert "error:" in result.output
        assert "hf download" in result.output
