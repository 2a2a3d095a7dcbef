"""What is wrong with a message is said by field and kind of error, and never with a word of the message."""

import json
import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from schemas.errors import InvalidMessageError
from schemas.messages.call_ended import CallEnded
from schemas.messages.message import MAX_PROBLEMS
from schemas.messages.topics import CALLS_ENDED, CALLS_TRANSCRIBED, DAY_MS, MAX_MESSAGE_BYTES, TOPICS, AnyTopic
from schemas.messages.transcript import Transcript

PHONE = "13800001234"
AUDIO: dict[str, object] = {"uri": "s3://callstream/recordings/demo/c1.wav", "sha256": "0" * 64, "bytes": 1}
EVENT: dict[str, object] = {
    "tenant_id": "demo",
    "call_id": "c1",
    "direction": "inbound",
    "started_at": "2026-01-01T00:00:00Z",
    "ended_at": "2026-01-01T00:01:00Z",
    "agent": {"id": "A1"},
    "audio": AUDIO,
}


def event(**fields: object) -> bytes:
    return json.dumps({**EVENT, **fields}).encode()


def audio(**fields: object) -> bytes:
    return event(audio={**AUDIO, **fields})


def without(field: str) -> bytes:
    return json.dumps({name: value for name, value in EVENT.items() if name != field}).encode()


def with_number(digits: str) -> bytes:
    return event().replace(b'"bytes": 1', f'"bytes": {digits}'.encode())


def refusal(raw: bytes | None) -> InvalidMessageError:
    with pytest.raises(InvalidMessageError) as caught:
        CALLS_ENDED.decode(raw)
    return caught.value


def test_the_event_that_the_bad_ones_are_made_from_is_good() -> None:
    assert CALLS_ENDED.decode(event()).call_id == "c1"


