"""On CUDA the encoders give the golden vectors, and their gradients those of the CPU."""

import copy
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from ctlite.models.ct_encoder import CTViT, Walk
from ctlite.models.text_encoder import build_small_bert, encode_cls
from tests.gpu.nearness import assert_all_near, assert_near, off_by

GOLDEN = {"atol": 1e-4, "rtol": 1e-5}
"""Twice the room that the CPU has: sums are taken in another order."""
NAMES = ["ctvit_small", "ctvit_rect"]
TEXTS = ["No nodule.", "Emphysema of both upper lobes is seen.", "Effusion."]


def read_io(golden: Path, name: str) -> dict[str, Tensor]:
    """Expected vectors of a case, with its video."""
    values = load_file(golden / f"{name}.io.safetensors")
    if "video" not in values:
        values |= load_file(golden / f"{name}.video.safetensors")
    return values


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("record", [False, True])
@torch.no_grad()
def test_golden_tokens(
    gpu: torch.device, golden: Path, load_encoder, name: str, record: bool
) -> None:
    """In float32: tokens before the codebook, codes, and tokens; fused and explicit attention."""
    io, encoder = read_io(golden, name), load_encoder(name).to(gpu)
    output = encoder.encode(io["video"].to(gpu), record=record)

    torch.testing.assert_close(output.tokens_pre_codebook.cpu(), io["tokens_pre_vq"], **GOLDEN)
    assert torch.equal(output.indices.cpu(), io["indices"])
    assert torch.equal(output.tokens.cpu(), io["tokens"])
    for block in output.blocks if record else ():
        for part in ("attn_in", "attn_map", "attn_out"):
            expected = io[f"{block.tower}.{block.index}.{part}"]
            torch.testing.assert_close(getattr(block, part).cpu(), expected, **GOLDEN)


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_golden_tokens_in_bfloat16(gpu: torch.device, golden: Path, load_encoder, name) -> None:
    """Under autocast a token is off by some of bfloat16's steps of 2^-8, and no more."""
    io, encoder = read_io(golden, name), load_encoder(name).to(gpu)
    with torch.autocast(gpu.type, torch.bfloat16):
        output = encoder.encode(io["video"].to(gpu))

    found, expected = output.tokens_pre_codebook.float().cpu(), io["tokens_pre_vq"]
    assert ((found - expected).norm() / expected.norm()).item() < 0.03
    assert off_by(found, expected) < 0.1
    assert output.tokens.isfinite().all()


def gradients(encoder: CTViT, video: Tensor, *, maps: bool) -> list[Tensor]:
    """Of a fixed function of the tokens, for every weight."""
    encoder.zero_grad()
    walk = Walk(encoder, video, maps=maps)
    for _ in walk:
        pass
    walk.tokens.square().mean().backward()
    return [weight.grad.clone() for weight in encoder.parameters()]


def test_gradients_are_the_cpus_and_recomputation_changes_none(
    gpu: torch.device, golden: Path, load_encoder
) -> None:
    """Against float64; open maps, fused attention and activation checkpointing agree."""
    video = read_io(golden, "ctvit_small")["video"]
    encoder = load_encoder("ctvit_small").train()
    expected = gradients(copy.deepcopy(encoder).double(), video.double(), maps=True)
    encoder, video = encoder.to(gpu), video.to(gpu)
    plain = gradients(encoder, video, maps=True)
    fused = gradients(encoder, video, maps=False)
    encoder.recompute = True
    again = gradients(encoder, video, maps=True)

    assert all(grad.abs().sum() > 0 for grad in expected)
    for found in (plain, fused, again):
        assert_all_near(found, expected, 1e-3)
    assert_all_near(again, plain, 1e-4)


def encode(encoder: nn.Module, asked: dict[str, Tensor]) -> Tensor:
    """CLS of each text, on the device and in the precision of the encoder."""
    weight = next(encoder.parameters())
    ids, mask = (asked[name].to(weight.device) for name in ("input_ids", "attention_mask"))
    return encode_cls(encoder, ids, mask)


def test_texts_are_encoded_as_on_the_cpu(gpu: torch.device) -> None:
    """Padded texts in float32 against float64, gradients too; looser under bfloat16."""
    torch.manual_seed(0)
    tower = build_small_bert(TEXTS, width=64, layers=3)
    encoder = tower.encoder.eval()
    asked = tower.tokenizer(TEXTS, padding=True, return_tensors="pt")
    results = []
    for one in (copy.deepcopy(encoder).double(), copy.deepcopy(encoder).to(gpu)):
        latents = encode(one, asked)
        latents.square().mean().backward()
        grads = [weight.grad for weight in one.parameters() if weight.grad is not None]
        results.append((latents, grads))
    with torch.autocast(gpu.type, torch.bfloat16), torch.no_grad():
        half = encode(encoder.to(gpu), asked).float()

    (expected, expected_grads), (found, found_grads) = results
    assert_near(found, expected, 1e-5)
    assert_all_near(found_grads, expected_grads, 1e-3)
    assert_near(half, expected, 0.05)
