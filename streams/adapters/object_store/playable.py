"""Recordings to be played: where they lie, and how any stretch of their sound is got from what is sealed there."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Protocol

import numpy as np

from processors.custody.intake import Announced, Intake, Stored
from processors.custody.ports import KeyGoneError, SealBrokenError, SealedIdentity
from processors.custody.sealed import Opened
from processors.listening.audio import MAX_CHANNELS
from processors.listening.plain_wav import PlainWav, plain_wav_of
from processors.listening.stretch import SEEKABLE_CODECS, SEEKABLE_CONTAINERS, STRETCH_MS, SeekIndex
from processors.listening.virtual_wav import SoundFrames, WavShape
from schemas.messages.call_ended import CallEnded
from schemas.messages.transcript import AudioFacts, Transcript
from streams.adapters.object_store.archive import ARCHIVE_RATE_HZ, archived_key
from streams.adapters.object_store.recordings import ClearRecording, UnreadableRecordingError, seal_of
from streams.adapters.object_store.renditions import RenditionStore
from streams.adapters.object_store.sealed_store import ObjectTooLargeError, SealedStore
from streams.ports import ForeignUriError, ObjectMissingError, ObjectStore

log = logging.getLogger(__name__)

HEAD_BYTES = 16 * 1024
"""Read at once, because a header is read in small pieces."""

KEPT_STRETCHES = 2
"""Of one play, so that a range that begins where the last one ended decodes nothing twice."""


class NotPlayableError(Exception):
    """There is a recording, and it cannot be played; `reason` is a word that says why."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class DecodesStretches(Protocol):
    """`streams.adapters.decoder.process.DecoderProcess.stretch`. Raises `UnhearableError`."""

    def __call__(self, parts: Sequence[bytes], at_ms: int, first: int, count: int, channels: int) -> SoundFrames: ...


@dataclass(frozen=True)
class RecordingPlace:
    """Where a recording lies, and what it must be sealed as."""

    key: str
    identity: SealedIdentity
    day: date


def place_in(store: ObjectStore, call: CallEnded) -> RecordingPlace:
    """By its event. Raises `NotPlayableError`: `no_recording`, `not_sealed`, `encrypted`, `foreign_key`."""
    if call.audio.bytes == 0:
        raise NotPlayableError("no_recording")
    try:
        key = store.key_of(call.audio.uri)
        seal = seal_of(call)
    except ForeignUriError:
        raise NotPlayableError("foreign_key") from None
    except UnreadableRecordingError as error:
        raise NotPlayableError(error.reason) from None
    if not key.startswith(f"recordings/{call.tenant_id}/"):
        raise NotPlayableError("foreign_key")
    if seal is not None:
        return RecordingPlace(key, seal.identity, seal.day)
    before = ClearRecording.of_key(key)
    if before is None or before.call_id != call.call_id:
        raise NotPlayableError("not_sealed")
    return RecordingPlace(before.sealed_key, before.identity, before.day)


def place_of_intake(tenant_id: str, call_id: str, intake: Intake) -> RecordingPlace | None:
    """By what the register knows of its intake; None where nothing was taken in."""
    if not isinstance(intake, Stored | Announced):
        return None
    _, _, year, month, day, _ = intake.object_key.split("/", 5)
    identity = SealedIdentity(tenant_id, call_id, "recording", intake.attempt)
    return RecordingPlace(intake.object_key, identity, date(int(year), int(month), int(day)))


@dataclass(frozen=True)
class PlayableRecording:
    """An opened recording: its shape, and its sound as `processors.listening.virtual_wav.VirtualWav` asks for it."""

    shape: WavShape
    sha256: str
    """Of the recording as it came, or of its copy in the archive, 64 hex digits."""
    sound: Callable[[int, int], SoundFrames]


