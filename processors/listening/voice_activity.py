"""Who speaks when: the crosstalk gate, voice activity per channel, and the stretches of speech that follow from it."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from processors.listening.audio import ChannelSound, Pcm
from processors.listening.engine_port import MAX_CLIP_MS, ChannelAudio
from schemas.messages.call_ended import Role, SpeakerSegment
from schemas.messages.transcript import Interval

GATE_FRAME_MS = 30
_GATE_SMOOTHING_FRAMES = 3
_BLOCK_FRAMES = 2_000

# What is so weak may still be a listener's 嗯. It is no leak where the other channel explains little of it, at any
# delay, and it stands out of the channel's own noise. Only short sounds are told so: a leak that is distorted beyond
# that lasts as long as what leaks. By measurement: with 0.35 and 450 ms leaks and echoes of many kinds bring no sound
# more than without, and 51 of 54 hums 15 to 21 dB below their usual level are heard, 31 before; with 60 ms alone echoes
# come through.
_OWN_WINDOW_FRAMES = 8
_OWN_MOST_EXPLAINED = 0.35
_OWN_ABOVE_NOISE_DB = 6.0
_NOISE_PERCENTILE = 10
_ECHOES_MS = (60, 450)
"""The longest delays of a line and of an echo; the second is looked for only where the first explains nothing."""
_OWN_JOIN_FRAMES = 10
_OWN_LEAST_FRAMES = 3
_OWN_MOST_FRAMES = 34
_OWN_MARGIN_FRAMES = 2
_CORRELATED_WINDOWS = 256

_LOUDER_THAN_NOISE = 1.8
"""Times the energy of its noise, from where on what a channel holds beside it can be told."""
_NOISE_WITHIN_DB, _SPEECH_PERCENTILE = 30.0, 90
"""Noise that is farther below the other channel's speech hides no leak."""
_NEARER_DB, _LEAK_LEAST_EXPLAINED = 8.0, 0.8
"""So much nearer than the gate a leak may lie, where the other channel explains so much of it."""

# Two channels are one and the same sound when they correlate like this at about the same level. A channel that
# holds nothing but the other's leak correlates too, but lies far below it.
_IDENTICAL_CORRELATION = 0.98
_IDENTICAL_LEVEL_DB = 6.0

VAD_FRAME_MS = 32
_VAD_FRAME_SAMPLES = 512
# Silero's network hears a window and what comes just before it. Short windows bound memory, and they bound what the
# network remembers: after a minute of silence it wakes up to 1.5 s late. By measurement on the example calls behind
# silences of up to 64 s: 8 s and 1 s find every turn within 300 ms, 32 s do not.
_VAD_WINDOW_MS = VAD_FRAME_MS * 250
_VAD_WARM_UP_MS = VAD_FRAME_MS * 31

Energies = NDArray[np.float64]
_Flags = NDArray[np.bool_]
Probabilities = NDArray[np.float32]
WhoSpeaks = TypeVar("WhoSpeaks")


@dataclass(frozen=True)
class VadOptions:
    """How probabilities of speech become intervals; chosen by the error of turn boundaries on two-channel calls.

    Speech starts at `threshold` and ends where the probability stays below `threshold - hysteresis` for
    `min_silence_ms`; each side then gets `pad_ms`.
    """

    threshold: float = 0.5
    hysteresis: float = 0.15
    min_silence_ms: int = 300
    min_speech_ms: int = 100
    pad_ms: int = 50


def are_identical(first: Pcm, second: Pcm) -> bool:
    """Whether two channels hold the same sound (a mono recording written twice), at most 6 dB apart in level."""
    products = np.zeros(3)
    block = _BLOCK_FRAMES * 1_000
    for start in range(0, len(first), block):
        a = first[start : start + block].astype(np.float64)
        b = second[start : start + block].astype(np.float64)
        products += (a @ a, b @ b, a @ b)
    energy_a, energy_b, shared = products
    if energy_a == 0 or energy_b == 0:
        return False
    level_db = abs(10 * np.log10(energy_a / energy_b))
    return bool(shared / np.sqrt(energy_a * energy_b) >= _IDENTICAL_CORRELATION and level_db <= _IDENTICAL_LEVEL_DB)


