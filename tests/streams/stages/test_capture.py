"""What becomes of a recording and what is known of it: customer key, event, metadata file."""

import json
import os
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from processors.listening.audio import probe
from schemas.errors import InvalidCallError
from schemas.messages.call_ended import CallEnded
from schemas.messages.transcript import AudioFacts
from schemas.messages.transcript_received import TranscriptReceived
from streams.stages.capture import (
    PENDING_URI,
    call_of_file,
    event_for,
    extension_of,
    read_facts,
    transcript_of_file,
)
from tests.processors.recordings import tone, wav

pytestmark = pytest.mark.processes

SECRET = "a key that never leaves this house"
NUMBER = "13800138000"
ENDED_AT = datetime(2026, 3, 2, 2, 15, 51, tzinfo=UTC)
STEREO = wav([tone(440, 1_500, 8_000), tone(880, 1_500, 8_000)], 8_000)
MONO = wav([tone(440, 1_500, 8_000)], 8_000)


def event(facts: dict[str, Any], data: bytes = STEREO, found: AudioFacts | None = None) -> CallEnded:
    return event_for(facts, data, found or probe(data), ended_at=ENDED_AT)


class TestEvent:
    def test_without_any_facts_everything_comes_from_the_file(self) -> None:
        made = event({})
        assert (made.tenant_id, made.direction, made.agent.id) == ("default", "inbound", "unknown")
        assert (made.ended_at, (made.ended_at - made.started_at).total_seconds()) == (ENDED_AT, 1.5)
        assert (made.audio.uri, made.audio.bytes) == (PENDING_URI, len(STEREO))
        assert made.audio.sha256 == sha256(STEREO).hexdigest()
        assert (made.audio.container, made.audio.codec) == ("wav", "pcm_s16le")
        assert (made.audio.sample_rate_hz, made.audio.channels) == (8_000, 2)

    def test_who_speaks_on_which_channel_is_never_assumed(self) -> None:
        assert event({}).audio.channel_roles is None
        swapped = event({"audio": {"channel_roles": ["customer", "agent"]}})
        assert swapped.audio.channel_roles == ("customer", "agent")
        assert swapped.audio.channels == 2

    def test_of_one_channel_nobody_knows_who_speaks(self) -> None:
        assert event({}, MONO).audio.channel_roles is None

    def test_a_recording_that_cannot_be_decoded_has_an_event_all_the_same(self) -> None:
        made = event_for({}, b"no sound", None, ended_at=ENDED_AT)
        assert made.started_at == made.ended_at == ENDED_AT
        assert (made.audio.container, made.audio.channels, made.audio.bytes) == (None, None, 8)

    def test_facts_go_before_what_the_file_says(self) -> None:
        made = event({"tenant_id": "acme", "started_at": "2026-03-02T10:15:00+08:00", "agent": {"id": "A1"}})
        assert (made.tenant_id, made.agent.id) == ("acme", "A1")
        assert made.started_at == datetime(2026, 3, 2, 2, 15, tzinfo=UTC)

    def test_the_call_id_follows_from_recording_and_end_wherever_the_clock_hangs(self) -> None:
        in_shanghai = event({"ended_at": "2026-03-02T10:15:51+08:00"})
        in_london = event({"ended_at": "2026-03-02T02:15:51Z"})
        assert in_shanghai.call_id == in_london.call_id == event({}).call_id
        assert in_shanghai == in_london

    @pytest.mark.parametrize(
        ("facts", "data"),
        [
            pytest.param({"ended_at": "2026-03-02T02:15:52Z"}, STEREO, id="the same announcement a second later"),
            pytest.param({}, MONO, id="another recording"),
        ],
    )
    def test_another_call_has_another_id(self, facts: dict[str, Any], data: bytes) -> None:
        assert event(facts, data).call_id != event({}).call_id

    def test_a_given_call_id_is_kept(self) -> None:
        assert event({"call_id": "pbx-7:42"}).call_id == "pbx-7:42"

    @pytest.mark.parametrize(
        ("facts", "problem"),
        [
            pytest.param({"ended_at": "yesterday"}, "ended_at: not a time", id="no time"),
            pytest.param({"ended_at": None}, "ended_at: not a time", id="null"),
            pytest.param({"ended_at": "2026-03-02T10:15:51"}, "ended_at: has no time zone", id="naive"),
            pytest.param({"ended_at": "1969-12-31T00:00:00Z"}, "ended_at: is not in the years", id="before 1970"),
            pytest.param({"ended_at": "0001-01-01T00:00:00+08:00"}, "ended_at: is not in the years", id="before time"),
            pytest.param({"started_at": "2026-03-02T10:15:51"}, "started_at: timezone_aware", id="naive start"),
            pytest.param({"started_at": "2026-03-03T00:00:00Z"}, "ended_before_started", id="ends before it starts"),
            pytest.param({"direction": "sideways"}, "direction: literal_error", id="unknown direction"),
            pytest.param({"call_id": "a b"}, "call_id: string_pattern_mismatch", id="an id with a space"),
            pytest.param({"tenant_id": "../x"}, "tenant_id: string_pattern_mismatch", id="a tenant that is a path"),
            pytest.param({"agent": "A1"}, "agent: model_", id="an agent without fields"),
            pytest.param({"audio": "x.wav"}, "audio: must be an object", id="audio without fields"),
            pytest.param({"audio": {"channel_roles": ["boss"]}}, "audio.channel_roles.0: literal_error", id="role"),
            pytest.param({"队列": "退款"}, "<unknown field>: extra_forbidden", id="a field that does not exist"),
            pytest.param({"csat": {"score": float("nan")}}, "csat.score: finite_number", id="no number"),
        ],
    )
    def test_a_wrong_fact_is_named(self, facts: dict[str, Any], problem: str) -> None:
        with pytest.raises(InvalidCallError) as caught:
            event(facts)
        assert problem in str(caught.value)

    def test_what_was_wrong_is_not_repeated(self) -> None:
        with pytest.raises(InvalidCallError) as caught:
            event({"call_id": f"王小明 {NUMBER}", f"phone {NUMBER}": "王小明", "started_at": NUMBER})
        assert NUMBER not in str(caught.value)
        assert "王小明" not in str(caught.value)


