"""A Llama of random weights in the format of llama.cpp, with a token a byte."""

from pathlib import Path

import numpy as np
from gguf import GGUFWriter, TokenType

WIDTH, HEADS, DEEP, BYTES = 32, 2, 2, 256
SPECIAL = ["<unk>", "<s>", "</s>"]
TEMPLATE = (
    "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}[assistant] {% endif %}"
)


def write_tiny_gguf(path: Path, context: int = 8192) -> Path:
    """Write a model file.

    Args:
        path: to be made.
        context: how many tokens it takes.
    """
    writer = GGUFWriter(path, "llama")
    writer.add_context_length(context)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(DEEP)
    writer.add_feed_forward_length(WIDTH)
    writer.add_head_count(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    _add_tokenizer(writer)
    generator = np.random.default_rng(0)
    for name, shape in _list_tensors().items():
        is_norm = "norm" in name
        weights = np.ones(shape) if is_norm else 0.3 * generator.standard_normal(shape)
        writer.add_tensor(f"{name}.weight", weights.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add_tokenizer(writer: GGUFWriter) -> None:
    byte_tokens = [f"<0x{byte:02X}>" for byte in range(BYTES)]
    writer.add_tokenizer_model("llama")
    writer.add_token_list([*SPECIAL, *byte_tokens])
    writer.add_token_scores([0.0] * (len(SPECIAL) + BYTES))
    kinds = [TokenType.UNKNOWN, TokenType.CONTROL, TokenType.CONTROL]
    writer.add_token_types([*kinds, *([TokenType.BYTE] * BYTES)])
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_space_prefix(False)
    writer.add_chat_template(TEMPLATE)


def _list_tensors() -> dict[str, tuple[int, ...]]:
    vocabulary, square = (len(SPECIAL) + BYTES, WIDTH), (WIDTH, WIDTH)
    tensors: dict[str, tuple[int, ...]] = {"token_embd": vocabulary, "output": vocabulary}
    tensors["output_norm"] = (WIDTH,)
    for layer in range(DEEP):
        for name in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"):
            tensors[f"blk.{layer}.{name}"] = square
        for name in ("attn_norm", "ffn_norm"):
            tensors[f"blk.{layer}.{name}"] = (WIDTH,)
    return tensors
