"""Taking a recording in: what is durable when it returns, what is refused, and what is left where something fails."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from processors.custody.intake import (
    Free,
    Intake,
    IntakeBusyError,
    IntakeCommand,
    IntakeConflictError,
    LeaseLostError,
    Stored,
)
from processors.custody.sealed import SUITE
from processors.listening.audio import probe
from schemas.errors import InvalidCallError, RetryableError
from schemas.messages.call_ended import CallEnded
from schemas.messages.topics import LANES, Lane
from schemas.messages.transcript import AudioFacts
from streams.adapters.register.register import Register
from streams.stages.sweep import Swept
from streams.stages.take_in import HEAD_BYTES, LEASE, TooLargeError
from tests.processors.recordings import tone, wav
from tests.streams.stages.intake_house import AFTER, ENDED_AT, FACTS, OTHER, SOUND, House, house_in, pieces


@pytest.fixture
def house(register: Register, tmp_path: Path) -> House:
    return house_in(register, tmp_path / "objects")


def announced(house: House, lane: Lane) -> list[CallEnded]:
    return [LANES[lane].read(record) for record in house.broker.records[LANES[lane].name]]


class TestTakenIn:
    def test_it_is_sealed_stored_and_announced_when_it_returns(self, house: House) -> None:
        taken = house.take()

        assert taken.created
        assert house.events == [taken.call]
        assert house.opened(taken.call) == SOUND
        audio = taken.call.audio
        assert (audio.sha256, audio.bytes) == (sha256(SOUND).hexdigest(), len(SOUND))
        assert (audio.container, audio.channels, audio.sample_rate_hz) == ("wav", 2, 8_000)
        assert audio.encryption is not None
        assert (audio.encryption.algorithm, audio.encryption.key_id) == (SUITE, "acme:2026-03-02")
        assert taken.call.ended_at - taken.call.started_at == timedelta(milliseconds=1_500)
        assert taken.call.queue == "refunds"

    def test_its_object_is_named_after_tenant_day_call_and_version(self, house: House) -> None:
        taken = house.take()

        assert taken.call.audio.encryption is not None
        version = taken.call.audio.encryption.parameters["version"]
        assert house.objects == [f"recordings/acme/2026/03/02/c1.{version}.wav"]
        assert taken.call.audio.uri == f"s3://the-bucket/{house.objects[0]}"

    def test_a_recording_of_the_past_is_announced_in_the_lane_that_live_calls_do_not_wait_for(
        self, house: House
    ) -> None:
        house.take_in = replace(house.take_in, lane="backfill")

        taken = house.take()

        assert house.events == []
        assert announced(house, "backfill") == [taken.call]

    def test_one_that_is_to_be_heard_once_more_is_announced_again_and_stays_what_it_is(self, house: House) -> None:
        first = house.take()
        again = house.take()
        house.take_in = replace(house.take_in, lane="redo")

        redone = house.take()

        assert (again.created, redone.created) == (False, False)
        assert house.events == [first.call]
        assert announced(house, "redo") == [first.call]
        assert len(house.objects) == 1

    def test_nothing_of_it_lies_in_clear(self, house: House) -> None:
        house.take()

        samples = SOUND[100:200]
        assert len(house.files) == 1
        assert samples not in house.files[0].read_bytes()

    def test_how_long_it_took_is_told_with_what_came(self, house: House) -> None:
        taken = house.take()

        (told,) = house.told
        assert taken.capture_ms is not None
        assert 0 < taken.capture_ms < 100
        assert (told.kind, told.tenant_id, told.call_id, told.source) == ("intake_announced", "acme", "c1", "serve")
        assert (told.capture_ms, told.content_bytes) == (taken.capture_ms, len(SOUND))
        assert told.content_sha256 == taken.call.audio.sha256

    def test_it_is_counted_from_when_the_last_byte_came(self, house: House) -> None:
        closed_at = house.clock.time
        house.clock.pass_(timedelta(seconds=5))

        taken = house.take_in.take_in(FACTS, [SOUND], extension="wav", source="folder", received_at=lambda: closed_at)

        assert taken.capture_ms is not None
        assert taken.capture_ms >= 5_000

    def test_what_cannot_be_decoded_has_its_event_all_the_same(self, house: House) -> None:
        taken = house.take(data=b"no sound")

        assert taken.call.audio.container is None
        assert taken.call.started_at == taken.call.ended_at
        assert house.opened(taken.call) == b"no sound"

    def test_an_empty_recording_is_accounted_for(self, house: House) -> None:
        assert house.opened(house.take(data=b"").call) == b""

    def test_one_that_is_longer_than_its_head_is_known_by_its_head(self, house: House) -> None:
        long = wav([tone(440, 20_000, 8_000)], 8_000)
        assert len(long) > 2 * HEAD_BYTES
        facts = FACTS | {"started_at": (ENDED_AT - timedelta(seconds=21)).isoformat()}

        taken = house.take(facts, long)

        assert (taken.call.audio.container, taken.call.audio.channels) == ("wav", 1)
        assert taken.call.ended_at - taken.call.started_at == timedelta(seconds=21)
        assert house.opened(taken.call) == long

    def test_its_head_is_looked_at_while_the_rest_comes(self, house: House) -> None:
        looked_at: list[int] = []

        def counting(head: bytes) -> AudioFacts:
            looked_at.append(len(head))
            return probe(head)

        def chunks() -> Iterator[bytes]:
            yield from pieces(long, HEAD_BYTES)
            assert looked_at == [HEAD_BYTES]

        long = wav([tone(440, 20_000, 8_000)], 8_000)
        facts = FACTS | {"started_at": (ENDED_AT - timedelta(seconds=21)).isoformat()}
        taken = replace(house.take_in, probe=counting).take_in(facts, chunks(), extension="wav", source="serve")

        assert taken.call.audio.container == "wav"
        assert looked_at == [HEAD_BYTES]

    def test_roles_of_channels_may_be_said(self, house: House) -> None:
        taken = house.take(FACTS | {"audio": {"channel_roles": ["agent", "customer"]}})

        assert taken.call.audio.channel_roles == ("agent", "customer")

    def test_what_is_said_of_the_bytes_is_compared(self, house: House) -> None:
        audio = {"sha256": sha256(SOUND).hexdigest(), "bytes": len(SOUND)}

        assert house.take(FACTS | {"audio": audio}).created


class TestOnceMore:
    def test_the_same_recording_is_the_same_call(self, house: House) -> None:
        first = house.take()
        again = house.take()

        assert (again.call, again.created, again.capture_ms) == (first.call, False, first.capture_ms)
        assert house.events == [first.call]
        assert len(house.objects) == 1

    @pytest.mark.parametrize(
        ("facts", "data"),
        [
            pytest.param(FACTS, OTHER, id="another recording"),
            pytest.param(FACTS | {"queue": "sales"}, SOUND, id="other facts"),
            pytest.param(FACTS | {"ended_at": "2026-03-03T00:00:00+00:00"}, SOUND, id="another day"),
        ],
    )
    def test_anything_else_under_its_id_is_refused_and_told(
        self, house: House, facts: dict[str, Any], data: bytes
    ) -> None:
        first = house.take()
        with pytest.raises(IntakeConflictError):
            house.take(facts, data)

        assert house.events == [first.call]
        assert len(house.objects) == 1
        assert [told.kind for told in house.told] == ["intake_announced", "intake_refused"]

    def test_the_same_id_of_another_tenant_is_another_call(self, house: House) -> None:
        house.take()

        assert house.take(FACTS | {"tenant_id": "bolt"}, OTHER).created
        assert len(house.events) == 2

    def test_two_at_once_the_second_is_told_to_come_again(self, house: House) -> None:
        def chunks() -> Iterator[bytes]:
            yield SOUND[:100]
            with pytest.raises(IntakeBusyError):
                house.take()
            yield SOUND[100:]

        assert house.take(data=chunks()).created
        assert not house.take().created
        assert len(house.events) == len(house.objects) == 1

    def test_one_that_stood_still_is_taken_over_and_its_object_goes(self, house: House) -> None:
        def chunks() -> Iterator[bytes]:
            yield OTHER[:100]
            house.clock.pass_(LEASE)
            assert house.take().created
            yield OTHER[100:]

        with pytest.raises(LeaseLostError):
            house.take(data=chunks())
        assert len(house.events) == len(house.objects) == 1
        assert house.opened(house.events[0]) == SOUND

    def test_a_slow_one_keeps_its_place_as_long_as_bytes_come(self, house: House) -> None:
        def chunks() -> Iterator[bytes]:
            for piece in pieces(SOUND, len(SOUND) // 20 + 1):
                house.clock.pass_(LEASE / 2)
                yield piece

        assert house.take(data=chunks()).created


REFUSED = [
    pytest.param({"call_id": None}, "call_id: missing", id="no id: nothing to know it by"),
    pytest.param({"ended_at": None}, "ended_at: missing", id="no end: nothing to file it by"),
    pytest.param({"ended_at": "yesterday"}, "ended_at: not a time", id="an end that is none"),
    pytest.param({"ended_at": "2026-03-02T10:15:51"}, "no time zone", id="an end somewhere"),
    pytest.param({"call_id": "../../c1"}, "call_id: string_pattern_mismatch", id="an id that is a path"),
    pytest.param({"tenant_id": "acme/../bolt"}, "tenant_id: string_pattern_mismatch", id="a tenant that is a path"),
    pytest.param({"audio": {"uri": "s3://the-bucket/recordings/bolt/x.wav"}}, "audio.uri: leave it out", id="a place"),
    pytest.param({"audio": {"encryption": {"algorithm": "x", "key_id": "k"}}}, "audio.encryption", id="a key"),
    pytest.param({"audio": "wav"}, "audio: must be an object", id="audio that is no object"),
    pytest.param({"audio": {"sha256": "0" * 64}}, "audio.sha256: not that of the bytes", id="damaged on the way"),
    pytest.param({"audio": {"bytes": 5}}, "audio.bytes: not that of the bytes", id="cut on the way"),
    pytest.param({"wish": 1}, "<unknown field>: extra_forbidden", id="a field that nobody knows"),
]


@pytest.mark.parametrize(("changes", "sentence"), REFUSED)
def test_wrong_facts_are_refused_and_leave_nothing(house: House, changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidCallError, match=sentence):
        house.take(FACTS | changes)

    assert house.events == []
    assert house.files == []
    assert isinstance(house.intake, Free)


@pytest.mark.parametrize("extension", ["wav/x", "", ".wav", "WAV", "x" * 9])
def test_an_extension_that_is_none_is_refused(house: House, extension: str) -> None:
    with pytest.raises(InvalidCallError, match="extension"):
        house.take(extension=extension)


def test_one_that_is_too_large_is_cut_off_and_leaves_nothing(house: House) -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield bytes(50_000)

    with pytest.raises(TooLargeError, match="1000000 bytes"):
        house.take(data=endless())

    assert (house.events, house.files) == ([], [])
    assert house.take().created


class TestFailures:
    def test_a_sender_that_goes_away_leaves_nothing(self, house: House) -> None:
        def chunks() -> Iterator[bytes]:
            yield SOUND[:20_000]
            raise ConnectionResetError

        with pytest.raises(ConnectionResetError):
            house.take(data=chunks())

        assert (house.events, house.files) == ([], [])
        assert house.take().created

    def test_while_kafka_is_away_it_is_durable_and_announced_by_the_next_try(self, house: House) -> None:
        house.broker.away = True
        with pytest.raises(RetryableError):
            house.take()
        assert isinstance(house.intake, Stored)
        house.broker.away = False

        again = house.take()

        assert not again.created
        assert again.capture_ms is not None
        assert house.events == [again.call]
        assert house.opened(again.call) == SOUND

    def test_what_nobody_tries_again_is_announced_by_the_sweeper(self, house: House) -> None:
        house.broker.away = True
        with pytest.raises(RetryableError):
            house.take()
        house.broker.away = False
        house.clock.pass_(AFTER)

        assert house.sweep.step() == Swept(announced=1)
        assert house.opened(house.events[0]) == SOUND
        assert [told.kind for told in house.told] == ["intake_announced"]
        assert house.told[0].capture_ms is not None
        assert house.told[0].capture_ms >= 60_000
        assert house.sweep.step() == Swept()

    def test_another_recording_for_one_that_is_stored_is_a_conflict(self, house: House) -> None:
        house.broker.away = True
        with pytest.raises(RetryableError):
            house.take()
        house.broker.away = False

        with pytest.raises(IntakeConflictError):
            house.take(data=OTHER)

    @pytest.mark.parametrize("command", ["Complete", "Announce"])
    def test_the_register_away_behind_the_last_byte(self, house: House, command: str) -> None:
        """Whether the object is to be removed, or to be announced, the sweeper knows."""
        there = house.take_in
        house.take_in = replace(there, intakes=AwayFor(there.intakes, command))
        with pytest.raises(RetryableError):
            house.take()
        house.take_in = there
        house.clock.pass_(LEASE + AFTER)
        swept = house.sweep.step()
        house.clock.pass_(AFTER + timedelta(seconds=1))
        house.sweep.step()

        if command == "Complete":
            assert (house.objects, house.events) == ([], [])
            assert isinstance(house.intake, Free)
        else:
            assert swept.announced == 1
            assert len(house.objects) == 1
            assert len({event.audio.uri for event in house.events}) == 1
        assert house.take().created is (command == "Complete")


class AwayFor:
    """A register that does not answer to one command."""

    def __init__(self, intakes: Any, command: str) -> None:
        self._intakes = intakes
        self._command = command

    def tell(self, tenant_id: str, call_id: str, command: IntakeCommand) -> Intake:
        if type(command).__name__ in (self._command, "Abandon"):
            raise RetryableError("the register cannot keep an intake: the server does not answer")
        state: Intake = self._intakes.tell(tenant_id, call_id, command)
        return state

    def __getattr__(self, name: str) -> Callable[..., Any]:
        found: Callable[..., Any] = getattr(self._intakes, name)
        return found