class TestMetadataFile:
    def test_it_is_read(self, tmp_path: Path) -> None:
        file = tmp_path / "a.json"
        file.write_text(json.dumps({"queue": "退款"}), encoding="utf-8")
        assert read_facts(file) == {"queue": "退款"}

    @pytest.mark.parametrize(
        ("content", "sentence"),
        [
            pytest.param(None, "does not exist", id="missing"),
            pytest.param(b"{", "cannot be read as JSON: JSONDecodeError", id="half a file"),
            pytest.param(b'{"queue": "\xff"}', "cannot be read as JSON: UnicodeDecodeError", id="not UTF-8"),
            pytest.param(b"[]", "must hold one JSON object", id="a list"),
            pytest.param(b'"13800138000"', "must hold one JSON object", id="a text"),
        ],
    )
    def test_one_that_cannot_be_used_is_named(self, tmp_path: Path, content: bytes | None, sentence: str) -> None:
        file = tmp_path / "a.json"
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(InvalidCallError) as caught:
            read_facts(file)
        assert str(file) in str(caught.value)
        assert sentence in str(caught.value)
        assert NUMBER not in str(caught.value)

    def test_a_folder_is_no_metadata(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidCallError, match="cannot be read as JSON: IsADirectoryError"):
            read_facts(tmp_path)


class TestRecordingFile:
    def test_the_call_ended_when_the_file_was_last_written(self, tmp_path: Path) -> None:
        file = tmp_path / "a.wav"
        file.write_bytes(STEREO)
        os.utime(file, (0, ENDED_AT.timestamp()))
        made, data = call_of_file(file, {}, len(STEREO))
        assert (made.ended_at, data) == (ENDED_AT, STEREO)
        assert made == event({})

    def test_what_is_no_recording_is_published_for_the_accounting(self, tmp_path: Path) -> None:
        file = tmp_path / "a.wav"
        file.write_bytes(b"no sound")
        made, data = call_of_file(file, {}, 1_024)
        assert (made.audio.container, data) == (None, b"no sound")

    def test_one_that_is_larger_than_allowed_is_refused(self, tmp_path: Path) -> None:
        file = tmp_path / "a.wav"
        file.write_bytes(STEREO)
        with pytest.raises(InvalidCallError, match="more than max_recording_bytes"):
            call_of_file(file, {}, len(STEREO) - 1)

    @pytest.mark.parametrize(
        ("name", "sentence"),
        [
            pytest.param("missing.wav", "cannot be read: No such file", id="missing"),
            pytest.param(".", "cannot be read: Is a directory", id="a folder"),
        ],
    )
    def test_one_that_cannot_be_read_is_named(self, tmp_path: Path, name: str, sentence: str) -> None:
        with pytest.raises(InvalidCallError, match=sentence):
            call_of_file(tmp_path / name, {}, 1_000_000)

    @pytest.mark.parametrize(
        ("name", "extension"),
        [
            pytest.param("a.WAV", "wav", id="capitals"),
            pytest.param("a.tar.opus", "opus", id="the last one"),
            pytest.param("a", "bin", id="none"),
            pytest.param("a.录音", "bin", id="one that no store key may have"),
            pytest.param("a.wav ", "bin", id="a space behind"),
        ],
    )
    def test_its_extension_is_one_that_the_store_takes(self, name: str, extension: str) -> None:
        assert extension_of(Path(name)) == extension


