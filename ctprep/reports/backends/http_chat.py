"""One question to an OpenAI-compatible server: retries, pauses, limits, and no key elsewhere."""

import email.utils
import random
import ssl
import threading
import time
import weakref
from dataclasses import dataclass, field
from datetime import UTC
from typing import Any

import httpx2

from ctprep.reports.backends.chat_reply import Said, read_code, read_models, read_said
from ctprep.store.errors import BackendError

MAX_REPLY_BYTES = 1_000_000
MAX_PAUSE_S = 300.0
"""Longer pauses than this are not waited for."""

_LATE_TRIES = 3
_DOUBTED_TRIES = 2
_BUSY = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_DENIED = frozenset({401, 403})
_UNKNOWN = frozenset({404, 405})


@dataclass(frozen=True)
class Refusal:
    """A server's refusal of one request, as opposed to a server that is not there."""

    status: int
    """0 where no answer came in time."""
    code: str = ""
    """The server's short word for the reason, if it gave one."""

    def __str__(self) -> str:
        if not self.status:
            return "no answer in time"
        return f"status {self.status}" + (f" ({self.code})" if self.code else "")


@dataclass
class Pace:
    """When the next request may be sent; shared by all threads, as a limit holds for all."""

    not_before: float = 0.0
    answered: int = 0
    """Questions of all threads that were answered so far."""
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
        self._key = key
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        if key:
            headers["Authorization"] = f"Bearer {key}"
        try:
            self._client = httpx2.Client(
                headers=headers,
                # A redirect would carry report text, and maybe the key, to somewhere else.
                follow_redirects=False,
                timeout=httpx2.Timeout(timeout_s, connect=min(10.0, timeout_s)),
                limits=httpx2.Limits(max_connections=concurrency),
                # A proxy of the environment is none of a server on this machine.
                trust_env=self.url.host not in {"localhost", "127.0.0.1", "::1"},
            )
        except (ImportError, ValueError, OSError, httpx2.InvalidURL) as error:
            # Untold: the address of a proxy may hold a password.
            raise BackendError(
                "a proxy or a certificate file that the environment names cannot be used",
                mend="check HTTP_PROXY, HTTPS_PROXY, ALL_PROXY (no socks), SSL_CERT_FILE and "
                "SSL_CERT_DIR, or name the server in NO_PROXY",
                where=self.place,
            ) from (None if isinstance(error, httpx2.InvalidURL | ValueError) else error)
        # Servers keep connections open for the next question, which may never come.
        weakref.finalize(self, self._client.close).atexit = False

    def ask(self, body: dict[str, Any], *, doubts: bool = False) -> Said | Refusal:
        """Send a question until it is answered, refused, or the tries are used up.

        Args:
            body: of the request.
            doubts: it may be one that the server fails over: two tries where it says so (500).

        Returns:
            What the model wrote, empty where that was too much; or why the server refuses.

        Raises:
            BackendError: the server cannot be reached, turns us away, sends us elsewhere, or is
                none that answers chats.
        """
        trouble: Refusal | str = ""
        attempt = late = answered = 0
        while attempt < self.tries and late < _LATE_TRIES:
            # Jitter parts those who were turned away together.
            pause_s = self.backoff_s * 2 ** (attempt - 1) * random.uniform(0.5, 1)
            self.pace.wait(pause_s if attempt else 0.0)
            attempt += 1
            try:
                status, retry_after, content = self._send(body)
            except (httpx2.ReadTimeout, TimeoutError):
                trouble, late = Refusal(0), late + 1
                continue
            except httpx2.TransportError as error:
                trouble = self._tell(error)
                continue
            if status == 200:
                said = Said("") if isinstance(content, str) else read_said(content)
                if said is not None:
                    self.pace.answered += 1
                    return said
                # Some gateways tell of their troubles with status 200.
                code = read_code(content, self._key)
                trouble = "no answer of a chat" + (f" ({code})" if code else "")
            elif status in _BUSY:
                trouble = Refusal(status, read_code(content, self._key))
                self._heed(retry_after)
                if status == 500 and doubts and attempt == _DOUBTED_TRIES:
                    break
                if status == 429 and self.pace.answered > answered:
                    # A limit that lets others through is none of the server's troubles.
                    attempt, answered = 1, self.pace.answered
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

    def tell_models(self) -> str:
        """Name some models that the server has, for messages; empty where it does not tell."""
        try:
            with self._client.stream("GET", self.url.join("../models")) as response:
                status, content = response.status_code, self._read(response)
        except (httpx2.HTTPError, TimeoutError):
            return ""
        if status != 200 or isinstance(content, str):
            return ""
        return ", ".join(read_models(content, self._key))

    @property
    def place(self) -> str:
        """Host and port, for messages."""
        return self.url.netloc.decode("ascii", "replace")

    def close(self) -> None:
        """Stop all threads that wait; connections close with the last thread that uses them."""
        self.pace.stopped.set()

    def _send(self, body: dict[str, Any]) -> tuple[int, str, bytes | str]:
        """Give status, Retry-After and body; an empty text for an answer that is too long."""
        with self._client.stream("POST", self.url, json=body) as response:
            content = self._read(response)
            return response.status_code, response.headers.get("Retry-After", ""), content

    def _read(self, response: httpx2.Response) -> bytes | str:
        deadline = time.monotonic() + self.timeout_s
        read = bytearray()
        # Raw: what is packed though we asked for none could unpack to anything.
        for part in response.iter_raw():
            read += part
            if len(read) > MAX_REPLY_BYTES:
                return ""
            if time.monotonic() > deadline:
                raise TimeoutError
        return bytes(read)

    def _tell(self, error: httpx2.TransportError) -> str:
        """Name a trouble of the connection; one that will not pass ends the run."""
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, ssl.SSLCertVerificationError):
            cause = cause.__cause__ or cause.__context__
        if cause is not None:
            raise BackendError(
                f"the server's certificate is not trusted: {cause.verify_message}",
                mend="name the file of the authority that signed it, often your hospital's own, "
                "in the environment variable SSL_CERT_FILE",
                where=self.place,
            ) from error
        # Of the system alone: others may repeat what was sent.
        is_told = isinstance(error, httpx2.ConnectError) and str(error)
        return type(error).__name__ + (f" ({error})" if is_told else "")

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
        refusal = Refusal(status, read_code(content, self._key))
        if status in _DENIED:
            raise BackendError(
                f"the server refuses the key: {refusal}",
                mend="set OPENAI_API_KEY, or name the variable that holds the key: --key-variable",
                where=self.place,
            )
        if status in _UNKNOWN:
            models = self.tell_models()
            raise BackendError(
                f"the server knows no such model or address: {refusal}",
                mend=f"give a model that it has as --model: {models}"
                if models
                else "check --model and --base-url, which usually ends in /v1",
                where=self.place,
            )
        if 300 <= status < 400:
            raise BackendError(
                f"the server sends to another address ({refusal}), which is not followed",
                mend="give the final address as --base-url",
                where=self.place,
            )
        return refusal


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
        date = email.utils.parsedate_to_datetime(value)
        # A date without a zone is of Greenwich, not of this machine.
        return max(0.0, (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now)
    except (ValueError, TypeError, OverflowError):
        return 0.0
