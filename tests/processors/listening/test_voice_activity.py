"""Who speaks when, against the exact extents of the turns in the example calls."""

from itertools import pairwise

import numpy as np
import pytest

from processors.listening.audio import ChannelSound
from processors.listening.engine_port import MAX_CLIP_MS
from processors.listening.voice_activity import (
    are_identical,
    detect_speech,
    mute_crosstalk,
    speech_by_role,
    stretches,
)
from schemas.messages.call_ended import Role, SpeakerSegment
from schemas.messages.transcript import Interval
from tests.processors.recordings import decoded, example_calls, tone

TOLERANCE_MS = 300
TURN_PAUSE_MS = 800

Span = tuple[int, int]


def intervals(*spans: Span) -> tuple[Interval, ...]:
    return tuple(Interval(start_ms=start, end_ms=end) for start, end in spans)


def spans(found: tuple[Interval, ...]) -> list[Span]:
    return [(interval.start_ms, interval.end_ms) for interval in found]


def turns_heard(call_id: str) -> list[list[Span]]:
    """Turns per channel, after the gate."""
    channels = decoded(call_id).channels
    if len(channels) == 2:
        mute_crosstalk(channels[0], channels[1], 18)
    speech = [detect_speech(sound) for sound in channels]
    pause_ms = TURN_PAUSE_MS if len(channels) == 2 else 0
    return [
        [
            (turn[0].start_ms, turn[-1].end_ms)
            for turn in stretches(own, speech[1 - index] if len(channels) == 2 else (), pause_ms)
        ]
        for index, own in enumerate(speech)
    ]


@pytest.mark.parametrize("call_id", sorted(example_calls()))
def test_turns_lie_within_300_ms_of_the_truth_and_there_is_none_too_many(call_id: str) -> None:
    call = example_calls()[call_id]
    for heard, speaker in zip(turns_heard(call_id), (None,) if call.is_mono else ("agent", "customer"), strict=True):
        true = [(turn.start_ms, turn.end_ms) for turn in call.turns_of(speaker)]
        assert len(heard) == len(true)
        assert np.abs(np.array(heard) - np.array(true)).max() <= TOLERANCE_MS


def test_without_the_gate_a_leak_is_taken_for_speech() -> None:
    """The reason for the gate: s04 leaks at −40 dB, and voice activity does not mind how quiet a voice is."""
    agent, customer = decoded("s04_ecommerce_angry_interrupts").channels
    leaked = [span for span in spans(detect_speech(customer)) if span[1] < 4_891]

    mute_crosstalk(agent, customer, 18)

    assert leaked, "the agent's greeting, on the customer's channel"
    assert [span for span in spans(detect_speech(customer)) if span[1] < 4_891] == []


@pytest.mark.parametrize(
    ("gate_db", "leak_db", "is_muted"),
    [
        pytest.param(18.0, -28.0, True, id="leak_far_below"),
        pytest.param(18.0, -12.0, False, id="somebody_who_speaks_softly"),
        pytest.param(0.0, -60.0, False, id="gate_switched_off"),
    ],
)
def test_a_channel_is_muted_only_where_it_is_far_below_the_other(
    gate_db: float, leak_db: float, is_muted: bool
) -> None:
    loud = ChannelSound(tone(440, 1_000, 8_000, 0.5), 8_000)
    soft = ChannelSound(tone(440, 1_000, 8_000, 0.5 * 10 ** (leak_db / 20)), 8_000)
    before = soft.pcm.copy()

    mute_crosstalk(loud, soft, gate_db)

    assert (not soft.pcm.any()) == is_muted
    assert is_muted or np.array_equal(soft.pcm, before)
    assert loud.pcm.any()


HUMS_MS = [(7_499, 7_884), (11_299, 11_790)]
"""Where the customer of s10 shows attention while the agent speaks."""


def mixed(hums_db: float, leak_db: float, delay_ms: int = 0, noise_level: float = 40) -> list[ChannelSound]:
    """The agent of s10 and its customer, softer than in fact; the agent leaks, and the line has noise."""
    agent, customer = (sound.pcm.astype(float) for sound in decoded("s10_backchannels").channels)
    late = np.roll(agent, delay_ms * 8)
    late[: delay_ms * 8] = 0
    noise = np.random.default_rng(7).normal(0, noise_level, len(customer))
    heard = customer * 10 ** (hums_db / 20) + late * 10 ** (leak_db / 20) + noise
    return [ChannelSound(np.round(one).astype(np.int16), 8_000) for one in (agent, heard)]