SAID = {"role": "agent", "text": "您好"}
LATER = {"role": "customer", "text": "你好", "start_ms": 2_000, "end_ms": 3_000}
ENDED_S = 1_772_417_751
OF_THE_CALL = {"call_id": "c1", "ended_at": "2026-03-02T10:15:00+08:00"}


class TestTranscriptOfFile:
    def test_what_nobody_says_of_the_call_is_filled_in(self, tmp_path: Path) -> None:
        file = tmp_path / "a.json"
        file.write_text(json.dumps({"call": {"call_id": "c1"}, "utterances": [LATER]}), encoding="utf-8")
        os.utime(file, (ENDED_S, ENDED_S))
        call = transcript_of_file(file).call
        assert (call.tenant_id, call.direction, call.agent.id) == ("default", "inbound", "unknown")
        assert call.ended_at == datetime.fromtimestamp(ENDED_S, UTC)
        assert call.ended_at - call.started_at == timedelta(seconds=3)

    def test_facts_go_before_the_file_and_what_they_say_of_a_recording_is_left_out(self, tmp_path: Path) -> None:
        file = tmp_path / "a.json"
        file.write_text(json.dumps({"call": OF_THE_CALL | {"queue": "a"}, "utterances": [SAID]}), encoding="utf-8")
        call = transcript_of_file(file, {"queue": "b", "audio": {"channel_roles": ["agent", "customer"]}}).call
        assert call.queue == "b"

    def test_a_byte_order_mark_does_no_harm(self, tmp_path: Path) -> None:
        file = tmp_path / "a.json"
        file.write_text(json.dumps({"call": OF_THE_CALL, "utterances": [SAID]}), encoding="utf-8-sig")
        assert transcript_of_file(file).call_id == "c1"

    @pytest.mark.parametrize(
        ("content", "sentence"),
        [
            pytest.param("{\n 'a': 1}", "is no JSON from line 2, column 2 on: ", id="no JSON"),
            pytest.param("[" * 100_000, "nested too deeply", id="deep"),
            pytest.param("[]", "must hold one JSON object with utterances", id="a list"),
            pytest.param({"call": []}, "call: must be an object", id="call is a list"),
            pytest.param(
                {"utterances": [SAID]}, "call.call_id: missing (give the call an id: call_id in call, or", id="no id"
            ),
            pytest.param(
                {"call": OF_THE_CALL},
                "neither_utterances_nor_sealed (utterances: at least one object with role and text)",
                id="no utterances",
            ),
            pytest.param(
                {"call": OF_THE_CALL, "utterances": {}},
                "utterances: tuple_type (a list, in square brackets)",
                id="utterances are an object",
            ),
            pytest.param(
                {"call": OF_THE_CALL | {"agent": "A1"}, "utterances": [SAID]},
                "call.agent: model_type (an object, in braces, with id, ",
                id="an agent that is a text",
            ),
            pytest.param(
                {"call": OF_THE_CALL | {"direction": "in"}, "utterances": [SAID]},
                "call.direction: literal_error (inbound or outbound)",
                id="direction",
            ),
            pytest.param(
                {"call": OF_THE_CALL, "language": "zh-CN", "utterances": [SAID]},
                "language: string_pattern_mismatch (two or three small letters: zh, also for what others call zh-CN",
                id="a language as others write it",
            ),
            pytest.param(
                {"call": OF_THE_CALL, "utterances": [SAID, SAID | {"role": "boss"}]},
                "utterances.1.role: literal_error (agent, customer or unknown)",
                id="role",
            ),
            pytest.param(
                {"call": OF_THE_CALL, "utterances": [SAID | {"text": ""}]},
                "utterances.0.text: string_too_short (what was said; leave out utterances without words)",
                id="no words",
            ),
            pytest.param(
                {"call": OF_THE_CALL, "utterances": [SAID | {"text": "\u200b\ufeff"}]},
                "utterances.0.text: string_too_short (what was said; leave out utterances without words)",
                id="nothing but what nobody says",
            ),
            pytest.param(
                {"call": OF_THE_CALL, "utterances": [SAID | {"start_ms": 0.5, "end_ms": "x"}]},
                "utterances.0.start_ms: int_type (whole milliseconds from the start of the call, of 7 days)",
                id="no milliseconds",
            ),
            pytest.param(
                {"call": OF_THE_CALL, "utterances": [LATER, SAID]},
                "utterance_1_times_for_all_or_none (give times to all utterances, counted from 0, or to none)",
                id="times of some",
            ),
            pytest.param(
                {"call": OF_THE_CALL, "utterances": [LATER, LATER | {"start_ms": 1_000}]},
                "utterance_1_begins_before_the_one_before (sort the utterances, counted from 0, by start_ms)",
                id="out of order",
            ),
            pytest.param(
                {"call": OF_THE_CALL, "utterances": [SAID], "words": 1},
                "a.json: words: extra_forbidden (no such field; docs/transcripts.md lists all)",
                id="unknown field",
            ),
            pytest.param(
                {"call": OF_THE_CALL, "utterances": [SAID, SAID | {"b": 1, "a": 1}]},
                "a.json: utterances.1.a: extra_forbidden (no such field; docs/transcripts.md lists all); "
                "utterances.1.b: extra_forbidden (",
                id="unknown fields of an utterance",
            ),
            pytest.param(
                {"call": OF_THE_CALL | {"agent": {"id": "A1", "nick\u200b\x1b": 1}}, "utterances": [SAID]},
                r"a.json: call.agent.'nick\u200b\x1b': extra_forbidden (",
                id="unknown field with a name that a terminal must not get",
            ),
            pytest.param(
                {"call": {"call_id": "c1", "ended_at": "2026-03-02T10:15:00"}, "utterances": [SAID]},
                "call.ended_at: has no time zone",
                id="no zone",
            ),
            pytest.param(
                {"call": OF_THE_CALL | {"started_at": "yesterday"}, "utterances": [SAID]},
                "call.started_at: datetime_parsing (a time with its zone, such as",
                id="no time",
            ),
        ],
    )
    def test_what_is_wrong_is_named_with_what_belongs_there(
        self, tmp_path: Path, content: object, sentence: str
    ) -> None:
        file = tmp_path / "a.json"
        file.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        with pytest.raises(InvalidCallError) as refused:
            transcript_of_file(file)
        assert "a.json" in str(refused.value)
        assert sentence in str(refused.value)

    def test_of_a_bad_utterance_it_is_not_said_that_there_are_none(self, tmp_path: Path) -> None:
        file = tmp_path / "a.json"
        file.write_text(json.dumps({"call": OF_THE_CALL, "utterances": ["您好"]}), encoding="utf-8")
        with pytest.raises(InvalidCallError) as refused:
            transcript_of_file(file)
        assert "utterances.0: model_type (an object, in braces, with role, text, " in str(refused.value)
        assert "too_short" not in str(refused.value)

    def test_a_file_that_is_no_text_or_too_large_or_missing_is_named(self, tmp_path: Path) -> None:
        files = {"a.json": b"\xff\xfe", "b.json": b" " * (TranscriptReceived.max_bytes + 1), "c.json": None}
        said = []
        for name, data in files.items():
            if data is not None:
                (tmp_path / name).write_bytes(data)
            with pytest.raises(InvalidCallError) as refused:
                transcript_of_file(tmp_path / name)
            said.append(str(refused.value))
        assert [sentence.partition(f"{name} ")[2][:10] for name, sentence in zip(files, said, strict=True)] == [
            "is not UTF",
            "has 209715",
            "cannot be ",
        ]
