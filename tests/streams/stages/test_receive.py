"""`receive` as it is wired: masked before anything else sees it, each call once, and what a recording changes."""

import json
import logging
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.clickhouse.rows import rows_for_transcript, version_of_analysis
from processors.listening.pipeline import ListenSettings
from processors.receiving.pipeline import ReceiveSettings, transcript_of
from schemas.errors import InvalidMessageError
from schemas.messages.call_ended import Audio, CallEnded
from schemas.messages.dead_letter import DeadLetter
from schemas.messages.records import ConsumerRecord, ProducerRecord
from schemas.messages.topics import CALLS_DEAD_LETTERS, CALLS_ENDED, CALLS_TRANSCRIBED, TRANSCRIPTS_RECEIVED
from schemas.messages.transcript import Transcript
from schemas.messages.transcript_received import TranscriptReceived
from streams.adapters.memory.broker import MemoryBroker
from streams.adapters.object_store.folder import FolderStore
from streams.adapters.object_store.recordings import RecordingStore
from streams.adapters.object_store.sealed_store import SealedStore
from streams.runtime.stage import Stage
from streams.stages.capture import PENDING_URI
from streams.stages.listen import listen_stage
from streams.stages.receive import IN_CLEAR as IN_CLEAR_REFUSED
from streams.stages.receive import Arrived, receive_stage, remove_old
from tests.processors.listening.scripted_engine import ScriptedEngine
from tests.processors.receiving.received import ENDED_AT, content, received
from tests.processors.recordings import example_calls
from tests.support.data_keys import MemoryDataKeys
from tests.support.mutations import broken_json
from tests.support.sealing import Sealing
from tests.support.shipped_rules import shipped_judge
from tests.support.stored_keys import originals_in, transcripts_in

IN_CLEAR = ("王小明", "一三八零零一三八零零零")
SPEECH = example_calls()["s09_mono_logistics"].data
NO_SOUND = b"no sound at all"
JUDGE = shipped_judge()
HOW = ReceiveSettings("simplified")
HEARD_AS = ListenSettings(min_call_ms=5_000, max_call_ms=3_600_000, crosstalk_gate_db=18, chinese_script="simplified")


class SteppingClock:
    """A second later whenever it is asked."""

    def __init__(self) -> None:
        self._now = ENDED_AT + timedelta(minutes=5)

    def now(self) -> datetime:
        self._now += timedelta(seconds=1)
        return self._now


class Receiving:
    """`receive` and `listen` beside the same folder."""

    def __init__(self, folder: Path, keys: MemoryDataKeys) -> None:
        self.folder = folder
        self.keys = keys
        self.store = FolderStore(folder, "bucket")
        self.store.apply()
        sealed = SealedStore(self.store, keys)
        self.recordings = RecordingStore(self.store, sealed, 1_000_000)
        self.sealing = Sealing(self.store, sealed)
        self.transcripts = transcripts_in(self.store, keys)
        self.originals = originals_in(self.store, keys)
        self.takes_clear = False
        self.clock = SteppingClock()
        self.how = HOW
        self._offset = 0

    @property
    def stage(self) -> Stage[TranscriptReceived, Arrived, Transcript]:
        return receive_stage(self.transcripts, self.originals, self.how, self.clock, takes_clear=self.takes_clear)

    def receive(self, message: TranscriptReceived | bytes) -> ProducerRecord:
        """What comes of it, each delivery at an offset of its own."""
        self._offset += 1
        value = message if isinstance(message, bytes) else self.originals.put(message).encode()
        (output,) = self.stage.handle(ConsumerRecord(TRANSCRIPTS_RECEIVED.name, 2, self._offset, b"acme/c1", value))
        return output

    def hear(self, data: bytes, **changes: Any) -> ProducerRecord:
        """What `listen` makes of a recording of the same call."""
        call = received().call
        audio = Audio(uri=PENDING_URI, sha256=sha256(data).hexdigest(), bytes=len(data))
        event = self.sealing.put(CallEnded.model_validate({**dict(call), "audio": audio, **changes}), data)
        stage = listen_stage(ScriptedEngine(), self.recordings, self.transcripts, HEARD_AS, self.clock, time.monotonic)
        (output,) = stage.handle(ConsumerRecord(CALLS_ENDED.name, 2, 0, b"acme/c1", event.encode()))
        return output

    def stored(self) -> bytes:
        """Everything that lies in the bucket, as it lies there."""
        return b"".join(path.read_bytes() for path in self.folder.rglob("*") if path.is_file())

    def waiting(self) -> list[str]:
        """Keys of originals that are not masked yet."""
        return [entry.key for entry in self.store.entries("received/")]


