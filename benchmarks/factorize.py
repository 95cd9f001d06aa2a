"""How long, and in how much memory, does the projection of CT-CLIP v1 become an SFP?

A model of its geometry with random weights (dense projection 2,097,152 -> 512) is saved, and
`ctlite factorize` runs on it in a process of its own, whose memory is watched. Beside it stand
what nobody can do without: reading the file, and the bare decompositions.
Run: python benchmarks/factorize.py [--rank N] [--out FOLDER]
It needs 8 GB of disk under the temporary folder.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from full_size import save_teacher
from results import publish

from ctlite.models.projection import sfp_parameter_counts
from ctlite.models.projection_init import NUMBERS_AT_ONCE
from ctprep.store.attributes import StoreAttributes
from ctprep.store.grids import load_grid

INPUTS, OUTPUTS = 2_097_152, 512
ROWS, COLUMNS = 16, 32
GIB = 2**30


def factorize(model: Path, out: Path, rank: int) -> tuple[float, float, float, float]:
    """Run the command; give seconds, most GiB resident, most GiB of its own, share kept."""
    command = [sys.executable, "-c", "from cli.ctlite import main; main()"]
    command += ["factorize", str(model), str(out), "--rank", str(rank), "--json"]
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    resident = own = 0
    while process.poll() is None:
        try:
            lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
        except OSError:
            break
        told = {line.split(":")[0]: line.split() for line in lines if line.startswith("Rss")}
        rss = {name: int(cells[1]) * 1024 for name, cells in told.items()}
        resident = max(resident, sum(rss.values()))
        own = max(own, rss.get("RssAnon", 0))
        time.sleep(0.1)
    text, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"ctlite factorize ended with {process.returncode}")
    return time.perf_counter() - began, resident / GIB, own / GIB, json.loads(text)["kept_share"]


def read_s(path: Path) -> float:
    """Seconds to read a file once."""
    began = time.perf_counter()
    with path.open("rb", buffering=0) as file:
        while file.read(2**24):
            pass
    return time.perf_counter() - began


def decompose_s() -> float:
    """Seconds for all decompositions of 16 x 16, from some of them."""
    count = NUMBERS_AT_ONCE // OUTPUTS**2 * ROWS * COLUMNS
    slices = torch.randn(count, ROWS, COLUMNS, dtype=torch.float64)
    grams = slices @ slices.mT
    began = time.perf_counter()
    torch.linalg.eigh(grams)
    return (time.perf_counter() - began) * INPUTS // OUTPUTS * ROWS * COLUMNS / count


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rank", type=int, default=6)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        save_teacher(StoreAttributes(kind="hifi", grid=load_grid("ct-clip")), work / "dense")
        size = (work / "dense" / "model.safetensors").stat().st_size
        os.sync()
        bare_read, bare_eigh = read_s(work / "dense" / "model.safetensors"), decompose_s()
        seconds, resident, own, kept = factorize(work / "dense", work / "sfp", arguments.rank)
    exact, ideal = sfp_parameter_counts(INPUTS, OUTPUTS, arguments.rank)
    publish(
        "factorize",
        [
            f"# Dense projection of CT-CLIP v1 to an SFP of rank {arguments.rank}",
            "",
            f"By `benchmarks/factorize.py`: random weights, {size / 1e9:.2f} GB, "
            f"{torch.get_num_threads()} threads; {INPUTS * OUTPUTS:,} weights become {exact:,} "
            f"(ideal formula {ideal:,.0f}).",
            "Random weights keep least; what a trained projection keeps is not known here.",
            "",
            "| question | figure | beside it |",
            "|---|---|---|",
            f"| whole command, s | {seconds:.0f} | reading the file {bare_read:.1f}, "
            f"bare decompositions {bare_eigh:.0f} |",
            f"| most memory of its own, GiB | {own:.2f} | goal: 8, with all else |",
            f"| most memory with mapped pages, GiB | {resident:.2f} | pages of the mapped file "
            "may be dropped by the system |",
            f"| kept of the squared norm | {100 * kept:.1f} % | 67 % by theory for i.i.d. "
            "weights at rank 6 (docs/mathematics.md, SFP) |",
        ],
        arguments.out,
    )


if __name__ == "__main__":
    main()
