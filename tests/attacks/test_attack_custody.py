"""Attacks on recordings and keys by whoever can write Kafka, the object store or the register, but has no key."""

import os
import re
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select, update

from processors.custody.intake import IntakeBusyError, IntakeConflictError
from schemas.messages.call_ended import Agent, Audio, CallEnded
from schemas.messages.records import ConsumerRecord
from schemas.messages.topics import CALLS_DEAD_LETTERS, CALLS_ENDED, CALLS_TRANSCRIBED
from streams.adapters.object_store.folder import FolderStore
from streams.adapters.object_store.recordings import RecordingStore, UnreadableRecordingError
from streams.adapters.object_store.sealed_store import SealedStore
from streams.adapters.register.register import Register, sqlite_url
from streams.adapters.register.tables import call_keys
from streams.ports import SystemClock
from streams.stages.capture import PENDING_URI
from streams.stages.listen import listen_stage
from streams.stages.seal_recordings import seal_recordings
from streams.stages.sweep import LEFT_FOR, Swept
from streams.stages.take_in import LEASE
from tests.processors.listening.scripted_engine import ScriptedEngine
from tests.processors.recordings import example_calls
from tests.streams.adapters.test_transcripts import transcript_of
from tests.streams.serve.test_recordings import DATA, header, of_call
from tests.streams.stages.intake_house import FACTS, OTHER, SOUND, house_in
from tests.streams.stages.test_receive import HEARD_AS
from tests.support.registers import BOTH, migrated, new_register_url
from tests.support.sealing import Sealing, keys_of
from tests.support.serving import event, serving
from tests.support.stack import running_stack
from tests.support.stored_keys import transcripts_in

SPEECH = example_calls()["s09_mono_logistics"].data
AT = datetime(2026, 3, 2, 2, 15, tzinfo=UTC)


def call_of(call_id: str, data: bytes = SPEECH) -> CallEnded:
    return CallEnded(
        tenant_id="acme",
        call_id=call_id,
        direction="inbound",
        started_at=AT,
        ended_at=AT,
        agent=Agent(id="A1"),
        audio=Audio(uri=PENDING_URI, sha256=sha256(data).hexdigest(), bytes=len(data)),
    )


class House:
    """A folder and a register, and `listen` over both."""

    def __init__(self, folder: Path, register: Register) -> None:
        self.store = FolderStore(folder, "the-bucket")
        self.store.apply()
        self.register = register
        self.keys = keys_of(register, SystemClock())
        self.sealed = SealedStore(self.store, self.keys)
        self.sealing = Sealing(self.store, self.sealed)
        self.recordings = RecordingStore(self.store, self.sealed, 1_000_000)

    def hear(self, call: CallEnded) -> str:
        """The topic in which the call ends."""
        transcripts = transcripts_in(self.store, self.keys)
        stage = listen_stage(ScriptedEngine(), self.recordings, transcripts, HEARD_AS, SystemClock(), lambda: 0.0)
        (output,) = stage.handle(ConsumerRecord(CALLS_ENDED.name, 0, 0, b"acme/c1", call.encode()))
        return output.topic


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with migrated(sqlite_url(tmp_path / "register" / "register.db")) as register:
        yield House(tmp_path, register)


def test_a_forged_event_without_a_seal_does_not_lead_to_the_recording_of_another_call(house: House) -> None:
    key = f"recordings/acme/2026/03/02/victim.{sha256(SPEECH).hexdigest()[:12]}.wav"
    house.store.put(key, SPEECH)
    assert seal_recordings(house.store, house.sealed).sealed == 1
    own, forged = (
        call.model_copy(update={"audio": call.audio.model_copy(update={"uri": house.store.uri_of(key)})})
        for call in (call_of("victim"), call_of("forged"))
    )

    assert house.recordings.load_audio(own) == SPEECH
    with pytest.raises(UnreadableRecordingError, match="not_sealed"):
        house.recordings.load_audio(forged)


@pytest.mark.parametrize(
    "purpose",
    [
        pytest.param("audio", id="the key of its recording"),
        pytest.param("transcript", id="the key of its transcript"),
    ],
)
def test_rows_of_keys_that_were_exchanged_end_these_calls_and_hold_up_no_other(house: House, purpose: str) -> None:
    calls = [house.sealing.put(call_of(call_id), SPEECH) for call_id in ("c1", "c2", "c3")]
    for call in calls:
        house.keys.make("acme", call.call_id, AT.date(), "transcript")
    with house.register.transaction() as tx:
        k = call_keys.c
        blobs = dict(tx.execute(select(k.call_id, k.blob).where(k.purpose == purpose)).tuples().all())
        for one, other in (("c1", "c2"), ("c2", "c1")):
            tx.execute(update(call_keys).where(k.call_id == one, k.purpose == purpose).values(blob=blobs[other]))

    assert [house.hear(call) for call in calls] == [
        CALLS_DEAD_LETTERS.name,
        CALLS_DEAD_LETTERS.name,
        CALLS_TRANSCRIBED.name,
    ]


