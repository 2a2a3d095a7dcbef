"""Everything that telephony can send wrongly, through a running stack at once: each has its stated end, and the
workers go on."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from confluent_kafka import KafkaError, Message, Producer

from processors.custody.sealed import SUITE
from processors.listening.audio import UnhearableError, probe
from schemas.messages.call_ended import CallEnded
from schemas.messages.message import MAX_PROBLEMS
from schemas.messages.records import ProducerRecord
from schemas.messages.topics import CALLS_ANALYZED, CALLS_ENDED, CALLS_TRANSCRIBED, message_key
from streams.adapters.kafka.client import client_config, lags
from streams.embedded.stack import Stack
from streams.settings import Settings
from streams.stages.capture import event_for
from streams.topology import consumer_groups
from tests.processors.recordings import Pcm, decoded, encoded, example_calls, tone, wav, wav_header
from tests.support.sealing import Sealing
from tests.support.stack import rows, running_stack, wait_for_outcomes, wait_until

pytestmark = [pytest.mark.embedded, pytest.mark.model]

TENANT = "acme"
RATE_HZ = 8_000
ENDED_AT = datetime(2026, 3, 3, 6, 3, 10, tzinfo=UTC)
WORKERS = ("listen-0", "receive", "judge", "relay", "store", "watch", "rollup")
Row = dict[str, Any]


@cache
def promise() -> tuple[Pcm, Pcm]:
    """Both channels around the turn in which an agent promises 绝对不会亏损, at the rate of the recording."""
    call = example_calls()["s02_finance_violation"]
    (turn,) = (turn for turn in call.turns if "绝对不会亏损" in turn.text)
    agent, customer = decoded(call.call_id).channels
    start, end = ((ms * agent.sample_rate_hz) // 1_000 for ms in (turn.start_ms - 300, turn.end_ms + 300))
    return agent.pcm[start:end], customer.pcm[start:end]


def at_rate(pcm: Pcm, sample_rate_hz: int) -> Pcm:
    """The same sound with more samples."""
    wanted = np.arange(len(pcm) * sample_rate_hz // RATE_HZ) * RATE_HZ / sample_rate_hz
    return np.interp(wanted, np.arange(len(pcm)), pcm).astype(np.int16)


def spoken(codec: str = "pcm_s16le", container: str = "wav", sample_rate_hz: int = RATE_HZ) -> bytes:
    """The promise as a file of that kind, agent first."""
    return encoded([at_rate(channel, sample_rate_hz) for channel in promise()], sample_rate_hz, codec, container)


def silence(duration_ms: int) -> Pcm:
    return np.zeros(duration_ms * RATE_HZ // 1_000, dtype=np.int16)


def long_and_nearly_silent(minutes: int) -> bytes:
    """Opus that ends with the promise."""
    before = silence(minutes * 60_000)
    channels = [np.concatenate([before, channel]) for channel in promise()]
    # As fast as the encoder can: this is about the length.
    return encoded(channels, RATE_HZ, "libopus", "ogg", options={"compression_level": "0", "frame_duration": "60"})


Facts = Mapping[str, Any]
Ending = tuple[str, str]
Make = Callable[[], bytes]

ANALYZED = ("analyzed", "complete")

HEARD: Mapping[str, tuple[Make, Facts]] = {
    "wav": (spoken, {}),
    "mp3": (lambda: spoken("libmp3lame", "mp3"), {}),
    "opus": (lambda: spoken("libopus", "ogg", 48_000), {}),
    "flac": (lambda: spoken("flac", "flac"), {}),
    "mu-law": (lambda: spoken("pcm_mulaw"), {}),
    "a-law": (lambda: spoken("pcm_alaw"), {}),
    "32-khz": (lambda: spoken(sample_rate_hz=32_000), {}),
    "20-minutes": (lambda: long_and_nearly_silent(20), {}),
    "unknown-language": (spoken, {"language_hint": "tlh"}),
    "no-language": (spoken, {"language_hint": None}),
    "no-channel-roles": (spoken, {"audio": {"channel_roles": None}}),
}
"""The agent's promise is found in each of these."""

