"""The image encoder computes what CT-CLIP's published weights were trained for."""

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from safetensors.torch import load_file
from torch import Tensor, nn

from ctlite.models import position_bias
from ctlite.models.attention import Attention
from ctlite.models.ct_encoder import CTViT, Walk
from ctlite.models.tower import GatedGelu, PositionConvolution
from ctprep.store.errors import RecipeError

TOLERANCE = {"atol": 5e-5, "rtol": 1e-5}
SIZES = {
    "dim": 12,
    "codebook_size": 8,
    "image_size": (6, 4),
    "patch_size": 2,
    "temporal_patch_size": 2,
    "spatial_depth": 1,
    "temporal_depth": 1,
    "dim_head": 4,
    "heads": 3,
}


@pytest.fixture
def small_video(golden: Path) -> Tensor:
    """Input of the small golden case."""
    return load_file(golden / "ctvit_small.video.safetensors")["video"]


def read_io(golden: Path, name: str) -> dict[str, Tensor]:
    """Expected vectors of a case, with its video."""
    values = load_file(golden / f"{name}.io.safetensors")
    if "video" not in values:
        values |= load_file(golden / f"{name}.video.safetensors")
    return values


@pytest.mark.parametrize("name", ["ctvit_small", "ctvit_rect"])
@pytest.mark.parametrize("record", [False, True])
@torch.no_grad()
def test_golden_tokens(golden: Path, load_encoder, name: str, record: bool) -> None:
    """Tokens before the codebook, codes and tokens are the reference's, fused and explicit."""
    io = read_io(golden, name)
    output = load_encoder(name).encode(io["video"], record=record)

    torch.testing.assert_close(output.tokens_pre_codebook, io["tokens_pre_vq"], **TOLERANCE)
    assert torch.equal(output.indices, io["indices"])
    assert torch.equal(output.tokens, io["tokens"])


@pytest.mark.parametrize("name", ["ctvit_small", "ctvit_rect"])
@torch.no_grad()
def test_golden_records(golden: Path, load_encoder, name: str) -> None:
    """Input, map and output of every attention layer are the reference's."""
    io, encoder = read_io(golden, name), load_encoder(name)
    blocks = encoder.encode(io["video"], record=True).blocks

    assert len(blocks) == 4
    torch.testing.assert_close(encoder.spatial_rel_pos_bias(), io["spatial.pos_bias"], **TOLERANCE)
    for block in blocks:
        for part in ("attn_in", "attn_map", "attn_out"):
            expected = io[f"{block.tower}.{block.index}.{part}"]
            torch.testing.assert_close(getattr(block, part), expected, **TOLERANCE)


def _normed_keys(self: Attention, x: Tensor) -> tuple[Tensor, Tensor]:
    key, value = self.to_kv(self.norm(x)).chunk(2, dim=-1)
    return F.normalize(self._split(key), dim=-1) * self.k_scale, self._split(value)


def _symmetric(self: PositionConvolution, x: Tensor, grid: tuple[int, ...]) -> Tensor:
    cells = x.reshape(*grid, -1).permute(0, 4, 1, 2, 3)
    return self.dsconv(F.pad(cells, (1, 1, 1, 1, 1, 1))).permute(0, 2, 3, 4, 1).reshape(x.shape)


def _right_order(self: PositionConvolution, x: Tensor, grid: tuple[int, ...]) -> Tensor:
    b, t, h, w = grid
    temporal = x.shape[1] == t
    cells = x.reshape(b, h, w, t, -1).permute(0, 3, 1, 2, 4) if temporal else x.reshape(*grid, -1)
    out = self.dsconv(F.pad(cells.permute(0, 4, 1, 2, 3), (1, 1, 1, 1, 2, 0)))
    out = out.permute(0, 2, 3, 4, 1)
    return (out.permute(0, 2, 3, 1, 4) if temporal else out).reshape(x.shape)


def _scale_before_norm(self: Attention, x: Tensor) -> Tensor:
    return F.normalize(self._split(self.to_q(self.norm(x))) * self.q_scale, dim=-1)


def _no_key_scale(self: Attention, x: Tensor) -> tuple[Tensor, Tensor]:
    key, value = self.to_kv(x).chunk(2, dim=-1)
    return F.normalize(self._split(key), dim=-1), self._split(value)


def _swapped_gate(self: GatedGelu, x: Tensor) -> Tensor:
    value, gate = x.chunk(2, dim=-1)
    return gate * F.gelu(value)


def _tanh_gate(self: GatedGelu, x: Tensor) -> Tensor:
    value, gate = x.chunk(2, dim=-1)
    return value * F.gelu(gate, approximate="tanh")


