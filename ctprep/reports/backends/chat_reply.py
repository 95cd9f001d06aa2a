"""What a server's reply holds: what the model wrote, why it refuses, which models there are."""

import json
import re
from dataclasses import dataclass

from ctprep.reports.backends.prompt import is_unfinished_thought

_CODE = re.compile(r"[a-z][a-z0-9_.-]{1,40}")
_MODEL = re.compile(r"[\w.:/@-]{1,120}")
_MAX_MODELS = 8


@dataclass(frozen=True)
class Said:
    """What a model wrote."""

    text: str
    is_all_thought: bool = False
    """It thought until its tokens were used up, and wrote no answer."""


def read_said(content: bytes) -> Said | None:
    """Find what the model wrote; None where the reply is none of a chat."""
    try:
        choice = json.loads(content)["choices"][0]
        message = choice["message"]
    except (ValueError, TypeError, LookupError, RecursionError):
        return None
    if not isinstance(message, dict):
        return Said("")
    text = _read_text(message.get("content"))
    # vLLM and llama.cpp keep thoughts apart, under one name or the other.
    has_thoughts = bool(message.get("reasoning_content") or message.get("reasoning"))
    is_open = not text.strip() or is_unfinished_thought(text)
    is_cut = choice.get("finish_reason") == "length"
    return Said(text, is_all_thought=is_cut and (is_open or has_thoughts))


def _read_text(content: object) -> str:
    if isinstance(content, list):
        # In parts, of which thoughts are another type.
        parts = [part for part in content if isinstance(part, dict) and part.get("type") == "text"]
        content = "".join(part["text"] for part in parts if isinstance(part.get("text"), str))
    return content if isinstance(content, str) else ""


def read_code(content: bytes | str, key: str) -> str:
    """Find the server's word for a refusal; its sentences may hold the key or the report.

    Args:
        content: of the reply.
        key: what is not to be told.

    Returns:
        The word, or nothing.
    """
    try:
        error = json.loads(content)["error"]
        code = error.get("code") or error.get("type")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return ""
    is_safe = isinstance(code, str) and _CODE.fullmatch(code) and not (key and key in code)
    return code if is_safe else ""


def read_models(content: bytes, key: str) -> list[str]:
    """Find the first names in a list of models.

    Args:
        content: of the reply.
        key: what is not to be told.

    Returns:
        Names that look like one.
    """
    try:
        names = [one["id"] for one in json.loads(content)["data"]]
    except (ValueError, TypeError, LookupError, RecursionError):
        return []
    plain = [name for name in names if isinstance(name, str) and _MODEL.fullmatch(name)]
    return [name for name in plain if not (key and key in name)][:_MAX_MODELS]
