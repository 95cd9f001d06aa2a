"""What every test may ask for: the shared real data, where it is there, and an object store."""

import logging
import os
import re
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# A busy machine is slow, which says nothing of the code.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real scans and reports; skips where it is absent."""
    folder = Path(os.environ.get("CTLITE_TEST_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("real scans are not here; set CTLITE_TEST_DATA to their folder")
    return folder


@pytest.fixture(scope="session")
def golden() -> Path:
    """Folder of reference vectors."""
    return Path(__file__).parent / "golden"


class Requests(logging.Handler):
    """The requests that the test server has answered, as `GET /bucket/key?query`."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the request of a line of the server's log."""
        # The server colors what is not plain success.
        parts = re.sub(r"\x1b\[\d+m", "", record.getMessage()).split('"')
        if len(parts) > 1:
            self.lines.append(parts[1].removesuffix(" HTTP/1.1"))

    def of(self, act: Callable[[], object]) -> list[str]:
        """Tell the requests that an act makes."""
        before = len(self.lines)
        act()
        return self.lines[before:]


@pytest.fixture(scope="session")
def object_store() -> Iterator[tuple[str, Requests]]:
    """A server that speaks S3, on this machine alone, and what it is asked."""
    from moto.server import ThreadedMotoServer

    logger, requests = logging.getLogger("werkzeug"), Requests()
    logger.setLevel(logging.INFO)
    logger.addHandler(requests)
    logger.propagate = False
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port()), requests
    server.stop()
    logger.removeHandler(requests)
    logger.propagate = True


@pytest.fixture
def requests(object_store: tuple[str, Requests]) -> Requests:
    """What the object store is asked."""
    return object_store[1]


@pytest.fixture
def bucket(object_store: tuple[str, Requests], monkeypatch: pytest.MonkeyPatch) -> str:
    """URL of an empty bucket, and its credentials in the environment."""
    import boto3

    environment = {
        "AWS_ENDPOINT_URL": object_store[0],
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "very-secret",
        "AWS_REGION": "us-east-1",
        "AWS_ALLOW_HTTP": "true",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    name = f"test-{uuid.uuid4().hex}"
    client = boto3.client("s3", endpoint_url=object_store[0], region_name="us-east-1")
    client.create_bucket(Bucket=name)
    client.close()
    return f"s3://{name}"
