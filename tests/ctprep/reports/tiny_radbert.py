"""RadBERT classifiers of a few thousand random weights, in both formats, with a byte tokenizer."""

from pathlib import Path
from typing import Any

import torch
from tokenizers import pre_tokenizers
from transformers import (
    RobertaConfig,
    RobertaForSequenceClassification,
    RobertaModel,
    RobertaTokenizer,
)

from ctprep.store.labels import CT_RATE_LABELS

LENGTH = 96
"""Tokens that a tiny classifier takes."""
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


def build_tokenizer() -> RobertaTokenizer:
    """Make a tokenizer with a token a byte."""
    tokens = [*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    return RobertaTokenizer(vocab=vocabulary, merges=[], model_max_length=LENGTH)


def build_config(**changes: Any) -> RobertaConfig:
    """Describe a tiny RoBERTa with heads as wide as the real one's."""
    sizes: dict[str, Any] = {
        "vocab_size": len(SPECIAL) + 256,
        "hidden_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "max_position_embeddings": LENGTH + 2,
        "type_vocab_size": 1,
        "layer_norm_eps": 1e-5,
        "pad_token_id": 1,
    }
    return RobertaConfig(**{**sizes, **changes})


def build_state(*, is_pooled: bool = True, labels: int = 18) -> dict[str, torch.Tensor]:
    """Make the state dict of a published checkpoint, the dead key among it.

    Args:
        is_pooled: the pooler was trained; else its bias is zero.
        labels: outputs of the last layer.
    """
    torch.manual_seed(0)
    encoder: Any = RobertaModel(build_config())
    state = {f"model.{name}": tensor.clone() for name, tensor in encoder.state_dict().items()}
    # Wide enough for answers on both sides of a half.
    state = {name: tensor * 3 if tensor.ndim == 2 else tensor for name, tensor in state.items()}
    if is_pooled:
        state["model.pooler.dense.bias"].normal_()
    state["model.embeddings.position_ids"] = torch.arange(LENGTH + 2)[None]
    state["classifier.weight"] = torch.randn(labels, 128) / 4
    state["classifier.bias"] = torch.randn(labels) / 4
    return state


def write_checkpoint(
    folder: Path, state: dict[str, torch.Tensor] | None = None, *, tokenizer: bool = True
) -> Path:
    """Write a checkpoint as it is published, with a tokenizer beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(build_state() if state is None else state, folder / "RadBertClassifier.pth")
    if tokenizer:
        build_tokenizer().save_pretrained(folder)
    return folder / "RadBertClassifier.pth"


def write_folder(folder: Path, names: tuple[str, ...] = CT_RATE_LABELS) -> Path:
    """Write a model folder with the weights of `build_state`, its outputs in the order of names."""
    config = build_config(id2label=dict(enumerate(names)))
    model: Any = RobertaForSequenceClassification(config)
    state = build_state(labels=len(names))
    order = [CT_RATE_LABELS.index(name) if name in CT_RATE_LABELS else 0 for name in names]
    renamed = {
        name.replace("model.", "roberta.", 1): tensor
        for name, tensor in state.items()
        if name.startswith("model.") and "pooler" not in name and "position_ids" not in name
    }
    model.load_state_dict(
        {
            **renamed,
            "classifier.dense.weight": state["model.pooler.dense.weight"],
            "classifier.dense.bias": state["model.pooler.dense.bias"],
            "classifier.out_proj.weight": state["classifier.weight"][order],
            "classifier.out_proj.bias": state["classifier.bias"][order],
        }
    )
    model.save_pretrained(folder)
    build_tokenizer().save_pretrained(folder)
    return folder
