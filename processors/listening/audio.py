"""Decoding: the bytes of a recording into the sound of its channels, in bounded memory."""

import io
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import av
import av.audio
import av.container
import av.error
import numpy as np
from numpy.typing import NDArray

from processors.listening.engine_port import ENGINE_SAMPLE_RATE_HZ, SAMPLES_PER_MS, Samples
from schemas.messages.outcome import Outcome
from schemas.messages.transcript import AudioFacts

Pcm = NDArray[np.int16]
"""Samples of one channel, shape (n,)."""

MAX_CHANNELS = 2

# What call recorders write. A closed list, because some demuxers (playlists) open other files and addresses.
_CONTAINERS = "wav,w64,mp3,ogg,flac,mov,mp4,m4a,aac,matroska,webm,amr,au,aiff,caf,gsm"
_NO_PROTOCOL = "none"
LEAST_SAMPLE_RATE_HZ = 4_000
MOST_SAMPLE_RATE_HZ = 384_000
"""What records calls writes nothing beyond these; a header that says so costs a resampler minutes and gigabytes."""

_MP3_FRAME = 1_152
_LEAST_RATE_OF_LONG_FRAMES_HZ = 32_000
_FRAME_SAMPLES = {"mp3": _MP3_FRAME, "mp3float": _MP3_FRAME, "opus": 120, "amrnb": 160, "amr_nb": 160, "amr_wb": 320}
"""What the frames of a codec are multiples of, in samples; MP3 below 32 kHz has half as many."""

_UNKNOWN_RIFF_SIZES = (0, 0xFFFFFFFF)
_EDGE_MS = 20


class UnhearableError(Exception):
    """This recording cannot be heard, however often it is tried: the outcome of its call, and why."""

    def __init__(self, outcome: Outcome, reason: str) -> None:
        self.outcome = outcome
        self.reason = reason
        super().__init__(f"{outcome}: {reason}")


@dataclass(frozen=True)
class DecodeLimits:
    """How much sound is decoded at most."""

    max_duration_ms: int


