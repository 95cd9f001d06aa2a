"""The published RadBERT classifier of CT-RATE, `RadBertClassifier.pth`: a state dict, no more.

Its names are `model.*`, a RoBERTa encoder, and `classifier.*`, a linear layer; sizes are read off
the tensors, what no tensor tells is RoBERTa's own.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ctprep.reports.device import choose_device
from ctprep.reports.labels.classifier import Pooling, ReportClassifier
from ctprep.reports.labels.tensor_file import check_tensors, read_tensors
from ctprep.reports.model_folder import INSTALL, find_model, hash_file
from ctprep.store.errors import BackendError, CheckpointError
from ctprep.store.labels import CT_RATE_LABELS

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import RobertaConfig, RobertaTokenizer

CHECKPOINT = "RadBertClassifier.pth"
SUFFIXES = (".pth", ".pt", ".bin", ".safetensors")
BASE_MODEL = "zzxslp/RadBERT-RoBERTa-4m"
"""What the published classifier was made from; its tokenizer is the classifier's."""
HEAD_SIZE = 64
"""Of RoBERTa in all its sizes; no tensor tells the number of heads."""
PAD_ID = 1
"""Of RoBERTa, whose positions count from behind it."""
LAYER_NORM_EPS = 1e-5
DEAD = ("model.embeddings.position_ids", "model.embeddings.token_type_ids")
"""Counted numbers, which transformers of today makes itself."""
POOLER_BIAS = "model.pooler.dense.bias"
_WORDS = "model.embeddings.word_embeddings.weight"
_POSITIONS = "model.embeddings.position_embeddings.weight"
_TYPES = "model.embeddings.token_type_embeddings.weight"
_WIDE = "model.encoder.layer.0.intermediate.dense.weight"
_LAYER = re.compile(r"model\.encoder\.layer\.(\d+)\.")
_MEND = (
    f"give {CHECKPOINT} as CT-RATE publishes it, or a model folder with config.json and "
    "safetensors (docs/reports.md)"
)


def load_checkpoint(path: Path, tokenizer: str | None, pooling: Pooling) -> ReportClassifier:
    """Load a published checkpoint onto the best device.

    Args:
        path: of the state dict.
        tokenizer: folder, or name on the Hugging Face hub that was downloaded before; where left
            out, files beside the checkpoint, then those of `BASE_MODEL`.
        pooling: what the last layer reads; `auto` takes the pooled output unless the pooler is
            missing or was never trained.

    Raises:
        CheckpointError: the file is no such checkpoint, is damaged or asks for code to be run.
        BackendError: there is no fitting tokenizer.
    """
    import torch
    from transformers import RobertaModel

    tensors = read_tensors(path)
    tensors = {name: tensor for name, tensor in tensors.items() if name not in DEAD}
    config = _read_config(tensors, path.name)
    is_pooled = _choose_pooling(tensors, pooling, path.name)
    encoder: Any = RobertaModel(config, add_pooling_layer=POOLER_BIAS in tensors)
    module = torch.nn.ModuleDict(
        {"model": encoder, "classifier": torch.nn.Linear(config.hidden_size, len(CT_RATE_LABELS))}
    )
    check_tensors(tensors, module.state_dict(), where=path.name, mend=_MEND)
    device, dtype = choose_device()
    module.load_state_dict(tensors, assign=True)
    module.to(device, dtype).eval()

    def to_logits(token_ids: "Tensor", attention_mask: "Tensor") -> "Tensor":
        out = encoder(input_ids=token_ids, attention_mask=attention_mask)
        vector = out.pooler_output if is_pooled else out.last_hidden_state[:, 0]
        logits: Tensor = module["classifier"](vector)
        return logits

    return ReportClassifier(
        label=f"{path.name}@{hash_file(path)[:12]}, {'pooler' if is_pooled else 'first token'}",
        tokenizer=_load_tokenizer(path, tokenizer, config.vocab_size),
        to_logits=to_logits,
        names=CT_RATE_LABELS,
        length=config.max_position_embeddings - PAD_ID - 1,
        device=device,
    )


