"""`listen` as it is wired: what is remembered of a call, and what is refused."""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from processors.listening.engine_port import Recognition, SpeechClip, SpeechEngine
from processors.listening.pipeline import ListenSettings, listener_of
from schemas.errors import RetryableError
from schemas.messages.call_ended import Agent, Audio, CallEnded, Customer
from schemas.messages.dead_letter import DeadLetter
from schemas.messages.records import ConsumerRecord, ProducerRecord
from schemas.messages.topics import (
    CALLS_DEAD_LETTERS,
    CALLS_ENDED,
    CALLS_TRANSCRIBED,
    message_key,
)
from schemas.messages.transcript import EngineIdentity, Transcript
from streams.adapters.object_store.folder import FolderStore
from streams.adapters.object_store.recordings import RecordingStore
from streams.adapters.object_store.sealed_store import SealedStore
from streams.adapters.object_store.transcripts import TranscriptPlace
from streams.adapters.speech.openai_api.engine import UnusableAnswerError
from streams.runtime.stage import Stage
from streams.stages.capture import PENDING_URI
from streams.stages.listen import Recorded, listen_stage
from tests.processors.listening.scripted_engine import ScriptedEngine
from tests.processors.recordings import example_calls, tone, wav
from tests.support.data_keys import MemoryDataKeys
from tests.support.sealing import Sealing
from tests.support.shipped_rules import shipped_judge
from tests.support.stored_keys import transcripts_in

NOW = datetime(2026, 3, 2, 10, 15, tzinfo=UTC)
JUDGE = shipped_judge()
SPEECH = example_calls()["s09_mono_logistics"].data
MISDIAL = wav([tone(440, 3_000, 8_000)], 8_000)
NO_SOUND = b"no sound at all"
MAX_BYTES = 1_000_000


HOW = ListenSettings(min_call_ms=5_000, max_call_ms=3_600_000, crosstalk_gate_db=18, chinese_script="simplified")


class FixedClock:
    time = NOW

    def now(self) -> datetime:
        return self.time


class NewerEngine(ScriptedEngine):
    """The same recogniser after an update."""

    @property
    def identity(self) -> EngineIdentity:
        return super().identity.model_copy(update={"version": "2"})