@pytest.fixture
def receiving(tmp_path: Path) -> Receiving:
    return Receiving(tmp_path, MemoryDataKeys())


def transcript_in(output: ProducerRecord) -> Transcript:
    assert output.topic == CALLS_TRANSCRIBED.name
    return CALLS_TRANSCRIBED.decode(output.value)


def letter_in(output: ProducerRecord) -> DeadLetter:
    assert output.topic == CALLS_DEAD_LETTERS.name
    return CALLS_DEAD_LETTERS.decode(output.value)


def version_of_transcript(transcript: Transcript) -> int:
    """As its row has it."""
    (row,) = rows_for_transcript(transcript)["transcript_versions"]
    version = row["version"]
    assert isinstance(version, int)
    return version


def shown(*outputs: ProducerRecord) -> Transcript:
    """Which transcript ClickHouse shows of a call, in whatever order the rows of these come: the highest version, for
    what was said and for how it was judged."""
    transcripts = [transcript_in(output) for output in outputs]
    analyses = [JUDGE.judge(each, ENDED_AT + timedelta(days=1)) for each in transcripts]
    said = max(transcripts, key=version_of_transcript)
    judged = max(analyses, key=version_of_analysis)
    assert (judged.engine, judged.transcribed_at) == (said.engine, said.transcribed_at)
    return said


class TestMasked:
    def test_nothing_in_clear_leaves_the_stage(self, receiving: Receiving, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)
        output = receiving.receive(received())
        for words in IN_CLEAR:
            assert words not in output.value.decode()
            assert words.encode() not in receiving.stored()
            assert words not in caplog.text
        stored = receiving.transcripts.load("acme", "c1")
        assert stored is not None
        assert [segment.text for segment in stored.segments][1] == "我叫[姓名]，手机号是[手机号]。"

    @pytest.mark.parametrize(
        "broken",
        [
            pytest.param({"role": IN_CLEAR[0]}, id="as a role"),
            pytest.param({"text": f"我叫{IN_CLEAR[0]}", IN_CLEAR[1]: 1}, id="beside an unknown field"),
            pytest.param({"start_ms": IN_CLEAR[1]}, id="as a time"),
        ],
    )
    def test_nor_in_a_dead_letter_or_its_line_of_the_log(
        self, receiving: Receiving, caplog: pytest.LogCaptureFixture, broken: dict[str, Any]
    ) -> None:
        written = content()
        written["utterances"][1] |= broken
        receiving.takes_clear = True
        letter = letter_in(receiving.receive(json.dumps(written, default=str).encode()))
        assert letter.exception_class == "InvalidMessageError"
        assert (letter.step, letter.source_topic) == ("receive", TRANSCRIPTS_RECEIVED.name)
        for words in IN_CLEAR:
            assert words not in letter.encode().decode()
            assert words not in caplog.text

    def test_the_topic_keeps_texts_for_days_also_where_little_is_written(self) -> None:
        config = TRANSCRIPTS_RECEIVED.config()
        kept_ms, open_ms = int(config["retention.ms"]), int(config["segment.ms"])
        assert timedelta(milliseconds=kept_ms + open_ms) < timedelta(days=4)