BAD_EVENTS: dict[str, tuple[bytes | None, tuple[str, ...]]] = {
    "no value: a tombstone on a topic that has none": (None, ("the message has no value",)),
    "not UTF-8: GBK from an old switch": (
        event(queue="x").replace(b'"x"', "退款".encode("gbk")),
        ("the message is not UTF-8",),
    ),
    "empty value": (b"", ("message: json_invalid",)),
    "not JSON": (b"call c1 ended", ("message: json_invalid",)),
    "JSON that is cut off": (event()[:-1], ("message: json_invalid",)),
    "two documents in one message": (event() + event(), ("message: json_invalid",)),
    "byte order mark: RFC 8259 forbids it": (b"\xef\xbb\xbf" + event(), ("message: json_invalid",)),
    "JSON, but no object": (b"[]", ("message: model_type",)),
    "half a surrogate pair cannot be written as UTF-8": (event(queue="\ud83d"), ("message: json_invalid",)),
    "nothing but an object": (
        b"{}",
        tuple(f"{name}: missing" for name in sorted(EVENT)),
    ),
    "a required field is missing": (without("agent"), ("agent: missing",)),
    "a version that this code does not know": (event(schema_version=2), ("schema_version: literal_error",)),
    "naive timestamp: nobody knows which zone": (
        event(started_at="2026-01-01T00:00:00"),
        ("started_at: timezone_aware",),
    ),
    "seconds since 1970 instead of a date": (event(started_at=1767225600), ("started_at: datetime_type",)),
    "no such day": (event(started_at="2026-02-30T00:00:00Z"), ("started_at: datetime_parsing",)),
    "before year 1 in UTC: astimezone overflows": (
        event(started_at="0001-01-01T00:00:00+08:00"),
        ("started_at: datetime_out_of_range",),
    ),
    "after year 9999 in UTC: astimezone overflows": (
        event(ended_at="9999-12-31T23:59:59-08:00"),
        ("ended_at: datetime_out_of_range",),
    ),
    "before any date column can hold it": (
        event(started_at="1969-12-31T23:59:59Z"),
        ("started_at: datetime_out_of_range",),
    ),
    "ended before it started": (event(ended_at="2025-12-31T23:59:59Z"), ("message: ended_before_started",)),
    "ends in years to come: it would make a day of KPIs of its own": (
        event(ended_at="2105-12-31T23:59:59Z"),
        ("ended_at: datetime_in_the_future",),
    ),
    "ends two days from now": (
        event(ended_at=f"{datetime.now(UTC) + timedelta(days=2):%Y-%m-%dT%H:%M:%SZ}"),
        ("ended_at: datetime_in_the_future",),
    ),
    "more hold than the call lasted, and a minute": (event(hold_ms=30 * 60_000), ("message: hold_too_long",)),
    "hold of less than nothing": (event(hold_ms=-1), ("hold_ms: greater_than_equal",)),
    "after-call work of more than a week": (
        event(after_call_work_ms=7 * 86_400_000 + 1),
        ("after_call_work_ms: less_than_equal",),
    ),
    "ended by somebody whom nobody knows": (event(disconnected_by="peer"), ("disconnected_by: literal_error",)),
    "handed on to a phone number with a plus": (
        event(transferred_to="+8613800138000"),
        ("transferred_to: string_pattern_mismatch",),
    ),
    "lasts more than a week": (event(ended_at="2026-01-08T00:00:01Z"), ("message: call_too_long",)),
    "speaks after a week": (
        audio(speaker_segments=[{"role": "agent", "start_ms": 0, "end_ms": 604_800_001}]),
        ("audio.speaker_segments.0.end_ms: less_than_equal",),
    ),
    "a scale whose length no number holds": (
        event(csat={"score": 0, "scale_min": -1e308, "scale_max": 1e308}),
        ("csat.scale_max: less_than_equal", "csat.scale_min: greater_than_equal"),
    ),
    "unknown field": (event(agnet="A1"), ("<unknown field>: extra_forbidden",)),
    "unknown field in a part": (event(agent={"id": "A1", "nick": 1}), ("agent.<unknown field>: extra_forbidden",)),
    "each problem is named": (
        event(direction="sideways", legal_hold=None, agent={}),
        ("agent.id: missing", "direction: literal_error", "legal_hold: bool_type"),
    ),
    "upper-case digest: two spellings would be two recordings": (
        audio(sha256="A" * 64),
        ("audio.sha256: string_pattern_mismatch",),
    ),
    "digest of another length": (audio(sha256="0" * 40), ("audio.sha256: string_pattern_mismatch",)),
    "fewer than no bytes": (audio(bytes=-1), ("audio.bytes: greater_than_equal",)),
    "bytes as text": (audio(bytes="1"), ("audio.bytes: int_type",)),
    "bytes as a fraction": (audio(bytes=1.5), ("audio.bytes: int_type",)),
    "a word for true": (event(legal_hold="yes"), ("legal_hold: bool_type",)),
    "URI with a line break": (
        audio(uri="s3://callstream/a\nb"),
        ("audio.uri: string_pattern_mismatch",),
    ),
    "URI that ends with a line break": (audio(uri="s3://callstream/a\n"), ("audio.uri: string_pattern_mismatch",)),
    "URI with a NUL": (audio(uri="s3://callstream/a\x00"), ("audio.uri: string_pattern_mismatch",)),
    "URI of another kind: nothing is fetched from the web": (
        audio(uri="http://127.0.0.1/a.wav"),
        ("audio.uri: string_pattern_mismatch",),
    ),
    "URI of a file": (audio(uri="file:///etc/passwd"), ("audio.uri: string_pattern_mismatch",)),
    "call_id with a slash: it is part of object names": (event(call_id="a/b"), ("call_id: string_pattern_mismatch",)),
    "call_id that climbs": (event(call_id=".."), ("call_id: string_pattern_mismatch",)),
    "call_id of 200 characters": (event(call_id="c" * 200), ("call_id: string_pattern_mismatch",)),
    "call_id with a line break: it is in log lines": (event(call_id="c\n1"), ("call_id: string_pattern_mismatch",)),
    "call_id that ends with a line break": (event(call_id="c1\n"), ("call_id: string_pattern_mismatch",)),
    "empty call_id": (event(call_id=""), ("call_id: string_pattern_mismatch",)),
    "more tags than anyone has": (event(customer={"tags": ["老客户"] * 65}), ("customer.tags: too_long",)),
    "the bad one of the tags is named by its place": (
        event(customer={"tags": ["老客户", ""]}),
        ("customer.tags.1: string_too_short",),
    ),
    "a phone number where its digest belongs": (
        event(customer={"key": PHONE}),
        ("customer.key: string_pattern_mismatch",),
    ),
    "rating off its scale": (event(csat={"score": 6}), ("csat: score_off_scale",)),
    "a scale without length": (event(csat={"score": 1, "scale_min": 1, "scale_max": 1}), ("csat: score_off_scale",)),
    "NaN": (event(csat={"score": float("nan")}), ("csat.score: finite_number",)),
    "Infinity": (event(csat={"score": 1, "scale_max": float("inf")}), ("csat.scale_max: finite_number",)),
    "a number of 5000 digits": (with_number("1" + "0" * 5000), ("message: json_invalid",)),
    "a number that no float holds": (with_number("1e400"), ("audio.bytes: int_type",)),
    "a list 100 000 deep": (b"[" * 100_000, ("message: json_invalid",)),
    "an object 5000 deep in a free map": (
        event(crm={"a": 0}).replace(b'{"a": 0}', b'{"a":' * 5000 + b"1" + b"}" * 5000),
        ("message: json_invalid",),
    ),
    "17 MB": (
        event(queue="长" * 17_000_000),
        (f"the message is larger than {CallEnded.max_bytes} bytes",),
    ),
}


