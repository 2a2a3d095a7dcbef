"""Features for training are those of run time."""

from pathlib import Path

import numpy as np
import pytest

from processors.emotion.corpora import DataError, LabelledSound, read_labelled
from processors.emotion.encoder import StatesEncoder, WhisperEncoder
from processors.emotion.features import PLAIN, Variation, features_of
from processors.emotion.prosody import PROSODY_FEATURES
from processors.emotion.sound_head import pool_clip
from processors.listening.audio import ChannelSound
from processors.listening.engine_port import SpeechClip
from processors.listening.engines.faster_whisper import FasterWhisperEngine
from processors.listening.packing import alone, pack
from tests.processors.emotion.voices import SpectrumEncoder, calm, write_labelled_calls, write_wav
from tests.processors.recordings import decoded, example_calls


@pytest.fixture(params=["spectrum", pytest.param("whisper", marks=pytest.mark.model)])
def encoder(request: pytest.FixtureRequest) -> StatesEncoder:
    """Every encoder that passes the contract."""
    if request.param == "spectrum":
        return SpectrumEncoder()
    return WhisperEncoder(cache_dir=request.getfixturevalue("whisper_cache"))


def clips(count: int) -> list[SpeechClip]:
    return [SpeechClip(0, 0, 1_200, ChannelSound(calm(seed), 8_000)) for seed in range(count)]


class TestEncoderContract:
    """What every encoder promises."""

    def test_every_clip_of_every_window_has_one_vector(self, encoder: StatesEncoder) -> None:
        windows = [*pack(clips(3)), alone(7, clips(1)[0])]

        pooled = list(encoder.pool_clips(windows))

        assert sorted(index for index, _ in pooled) == [0, 1, 2, 7]
        assert len({vector.shape for _, vector in pooled}) == 1
        assert all(np.isfinite(vector).all() for _, vector in pooled)

    def test_the_same_clip_has_the_same_vector(self, encoder: StatesEncoder) -> None:
        (first,), (second,) = ([*encoder.pool_clips([alone(0, clips(1)[0])])] for _ in range(2))

        assert np.array_equal(first[1], second[1])

    def test_it_has_a_name(self, encoder: StatesEncoder) -> None:
        assert "@" in encoder.name


@pytest.mark.model
def test_the_encoder_of_training_gives_what_the_recogniser_hands_over(
    whisper: FasterWhisperEngine, whisper_cache: Path
) -> None:
    channels = decoded("s02_finance_violation").channels
    turns = example_calls()["s02_finance_violation"].turns[:5]
    spoken = [
        SpeechClip(index, turn.start_ms, turn.end_ms, channels[index])
        for turn in turns
        for index in (("agent", "customer").index(turn.channel),)
    ]
    encoder = WhisperEncoder(cache_dir=whisper_cache)

    recognised = whisper.recognize(spoken, language_hint="zh", pool=pool_clip).speech
    pooled = dict(encoder.pool_clips(pack(spoken)))

    assert encoder.name == whisper.identity.model
    for index, each in enumerate(recognised):
        assert each.pooled_states is not None
        np.testing.assert_allclose(pooled[index], each.pooled_states, atol=1e-4)


def examples(folder: Path) -> tuple[LabelledSound, ...]:
    return read_labelled(write_labelled_calls(folder, calls=2, turns=4)).sounds


def test_every_example_has_a_row_of_states_and_prosody(tmp_path: Path) -> None:
    table = features_of(examples(tmp_path), PLAIN, SpectrumEncoder())

    assert table.rows.shape == (8, 16 + len(PROSODY_FEATURES))
    assert table.heard.all()
    assert np.isfinite(table.rows).all()


@pytest.mark.parametrize(
    "variation",
    [
        Variation("packed"),
        Variation("loudness", gain_db=(-12, -6)),
        Variation("speed", speed=(1.1, 1.2)),
        Variation("noise", snr_db=(10, 15)),
        Variation("short", length_ms=(400, 600)),
    ],
    ids=lambda variation: variation.name,
)
def test_a_variation_changes_features_in_the_same_way_every_time(tmp_path: Path, variation: Variation) -> None:
    sounds = examples(tmp_path)

    once, again = (features_of(sounds, variation, SpectrumEncoder()) for _ in range(2))

    assert np.array_equal(once.rows, again.rows)
    assert not np.array_equal(once.rows, features_of(sounds, PLAIN, SpectrumEncoder()).rows)


def test_silence_is_not_heard(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", [np.concatenate([calm(0), np.zeros(16_000, dtype=np.int16)])])
    rows = [LabelledSound("c", tmp_path / "a.wav", 0, extent, "a", "calm") for extent in ((0, 1_000), (1_500, 2_500))]

    table = features_of(rows, PLAIN, SpectrumEncoder())

    assert table.heard.tolist() == [True, False]


def test_features_are_read_from_the_cache_until_a_file_changes(tmp_path: Path) -> None:
    sounds, cache = examples(tmp_path / "data"), tmp_path / "cache"
    first = features_of(sounds, PLAIN, SpectrumEncoder(), cache)
    (kept,) = cache.iterdir()
    np.savez(kept.with_suffix(".new.npz"), rows=first.rows + 1, heard=first.heard)
    kept.with_suffix(".new.npz").rename(kept)

    assert np.array_equal(features_of(sounds, PLAIN, SpectrumEncoder(), cache).rows, first.rows + 1)
    write_wav(sounds[0].file, [calm(5), calm(5)])
    write_wav(sounds[4].file, [calm(6), calm(6)])
    with pytest.raises(DataError, match="ends before a labelled segment begins"):
        features_of(sounds, PLAIN, SpectrumEncoder(), cache)


@pytest.mark.parametrize(
    ("channel", "content", "problem"),
    [
        pytest.param(2, None, r"has 1 channel\(s\), counted from 0", id="a channel that is not there"),
        pytest.param(0, b"no sound", "cannot be used", id="a file that is no recording"),
    ],
)
def test_a_file_that_does_not_fit_is_named(tmp_path: Path, channel: int, content: bytes | None, problem: str) -> None:
    path = tmp_path / "a.wav"
    write_wav(path, [calm(0)])
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(DataError, match=problem) as caught:
        features_of([LabelledSound("c", path, channel, (0, 500), "a", "calm")], PLAIN, SpectrumEncoder())

    assert "a.wav" in str(caught.value)
