"""What the line does to a call: the turns that are there are heard, and no words where nobody speaks."""

import time
from collections.abc import Callable

import jiwer
import numpy as np
import pytest

from benchmarks.character_errors import read_aloud
from processors.listening.engine_port import SpeechEngine
from processors.listening.engines.faster_whisper import FasterWhisperEngine
from processors.listening.pipeline import ListenSettings, listen
from schemas.messages.call_ended import Role
from schemas.messages.transcript import Transcript
from tests.processors.listening.bad_sound import (
    RATE_HZ,
    Pcm,
    added,
    clipped,
    hold_music,
    keys,
    noise,
    silence,
)
from tests.processors.listening.scripted_engine import ScriptedEngine
from tests.processors.recordings import SOME_TIME, call_with, decoded, example_calls, wav

SETTINGS = ListenSettings(min_call_ms=5_000, max_call_ms=3_600_000, crosstalk_gate_db=18, chinese_script="simplified")
CALL = example_calls()["s02_finance_violation"]
LENGTH_MS = CALL.duration_ms
Channels = list[Pcm]


@pytest.fixture(params=["scripted", pytest.param("whisper", marks=pytest.mark.model)])
def engine(request: pytest.FixtureRequest) -> SpeechEngine:
    """The one that has words for every sound shows what reaches a recogniser; the real one what it makes of it."""
    if request.param == "scripted":
        return ScriptedEngine(lambda clip: f"有话{clip.start_ms}")
    whisper: FasterWhisperEngine = request.getfixturevalue("whisper")
    return whisper


def heard(channels: Channels, engine: SpeechEngine) -> Transcript:
    data = wav(channels, RATE_HZ)
    roles: tuple[Role, ...] | None = ("agent", "customer") if len(channels) == 2 else None
    return listen(call_with(data, roles), data, engine, SETTINGS, SOME_TIME, time.monotonic)


def call() -> Channels:
    return [channel.pcm.copy() for channel in decoded(CALL.call_id).channels]


def spans(transcript: Transcript, role: str) -> list[tuple[int, int]]:
    return [(each.start_ms, each.end_ms) for each in transcript.segments if each.role == role]


def true_spans(role: str) -> list[tuple[int, int]]:
    return [(turn.start_ms, turn.end_ms) for turn in CALL.turns_of(role)]


def character_error(transcript: Transcript) -> float:
    roles = ("agent", "customer")
    said = ["".join(turn.text for turn in CALL.turns_of(role)) for role in roles]
    understood = ["".join(each.text for each in transcript.segments if each.role == role) for role in roles]
    return jiwer.cer([read_aloud(text) for text in said], [read_aloud(text) for text in understood])


def crosstalk(channels: Channels) -> Channels:
    agent, customer = channels
    leak = 10 ** (-28 / 20)
    return [added(agent, (customer * leak).astype(np.int16)), added(customer, (agent * leak).astype(np.int16))]


def with_noise(channels: Channels) -> Channels:
    return [added(pcm, noise(LENGTH_MS, -45, seed)) for seed, pcm in enumerate(channels)]


def too_loud(channels: Channels) -> Channels:
    return [clipped(pcm, 18) for pcm in channels]


def with_dead_air(channels: Channels) -> Channels:
    return [np.concatenate([pcm, noise(20_000, -55, seed)]) for seed, pcm in enumerate(channels)]


def with_hold_music(channels: Channels) -> Channels:
    agent, customer = channels
    return [np.concatenate([agent, hold_music(20_000)]), np.concatenate([customer, silence(20_000)])]


def with_keys(channels: Channels) -> Channels:
    agent, customer = channels
    return [np.concatenate([agent, silence(3_600)]), np.concatenate([customer, keys("1580#1580#15015")])]


