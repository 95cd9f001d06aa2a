"""Checkpoints with the published names, sizes of one's choice, and random numbers."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import BertConfig, BertModel

GOLDEN = Path(__file__).parents[1] / "golden"
INPUTS = {"v1": 16 * 16 * 16, "v2": 24 * 24}
"""Tokens that the projection takes."""
WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz.,", "##s")
WORDS += ("there", "is", "no", "emphysema", "nodule", "present", "lung", "clear", "effusion")
FULL = {"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12}
FULL_VOCABULARY = 30_522


def write_tokenizer(folder: Path, words: tuple[str, ...] = WORDS) -> Path:
    """A folder as CXR-BERT's is, with another vocabulary and code that must not be run."""
    folder.mkdir(parents=True)
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    auto = {"auto_map": {"AutoTokenizer": ["configuration_x.Tokenizer", None]}}
    (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": True} | auto))
    config = {"model_type": "cxr-bert", "num_attention_heads": 4, "hidden_dropout_prob": 0.25}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "configuration_x.py").write_text("raise SystemExit('code of the folder was run')\n")
    return folder


def encoder_shapes(version: str, dim: int = 512, codes: int = 8192) -> dict[str, list[int]]:
    """The published names, dead ones too, with fewer features and codes where asked."""
    keys = json.loads((GOLDEN / "ctvit_keys.json").read_text())[version]
    hidden = int(4 * (2 / 3) * dim)
    sizes = {512: dim, 1365: hidden, 2730: 2 * hidden, 8192: codes}
    shapes = {name: [sizes.get(size, size) for size in shape] for name, shape in keys.items()}
    for name, shape in shapes.items():
        if name.endswith("to_kv.weight"):
            shape[0] = keys[name][0]  # Twice the heads, and no features.
    return shapes


def text_shapes(vocabulary: int, **sizes: int) -> dict[str, list[int]]:
    """BERT's 199 names, the pooler's among them."""
    with torch.device("meta"):
        bert = BertModel(BertConfig(vocab_size=vocabulary, **sizes))
    return {name: list(tensor.shape) for name, tensor in bert.state_dict().items()}


def published_shapes(
    version: str, *, dim: int = 16, latent: int = 16, codes: int = 32, **text: Any
) -> dict[str, list[int]]:
    """Every name of a whole checkpoint; sizes of the text encoder as `BertConfig` names them."""
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 4} | text
    vocabulary = sizes.pop("vocabulary", len(WORDS))
    shapes: dict[str, list[int]] = {"temperature": []}
    for name, shape in encoder_shapes(version, dim, codes).items():
        shapes[f"visual_transformer.{name}"] = shape
    for name, shape in text_shapes(vocabulary, **sizes).items():
        shapes[f"text_transformer.{name}"] = shape
    for extra in ("", "_extra"):
        shapes[f"to_text_latent{extra}.weight"] = [latent, sizes["hidden_size"]]
        shapes[f"to_visual_latent{extra}.weight"] = [latent, INPUTS[version] * dim]
    return shapes


def published_state(version: str, *, share: bool = False, **sizes: Any) -> dict[str, Tensor]:
    """A whole checkpoint with `position_ids`, as the published files have them.

    With `share`, the dead copies of the projections are the same memory, which torch saves once.
    """
    random = torch.Generator().manual_seed(0)
    state = {
        name: torch.randn(shape, generator=random).mul_(0.1)
        for name, shape in published_shapes(version, **sizes).items()
        if not (share and "_extra" in name)
    }
    if share:
        for name in ("to_text_latent", "to_visual_latent"):
            state[f"{name}_extra.weight"] = state[f"{name}.weight"]
    state["text_transformer.embeddings.position_ids"] = torch.arange(512)[None]
    return state


def early_extras() -> dict[str, Tensor]:
    """What the first files of v1 hold besides."""
    names = ("dec_spatial_transformer.layers.0.1.to_q.weight", "vgg.features.0.weight")
    names += ("dec_temporal_transformer.norm_out.gamma", "discr.layers.0.0.weight")
    return {f"visual_transformer.{name}": torch.zeros(2, 2) for name in names}