_bias_forward = position_bias.PositionBias.forward
_layer_norm = F.layer_norm
MISTAKES = {
    "keys from the normalized input": (Attention, "key_value", _normed_keys),
    "key scale left out": (Attention, "key_value", _no_key_scale),
    "query scale before the norm": (Attention, "query", _scale_before_norm),
    "symmetric padding": (PositionConvolution, "forward", _symmetric),
    "temporal convolution on the right order": (PositionConvolution, "forward", _right_order),
    "value and gate swapped": (GatedGelu, "forward", _swapped_gate),
    "tanh GELU": (GatedGelu, "forward", _tanh_gate),
    "bias transposed": (position_bias.PositionBias, "forward", lambda s: _bias_forward(s).mT),
    "logarithm to base 2": (Tensor, "log1p", lambda s: torch.log2(1 + s)),
    "norm eps 1e-6": (F, "layer_norm", lambda *a: _layer_norm(*a[:4], 1e-6)),
    "slope 0.01": (F, "leaky_relu", lambda x, *_: torch.where(x > 0, x, 0.01 * x)),
    "rows and columns swapped": (
        nn.Sequential,
        "forward",
        None,
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
@torch.no_grad()
def test_known_mistakes_pass_the_tolerance(
    golden: Path, load_encoder, monkeypatch: pytest.MonkeyPatch, mistake: str
) -> None:
    """Each error that re-implementations make moves the tokens by more than we allow."""
    io, encoder = read_io(golden, "ctvit_small"), load_encoder("ctvit_small")
    owner, name, wrong = MISTAKES[mistake]
    video = io["video"]
    if wrong is None:
        video = video.mT.contiguous()
        monkeypatch.setattr(encoder, "to_patch_emb", _TransposedCells(encoder.to_patch_emb))
    else:
        monkeypatch.setattr(owner, name, wrong)
    tokens = encoder.encode(video).tokens_pre_codebook

    assert (tokens - io["tokens_pre_vq"]).abs().max() > 5e-5 + 1e-5 * 5


class _TransposedCells(nn.Module):
    """Embeds patches of a transposed image and puts them back: only cells are transposed."""

    def __init__(self, embed: nn.Module) -> None:
        super().__init__()
        self.embed = embed

    def forward(self, video: Tensor) -> Tensor:
        return self.embed(video).transpose(2, 3)


def gradients(encoder: CTViT, video: Tensor, *, record: bool) -> dict[str, Tensor]:
    """Gradient of a fixed function of the tokens, for every weight."""
    encoder.zero_grad()
    walk = Walk(encoder, video, maps=record)
    for _ in walk:
        pass
    walk.tokens.square().mean().backward()
    return {name: weight.grad.clone() for name, weight in encoder.named_parameters()}


def test_explicit_maps_and_recomputation_change_no_gradient() -> None:
    """Fused attention, open maps and activation checkpointing agree, forward and backward."""
    torch.manual_seed(0)
    encoder = CTViT(**SIZES).double().train()
    video = torch.randn(2, 1, 6, 6, 4, dtype=torch.float64)
    plain = gradients(encoder, video, record=True)
    fused = gradients(encoder, video, record=False)
    encoder.recompute = True
    again = gradients(encoder, video, record=True)

    assert all(value.abs().sum() > 0 for value in plain.values())
    for other in (fused, again):
        torch.testing.assert_close(other, plain)


def test_bias_equals_the_network_on_every_pair() -> None:
    """Running the network once an offset gives what running it once a pair would; gradient too."""
    torch.manual_seed(0)
    bias = position_bias.PositionBias(6, 2, (3, 2)).double()
    target = torch.randn(2, 6, 6, dtype=torch.float64)
    cells = torch.tensor([(row, column) for row in range(3) for column in range(2)])
    offset = (cells[:, None] - cells[None, :]).double()
    slow = bias.net(offset.sign() * torch.log(1 + offset.abs())).permute(2, 0, 1)
    weights = list(bias.parameters())
    expected = torch.autograd.grad((slow * target).sum(), weights)
    found = torch.autograd.grad((bias() * target).sum(), weights)

    torch.testing.assert_close(bias(), slow)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_published_names_and_shapes(golden: Path, version: str) -> None:
    """At full size, names and shapes are those of the published weights that are alive."""
    keys = json.loads((golden / "ctvit_keys.json").read_text())
    with torch.device("meta"):
        encoder = getattr(CTViT, version)()
    own = {name: list(tensor.shape) for name, tensor in encoder.state_dict().items()}
    # The counts of the codebook play no part in encoding, but training goes on from them.
    dead = set(keys["dead"]) - {"vq._codebook.cluster_size"}

    assert own == {name: shape for name, shape in keys[version].items() if name not in dead}
    count = sum(weight.numel() for weight in encoder.parameters())
    assert count == {"v1": 28_304_768, "v2": 23_421_768}[version]


@pytest.mark.parametrize(
    ("shape", "fault"),
    [
        ((1, 2, 4, 6, 4), "2 channels"),
        ((1, 1, 4, 4, 6), r"\(4, 6\) and not \(6, 4\)"),
        ((1, 1, 5, 6, 4), "5 frames, no multiple of 2"),
    ],
)
def test_wrong_videos_are_refused(shape: tuple[int, ...], fault: str) -> None:
    """A video that would be cut wrongly is an error that tells its size."""
    with pytest.raises(RecipeError, match=fault):
        CTViT(**SIZES)(torch.zeros(shape))


def test_patches_must_divide_the_image() -> None:
    """So must a patch that would leave a rest."""
    with pytest.raises(RecipeError, match="do not divide"):
        CTViT(**{**SIZES, "patch_size": 4})