class TestSealed:
    """What was said lies sealed in the store until it is masked, and in the topic stands where."""

    def test_the_message_says_where_and_no_word_of_it(self, receiving: Receiving) -> None:
        message = receiving.originals.put(received())
        for words in IN_CLEAR:
            assert words not in message.encode().decode()
            assert words.encode() not in receiving.stored()
        assert receiving.originals.open(message) == received()
        assert TRANSCRIPTS_RECEIVED.decode(message.encode()) == message

    def test_once_masked_the_original_is_gone(self, receiving: Receiving) -> None:
        transcript_in(receiving.receive(received()))
        assert receiving.waiting() == []

    def test_a_worker_that_ended_before_it_said_so_says_it_the_next_time(self, receiving: Receiving) -> None:
        message = receiving.originals.put(received())
        record = ConsumerRecord(TRANSCRIPTS_RECEIVED.name, 2, 0, b"acme/c1", message.encode())
        first = receiving.stage.handle(record)
        assert receiving.waiting() == []
        assert receiving.stage.handle(record) == first

    def test_one_that_was_removed_and_never_masked_is_refused_with_a_sentence(self, receiving: Receiving) -> None:
        message = receiving.originals.put(received())
        receiving.originals.remove(message)
        letter = letter_in(receiving.receive(message))
        assert letter.problems == ("sealed: the transcript lies in the object store no more; send it again",)

    def test_so_is_one_whose_key_was_destroyed(self, receiving: Receiving) -> None:
        message = receiving.originals.put(received())
        receiving.keys.destroy("acme", "c1", ENDED_AT.astimezone(UTC).date())
        assert letter_in(receiving.receive(message)).problems[0].startswith("sealed: ")

    @pytest.mark.parametrize(
        "change",
        [
            pytest.param(lambda sealed, _other: sealed[:-1], id="cut"),
            pytest.param(lambda _sealed, other: other, id="exchanged for that of another call"),
            pytest.param(lambda _sealed, _other: b"", id="emptied"),
        ],
    )
    def test_one_that_does_not_open_is_refused(
        self, receiving: Receiving, change: Callable[[bytes, bytes], bytes]
    ) -> None:
        receiving.originals.put(received(call={"call_id": "c2"}))
        (other,) = receiving.waiting()
        message = receiving.originals.put(received())
        (key,) = [key for key in receiving.waiting() if key != other]
        receiving.store.put(key, change(receiving.store.read(key), receiving.store.read(other)))
        assert letter_in(receiving.receive(message)).problems == ("sealed: the object does not open",)

    def test_of_two_that_differ_each_has_an_original_of_its_own(self, receiving: Receiving) -> None:
        one, other = (receiving.originals.put(received(("agent", text))) for text in ("第一段话。", "另外一段话。"))
        assert transcript_in(receiving.receive(one)).segments[0].text == "第一段话。"
        assert letter_in(receiving.receive(other)).exception_class == "ConflictingCallError"

    def test_in_clear_it_is_refused_with_a_sentence_or_taken_where_the_setting_says_so(
        self, receiving: Receiving
    ) -> None:
        letter = letter_in(receiving.receive(received().encode()))
        assert letter.problems == (IN_CLEAR_REFUSED,)
        assert receiving.transcripts.load("acme", "c1") is None
        receiving.takes_clear = True
        assert transcript_in(receiving.receive(received().encode())).call_id == "c1"

    def test_originals_that_nobody_masked_are_removed_when_their_messages_are_gone(self, receiving: Receiving) -> None:
        receiving.originals.put(received())
        now = datetime.now(UTC)

        class Later(SteppingClock):
            def __init__(self, after: timedelta) -> None:
                self._now = now + after

        remove_old(receiving.originals, Later(timedelta(days=3)))
        assert len(receiving.waiting()) == 1
        remove_old(receiving.originals, Later(timedelta(days=4)))
        assert receiving.waiting() == []


class TestOnTheWay:
    def test_the_same_again_gives_the_same(self, receiving: Receiving) -> None:
        first = receiving.receive(received())
        assert receiving.receive(received()) == first
        again = Receiving(receiving.folder, receiving.keys)
        assert again.receive(received()) == first

    def test_another_text_of_the_same_call_is_refused_and_the_first_stands(self, receiving: Receiving) -> None:
        first = receiving.receive(received())
        letter = letter_in(receiving.receive(received(("agent", "另外一段话。"))))
        assert (letter.exception_class, letter.tenant_id, letter.call_id) == ("ConflictingCallError", "acme", "c1")
        assert receiving.receive(received()) == first

    def test_the_same_call_id_of_another_tenant_is_another_call(self, receiving: Receiving) -> None:
        receiving.receive(received())
        other = receiving.receive(received(("agent", "另外一段话。"), call={"tenant_id": "other"}))
        assert transcript_in(other).tenant_id == "other"

    def test_under_another_policy_it_is_masked_anew_and_that_stands(self, receiving: Receiving) -> None:
        first = receiving.receive(received())
        receiving.how = ReceiveSettings("simplified", {"mobile": 4})
        anew = receiving.receive(received())
        assert "手机号是[手机号:8000]" in transcript_in(anew).segments[1].text
        assert receiving.receive(received()) == anew
        assert shown(first, anew) == shown(anew, first) == transcript_in(anew)

    def test_a_call_with_another_end_would_have_two_rows_and_is_refused(self, receiving: Receiving) -> None:
        receiving.receive(received())
        later = received(call={"ended_at": ENDED_AT + timedelta(seconds=1)})
        assert letter_in(receiving.receive(later)).exception_class == "ConflictingCallError"

    def test_a_bad_record_holds_up_no_other(self, receiving: Receiving) -> None:
        topic = TRANSCRIPTS_RECEIVED.name
        two = [receiving.originals.put(received(call={"call_id": call_id})).encode() for call_id in ("c1", "c2")]
        values = [b"no json", two[0], b"{}", two[1]]
        outputs = receiving.stage.work([ConsumerRecord(topic, 0, at, b"", value) for at, value in enumerate(values)])
        assert [output.topic for output in outputs] == [
            CALLS_DEAD_LETTERS.name,
            CALLS_TRANSCRIBED.name,
            CALLS_DEAD_LETTERS.name,
            CALLS_TRANSCRIBED.name,
        ]

    @given(seed=st.integers(0, 2**32))
    def test_whatever_is_wrong_with_a_message_it_is_refused_or_becomes_a_transcript(self, seed: int) -> None:
        chance = random.Random(seed)
        written = json.loads(received().encode())
        try:
            message = TRANSCRIPTS_RECEIVED.decode(broken_json(written, chance))
        except InvalidMessageError:
            return
        transcript = transcript_of(message, HOW, datetime.now(UTC))
        assert CALLS_TRANSCRIBED.decode(transcript.encode()) == transcript