@dataclass(frozen=True)
class ChannelSound:
    """One channel as 16-bit samples; converted to 16 kHz float32 piece by piece."""

    pcm: Pcm
    sample_rate_hz: int

    @property
    def duration_ms(self) -> int:
        """Whole milliseconds of sound."""
        return len(self.pcm) * 1000 // self.sample_rate_hz

    def samples(self, start_ms: int, end_ms: int) -> Samples:
        """The sound between two points at 16 kHz; what lies outside the recording is silence."""
        wanted = max(0, end_ms - start_ms) * SAMPLES_PER_MS
        piece = self._piece(start_ms - _EDGE_MS, end_ms + _EDGE_MS)
        floats: Samples = piece.astype(np.float32) / np.float32(32768)
        if self.sample_rate_hz != ENGINE_SAMPLE_RATE_HZ:
            floats = _resample(floats, self.sample_rate_hz)
        edge = _EDGE_MS * SAMPLES_PER_MS
        floats = floats[edge : edge + wanted]
        return np.pad(floats, (0, wanted - len(floats)))

    def _piece(self, start_ms: int, end_ms: int) -> Pcm:
        start = start_ms * self.sample_rate_hz // 1000
        end = max(start, end_ms * self.sample_rate_hz // 1000)
        inside = self.pcm[max(0, start) : max(0, end)]
        before = min(max(0, -start), end - start)
        return np.pad(inside, (before, end - start - before - len(inside)))


@dataclass(frozen=True)
class Recording:
    """A decoded recording: 16-bit samples per channel at the file's rate, or 16 kHz where that is lower.

    `truncated` says that the file ends before it should, or that parts of it could not be decoded; what could be
    is there.
    """

    facts: AudioFacts
    channels: tuple[ChannelSound, ...]
    truncated: bool


def decode(data: bytes, limits: DecodeLimits) -> Recording:
    """Decode a recording of any common container, codec and sample rate.

    Raises `UnhearableError`:

    | outcome     | reason            | when                                                    |
    |-------------|-------------------|---------------------------------------------------------|
    | no_audio    | empty_recording   | there are no bytes, or a header without a single sample |
    | bad_audio   | undecodable       | it is no recording, or nothing of it can be decoded     |
    | bad_audio   | no_audio_stream   | it holds pictures or data only                          |
    | unsupported | too_many_channels | it has more than two channels                           |
    | unsupported | sample_rate       | it has fewer than 4 or more than 384 kHz                |
    | unsupported | too_long          | it is longer than the limit                             |
    """
    with OpenedRecording(data) as reader:
        # A bytearray grows in place and becomes an array without a copy: a long call is held once.
        buffers = [bytearray() for _ in range(reader.channels)]
        limit_bytes = limits.max_duration_ms * reader.kept_rate_hz // 1000 * 2
        for block in reader.blocks():
            for buffer, samples in zip(buffers, block, strict=True):
                buffer += samples.tobytes()
            if len(buffers[0]) > limit_bytes:
                raise UnhearableError("unsupported", "too_long")
        count = len(buffers[0]) // 2
        facts = reader.facts(count)
        channels = tuple(ChannelSound(np.frombuffer(buffer, dtype=np.int16), reader.kept_rate_hz) for buffer in buffers)
        return Recording(facts, channels, reader.is_truncated(count))


def probe(data: bytes) -> AudioFacts:
    """What a recording is and how long, decoded without being kept. Raises `UnhearableError` as `decode` does."""
    with OpenedRecording(data) as reader:
        return reader.facts(sum(block.shape[1] for block in reader.blocks()))


class OpenedRecording:
    """Demuxes and decodes one recording, 16-bit samples of all channels at a time; once, by one of its methods."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._damaged = False
        if not data:
            raise UnhearableError("no_audio", "empty_recording")
        options = {"format_whitelist": _CONTAINERS, "protocol_whitelist": _NO_PROTOCOL}
        try:
            container = av.open(io.BytesIO(data), mode="r", options=options)
        except (av.error.FFmpegError, ValueError):
            if _is_wav_without_samples(data):
                raise UnhearableError("no_audio", "empty_recording") from None
            raise UnhearableError("bad_audio", "undecodable") from None
        self._container: av.container.InputContainer = container
        try:
            self._stream = self._audio_stream()
        except UnhearableError:
            container.close()
            raise
        # Of the opened file: while it is decoded, a stream that changes in mid-file changes what these say.
        self.channels = self._stream.codec_context.layout.nb_channels
        self.rate_hz = self._stream.rate
        self.kept_rate_hz = min(self.rate_hz, ENGINE_SAMPLE_RATE_HZ)

    def __enter__(self) -> "OpenedRecording":
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()

    def _audio_stream(self) -> av.audio.AudioStream:
        if not self._container.streams.audio:
            raise UnhearableError("bad_audio", "no_audio_stream")
        stream = self._container.streams.audio[0]
        if stream.codec_context is None or not stream.rate:
            raise UnhearableError("bad_audio", "undecodable")
        if not LEAST_SAMPLE_RATE_HZ <= stream.rate <= MOST_SAMPLE_RATE_HZ:
            raise UnhearableError("unsupported", "sample_rate")
        if stream.codec_context.layout.nb_channels > MAX_CHANNELS:
            raise UnhearableError("unsupported", "too_many_channels")
        return stream

    def limited_blocks(self, limits: DecodeLimits, rate_hz: int | None = None) -> Iterator[Pcm]:
        """As `blocks`; a recording that is longer than the limit raises `UnhearableError` too."""
        rate_hz = rate_hz or self.kept_rate_hz
        left = limits.max_duration_ms * rate_hz // 1000
        for block in self.blocks(rate_hz):
            left -= block.shape[1]
            if left < 0:
                raise UnhearableError("unsupported", "too_long")
            yield block

    def blocks(self, rate_hz: int | None = None) -> Iterator[Pcm]:
        """Samples of every channel, shape (channels, n), at the rate that is kept or at this one.

        Raises `UnhearableError` when nothing can be decoded.
        """
        layout = "mono" if self.channels == 1 else "stereo"
        resampler = av.AudioResampler(format="s16p", layout=layout, rate=rate_hz or self.kept_rate_hz)
        heard = False
        for frame in self._frames():
            heard = heard or frame.samples > 0
            frame.pts = None
            try:
                converted = resampler.resample(frame)
            except ValueError:  # rate or layout change in mid-file
                self._damaged = True
                break
            yield from map(_pcm_of, converted)
        if heard:
            yield from map(_pcm_of, resampler.resample(None))
        elif self._damaged:
            raise UnhearableError("bad_audio", "undecodable")
        else:
            raise UnhearableError("no_audio", "empty_recording")

    def blocks_from(self, at_ms: int) -> Iterator[tuple[int, Pcm]]:
        """As `blocks` at the rate of the file, each with the number of its first sample.

        `at_ms` is what the seek index says of the place at which these bytes go on behind the head of the file; 0 for a
        whole one. That is in whole milliseconds; of which sample it is follows from how long the frames of a codec are.
        """
        layout = "mono" if self.channels == 1 else "stereo"
        resampler = av.AudioResampler(format="s16p", layout=layout, rate=self.rate_hz)
        at: int | None = None
        for frame in self._frames():
            if at is None:
                at = self._first_sample(frame, at_ms)
            frame.pts = None
            try:
                converted = resampler.resample(frame)
            except ValueError:  # rate or layout change in mid-file
                return
            for block in map(_pcm_of, converted):
                yield at, block
                at += block.shape[1]

    def _first_sample(self, frame: av.AudioFrame, at_ms: int) -> int:
        if at_ms == 0:
            return 0
        if self.codec == "flac" and frame.pts is not None and frame.time_base is not None:
            return int(frame.pts * frame.time_base * self.rate_hz)  # each of its frames tells its number
        step = _FRAME_SAMPLES.get(self.codec.removeprefix("lib"), 1)
        if step == _MP3_FRAME and self.rate_hz < _LEAST_RATE_OF_LONG_FRAMES_HZ:
            step //= 2
        return -(-at_ms * self.rate_hz // (1000 * step)) * step

    @property
    def codec(self) -> str:
        """The name of its codec, such as `pcm_mulaw`."""
        return self._stream.codec_context.codec.canonical_name

    def packet_places(self) -> Iterator[tuple[int, int]]:
        """When each packet begins, in milliseconds, and at which byte; those that do not say it are left out."""
        base = self._stream.time_base
        first: int | None = None
        with suppress(av.error.FFmpegError, ValueError):  # what is damaged ends the list
            for packet in self._container.demux(self._stream):
                if packet.pts is None or packet.pos is None or packet.pos < 0 or base is None:
                    continue
                first = packet.pts if first is None else first
                yield max(0, int((packet.pts - first) * base * 1000)), packet.pos

    def _frames(self) -> Iterator[av.AudioFrame]:
        """Every frame that can be decoded; damaged packets are left out and remembered."""
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
            except (av.error.FFmpegError, ValueError):  # reading itself failed: nothing follows
                self._damaged = True
                return
            if packet is None:
                return
            try:
                frames = packet.decode()
            except av.error.EOFError:
                return
            except (av.error.FFmpegError, ValueError):
                self._damaged = True
                continue
            yield from frames

    def facts(self, samples: int) -> AudioFacts:
        codec = self._stream.codec_context
        return AudioFacts(
            container=self._container.format.name.split(",")[0],
            codec=codec.codec.canonical_name,
            sample_rate_hz=self.rate_hz,
            channels=self.channels,
            duration_ms=samples * 1000 // self.kept_rate_hz,
        )

    def is_truncated(self, samples: int) -> bool:
        """Whether packets were damaged, or the file holds less than its header says (by more than a second)."""
        if self._damaged or _is_cut_wav(self._data):
            return True
        announced_us = self._container.duration or 0
        return announced_us / 1e6 - samples / self.kept_rate_hz > 1


def _pcm_of(frame: av.AudioFrame) -> Pcm:
    return frame.to_ndarray().astype(np.int16, copy=False)


def _resample(floats: Samples, sample_rate_hz: int) -> Samples:
    frame = av.AudioFrame.from_ndarray(floats[np.newaxis, :], format="fltp", layout="mono")
    frame.sample_rate = sample_rate_hz
    resampler = av.AudioResampler(format="fltp", layout="mono", rate=ENGINE_SAMPLE_RATE_HZ)
    pieces = [piece.to_ndarray()[0] for piece in (*resampler.resample(frame), *resampler.resample(None))]
    return np.concatenate([np.zeros(0, dtype=np.float32), *pieces], dtype=np.float32)


def _is_wav_without_samples(data: bytes) -> bool:
    return data[:4] == b"RIFF" and data[8:12] == b"WAVE" and len(data) <= 128


def _is_cut_wav(data: bytes) -> bool:
    """Whether a WAV file is shorter than its RIFF header says; recorders that stream write no size at first."""
    announced = int.from_bytes(data[4:8], "little")
    return data[:4] == b"RIFF" and announced not in _UNKNOWN_RIFF_SIZES and announced + 8 > len(data)