def mute_crosstalk(first: ChannelSound, second: ChannelSound, gate_db: float) -> None:
    """Silence each channel, in place, wherever it is at least `gate_db` below the other; 0 switches the gate off.

    Levels are mean energies of 30 ms frames, smoothed over three: what leaks from the other side of the line is
    that much weaker than its source, while a person who speaks at the same time is not. A short sound that the other
    channel does not explain is a listener's and stays, however weak. In place, because a long call is not held twice.
    """
    if gate_db == 0:
        return
    frame = GATE_FRAME_MS * first.sample_rate_hz // 1000
    energies = (_smoothed_energies(first.pcm, frame), _smoothed_energies(second.pcm, frame))
    # Both are looked at before either is muted: each explains the other.
    leaks = [
        _leaks(quiet.pcm, loud.pcm, of_quiet, of_loud, gate_db, frame)
        for quiet, loud, of_quiet, of_loud in ((first, second, *energies), (second, first, *energies[::-1]))
    ]
    muted = [
        is_leak & ~_own_sounds(quiet.pcm, loud.pcm, is_leak, energy, frame)
        for quiet, loud, is_leak, energy in zip((first, second), (second, first), leaks, energies, strict=True)
    ]
    for channel, is_muted in zip((first, second), muted, strict=True):
        for start, end in _runs(is_muted):
            channel.pcm[start * frame : end * frame] = 0


def _leaks(quiet: Pcm, loud: Pcm, of_quiet: Energies, of_loud: Energies, gate_db: float, frame: int) -> _Flags:
    """The frames of the quiet channel that hold the other one: far below it, or not so far and explained by it.

    Noise that is loud enough to matter is taken off first: a leak of 20 dB in noise as loud as itself is but 17 dB
    below its source.
    """
    noise = np.percentile(of_quiet, _NOISE_PERCENTILE)
    without_noise = of_quiet
    if noise * 10 ** (_NOISE_WITHIN_DB / 10) >= np.percentile(of_loud, _SPEECH_PERCENTILE):
        without_noise = np.where(of_quiet >= _LOUDER_THAN_NOISE * noise, of_quiet - noise, of_quiet)
    below_db = 10 * np.log10(of_loud / without_noise)
    leaks: _Flags = below_db >= gate_db
    nearer = np.flatnonzero(
        ~leaks & (below_db >= gate_db - _NEARER_DB) & (of_quiet >= noise * 10 ** (_OWN_ABOVE_NOISE_DB / 10))
    )
    for start in range(0, len(nearer), _CORRELATED_WINDOWS):
        some = nearer[start : start + _CORRELATED_WINDOWS]
        leaks[some] = _explained(quiet, loud, some, frame, _ECHOES_MS[0]) >= _LEAK_LEAST_EXPLAINED
    return leaks


def _own_sounds(quiet: Pcm, loud: Pcm, is_leak: _Flags, energies: Energies, frame: int) -> _Flags:
    """The frames, of those that look like leaks, that hold short sounds of the quiet channel's own speaker."""
    noise = np.percentile(energies, _NOISE_PERCENTILE)
    candidates = np.flatnonzero(is_leak & (energies >= noise * 10 ** (_OWN_ABOVE_NOISE_DB / 10)))
    sounds: list[tuple[int, int]] = []
    for echo_ms in _ECHOES_MS:
        own = np.zeros(len(energies), dtype=bool)
        for start in range(0, len(candidates), _CORRELATED_WINDOWS):
            some = candidates[start : start + _CORRELATED_WINDOWS]
            own[some] = _explained(quiet, loud, some, frame, echo_ms) < _OWN_MOST_EXPLAINED
        joined = _joined(_runs(own), _OWN_JOIN_FRAMES)
        sounds = [run for run in joined if _OWN_LEAST_FRAMES <= run[1] - run[0] <= _OWN_MOST_FRAMES]
        candidates = np.array([at for start, end in sounds for at in range(start, end) if own[at]], dtype=np.intp)
    kept = np.zeros(len(energies), dtype=bool)
    for start, end in sounds:
        kept[max(0, start - _OWN_MARGIN_FRAMES) : end + _OWN_MARGIN_FRAMES] = True
    return kept


