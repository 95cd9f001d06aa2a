"""What is wrong with a recipe, in words of its file: keys by their path, and the nearest ones."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import ErrorDetails

VALUE_SHOWN = 60
"""Letters of a wrong value."""


def fault_lines(fault: ErrorDetails, recipe: type[BaseModel]) -> list[str]:
    """Tell a fault of a recipe.

    Args:
        fault: as pydantic found it.
        recipe: the model of the whole recipe.

    Returns:
        A line each, beginning with the key.
    """
    place = [str(part) for part in fault["loc"]]
    sections = sections_of(recipe)
    # The tag of the stage's section comes second in a path, and is no key of the file.
    tag = place.pop(1) if place[:1] == ["stage"] and len(place) > 2 else None
    if tag is not None:
        sections["stage"] = sections[f"stage:{tag}"]
    key = ".".join(place)
    kind, context = fault["type"], fault.get("ctx", {})
    if not place:
        return str(fault["msg"]).removeprefix("Value error, ").splitlines()
    if kind == "missing":
        return [f"{key}: it is missing"]
    if kind == "extra_forbidden":
        return [f"{key}: there is no such key; {_nearest_key(key, sections)}"]
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        stages = [name.removeprefix("stage:") for name in sections if name.startswith("stage:")]
        given = context.get("tag")
        what = "it is missing" if given is None else f"there is no stage {given!r}"
        return [f"{key}.name: {what}; {suggest(str(given), stages)}"]
    value = repr(fault["input"])
    shown = value if len(value) <= VALUE_SHOWN else value[:VALUE_SHOWN] + "..."
    return [f"{key}: {str(fault['msg']).removeprefix('Value error, ')} (given: {shown})"]


def sections_of(recipe: type[BaseModel]) -> dict[str, list[str]]:
    """List the keys of a recipe.

    Args:
        recipe: the model of the whole recipe.

    Returns:
        Keys by the path of their section, "" for the top. Those of each stage stand under
        `stage:NAME`, and those of any under `stage`.
    """
    found: dict[str, list[str]] = {}
    _collect(recipe, "", found)
    return found


def _collect(section: type[BaseModel], path: str, found: dict[str, list[str]]) -> None:
    keys = [field.alias or name for name, field in section.model_fields.items()]
    found.setdefault(path, []).extend(key for key in keys if key not in found.get(path, []))
    for key, field in zip(keys, section.model_fields.values(), strict=True):
        inner = f"{path}.{key}".strip(".")
        for part in _models(field.annotation):
            _collect(part, inner, found)
            name = part.model_fields.get("name")
            if inner == "stage" and name is not None:
                own = [other.alias or key for key, other in part.model_fields.items()]
                found[f"stage:{get_args(name.annotation)[0]}"] = own


def _models(annotation: Any) -> list[type[BaseModel]]:  # noqa: ANN401
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models(part)]


def _nearest_key(key: str, sections: dict[str, list[str]]) -> str:
    section, _, name = key.rpartition(".")
    own = sections.get(section, [])
    close = get_close_matches(name, own, n=1)
    if close:
        return f"did you mean {section}.{close[0]}?" if section else f"did you mean {close[0]}?"
    elsewhere = [
        f"{other}.{name}" for other, keys in sections.items() if ":" not in other and name in keys
    ]
    if elsewhere:
        return f"did you mean {elsewhere[0].strip('.')}?"
    return f"{f'[{section}]' if section else 'a recipe'} has {', '.join(own)}"


def suggest(name: str, known: Iterable[str]) -> str:
    """Tell which of the known names is meant, or all of them.

    Args:
        name: as it was given.
        known: all that there are.

    Returns:
        `did you mean fast?`, or `there are clip, fast, sfp`.
    """
    names = list(known)
    close = get_close_matches(name, names, n=1)
    return f"did you mean {close[0]}?" if close else f"there are {', '.join(names)}"