def _read_config(tensors: "Mapping[str, Tensor]", where: str) -> "RobertaConfig":
    from transformers import RobertaConfig

    needed = (_WORDS, _POSITIONS, _TYPES, _WIDE, "classifier.weight")
    if lost := [name for name in needed if name not in tensors or tensors[name].ndim != 2]:
        raise CheckpointError(
            f"the file is no RadBERT classifier: it has no matrix {lost[0]}",
            mend=_MEND,
            where=where,
        )
    if (count := len(tensors["classifier.weight"])) != len(CT_RATE_LABELS):
        raise CheckpointError(
            f"the classifier tells {count} labels, and CT-RATE has {len(CT_RATE_LABELS)}",
            mend=_MEND,
            where=where,
        )
    words, hidden = tensors[_WORDS].shape
    if not hidden or hidden % HEAD_SIZE:
        raise CheckpointError(
            f"the encoder is {hidden} wide, which attention heads of {HEAD_SIZE} cannot part",
            mend=_MEND,
            where=where,
        )
    return RobertaConfig(
        vocab_size=words,
        hidden_size=hidden,
        num_hidden_layers=len({found[1] for name in tensors if (found := _LAYER.match(name))}),
        num_attention_heads=hidden // HEAD_SIZE,
        intermediate_size=len(tensors[_WIDE]),
        max_position_embeddings=len(tensors[_POSITIONS]),
        type_vocab_size=len(tensors[_TYPES]),
        pad_token_id=PAD_ID,
        layer_norm_eps=LAYER_NORM_EPS,
    )


def _choose_pooling(tensors: "Mapping[str, Tensor]", pooling: Pooling, where: str) -> bool:
    """Tell whether the last layer reads the pooled output."""
    bias = tensors.get(POOLER_BIAS)
    if pooling == "pooler" and bias is None:
        raise CheckpointError(
            "the checkpoint has no pooler", mend="leave out --pooling pooler", where=where
        )
    # A fresh pooler's bias is zero, and stays so to the bit where no gradient ever reached it.
    return pooling == "pooler" or (pooling == "auto" and bias is not None and bool(bias.any()))


def _load_tokenizer(path: Path, given: str | None, words: int) -> "RobertaTokenizer":
    from transformers import RobertaTokenizer

    folder = _find_tokenizer(path, given)
    try:
        tokenizer: Any = RobertaTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # The tokenizers library raises plain ones.
        raise BackendError(
            f"the tokenizer cannot be loaded: {(str(error).splitlines() or [''])[0]}",
            mend="give a folder with tokenizer.json, or vocab.json and merges.txt, of "
            f"{BASE_MODEL}",
            where=folder.name,
        ) from error
    if len(tokenizer) != words or tokenizer.pad_token_id != PAD_ID:
        raise BackendError(
            f"the tokenizer has {len(tokenizer)} tokens and pads with {tokenizer.pad_token_id}, "
            f"the checkpoint has {words} and {PAD_ID}",
            mend=f"give the tokenizer of {BASE_MODEL}, which the classifier was made from",
            where=folder.name,
        )
    loaded: RobertaTokenizer = tokenizer
    return loaded


def _find_tokenizer(path: Path, given: str | None) -> Path:
    if given is not None:
        return find_model(given).folder
    if any((path.parent / name).is_file() for name in ("tokenizer.json", "vocab.json")):
        return path.parent
    try:
        return find_model(BASE_MODEL).folder
    except BackendError as error:
        raise BackendError(
            "the checkpoint has no tokenizer beside it, and nothing is downloaded here",
            mend=f"download it: `hf download {BASE_MODEL}`; or name a folder that has it by "
            f"--tokenizer; where libraries are missing: {INSTALL}",
            where=path.name,
        ) from error
