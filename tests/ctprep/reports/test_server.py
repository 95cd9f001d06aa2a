"""A server is asked politely, wrong answers cost no report, and the key goes nowhere else."""

import json
import logging
import os
import signal
import sys
import time
import traceback
from pathlib import Path

import pytest

from ctprep.reports.backends.build import ModelOptions, build_backend
from ctprep.reports.backends.server import check_url
from ctprep.reports.filter import ANSWERED_BY_RULES, REWRITTEN
from ctprep.store.errors import BackendError, TableError
from tests.ctprep.reports.asking import KEY, connect, filter_both, keep_the_nodule
from tests.ctprep.reports.chat_server import Reply, Seen, fails, in_turn, says, serve

pytestmark = pytest.mark.usefixtures("server_key")


def test_the_whole_way(tmp_path: Path) -> None:
    """What is asked, what comes of it, and that identifiers do not leave."""
    with serve(keep_the_nodule) as server:
        rows = filter_both(tmp_path, backend=connect(server.url))

    assert rows["sick"]["text_positive"] == "A 4.5 mm nodule is seen."
    assert (rows["sick"]["backend"], rows["sick"]["model"]) == ("openai", "m")
    assert len(server.seen) == 2
    seen = next(one for one in server.seen if "nodule" in one.question)
    assert seen.path == "/v1/chat/completions"
    assert seen.headers["Authorization"] == f"Bearer {KEY}"
    assert seen.body["temperature"] == 0
    assert seen.body["response_format"]["json_schema"]["schema"]["required"] == ["keep"]
    assert "2: A 4.5 mm nodule is seen." in seen.question
    assert "Jones" not in json.dumps(seen.body)
    assert "12.03.2019" not in json.dumps(seen.body)


def test_identifiers_are_sent_only_if_asked_for(tmp_path: Path) -> None:
    """With --keep-identifiers they are in the question and in the table."""
    with serve(keep_the_nodule) as server:
        rows = filter_both(tmp_path, backend=connect(server.url), keep_identifiers=True)

    assert any("Jones" in one.question for one in server.seen)
    assert "Jones" in rows["sick"]["text_full"]


@pytest.mark.parametrize(
    "text", ["[9]", "[-1]", "keep all", "", None, '{"keep": "all"}', "[0" + " " * 200_000 + "]"]
)
def test_wrong_answers_are_left_to_the_rules(tmp_path: Path, text: str | None) -> None:
    """Once asked again, with the wrong answer; then flagged."""
    with serve(in_turn(says(text))) as server:
        rows = filter_both(tmp_path, backend=connect(server.url))

    assert len(server.seen) == 4
    assert all(ANSWERED_BY_RULES in row["flags"] for row in rows.values())
    assert "not a valid answer" in server.seen[-1].question


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_no_redirect_is_followed(status: int) -> None:
    """Neither key nor report goes where the server points."""
    with serve(in_turn(says("[0]"))) as other:
        reply = fails(status, Location=f"{other.url}/chat/completions")
        with (
            serve(in_turn(reply)) as server,
            pytest.raises(BackendError, match="sends to another address"),
        ):
            connect(server.url).answer([["a"]])
        assert other.seen == []


def test_the_key_is_told_to_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not in logs at their loudest, nor in errors of a server that repeats it, nor in files."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("MY_KEY", KEY)
    with serve(keep_the_nodule) as server:
        filter_both(tmp_path, backend=connect(server.url, key_variable="MY_KEY"))
    for code in (KEY, f"bad.{KEY}", {"key": KEY}):
        for status in (401, 400, 404, 307):
            with (
                serve(in_turn(fails(status, code, f"wrong key {KEY}"))) as server,
                pytest.raises(BackendError) as caught,
            ):
                connect(server.url).answer([["a"]])
            assert KEY not in str(caught.value)

    assert "chat/completions" in caplog.text
    assert KEY not in caplog.text
    assert "nodule is seen" not in caplog.text
    for path in tmp_path.iterdir():
        assert KEY.encode() not in path.read_bytes()


def test_a_server_without_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """None is sent where there is none."""
    monkeypatch.delenv("OPENAI_API_KEY")
    with serve(in_turn(says("[0]"))) as server:
        connect(server.url).answer([["a"]])

    assert "Authorization" not in server.seen[0].headers


def test_questions_are_asked_at_once() -> None:
    """As many as were allowed, no more; the answers stay in order."""

    def answer(seen: Seen, _: int) -> Reply:
        reply = says(f"[{seen.question.removeprefix('0: ')}]")
        reply.wait_s = 0.05
        return reply

    with serve(answer) as server:
        backend = connect(server.url, concurrency=3)
        assert backend.answer([[str(n)] for n in range(9)]) == [f"[{n}]" for n in range(9)]

    assert 1 < server.most_open <= 3


