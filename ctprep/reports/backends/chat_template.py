"""How a chat model wants its turns written, found out from its template by trying."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ctprep.reports.backends.prompt import BEGINNINGS_OF_THOUGHT, Message
from ctprep.store.errors import BackendError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_PROBE: list[Message] = [
    {"role": "user", "content": "first question"},
    {"role": "assistant", "content": "first answer"},
    {"role": "user", "content": "second question"},
]


class ChatTemplate:
    """Writes chats in tokens.

    Args:
        tokenizer: of the model.

    Raises:
        BackendError: it has no template, or one that leaves out what is said.
    """

    def __init__(self, tokenizer: "PreTrainedTokenizerBase") -> None:
        self._tokenizer: Any = tokenizer
        if not getattr(tokenizer, "chat_template", None):
            raise BackendError(
                "the language model has no chat template",
                mend="take one that is tuned for instructions; their names often end in -it or "
                "-instruct",
            )
        self._special = sorted(
            (token.content for token in tokenizer.added_tokens_decoder.values() if token.special),
            key=len,
            reverse=True,
        )
        self._in_parts = self._find_form()
        self.end_of_turn = self._find_end_of_turn()
        """Token with which the model ends its turn; None where the template tells of none."""
        self.opens_thought = self._render(_PROBE).rstrip().endswith(BEGINNINGS_OF_THOUGHT)
        """The template has the model think before it answers, and cannot be told not to."""

    def encode(self, messages: Sequence[Message]) -> list[int]:
        """Write a chat in tokens, up to where the answer begins."""
        # The template writes the tokens of the beginning itself: none is added to them.
        token_ids = self._tokenizer.apply_chat_template(
            self._shape(messages),
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            enable_thinking=False,
        )["input_ids"]
        return list(token_ids)

    def without_special(self, text: str) -> str:
        """Make plain text of control words: a report that holds one must not end its turn."""
        for token in self._special:
            text = text.replace(token, " ")
        return text

    def _shape(self, messages: Sequence[Message]) -> list[dict[str, Any]]:
        if not self._in_parts:
            return [dict(message) for message in messages]
        return [
            {"role": turn["role"], "content": [{"type": "text", "text": turn["content"]}]}
            for turn in messages
        ]

    def _render(self, messages: Sequence[Message], *, asks: bool = True) -> str:
        text: str = self._tokenizer.apply_chat_template(
            self._shape(messages),
            add_generation_prompt=asks,
            tokenize=False,
            enable_thinking=False,
        )
        return text

    def _find_form(self) -> bool:
        """Tell whether turns have to be lists of parts; given text, such templates write none."""
        from jinja2 import TemplateError

        why = "it leaves out what is said"
        for self._in_parts in (False, True):
            try:
                text = self._render(_PROBE)
            except (TemplateError, TypeError, ValueError, LookupError) as error:
                why = (str(error).splitlines() or [""])[0]
                continue
            if all(turn["content"] in text for turn in _PROBE):
                return self._in_parts
        raise BackendError(
            f"the language model's chat template cannot be used: {why}",
            mend="take a model for chats of a user and an assistant, or the template of its "
            "publisher (chat_template.jinja in its folder)",
        )

    def _find_end_of_turn(self) -> int | None:
        answer = _PROBE[1]["content"]
        rest = self._render(_PROBE[:2], asks=False).rpartition(answer)[2].lstrip()
        for token in self._special:
            if rest.startswith(token):
                return int(self._tokenizer.convert_tokens_to_ids(token))
        return None
