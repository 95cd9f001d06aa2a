"""What `torchrun` starts in tests: recipe after recipe, `recipe.toml` or `recipe.toml@steps`."""

import sys
from itertools import islice
from pathlib import Path

from ctlite.recipe import load_recipe
from ctlite.trainer import train

for argument in sys.argv[1:]:
    name, _, steps = argument.partition("@")
    reports = train(load_recipe(name), Path(name).with_suffix(""))
    for report in islice(reports, int(steps) if steps else None):
        sys.stdout.write(f"{report.step}\n")
        sys.stdout.flush()
    reports.close()