def assert_that_both_hums_are_heard(customer: ChannelSound) -> None:
    """And nothing else while the agent speaks."""
    while_the_agent_speaks = [span for span in spans(detect_speech(customer)) if span[1] < 13_499]
    assert len(while_the_agent_speaks) == len(HUMS_MS)
    for (start_ms, end_ms), (from_ms, to_ms) in zip(while_the_agent_speaks, HUMS_MS, strict=True):
        assert start_ms < to_ms
        assert end_ms > from_ms


@pytest.mark.parametrize("hums_db", [0.0, -12.0, -18.0, -20.0])
def test_a_listener_who_hums_far_below_the_speaker_is_heard(hums_db: float) -> None:
    agent, customer = mixed(hums_db, -34)

    mute_crosstalk(agent, customer, 18)

    assert_that_both_hums_are_heard(customer)


@pytest.mark.parametrize("delay_ms", [0, 5, 40, 200])
def test_a_leak_is_no_listener_however_late_it_comes(delay_ms: int) -> None:
    agent, customer = mixed(-90, -34, delay_ms)

    mute_crosstalk(agent, customer, 18)

    assert [span for span in spans(detect_speech(customer)) if span[1] < 13_000] == []


@pytest.mark.parametrize(
    ("leak_db", "noise_level"),
    [
        pytest.param(-15.0, 40.0, id="nearer than the gate"),
        pytest.param(-12.0, 40.0, id="much nearer"),
        pytest.param(-20.0, 260.0, id="hidden in noise as loud as itself"),
    ],
)
def test_a_leak_that_the_gate_alone_would_let_through_is_muted_and_the_listener_is_not(
    leak_db: float, noise_level: float
) -> None:
    agent, customer = mixed(0, leak_db, noise_level=noise_level)

    mute_crosstalk(agent, customer, 18)

    assert_that_both_hums_are_heard(customer)


def test_an_empty_channel_leaves_the_other_as_it_is() -> None:
    voice = decoded("s01_ecommerce_calm").channels[0]
    before = voice.pcm.copy()

    mute_crosstalk(voice, ChannelSound(np.zeros_like(voice.pcm), 8_000), 18)

    assert np.array_equal(voice.pcm, before)


def scaled(pcm: np.ndarray[tuple[int], np.dtype[np.int16]], level_db: float) -> ChannelSound:
    return ChannelSound((pcm * 10 ** (level_db / 20)).astype(np.int16), 8_000)


@pytest.mark.parametrize(
    ("second_from", "level_db", "identical"),
    [
        pytest.param("same", 0.0, True, id="mono_written_twice"),
        pytest.param("same", -3.0, True, id="mono_written_twice_one_softer"),
        pytest.param("same", -28.0, False, id="nothing_but_a_leak"),
        pytest.param("other", 0.0, False, id="two_speakers"),
        pytest.param("silence", 0.0, False, id="one_channel_empty"),
    ],
)
def test_two_channels_are_one_when_they_hold_the_same_sound(second_from: str, level_db: float, identical: bool) -> None:
    agent, customer = (sound.pcm for sound in decoded("s01_ecommerce_calm").channels)
    second = {"same": agent, "other": customer, "silence": np.zeros_like(agent)}[second_from]

    assert are_identical(agent, scaled(second, level_db).pcm) == identical


@pytest.mark.parametrize("silence_ms", [3_333, 30_000, 63_500, 200_000])
def test_turns_are_found_behind_a_long_silence_and_across_the_seams_of_windows(silence_ms: int) -> None:
    pcm = decoded("s09_mono_logistics").channels[0].pcm
    moved = ChannelSound(np.concatenate([np.zeros(silence_ms * 8, dtype=np.int16), pcm]), 8_000)

    found = np.array(spans(detect_speech(moved))) - silence_ms

    true = [(turn.start_ms, turn.end_ms) for turn in example_calls()["s09_mono_logistics"].turns]
    assert found.shape == (len(true), 2)
    assert np.abs(found - true).max() <= TOLERANCE_MS


