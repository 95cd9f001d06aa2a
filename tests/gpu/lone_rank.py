"""What `torchrun` starts: `alone` or `group`, and recipes for one process.

NCCL refuses two processes on one GPU. In `group`, a group of one goes the way of many over it:
weights are broadcast, gradients reduced, parameters divided into one part, values gathered.
"""

import sys
from pathlib import Path

from ctlite import ranks
from ctlite.recipe import load_recipe
from ctlite.trainer import train


class One(int):
    """The number 1, which says that it is another one and greater."""

    def __eq__(self, other: object) -> bool:
        """Never."""
        return False

    def __gt__(self, other: int) -> bool:
        """Always."""
        return True

    __hash__ = int.__hash__


mode, *recipes = sys.argv[1:]
if mode == "group":
    ranks.world_size = lambda: One(1)
for name in recipes:
    for report in train(load_recipe(name), Path(name).with_suffix("")):
        sys.stdout.write(f"{report.step}\n")
if ranks.dist.is_initialized():
    sys.stdout.write(f"{ranks.dist.get_backend()} of {ranks.dist.get_world_size()}\n")