@pytest.mark.loopback
def test_a_part_of_a_recording_is_not_taken_for_all_of_it(tmp_path: Path) -> None:
    with serving(tmp_path) as server, server.client(server.key()) as client:
        headers = header(event("part")) | {"Content-Type": "audio/wav", "Content-Range": f"bytes 0-99/{len(DATA)}"}
        answer = client.post("/v1/recordings", content=DATA[:100], headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (httpx.codes.BAD_REQUEST, "partial_content")
        assert of_call(server, "part") == []


def test_what_a_killed_upload_wrote_goes_with_the_second_round_of_the_sweeper(tmp_path: Path) -> None:
    """Nobody ever restarts the stack; the second round asks for the object of the upload to be removed, a day later."""
    store = FolderStore(tmp_path, "the-bucket")
    store.apply()
    key = "recordings/acme/2026/03/02/c1.0123456789abcdef.wav"
    store.put(key.replace("c1", "c2"), b"another upload")
    folder = tmp_path / "the-bucket" / "recordings" / "acme" / "2026" / "03" / "02"
    old, new = folder / ".0123456789abcdef.part", folder / ".fedcba9876543210.part"
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - LEFT_FOR.total_seconds() - 60,) * 2)

    store.delete(key)

    assert sorted(path.name for path in folder.iterdir()) == [new.name, "c2.0123456789abcdef.wav"]


def test_after_the_register_was_restored_what_came_in_while_it_was_copied_is_not_swept_away(tmp_path: Path) -> None:
    """By the statements in docs/custody.md."""
    copy = tmp_path / "copy.db"
    with migrated(sqlite_url(tmp_path / "register.db")) as register:
        before = house_in(register, tmp_path / "objects")

        def chunks() -> Iterator[bytes]:
            yield SOUND[:100]
            with closing(sqlite3.connect(tmp_path / "register.db")) as source, closing(sqlite3.connect(copy)) as target:
                source.backup(target)
            yield SOUND[100:]

        assert before.take(data=chunks()).created
    page = (Path(__file__).parents[2] / "docs" / "custody.md").read_text(encoding="utf-8")
    statements = re.findall(r"`(DELETE FROM [^`]+)`", page)
    assert len(statements) == 1
    with closing(sqlite3.connect(copy)) as restored:
        restored.executescript(statements[0])

    with migrated(sqlite_url(copy)) as register:
        after = house_in(register, tmp_path / "objects")
        for age in (LEASE, LEFT_FOR, LEFT_FOR):
            after.clock.pass_(age * 2)
            assert after.sweep.step() == Swept()
        assert after.objects == before.objects != []


@pytest.mark.parametrize("kind", BOTH)
def test_of_many_processes_that_take_one_call_in_at_once_one_does(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Each with connections of its own, half of them with another recording; whoever must come again does."""
    url = new_register_url(kind, request, tmp_path)
    with ExitStack() as stack, ThreadPoolExecutor(6) as pool:
        first, *others = (house_in(stack.enter_context(migrated(url)), tmp_path / "objects") for _ in range(6))
        houses = [first, *(replace(each, take_in=replace(each.take_in, sealed=first.sealed)) for each in others)]

        def insist(number: int, call_id: str) -> str:
            for _ in range(200):
                with suppress(IntakeBusyError):
                    try:
                        taken = houses[number].take({**FACTS, "call_id": call_id}, OTHER if number % 2 else SOUND)
                    except IntakeConflictError:
                        return "other"
                    return "first" if taken.created else "again"
                time.sleep(0.02)
            return "busy"

        for call_id in ("c1", "c2", "c3", "c4"):
            told = sorted(pool.map(insist, range(6), [call_id] * 6))
            assert told == ["again", "again", "first", "other", "other", "other"]
        houses[0].clock.pass_(LEASE * 2)
        houses[0].sweep.step()
        assert len(first.objects) == 4
        # Who finds the call stored and not yet announced announces it, too: the same event, which consumers drop.
        events = {call.encode(): call.call_id for house in houses for call in house.events}
        assert sorted(events.values()) == ["c1", "c2", "c3", "c4"]


@pytest.mark.embedded
def test_what_lies_in_clear_among_transcripts_is_sealed_once_and_never_vouched_for_again(tmp_path: Path) -> None:
    """By `up`, which seals what releases before 0.4 left there. Later, whoever can write the store put it there."""
    store = FolderStore(tmp_path / "objects", "callstream")
    store.apply()
    for call_id in ("of-before", "forged"):
        store.put(f"transcripts/acme/{call_id}.json", transcript_of("acme", call_id).encode())
        with running_stack("tansu", tmp_path, {"store_bucket": "callstream"}, stages=()):
            pass

    assert [entry.key.rpartition("/")[2] for entry in store.entries("transcripts/acme/")] == [
        "of-before.1",
        "forged.json",
    ]