def _explained(quiet: Pcm, loud: Pcm, frames: NDArray[np.intp], frame: int, echo_ms: int) -> Energies:
    """Which share of the energy around each frame is the other channel's, at most so much later; 0 to 1.

    The squared normalised cross-correlation, at the delay where it is highest.
    """
    window = _OWN_WINDOW_FRAMES * frame
    lags = echo_ms * frame // GATE_FRAME_MS
    starts = frames * frame - (window - frame) // 2
    own = _windows(quiet, starts, window)
    other = _windows(loud, starts - lags, window + lags)
    size = 1 << (window + lags - 1).bit_length()
    spectrum = np.fft.rfft(other, size) * np.conj(np.fft.rfft(own, size))
    products = np.fft.irfft(spectrum, size)[:, : lags + 1]
    sums = np.cumsum(np.pad(other**2, ((0, 0), (1, 0))), axis=1)
    energies = sums[:, window : window + lags + 1] - sums[:, : lags + 1]
    shares = products**2 / np.maximum(energies * (own**2).sum(axis=1, keepdims=True), 1.0)
    highest: Energies = shares.max(axis=1)
    return highest


def _windows(pcm: Pcm, starts: NDArray[np.intp], length: int) -> Energies:
    """As many samples from each start, zeros beyond the ends."""
    places = starts[:, None] + np.arange(length)
    inside = (places >= 0) & (places < len(pcm))
    return np.where(inside, pcm[np.clip(places, 0, len(pcm) - 1)], 0).astype(np.float64)


def _joined(runs: Iterable[tuple[int, int]], most_between: int) -> Iterator[tuple[int, int]]:
    """The runs, those that lie close together as one."""
    last: tuple[int, int] | None = None
    for start, end in runs:
        if last is not None and start - last[1] <= most_between:
            last = (last[0], end)
            continue
        if last is not None:
            yield last
        last = (start, end)
    if last is not None:
        yield last


