"""A server is asked politely, its misbehaviour costs no report, and the key goes nowhere else."""

import email.utils
import json
import logging
import os
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import pytest

from ctprep.reports.backends import http_chat
from ctprep.reports.backends.build import ModelOptions, build_backend
from ctprep.reports.backends.http_chat import read_retry_after
from ctprep.reports.backends.server import OpenAiBackend, check_url
from ctprep.reports.filter import ANSWERED_BY_RULES, REWRITTEN, filter_reports
from ctprep.store.errors import BackendError, TableError
from ctprep.store.tables import read_reports
from tests.ctprep.reports.chat_server import Reply, Seen, fails, in_turn, says, serve

KEY = "sk-very-secret-0123456789"
REPORTS = """scan_id,report_text
sick,The heart is normal. No effusion. A 4.5 mm nodule is seen. Dr. Jones was told on 12.03.2019.
well,Lungs are clear. No effusion or mass is seen.
"""


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key in the environment."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def _backend(url: str, **options: Any) -> OpenAiBackend:
    return OpenAiBackend("m", base_url=url, backoff_s=0.01, **{"timeout_s": 5.0, **options})


def _filter(folder: Path, **options: Any) -> dict[str, dict[str, Any]]:
    (folder / "raw.csv").write_text(REPORTS)
    list(filter_reports(folder / "raw.csv", folder / "reports.parquet", **options))
    return {row["scan_id"]: row for row in read_reports(folder / "reports.parquet").to_pylist()}


def _first_or_last(seen: Seen, _: int) -> Reply:
    return says('{"keep": [2]}' if "nodule" in seen.question else "[]")


def test_the_whole_way(tmp_path: Path) -> None:
    """What is asked, what comes of it, and that identifiers do not leave."""
    with serve(_first_or_last) as server:
        rows = _filter(tmp_path, backend=_backend(server.url))

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
    with serve(_first_or_last) as server:
        rows = _filter(tmp_path, backend=_backend(server.url), keep_identifiers=True)

    assert any("Jones" in one.question for one in server.seen)
    assert "Jones" in rows["sick"]["text_full"]


@pytest.mark.parametrize(
    "trouble",
    [
        fails(429, Retry_After="0"),
        fails(500),
        fails(503, Retry_After="nonsense"),
        Reply(body=b'{"choices"', cut=True),
        Reply(body=b"<html>welcome</html>"),
        Reply(body=b'{"choices": []}'),
        Reply(body=b"[" * 5000),
        Reply(wait_s=1.0, body=b"{}"),
        Reply(drip_s=0.02, body=says("[1]").body),
    ],
    ids=["429", "500", "503", "cut", "html", "no-choice", "deep", "slow", "drip"],
)
def test_passing_trouble_is_outlasted(trouble: Reply) -> None:
    """Asked again, the server answers."""
    with serve(in_turn(trouble, trouble, says("[0]"))) as server:
        assert _backend(server.url, timeout_s=0.3).answer([["a"]]) == ["[0]"]
        assert len(server.seen) == 3


@pytest.mark.parametrize(
    "text", ["[9]", "[-1]", "keep all", "", None, '{"keep": "all"}', "[0" + " " * 200_000 + "]"]
)
def test_wrong_answers_are_left_to_the_rules(tmp_path: Path, text: str | None) -> None:
    """Once asked again, with the wrong answer; then flagged."""
    with serve(in_turn(says(text))) as server:
        rows = _filter(tmp_path, backend=_backend(server.url))

    assert len(server.seen) == 4
    assert all(ANSWERED_BY_RULES in row["flags"] for row in rows.values())
    assert "not a valid answer" in server.seen[-1].question


def test_a_huge_answer_is_not_read_to_its_end() -> None:
    """It is no answer, and is not asked for again here."""
    huge = says("x" * (2 * http_chat.MAX_REPLY_BYTES))
    with serve(in_turn(huge)) as server:
        assert _backend(server.url).answer([["a"]]) == [""]
        assert len(server.seen) == 1


