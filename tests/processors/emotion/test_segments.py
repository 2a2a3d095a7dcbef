"""The emotion of every segment of a call."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest

from processors.emotion.heads import load_heads
from processors.emotion.prosody import Prosody, prosody_of
from processors.emotion.segments import EmotionModel, HeardSegment, LinearSound
from processors.listening.audio import ChannelSound
from processors.listening.engine_port import PooledStates, Samples, SpeechClip
from schemas.messages.emotion import SegmentEmotion, SoundGap
from tests.processors.emotion.voices import RATE_HZ, agitated, calm, samples_of

STATES = 1_024


def pooled(seed: int) -> PooledStates:
    return np.random.default_rng(seed).normal(0, 1, STATES).astype(np.float32)


def call(*, turns: int, last_text: str = "好的，谢谢", seed: int = 0) -> list[HeardSegment]:
    """A customer and an agent in turns, on one timeline."""
    sounds = [(agitated if turn % 3 == 2 else calm)(seed + turn) for turn in range(turns)]
    channel = ChannelSound(np.concatenate(sounds), RATE_HZ)
    segments: list[HeardSegment] = []
    at_ms = 0
    for turn, sound in enumerate(sounds):
        length_ms = len(sound) * 1000 // RATE_HZ
        clip = SpeechClip(turn % 2, at_ms, at_ms + length_ms, channel)
        text = last_text if turn == turns - 1 else "请问什么时候能到"
        segments.append(HeardSegment(turn % 2, clip, pooled(turn), text))
        at_ms += length_ms
    return segments


def judge(segments: Sequence[HeardSegment], encoder: str | None = None) -> list[SegmentEmotion | SoundGap]:
    return list(EmotionModel.of_heads(load_heads(), encoder).judge(segments))


def test_every_segment_is_judged_by_sound_and_words() -> None:
    for emotion in judge(call(turns=6), load_heads().states.encoder):
        assert isinstance(emotion, SegmentEmotion)
        assert emotion.source == "fused"
        assert emotion.sound_agitated is not None
        assert emotion.text_agitated is not None


@pytest.mark.parametrize("with_states", [True, False], ids=["encoder states", "prosody only"])
def test_later_segments_change_nothing(with_states: bool) -> None:
    encoder = load_heads().states.encoder if with_states else None
    short, long = call(turns=4), call(turns=9)

    assert judge(long, encoder)[:3] == judge(short, encoder)[:3]


def test_a_segment_is_judged_before_the_next_one_is_taken() -> None:
    taken: list[HeardSegment] = []

    def live() -> Iterator[HeardSegment]:
        for segment in call(turns=4):
            taken.append(segment)
            yield segment

    emotions = EmotionModel.of_heads(load_heads(), None).judge(live())
    next(emotions)

    assert len(taken) == 1


def test_what_one_speaker_did_changes_nothing_for_another() -> None:
    segments = call(turns=6)
    customer = [each for each in segments if each.speaker == 1]

    together = [emotion for segment, emotion in zip(segments, judge(segments), strict=True) if segment in customer]

    assert together == judge(customer)


def test_states_of_another_model_are_not_looked_at() -> None:
    segments = call(turns=4)

    assert judge(segments, "another-model@1") == judge(segments, None)
    assert judge(segments, load_heads().states.encoder) != judge(segments, None)


def test_segments_without_words_are_judged_by_sound_alone() -> None:
    segments = [HeardSegment(each.speaker, each.clip, None, "") for each in call(turns=3)]

    assert [emotion.source for emotion in judge(segments) if isinstance(emotion, SegmentEmotion)] == ["sound"] * 3


@pytest.mark.parametrize(
    ("milliseconds", "reason"), [(1_000, "silent"), (200, "too_short")], ids=["silence", "a fifth of a second"]
)
def test_silence_without_words_is_a_gap_with_its_reason(milliseconds: int, reason: str) -> None:
    clip = SpeechClip(0, 0, milliseconds, ChannelSound(np.zeros(RATE_HZ * 2, dtype=np.int16), RATE_HZ))

    (emotion,) = judge([HeardSegment(0, clip, None, "")])

    assert emotion == reason


def test_silence_with_words_is_judged_by_the_words_and_says_why() -> None:
    clip = SpeechClip(0, 0, 1_000, ChannelSound(np.zeros(RATE_HZ * 2, dtype=np.int16), RATE_HZ))

    (emotion,) = judge([HeardSegment(0, clip, None, "你们这是骗人")])

    assert isinstance(emotion, SegmentEmotion)
    assert (emotion.source, emotion.sound_gap, emotion.sound_agitated) == ("text", "silent", None)


def test_angry_words_raise_the_same_sound() -> None:
    polite, rude = judge(call(turns=4))[-1], judge(call(turns=4, last_text="你们这是骗人，气死我了"))[-1]

    assert isinstance(polite, SegmentEmotion)
    assert isinstance(rude, SegmentEmotion)
    assert rude.agitated > polite.agitated
    assert rude.sound_agitated == polite.sound_agitated


def test_segments_without_states_among_others_are_judged_by_prosody() -> None:
    heads = load_heads()
    sound = LinearSound(heads, heads.states.encoder)
    samples = samples_of(calm(1))

    with_states, without = (sound.of_speaker().read(samples, states) for states in (pooled(1), None))

    assert with_states != without
    assert without == heads.prosody.of_speaker().read(_prosody(samples))


def _prosody(samples: Samples) -> Prosody:
    prosody = prosody_of(samples)
    assert not isinstance(prosody, str)
    return prosody


def test_other_heads_have_other_settings_and_the_same_heads_the_same() -> None:
    heads = load_heads()
    encoder = heads.states.encoder
    shipped = EmotionModel.of_heads(heads, encoder).settings

    assert shipped == EmotionModel.of_heads(load_heads(), encoder).settings
    for changed in (
        replace(heads, states=replace(heads.states, biases=heads.states.biases + 1)),
        replace(heads, prosody=replace(heads.prosody, offset=heads.prosody.offset + 1)),
        replace(heads, text=replace(heads.text, slope=heads.text.slope * 2)),
        replace(heads, fusion=replace(heads.fusion, base_rate=0.01)),
    ):
        assert EmotionModel.of_heads(changed, encoder).settings != shipped
    assert EmotionModel.of_heads(heads, "another-model@1").settings != shipped


def test_a_masked_number_is_no_word() -> None:
    text = load_heads().text

    assert text.read("我的卡号是[银行卡1234]") == text.read("我的卡号是")
