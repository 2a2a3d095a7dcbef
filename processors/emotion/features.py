"""Features of labelled sounds, made as at run time, and multiplied by variations of line, device and voice."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from processors.emotion.corpora import DataError, LabelledSound
from processors.emotion.encoder import StatesEncoder
from processors.emotion.sound_head import RECIPE, sound_features
from processors.emotion.telephone import amplify, at_speed, through_telephone, with_noise
from processors.listening.audio import ChannelSound, DecodeLimits, UnhearableError, decode
from processors.listening.engine_port import SpeechClip
from processors.listening.packing import ClipWindow, alone, pack
from processors.listening.voice_activity import detect_speech

LONGEST_FILE_MS = 4 * 3_600_000


@dataclass(frozen=True)
class Variation:
    """One way in which every sound is changed before its features are taken; drawn at random within the limits.

    Loudness is drawn once for each speaker, speed and noise for each segment. `packed` puts segments of
    one speaker into windows as the recogniser does; otherwise each is heard alone.
    """

    name: str
    seed: int = 0
    telephone: bool = True
    packed: bool = True
    gain_db: tuple[float, float] | None = None
    speed: tuple[float, float] | None = None
    snr_db: tuple[float, float] | None = None
    length_ms: tuple[float, float] | None = None
    """Only a part of this length, anywhere in the speech: people also say 好的, and acted sentences are longer."""


PLAIN = Variation("plain", packed=False)
"""Each segment alone through a telephone line: how segments are evaluated, with no look at others of the speaker."""

AS_RECORDED = Variation("as_recorded", telephone=False, packed=False)


@dataclass(frozen=True)
class FeatureTable:
    """Features of examples, one row each; `heard` tells which rows hold any (silence has none)."""

    rows: NDArray[np.float32]
    heard: NDArray[np.bool_]


def features_of(
    examples: Sequence[LabelledSound], variation: Variation, encoder: StatesEncoder | None, cache: Path | None = None
) -> FeatureTable:
    """The features of each example under a variation: encoder states and prosody, without an encoder the prosody.

    Every corpus is varied by itself: its features do not depend on what else there is. With a folder `cache`, the
    table of a corpus is kept there and read again for the same files. Raises `DataError` where a file cannot be heard
    or has no such channel.
    """
    tables: dict[str, FeatureTable] = {}
    places: dict[str, list[int]] = {}
    for row, example in enumerate(examples):
        places.setdefault(example.corpus, []).append(row)
    for corpus, rows in places.items():
        tables[corpus] = _of_corpus([examples[row] for row in rows], variation, encoder, cache)
    width = max(table.rows.shape[1] for table in tables.values())
    together = FeatureTable(np.zeros((len(examples), width), dtype=np.float32), np.zeros(len(examples), dtype=np.bool_))
    for corpus, rows in places.items():
        together.rows[rows], together.heard[rows] = tables[corpus].rows, tables[corpus].heard
    return together


def _of_corpus(
    examples: Sequence[LabelledSound], variation: Variation, encoder: StatesEncoder | None, cache: Path | None
) -> FeatureTable:
    path = cache / f"{_key(examples, variation, encoder)}.npz" if cache else None
    if path is not None and path.is_file():
        with np.load(path, allow_pickle=False) as file:
            return FeatureTable(file["rows"], file["heard"])
    table = _compute(examples, variation, encoder)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".part")
        with unfinished.open("wb") as file:
            np.savez(file, rows=table.rows, heard=table.heard)
        unfinished.rename(path)
    return table


def _compute(examples: Sequence[LabelledSound], variation: Variation, encoder: StatesEncoder | None) -> FeatureTable:
    clips: dict[int, SpeechClip] = {}
    random = np.random.default_rng(variation.seed)
    for index, sound in enumerate(_vary(examples, variation)):
        extent_ms = _speech_in(sound, examples[index].extent_ms is not None)
        if extent_ms is not None:
            clips[index] = SpeechClip(0, *_part(extent_ms, _draw(random, variation.length_ms), random), sound)
    pooled = dict(encoder.pool_clips(list(_windows(examples, clips, variation)))) if encoder else {}
    rows: dict[int, NDArray[np.float32]] = {}
    for index, clip in clips.items():
        features = sound_features(clip.sound.samples(clip.start_ms, clip.end_ms), pooled.get(index))
        if not isinstance(features, str):
            rows[index] = features
    if not rows:
        raise DataError("no speech was found in any of the labelled sounds")
    table = np.zeros((len(examples), len(next(iter(rows.values())))), dtype=np.float32)
    heard = np.zeros(len(examples), dtype=np.bool_)
    for index, features in rows.items():
        table[index], heard[index] = features, True
    return FeatureTable(table, heard)


def _vary(examples: Sequence[LabelledSound], variation: Variation) -> Iterator[ChannelSound]:
    """Each example's sound, cut to its extent and changed."""
    random = np.random.default_rng(variation.seed)
    speakers = sorted({each.speaker_key for each in examples})
    gains = {speaker: _draw(random, variation.gain_db) for speaker in speakers}
    for example, sound in zip(examples, _sounds(examples), strict=True):
        gain_db = gains[example.speaker_key]
        speed, snr_db = _draw(random, variation.speed), _draw(random, variation.snr_db)
        if gain_db is not None:
            sound = amplify(sound, gain_db)
        if speed is not None:
            sound = at_speed(sound, speed)
        if snr_db is not None:
            sound = with_noise(sound, snr_db, random)
        yield through_telephone(sound) if variation.telephone else sound