@pytest.mark.parametrize(("raw", "problems"), BAD_EVENTS.values(), ids=BAD_EVENTS)
def test_a_bad_event_is_refused_with_the_name_of_what_is_wrong(raw: bytes | None, problems: tuple[str, ...]) -> None:
    assert refusal(raw).problems == problems


HIDING_PLACES: dict[str, bytes] = {
    "the name of an unknown field": event(**{PHONE: 1}),
    "the name of an unknown field of a part": event(agent={"id": "A1", PHONE: 1}),
    "the value of an unknown field": event(phone=PHONE),
    "inside the value of an unknown field": event(contact={"numbers": [{PHONE: PHONE}]}),
    "a value of the wrong kind": event(audio=PHONE),
    "a value that does not match": event(direction=PHONE),
    "an id": event(call_id=f"{PHONE}/1"),
    "a time": event(started_at=PHONE + "x"),
    "a date": event(agent={"id": "A1", "hired_on": PHONE}),
    "the customer's key": event(customer={"key": PHONE}),
    "a key of a free map": event(crm={PHONE: ""}),
    "a key of a free map that is too long": event(crm={PHONE * 20: "x"}),
    "a value of a free map": event(crm={"callback": PHONE * 20}),
    "a map in a list in a part": event(customer={"tags": [{PHONE: PHONE}]}),
    "a key of the parameters of encryption": audio(
        encryption={"algorithm": "AES-256-GCM", "key_id": "k1", "parameters": {PHONE: ""}}
    ),
    "the URI": audio(uri=f"tel:{PHONE}"),
    "the message itself": json.dumps(PHONE).encode(),
    "text that is no JSON": f"call from {PHONE} ended".encode(),
    "bytes that are no UTF-8": PHONE.encode() + b"\xff",
    "a field beside a model-wide error": event(ended_at="2025-01-01T00:00:00Z", queue=PHONE),
}


@pytest.mark.parametrize("raw", HIDING_PLACES.values(), ids=HIDING_PLACES)
def test_a_phone_number_never_reaches_the_error(raw: bytes) -> None:
    error = refusal(raw)
    told = [str(error), repr(error), repr(error.problems), *traceback.format_exception(error)]
    assert not any(PHONE in text for text in told)
    assert error.__context__ is None, "the error of the parser holds the input"


def test_of_a_key_that_occurs_twice_the_last_value_counts() -> None:
    raw = b'{"call_id": "first", ' + event(call_id="last")[1:]
    assert CALLS_ENDED.decode(raw).call_id == "last"


def test_a_time_in_another_zone_becomes_utc() -> None:
    call = CALLS_ENDED.decode(event(started_at="2026-01-01T08:00:00+08:00"))
    assert call.started_at.isoformat() == "2026-01-01T00:00:00+00:00"


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        pytest.param(event(csat={"score": 5}), "csat", id="a whole number where a fraction is allowed"),
        pytest.param(event(agent={"id": "A1", "hired_on": "2024-07-01"}), "agent", id="a date"),
        pytest.param(event(crm={"订单": "退款中"}), "crm", id="any text as key of a free map"),
        pytest.param(event(queue="  退款  "), "queue", id="spaces around text, which are cut off"),
        pytest.param(event(order_id=None), "order_id", id="null for what is optional"),
    ],
)
def test_strict_reading_still_takes(raw: bytes, field: str) -> None:
    call = CALLS_ENDED.decode(raw)
    assert CALLS_ENDED.decode(call.encode()) == call
    assert getattr(call, field) == getattr(CALLS_ENDED.decode(call.encode()), field)


