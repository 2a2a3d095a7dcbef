"""Sound and words put together."""

import math
from dataclasses import replace

import pytest

from processors.emotion.fusion import Fusion, Witness
from processors.emotion.reading import HeadReading, log_odds, probability_of
from schemas.messages.emotion import SegmentEmotion, SoundGap

CERTAIN = Witness(found=1.0, mistaken=0.0)
FUSION = Fusion(sound=CERTAIN, text=replace(CERTAIN, weight=0.5), base_rate=0.25, sound_share_of_valence=0.25)


def reading(evidence: float, valence: float = 0.0) -> HeadReading:
    return HeadReading(evidence, valence, {"angry": 0.5, "calm": 0.5})


def joined(sound: HeadReading | SoundGap, text: HeadReading | None) -> SegmentEmotion:
    result = FUSION.join(sound, text)
    assert isinstance(result, SegmentEmotion)
    return result


def test_evidence_of_both_adds_to_the_log_odds_of_the_base_rate() -> None:
    emotion = joined(reading(2.0), reading(1.0))

    assert log_odds(emotion.agitated) == pytest.approx(log_odds(0.25) + 2.0 + 0.5)
    assert emotion.sound_agitated == pytest.approx(probability_of(log_odds(0.25) + 2.0))
    assert emotion.text_agitated == pytest.approx(probability_of(log_odds(0.25) + 0.5))
    assert emotion.source == "fused"


def test_a_missing_witness_says_nothing() -> None:
    only_sound, only_text = joined(reading(2.0), None), joined("no_voice", reading(1.0))

    assert (only_sound.agitated, only_sound.source) == (only_sound.sound_agitated, "sound")
    assert only_sound.text_agitated is None
    assert (only_text.agitated, only_text.source) == (only_text.text_agitated, "text")
    assert only_text.sound_agitated is None


def test_calm_words_take_nothing_away_from_an_angry_voice() -> None:
    fusion = replace(FUSION, words_may_calm=False)

    emotion = fusion.join(reading(2.0), reading(-1.0))

    assert isinstance(emotion, SegmentEmotion)
    assert emotion.agitated == emotion.sound_agitated == pytest.approx(probability_of(log_odds(0.25) + 2.0))
    assert emotion.text_agitated == pytest.approx(probability_of(log_odds(0.25) - 0.5))


def test_angry_words_count_beside_any_voice() -> None:
    fusion = replace(FUSION, words_may_calm=False)

    assert fusion.join(reading(-2.0), reading(1.0)) == FUSION.join(reading(-2.0), reading(1.0))


def test_calm_words_count_where_no_voice_is_heard() -> None:
    fusion = replace(FUSION, words_may_calm=False)

    assert fusion.join("silent", reading(-1.0)) == FUSION.join("silent", reading(-1.0))


def test_no_evidence_is_the_base_rate() -> None:
    assert joined(reading(0.0), reading(0.0)).agitated == pytest.approx(0.25)


def test_silence_leaves_the_words_and_names_the_gap() -> None:
    emotion = FUSION.join("silent", reading(1.0))

    assert isinstance(emotion, SegmentEmotion)
    assert (emotion.source, emotion.sound_gap) == ("text", "silent")


def test_silence_without_words_is_a_gap_with_its_reason() -> None:
    assert FUSION.join("too_short", None) == "too_short"


def test_valence_is_the_weighted_mean_of_both_and_stays_within_its_limits() -> None:
    assert joined(reading(0, 0.8), reading(0, -0.4)).valence == pytest.approx(0.25 * 0.8 + 0.75 * -0.4)
    assert joined(reading(0, 0.8), None).valence == pytest.approx(0.8)


def test_a_witness_who_may_be_wrong_cannot_drown_the_other() -> None:
    doubted = replace(FUSION, sound=Witness(found=0.9, mistaken=0.1))

    emotion = doubted.join(reading(-40.0), reading(6.0))

    assert isinstance(emotion, SegmentEmotion)
    assert log_odds(emotion.agitated) == pytest.approx(log_odds(0.25) - math.log(9) + 3.0)


@pytest.mark.parametrize(
    "witness", [CERTAIN, Witness(0.6, 0.1), Witness(0.9, 0.3, weight=2.0)], ids=["certain", "deaf", "weighted"]
)
def test_believed_evidence_keeps_its_sign_and_its_order(witness: Witness) -> None:
    values = [witness.weigh(evidence) for evidence in (-8, -2, 0, 2, 8)]

    assert values == sorted(values)
    assert len(set(values)) == 5
    assert values[2] == pytest.approx(0)


def test_evidence_is_believed_as_far_as_the_rates_elsewhere_allow() -> None:
    witness = Witness(found=0.5, mistaken=0.05)

    assert witness.weigh(-40.0) == pytest.approx(math.log(0.5 / 0.95))
    assert witness.weigh(40.0) == pytest.approx(math.log(10))


def test_a_witness_who_is_never_wrong_is_believed_as_it_speaks() -> None:
    assert CERTAIN.weigh(3.0) == pytest.approx(3.0)


@pytest.mark.parametrize("evidence", [-1e9, 1e9])
def test_boundless_evidence_still_gives_a_probability(evidence: float) -> None:
    assert 0 <= joined(reading(evidence), reading(evidence)).agitated <= 1
