"""What is made of a recording beside its transcript: once, sealed, and never in the way of the transcript."""

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest

from processors.custody.ports import KeyGoneError, SealBrokenError
from processors.custody.sealed import SUITE
from processors.listening.audio import DecodeLimits, decode
from processors.listening.renditions import Renditions, read_peaks, render
from schemas.config.tenants import RecordingFormat
from schemas.messages.call_ended import Agent, Audio, AudioEncryption, CallEnded
from streams.adapters.object_store.folder import FolderStore
from streams.adapters.object_store.recordings import key_id_of, recording_key
from streams.adapters.object_store.renditions import RenditionStore
from streams.adapters.object_store.sealed_store import SealedStore
from streams.ports import ObjectMissingError
from streams.stages.listen import RenditionMaker
from tests.processors.recordings import example_calls
from tests.support.data_keys import MemoryDataKeys

ENDED_AT = datetime(2026, 3, 2, 23, 59, tzinfo=UTC)
LIMITS = DecodeLimits(3_600_000)
VERSION = "0123456789abcdef"
SPEECH = example_calls()["s09_mono_logistics"].data
FOLDER = f"renditions/acme/2026/03/02/c1.{VERSION}"


def call_of(data: bytes, *, version: str | None = VERSION, call_id: str = "c1") -> CallEnded:
    """The event of a recording that lies sealed, or in clear without a version."""
    key = recording_key("acme", call_id, ENDED_AT, version or VERSION, "flac")
    encryption = AudioEncryption(
        algorithm=SUITE, key_id=key_id_of("acme", ENDED_AT), parameters={"version": version or VERSION}
    )
    return CallEnded(
        tenant_id="acme",
        call_id=call_id,
        direction="inbound",
        started_at=ENDED_AT - timedelta(minutes=1),
        ended_at=ENDED_AT,
        agent=Agent(id="A1"),
        audio=Audio(
            uri=f"s3://bucket/{key}",
            sha256=sha256(data).hexdigest(),
            bytes=len(data),
            encryption=encryption if version else None,
        ),
    )


class Making:
    """Renditions in a folder; `asked` are the formats that were asked for, one for each time that any were made."""

    def __init__(self, folder: Path, convert_to: RecordingFormat | None = None) -> None:
        self.folder = FolderStore(folder, "bucket")
        self.folder.apply()
        self.keys = MemoryDataKeys()
        self.store = RenditionStore(self.folder, SealedStore(self.folder, self.keys))
        self.asked: list[RecordingFormat | None] = []
        self.maker = RenditionMaker(self.store, self._render, LIMITS, {"acme": convert_to}.get)

    def _render(self, data: bytes, limits: DecodeLimits, convert_to: RecordingFormat | None) -> Renditions:
        self.asked.append(convert_to)
        return render(data, limits, convert_to)

    def names(self) -> list[str]:
        return [entry.key for entry in self.folder.entries("renditions/")]


def test_waveform_seek_index_and_copy_are_made_once(tmp_path: Path) -> None:
    making, call = Making(tmp_path, "mp3"), call_of(SPEECH)
    making.maker.make(call, SPEECH)
    making.maker.make(call, SPEECH)
    assert making.asked == ["mp3"]
    assert making.names() == [f"{FOLDER}.converted.mp3", f"{FOLDER}.peaks", f"{FOLDER}.seek"]
    made = render(SPEECH, LIMITS, "mp3")
    assert making.store.peaks(call) == made.peaks
    assert making.store.seek_index(call) == made.seek_index
    assert making.store.converted(call, "mp3") == made.converted
    heard = decode(making.store.converted(call, "mp3"), LIMITS)
    assert abs(heard.facts.duration_ms - decode(SPEECH, LIMITS).facts.duration_ms) <= 1
    assert len(read_peaks(making.store.peaks(call)).pairs) == -(-heard.facts.duration_ms * 20 // 1000)


def test_nothing_of_it_lies_in_clear(tmp_path: Path) -> None:
    making, call = Making(tmp_path, "wav"), call_of(SPEECH)
    making.maker.make(call, SPEECH)
    made = render(SPEECH, LIMITS, "wav")
    assert made.converted is not None
    assert made.seek_index is not None
    samples = (made.converted[4_000:4_064], made.peaks[200:232], made.seek_index[:32])
    stored = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert len(stored) == 3
    assert not [sample for sample in samples for data in stored if sample in data]


def test_what_was_interrupted_is_made_again(tmp_path: Path) -> None:
    """The waveform is written last: without it, nothing is believed to be complete."""
    making, call = Making(tmp_path), call_of(SPEECH)
    making.maker.make(call, SPEECH)
    making.folder.delete(f"{FOLDER}.peaks")
    making.maker.make(call, SPEECH)
    assert making.asked == [None, None]
    assert making.store.is_complete(call)


def test_a_recording_in_clear_has_nothing_beside_it(tmp_path: Path) -> None:
    making, call = Making(tmp_path), call_of(SPEECH, version=None)
    making.maker.make(call, SPEECH)
    assert (making.asked, making.names()) == ([], [])
    with pytest.raises(ObjectMissingError):
        making.store.peaks(call)


def test_of_a_recording_that_cannot_be_rendered_nothing_is_left(tmp_path: Path) -> None:
    making = Making(tmp_path, "opus")
    making.maker.make(call_of(b"no sound at all"), b"no sound at all")
    assert (making.asked, making.names()) == (["opus"], [])


def test_a_waveform_opens_for_its_call_alone(tmp_path: Path) -> None:
    making, call, other = Making(tmp_path), call_of(SPEECH), call_of(SPEECH, call_id="c2")
    for each in (call, other):
        making.maker.make(each, SPEECH)
    making.folder.put(f"{FOLDER}.peaks", making.folder.read(f"renditions/acme/2026/03/02/c2.{VERSION}.peaks"))
    with pytest.raises(SealBrokenError):
        making.store.peaks(call)
    making.keys.destroy("acme", "c2", ENDED_AT.date())
    with pytest.raises(KeyGoneError):
        making.store.peaks(other)
