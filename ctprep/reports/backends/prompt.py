"""What a language model is asked about a report, and what its answers look like."""

import hashlib
import json
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any, Literal

Message = dict[str, str]
Mode = Literal["extractive", "generative"]

ANSWER_SCHEMA = {
    "type": "object",
    "properties": {"keep": {"type": "array", "items": {"type": "integer"}}},
    "required": ["keep"],
    "additionalProperties": False,
}
"""JSON schema of an extractive answer; a list has to be in an object for servers to take it."""

NOTHING = "NONE"
"""What a rewrite of a report without anything abnormal is."""

THINKING_TOKENS = 4096
"""What models that think first may take before the answer."""

# Room for a fence around the answer and for the object's key.
_SPARE_TOKENS = 32
_MAX_QUOTED = 500
_THOUGHTS = (("<think>", "</think>"), ("[THINK]", "[/THINK]"), ("<unused94>", "<unused95>"))
"""How models that think first begin and end it; the last pair is MedGemma's."""
BEGINNINGS_OF_THOUGHT = tuple(begin for begin, _ in _THOUGHTS)
_FENCED = re.compile(r"```(?:\w+\n|\n)?(.*?)```", re.DOTALL)


@dataclass(frozen=True)
class Prompt:
    """A task and the examples shown before it."""

    task: str
    again: str
    """Said after a wrong answer."""
    examples: tuple[tuple[tuple[str, ...], str], ...]
    """Sentences, and the right answer."""


@dataclass(frozen=True)
class Prompts:
    """The prompts of both modes."""

    extractive: Prompt
    generative: Prompt
    data_hash: str
    """SHA-256 of the file."""

    def of(self, mode: Mode) -> Prompt:
        """Give the prompt of a mode."""
        return self.extractive if mode == "extractive" else self.generative


@lru_cache
def read_prompts() -> Prompts:
    """Read the prompts that come with the package."""
    data = files("ctprep.reports.backends").joinpath("prompts.toml").read_bytes()
    tables = tomllib.loads(data.decode("utf-8"))
    extractive, generative = tables["extractive"], tables["generative"]
    return Prompts(
        extractive=_to_prompt(
            extractive, [json.dumps({"keep": one["keep"]}) for one in extractive["examples"]]
        ),
        generative=_to_prompt(generative, [one["text"].strip() for one in generative["examples"]]),
        data_hash=hashlib.sha256(data).hexdigest(),
    )


def _to_prompt(table: dict[str, Any], answers: Sequence[str]) -> Prompt:
    sentences = (tuple(example["sentences"]) for example in table["examples"])
    return Prompt(
        task=table["task"].strip(),
        again=table["again"].strip(),
        examples=tuple(zip(sentences, answers, strict=True)),
    )


def number_sentences(sentences: Sequence[str]) -> str:
    """Give the sentences of a report as a numbered list from 0, one a line."""
    return "\n".join(f"{number}: {' '.join(text.split())}" for number, text in enumerate(sentences))


def build_messages(
    prompt: Prompt, sentences: Sequence[str], wrong: str | None = None
) -> list[Message]:
    """Write the chat that asks about one report.

    Args:
        prompt: task and examples.
        sentences: of the report.
        wrong: what the model answered before, where that was not valid.

    Returns:
        Turns of user and assistant. The task stands in the first of the user, as some chat
        templates know no system turn.
    """
    shown = [
        *prompt.examples,
        *([] if wrong is None else [(tuple(sentences), wrong[:_MAX_QUOTED])]),
    ]
    questions = [number_sentences(example) for example, _ in shown]
    question = number_sentences(sentences)
    if wrong is not None:
        question = f"{prompt.again.replace('LAST', str(len(sentences) - 1))}\n{question}"
    turns = [*questions, question]
    turns[0] = f"{prompt.task}\n\n{turns[0]}"
    messages: list[Message] = []
    for turn, (_, answer) in zip(turns, shown, strict=False):
        messages.append({"role": "user", "content": turn})
        # An empty turn breaks templates.
        messages.append({"role": "assistant", "content": answer.strip() or "?"})
    return [*messages, {"role": "user", "content": turns[-1]}]


def count_answer_tokens(sentences: Sequence[str], mode: Mode) -> int:
    """Bound the tokens of an answer.

    Args:
        sentences: of the report.
        mode: a list of numbers, or the report again.

    Returns:
        What the longest valid answer takes in a tokenizer that cuts digits and letters apart
        (extractive), or words in pieces of two letters (generative).
    """
    if mode == "extractive":
        # A number a line, as some servers have their grammar write it.
        return _SPARE_TOKENS + len(sentences) * (len(str(len(sentences))) + 4)
    return _SPARE_TOKENS + sum(len(text) for text in sentences) // 2


def drop_thoughts(reply: str) -> str:
    """Leave out what a model thought before it answered.

    Args:
        reply: what it wrote; the template may have begun the thought, so that only its end is here.
    """
    for _, end in _THOUGHTS:
        reply = reply.rpartition(end)[2]
    return reply.strip()


def is_unfinished_thought(reply: str) -> bool:
    """Tell whether a reply begins with a thought that does not end."""
    return any(reply.lstrip().startswith(begin) and end not in reply for begin, end in _THOUGHTS)


def read_reply(reply: str) -> str:
    """Take an extractive answer out of its wrapping.

    Args:
        reply: what a model wrote: a JSON list, or an object `{"keep": list}`, perhaps fenced.

    Returns:
        The JSON list, for `parse_answer` to check; anything else as it is.
    """
    text = drop_thoughts(reply)
    if fenced := _FENCED.fullmatch(text):
        text = fenced[1].strip()
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if isinstance(value, dict) and value.keys() == {"keep"}:
        return json.dumps(value["keep"])
    return text