def test_speech_without_a_pause_is_cut_to_clips_that_an_engine_takes() -> None:
    pcm = decoded("s10_backchannels").channels[0].pcm
    voice = np.concatenate([pcm[start * 8 : end * 8] for start, end in [(400, 3_000)]] * 30)

    found = detect_speech(ChannelSound(voice, 8_000))

    assert len(found) >= 3
    assert all(interval.end_ms - interval.start_ms <= MAX_CLIP_MS for interval in found)
    assert all(first.end_ms <= second.start_ms for first, second in pairwise(found))
    assert sum(interval.end_ms - interval.start_ms for interval in found) >= 0.9 * len(voice) / 8


def test_silence_and_noise_hold_no_speech() -> None:
    noise = (np.random.default_rng(5).normal(size=8_000 * 20) * 300).astype(np.int16)

    assert detect_speech(ChannelSound(np.zeros(8_000 * 20, dtype=np.int16), 8_000)) == ()
    assert detect_speech(ChannelSound(noise, 8_000)) == ()
    assert detect_speech(ChannelSound(np.zeros(0, dtype=np.int16), 8_000)) == ()


@pytest.mark.parametrize(
    ("speech", "others", "expected"),
    [
        pytest.param([(0, 1_000), (1_300, 2_000)], [], [(0, 2_000)], id="short_pause_belongs_to_the_turn"),
        pytest.param([(0, 1_000), (1_900, 2_500)], [], [(0, 1_000), (1_900, 2_500)], id="long_pause_ends_it"),
        pytest.param(
            [(0, 1_000), (1_300, 2_000)], [(1_050, 1_200)], [(0, 1_000), (1_300, 2_000)], id="other_side_takes_over"
        ),
        pytest.param([(0, 1_000), (1_300, 2_000)], [(500, 1_200)], [(0, 2_000)], id="other_side_had_begun_before"),
        pytest.param(
            [(0, 20_000), (20_300, 29_000)], [], [(0, 20_000), (20_300, 29_000)], id="longer_than_a_clip_may_be"
        ),
        pytest.param([], [(0, 500)], [], id="nobody_speaks"),
    ],
)
def test_intervals_become_turns(speech: list[Span], others: list[Span], expected: list[Span]) -> None:
    turns = stretches(intervals(*speech), intervals(*others), 800)

    assert [(turn[0].start_ms, turn[-1].end_ms) for turn in turns] == expected


def told(*segments: tuple[Role, int, int]) -> list[SpeakerSegment]:
    return [SpeakerSegment(role=role, start_ms=start, end_ms=end) for role, start, end in segments]


@pytest.mark.parametrize(
    ("segments", "expected"),
    [
        pytest.param([], {"unknown": [(0, 1_000), (1_500, 3_000)]}, id="nothing_told"),
        pytest.param(
            [("agent", 100, 900), ("customer", 1_600, 2_900)],
            {"agent": [(0, 1_000)], "customer": [(1_500, 3_000)]},
            id="segments_tighter_than_speech",
        ),
        pytest.param(
            [("agent", 0, 2_000), ("customer", 2_000, 3_000)],
            {"agent": [(0, 1_000), (1_500, 2_000)], "customer": [(2_000, 3_000)]},
            id="the_other_takes_over_without_a_pause",
        ),
        pytest.param(
            [("customer", 1_500, 3_000)], {"unknown": [(0, 1_000)], "customer": [(1_500, 3_000)]}, id="not_all_told"
        ),
        pytest.param(
            [("agent", 5_000, 6_000)], {"unknown": [(0, 1_000), (1_500, 3_000)]}, id="told_where_nobody_speaks"
        ),
        pytest.param(
            [("customer", 1_400, 3_000), ("agent", 0, 1_100)],
            {"agent": [(0, 1_000)], "customer": [(1_500, 3_000)]},
            id="in_no_order",
        ),
    ],
)
def test_speech_of_one_channel_is_shared_out_among_the_speakers_told(
    segments: list[tuple[Role, int, int]], expected: dict[Role, list[Span]]
) -> None:
    shares = speech_by_role(intervals((0, 1_000), (1_500, 3_000)), told(*segments))

    assert {role: spans(share) for role, share in shares.items()} == expected