class TestRecordedToo:
    """Of a call that came as text and as a recording, what was heard stands, in whatever order they came."""

    def test_what_is_heard_later_takes_the_place_of_the_text(self, receiving: Receiving) -> None:
        text, heard = receiving.receive(received()), receiving.hear(SPEECH)
        assert transcript_in(heard).engine.name == "scripted"
        assert shown(text, heard) == shown(heard, text) == transcript_in(heard)
        assert receiving.hear(SPEECH) == heard

    def test_a_text_that_comes_after_what_was_heard_is_refused(self, receiving: Receiving) -> None:
        heard = receiving.hear(SPEECH)
        assert letter_in(receiving.receive(received())).exception_class == "ConflictingCallError"
        assert receiving.hear(SPEECH) == heard

    def test_where_both_come_at_once_what_is_heard_stands(self, receiving: Receiving, tmp_path: Path) -> None:
        """Neither stage sees what the other does, and `listen` had begun before."""
        heard = receiving.hear(SPEECH)
        text = Receiving(tmp_path / "elsewhere", MemoryDataKeys()).receive(received())
        assert shown(text, heard) == shown(heard, text) == transcript_in(heard)

    @pytest.mark.parametrize("data", [NO_SOUND, b""], ids=["no sound", "no bytes"])
    def test_the_text_stands_where_the_recording_cannot_be_heard(self, receiving: Receiving, data: bytes) -> None:
        text = receiving.receive(received())
        assert receiving.hear(data) == text
        assert receiving.receive(received()) == text

    def test_so_it_does_where_it_comes_after_such_a_recording(self, receiving: Receiving) -> None:
        unheard = receiving.hear(NO_SOUND)
        assert transcript_in(unheard).outcome == "bad_audio"
        text = receiving.receive(received())
        assert shown(unheard, text) == shown(text, unheard) == transcript_in(text)
        assert receiving.receive(received()) == text

    def test_a_recording_that_is_repaired_later_takes_its_place(self, receiving: Receiving) -> None:
        receiving.hear(NO_SOUND)
        text, heard = receiving.receive(received()), receiving.hear(SPEECH)
        assert shown(text, heard) == transcript_in(heard)

    def test_a_recording_with_another_end_of_the_call_is_refused(self, receiving: Receiving) -> None:
        receiving.receive(received())
        refused = receiving.hear(SPEECH, ended_at=ENDED_AT + timedelta(seconds=1))
        assert letter_in(refused).exception_class == "ConflictingCallError"


def test_what_is_published_is_received(receiving: Receiving) -> None:
    broker = MemoryBroker()
    broker.publish([TRANSCRIPTS_RECEIVED.record(receiving.originals.put(received()))])
    (record,) = broker.consumer("receive", [TRANSCRIPTS_RECEIVED.name]).poll(10, 0)
    assert record.key == b"acme/c1"
    (output,) = receiving.stage.handle(record)
    assert transcript_in(output).call_id == "c1"
