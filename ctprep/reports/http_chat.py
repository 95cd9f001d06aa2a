"""One question to an OpenAI-compatible server: retries, pauses, limits, and no key elsewhere."""

import email.utils
import json
import random
import re
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import httpx2

from ctprep.store.errors import BackendError

MAX_REPLY_BYTES = 1_000_000
MAX_PAUSE_S = 300.0
"""Longer pauses than this are not waited for."""

_BUSY = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_DENIED = frozenset({401, 403})
_CODE = re.compile(r"[a-z][a-z0-9_.-]{1,40}")


@dataclass(frozen=True)
class Refusal:
    """A server's refusal of one request, as opposed to a server that is not there."""

    status: int
    code: str = ""
    """The server's short word for the reason, if it gave one."""

    def __str__(self) -> str:
        return f"status {self.status}" + (f" ({self.code})" if self.code else "")


@dataclass
class Pace:
    """When the next request may be sent; shared by all threads, as a limit holds for all."""

    not_before: float = 0.0
    stopped: threading.Event = field(default_factory=threading.Event)

    def pause(self, seconds: float) -> None:
        """Let nobody ask for some seconds."""
        self.not_before = max(self.not_before, time.monotonic() + seconds)

    def wait(self, seconds: float = 0.0) -> None:
        """Wait for some seconds, and for the pauses of others.

        Raises:
            BackendError: the run was stopped meanwhile.
        """
        until = time.monotonic() + seconds
        while (left := max(until, self.not_before) - time.monotonic()) > 0:
            if self.stopped.wait(left):
                break
        if self.stopped.is_set():
            raise BackendError("the run was stopped", mend="run it again to go on")