@pytest.mark.parametrize(
    ("spoil", "most_wrong"),
    [
        pytest.param(crosstalk, 0.12, id="crosstalk_at_28_dB"),
        pytest.param(with_noise, 0.2, id="noise_of_the_line"),
        pytest.param(too_loud, 0.25, id="clipped"),
        pytest.param(with_dead_air, 0.12, id="dead_air_for_20_s_after_the_last_word"),
        pytest.param(with_hold_music, 0.12, id="hold_music"),
        pytest.param(with_keys, 0.12, id="keys_pressed"),
    ],
)
def test_every_turn_is_heard_and_nothing_else(
    spoil: Callable[[Channels], Channels], most_wrong: float, engine: SpeechEngine
) -> None:
    transcript = heard(spoil(call()), engine)

    for role in ("agent", "customer"):
        found, true = np.array(spans(transcript, role)), np.array(true_spans(role))
        assert found.shape == true.shape, "a turn for each turn, and none besides"
        assert np.abs(found - true).max() <= 300
    assert transcript.rejected == ()
    assert isinstance(engine, ScriptedEngine) or character_error(transcript) <= most_wrong


@pytest.mark.parametrize(
    "other_side",
    [
        pytest.param(lambda _agent: silence(LENGTH_MS), id="empty"),
        pytest.param(lambda agent: (agent * 10 ** (-28 / 20)).astype(np.int16), id="a_leak_of_the_agent"),
        pytest.param(lambda _agent: noise(LENGTH_MS, -50), id="soft_noise"),
        pytest.param(lambda _agent: noise(LENGTH_MS, -30), id="loud_noise"),
        pytest.param(lambda _agent: hold_music(LENGTH_MS), id="music"),
        pytest.param(lambda _agent: keys("1580#" * 23), id="keys"),
    ],
)
def test_the_silent_side_says_nothing(other_side: Callable[[Pcm], Pcm], engine: SpeechEngine) -> None:
    agent, _ = call()
    other = other_side(agent)
    length = min(len(agent), len(other))

    transcript = heard([agent[:length], other[:length]], engine)

    assert transcript.speech["customer"] == ()
    assert {segment.role for segment in transcript.segments} == {"agent"}
    assert not [piece for piece in transcript.rejected if piece.role == "customer"]
    assert len(spans(transcript, "agent")) >= len(true_spans("agent")) - 1
    assert transcript.sound is not None
    customer = transcript.sound.channels[1]
    assert (customer.speech_ms, customer.characters_per_minute) == (0, None)
    assert customer.quality.doubts == ("little_speech",)


@pytest.mark.parametrize(
    "nobody",
    [
        pytest.param(hold_music(20_000), id="hold_music"),
        pytest.param(keys("1580#" * 16), id="keys_pressed"),
        pytest.param(noise(20_000, -20), id="loud_noise"),
    ],
)
def test_a_recording_of_nobody_has_no_words(nobody: Pcm, engine: SpeechEngine) -> None:
    for channels in ([nobody], [nobody, silence(len(nobody) // 8)], [nobody, nobody]):
        transcript = heard(channels, engine)

        assert (transcript.outcome, transcript.segments, transcript.rejected) == (None, (), ())
        assert all(speech == () for speech in transcript.speech.values())


def test_the_same_sound_on_both_channels_is_one_call_of_unknown_speakers(engine: SpeechEngine) -> None:
    agent, customer = call()
    both = added(agent, customer)

    transcript = heard([both, both], engine)

    assert transcript.audio is not None
    assert transcript.audio.identical_channels
    assert {(segment.channel, segment.role) for segment in transcript.segments} == {(0, "unknown")}
    assert len(transcript.segments) == len(CALL.turns)


def test_what_is_wrong_with_the_sound_is_said_per_channel() -> None:
    agent, customer = call()

    sound = heard([clipped(agent, 24), added(customer, noise(LENGTH_MS, -24))], ScriptedEngine()).sound

    assert sound is not None
    assert [channel.quality.doubts for channel in sound.channels] == [("clipped",), ("noisy",)]
