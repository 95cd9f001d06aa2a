"""A real HTTP server on this machine that chats, and misbehaves as it is told to."""

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


@dataclass
class Reply:
    """What the server sends."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False
    """Promise more than is sent, and hang up."""
    wait_s: float = 0.0
    drip_s: float = 0.0
    """Pause after each byte."""


def says(text: object, ending: str = "stop", **more: object) -> Reply:
    """Give the reply in which a model wrote a text."""
    choice = {"message": {"content": text, **more}, "finish_reason": ending}
    return Reply(body=json.dumps({"choices": [choice]}).encode())


def fails(status: int, code: object = "", message: str = "", **headers: str) -> Reply:
    """Give a refusal in OpenAI's shape."""
    body = json.dumps({"error": {"message": message, "code": code}}).encode()
    return Reply(status, body, headers={name.replace("_", "-"): headers[name] for name in headers})


@dataclass
class Seen:
    """A request as it came."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def question(self) -> str:
        """The last turn of the user."""
        text: str = self.body["messages"][-1]["content"]
        return text


class ChatServer:
    """Answers each request by a function of it and of how many came before.

    Args:
        answer: request and its number, from 0, to reply.
    """

    def __init__(self, answer: Callable[[Seen, int], Reply]) -> None:
        self.seen: list[Seen] = []
        self.open_now = self.most_open = 0
        self.models = Reply(404)
        """What it sends to whoever asks for its models."""
        lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            # Connections stay open, as with real servers.
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                with suppress(OSError):
                    self._send(outer.models if self.path == "/v1/models" else Reply(404))

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                seen = Seen(self.path, dict(self.headers), json.loads(body))
                with lock:
                    outer.seen.append(seen)
                    number = len(outer.seen) - 1
                    outer.open_now += 1
                    outer.most_open = max(outer.most_open, outer.open_now)
                reply = answer(seen, number)
                outer.stopped.wait(reply.wait_s)
                with lock:
                    # Before the reply: whoever has it may ask again at once.
                    outer.open_now -= 1
                with suppress(OSError):  # the client hung up
                    self._send(reply)

            def _send(self, reply: Reply) -> None:
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(reply.body) + 10 * reply.cut))
                self.end_headers()
                self.close_connection |= reply.cut
                step = 1 if reply.drip_s else len(reply.body) or 1
                for start in range(0, len(reply.body), step):
                    self.wfile.write(reply.body[start : start + step])
                    self.wfile.flush()
                    if reply.drip_s and outer.stopped.wait(reply.drip_s):
                        break

            def log_message(self, *_: object) -> None:
                pass

        self.stopped = threading.Event()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"

    def use_tls(self, folder: Path) -> None:
        """Speak TLS from now on, with a certificate that nobody has signed.

        Args:
            folder: for the certificate and its key.
        """
        file = folder / "server.pem"
        file.write_bytes(_make_certificate())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        self.server.socket = context.wrap_socket(
            self.server.socket, server_side=True, do_handshake_on_connect=False
        )
        # Handshakes that fail are what is tested.
        self.server.handle_error = lambda *_: None  # type: ignore[method-assign]


def _make_certificate() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False
        )
        .sign(key, SHA256())
    )
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return secret + certificate.public_bytes(Encoding.PEM)


@contextmanager
def serve(answer: Callable[[Seen, int], Reply]) -> Iterator[ChatServer]:
    """Run a server until the block ends."""
    chat = ChatServer(answer)
    thread = threading.Thread(target=chat.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield chat
    finally:
        chat.stopped.set()
        chat.server.shutdown()
        chat.server.server_close()
        thread.join()


def in_turn(*replies: Reply) -> Callable[[Seen, int], Reply]:
    """Give the replies one after the other, and the last one for good."""
    return lambda _, number: replies[min(number, len(replies) - 1)]
