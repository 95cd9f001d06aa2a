"""Where does the time of a step on a GPU go, and what would be faster?

Each part of a step is timed forward and backward as it is, and in other ways that give the same
numbers but for rounding; then whole steps are, with the options that a run has.
Run: python benchmarks/gpu_parts.py [--geometry tiny|medium|v1|v2] [--batch N] [--profile]
    [--out FOLDER]
"""

import argparse
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from results import accelerator_slug, processor_slug
from step import FRAMES, GEOMETRIES
from torch import Tensor, nn
from torch._C._autograd import DeviceType

from ctlite.compiling import compile_blocks
from ctlite.losses.fast import FAST_TERMS, fast_losses
from ctlite.losses.style import style_loss
from ctlite.models.attention import Attention
from ctlite.models.codebook import find_nearest
from ctlite.models.ct_encoder import CTViT
from ctlite.models.position_bias import PositionBias
from ctlite.models.projection import SFP
from ctlite.models.tower import PositionConvolution
from ctlite.precision import Precision, computing_in

WARM_UP, ROUNDS = 3, 10
KERNELS, NAME_LENGTH = 20, 90
RANK, LATENT = 6, 512
HEADS, DIM_HEAD, MAP_SHARPNESS = 8, 32, 8.0

Way = Callable[[], Tensor]


class Bench:
    """Times ways on one device, and keeps the lines of the tables."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        """Print a line, and keep it."""
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
        self.lines.append(line)

    def table(self, title: str, ways: dict[str, Way]) -> None:
        """Time ways in turns: median of the rounds."""
        self.say(f"\n## {title}\n\n| way | ms | of the first | peak GiB | difference |")
        self.say("|---|---|---|---|---|")
        first: float | None = None
        expected: Tensor | None = None
        for name, way in ways.items():
            try:
                ms, peak, value = self._time(way)
            except (RuntimeError, TypeError, ValueError) as error:
                self.say(f"| {name} | failed: {str(error).splitlines()[0][:90]} | | | |")
                continue
            first, expected = first or ms, value if expected is None else expected
            apart = (value - expected).abs().max() / expected.abs().max().clamp(min=1e-30)
            self.say(f"| {name} | {ms:.2f} | {ms / first:.2f} | {peak:.2f} | {float(apart):.1e} |")

    def _time(self, way: Way) -> tuple[float, float, Tensor]:
        value = way().detach().float()
        for _ in range(WARM_UP - 1):
            way()
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        times = []
        for _ in range(ROUNDS):
            self._wait()
            began = time.perf_counter()
            way()
            self._wait()
            times.append(1000 * (time.perf_counter() - began))
        is_gpu = self.device.type == "cuda"
        peak = torch.cuda.max_memory_allocated(self.device) / 2**30 if is_gpu else 0.0
        return statistics.median(times), peak, value

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def both_ways(forward: Callable[[], Tensor], *inputs: Tensor) -> Way:
    """Run forward and backward; what comes back is the output."""

    def run() -> Tensor:
        for tensor in inputs:
            tensor.grad = None
        out = forward()
        torch.autograd.backward(out.float().square().mean())
        return out

    return run


@contextmanager
def tf32(wanted: bool) -> Iterator[None]:
    """Let float32 products be computed in TF32."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = wanted
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def in_tf32(way: Way) -> Way:
    """Run a way in TF32."""

    def run() -> Tensor:
        with tf32(True):
            return way()

    return run


def convolve(
    module: PositionConvolution, x: Tensor, grid: tuple[int, int, int, int], how: str
) -> Tensor:
    """Compute the position convolution in another way."""
    weight, bias = module.dsconv.weight, module.dsconv.bias
    b, t, h, w = grid
    if how == "planes":
        # Three convolutions of a plane each, the causal axis being summed by hand.
        cells = x.reshape(b * t, h, w, -1).permute(0, 3, 1, 2)
        out = None
        for back in range(3):
            part = F.conv2d(cells, weight[:, :, 2 - back], None, padding=1, groups=len(weight))
            part = part.view(b, t, *part.shape[1:])
            part = F.pad(part, (0, 0, 0, 0, 0, 0, back, 0))[:, :t]
            out = part if out is None else out + part
        assert out is not None
        assert bias is not None
        out = out + bias.to(out.dtype)[:, None, None]
        return out.permute(0, 1, 3, 4, 2).reshape(x.shape)
    if how == "shifts":
        cells = F.pad(x.reshape(*grid, -1), (0, 0, 1, 1, 1, 1, 2, 0))
        assert bias is not None
        total = bias
        for i in range(3):
            for j in range(3):
                for k in range(3):
                    part = cells[:, i : i + t, j : j + h, k : k + w]
                    total = total + part * weight[:, 0, i, j, k]
        return total.reshape(x.shape)
    cells = F.pad(x.reshape(*grid, -1).permute(0, 4, 1, 2, 3), (1, 1, 1, 1, 2, 0))
    convolved: Tensor = module.dsconv(cells)
    return convolved.permute(0, 2, 3, 4, 1).reshape(x.shape)