def test_a_message_wrong_in_ten_thousand_places_makes_a_short_error() -> None:
    segments = b'{"segments": [' + b",".join([b"{}"] * 2_000) + b"]}"
    with pytest.raises(InvalidMessageError) as caught:
        CALLS_TRANSCRIBED.decode(segments)
    missing_fields = 2_000 * 7 + 5
    assert len(caught.value.problems) == MAX_PROBLEMS + 1
    assert caught.value.problems[-1] == f"and {missing_fields - MAX_PROBLEMS} more"


def test_a_message_of_exactly_the_largest_size_is_read() -> None:
    padding = b" " * (CallEnded.max_bytes - len(event()))
    assert CALLS_ENDED.decode(event() + padding).call_id == "c1"
    assert refusal(event() + padding + b" ").problems == (f"the message is larger than {CallEnded.max_bytes} bytes",)


def test_the_broker_takes_every_message_that_decoding_takes() -> None:
    for topic in TOPICS:
        assert topic.message.max_bytes <= MAX_MESSAGE_BYTES
        assert topic.message.max_bytes <= int(topic.config()["max.message.bytes"])


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda fields: dict(reversed(fields.items())), id="another order of keys"),
        pytest.param(lambda fields: {**fields, "queue": None}, id="a default written out"),
        pytest.param(lambda fields: {**fields, "started_at": "2026-01-01T08:00:00+08:00"}, id="another time zone"),
    ],
)
def test_the_fingerprint_is_the_same_for(change: Callable[[dict[str, object]], dict[str, object]]) -> None:
    same = CALLS_ENDED.decode(json.dumps(change(EVENT)).encode())
    assert same.fingerprint() == CALLS_ENDED.decode(event()).fingerprint()


def test_the_fingerprint_differs_for_another_recording() -> None:
    assert CALLS_ENDED.decode(audio(bytes=2)).fingerprint() != CALLS_ENDED.decode(event()).fingerprint()


CALL = json.loads(event())
TRANSCRIPT: dict[str, object] = {
    "tenant_id": "demo",
    "call_id": "c1",
    "call": CALL,
    "engine": {"name": "faster-whisper", "version": "1", "model": "base"},
    "transcribed_at": "2026-01-01T00:02:00Z",
}
SEGMENT = {
    "segment_id": 0,
    "channel": 0,
    "role": "agent",
    "start_ms": 0,
    "end_ms": 900,
    "text": "您好",
    "confidence": 0.9,
}


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        pytest.param({"call_id": "c2"}, "message: not_the_call", id="of another call"),
        pytest.param({"outcome": "bad_audio"}, "message: outcome_without_reason", id="outcome without reason"),
        pytest.param({"outcome_reason": "no_speech"}, "message: outcome_without_reason", id="reason without outcome"),
        pytest.param(
            {"outcome": "no_audio", "outcome_reason": "missing", "segments": [SEGMENT]},
            "message: segments_without_hearing",
            id="segments of a call that was not heard",
        ),
        pytest.param(
            {"segments": [{**SEGMENT, "end_ms": -1}]}, "segments.0.end_ms: greater_than_equal", id="negative time"
        ),
        pytest.param(
            {"segments": [{**SEGMENT, "start_ms": 901}]}, "segments.0: ends_before_start", id="ends too early"
        ),
        pytest.param({"speech": {"robot": []}}, "speech.<unknown field>.<unknown field>: literal_error", id="no role"),
    ],
)
def test_a_bad_transcript_is_refused(fields: dict[str, object], problem: str) -> None:
    assert Transcript.decode(json.dumps(TRANSCRIPT).encode()).segments == ()
    with pytest.raises(InvalidMessageError) as caught:
        CALLS_TRANSCRIBED.decode(json.dumps({**TRANSCRIPT, **fields}).encode())
    assert caught.value.problems == (problem,)


SAYS_WHAT_WAS_SAID = {"calls.transcribed.v1", "calls.analyzed.v1", "calls.reanalyzed.v1", "alerts.raised.v1"}


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_masked_text_is_kept_on_kafka_for_as_long_as_the_setting_says_and_everything_else_as_declared(
    topic: AnyTopic,
) -> None:
    assert topic.masked_text is (topic.name in SAYS_WHAT_WAS_SAID)
    kept_ms = {days: int(topic.config(days)["retention.ms"]) for days in (1, 7, 30)}
    if topic.masked_text:
        assert kept_ms == {days: days * DAY_MS for days in kept_ms}
        assert int(topic.config()["segment.ms"]) <= DAY_MS, "what is in an open file is not deleted"
        assert topic.config() == topic.config(7)
    else:
        assert set(kept_ms.values()) == {topic.retention_ms}
