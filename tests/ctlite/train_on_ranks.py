"""What `torchrun` starts in tests: recipe after recipe, `recipe.toml` or `recipe.toml@steps`."""

import atexit
import sys
import weakref
from itertools import islice
from pathlib import Path

import torch.distributed as dist

from ctlite.recipe import load_recipe
from ctlite.trainer import train

groups: "weakref.WeakSet[dist.ProcessGroup]" = weakref.WeakSet()


@atexit.register
def look() -> None:
    """Tell of a group whose threads outlive the end; registered first, it is called last."""
    if groups:
        sys.stderr.write("Warning: a group of processes outlives its end\n")


for argument in sys.argv[1:]:
    name, _, steps = argument.partition("@")
    reports = train(load_recipe(name), Path(name).with_suffix(""))
    for report in islice(reports, int(steps) if steps else None):
        sys.stdout.write(f"{report.step}\n")
        sys.stdout.flush()
        if dist.group.WORLD is not None:
            groups.add(dist.group.WORLD)
    reports.close()