def time_convolution(bench: Bench, encoder: CTViT, grid: tuple[int, ...], p: Precision) -> None:
    """Position convolution of one block."""
    b, t, h, w = grid
    layer = encoder.enc_spatial_transformer.layers[0].get_submodule("0")
    assert isinstance(layer, PositionConvolution)
    dim = layer.dsconv.weight.shape[0]
    x = torch.randn(b * t, h * w, dim, device=bench.device, requires_grad=True)
    size = b, t, h, w

    def way(how: str, function: Callable[..., Tensor] = convolve) -> Way:
        def forward() -> Tensor:
            with computing_in(p, bench.device):
                return layer(x, size) if how == "as it is" else function(layer, x, size, how)

        return both_ways(forward, x)

    def tuned() -> Tensor:
        with torch.backends.cudnn.flags(enabled=True, benchmark=True):
            return way("as it is")()

    compiled = torch.compile(convolve, dynamic=False)
    bench.table(
        f"Position convolution of a block, {p}",
        {
            "as it is": way("as it is"),
            "as it is, cudnn.benchmark": tuned,
            "features last": way("features last"),
            "three planes": way("planes"),
            "27 shifts": way("shifts"),
            "27 shifts, compiled": way("shifts", compiled),
        },
    )


def time_attention(bench: Bench, grid: tuple[int, ...], dim: int, p: Precision) -> None:
    """Attention within frames, and along them."""
    b, t, h, w = grid
    layer = Attention(dim, HEADS, DIM_HEAD).to(bench.device)
    net = PositionBias(dim, HEADS, (h, w)).to(bench.device)
    spatial = torch.randn(b * t, h * w, dim, device=bench.device, requires_grad=True)
    temporal = torch.randn(b * h * w, t, dim, device=bench.device, requires_grad=True)

    def way(x: Tensor, bias: Callable[[], Tensor | None], maps: bool = False) -> Way:
        def forward() -> Tensor:
            with computing_in(p, bench.device):
                query, (key, value) = layer.query(x), layer.key_value(x)
                if maps:
                    return layer.apply_map(layer.attention_map(query, key, bias()), value)
                return layer.attend(query, key, value, bias())

        return both_ways(forward, x)

    bench.table(
        f"Attention of a spatial block, {p}",
        {
            "as it is": way(spatial, net),
            "bias without gradient": way(spatial, lambda: net().detach()),
            "open map, as for style": way(spatial, net, maps=True),
            "no bias (other numbers)": way(spatial, lambda: None),
        },
    )
    bench.table(
        f"Attention of a temporal block, {p}",
        {
            "as it is": way(temporal, lambda: None),
            "open map": way(temporal, lambda: None, maps=True),
        },
    )


def time_float32_parts(bench: Bench, encoder: CTViT, grid: tuple[int, ...]) -> None:
    """Parts that are in float32 whatever the precision of a run."""
    b, t, h, w = grid
    rows = encoder.codebook.embed[0]
    tokens = torch.randn(b * t * h * w, rows.shape[1], device=bench.device)

    def nearest() -> Tensor:
        return find_nearest(tokens, rows).float()

    bench.table("Codebook, nearest rows", {"float32": nearest, "TF32": in_tf32(nearest)})
    shape = b * t, HEADS, h * w, h * w
    maps = [
        (MAP_SHARPNESS * torch.rand(shape, device=bench.device)).softmax(dim=-1) for _ in range(2)
    ]
    own = maps[0].requires_grad_()

    def style() -> Tensor:
        own.grad = None
        loss = style_loss(own, maps[1])
        torch.autograd.backward(loss)
        return loss

    bench.table("Style loss of a spatial block", {"float32": style, "TF32": in_tf32(style)})


def time_head(bench: Bench, grid: tuple[int, ...], dim: int) -> None:
    """Projection, whose time is that of reading its weights."""
    b, t, h, w = grid
    inputs = t * h * w * dim
    x = torch.randn(b, inputs, device=bench.device, requires_grad=True)
    sfp = SFP(inputs, LATENT, RANK).to(bench.device)
    bench.table(
        "SFP, forward and backward",
        {"float32": both_ways(lambda: sfp(x), x), "TF32": in_tf32(both_ways(lambda: sfp(x), x))},
    )


def time_copy(bench: Bench, batch: int, frames: int, side: int) -> None:
    """A batch of gray levels on its way to the device."""
    is_gpu = bench.device.type == "cuda"
    shape = batch, frames, side, side
    ways = {
        "pinned": torch.zeros(shape, dtype=torch.uint8, pin_memory=is_gpu),
        "not pinned": torch.zeros(shape, dtype=torch.uint8),
    }
    bench.table(
        "Copy of a batch of gray levels",
        {
            name: lambda volume=volume: volume.to(bench.device, non_blocking=True)[0, 0, 0]  # type: ignore[misc]
            for name, volume in ways.items()
        },
    )