def test_retry_after_is_waited_for() -> None:
    """By every thread: none asks before the time is over."""
    times: list[float] = []

    def answer(_: Seen, number: int) -> Reply:
        times.append(time.monotonic())
        return fails(429, Retry_After="1") if number == 0 else says("[0]")

    with serve(answer) as server:
        assert _backend(server.url, concurrency=1).answer([["a"], ["b"]]) == ["[0]"] * 2

    assert times[1] - times[0] > 0.95


def test_retry_after() -> None:
    """RFC 9110: seconds or a date; else nothing."""
    assert read_retry_after("7", 0.0) == 7
    assert read_retry_after(email.utils.formatdate(1000, usegmt=True), 990.0) == 10
    assert [read_retry_after(text, 0.0) for text in ("", "-3", "soon", "inf", "nan")] == [0] * 5


def test_retry_after_is_no_local_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """An old form of date names no zone, and means that of Greenwich."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert read_retry_after("Thu Jan  1 00:16:40 1970", 990.0) == 10
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_limit_that_lets_others_through_is_outlasted() -> None:
    """One question is turned away more than six times while twelve others are answered."""
    others = 0

    def answer(seen: Seen, _: int) -> Reply:
        nonlocal others
        if seen.question == "0: unlucky":
            return says("[0]") if others == 12 else fails(429)
        others += 1
        reply = says("[0]")
        reply.wait_s = 0.04
        return reply

    with serve(answer) as server:
        questions = [["unlucky"], *([["a"]] * 12)]
        assert _backend(server.url, concurrency=2).answer(questions) == ["[0]"] * 13
        assert len(server.seen) > 12 + 6


def test_a_long_pause_ends_the_run() -> None:
    """Nobody sits through an hour."""
    with (
        serve(in_turn(fails(429, Retry_After="3600"))) as server,
        pytest.raises(BackendError, match="asks to wait 3600 s"),
    ):
        _backend(server.url).answer([["a"]])


def test_lasting_trouble_ends_the_run(tmp_path: Path) -> None:
    """Rate limits and a server that is gone are no answers; what was answered is kept."""
    with serve(in_turn(fails(429))) as server:
        with pytest.raises(BackendError, match=r"in 6 tries: status 429"):
            _filter(tmp_path, backend=_backend(server.url))
        assert len(server.seen) >= 6
        url = server.url
    assert not (tmp_path / "reports.parquet").exists()
    with pytest.raises(BackendError, match="in 6 tries: ConnectError") as caught:
        _backend(url).answer([["a"]])
    assert caught.value.where == url.removeprefix("http://").removesuffix("/v1")


def test_a_trouble_told_as_a_success() -> None:
    """Gateways do so: the server's word for it is told."""
    with (
        serve(in_turn(fails(200, "model_overloaded"))) as server,
        pytest.raises(BackendError, match=r"no answer of a chat \(model_overloaded\)"),
    ):
        _backend(server.url).answer([["a"]])


@pytest.mark.parametrize("status", [400, 422, 500])
def test_a_schema_that_is_refused_is_left_out(status: int) -> None:
    """Found out once, then known; a server that fails over it is asked so twice."""

    def answer(seen: Seen, _: int) -> Reply:
        return fails(status) if "response_format" in seen.body else says("[0]")

    with serve(answer) as server:
        backend = _backend(server.url)
        assert backend.answer([["a"]]) == ["[0]"]
        assert backend.answer([["a"]]) == ["[0]"]
        assert len(server.seen) == (6 if status == 500 else 4)


def test_another_form_of_schema() -> None:
    """That of llama-cpp-python."""

    def answer(seen: Seen, _: int) -> Reply:
        return fails(500) if seen.body["response_format"]["type"] == "json_schema" else says("[0]")

    with serve(answer) as server:
        assert _backend(server.url).answer([["a"]]) == ["[0]"]
        assert server.seen[-1].body["response_format"]["schema"]["required"] == ["keep"]


