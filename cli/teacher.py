"""How the conversion of a checkpoint is shown: what was found in it, a bar, what was written."""

import json
from collections import Counter
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
        with progress_bar() as progress:
            total = teacher.work_bytes // MIB
            task = progress.add_task("convert-teacher (MiB)", total=total)
            for done in write_teacher(teacher, out):
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
    counts = Counter(_part(name) for name in teacher.left_out)
    left_out = ", ".join(f"{part} ({count})" for part, count in sorted(counts.items()))
    size = sum(teacher.left_out.values()) / 1e9
    say(f"left out as they take no part ({size:.2f} GB): {left_out or 'nothing'}")
    say(f"licence of the weights, and of what is trained from them: {LICENSE}")
    verb = "would write" if dry_run else "wrote"
    say(f"{verb} {teacher.weight_bytes / 1e9:.2f} GB to {out}")


def _part(name: str) -> str:
    """The dead weights of a layer are told by what they are, not by the layer's number."""
    kept = [word for word in name.split(".")[:-1] if not word.isdigit() and word != "layers"]
    return show_name(".".join(kept or [name]))