SPEAKER_UNKNOWN: Mapping[str, tuple[Make, Facts]] = {
    "one-channel": (lambda: encoded([promise()[0]], RATE_HZ), {}),
    "one-channel-two-roles": (
        lambda: encoded([promise()[0]], RATE_HZ),
        {"audio": {"channel_roles": ["agent", "customer"]}},
    ),
    "same-sound-twice": (lambda: encoded([promise()[0]] * 2, RATE_HZ), {}),
}

NOT_HEARD: Mapping[str, tuple[Make, Facts, Ending]] = {
    "wrong-checksum": (spoken, {"audio": {"sha256": "0" * 64}}, ("bad_audio", "checksum_mismatch")),
    "wrong-size": (spoken, {"audio": {"bytes": 7}}, ("bad_audio", "size_mismatch")),
    "undecodable": (lambda: b"not a recording\n" * 40, {}, ("bad_audio", "undecodable")),
    "header-only": (lambda: wav_header(0), {}, ("no_audio", "empty_recording")),
    "no-bytes": (lambda: b"", {}, ("no_audio", "empty_object")),
    "misdial": (lambda: wav([tone(440, 3_000, RATE_HZ)] * 2, RATE_HZ), {}, ("too_short", "shorter_than_minimum")),
    "six-channels": (
        lambda: encoded([tone(300, 6_000, RATE_HZ)] * 6, RATE_HZ, layout="5.1"),
        {},
        ("unsupported", "too_many_channels"),
    ),
    "encrypted": (
        spoken,
        {"audio": {"encryption": {"algorithm": "AES-256-GCM", "key_id": "k1"}}},
        ("unsupported", "encrypted"),
    ),
}


def without(event: CallEnded, **changes: Any) -> bytes:
    """The event as another system might write it."""
    return json.dumps(event.model_dump(mode="json") | changes).encode()


REFUSED: Mapping[str, tuple[Callable[[CallEnded], bytes | None], str]] = {
    "unknown-field": (lambda event: without(event, colour="blue"), "<unknown field>: extra_forbidden"),
    "many-unknown-fields": (
        lambda event: without(event, **{f"field{n}": n for n in range(100)}),
        "<unknown field>: extra_forbidden",
    ),
    "bad-utf8": (lambda event: event.encode().replace(b'"A1"', b'"\xff\xfe"'), "the message is not UTF-8"),
    "half-an-event": (lambda event: event.encode()[:-20], "message: json_invalid"),
    "naive-timestamp": (lambda event: without(event, ended_at="2026-03-03T14:03:10"), "ended_at: timezone_aware"),
    "ends-before-it-starts": (
        lambda event: without(event, started_at="2026-03-03T06:03:11Z"),
        "message: ended_before_started",
    ),
    "tombstone": (lambda _event: None, "the message has no value"),
    "nothing": (lambda _event: b"", "message: json_invalid"),
    "another-version": (lambda event: without(event, schema_version=2), "schema_version: literal_error"),
    "too-large": (
        lambda _event: b"[" + b" " * 540_000 + b"]",
        f"the message is larger than {CallEnded.max_bytes} bytes",
    ),
}
"""Call id → what is sent in place of its event, and how that is described."""

ENDINGS: dict[str, Ending] = {
    **dict.fromkeys(HEARD, ANALYZED),
    **dict.fromkeys(SPEAKER_UNKNOWN, ANALYZED),
    **{call_id: ending for call_id, (_data, _facts, ending) in NOT_HEARD.items()},
    **dict.fromkeys(REFUSED, ("refused", "InvalidMessageError")),
    "silence": ("analyzed", "no_speech"),
    "swapped-roles": ANALYZED,
    "missing-object": ("no_audio", "object_missing"),
    "another-bucket": ("unsupported", "foreign_uri"),
    "in-clear": ("unsupported", "not_sealed"),
    "sent-twice": ANALYZED,
    "conflict": ANALYZED,
    "repaired": ANALYZED,
    "corrected": ANALYZED,
}

Place = tuple[str, int, int]