def _draw(random: np.random.Generator, limits: tuple[float, float] | None) -> float | None:
    return None if limits is None else float(random.uniform(*limits))


def _sounds(examples: Iterable[LabelledSound]) -> Iterator[ChannelSound]:
    """The sound of each example. Rows of one file that follow each other are cut from one decoding."""
    path: Path | None = None
    channels: tuple[ChannelSound, ...] = ()
    for example in examples:
        if example.file != path:
            try:
                channels = decode(example.file.read_bytes(), DecodeLimits(LONGEST_FILE_MS)).channels
            except UnhearableError as error:
                raise DataError(
                    f"{example.file} cannot be used ({error.reason}): replace it or drop its rows"
                ) from None
            path = example.file
        if example.channel >= len(channels):
            raise DataError(f"{example.file} has {len(channels)} channel(s), counted from 0; none is {example.channel}")
        yield _cut(channels[example.channel], example)


def _cut(channel: ChannelSound, example: LabelledSound) -> ChannelSound:
    if example.extent_ms is None:
        return channel
    start_ms, end_ms = example.extent_ms
    if start_ms >= channel.duration_ms:
        raise DataError(f"{example.file} ends before a labelled segment begins: start_ms {start_ms}")
    rate = channel.sample_rate_hz
    return ChannelSound(channel.pcm[start_ms * rate // 1000 : end_ms * rate // 1000], rate)


def _speech_in(sound: ChannelSound, is_cut: bool) -> tuple[int, int] | None:
    """Where the speech is: all of a segment that a person has marked, else from the first to the last word."""
    if is_cut:
        return (0, sound.duration_ms)
    speech = detect_speech(sound)
    return (speech[0].start_ms, speech[-1].end_ms) if speech else None


def _part(extent_ms: tuple[int, int], length_ms: float | None, random: np.random.Generator) -> tuple[int, int]:
    start_ms, end_ms = extent_ms
    if length_ms is None or end_ms - start_ms <= length_ms:
        return extent_ms
    begin_ms = int(random.uniform(start_ms, end_ms - length_ms))
    return begin_ms, begin_ms + int(length_ms)


def _windows(
    examples: Sequence[LabelledSound], clips: dict[int, SpeechClip], variation: Variation
) -> Iterator[ClipWindow]:
    """The windows in which an encoder hears the clips, with the index of the example in each place."""
    if not variation.packed:
        for index, clip in clips.items():
            yield alone(index, clip)
        return
    random = np.random.default_rng(variation.seed)
    for speaker in sorted({each.speaker_key for each in examples}):
        own = [index for index in clips if examples[index].speaker_key == speaker]
        random.shuffle(own)
        for window in pack([clips[index] for index in own]):
            yield ClipWindow(tuple(replace(place, index=own[place.index]) for place in window.places))


def _key(examples: Sequence[LabelledSound], variation: Variation, encoder: StatesEncoder | None) -> str:
    digest = hashlib.sha256(f"{RECIPE}|{variation}|{encoder.name if encoder else None}".encode())
    for example in examples:
        facts = example.file.stat()
        place = (example.corpus, example.speaker, str(example.file), example.channel, example.extent_ms)
        digest.update(f"{place}|{facts.st_size}|{facts.st_mtime_ns}".encode())
    return digest.hexdigest()[:32]
