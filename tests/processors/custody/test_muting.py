"""What of a recording is muted, and that nothing of it is left."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.custody.muting import (
    FADE_MS,
    MARGIN_MS,
    TONE_PEAK,
    MutedStretch,
    Muter,
    NotMutableError,
    muted_stretches,
)
from schemas.messages.call_ended import Role
from schemas.messages.transcript import EngineIdentity, Rejected, Segment, Transcript
from tests.processors.recordings import call_with
from tests.support.playing import personal, said, spoken

RATE_HZ = 8_000
TEXT = "我的手机是[手机号]对"


def transcript(*segments: Segment, **fields: Any) -> Transcript:
    """Of a call that was heard."""
    given = {
        "engine": EngineIdentity(name="a", version="1", model="m"),
        "transcribed_at": datetime(2026, 5, 1, tzinfo=UTC),
    }
    return Transcript(tenant_id="acme", call_id="c1", call=call_with(b"x"), segments=segments, **given | fields)


def stretch(start_ms: int, end_ms: int) -> MutedStretch:
    """With its margins."""
    return MutedStretch(max(0, start_ms - MARGIN_MS), end_ms + MARGIN_MS)


def test_what_was_masked_in_the_text_is_muted_with_a_margin_on_either_side() -> None:
    one = said("手机" * 20, 1_000, 5_000)
    long = one.model_copy(update={"words": one.words[:3]})
    assert muted_stretches(transcript(long, pii=(personal(one, 2_000, 3_000),))) == (stretch(2_000, 3_000),)


def test_a_word_of_one_character_beside_it_may_be_a_digit_that_was_misheard() -> None:
    one = said("一个号摇的", 1_000, 6_000)  # five words of a second
    assert muted_stretches(transcript(one, pii=(personal(one, 3_000, 4_000),))) == (stretch(2_000, 5_000),)
    two = one.model_copy(update={"words": tuple(word.model_copy(update={"text": "后面"}) for word in one.words)})
    assert muted_stretches(transcript(two, pii=(personal(two, 3_000, 4_000),))) == (stretch(3_000, 4_000),)


def test_nothing_personal_leaves_everything_to_be_heard() -> None:
    assert muted_stretches(transcript(said("您好", 0, 900))) == ()


def test_a_segment_whose_words_have_no_times_is_muted_whole() -> None:
    one = said(TEXT, 1_000, 5_000, words=False)
    assert muted_stretches(transcript(one, pii=(personal(one, 2_000, 3_000),))) == (stretch(1_000, 5_000),)


def test_a_number_said_in_pieces_is_one_stretch() -> None:
    one, two = said("一" * 2, 1_000, 3_000), said("一" * 2, 4_000, 6_000, segment_id=1)
    found = muted_stretches(transcript(one, two, pii=(personal(one, 1_000, 3_000), personal(two, 4_000, 6_000))))
    assert found == (stretch(1_000, 6_000),)


def test_what_was_not_believed_is_muted_where_something_personal_stood_in_it() -> None:
    def rejected(text: str, start_ms: int, role: Role = "customer") -> Rejected:
        return Rejected(
            channel=1, role=role, start_ms=start_ms, end_ms=start_ms + 500, text=text, reason="low_confidence"
        )

    texts = {"[号码]": 10_000, "[姓名]吗": 20_000, "[银行卡:1234]": 30_000, "[笑]": 40_000, "谢谢观看": 50_000}
    found = muted_stretches(transcript(rejected=tuple(rejected(text, at) for text, at in texts.items())))
    assert found == tuple(stretch(at, at + 500) for at in (10_000, 20_000, 30_000))


def test_speech_of_which_no_text_came_is_muted_but_no_breath() -> None:
    heard = said("您好", 1_000, 2_000)
    found = muted_stretches(transcript(heard, speech=spoken((900, 2_100), (4_000, 5_000), (8_000, 8_200))))
    assert found == (stretch(4_000, 5_000),)


def test_speech_that_goes_on_behind_its_text_is_muted() -> None:
    found = muted_stretches(transcript(said("您好", 1_000, 2_000), speech=spoken((1_000, 4_000))))
    assert found == (stretch(2_000, 4_000),)


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        (None, "not_heard_yet"),
        (transcript(outcome="bad_audio", outcome_reason="undecodable"), "not_analyzed"),
        (
            transcript(engine=EngineIdentity(name="received", version="1", model="m", settings={"times": "none"})),
            "times_unknown",
        ),
    ],
    ids=["nobody has heard it yet", "it could not be heard", "its text has no times"],
)
def test_where_it_is_not_known_what_to_mute_nothing_may_be_heard(what: Transcript | None, reason: str) -> None:
    with pytest.raises(NotMutableError, match=reason):
        muted_stretches(what)


def test_of_a_muted_stretch_no_sample_is_left_on_any_channel() -> None:
    rng = np.random.default_rng(1)
    one = rng.integers(-30_000, 30_000, (RATE_HZ * 2, 2)).astype(np.int16)
    other = rng.integers(-30_000, 30_000, (RATE_HZ * 2, 2)).astype(np.int16)
    muter = Muter((MutedStretch(500, 1_200),), RATE_HZ)
    first, last = 500 * RATE_HZ // 1000, 1_200 * RATE_HZ // 1000
    assert (muter.mute(one, 0)[first:last] == muter.mute(other, 0)[first:last]).all()
    assert np.abs(muter.mute(one, 0)[first:last]).max() == TONE_PEAK
    fade = FADE_MS * RATE_HZ // 1000
    assert (muter.mute(one, 0)[: first - fade] == one[: first - fade]).all()
    assert (muter.mute(one, 0)[last + fade :] == one[last + fade :]).all()


def test_the_tone_begins_and_ends_softly() -> None:
    silence = np.zeros((RATE_HZ * 2, 1), dtype=np.int16)
    muted = Muter((MutedStretch(500, 1_500),), RATE_HZ).mute(silence, 0)
    assert np.abs(np.diff(muted[:, 0].astype(int))).max() <= TONE_PEAK // 3


@given(
    stretches=st.lists(st.tuples(st.integers(0, 900), st.integers(0, 400)), max_size=4),
    begin=st.integers(0, 8_000),
    count=st.integers(0, 3_000),
    rate_hz=st.sampled_from([8_000, 11_025, 16_000]),
)
def test_a_part_is_muted_to_the_same_samples_as_the_whole(
    stretches: list[tuple[int, int]], begin: int, count: int, rate_hz: int
) -> None:
    sound = np.random.default_rng(2).integers(-32_768, 32_767, (8_000, 2)).astype(np.int16)
    muter = Muter(tuple(MutedStretch(start, start + length) for start, length in stretches), rate_hz)
    whole = muter.mute(sound, 0)
    part = sound[begin : begin + count]
    assert (muter.mute(part, begin) == whole[begin : begin + count]).all()


def test_what_is_not_muted_is_not_copied() -> None:
    sound = np.zeros((10, 1), dtype=np.int16)
    assert Muter((MutedStretch(5_000, 6_000),), RATE_HZ).mute(sound, 0) is sound
