"""How the conversion of a checkpoint is shown: what was found in it, a bar, what was written."""

import json
import re
from collections import Counter
from contextlib import closing
from pathlib import Path

import typer

from cli.progress import progress_bar, say
from ctlite.convert_teacher import LICENSE, Teacher, check_out, write_teacher
from ctlite.models.weights_file import show_name

MIB = 2**20


def show_conversion(teacher: Teacher, out: Path, *, dry_run: bool, as_json: bool) -> None:
    """Write the model folder and tell what it is.

    Args:
        teacher: checked.
        out: of the folder.
        dry_run: whether nothing is written.
        as_json: one JSON object instead of lines.
    """
    check_out(out, teacher.weight_bytes)
    if not dry_run:
        # Closed whatever happens, so that an interrupt leaves nothing half-written behind.
        with progress_bar() as progress, closing(write_teacher(teacher, out)) as work:
            total = teacher.work_bytes // MIB
            task = progress.add_task("convert-teacher (MiB)", total=total)
            for done in work:
                progress.advance(task, done / MIB)
    if as_json:
        values = {
            "release": teacher.release,
            "out": str(out),
            "written": not dry_run,
            "weight_bytes": teacher.weight_bytes,
            "license": LICENSE,
            "left_out": dict(teacher.left_out),
            "notes": list(teacher.notes),
            "config": teacher.config.model_dump(mode="json"),
        }
        typer.echo(json.dumps(values))
        return
    low, high = teacher.config.preprocessing.hu_range or (0, 0)
    say(f"{teacher.release}: {teacher.config.geometry}")
    say(f"takes HU on the grid {teacher.config.preprocessing.grid.name}, {low:g} to {high:g}")
    for note in teacher.notes:
        say(note)
    say(f"left out, as they take no part ({sum(teacher.left_out.values()) / 1e9:.2f} GB):")
    for part, count in sorted(Counter(map(_part, teacher.left_out)).items()):
        say(f"  {part}" + (f" ({count})" if count > 1 else ""))
    say(f"licence of the weights, and of what is trained from them: {LICENSE}")
    verb = "would write" if dry_run else "wrote"
    say(f"{verb} {teacher.weight_bytes / 1e9:.2f} GB to {out}")


def _part(name: str) -> str:
    """The layer that a weight belongs to, one name for all layers of a kind."""
    alike = re.sub(r"\.layers\.\d+\.", ".layers.*.", name)
    return show_name(re.sub(r"\.(weight|bias|gamma|beta)$", "", alike))