class HttpChat:
    """A server that answers chats, asked over one pool of connections.

    Args:
        url: of the endpoint, `.../chat/completions`.
        key: secret sent to this endpoint alone; empty where it wants none.
        timeout_s: for one answer.
        tries: how often a question is sent where the server is busy or cannot be reached.
        backoff_s: pause before the second try; doubled for each one after.
        concurrency: connections.
    """

    def __init__(
        self,
        url: str,
        key: str,
        *,
        timeout_s: float,
        tries: int = 6,
        backoff_s: float = 1.0,
        concurrency: int = 8,
    ) -> None:
        try:
            self.url = httpx2.URL(url)
        except httpx2.InvalidURL as error:
            raise BackendError(
                f"--base-url is no web address: {error}",
                mend="give one such as http://localhost:8000/v1",
            ) from error
        self.timeout_s, self.tries, self.backoff_s = timeout_s, tries, backoff_s
        self.pace = Pace()
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        if key:
            headers["Authorization"] = f"Bearer {key}"
        self._client = httpx2.Client(
            headers=headers,
            # A redirect would carry report text, and maybe the key, to somewhere else.
            follow_redirects=False,
            timeout=httpx2.Timeout(timeout_s, connect=min(10.0, timeout_s)),
            limits=httpx2.Limits(max_connections=concurrency),
            # A proxy of the environment is none of a server on this machine.
            trust_env=self.url.host not in {"localhost", "127.0.0.1", "::1"},
        )

    def ask(self, body: dict[str, Any]) -> str | Refusal:
        """Send a question until it is answered, refused, or the tries are used up.

        Args:
            body: of the request.

        Returns:
            What the model wrote, empty where that was too much; or why the server refuses.

        Raises:
            BackendError: the server cannot be reached, turns us away, sends us elsewhere, or is
                none that answers chats.
        """
        trouble: Refusal | str = ""
        for attempt in range(self.tries):
            # Jitter parts those who were turned away together.
            pause_s = self.backoff_s * 2 ** (attempt - 1) * random.uniform(0.5, 1)
            self.pace.wait(pause_s if attempt else 0.0)
            trouble = ""
            try:
                status, retry_after, content = self._send(body)
            except (httpx2.TransportError, TimeoutError) as error:
                trouble = type(error).__name__
                continue
            if status == 200:
                text = content if isinstance(content, str) else _read_text(content)
                if text is not None:
                    return text
                trouble = "no answer of a chat"
            elif status in _BUSY:
                trouble = Refusal(status, self._read_code(content))
                self._heed(retry_after)
            else:
                return self._turned_away(status, content)
        if isinstance(trouble, Refusal) and trouble.status != 429:
            return trouble
        raise BackendError(
            f"the server did not answer in {self.tries} tries: {trouble}",
            mend="see that it runs and is reachable, ask less at once (--concurrency), or give it "
            "more time (--timeout); run it again to go on",
            where=self.place,
        )

    @property
    def place(self) -> str:
        """Host and port, for messages."""
        return self.url.netloc.decode("ascii", "replace")

    def close(self) -> None:
        """Stop all threads that wait, and close the connections."""
        self.pace.stopped.set()
        self._client.close()

    def _send(self, body: dict[str, Any]) -> tuple[int, str, bytes | str]:
        """Give status, Retry-After and body; an empty text for an answer that is too long."""
        deadline = time.monotonic() + self.timeout_s
        read = bytearray()
        with self._client.stream("POST", self.url, json=body) as response:
            # Raw: what is packed though we asked for none could unpack to anything.
            for part in response.iter_raw():
                read += part
                if len(read) > MAX_REPLY_BYTES:
                    return response.status_code, "", ""
                if time.monotonic() > deadline:
                    raise TimeoutError
            return response.status_code, response.headers.get("Retry-After", ""), bytes(read)

    def _heed(self, retry_after: str) -> None:
        pause = read_retry_after(retry_after, time.time())
        if pause > MAX_PAUSE_S:
            raise BackendError(
                f"the server asks to wait {pause:.0f} s",
                mend="run it again after that time; what was answered is kept",
                where=self.place,
            )
        self.pace.pause(pause)

    def _turned_away(self, status: int, content: bytes | str) -> Refusal:
        refusal = Refusal(status, self._read_code(content))
        if status in _DENIED:
            raise BackendError(
                f"the server refuses the key: {refusal}",
                mend="set OPENAI_API_KEY, or name the variable that holds the key: --key-variable",
                where=self.place,
            )
        if status == 404:
            raise BackendError(
                f"the server knows no such model or address: {refusal}",
                mend="check --model and --base-url, which usually ends in /v1",
                where=self.place,
            )
        if 300 <= status < 400:
            raise BackendError(
                f"the server sends to another address ({refusal}), which is not followed",
                mend="give the final address as --base-url",
                where=self.place,
            )
        return refusal

    def _read_code(self, content: bytes | str) -> str:
        """Find the server's word for the reason; its sentences may hold the key or the report."""
        try:
            error = json.loads(content)["error"]
            code = error.get("code") or error.get("type")
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return ""
        key = self._client.headers.get("Authorization", "").removeprefix("Bearer ")
        is_safe = isinstance(code, str) and _CODE.fullmatch(code) and not (key and key in code)
        return code if is_safe else ""


def read_retry_after(value: str, now: float) -> float:
    """Read a Retry-After header.

    Args:
        value: seconds, or a date.
        now: seconds since 1970.

    Returns:
        Seconds to wait, from 0; 0 where the value says nothing.

    Source:
        RFC 9110, section 10.2.3.
    """
    try:
        return max(0.0, float(value)) if float(value) < float("inf") else 0.0
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - now)
    except (ValueError, TypeError, OverflowError):
        return 0.0


def _read_text(content: bytes) -> str | None:
    """Find what the model wrote; None where the reply is of another kind."""
    try:
        message = json.loads(content)["choices"][0]["message"]
    except (ValueError, TypeError, LookupError, RecursionError):
        return None
    text = message.get("content") if isinstance(message, dict) else None
    return text if isinstance(text, str) else ""
