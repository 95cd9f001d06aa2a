"""A Gemma 3 and a Llama of a few thousand random weights, with a tokenizer of bytes."""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    Gemma3Config,
    Gemma3ForCausalLM,
    Gemma3ForConditionalGeneration,
    Gemma3TextConfig,
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

SPECIAL = [
    "<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>", "<start_of_image>",
    "<end_of_image>", "<image_soft_token>",
]  # fmt: skip
END_OF_TURN = SPECIAL.index("<end_of_turn>")
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}"
    "{% if m['role'] == 'system' %}{{ raise_exception('no system turn') }}{% endif %}"
    "<start_of_turn>{{ 'model' if m['role'] == 'assistant' else m['role'] }}\n"
    "{{ m['content'] }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
VISION = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
}


def write_tiny_gemma(folder: Path, *, sees: bool, context: int = 16384) -> Path:
    """Write a model folder.

    Args:
        folder: to be made.
        sees: with a picture tower, like medgemma-4b-it, or without one.
        context: how many tokens it takes.
    """
    torch.manual_seed(0)
    text: dict[str, Any] = {
        "vocab_size": len(SPECIAL) + 256,
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 8,
        "max_position_embeddings": context,
        # Far shorter than a prompt, so that both kinds of attention matter.
        "layer_types": ["sliding_attention", "full_attention"],
        "sliding_window": 64,
    }
    if sees:
        config = Gemma3Config(
            text_config=text,
            vision_config=VISION,
            mm_tokens_per_image=4,
            boi_token_index=6,
            eoi_token_index=7,
            image_token_index=8,
        )
        model: Any = Gemma3ForConditionalGeneration(config)
    else:
        model = Gemma3ForCausalLM(Gemma3TextConfig(**text))
    # As MedGemma has them: greedy decoding has to be asked for.
    model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
        do_sample=True,
        top_k=64,
        top_p=0.95,
        bos_token_id=2,
        eos_token_id=[1, END_OF_TURN],
        pad_token_id=0,
    )
    model.save_pretrained(folder)
    build_tokenizer().save_pretrained(folder)
    return folder


def write_tiny_llama(folder: Path) -> Path:
    """Write the folder of a Llama, which has no windows, with the same tokenizer."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(SPECIAL) + 256,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=16384,
        bos_token_id=2,
        eos_token_id=1,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    build_tokenizer().save_pretrained(folder)
    return folder


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Make a tokenizer with a token a byte."""
    vocabulary = {token: number for number, token in enumerate(SPECIAL)}
    for byte in sorted(pre_tokenizers.ByteLevel.alphabet()):
        vocabulary[byte] = len(vocabulary)
    words = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=words,
        pad_token="<pad>",
        eos_token="<eos>",
        bos_token="<bos>",
        unk_token="<unk>",
        additional_special_tokens=SPECIAL[4:],
    )
    tokenizer.chat_template = TEMPLATE
    return tokenizer


class Forced(torch.nn.Module):
    """In place of the last layer: whatever was asked, the model writes these texts in turn.

    Args:
        texts: what each run of the model writes, the same for every report of a batch.
    """

    def __init__(self, *texts: str) -> None:
        super().__init__()
        tokenizer = build_tokenizer()
        self.vocabulary = len(tokenizer)
        self.left = [
            token
            for text in texts
            for token in [*tokenizer(text, add_special_tokens=False)["input_ids"], END_OF_TURN]
        ]

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Give logits that leave no choice."""
        logits = torch.zeros(*hidden.shape[:2], self.vocabulary)
        logits[..., self.left.pop(0)] = 1
        return logits
