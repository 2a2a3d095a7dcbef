"""What a dead letter says of a message that had been published again, whoever wrote the headers beside it."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from schemas.errors import InvalidMessageError
from schemas.messages.dead_letter import (
    MOST_RETRIES,
    ORIGIN_HEADER,
    RETRIES_HEADER,
    RETRY_OF_HEADER,
    DeadLetter,
    dead_letter_for,
    headers_of_retry,
)
from schemas.messages.records import ConsumerRecord, Headers

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
RECORD = ConsumerRecord("calls.ended.v1", 3, 17, b"acme/c1", b"{}", NOW)
ERROR = InvalidMessageError(["call_id: missing"])


def letter_of(record: ConsumerRecord) -> DeadLetter:
    return dead_letter_for("listen", record, None, ERROR, NOW)


def test_a_message_that_is_refused_for_the_first_time_was_never_retried() -> None:
    letter = letter_of(RECORD)
    assert (letter.retries, letter.retry_of, letter.origin, letter.handling) == (0, None, None, None)


def test_each_refusal_after_a_retry_counts_one_more_and_tells_where_it_began() -> None:
    first = letter_of(RECORD)
    second = letter_of(replace(RECORD, offset=40, headers=headers_of_retry(first)))
    third = letter_of(replace(RECORD, offset=41, headers=headers_of_retry(second)))
    assert [(one.retries, one.retry_of) for one in (second, third)] == [
        (1, first.dead_letter_id),
        (2, second.dead_letter_id),
    ]
    assert second.origin == third.origin == "calls.ended.v1/3/17"


def test_what_is_counted_ends_somewhere() -> None:
    last = letter_of(RECORD).model_copy(update={"retries": MOST_RETRIES})
    assert letter_of(replace(RECORD, headers=headers_of_retry(last))).retries == MOST_RETRIES


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param(((RETRIES_HEADER, b"-1"),), id="less than none"),
        pytest.param(((RETRIES_HEADER, b"10000000000000"),), id="more than a number holds"),
        pytest.param(((RETRIES_HEADER, "१".encode()),), id="a digit of another script"),
        pytest.param(((RETRIES_HEADER, b"1"), (RETRIES_HEADER, b"2")), id="two counts"),
        pytest.param(((RETRIES_HEADER, b""),), id="nothing"),
        pytest.param(((RETRY_OF_HEADER, b"13800138000"),), id="a phone number for a letter"),
        pytest.param(((ORIGIN_HEADER, "王小姐/0/1".encode()),), id="a name for a topic"),
        pytest.param(((ORIGIN_HEADER, b"calls.ended.v1/0/1\n"),), id="a line end"),
    ],
)
def test_what_others_write_there_is_not_repeated(headers: Headers) -> None:
    letter = letter_of(replace(RECORD, headers=headers))
    assert (letter.retries, letter.retry_of, letter.origin) == (0, None, None)


def test_no_header_decides_which_letter_it_is() -> None:
    """Else whoever may write to a topic could put his letter in the place of another one."""
    claims = headers_of_retry(letter_of(replace(RECORD, offset=5)))
    assert letter_of(replace(RECORD, headers=claims)).dead_letter_id == letter_of(RECORD).dead_letter_id