def test_a_model_that_thinks_first() -> None:
    """It wants another limit, no temperature, and its thoughts are no answer."""

    def answer(seen: Seen, _: int) -> Reply:
        if "max_tokens" in seen.body or "temperature" in seen.body:
            return fails(400, "unsupported_parameter")
        return says('<think>[7]?</think>\n{"keep": [0]}')

    with serve(answer) as server:
        assert _backend(server.url).answer([["a"]]) == ["[0]"]


@pytest.mark.parametrize(
    "thought",
    [
        says("", "length"),
        says(None, "length", reasoning_content="Let me"),
        says(None, "length", reasoning="Let me"),
        says("<think>Let me", "length"),
    ],
    ids=["silent", "reasoning_content", "reasoning", "tag"],
)
def test_a_model_that_thinks_unasked(thought: Reply, caplog: pytest.LogCaptureFixture) -> None:
    """Its thoughts use up the tokens of the answer: it gets more, from then on, and it is told."""

    def answer(seen: Seen, _: int) -> Reply:
        return thought if seen.body["max_tokens"] < 1000 else says("hm</think>[0]")

    with serve(answer) as server:
        backend = _backend(server.url, concurrency=1)
        assert backend.answer([["a"], ["b"]]) == ["[0]"] * 2
        assert len(server.seen) == 3
    assert caplog.text.count("thinks before it answers") == 1


def test_an_answer_that_is_cut_is_no_thought() -> None:
    """It gets no more tokens."""
    with serve(in_turn(says('{"keep": [0, 0,', "length"))) as server:
        _backend(server.url).answer([["a"]])
        assert len(server.seen) == 1


def test_an_answer_in_parts() -> None:
    """Thoughts are parts of their own."""
    parts = [{"type": "thinking", "thinking": "[7]"}, {"type": "text", "text": "[0]"}]
    with serve(in_turn(says(parts))) as server:
        assert _backend(server.url).answer([["a"]]) == ["[0]"]


def test_thoughts_are_no_part_of_a_rewrite() -> None:
    """They are left out in paper mode, too."""
    with serve(in_turn(says("<think>Which?</think>A cyst."))) as server:
        assert list(_backend(server.url).chat("generative", [["A cyst."]])) == [{0: "A cyst."}]


def test_a_report_that_is_always_late(tmp_path: Path) -> None:
    """It is left to the rules after three tries, once the server has shown that it works."""

    def answer(seen: Seen, _: int) -> Reply:
        return Reply(wait_s=5.0) if "nodule is seen" in seen.question else says("[0]")

    with serve(answer) as server:
        rows = _filter(tmp_path, backend=_backend(server.url, timeout_s=0.2))
        assert sum("nodule is seen" in one.question for one in server.seen) == 6

    assert rows["sick"]["flags"][0] == ANSWERED_BY_RULES
    assert rows["well"]["text_positive"] == "Lungs are clear."


def test_a_server_that_is_always_late_ends_the_run() -> None:
    """And the time that it has is told."""
    with serve(in_turn(Reply(wait_s=5.0))) as server, pytest.raises(BackendError) as caught:
        _backend(server.url, timeout_s=0.1).answer([["a"]])

    assert "no answer in time" in str(caught.value)
    assert "--timeout" in caught.value.mend


@pytest.mark.parametrize("status", [400, 413, 500])
def test_a_report_that_the_server_cannot_take(
    tmp_path: Path, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    """It is left to the rules, and flagged, once the server has shown that it works."""

    def answer(seen: Seen, _: int) -> Reply:
        return fails(status) if "nodule is seen" in seen.question else says("[0]")

    with serve(answer) as server:
        rows = _filter(tmp_path, backend=_backend(server.url))

    assert rows["sick"]["flags"][0] == ANSWERED_BY_RULES
    assert rows["well"]["text_positive"] == "Lungs are clear."
    assert f"the server refused 1 reports: status {status}" in caplog.text


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (fails(401), "refuses the key: status 401"),
        (fails(404, "model_not_found"), r"no such model or address: status 404 \(model_not_found"),
        (fails(400), "refuses to answer: status 400"),
        (fails(500), "refuses to answer: status 500"),
    ],
)
def test_a_server_that_takes_no_report_ends_the_run(reply: Reply, message: str) -> None:
    """Else each would be left to the rules."""
    with serve(in_turn(reply)) as server, pytest.raises(BackendError, match=message):
        _backend(server.url).answer([["a"], ["b"]])


