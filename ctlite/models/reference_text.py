"""The text tower of a published checkpoint: a BERT by its shapes, a tokenizer from elsewhere."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import BertConfig, BertModel, BertTokenizer, PreTrainedConfig

from ctlite.models.hub_cache import REPOSITORY, find_snapshot
from ctlite.models.reference_geometry import count_layers
from ctlite.models.text_encoder import TextTower
from ctlite.models.weight_diff import Shape
from ctprep.store.errors import CheckpointError

CXR_BERT = "microsoft/BiomedVLP-CXR-BERT-specialized"
TEXT = "text_transformer."
TOKENIZER_FILES = ("tokenizer.json", "vocab.txt")
HEAD_WIDTH = 64
"""Of every published BERT; shapes do not tell the number of heads, a config.json does."""
NOT_IN_SHAPES = (
    "num_attention_heads",
    "hidden_act",
    "layer_norm_eps",
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "pad_token_id",
)
MOST_PADDING = 64
"""Rows of the embedding beyond the vocabulary, where it was rounded up."""


def describe_text_tower(shapes: Mapping[str, Shape], tokenizer: str) -> TextTower:
    """Make the text tower of a checkpoint, without memory for its weights.

    Args:
        shapes: of the whole checkpoint.
        tokenizer: local folder, or name of a repository in the local cache of the Hub, with a
            tokenizer of BERT's kind; what its `config.json` says beyond sizes is taken, too.

    Returns:
        An encoder on torch's meta device, and the tokenizer.

    Raises:
        CheckpointError: the tokenizer is not there, or is of another vocabulary; or the
            checkpoint's text encoder is no BERT.
    """
    sizes = _read_sizes(shapes)
    folder = _find_tokenizer(tokenizer)
    words, told = _load(folder, tokenizer)
    words.model_max_length = sizes["max_position_embeddings"]
    rows = sizes["vocab_size"]
    if not rows - MOST_PADDING <= len(words) <= rows:
        raise CheckpointError(
            f"the tokenizer knows {len(words)} tokens, the checkpoint's text encoder {rows}",
            mend=f"give the tokenizer it was trained with by --tokenizer; CT-CLIP's is {CXR_BERT}",
            where=tokenizer,
        )
    beyond: dict[str, Any] = {key: told[key] for key in NOT_IN_SHAPES if key in told}
    beyond.setdefault("num_attention_heads", max(1, sizes["hidden_size"] // HEAD_WIDTH))
    try:
        with torch.device("meta"):
            config = BertConfig(**{**sizes, **beyond})
            encoder: nn.Module = BertModel(config, add_pooling_layer=False)
    except (ValueError, TypeError) as error:
        raise CheckpointError(
            f"the config.json beside the tokenizer does not fit the checkpoint's text encoder of "
            f"width {sizes['hidden_size']}: {str(error).splitlines()[0]}",
            mend=f"give the tokenizer it was trained with by --tokenizer; CT-CLIP's is {CXR_BERT}",
            where=tokenizer,
        ) from error
    return TextTower(encoder.eval(), words)


def _load(folder: Path, tokenizer: str) -> tuple[Any, dict[str, Any]]:
    """The tokenizer, and what a configuration beside it says."""
    try:
        # By their own classes, so that no code that lies in the folder is asked for.
        words: Any = BertTokenizer.from_pretrained(folder, local_files_only=True)
        told, _ = PreTrainedConfig.get_config_dict(folder, local_files_only=True)
    except Exception as error:
        raise CheckpointError(
            f"the tokenizer cannot be read: {str(error).splitlines()[0]}",
            mend="download its folder again, whole",
            where=tokenizer,
        ) from error
    words.init_kwargs.pop("auto_map", None)
    return words, told


def _read_sizes(shapes: Mapping[str, Shape]) -> dict[str, int]:
    try:
        rows, width = shapes[f"{TEXT}embeddings.word_embeddings.weight"]
        return {
            "vocab_size": rows,
            "hidden_size": width,
            "num_hidden_layers": count_layers(shapes, f"{TEXT}encoder.layer."),
            "intermediate_size": shapes[f"{TEXT}encoder.layer.0.intermediate.dense.weight"][0],
            "max_position_embeddings": shapes[f"{TEXT}embeddings.position_embeddings.weight"][0],
            "type_vocab_size": shapes[f"{TEXT}embeddings.token_type_embeddings.weight"][0],
        }
    except (KeyError, ValueError, IndexError) as error:
        raise CheckpointError(
            f"the checkpoint's text encoder is no BERT: {error}",
            mend="give a whole CT-CLIP checkpoint, with text_transformer.embeddings and layers",
        ) from error


def _find_tokenizer(tokenizer: str) -> Path:
    folder: Path | None = Path(tokenizer)
    if not Path(tokenizer).is_dir():
        folder = find_snapshot(tokenizer) if REPOSITORY.fullmatch(tokenizer) else None
    if folder is not None and any((folder / name).is_file() for name in TOKENIZER_FILES):
        return folder
    repository = tokenizer if REPOSITORY.fullmatch(tokenizer) else CXR_BERT
    raise CheckpointError(
        f"the tokenizer {tokenizer!r} is neither a folder with {' or '.join(TOKENIZER_FILES)} nor "
        "in the local cache of the Hugging Face Hub, and nothing is downloaded here",
        mend=f"where there is a network: hf download {repository} --include '*.txt' "
        "--include '*.json' --local-dir FOLDER; then --tokenizer FOLDER",
    )
