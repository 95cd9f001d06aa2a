"""Whatever a template wants, what is asked gets into the prompt; what cannot be used is told."""

import pytest

from ctprep.reports.backends.chat_template import ChatTemplate
from ctprep.store.errors import BackendError
from tests.ctprep.reports.tiny_gemma import END_OF_TURN, TEMPLATE, build_tokenizer

IN_PARTS = TEMPLATE.replace(
    "{{ m['content'] }}", "{% for part in m['content'] %}{{ part['text'] }}{% endfor %}"
)
CHAT = [
    {"role": "user", "content": "Which?"},
    {"role": "assistant", "content": "That."},
    {"role": "user", "content": "And now?"},
]


def _template(text: str | None) -> ChatTemplate:
    tokenizer = build_tokenizer()
    tokenizer.chat_template = text
    return ChatTemplate(tokenizer)


def test_turns_of_parts() -> None:
    """A template that takes lists writes the same prompt as one that takes text."""
    plain, parts = _template(TEMPLATE), _template(IN_PARTS)

    assert parts.encode(CHAT) == plain.encode(CHAT)
    text = build_tokenizer().decode(plain.encode(CHAT))
    assert text.count("<bos>") == 1
    assert text.endswith("And now?<end_of_turn>\n<start_of_turn>model\n")


def test_the_end_of_a_turn() -> None:
    """Found behind an answer; none where turns end by a line break."""
    assert _template(TEMPLATE).end_of_turn == END_OF_TURN
    assert _template(TEMPLATE.replace("<end_of_turn>", "")).end_of_turn is None


@pytest.mark.parametrize(
    ("ending", "opens"),
    [
        ("", False),
        ("<think>\n", True),
        ("<think>\n\n</think>\n\n", False),
        ("{% if enable_thinking is not defined or enable_thinking %}<think>{% endif %}", False),
    ],
)
def test_thinking_is_switched_off_where_it_can_be(ending: str, opens: bool) -> None:
    """And noticed where it cannot."""
    assert _template(TEMPLATE + ending).opens_thought == opens


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (None, "no chat template"),
        ("{{ bos_token }}", "leaves out what is said"),
        ("{{ raise_exception('one turn alone') }}", "one turn alone"),
        ("{% if %}", "Expected an expression"),
        ("{{ messages[7]['content'] }}", "no element 7"),
    ],
)
def test_errors(template: str | None, message: str) -> None:
    """None, one that says nothing, one that refuses, and ones that are broken."""
    with pytest.raises(BackendError, match=message):
        _template(template)