@dataclass(frozen=True)
class PlayableRecordings:
    """Opens recordings. `renditions` and `sealed` are over `store`. Every method may raise what they raise."""

    store: ObjectStore
    sealed: SealedStore
    renditions: RenditionStore
    decode: DecodesStretches

    def seek_index(self, transcript: Transcript) -> SeekIndex | None:
        """Where to begin to read for a time; None where there is none, or none that serves."""
        facts = transcript.audio
        if facts is None or facts.truncated:  # what is left out of a damaged file shifts what follows
            return None
        if facts.container not in SEEKABLE_CONTAINERS and (
            facts.container != "ogg" or facts.codec not in SEEKABLE_CODECS
        ):
            return None
        try:
            return SeekIndex.of(self.renditions.seek_index(transcript.call))
        except (ObjectMissingError, KeyGoneError, ObjectTooLargeError, UnreadableRecordingError):
            return None
        except SealBrokenError:
            log.warning("the seek index of %s/%s does not open", transcript.tenant_id, transcript.call_id)
            return None

    def open(self, place: RecordingPlace, facts: AudioFacts | None, index: SeekIndex | None) -> PlayableRecording:
        """`facts` are what decoding showed, None where the recording was not heard yet.

        A recording that is not where it lay is looked for in the archive. Raises `KeyGoneError`,
        `ObjectMissingError`, `SealBrokenError`, and `NotPlayableError`: `not_heard_yet` where
        its length is not known, `undecodable`, `too_long`. Its sound raises the same and `UnhearableError`.
        """
        try:
            opened = self.sealed.open(place.key, place.identity, place.day)
        except ObjectMissingError:
            return self._open_archived(place, facts)
        head = opened.read(0, HEAD_BYTES)

        def read(start: int, length: int) -> bytes:
            return head[start : start + length] if start + length <= len(head) else opened.read(start, length)

        plain = plain_wav_of(read, opened.plaintext_bytes)
        shape = _shape(plain, facts)
        if not shape.fits:
            raise NotPlayableError("too_long")
        if plain is not None:
            return PlayableRecording(shape, opened.sha256, lambda first, count: plain.frames(read, first, count))
        return PlayableRecording(shape, opened.sha256, _DecodedSound(opened, shape, index, self.decode).frames)

    def _open_archived(self, place: RecordingPlace, facts: AudioFacts | None) -> PlayableRecording:
        """The copy in the archive: at its own rate, as long as the recording was, and without the seek index, which
        went with the recording. Raises `ObjectMissingError` where there is none either."""
        of = place.identity
        key = archived_key(of.tenant_id, of.call_id, of.version, place.day)
        opened = self.sealed.open(key, replace(of, role="converted"), place.day)
        in_archive = None if facts is None else facts.model_copy(update={"sample_rate_hz": ARCHIVE_RATE_HZ})
        shape = _shape(None, in_archive)
        if not shape.fits:
            raise NotPlayableError("too_long")
        return PlayableRecording(shape, opened.sha256, _DecodedSound(opened, shape, None, self.decode).frames)


def _shape(plain: PlainWav | None, facts: AudioFacts | None) -> WavShape:
    if plain is not None:
        return plain.shape
    if facts is None:
        raise NotPlayableError("not_heard_yet")
    if not 1 <= facts.channels <= MAX_CHANNELS:
        raise NotPlayableError("undecodable")
    return WavShape(facts.sample_rate_hz, facts.channels, facts.duration_ms * facts.sample_rate_hz // 1000)


class _DecodedSound:
    """The sound of a coded recording, a stretch at a time."""

    def __init__(self, opened: Opened, shape: WavShape, index: SeekIndex | None, decode: DecodesStretches) -> None:
        self._opened = opened
        self._shape = shape
        self._index = index
        self._decode = decode
        self._step = STRETCH_MS * shape.rate_hz // 1000
        self._kept: dict[int, SoundFrames] = {}

    def frames(self, first: int, count: int) -> SoundFrames:
        numbers = range(first // self._step, -(-(first + count) // self._step))
        found = [self._stretch(number) for number in numbers]
        together = np.concatenate(found) if found else np.zeros((0, self._shape.channels), dtype=np.int16)
        begin = first - numbers.start * self._step
        return together[begin : begin + count]

    def _stretch(self, number: int) -> SoundFrames:
        kept = self._kept.get(number)
        if kept is None:
            kept = self._decoded(number)
            self._kept[number] = kept
            while len(self._kept) > KEPT_STRETCHES:
                self._kept.pop(next(iter(self._kept)))
        return kept

    def _decoded(self, number: int) -> SoundFrames:
        first = number * self._step
        count = min(self._step, self._shape.frames - first)
        size = self._opened.plaintext_bytes
        if self._index is None:
            return self._decode([self._opened.read()], 0, first, count, self._shape.channels)
        piece = self._index.piece(number * STRETCH_MS, (number + 1) * STRETCH_MS, size)
        parts = [self._opened.read(0, piece.head), self._opened.read(piece.start, piece.end - piece.start)]
        return self._decode(parts, piece.at_ms, first, count, self._shape.channels)
