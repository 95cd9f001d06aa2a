"""Servers that others wrote, with models of random weights; skipped where they are not installed.

`pip install openai uvicorn fastapi` for that of transformers, `pip install gguf
'llama-cpp-python[server]'` for that of llama.cpp.
"""

import importlib.util
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from ctprep.reports.backends.backend import in_order
from ctprep.reports.backends.local_model import TransformersBackend
from ctprep.reports.backends.server import OpenAiBackend
from ctprep.reports.filter import ANSWERED_BY_RULES, filter_reports
from ctprep.store.errors import BackendError
from ctprep.store.tables import read_reports
from tests.ctprep.reports.tiny_gemma import write_tiny_gemma

pytestmark = pytest.mark.slow

REPORTS = [["A nodule is seen"], ["Clear", "No effusion"], ["A cyst"] * 9]
TABLE = "scan_id,report_text\na,The heart is normal. A nodule is seen.\nb,Clear.\n"


def _need(*packages: str) -> None:
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"without {', '.join(missing)}")


@contextmanager
def _run(folder: Path, *words: str | Path) -> Iterator[str]:
    """Run a server as a module of this Python until the block ends; give its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = folder / "server.log"
    command = [sys.executable, "-m", *map(str, words), "--host", "127.0.0.1", "--port", str(port)]
    # Nothing of this test is downloaded, and nothing of this machine's cache is listed.
    quiet = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    with (
        log.open("wb") as file,
        subprocess.Popen(command, stdout=file, stderr=file, env=os.environ | quiet) as server,
    ):
        try:
            _wait(server, f"http://127.0.0.1:{port}/v1/models", log)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            server.terminate()


def _wait(server: subprocess.Popen[bytes], url: str, log: Path) -> None:
    until = time.monotonic() + 120
    while time.monotonic() < until and server.poll() is None:
        try:
            httpx2.get(url, trust_env=False)
        except httpx2.TransportError:
            time.sleep(0.2)
        else:
            return
    pytest.fail(f"the server did not start:\n{log.read_text()[-2000:]}")


def _backend(model: str, url: str) -> OpenAiBackend:
    return OpenAiBackend(model, base_url=url, backoff_s=0.05, concurrency=2)


def _check_whole_way(folder: Path, backend: OpenAiBackend) -> None:
    (folder / "raw.csv").write_text(TABLE)
    out = folder / "out.parquet"

    assert len(list(filter_reports(folder / "raw.csv", out, backend=backend))) == 2
    # Random weights write nonsense, which is noticed.
    assert all(ANSWERED_BY_RULES in row["flags"] for row in read_reports(out).to_pylist())


def test_transformers_serve(tmp_path: Path) -> None:
    """It answers word for word as the same model does without a server."""
    _need("fastapi", "uvicorn", "openai")
    model = str(write_tiny_gemma(tmp_path / "model", sees=False))
    with _run(tmp_path, "transformers.cli.transformers", "serve", model, "--device", "cpu") as url:
        local = TransformersBackend(model)
        for mode in ("extractive", "generative"):
            answers = in_order(_backend(model, url).chat(mode, REPORTS), len(REPORTS))
            assert answers == in_order(local.chat(mode, REPORTS), len(REPORTS))
            assert len(set(answers)) == len(answers)
        _check_whole_way(tmp_path, _backend(model, url))
        with pytest.raises(BackendError, match="refuses to answer: status 400"):
            _backend("other", url).answer(REPORTS)


def test_llama_cpp(tmp_path: Path) -> None:
    """It fails over the usual form of a schema, and holds to another one."""
    _need("llama_cpp", "fastapi", "uvicorn", "gguf")
    from tests.ctprep.reports.tiny_gguf import write_tiny_gguf

    path = write_tiny_gguf(tmp_path / "model.gguf")
    with _run(tmp_path, "llama_cpp.server", "--model", path, "--n_ctx", "8192") as url:
        backend = _backend("model.gguf", url)
        answers = in_order(backend.chat("extractive", REPORTS), len(REPORTS))
        assert all(answer.startswith(("{", "[")) for answer in answers)
        assert all(in_order(backend.chat("generative", REPORTS), len(REPORTS)))
        _check_whole_way(tmp_path, backend)
