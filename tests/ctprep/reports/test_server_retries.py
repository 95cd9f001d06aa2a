"""A server in trouble is given time, and ends the run or costs a report only where it must."""

import email.utils
import time
from pathlib import Path

import pytest

from ctprep.reports.backends import http_chat
from ctprep.reports.backends.http_chat import read_retry_after
from ctprep.reports.filter import ANSWERED_BY_RULES
from ctprep.store.errors import BackendError
from tests.ctprep.reports.asking import connect, filter_both
from tests.ctprep.reports.chat_server import Reply, Seen, fails, in_turn, says, serve

pytestmark = pytest.mark.usefixtures("server_key")


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
        assert connect(server.url, timeout_s=0.3).answer([["a"]]) == ["[0]"]
        assert len(server.seen) == 3


def test_a_huge_answer_is_not_read_to_its_end() -> None:
    """It is no answer, and is not asked for again here."""
    huge = says("x" * (2 * http_chat.MAX_REPLY_BYTES))
    with serve(in_turn(huge)) as server:
        assert connect(server.url).answer([["a"]]) == [""]
        assert len(server.seen) == 1


def test_retry_after_is_waited_for() -> None:
    """By every thread: none asks before the time is over."""
    times: list[float] = []

    def answer(_: Seen, number: int) -> Reply:
        times.append(time.monotonic())
        return fails(429, Retry_After="1") if number == 0 else says("[0]")

    with serve(answer) as server:
        assert connect(server.url, concurrency=1).answer([["a"], ["b"]]) == ["[0]"] * 2

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
        assert connect(server.url, concurrency=2).answer(questions) == ["[0]"] * 13
        assert len(server.seen) > 12 + 6


def test_a_long_pause_ends_the_run() -> None:
    """Nobody sits through an hour."""
    with (
        serve(in_turn(fails(429, Retry_After="3600"))) as server,
        pytest.raises(BackendError, match="asks to wait 3600 s"),
    ):
        connect(server.url).answer([["a"]])


def test_lasting_trouble_ends_the_run(tmp_path: Path) -> None:
    """Rate limits and a server that is gone are no answers; what was answered is kept."""
    with serve(in_turn(fails(429))) as server:
        with pytest.raises(BackendError, match=r"in 6 tries: status 429"):
            filter_both(tmp_path, backend=connect(server.url))
        assert len(server.seen) >= 6
        url = server.url
    assert not (tmp_path / "reports.parquet").exists()
    with pytest.raises(BackendError, match="in 6 tries: ConnectError") as caught:
        connect(url).answer([["a"]])
    assert caught.value.where == url.removeprefix("http://").removesuffix("/v1")


def test_a_trouble_told_as_a_success() -> None:
    """Gateways do so: the server's word for it is told."""
    with (
        serve(in_turn(fails(200, "model_overloaded"))) as server,
        pytest.raises(BackendError, match=r"no answer of a chat \(model_overloaded\)"),
    ):
        connect(server.url).answer([["a"]])


def test_a_report_that_is_always_late(tmp_path: Path) -> None:
    """It is left to the rules after three tries, once the server has shown that it works."""

    def answer(seen: Seen, _: int) -> Reply:
        return Reply(wait_s=5.0) if "nodule is seen" in seen.question else says("[0]")

    with serve(answer) as server:
        rows = filter_both(tmp_path, backend=connect(server.url, timeout_s=0.2))
        assert sum("nodule is seen" in one.question for one in server.seen) == 6

    assert rows["sick"]["flags"][0] == ANSWERED_BY_RULES
    assert rows["well"]["text_positive"] == "Lungs are clear."


def test_a_server_that_is_always_late_ends_the_run() -> None:
    """And the time that it has is told."""
    with serve(in_turn(Reply(wait_s=5.0))) as server, pytest.raises(BackendError) as caught:
        connect(server.url, timeout_s=0.1).answer([["a"]])

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
        rows = filter_both(tmp_path, backend=connect(server.url))

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
        connect(server.url).answer([["a"], ["b"]])
