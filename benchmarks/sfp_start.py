"""How much memory does stage sfp need to start from a model with a dense projection?

A model whose projection is 524,288 -> 512, a quarter of CT-CLIP v1's, with random weights is
saved, and a process of its own builds the stage from it, whose memory is watched.
Run: python benchmarks/sfp_start.py [--rank N] [--out FOLDER]
It needs 1.1 GB of disk under the temporary folder.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from results import publish

from ctlite.models.config import ModelConfig, Preprocessing, VisionConfig
from ctlite.models.ct_clip import CtClip
from ctlite.models.text_encoder import build_small_bert
from ctlite.stages.sfp import SfpConfig
from ctlite.stages.stage import Setup
from ctprep.store.attributes import LUNG, Grid, StoreAttributes

GRID = Grid(name="quarter", spacing_mm=(3, 1, 1), shape=(32, 256, 256))
OUTPUTS = 512
GIB = 2**30


def save_dense(folder: Path) -> int:
    """Save the model; give the inputs of its projection."""
    vision = VisionConfig(
        **{"image_size": 256, "frames": 32, "patch_size": 8, "temporal_patch_size": 4},
        **{"dim": 64, "codebook_size": 64, "spatial_depth": 1, "temporal_depth": 1},
        **{"dim_head": 32, "heads": 2},
    )
    config = ModelConfig(
        vision=vision,
        latent_dim=OUTPUTS,
        pooling="none",
        preprocessing=Preprocessing(kind="jpeg", window=LUNG, grid=GRID),
    )
    text = build_small_bert(["No nodule."], width=16, layers=1)
    CtClip(config, text).save_pretrained(folder)
    return config.projection_in


def build(model: Path, rank: int) -> None:
    """Build the stage, as `ctlite train` does; then wait to be read off."""
    jpeg = StoreAttributes(kind="jpeg", grid=GRID, window=LUNG, quality=90, encode_at="resampled")
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    setup = Setup(model=None, init=model, hifi=None, jpeg=jpeg)
    stage = SfpConfig(name="sfp", rank=rank).build(setup)
    sys.stdout.write(f"{sum(each.nbytes for each in stage.state_dict().values())}\n")


def rss(process: int) -> dict[str, float]:
    """GiB resident by kind."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    told = {line.split(":")[0]: line.split() for line in lines if line.startswith("Rss")}
    return {name: int(cells[1]) * 1024 / GIB for name, cells in told.items()}


def watch(model: Path, rank: int) -> tuple[float, float, float, float, float]:
    """Seconds; GiB of its own before and at most, with mapped pages at most, of the stage."""
    command = [sys.executable, __file__, "--rank", str(rank), "--build", str(model)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        before = own = rss(process.pid)["RssAnon"]
        resident = 0.0
        began = time.perf_counter()
        process.stdin.write("\n")
        process.stdin.flush()
        while process.poll() is None:
            found = rss(process.pid)
            # A process that has just ended has none.
            own = max(own, found.get("RssAnon", 0))
            resident = max(resident, sum(found.values()))
            time.sleep(0.005)
        took = time.perf_counter() - began
        nbytes = int(process.stdout.readline())
    return took, before, own, resident, nbytes / GIB


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rank", type=int, default=6)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    parser.add_argument("--build", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.build is not None:
        build(arguments.build, arguments.rank)
        return
    with tempfile.TemporaryDirectory() as folder:
        inputs = save_dense(Path(folder))
        took, before, own, resident, stage = watch(Path(folder), arguments.rank)
    publish(
        "sfp-start",
        [
            f"# Start of stage sfp from a dense projection {inputs:,} -> {OUTPUTS}",
            "",
            f"By `benchmarks/sfp_start.py`: random weights, rank {arguments.rank}, "
            f"{torch.get_num_threads()} threads; dense {inputs * OUTPUTS * 4 / GIB:.2f} GiB, "
            f"whole stage {stage:.2f} GiB.",
            "",
            "| question | figure | beside it |",
            "|---|---|---|",
            f"| building the stage, s | {took:.0f} | |",
            f"| most memory of its own, GiB | {own:.2f} | {before:.2f} before it begins |",
            f"| most memory with mapped pages, GiB | {resident:.2f} | pages of the mapped file "
            "may be dropped by the system |",
        ],
        arguments.out,
    )


if __name__ == "__main__":
    main()
