"""What a transcript from outside may hold, and what is refused of it: kinds of error and fields, never a word."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from schemas.errors import InvalidMessageError
from schemas.messages.transcript_received import MAX_UTTERANCE_LETTERS, MAX_UTTERANCES, TranscriptReceived
from tests.processors.receiving.received import content, received

SECRET = "我的密码是老虎百合"

Change = Callable[[dict[str, Any]], object]


def decode(written: dict[str, Any]) -> TranscriptReceived:
    return TranscriptReceived.decode(json.dumps(written, default=str).encode())


def problems_after(change: Change) -> tuple[str, ...]:
    written = content(("agent", SECRET, 0, 900), ("customer", SECRET, 1_000, 1_900))
    change(written)
    with pytest.raises(InvalidMessageError) as refused:
        decode(written)
    assert SECRET not in str(refused.value)
    return refused.value.problems


class TestTranscriptReceived:
    def test_a_message_is_read_as_it_was_written(self) -> None:
        message = received()
        assert TranscriptReceived.decode(message.encode()) == message
        assert (message.tenant_id, message.call_id, message.has_times) == ("acme", "c1", False)

    @pytest.mark.parametrize(
        ("change", "problem"),
        [
            pytest.param(lambda it: it.update(utterances=[]), "utterances: too_short", id="empty"),
            pytest.param(lambda it: it.pop("utterances"), "message: neither_utterances_nor_sealed", id="nothing said"),
            pytest.param(
                lambda it: it.update(sealed={"version": "0" * 16}), "message: utterances_beside_sealed", id="both"
            ),
            pytest.param(
                lambda it: it.update(sealed={"version": "../../x"}),
                "sealed.version: string_pattern_mismatch",
                id="a path in place of a version",
            ),
            pytest.param(
                lambda it: it.update(sealed={"version": "0" * 16, SECRET: 1}),
                "sealed.<unknown field>: extra_forbidden",
                id="unknown field of a reference",
            ),
            pytest.param(
                lambda it: it.update(utterances=[it["utterances"][0]] * (MAX_UTTERANCES + 1)),
                "utterances: too_long",
                id="more utterances than a call has",
            ),
            pytest.param(
                lambda it: it["utterances"][1].update(text=SECRET * MAX_UTTERANCE_LETTERS),
                "utterances.1.text: string_too_long",
                id="a book",
            ),
            pytest.param(
                lambda it: it.update(utterances=[{"role": "agent", "text": "好" * MAX_UTTERANCE_LETTERS}] * 201),
                "utterances: more_letters_than_a_call_has",
                id="a shelf of books",
            ),
            pytest.param(
                lambda it: it["utterances"][1].update(text=" \n "), "utterances.1.text: string_too_short", id="blank"
            ),
            pytest.param(
                lambda it: it["utterances"][1].update(role="boss"), "utterances.1.role: literal_error", id="role"
            ),
            pytest.param(
                lambda it: it["utterances"][0].update(start_ms=-1), "utterances.0.start_ms: greater_than_equal", id="<0"
            ),
            pytest.param(
                lambda it: it["utterances"][1].update(end_ms=10**12), "utterances.1.end_ms: less_than_equal", id="years"
            ),
            pytest.param(
                lambda it: it["utterances"][1].update(end_ms="1900"), "utterances.1.end_ms: int_type", id="text as time"
            ),
            pytest.param(
                lambda it: it["utterances"][1].update(end_ms=999), "utterances.1: ends_before_start", id="ends first"
            ),
            pytest.param(
                lambda it: it["utterances"][1].pop("end_ms"), "utterances.1: one_time_without_the_other", id="half"
            ),
            pytest.param(
                lambda it: it["utterances"].reverse(),
                "utterances: utterance_1_begins_before_the_one_before",
                id="out of order",
            ),
            pytest.param(
                lambda it: it["utterances"].append({"role": "agent", "text": "好"}),
                "utterances: utterance_2_times_for_all_or_none",
                id="times of some",
            ),
            pytest.param(lambda it: it.update({SECRET: 1}), "<unknown field>: extra_forbidden", id="unknown field"),
            pytest.param(
                lambda it: it["utterances"][0].update(words=[]),
                "utterances.0.<unknown field>: extra_forbidden",
                id="unknown field of an utterance",
            ),
            pytest.param(
                lambda it: it["call"].update(audio={}), "call.<unknown field>: extra_forbidden", id="a recording"
            ),
            pytest.param(lambda it: it["call"].pop("call_id"), "call.call_id: missing", id="no call id"),
            pytest.param(
                lambda it: it["call"].update(ended_at="2026-01-01T00:00:00Z"), "call: ended_before_started", id="ended"
            ),
            pytest.param(
                lambda it: it.update(language="Chinese"), "language: string_pattern_mismatch", id="name of a language"
            ),
        ],
    )
    def test_what_does_not_fit_is_named_without_its_words(self, change: Change, problem: str) -> None:
        assert problems_after(change) == (problem,)

    def test_a_message_above_the_limit_is_refused_unread(self) -> None:
        with pytest.raises(InvalidMessageError, match="larger than"):
            TranscriptReceived.decode(b" " * (TranscriptReceived.max_bytes + 1))

    def test_words_do_not_stand_in_what_is_printed_of_it(self) -> None:
        assert SECRET not in repr(received(("agent", SECRET)))
