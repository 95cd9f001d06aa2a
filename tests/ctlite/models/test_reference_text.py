"""A published text tower is a BERT by its shapes, with a tokenizer that is on this machine."""

import json
import shutil
from pathlib import Path

import pytest
from huggingface_hub import constants

from ctlite.models.reference_text import CXR_BERT, describe_text_tower
from ctprep.store.errors import CheckpointError
from tests.ctlite.published import WORDS, published_shapes, write_tokenizer


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the Hub, and no way to the Hub."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "cache"


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    """Folder of a tokenizer."""
    return write_tokenizer(tmp_path / "words")


def shapes_of(**sizes: int) -> dict[str, tuple[int, ...]]:
    """As a checkpoint's."""
    return {name: tuple(shape) for name, shape in published_shapes("v2", **sizes).items()}


def test_sizes_are_the_checkpoints_and_the_rest_the_configs(tokenizer: Path) -> None:
    """Heads and dropout cannot be told from shapes; nothing has memory yet."""
    tower = describe_text_tower(shapes_of(hidden_size=32, num_hidden_layers=3), str(tokenizer))
    config = tower.encoder.config

    assert (config.hidden_size, config.num_hidden_layers, config.intermediate_size) == (32, 3, 32)
    assert (config.vocab_size, config.max_position_embeddings) == (len(WORDS), 512)
    assert (config.num_attention_heads, config.hidden_dropout_prob) == (4, 0.25)
    assert all(weight.is_meta for weight in tower.encoder.parameters())
    ids = tower.tokenizer("There is NO emphysema.")["input_ids"]
    assert [WORDS[number] for number in ids] == [
        "[CLS]", "there", "is", "no", "emphysema", ".", "[SEP]",
    ]  # fmt: skip
    assert tower.tokenizer.model_max_length == 512


def test_without_a_config_heads_are_berts(tokenizer: Path) -> None:
    """Sixty-four features each, as in every published BERT."""
    (tokenizer / "config.json").unlink()
    tower = describe_text_tower(shapes_of(hidden_size=128), str(tokenizer))

    assert tower.encoder.config.num_attention_heads == 2


def test_heads_that_do_not_divide_the_width_are_told(tokenizer: Path) -> None:
    """A config of another encoder."""
    (tokenizer / "config.json").write_text(json.dumps({"num_attention_heads": 5}))
    with pytest.raises(CheckpointError, match=r"config\.json beside the tokenizer does not fit"):
        describe_text_tower(shapes_of(), str(tokenizer))


def test_the_cache_of_the_hub_will_do(tokenizer: Path, cache: Path) -> None:
    """By the name of the repository."""
    folder = cache / f"models--{CXR_BERT.replace('/', '--')}"
    shutil.copytree(tokenizer, folder / "snapshots" / ("a" * 40))
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("a" * 40)

    assert len(describe_text_tower(shapes_of(), CXR_BERT).tokenizer) == len(WORDS)


@pytest.mark.parametrize("given", [CXR_BERT, "empty"])
def test_an_absent_tokenizer_is_told_with_its_download(given: str, tmp_path: Path) -> None:
    """Repository and files; a folder without a vocabulary is none."""
    (tmp_path / "empty").mkdir()
    given = str(tmp_path / "empty") if given == "empty" else given
    with pytest.raises(CheckpointError, match="nothing is downloaded here") as caught:
        describe_text_tower(shapes_of(), given)

    assert f"hf download {CXR_BERT} --include '*.txt'" in caught.value.mend
    assert "--tokenizer FOLDER" in caught.value.mend


@pytest.mark.parametrize("name", ["vocab.txt", "tokenizer_config.json", "config.json"])
def test_a_damaged_tokenizer_is_told(tokenizer: Path, name: str) -> None:
    """In our words, whatever the library raises."""
    (tokenizer / name).write_bytes(b"{\xff")
    with pytest.raises(CheckpointError, match="the tokenizer cannot be read") as caught:
        describe_text_tower(shapes_of(), str(tokenizer))

    assert caught.value.where == str(tokenizer)


@pytest.mark.parametrize("vocabulary", [len(WORDS) - 1, len(WORDS) + 65])
def test_a_tokenizer_of_another_vocabulary_is_refused(tokenizer: Path, vocabulary: int) -> None:
    """It would number words that the checkpoint does not know, or know them wrongly."""
    with pytest.raises(CheckpointError, match=rf"knows {len(WORDS)} tokens, .* {vocabulary}"):
        describe_text_tower(shapes_of(vocabulary=vocabulary), str(tokenizer))


def test_padded_embeddings_are_accepted(tokenizer: Path) -> None:
    """Rows are at times rounded up."""
    tower = describe_text_tower(shapes_of(vocabulary=len(WORDS) + 64), str(tokenizer))

    assert tower.encoder.config.vocab_size == len(WORDS) + 64


def test_what_is_no_bert_is_refused(tokenizer: Path) -> None:
    """By the weight that it lacks."""
    shapes = {name: shape for name, shape in shapes_of().items() if "word_embed" not in name}
    with pytest.raises(CheckpointError, match=r"is no BERT: .*word_embeddings"):
        describe_text_tower(shapes, str(tokenizer))
