"""What of a refused message is shown: nothing that tells of a person, whatever stands in it and wherever."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.dead_letters.shown import MOST_LINES, shown_message
from schemas.messages.message import UNKNOWN_FIELD

ENDED = "calls.ended.v1"


def shown(message: Any, topic: str = ENDED) -> tuple[str, ...]:
    return shown_message(topic, json.dumps(message, ensure_ascii=False).encode())


def test_form_and_words_of_ours_are_shown() -> None:
    lines = shown({"tenant_id": "acme", "call_id": "c-1", "direction": "sideways", "ended_at": "2026-03-01T10:00:00Z"})
    assert lines == (
        "tenant_id: acme",
        "call_id: c-1",
        "direction: sideways",
        "ended_at: 2026-03-01T10:00:00Z",
    )


@pytest.mark.parametrize(
    ("message", "told"),
    [
        pytest.param({"queue": "王小姐的专线"}, "queue: <6 characters>", id="a name in a free field"),
        pytest.param({"call_id": "13800138000"}, "call_id: <11 characters>", id="a phone number for an id"),
        pytest.param({"call_id": "x13800138000x"}, "call_id: <13 characters>", id="a phone number in an id"),
        pytest.param({"direction": "客户说他要投诉"}, "direction: <7 characters>", id="a sentence in place of a word"),
        pytest.param({"13800138000": 1}, f"{UNKNOWN_FIELD}: <number>", id="a phone number for a name"),
        pytest.param({"bytes": 13800138000}, "bytes: <number>", id="a phone number for a size"),
        pytest.param({"bytes": 1380013}, "bytes: 1380013", id="a size"),
        pytest.param({"customer": {"key": "0" * 64}}, "customer.key: <64 characters>", id="what tells customers apart"),
        pytest.param({"audio": {"uri": "s3://b/张三.wav"}}, "audio.uri: <13 characters>", id="a name in a path"),
        pytest.param(
            {"direction": {"王": "王"}}, f"direction.{UNKNOWN_FIELD}: <1 characters>", id="within a known one"
        ),
        pytest.param({"direction": ["in", "王"]}, "direction[1]: <1 characters>", id="in a list"),
        pytest.param({"direction": ""}, "direction: ", id="nothing"),
        pytest.param({"legal_hold": None}, "legal_hold: null", id="null"),
        pytest.param({"crm": {}}, "crm: {}", id="an empty object"),
        pytest.param([], "message: []", id="no object at all"),
        pytest.param("13900139000", "message: <11 characters>", id="a text alone"),
    ],
)
def test_everything_else_is_told_by_its_length(message: Any, told: str) -> None:
    assert told in shown(message)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        pytest.param(None, "the message has no value", id="none"),
        pytest.param(b"\xff\xfe\x00", "3 bytes that are not UTF-8: byte 0 is none of it", id="no UTF-8"),
        pytest.param("{王".encode(), "4 bytes that are no JSON: it ends to be that at character 1", id="no JSON"),
        pytest.param(b"[" * 100_000, "100000 bytes of JSON that cannot be read", id="brackets without end"),
        pytest.param(b"1" * 10_000, "10000 bytes of JSON that cannot be read", id="a number without end"),
        pytest.param(b"NaN", "message: <number>", id="no number"),
    ],
)
def test_what_is_no_message_is_told_by_its_size(value: bytes | None, told: str) -> None:
    assert shown_message(ENDED, value) == (told,)


def test_a_message_without_end_has_an_end() -> None:
    lines = shown({"related_call_ids": [f"c{number}" for number in range(10_000)]})
    assert len(lines) == MOST_LINES + 1
    assert lines[-1] == f"and {10_000 - MOST_LINES} more"


def test_of_a_topic_that_nobody_knows_no_name_is_shown() -> None:
    assert shown({"tenant_id": "acme"}, "somebody.elses.v1") == (f"{UNKNOWN_FIELD}: <4 characters>",)


_CHINESE = st.text(st.characters(min_codepoint=0x4E00, max_codepoint=0x9FFF), min_size=1, max_size=8)
_PHONES = st.integers(13_000_000_000, 19_999_999_999).map(str)
_PERSONAL = _CHINESE | _PHONES
_MESSAGES = st.recursive(
    _PERSONAL,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(_PERSONAL | st.sampled_from(["call_id", "direction", "queue", "text"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(_MESSAGES)
def test_nothing_personal_gets_through_at_any_depth(message: Any) -> None:
    lines = shown(message)
    text = "\n".join(lines)
    assert not any(0x4E00 <= ord(letter) <= 0x9FFF for letter in text)
    digits = "".join(letter if letter.isdigit() else " " for letter in text).split()
    assert all(len(each) < 11 for each in digits)