def _smoothed_energies(pcm: Pcm, frame: int) -> Energies:
    energies = np.empty(-(-len(pcm) // frame))
    for start in range(0, len(energies), _BLOCK_FRAMES):
        block = pcm[start * frame : (start + _BLOCK_FRAMES) * frame].astype(np.float64)
        whole = np.pad(block, (0, -len(block) % frame)).reshape(-1, frame)
        energies[start : start + len(whole)] = (whole**2).mean(axis=1)
    kernel = np.full(_GATE_SMOOTHING_FRAMES, 1 / _GATE_SMOOTHING_FRAMES)
    # Half a step of quantisation: digital silence is very quiet, not infinitely so.
    smoothed: Energies = np.convolve(energies, kernel, mode="same") + 0.25
    return smoothed


def detect_speech(sound: ChannelAudio, options: VadOptions | None = None) -> tuple[Interval, ...]:
    """The stretches of speech on one channel, in order, none longer than `MAX_CLIP_MS`."""
    options = options or VadOptions()
    probabilities = _speech_probabilities(sound)
    intervals: list[Interval] = []
    for start, end in _speech_runs(probabilities, options):
        for first, last in _split_long(probabilities, start, end, options):
            after = intervals[-1].end_ms if intervals else 0
            start_ms = max(after, first * VAD_FRAME_MS - options.pad_ms)
            end_ms = min(sound.duration_ms, last * VAD_FRAME_MS + options.pad_ms)
            intervals.append(Interval(start_ms=start_ms, end_ms=max(start_ms, end_ms)))
    return tuple(intervals)


def _speech_probabilities(sound: ChannelAudio) -> Probabilities:
    """Silero's probability of speech for each 32 ms, heard window by window."""
    from faster_whisper.vad import get_vad_model  # type: ignore[import-untyped] # ships without types

    model = get_vad_model()
    parts: list[Probabilities] = []
    for start_ms in range(0, sound.duration_ms, _VAD_WINDOW_MS):
        warm_up_ms = min(start_ms, _VAD_WARM_UP_MS)
        end_ms = min(start_ms + _VAD_WINDOW_MS, sound.duration_ms)
        samples = sound.samples(start_ms - warm_up_ms, end_ms)
        samples = np.pad(samples, (0, -len(samples) % _VAD_FRAME_SAMPLES))
        # Digital silence (a muted side, a gap in the recording) needs no network.
        frames = len(samples) // _VAD_FRAME_SAMPLES
        probabilities = model(samples).reshape(-1) if samples.any() else np.zeros(frames, dtype=np.float32)
        parts.append(probabilities[warm_up_ms // VAD_FRAME_MS :])
    return np.concatenate([np.zeros(0, dtype=np.float32), *parts], dtype=np.float32)


def _speech_runs(probabilities: Probabilities, options: VadOptions) -> Iterator[tuple[int, int]]:
    """Frames [start, end) of speech: begun by `threshold`, carried on by the lower one, joined over short silences."""
    joined: list[tuple[int, int]] = []
    for start, end in _runs(probabilities >= options.threshold - options.hysteresis):
        sure = np.flatnonzero(probabilities[start:end] >= options.threshold)
        if not len(sure):
            continue
        start += int(sure[0])
        if joined and (start - joined[-1][1]) * VAD_FRAME_MS < options.min_silence_ms:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return ((start, end) for start, end in joined if (end - start) * VAD_FRAME_MS >= options.min_speech_ms)


def _split_long(probabilities: Probabilities, start: int, end: int, options: VadOptions) -> Iterator[tuple[int, int]]:
    """Cut a stretch that is longer than a clip may be where the second half of the clip is most like silence."""
    limit = (MAX_CLIP_MS - 2 * options.pad_ms) // VAD_FRAME_MS
    while end - start > limit:
        middle = start + limit // 2
        cut = middle + int(np.argmin(probabilities[middle : start + limit]))
        yield start, cut
        start = cut
    yield start, end


def _runs(flags: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """[start, end) of every run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], flags.astype(np.int8), [0]))))
    return zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)


def stretches(
    speech: Sequence[Interval], others: Sequence[Interval], longest_pause_ms: int
) -> Iterator[tuple[Interval, ...]]:
    """Intervals of one speaker put together to turns: short pauses belong to a turn.

    A pause ends the turn when it is longer than `longest_pause_ms`, when the other side (`others`) begins to speak
    in it, or when the turn would become longer than `MAX_CLIP_MS`.
    """
    starts = np.array([other.start_ms for other in others])
    turn: list[Interval] = []
    for interval in speech:
        if turn and (
            interval.start_ms - turn[-1].end_ms > longest_pause_ms
            or interval.end_ms - turn[0].start_ms > MAX_CLIP_MS
            or bool(np.any((starts >= turn[-1].end_ms) & (starts < interval.start_ms)))
        ):
            yield tuple(turn)
            turn = []
        turn.append(interval)
    if turn:
        yield tuple(turn)


def speech_by_role(speech: Sequence[Interval], told: Sequence[SpeakerSegment]) -> dict[Role, tuple[Interval, ...]]:
    """The speech of one channel shared out among the speakers who are told apart there, per role in order.

    A stretch of speech is the speaker's whose segments lie in it; it is cut where the next one's begins. What lies
    in no segment is of unknown role: all of it when nothing was told.
    """
    if not told:
        return {"unknown": tuple(speech)}
    nobody: Role = "unknown"
    return share_out(speech, [(segment.role, segment) for segment in told], nobody)


def share_out(
    speech: Sequence[Interval], told: Sequence[tuple[WhoSpeaks, Interval]], nobody: WhoSpeaks
) -> dict[WhoSpeaks, tuple[Interval, ...]]:
    """The speech of one channel, per speaker in order, where `told` says who speaks when; the rest is `nobody`'s.

    A stretch of speech is the speaker's whose intervals lie in it; it is cut where the next one's begins.
    """
    shares: dict[WhoSpeaks, list[Interval]] = {}
    ordered = sorted(told, key=lambda item: (item[1].start_ms, item[1].end_ms))
    for stretch in speech:
        inside = [each for each in ordered if each[1].start_ms < stretch.end_ms and each[1].end_ms > stretch.start_ms]
        speakers = [speaker for speaker, _ in inside] or [nobody]
        cuts = [stretch.start_ms, *(interval.start_ms for _, interval in inside[1:]), stretch.end_ms]
        for speaker, (start_ms, end_ms) in zip(speakers, pairwise(cuts), strict=True):
            if start_ms < end_ms:
                shares.setdefault(speaker, []).append(Interval(start_ms=start_ms, end_ms=end_ms))
    return {speaker: tuple(intervals) for speaker, intervals in shares.items()}