TABLES = {
    "calls": "SELECT * FROM whole_calls ORDER BY call_id",
    "segments": "SELECT * FROM segments ORDER BY call_id, segment_id",
    "findings": "SELECT * FROM findings ORDER BY call_id, start_ms",
    "outcomes": "SELECT * FROM outcomes ORDER BY call_id",
    "unaccounted": "SELECT * FROM unaccounted",
    "dead_letters": "SELECT * FROM dead_letters",
}


SEALED = {"algorithm": SUITE, "key_id": f"{TENANT}:2026-03-03", "parameters": {"version": "0" * 16}}
"""As recordings are that were taken in."""


class PlacingPublisher:
    """Publishes and remembers where each message came to lie; sends tombstones, too."""

    def __init__(self, settings: Settings) -> None:
        self._producer = Producer(client_config(settings) | {"batch.num.messages": 1})
        self.places: list[Place] = []

    def publish(self, outputs: Iterable[ProducerRecord]) -> None:
        for output in outputs:
            self.send(output.topic, output.key, output.value)

    def send(self, topic: str, key: bytes | None, value: bytes | None) -> Place:
        def delivered(error: KafkaError | None, message: Message) -> None:
            assert error is None, error
            partition, offset = message.partition(), message.offset()
            assert partition is not None
            assert offset is not None
            self.places.append((topic, partition, offset))

        self._producer.produce(topic, key=key, value=value, on_delivery=delivered)
        assert self._producer.flush(30) == 0
        return self.places[-1]


