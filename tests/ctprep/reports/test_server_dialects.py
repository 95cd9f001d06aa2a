"""Servers and models that chat in a way of their own are understood."""

import json

import pytest

from ctprep.store.errors import BackendError
from tests.ctprep.reports.asking import KEY, connect
from tests.ctprep.reports.chat_server import Reply, Seen, fails, in_turn, says, serve

pytestmark = pytest.mark.usefixtures("server_key")


@pytest.mark.parametrize("status", [400, 422, 500])
def test_a_schema_that_is_refused_is_left_out(status: int) -> None:
    """Found out once, then known; a server that fails over it is asked so twice."""

    def answer(seen: Seen, _: int) -> Reply:
        return fails(status) if "response_format" in seen.body else says("[0]")

    with serve(answer) as server:
        backend = connect(server.url)
        assert backend.answer([["a"]]) == ["[0]"]
        assert backend.answer([["a"]]) == ["[0]"]
        assert len(server.seen) == (6 if status == 500 else 4)


def test_another_form_of_schema() -> None:
    """That of llama-cpp-python."""

    def answer(seen: Seen, _: int) -> Reply:
        return fails(500) if seen.body["response_format"]["type"] == "json_schema" else says("[0]")

    with serve(answer) as server:
        assert connect(server.url).answer([["a"]]) == ["[0]"]
        assert server.seen[-1].body["response_format"]["schema"]["required"] == ["keep"]


def test_a_model_that_thinks_first() -> None:
    """It wants another limit, no temperature, and its thoughts are no answer."""

    def answer(seen: Seen, _: int) -> Reply:
        if "max_tokens" in seen.body or "temperature" in seen.body:
            return fails(400, "unsupported_parameter")
        return says('<think>[7]?</think>\n{"keep": [0]}')

    with serve(answer) as server:
        assert connect(server.url).answer([["a"]]) == ["[0]"]


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
        backend = connect(server.url, concurrency=1)
        assert backend.answer([["a"], ["b"]]) == ["[0]"] * 2
        assert len(server.seen) == 3
    assert caplog.text.count("thinks before it answers") == 1


def test_an_answer_that_is_cut_is_no_thought() -> None:
    """It gets no more tokens."""
    with serve(in_turn(says('{"keep": [0, 0,', "length"))) as server:
        connect(server.url).answer([["a"]])
        assert len(server.seen) == 1


def test_an_answer_in_parts() -> None:
    """Thoughts are parts of their own."""
    parts = [{"type": "thinking", "thinking": "[7]"}, {"type": "text", "text": "[0]"}]
    with serve(in_turn(says(parts))) as server:
        assert connect(server.url).answer([["a"]]) == ["[0]"]


def test_thoughts_are_no_part_of_a_rewrite() -> None:
    """They are left out in paper mode, too."""
    with serve(in_turn(says("<think>Which?</think>A cyst."))) as server:
        assert list(connect(server.url).chat("generative", [["A cyst."]])) == [{0: "A cyst."}]


@pytest.mark.parametrize("status", [400, 404, 405])
def test_the_models_of_a_server_are_told(status: int) -> None:
    """Where it does not know ours; what is no name of a model is not shown."""
    names = ["google/medgemma-4b-it", KEY, "a b\nc", 5]
    models = json.dumps({"data": [{"id": name} for name in names]}).encode()
    with serve(in_turn(fails(status))) as server:
        server.models = Reply(body=models)
        with pytest.raises(BackendError) as caught:
            connect(server.url).answer([["a"]])

    assert "it has" in caught.value.mend
    assert "google/medgemma-4b-it" in caught.value.mend
    assert not any(text in caught.value.mend for text in (KEY, "a b"))
