"""The sound head: pooled states, and a speaker who is judged by the past alone."""

import numpy as np
import pytest
from numpy.typing import NDArray

from processors.emotion.heads import load_heads
from processors.emotion.prosody import PROSODY_FEATURES
from processors.emotion.sound_head import (
    PROSODY_SIZE,
    SoundHead,
    SoundHeads,
    SpeakerHistory,
    SpeakerPrior,
    pool,
    pool_clip,
    sound_features,
)
from processors.listening.audio import ChannelSound
from processors.listening.engine_port import SpeechClip
from tests.processors.emotion.voices import samples_of, voice

PRIOR = SpeakerPrior(
    mean=np.array([10, 0], dtype=np.float32),
    spread=np.array([2, 1], dtype=np.float32),
    mean_strength=2.0,
    spread_strength=4.0,
)


def head(weight: float = 1.0) -> SoundHead:
    return SoundHead(
        encoder=None,
        classes=("angry", "calm"),
        weights=np.array([[weight, 0], [-weight, 0]], dtype=np.float32),
        biases=np.zeros(2, dtype=np.float32),
        prior=PRIOR,
        slope=1.0,
        offset=0.0,
    )


def rows(*values: float) -> list[NDArray[np.float32]]:
    return [np.array([value, 0], dtype=np.float32) for value in values]


def test_pooled_states_are_the_mean_and_the_deviation_of_the_frames_asked_for() -> None:
    states = np.array([[100, 100], [1, 2], [3, 2], [100, 100]], dtype=np.float32)

    assert pool(states, slice(1, 3)).tolist() == [2, 2, 1, 0]
    assert pool(states[1:3]).tolist() == [2, 2, 1, 0]


def test_no_frames_cannot_be_pooled() -> None:
    with pytest.raises(ValueError, match="no frames"):
        pool(np.ones((4, 2), dtype=np.float32), slice(4, 4))


def test_a_clip_is_pooled_over_all_of_its_states() -> None:
    states = np.arange(8, dtype=np.float32).reshape(4, 2)
    clip = SpeechClip(0, 0, 80, ChannelSound(np.zeros(640, dtype=np.int16), 8_000))

    assert np.array_equal(pool_clip(clip, states), pool(states))
    assert pool_clip(clip, states[:0]).tolist() == [0, 0, 0, 0]


def test_features_are_the_states_followed_by_the_prosody() -> None:
    samples, pooled = samples_of(voice(150, 0.5)), np.array([1, 2, 3], dtype=np.float32)

    with_states, without = sound_features(samples, pooled), sound_features(samples, None)

    assert not isinstance(with_states, str)
    assert not isinstance(without, str)
    assert len(without) == len(PROSODY_FEATURES)
    assert np.array_equal(with_states, np.concatenate([pooled, without]))


def test_silence_has_no_features_but_a_reason() -> None:
    assert sound_features(np.zeros(16_000, dtype=np.float32), np.ones(4, dtype=np.float32)) == "silent"


def test_the_first_segment_is_seen_against_the_prior() -> None:
    assert SpeakerHistory(PRIOR).relative(np.array([14, 1], dtype=np.float32)).tolist() == [2, 1]


def test_what_is_normal_moves_from_the_prior_to_the_speaker() -> None:
    history = SpeakerHistory(PRIOR)
    for _ in range(200):
        history.remember(np.array([30, 0], dtype=np.float32), calm=1.0)

    assert history.relative(np.array([30, 0], dtype=np.float32))[0] == pytest.approx(0, abs=0.1)


def test_an_agitated_segment_does_not_count_as_normal() -> None:
    history, untouched = SpeakerHistory(PRIOR), SpeakerHistory(PRIOR)
    history.remember(np.array([30, 0], dtype=np.float32), calm=0.0)
    features = np.array([13, 1], dtype=np.float32)

    assert np.array_equal(history.relative(features), untouched.relative(features))


def test_a_far_value_is_cut_at_six_spreads() -> None:
    assert SpeakerHistory(PRIOR).relative(np.array([1e6, -1e6], dtype=np.float32)).tolist() == [6, -6]


@pytest.mark.parametrize("later", [(5.0, 5.0, 5.0), (100.0, -100.0, 0.0)], ids=["calm end", "wild end"])
def test_no_reading_depends_on_a_later_segment(later: tuple[float, ...]) -> None:
    past = rows(9, 11, 15, 8)
    alone, followed = head().of_speaker(), head().of_speaker()

    first = [alone.read(each) for each in past]
    second = [followed.read(each) for each in (*past, *rows(*later))]

    assert second[: len(past)] == first


def test_a_reading_does_depend_on_earlier_segments() -> None:
    fresh, used = head().of_speaker(), head().of_speaker()
    for each in rows(*[16] * 20):
        used.read(each)

    assert used.read(rows(18)[0]).evidence < fresh.read(rows(18)[0]).evidence


def test_a_head_that_always_says_the_same_has_constant_evidence() -> None:
    ear = head(weight=0.0).of_speaker()

    assert {ear.read(each).evidence for each in rows(1, 50, 10)} == {0.0}


def test_two_heads_count_as_their_mean_and_without_states_the_prosody_alone() -> None:
    heads = load_heads()
    states, prosody = heads.states.prior.mean * 1.1, (heads.states.prior.mean * 1.1)[-PROSODY_SIZE:]
    first, second = heads.states.of_speaker().read(states), heads.prosody.of_speaker().read(prosody)

    both = SoundHeads(heads.states, heads.prosody).of_speaker().read(states)

    assert both.evidence == pytest.approx((first.evidence + second.evidence) / 2)
    assert both.valence == pytest.approx((first.valence + second.valence) / 2)
    assert sum(both.classes.values()) == pytest.approx(1)
    assert SoundHeads(heads.states, heads.prosody).of_speaker().read(prosody) == second
    assert SoundHeads(None, heads.prosody).of_speaker().read(states) == second