class Flow:
    """A stack to which everything has been sent, and what then stands in its tables."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.sealing = Sealing.of(stack.settings)
        self.publisher = PlacingPublisher(stack.settings)
        self.pids = self.worker_pids()
        self.places: dict[str, Place] = {}
        self.keyless: Place | None = None

    def worker_pids(self) -> dict[str, int | None]:
        return {name: self.stack.supervisor.pid(name) for name in WORKERS}

    def event(self, call_id: str, data: bytes, facts: Facts) -> CallEnded:
        given = {
            "tenant_id": TENANT,
            "call_id": call_id,
            "industry": "finance",
            "agent": {"id": "A1"},
            "language_hint": "zh",
            "started_at": "2026-03-03T06:02:41Z",
        }
        try:
            found = probe(data)
        except UnhearableError:
            found = None
        return event_for(given | dict(facts), data, found, ended_at=ENDED_AT)

    def send(self, call_id: str, data: bytes, facts: Facts = MappingProxyType({})) -> CallEnded:
        """Store the recording and publish its event."""
        call = self.sealing.put(self.event(call_id, data, facts), data)
        self.publisher.publish([CALLS_ENDED.record(call)])
        return call

    def send_event(self, call_id: str, value: bytes | None) -> Place:
        """Publish as the event of this call whatever it is."""
        return self.publisher.send(CALLS_ENDED.name, message_key(TENANT, call_id), value)

    def send_everything(self) -> None:
        for call_id, (make, facts) in (*HEARD.items(), *SPEAKER_UNKNOWN.items()):
            self.send(call_id, make(), facts)
        for call_id, (make, facts, _ending) in NOT_HEARD.items():
            self.send(call_id, make(), facts)
        for call_id, (written, _problem) in REFUSED.items():
            self.places[call_id] = self.send_event(call_id, written(self.event(call_id, spoken(), {})))
        self.keyless = self.publisher.send(CALLS_ENDED.name, None, b"13800138000")
        self.send("silence", encoded([silence(10_000)] * 2, RATE_HZ))
        self.send("swapped-roles", spoken(), {"audio": {"channel_roles": ["customer", "agent"]}})
        self._send_what_points_nowhere()
        self._send_what_comes_more_than_once()
        garbage = message_key(TENANT, "wav")
        self.places["garbage-for-judge"] = self.publisher.send(CALLS_TRANSCRIBED.name, garbage, b"\xff")
        self.places["garbage-for-store"] = self.publisher.send(CALLS_ANALYZED.name, garbage, None)

    def _send_what_points_nowhere(self) -> None:
        for call_id, uri in (
            ("missing-object", self.recordings_uri("never-uploaded")),
            ("another-bucket", "s3://another-bucket/a.wav"),
        ):
            event = self.event(call_id, spoken(), {"audio": {"uri": uri, "encryption": SEALED}})
            self.send_event(call_id, event.encode())
        in_clear = self.event("in-clear", spoken(), {"audio": {"uri": self.recordings_uri("in-clear")}})
        self.sealing.store.put(self.sealing.store.key_of(in_clear.audio.uri), spoken())
        self.send_event("in-clear", in_clear.encode())

    def _send_what_comes_more_than_once(self) -> None:
        once = self.send("sent-twice", spoken())
        self.send_event("sent-twice", once.encode())
        self.send("conflict", spoken())
        other = self.event(
            "conflict", spoken(), {"agent": {"id": "A2"}, "audio": {"uri": self.recordings_uri("conflict")}}
        )
        self.places["conflict"] = self.send_event("conflict", other.encode())
        # Of these two the first could not be heard, and of the third not even the event be read.
        self.send_event(
            "repaired",
            self.event(
                "repaired", spoken(), {"audio": {"uri": self.recordings_uri("no"), "encryption": SEALED}}
            ).encode(),
        )
        self.send("repaired", spoken())
        self.places["corrected"] = self.send_event("corrected", b"{}")
        self.send("corrected", spoken())

    def recordings_uri(self, name: str) -> str:
        return f"s3://{self.stack.settings.store_bucket}/recordings/{TENANT}/2026/03/03/{name}.bin"

    def endings(self) -> dict[str, Ending]:
        """Call id → outcome and reason, as they stand now."""
        found = [row for row in rows(self.stack, TABLES["outcomes"]) if row["tenant_id"] == TENANT]
        assert len({row["call_id"] for row in found}) == len(found)
        return {row["call_id"]: (row["outcome"], row["reason"]) for row in found}

    def read(self) -> None:
        """Take down what stands in the tables."""
        self.tables = {name: rows(self.stack, sql) for name, sql in TABLES.items()}

    def of(self, table: str, call_id: str) -> list[Row]:
        return [row for row in self.tables[table] if (row["tenant_id"], row["call_id"]) == (TENANT, call_id)]

    def call(self, call_id: str) -> Row:
        (row,) = self.of("calls", call_id)
        return row

    def skipped(self, call_id: str) -> dict[str, str]:
        call = self.call(call_id)
        return dict(zip(call["skipped_measures"], call["skipped_reasons"], strict=True))

    def roles(self, call_id: str) -> set[str]:
        return {row["role"] for row in self.of("segments", call_id)}

    def words_found(self, call_id: str) -> list[Row]:
        return [row for row in self.of("findings", call_id) if row["detector"] == "sensitive_words"]

    def has_promise(self, call_id: str) -> bool:
        """Whether the agent was caught. One codec or another costs the recogniser the last syllable of 亏损."""
        return any(row["attributes"]["word"].startswith("绝对不会亏") for row in self.words_found(call_id))

    def dead_letter_at(self, place: Place) -> Row:
        (letter,) = (
            row
            for row in self.tables["dead_letters"]
            if (row["source_topic"], row["source_partition"], row["source_offset"]) == place
        )
        return letter


@pytest.fixture(scope="module")
def flow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flow]:
    # The recordings are a sentence long, which is to be no anomaly here.
    settings = {"whisper_beam_size": 1, "duration_fallback_min_s": 1}
    with running_stack("tansu", tmp_path_factory.mktemp("stack"), settings) as stack:
        flow = Flow(stack)
        flow.send_everything()
        wait_until(
            stack,
            lambda: flow.endings() == ENDINGS,
            lambda: f"the stated endings; these differ: {set(flow.endings().items()) ^ set(ENDINGS.items())}",
            within_s=240,
        )
        wait_until(
            stack,
            lambda: all(lag.messages == 0 for lag in lags(stack.settings, consumer_groups())),
            lambda: f"no lag; there is {lags(stack.settings, consumer_groups())}",
        )
        flow.read()
        yield flow


class TestOutcomes:
    @pytest.mark.parametrize("call_id", ENDINGS)
    def test_every_event_ends_as_stated_and_stands_in_the_accounting_once(self, flow: Flow, call_id: str) -> None:
        (row,) = flow.of("outcomes", call_id)
        assert (row["outcome"], row["reason"]) == ENDINGS[call_id]

    def test_nothing_waits_and_nothing_is_there_that_was_not_sent(self, flow: Flow) -> None:
        assert len(flow.tables["outcomes"]) == len(ENDINGS) + 1  # and the event without a key
        assert flow.tables["unaccounted"] == []

    def test_each_call_whose_event_could_be_read_stands_in_the_table_of_calls_once(self, flow: Flow) -> None:
        found = flow.tables["calls"]
        assert [(row["call_id"], (row["outcome"], row["outcome_reason"])) for row in found] == sorted(
            (call_id, ending) for call_id, ending in ENDINGS.items() if ending[0] != "refused"
        )

    @pytest.mark.parametrize("call_id", [call_id for call_id, ending in ENDINGS.items() if ending != ANALYZED])
    def test_what_was_not_heard_or_silent_has_no_segments_and_no_findings(self, flow: Flow, call_id: str) -> None:
        assert flow.of("segments", call_id) == []
        assert flow.of("findings", call_id) == []


class TestHeard:
    @pytest.mark.parametrize("call_id", HEARD)
    def test_what_the_agent_promised_is_found_in_every_format(self, flow: Flow, call_id: str) -> None:
        assert flow.has_promise(call_id)
        assert flow.roles(call_id) == {"agent"}
        assert flow.call(call_id)["language"] == "zh"

    @pytest.mark.parametrize(
        ("call_id", "facts"),
        [
            pytest.param("wav", ("wav", "pcm_s16le", 8_000, 2), id="wav"),
            pytest.param("mp3", ("mp3", "mp3", 8_000, 2), id="mp3"),
            pytest.param("opus", ("ogg", "opus", 48_000, 2), id="opus"),
            pytest.param("flac", ("flac", "flac", 8_000, 2), id="flac"),
            pytest.param("mu-law", ("wav", "pcm_mulaw", 8_000, 2), id="mu-law"),
            pytest.param("a-law", ("wav", "pcm_alaw", 8_000, 2), id="a-law"),
            pytest.param("32-khz", ("wav", "pcm_s16le", 32_000, 2), id="32 kHz"),
            pytest.param("one-channel", ("wav", "pcm_s16le", 8_000, 1), id="one channel"),
        ],
    )
    def test_what_the_file_turned_out_to_be_stands_beside_the_call(
        self, flow: Flow, call_id: str, facts: tuple[object, ...]
    ) -> None:
        call = flow.call(call_id)
        columns = ("audio_container", "audio_codec", "audio_sample_rate_hz", "audio_channels")
        assert tuple(call[column] for column in columns) == facts

    def test_speech_at_the_end_of_a_long_silence_has_its_time(self, flow: Flow) -> None:
        assert all(segment["start_ms"] >= 20 * 60_000 for segment in flow.of("segments", "20-minutes"))
        assert flow.call("20-minutes")["duration_ms"] > 20 * 60_000

    @pytest.mark.parametrize("call_id", SPEAKER_UNKNOWN)
    def test_where_nobody_knows_who_speaks_nothing_is_laid_at_the_agents_door(self, flow: Flow, call_id: str) -> None:
        assert flow.roles(call_id) == {"unknown"}
        assert flow.words_found(call_id) == []
        assert flow.skipped(call_id)["sensitive_words"] == "speaker_unknown"
        assert flow.skipped(call_id)["agent_interruptions"] == "speaker_unknown"
        assert flow.call(call_id)["measures"]["sensitive_words"] is None

    def test_swapped_roles_make_the_promise_the_customers_and_are_doubted(self, flow: Flow) -> None:
        assert flow.roles("swapped-roles") == {"customer"}
        assert flow.words_found("swapped-roles") == []
        assert flow.call("swapped-roles")["measures"]["sensitive_words"] is None
        assert flow.skipped("swapped-roles")["sensitive_words"] == "roles_doubtful"

    def test_silence_is_measured_as_what_it_is(self, flow: Flow) -> None:
        assert flow.call("silence")["duration_ms"] == 10_000
        assert flow.skipped("silence")["sensitive_words"] == "no_speech"
        assert flow.skipped("silence")["non_talk_ms"] == "no_speech"


class TestDeadLetters:
    @pytest.mark.parametrize("call_id", REFUSED)
    def test_an_event_that_cannot_be_read_is_one_that_names_its_place(self, flow: Flow, call_id: str) -> None:
        letter = flow.dead_letter_at(flow.places[call_id])
        assert letter["step"] == "listen"
        assert letter["exception_class"] == "InvalidMessageError"
        assert REFUSED[call_id][1] in letter["problems"]
        assert len(letter["problems"]) <= MAX_PROBLEMS + 1
        assert (letter["tenant_id"], letter["call_id"]) == (TENANT, call_id)

    def test_one_without_a_key_is_accounted_for_by_its_place(self, flow: Flow) -> None:
        assert flow.keyless is not None
        letter = flow.dead_letter_at(flow.keyless)
        assert (letter["step"], letter["tenant_id"], letter["call_id"]) == ("listen", None, None)
        topic, partition, offset = flow.keyless
        (row,) = (row for row in flow.tables["outcomes"] if row["tenant_id"] != TENANT)
        assert (row["tenant_id"], row["call_id"]) == ("unknown", f"{topic}/{partition}/{offset}")
        assert (row["outcome"], row["reason"]) == ("refused", "InvalidMessageError")

    @pytest.mark.parametrize(
        ("what", "step"),
        [
            pytest.param("garbage-for-judge", "judge", id="judge"),
            pytest.param("garbage-for-store", "store", id="store"),
        ],
    )
    def test_every_stage_refuses_what_it_cannot_read(self, flow: Flow, what: str, step: str) -> None:
        letter = flow.dead_letter_at(flow.places[what])
        assert (letter["step"], letter["exception_class"]) == (step, "InvalidMessageError")
        assert (letter["tenant_id"], letter["call_id"]) == (TENANT, "wav")

    def test_there_are_no_others(self, flow: Flow) -> None:
        assert flow.keyless is not None
        columns = ("source_topic", "source_partition", "source_offset")
        found = [tuple(row[column] for column in columns) for row in flow.tables["dead_letters"]]
        assert sorted(found) == sorted([*flow.places.values(), flow.keyless])


class TestMoreThanOnce:
    def test_the_same_event_twice_is_one_call(self, flow: Flow) -> None:
        assert flow.has_promise("sent-twice")
        for table in ("calls", "segments", "findings"):
            assert len(flow.of(table, "sent-twice")) == len(flow.of(table, "wav"))

    def test_of_two_different_events_with_one_id_the_first_stands_and_the_second_is_a_dead_letter(
        self, flow: Flow
    ) -> None:
        letter = flow.dead_letter_at(flow.places["conflict"])
        assert (letter["step"], letter["exception_class"]) == ("listen", "ConflictingCallError")
        assert (letter["tenant_id"], letter["call_id"]) == (TENANT, "conflict")
        assert flow.call("conflict")["agent_id"] == "A1"

    def test_a_call_that_could_not_be_heard_is_once_its_event_comes_again_corrected(self, flow: Flow) -> None:
        assert flow.has_promise("repaired")

    def test_so_is_one_whose_event_could_not_be_read(self, flow: Flow) -> None:
        letter = flow.dead_letter_at(flow.places["corrected"])
        assert (letter["step"], letter["call_id"]) == ("listen", "corrected")
        assert flow.has_promise("corrected")


def test_afterwards_the_same_workers_run_and_a_good_call_goes_through(flow: Flow) -> None:
    assert None not in flow.pids.values()
    flow.send("afterwards", spoken())
    assert wait_for_outcomes(flow.stack, ["afterwards"], tenant_id=TENANT) == {"afterwards": "analyzed"}
    flow.read()
    assert flow.has_promise("afterwards")
    assert flow.worker_pids() == flow.pids
