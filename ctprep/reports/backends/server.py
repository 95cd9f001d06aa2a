"""The openai backend: a server with OpenAI's chat interface answers (vLLM, llama.cpp, Ollama)."""

import hashlib
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from ctprep.reports.backends.at_once import work_at_once
from ctprep.reports.backends.backend import in_order
from ctprep.reports.backends.chat_reply import Said
from ctprep.reports.backends.prompt import (
    ANSWER_SCHEMA,
    THINKING_TOKENS,
    Mode,
    build_messages,
    count_answer_tokens,
    drop_thoughts,
    read_prompts,
    read_reply,
)
from ctprep.reports.model_folder import missing_extra
from ctprep.store.errors import BackendError

try:
    from ctprep.reports.backends.http_chat import HttpChat, Refusal
except ImportError as error:
    raise missing_extra("httpx2") from error

KEY_VARIABLE = "OPENAI_API_KEY"
CONCURRENCY = 8
TIMEOUT_S = 120.0
# The slowest of a chunk is waited for, so that a short one would leave the server idle.
_ROUNDS_A_CHUNK = 8

_ABOUT_OPTIONS = frozenset({400, 415, 422, 501})

logger = logging.getLogger(__name__)


class OpenAiBackend:
    """Asks a server, several reports at once.

    Args:
        model: as the server calls it.
        base_url: of the server, up to `/v1`.
        key_variable: environment variable that holds the key; unset or empty for none.
        concurrency: questions at once.
        timeout_s: for one answer.
        backoff_s: pause before a second try; doubled for each one after.

    Raises:
        BackendError: the address or the key cannot be used.
    """

    name = "openai"

    def __init__(
        self,
        model: str,
        *,
        base_url: str,
        key_variable: str = KEY_VARIABLE,
        concurrency: int = CONCURRENCY,
        timeout_s: float = TIMEOUT_S,
        backoff_s: float = 1.0,
    ) -> None:
        self.model = model
        self.prompt_hash = hashlib.sha256(
            f"{read_prompts().data_hash} temperature 0".encode()
        ).hexdigest()
        self.chunk = concurrency * _ROUNDS_A_CHUNK
        self._concurrency = concurrency
        self._chat = HttpChat(
            check_url(base_url).rstrip("/") + "/chat/completions",
            read_key(key_variable),
            timeout_s=timeout_s,
            backoff_s=backoff_s,
            concurrency=concurrency,
        )
        self._dialect = 0
        """How this server wants to be asked, found out by trying; see `_write_body`."""
        self._has_answered = False
        self._spare = 0
        """Tokens for thoughts, once the model has shown that it has them."""

    def answer(self, reports: Sequence[Sequence[str]]) -> list[str]:
        """Answer with the numbers of the sentences to keep."""
        return in_order(self.chat("extractive", reports), len(reports))

    def chat(
        self, mode: Mode, reports: Sequence[Sequence[str]], wrong: Sequence[str] | None = None
    ) -> Iterator[Mapping[int, str]]:
        """Ask about all reports at once; see `ChatBackend.chat`."""
        told: Sequence[str | None] = [None] * len(reports) if wrong is None else wrong
        asked = list(zip(reports, told, strict=True))
        refused: dict[int, Refusal] = {}
        try:
            for place, reply in work_at_once(
                lambda one: self._ask(mode, *one), asked, self._concurrency
            ):
                if isinstance(reply, Refusal):
                    refused[place] = reply
                else:
                    yield {place: read_reply(reply) if mode == "extractive" else reply}
        except BaseException:
            # The first failure ends the run; nobody goes on asking.
            self._chat.close()
            raise
        if refused:
            first = next(iter(refused.values()))
            self._check_works(first)
            logger.warning("the server refused %d reports: %s", len(refused), first)
            yield dict.fromkeys(refused, "")

    def _ask(self, mode: Mode, sentences: Sequence[str], wrong: str | None) -> str | Refusal:
        spare = self._spare
        reply = self._ask_in_some_way(mode, sentences, wrong, spare)
        if isinstance(reply, Said) and reply.is_all_thought and not spare:
            if not self._spare:
                self._spare = THINKING_TOKENS
                logger.warning(
                    "the model thinks before it answers, which takes up to %d tokens a report; "
                    "servers have an option against it",
                    THINKING_TOKENS,
                )
            reply = self._ask_in_some_way(mode, sentences, wrong, THINKING_TOKENS)
        return drop_thoughts(reply.text) if isinstance(reply, Said) else reply

    def _ask_in_some_way(
        self, mode: Mode, sentences: Sequence[str], wrong: str | None, spare: int
    ) -> Said | Refusal:
        refusal: Refusal | None = None
        for dialect in range(self._dialect, len(_DIALECTS)):
            # Some servers fail over a schema that they do not know: llama-cpp-python, with 500.
            doubts = bool(_DIALECTS[dialect][0]) and mode == "extractive" and not self._has_answered
            body = self._write_body(dialect, mode, sentences, wrong, spare)
            reply = self._chat.ask(body, doubts=doubts)
            if not isinstance(reply, Refusal):
                self._dialect = max(self._dialect, dialect)
                self._has_answered = True
                return reply
            refusal = refusal or reply
            # Only what can be about an option is asked in another way.
            if reply.status not in _ABOUT_OPTIONS and not (doubts and reply.status == 500):
                break
        assert refusal is not None
        return refusal

    def _write_body(
        self, dialect: int, mode: Mode, sentences: Sequence[str], wrong: str | None, spare: int
    ) -> dict[str, Any]:
        limit = count_answer_tokens(sentences, mode)
        form, is_thinking = _DIALECTS[dialect]
        body: dict[str, Any] = {
            "model": self.model,
            "messages": build_messages(read_prompts().of(mode), sentences, wrong),
        }
        if is_thinking:
            body["max_completion_tokens"] = limit + THINKING_TOKENS
        else:
            body |= {"max_tokens": limit + spare, "temperature": 0}
        if form == "json_schema" and mode == "extractive":
            schema = {"name": "kept_sentences", "strict": True, "schema": ANSWER_SCHEMA}
            body["response_format"] = {"type": form, form: schema}
        elif form and mode == "extractive":
            body["response_format"] = {"type": form, "schema": ANSWER_SCHEMA}
        return body

    def _check_works(self, refusal: Refusal) -> None:
        """Tell a report that the server cannot take from a server that takes none."""
        example, _ = read_prompts().extractive.examples[0]
        if isinstance(self._ask("extractive", example, None), Refusal):
            models = self._chat.tell_models()
            is_known = not models or self.model in models.split(", ")
            has = "" if is_known else f" (it has: {models})"
            mend = f"check --model{has}, and that the server is one for chats; its log says more"
            if not refusal.status:
                mend = "give it more time (--timeout), or ask less at once (--concurrency)"
            raise BackendError(
                f"the server refuses to answer: {refusal}", mend=mend, where=self._chat.place
            )


