"""Headers that hand on a trace: made of the call, ignored where they are of another, kept through a stage."""

import pytest

from schemas.messages.records import ConsumerRecord, Headers, ProducerRecord
from streams.runtime.tracing import HEADER, begun, trace_of, trace_of_key, working

KEY = b"acme/c1"
OTHER = b"acme/c2"


def read_again(output: ProducerRecord, topic: str = "calls.ended.v1") -> ConsumerRecord:
    return ConsumerRecord(topic, 0, 0, output.key, output.value, headers=output.headers)


def test_the_trace_of_a_call_is_always_the_same_and_that_of_another_is_another() -> None:
    assert trace_of_key(KEY) == trace_of_key(KEY) != trace_of_key(OTHER)
    assert trace_of_key(b"no call") is None
    assert trace_of_key(None) is None


def test_every_message_of_a_call_stands_behind_the_one_before() -> None:
    first = begun("capture", ProducerRecord("calls.ended.v1", KEY, b"{}"))
    record = read_again(first)
    before = trace_of(record.key, record.headers)
    assert before is not None
    assert before.span_id
    with working("listen", [record]) as span:
        (heard, of_no_call) = span.marked(
            [ProducerRecord("calls.transcribed.v1", KEY, b"{}"), ProducerRecord("x", b"no call", b"{}")]
        )
    after = trace_of(heard.key, heard.headers)
    assert after is not None
    assert after.trace_id == before.trace_id
    assert after.span_id not in ("", before.span_id)
    assert of_no_call.headers == ()


def test_outputs_of_a_batch_belong_each_to_its_own_call() -> None:
    records = [read_again(begun("capture", ProducerRecord("t", key, b"{}"))) for key in (KEY, OTHER)]
    with working("judge", records) as span:
        outputs = span.marked([ProducerRecord("t", key, b"{}") for key in (OTHER, KEY)])
    for output in outputs:
        begin, found = trace_of_key(output.key), trace_of(output.key, output.headers)
        assert begin is not None
        assert found is not None
        assert found.trace_id == begin.trace_id


def test_a_header_that_stands_there_is_left() -> None:
    headers: Headers = ((HEADER, b"mine"), ("callstream-retries", b"1"))
    with working("judge", [ConsumerRecord("t", 0, 0, KEY, b"{}")]) as span:
        (output,) = span.marked([ProducerRecord("t", KEY, b"{}", headers)])
    assert output.headers == headers


def of_another() -> bytes:
    trace = trace_of_key(OTHER)
    assert trace is not None
    return f"00-{trace.trace_id}-{'a' * 16}-01".encode()


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\xff" * 55, id="no_text"),
        pytest.param(b"00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-01", id="zeros"),
        pytest.param(b"x" * 1_000_000, id="long"),
        pytest.param(of_another(), id="of_another_call"),
    ],
)
def test_a_header_from_outside_that_is_wrong_is_ignored(value: bytes) -> None:
    assert trace_of(KEY, ((HEADER, value),)) == trace_of_key(KEY)


def test_what_is_raised_inside_goes_on() -> None:
    with pytest.raises(ZeroDivisionError), working("judge", [ConsumerRecord("t", 0, 0, KEY, b"{}")]):
        _ = 1 // 0