def test_a_rewritten_report(tmp_path: Path) -> None:
    """Paper mode: kept where it says what the report says; without a schema."""

    def answer(seen: Seen, _: int) -> Reply:
        assert "response_format" not in seen.body
        return says("4.5 mm nodule." if "nodule" in seen.question else "NONE")

    with serve(answer) as server:
        rows = filter_both(tmp_path, backend=connect(server.url), mode="generative")

    assert rows["sick"]["text_positive"] == "4.5 mm nodule."
    assert REWRITTEN in rows["well"]["flags"]
    assert rows["well"]["text_positive"] == "No abnormal finding."


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://host/v1", "host/v1", "http://", "http://me:secret@host/v1", "http://h/v1?key=s"),
        *("http://[::1/v1", "http://h:port/v1", "http://h:99999/v1"),
    ],
)
def test_addresses_that_are_refused(url: str) -> None:
    """No web address, or one with a secret, which is not shown."""
    with pytest.raises(BackendError) as caught:
        connect(url)
    assert "secret" not in str(caught.value)


def test_an_address_without_encryption_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """Only this machine needs none."""
    check_url("http://127.0.0.1:80/v1")
    assert caplog.text == ""
    check_url("http://example.org/v1")
    assert "without encryption" in caplog.text


def test_options(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each backend takes its own; a server has to be named; a key has to be one."""
    with pytest.raises(TableError, match="needs a model"):
        build_backend("openai")
    with pytest.raises(TableError, match="needs the address of a server"):
        build_backend("openai", ModelOptions(model="m"))
    with pytest.raises(TableError, match="this report backend does not take --batch-size"):
        build_backend("openai", ModelOptions(model="m", base_url="http://h/v1", batch_size=1))
    with pytest.raises(TableError, match="does not take --model, --timeout"):
        build_backend("rules", ModelOptions(model="m", timeout_s=1.0))
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\nX-Other: 1")
    with pytest.raises(BackendError, match="holds spaces or signs") as caught:
        build_backend("openai", ModelOptions(model="m", base_url="http://h/v1"))
    assert KEY not in str(caught.value)


def test_a_key_variable_that_is_not_set() -> None:
    """It is told before anything is asked, and not shown, as it may be the key itself."""
    with pytest.raises(BackendError, match="--key-variable is not set") as caught:
        connect("http://127.0.0.1/v1", key_variable=KEY)

    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [("HTTPS_PROXY", "http://me:secret@proxy:x"), ("SSL_CERT_FILE", "/no/such/file")],
)
def test_what_the_environment_has_wrong(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """A proxy or a file of certificates that cannot be used, without its password."""
    monkeypatch.setenv(name, value)
    with pytest.raises(BackendError, match="environment names cannot be used") as caught:
        connect("https://example.org/v1")

    assert "secret" not in "".join(traceback.format_exception(caught.value))


def test_a_certificate_that_is_not_trusted(tmp_path: Path) -> None:
    """Told at once, with the variable that mends it."""
    with serve(in_turn(says("[0]"))) as server:
        server.use_tls(tmp_path)
        with pytest.raises(BackendError, match="not trusted: self-signed") as caught:
            connect(server.url.replace("http:", "https:")).answer([["a"]])

    assert "SSL_CERT_FILE" in caught.value.mend


def test_an_interrupt_waits_for_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer that is there is kept, and the one that is not is not waited for."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def answer(seen: Seen, number: int) -> Reply:
        if number == 1:
            answers = tmp_path / "reports.parquet.answers.jsonl"
            while not answers.is_file():
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGINT)
            return Reply(wait_s=10.0)
        return says("[0]")

    try:
        with serve(answer) as server:
            with pytest.raises(KeyboardInterrupt):
                filter_both(tmp_path, backend=connect(server.url, timeout_s=20.0))
            assert server.open_now == 1
    finally:
        signal.signal(signal.SIGINT, before)

    answers = (tmp_path / "reports.parquet.answers.jsonl").read_text()
    assert len(answers.split("\n")) == 2


def test_what_is_not_installed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra by its name."""
    monkeypatch.setitem(sys.modules, "httpx2", None)
    for name in ("ctprep.reports.backends.http_chat", "ctprep.reports.backends.server"):
        monkeypatch.delitem(sys.modules, name)

    with pytest.raises(BackendError, match="needs httpx2, which is not installed") as caught:
        build_backend("openai", ModelOptions(model="m", base_url="http://h/v1"))
    assert caught.value.mend == "pip install 'ct-lite[reports]'"


def test_rules_cannot_write(tmp_path: Path) -> None:
    """Paper mode needs a language model."""
    with pytest.raises(TableError, match="cannot write a report again"):
        filter_both(tmp_path, mode="generative")