_DIALECTS = (
    ("json_schema", False),
    ("json_object", False),  # of llama-cpp-python
    ("", False),
    ("json_schema", True),
    ("", True),
)
"""Ways to ask: the form of the answer, and as models that think before they answer want it."""


def check_url(base_url: str) -> str:
    """Check the address of a server.

    Raises:
        BackendError: it is no web address, or holds a secret, which messages would show.
    """
    try:
        parts = urlsplit(base_url)
        _ = parts.port
    except ValueError as error:
        raise BackendError(
            f"--base-url is no web address: {error}",
            mend="give one such as http://localhost:8000/v1",
        ) from error
    if parts.username or parts.password or parts.query or parts.fragment:
        raise BackendError(
            "--base-url holds a user, a password or a query",
            mend=f"give the bare address, and the key in {KEY_VARIABLE}",
        )
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise BackendError(
            f"--base-url is no web address: {base_url!r}",
            mend="give one such as http://localhost:8000/v1",
        )
    if parts.scheme == "http" and parts.hostname not in {"localhost", "127.0.0.1", "::1"}:
        logger.warning("reports and key go to %s without encryption", parts.hostname)
    return base_url


def read_key(variable: str) -> str:
    """Read a key from the environment.

    Raises:
        BackendError: it is not there though its variable was named, or holds what no header can
            carry; no message holds it.
    """
    if variable != KEY_VARIABLE and not os.environ.get(variable):
        # Unnamed: it may be the key itself that was given.
        raise BackendError(
            "the environment variable of --key-variable is not set",
            mend="give the name of a variable that holds the key, not the key; export it first",
        )
    key = os.environ.get(variable, "").strip()
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise BackendError(
            f"the key in {variable} holds spaces or signs that no key has",
            mend="set it again, without quotation marks or line breaks",
        )
    return key