class Listening:
    """`listen` on a folder; the same folder for every engine that is built on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = FolderStore(folder, "bucket")
        self.folder.apply()
        self.keys = MemoryDataKeys()
        sealed = SealedStore(self.folder, self.keys)
        self.recordings = RecordingStore(self.folder, sealed, MAX_BYTES)
        self.sealing = Sealing(self.folder, sealed)
        self.transcripts = transcripts_in(self.folder, self.keys)
        self._offset = 0
        self.how = HOW
        self.clock = FixedClock()

    def stage(self, engine: SpeechEngine) -> Stage[CallEnded, Recorded, Transcript]:
        return listen_stage(engine, self.recordings, self.transcripts, self.how, self.clock, time.monotonic)

    def call(self, data: bytes, **changes: Any) -> CallEnded:
        """The event of a recording that is stored."""
        call = CallEnded.model_validate(
            {
                "tenant_id": "acme",
                "call_id": "c1",
                "direction": "inbound",
                "started_at": NOW - timedelta(minutes=1),
                "ended_at": NOW,
                "agent": Agent(id="A1"),
                "audio": Audio(uri=PENDING_URI, sha256=sha256(data).hexdigest(), bytes=len(data)),
            }
            | changes
        )
        return self.sealing.put(call, data, "flac")

    def hear(self, engine: SpeechEngine, call: CallEnded) -> ProducerRecord:
        """What `listen` makes of the event, each delivery at an offset of its own."""
        self._offset += 1
        key = message_key(call.tenant_id, call.call_id)
        (output,) = self.stage(engine).handle(ConsumerRecord(CALLS_ENDED.name, 3, self._offset, key, call.encode()))
        return output


def elsewhere(call: CallEnded) -> CallEnded:
    return call.model_copy(update={"audio": call.audio.model_copy(update={"uri": f"{call.audio.uri}.again"})})


@pytest.fixture
def listening(tmp_path: Path) -> Listening:
    return Listening(tmp_path)


def transcript_in(output: ProducerRecord) -> Transcript:
    assert output.topic == CALLS_TRANSCRIBED.name
    return Transcript.decode(output.value)


class TestASpeechServiceThatIsAway:
    def test_the_call_waits_and_is_heard_once_the_service_is_back(self, listening: Listening) -> None:
        class Away(ScriptedEngine):
            def recognize(self, *_: Any, **__: Any) -> Recognition:
                raise RetryableError("the speech service did not recognise a turn")

        call = listening.call(SPEECH)
        with pytest.raises(RetryableError):
            listening.hear(Away(), call)
        assert listening.transcripts.load("acme", "c1") is None, "it has no outcome yet"
        assert transcript_in(listening.hear(ScriptedEngine(), call)).segments

    def test_one_that_fails_on_this_recording_alone_gives_it_an_outcome(self, listening: Listening) -> None:
        class FailsOnIt(ScriptedEngine):
            def recognize(self, *_: Any, **__: Any) -> Recognition:
                raise UnusableAnswerError("HTTP 500")

        transcript = transcript_in(listening.hear(FailsOnIt(), listening.call(SPEECH)))
        assert (transcript.outcome, transcript.outcome_reason) == ("bad_audio", "internal_error")
        assert transcript.error_class == "UnusableAnswerError"


class TestListenAgain:
    def test_a_call_that_comes_again_is_not_recognised_again(self, listening: Listening) -> None:
        engine = ScriptedEngine()
        call = listening.call(SPEECH)
        first = listening.hear(engine, call)
        clips = len(engine.clips)
        assert clips > 0
        again = listening.hear(engine, call)
        assert len(engine.clips) == clips
        assert again == first
        assert transcript_in(first).segments

    def test_nor_after_the_worker_was_started_again(self, listening: Listening) -> None:
        call = listening.call(SPEECH)
        first = listening.hear(ScriptedEngine(), call)
        restarted = ScriptedEngine()
        assert listening.hear(restarted, call) == first
        assert restarted.clips == []

    def test_it_is_recognised_again_by_another_recogniser_and_that_is_remembered(self, listening: Listening) -> None:
        call = listening.call(SPEECH)
        listening.hear(ScriptedEngine(), call)
        newer = NewerEngine()
        assert transcript_in(listening.hear(newer, call)).engine == listener_of(newer, HOW)
        clips = len(newer.clips)
        assert clips > 0
        listening.hear(newer, call)
        assert len(newer.clips) == clips

    def test_not_because_another_machine_has_a_gpu_or_takes_more_at_once(self, listening: Listening) -> None:
        class OnAnotherMachine(ScriptedEngine):
            @property
            def identity(self) -> EngineIdentity:
                here = super().identity
                return here.model_copy(update={"settings": here.settings | {"device": "cuda", "batch_size": 64}})

        call = listening.call(SPEECH)
        first = listening.hear(ScriptedEngine(), call)
        elsewhere = OnAnotherMachine()
        assert listening.hear(elsewhere, call) == first
        assert elsewhere.clips == []

    def test_it_is_recognised_again_when_what_was_stored_of_it_cannot_be_read(self, listening: Listening) -> None:
        call = listening.call(SPEECH)
        listening.hear(ScriptedEngine(), call)
        listening.folder.put(TranscriptPlace.of("acme", "c1", NOW.date()).key, b"half a transcr")
        engine = ScriptedEngine()
        assert transcript_in(listening.hear(engine, call)).segments
        assert engine.clips

    def test_a_misdial_is_remembered_without_being_decoded_again(self, listening: Listening) -> None:
        call = listening.call(MISDIAL)
        first = transcript_in(listening.hear(ScriptedEngine(), call))
        assert (first.outcome, first.outcome_reason) == ("too_short", "shorter_than_minimum")
        listening.folder.put(listening.folder.key_of(call.audio.uri), b"gone")
        assert transcript_in(listening.hear(ScriptedEngine(), call)) == first


class TestChangedSettings:
    def test_a_call_is_recognised_again_when_a_setting_changes_what_is_written(self, listening: Listening) -> None:
        call = listening.call(SPEECH)
        listening.hear(ScriptedEngine(), call)
        listening.how = replace(HOW, chinese_script="traditional")
        engine = ScriptedEngine()
        listening.hear(engine, call)
        assert engine.clips != []


class TestWhatCouldNotBeHeard:
    @pytest.mark.parametrize(
        ("stored", "outcome", "reason"),
        [
            pytest.param(b"", "no_audio", "empty_object", id="the upload was empty"),
            pytest.param(SPEECH[:-1], "bad_audio", "size_mismatch", id="the upload broke off"),
            pytest.param(b"\x00" * len(SPEECH), "bad_audio", "checksum_mismatch", id="other bytes"),
        ],
    )
    def test_is_heard_once_the_recording_is_repaired_and_its_event_comes_again(
        self, listening: Listening, stored: bytes, outcome: str, reason: str
    ) -> None:
        call = listening.call(SPEECH)
        listening.sealing.replace(call, stored)
        engine = ScriptedEngine()
        broken = transcript_in(listening.hear(engine, call))
        assert (broken.outcome, broken.outcome_reason, engine.clips) == (outcome, reason, [])
        listening.sealing.replace(call, SPEECH)
        assert transcript_in(listening.hear(engine, call)).outcome is None

    def test_is_newer_than_what_was_told_of_it_before_by_a_clock_that_was_wrong(self, listening: Listening) -> None:
        call = listening.call(SPEECH)
        listening.sealing.replace(call, b"")
        listening.clock.time = NOW + timedelta(hours=1)
        missed = transcript_in(listening.hear(ScriptedEngine(), call))
        listening.sealing.replace(call, SPEECH)
        listening.clock.time = NOW
        heard = transcript_in(listening.hear(ScriptedEngine(), call))
        assert (missed.outcome, heard.outcome) == ("no_audio", None)
        assert heard.transcribed_at > missed.transcribed_at

    def test_one_whose_seal_is_broken_or_whose_key_is_gone_ends_so(self, listening: Listening) -> None:
        engine = ScriptedEngine()
        call = listening.call(SPEECH)
        key = listening.folder.key_of(call.audio.uri)
        sealed = listening.folder.read(key)
        listening.folder.put(key, sealed[:-1])
        broken = transcript_in(listening.hear(engine, call))
        assert (broken.outcome, broken.outcome_reason, engine.clips) == ("bad_audio", "seal_broken", [])
        listening.folder.put(key, sealed)
        listening.keys.destroy("acme", "c1", NOW.date())
        gone = transcript_in(listening.hear(engine, call))
        assert (gone.outcome, gone.outcome_reason, engine.clips) == ("no_audio", "key_destroyed", [])

    def test_does_not_stand_in_the_way_of_a_corrected_event(self, listening: Listening) -> None:
        engine = ScriptedEngine()
        wrong = listening.call(NO_SOUND)
        undecodable = transcript_in(listening.hear(engine, wrong))
        assert (undecodable.outcome, undecodable.outcome_reason) == ("bad_audio", "undecodable")
        assert transcript_in(listening.hear(engine, listening.call(SPEECH))).outcome is None

    def test_may_be_corrected_in_all_but_the_end_of_the_call_under_which_its_rows_are_filed(
        self, listening: Listening
    ) -> None:
        engine = ScriptedEngine()
        listening.hear(engine, listening.call(NO_SOUND))
        letter = DeadLetter.decode(listening.hear(engine, listening.call(SPEECH, ended_at=NOW + timedelta(1))).value)
        assert letter.exception_class == "ConflictingCallError"
        assert letter.problems == ("ended_at: another than in the event with this call_id before",)

    def test_does_not_replace_what_another_recogniser_heard_before(self, listening: Listening) -> None:
        call = listening.call(SPEECH)
        first = listening.hear(ScriptedEngine(), call)
        listening.sealing.replace(call, b"")
        assert listening.hear(NewerEngine(), call) == first

    def test_keeps_what_is_known_of_the_engine_and_the_event(self, listening: Listening) -> None:
        engine = ScriptedEngine()
        call = listening.call(NO_SOUND)
        transcript = transcript_in(listening.hear(engine, call))
        assert (transcript.call, transcript.engine, transcript.transcribed_at) == (
            call,
            listener_of(engine, HOW),
            NOW,
        )


class TestConflicts:
    @pytest.mark.parametrize(
        "changed",
        [
            pytest.param(lambda listening: listening.call(MISDIAL), id="another recording"),
            pytest.param(
                lambda listening: elsewhere(listening.call(SPEECH)), id="the same recording, taken in once more"
            ),
            pytest.param(lambda listening: listening.call(SPEECH, agent=Agent(id="A2")), id="another agent"),
            pytest.param(
                lambda listening: listening.call(SPEECH, customer=Customer(tags=("王小明",))), id="another tag"
            ),
        ],
    )
    def test_another_event_with_the_id_of_a_heard_call_is_refused_and_the_first_stands(
        self, listening: Listening, changed: Callable[[Listening], CallEnded]
    ) -> None:
        engine = ScriptedEngine()
        call = listening.call(SPEECH)
        first = listening.hear(engine, call)
        clips = len(engine.clips)
        other = changed(listening)
        assert other != call
        refused = listening.hear(engine, other)
        assert refused.topic == CALLS_DEAD_LETTERS.name
        letter = DeadLetter.decode(refused.value)
        assert (letter.step, letter.source_topic, letter.source_partition, letter.source_offset) == (
            "listen",
            CALLS_ENDED.name,
            3,
            2,
        )
        assert letter.exception_class == "ConflictingCallError"
        assert (letter.tenant_id, letter.call_id) == ("acme", "c1")
        assert len(engine.clips) == clips
        assert listening.hear(engine, call) == first

    def test_a_newer_recogniser_refuses_it_too(self, listening: Listening) -> None:
        listening.hear(ScriptedEngine(), listening.call(SPEECH))
        refused = listening.hear(NewerEngine(), listening.call(MISDIAL))
        assert refused.topic == CALLS_DEAD_LETTERS.name

    def test_one_that_another_worker_heard_meanwhile_stands(self, listening: Listening) -> None:
        meanwhile: list[ProducerRecord] = []

        def text_of(_clip: SpeechClip) -> str:
            if not meanwhile:
                other = listening.call(SPEECH, agent=Agent(id="A2"))
                meanwhile.append(listening.hear(ScriptedEngine(), other))
            return "您好"

        refused = listening.hear(ScriptedEngine(text_of), listening.call(SPEECH))
        assert DeadLetter.decode(refused.value).exception_class == "ConflictingCallError"
        stands = listening.transcripts.load("acme", "c1")
        assert stands is not None
        assert stands == transcript_in(meanwhile[0])
        assert stands.call.agent.id == "A2"

    def test_one_that_names_another_day_is_refused_too(self, listening: Listening) -> None:
        engine = ScriptedEngine()
        first = listening.hear(engine, listening.call(SPEECH))
        other = listening.call(SPEECH, ended_at=NOW + timedelta(days=3))
        assert listening.hear(engine, other).topic == CALLS_DEAD_LETTERS.name
        assert listening.hear(engine, listening.call(SPEECH)) == first

    def test_a_call_whose_keys_were_destroyed_has_neither_transcript_nor_recording(self, listening: Listening) -> None:
        engine = ScriptedEngine()
        call = listening.call(SPEECH)
        listening.hear(engine, call)
        listening.keys.destroy("acme", "c1", NOW.date())
        again = transcript_in(listening.hear(engine, call))
        assert (again.outcome, again.outcome_reason) == ("no_audio", "key_destroyed")

    def test_the_same_call_id_of_another_tenant_is_another_call(self, listening: Listening) -> None:
        engine = ScriptedEngine()
        listening.hear(engine, listening.call(SPEECH))
        other = listening.hear(engine, listening.call(SPEECH, tenant_id="other", agent=Agent(id="A2")))
        assert transcript_in(other).tenant_id == "other"