@pytest.mark.parametrize("status", [400, 404, 405])
def test_the_models_of_a_server_are_told(status: int) -> None:
    """Where it does not know ours; what is no name of a model is not shown."""
    names = ["google/medgemma-4b-it", KEY, "a b\nc", 5]
    models = json.dumps({"data": [{"id": name} for name in names]}).encode()
    with serve(in_turn(fails(status))) as server:
        server.models = Reply(body=models)
        with pytest.raises(BackendError) as caught:
            _backend(server.url).answer([["a"]])

    assert "it has" in caught.value.mend
    assert "google/medgemma-4b-it" in caught.value.mend
    assert not any(text in caught.value.mend for text in (KEY, "a b"))


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_no_redirect_is_followed(status: int) -> None:
    """Neither key nor report goes where the server points."""
    with serve(in_turn(says("[0]"))) as other:
        reply = fails(status, Location=f"{other.url}/chat/completions")
        with (
            serve(in_turn(reply)) as server,
            pytest.raises(BackendError, match="sends to another address"),
        ):
            _backend(server.url).answer([["a"]])
        assert other.seen == []


def test_the_key_is_told_to_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not in logs at their loudest, nor in errors of a server that repeats it, nor in files."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("MY_KEY", KEY)
    with serve(_first_or_last) as server:
        _filter(tmp_path, backend=_backend(server.url, key_variable="MY_KEY"))
    for code in (KEY, f"bad.{KEY}", {"key": KEY}):
        for status in (401, 400, 404, 307):
            with (
                serve(in_turn(fails(status, code, f"wrong key {KEY}"))) as server,
                pytest.raises(BackendError) as caught,
            ):
                _backend(server.url).answer([["a"]])
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
        _backend(server.url).answer([["a"]])

    assert "Authorization" not in server.seen[0].headers


def test_questions_are_asked_at_once() -> None:
    """As many as were allowed, no more; the answers stay in order."""

    def answer(seen: Seen, _: int) -> Reply:
        reply = says(f"[{seen.question.removeprefix('0: ')}]")
        reply.wait_s = 0.05
        return reply

    with serve(answer) as server:
        backend = _backend(server.url, concurrency=3)
        assert backend.answer([[str(n)] for n in range(9)]) == [f"[{n}]" for n in range(9)]

    assert 1 < server.most_open <= 3


def test_a_rewritten_report(tmp_path: Path) -> None:
    """Paper mode: kept where it says what the report says; without a schema."""

    def answer(seen: Seen, _: int) -> Reply:
        assert "response_format" not in seen.body
        return says("4.5 mm nodule." if "nodule" in seen.question else "NONE")

    with serve(answer) as server:
        rows = _filter(tmp_path, backend=_backend(server.url), mode="generative")

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
        _backend(url)
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
        _backend("http://127.0.0.1/v1", key_variable=KEY)

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
        _backend("https://example.org/v1")

    assert "secret" not in "".join(traceback.format_exception(caught.value))


def test_a_certificate_that_is_not_trusted(tmp_path: Path) -> None:
    """Told at once, with the variable that mends it."""
    with serve(in_turn(says("[0]"))) as server:
        server.use_tls(tmp_path)
        with pytest.raises(BackendError, match="not trusted: self-signed") as caught:
            _backend(server.url.replace("http:", "https:")).answer([["a"]])

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
                _filter(tmp_path, backend=_backend(server.url, timeout_s=20.0))
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
        _filter(tmp_path, mode="generative")