def time_steps(bench: Bench, asked: argparse.Namespace) -> None:
    """Whole steps with AdamW: encoder alone, and FAST."""
    side = GEOMETRIES[asked.geometry]().image_size[0]
    shape = asked.batch, 1, FRAMES[asked.geometry], side, side
    volumes = torch.randint(0, 256, shape, dtype=torch.uint8, device=bench.device)

    def way(
        kind: str,
        p: Precision,
        *,
        use_tf32: bool = False,
        recompute: bool = False,
        fuse: bool = False,
    ) -> Way:
        torch.manual_seed(0)
        teacher = GEOMETRIES[asked.geometry]().to(bench.device).eval().requires_grad_(False)
        student = GEOMETRIES[asked.geometry]().to(bench.device).train()
        student.codebook.frozen, student.recompute = True, recompute
        if fuse:
            compile_blocks(nn.ModuleList([teacher, student]))
        optimizer = torch.optim.AdamW(student.parameters(), lr=0.0, fused=True)

        def run() -> Tensor:
            with tf32(use_tf32):
                video = volumes / 127.5 - 1
                with computing_in(p, bench.device):
                    if kind == "fast":
                        terms = fast_losses(teacher, student, video, video.neg(), terms=FAST_TERMS)
                        loss = torch.stack(list(terms.terms().values())).sum()
                    else:
                        loss = student(video).float().square().mean()
                torch.autograd.backward(loss)
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
            return loss

        return run

    for kind, title in (("encoder", "Step of the image encoder"), ("fast", "Step of FAST")):
        # Made one by one: each holds two networks and moments.
        options = {
            "bfloat16": {"p": "bfloat16"},
            "bfloat16, TF32": {"p": "bfloat16", "use_tf32": True},
            "bfloat16, recompute": {"p": "bfloat16", "recompute": True},
            "bfloat16, TF32, compile": {"p": "bfloat16", "use_tf32": True, "fuse": True},
            "float32": {"p": "float32"},
            "float32, TF32": {"p": "float32", "use_tf32": True},
        }
        ways: dict[str, Way] = {
            name: _made_late(partial(way, kind, **option))  # type: ignore[arg-type]
            for name, option in options.items()
        }
        bench.table(f"{title}, batch {asked.batch}", ways)
        if asked.profile:
            profile(bench, way(kind, "bfloat16"))


def _made_late(make: Callable[[], Way]) -> Way:
    made: list[Way] = []

    def run() -> Tensor:
        if not made:
            made.append(make())
        return made[0]()

    return run


def profile(bench: Bench, way: Way) -> None:
    """Tell the kernels that take longest."""
    way()
    is_gpu = bench.device.type == "cuda"
    kinds = [torch.profiler.ProfilerActivity.CPU]
    kinds += [torch.profiler.ProfilerActivity.CUDA] if is_gpu else []
    with torch.profiler.profile(activities=kinds) as found:
        way()
        if is_gpu:
            torch.cuda.synchronize()
    kind = DeviceType.CUDA if is_gpu else DeviceType.CPU
    spent = [
        (event.self_device_time_total if is_gpu else event.self_cpu_time_total, event)
        for event in found.key_averages()
        if event.device_type == kind
    ]
    bench.say("\n| kernel | calls | ms | share |\n|---|---|---|---|")
    whole = sum(us for us, _ in spent)
    for us, event in sorted(spent, key=lambda pair: -pair[0])[:KERNELS]:
        name = event.key.replace("|", "/")[:NAME_LENGTH]
        bench.say(f"| `{name}` | {event.count} | {us / 1000:.2f} | {us / whole:.3f} |")


def main() -> None:
    """Print the tables and write them beside this file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--geometry", choices=GEOMETRIES, default="v1")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--profile", action="store_true", help="name the kernels of a step")
    parser.add_argument("--parts", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--steps", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    asked = parser.parse_args()
    is_gpu = torch.cuda.is_available()
    bench = Bench(torch.device("cuda", 0) if is_gpu else torch.device("cpu"))
    name = torch.cuda.get_device_name() if is_gpu else platform.machine()
    encoder = GEOMETRIES[asked.geometry]().to(bench.device)
    frames, patch = FRAMES[asked.geometry], encoder.patch
    side, dim = encoder.image_size[0], encoder.codebook.embed.shape[-1]
    grid = asked.batch, frames // patch[0], side // patch[1], side // patch[2]
    bench.say(f"# Parts of a step, {name}, {datetime.now(UTC).date()}\n")
    bench.say(f"Geometry {asked.geometry}, batch {asked.batch}, torch {torch.__version__}.")
    if asked.parts:
        precisions: tuple[Precision, ...] = ("bfloat16", "float32")
        for precision in precisions:
            time_convolution(bench, encoder, grid, precision)
            time_attention(bench, grid, dim, precision)
        time_float32_parts(bench, encoder, grid)
        time_head(bench, grid, dim)
        time_copy(bench, asked.batch, frames, side)
    del encoder
    if asked.steps:
        time_steps(bench, asked)
    hardware = accelerator_slug(name) if is_gpu else processor_slug()
    path = asked.out / f"gpu-parts-{asked.geometry}_{hardware}_{datetime.now(UTC).date()}.md"
    path.write_text("\n".join(bench.lines) + "\n")


if __name__ == "__main__":
    main()
