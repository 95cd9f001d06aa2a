"""How the weights of a file differ from those of a model, in lines that a person can read."""

import re
from collections.abc import Mapping

from ctlite.models.weights_file import show_name

LINES_SHOWN = 20
Shape = tuple[int, ...]


def weight_diff(given: Mapping[str, Shape], own: Mapping[str, Shape]) -> str:
    """Set names and shapes side by side, those of one part of the model under one head.

    Args:
        given: what the file holds.
        own: what the model wants.

    Returns:
        At most `LINES_SHOWN` indented lines, in which layers that differ alike share one; empty
        where nothing differs.
    """
    rows: dict[tuple[str, str, str, str], list[str]] = {}
    for name in sorted(given.keys() | own.keys()):
        theirs, ours = given.get(name), own.get(name)
        if theirs != ours:
            # The numbers of layers alone: those further down tell the parts of a layer apart.
            part, rest = _split(re.sub(r"(layers?)\.\d+\.", r"\1.*.", name))
            rows.setdefault((part, rest, _text(theirs), _text(ours)), []).append(name)
    if not rows:
        return ""
    lines, last = [f"{'':52}{'checkpoint':>18}  {'model':>18}"], ""
    for (part, rest, theirs_text, ours_text), names in rows.items():
        if part != last:
            lines.append(last := part)
        shown = f"{rest} ({len(names)} layers)" if len(names) > 1 else _split(names[0])[1]
        lines.append(f"  {shown:<50}{theirs_text:>18}  {ours_text:>18}")
    if len(lines) > LINES_SHOWN:
        lines = [*lines[: LINES_SHOWN - 1], f"... and {len(lines) - LINES_SHOWN + 1} lines more"]
    return "\n".join(f"    {line}" for line in lines)


def _split(name: str) -> tuple[str, str]:
    parts = show_name(name).split(".")
    depth = min(len(parts) - 1, 2 if parts[0] == "visual_transformer" else 1)
    return ".".join(parts[:depth]) or "outside of all parts", ".".join(parts[depth:])


def _text(shape: Shape | None) -> str:
    return "none" if shape is None else str(shape)
