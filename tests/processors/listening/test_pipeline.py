"""From the bytes of a recording to its transcript: who, what, when — and every way in which it is not heard."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from processors.listening.engine_port import SpeechClip, SpeechEngine
from processors.listening.engines.faster_whisper import FasterWhisperEngine
from processors.listening.pipeline import ListenSettings, listen, listener_of, unheard_transcript
from processors.listening.respelling import load_spelling
from processors.text.chinese_script import ChineseScript
from schemas.messages.call_ended import Role, SpeakerSegment
from schemas.messages.outcome import Outcome
from schemas.messages.transcript import Transcript
from tests.processors.listening.scripted_engine import ScriptedEngine
from tests.processors.listening.scripted_separation import ScriptedSeparation
from tests.processors.recordings import (
    ROOT,
    SOME_TIME,
    call_with,
    decoded,
    encoded,
    example_calls,
    tone,
    wav,
    wav_header,
)

AGENT_FIRST: tuple[Role, ...] = ("agent", "customer")
MEMORY_LIMIT_MB = 1_200


def settings(
    *, min_call_ms: int = 5_000, max_call_ms: int = 7_300_000, gate_db: float = 18, script: ChineseScript = "simplified"
) -> ListenSettings:
    return ListenSettings(
        min_call_ms=min_call_ms, max_call_ms=max_call_ms, crosstalk_gate_db=gate_db, chinese_script=script
    )


class Ticks:
    """A stopwatch that moves on by two seconds whenever it is read."""

    def __init__(self) -> None:
        self._now_s = 100.0

    def __call__(self) -> float:
        self._now_s += 2
        return self._now_s


def heard(
    data: bytes,
    engine: SpeechEngine | None = None,
    roles: tuple[Role, ...] | None = AGENT_FIRST,
    how: ListenSettings | None = None,
    language_hint: str | None = "zh",
) -> Transcript:
    call = call_with(data, roles, language_hint)
    return listen(call, data, engine or ScriptedEngine(), how or settings(), SOME_TIME, Ticks())


def example_pcm(call_id: str) -> list[np.ndarray[tuple[int], np.dtype[np.int16]]]:
    return [channel.pcm for channel in decoded(call_id).channels]


@pytest.fixture(params=["scripted", pytest.param("whisper", marks=pytest.mark.model)])
def engine(request: pytest.FixtureRequest) -> SpeechEngine:
    """What listening promises, it promises whatever engine recognises."""
    if request.param == "scripted":
        return ScriptedEngine(lambda clip: f"{'您好' if clip.channel == 0 else '嗯'}{clip.start_ms}")
    whisper: FasterWhisperEngine = request.getfixturevalue("whisper")
    return whisper


def test_every_turn_is_a_segment_of_its_speaker(engine: SpeechEngine) -> None:
    call = example_calls()["s02_finance_violation"]

    transcript = heard(call.data, engine)

    assert transcript.outcome is None
    assert [segment.role for segment in transcript.segments] == [turn.channel for turn in call.turns]
    for segment, turn in zip(transcript.segments, call.turns, strict=True):
        assert abs(segment.start_ms - turn.start_ms) <= 300
        assert abs(segment.end_ms - turn.end_ms) <= 300
    assert [segment.segment_id for segment in transcript.segments] == list(range(len(call.turns)))


def test_words_lie_inside_speech_and_make_up_the_text(engine: SpeechEngine) -> None:
    transcript = heard(example_calls()["s05_ecommerce_refund_silence"].data, engine)

    for segment in transcript.segments:
        assert segment.text == "".join(word.text for word in segment.words)
        speech = transcript.speech[segment.role]
        for word in segment.words:
            assert any(interval.start_ms <= word.start_ms <= word.end_ms <= interval.end_ms for interval in speech), (
                "no word lies in a pause"
            )


def test_the_transcript_says_what_the_file_was_and_how_long_the_work_took() -> None:
    data = example_calls()["s02_finance_violation"].data

    transcript = heard(data)

    assert transcript.audio is not None
    assert transcript.audio.model_dump() == {
        "container": "flac",
        "codec": "flac",
        "sample_rate_hz": 8_000,
        "channels": 2,
        "duration_ms": 28_607,
        "identical_channels": False,
        "truncated": False,
    }
    assert transcript.real_time_factor == pytest.approx(2 / 28.607)
    assert transcript.engine == listener_of(ScriptedEngine(), settings())
    assert transcript.transcribed_at == SOME_TIME
    assert transcript.language == "zh"
    assert set(transcript.speech) == {"agent", "customer"}
    assert Transcript.decode(transcript.encode()) == transcript


def test_swapped_channel_roles_swap_who_says_what() -> None:
    data = example_calls()["s02_finance_violation"].data
    straight, swapped = heard(data), heard(data, roles=("customer", "agent"))

    other = {"agent": "customer", "customer": "agent"}
    assert [segment.role for segment in swapped.segments] == [other[segment.role] for segment in straight.segments]
    assert swapped.speech["agent"] == straight.speech["customer"]
    assert [segment.text for segment in swapped.segments] == [segment.text for segment in straight.segments]


@pytest.mark.parametrize("agent_channel", [0, 1])
@pytest.mark.parametrize(
    "roles",
    [
        pytest.param(None, id="the_event_does_not_say"),
        pytest.param(("agent",), id="the_event_speaks_of_one_channel"),
        pytest.param(("agent", "customer", "unknown"), id="the_event_speaks_of_three"),
        pytest.param(("unknown", "unknown"), id="the_event_says_that_it_does_not_know"),
    ],
)
def test_who_speaks_is_told_by_what_is_said_where_the_event_does_not_fit_the_file(
    roles: tuple[Role, ...] | None, agent_channel: int
) -> None:
    def text_of(clip: SpeechClip) -> str:
        return "您好，请问有什么可以帮您" if clip.channel == agent_channel else "我想问一下我的订单"

    transcript = heard(example_calls()["s02_finance_violation"].data, ScriptedEngine(text_of), roles=roles)

    assert transcript.roles_inferred
    assert {(segment.channel, segment.role) for segment in transcript.segments} == {
        (agent_channel, "agent"),
        (1 - agent_channel, "customer"),
    }
    assert set(transcript.speech) == {"agent", "customer"}
    assert transcript.sound is not None
    assert transcript.sound.channels[agent_channel].role == "agent"


def test_the_word_of_the_event_counts_more_than_what_is_said() -> None:
    engine = ScriptedEngine(lambda clip: "请问有什么可以帮您" if clip.channel == 1 else "我想问一下")

    transcript = heard(example_calls()["s02_finance_violation"].data, engine, roles=AGENT_FIRST)

    assert not transcript.roles_inferred
    assert transcript.roles_doubtful
    assert {segment.role for segment in transcript.segments if segment.channel == 0} == {"agent"}


@pytest.mark.parametrize(
    ("agent", "customer", "roles", "doubtful"),
    [
        pytest.param("请问有什么可以帮您", "我想问一下", AGENT_FIRST, False, id="told_and_said"),
        pytest.param("请问有什么可以帮您", "我想问一下", None, False, id="said"),
        pytest.param("嗯", "嗯", AGENT_FIRST, False, id="told_and_nothing_said_against_it"),
        pytest.param("嗯", "嗯", None, True, id="by_who_spoke_first_alone"),
    ],
)
def test_roles_are_doubtful_where_words_contradict_them_or_only_the_order_of_speaking_tells(
    agent: str, customer: str, roles: tuple[Role, ...] | None, doubtful: bool
) -> None:
    engine = ScriptedEngine(lambda clip: agent if clip.channel == 0 else customer)

    assert heard(example_calls()["s02_finance_violation"].data, engine, roles=roles).roles_doubtful is doubtful


def test_speakers_that_the_event_names_on_one_channel_may_be_doubtful_too() -> None:
    told = tuple(
        SpeakerSegment(
            role="customer" if turn.channel == "agent" else "agent", start_ms=turn.start_ms, end_ms=turn.end_ms
        )
        for turn in MONO.turns
    )
    event = call_with(MONO.data, None)
    event = event.model_copy(update={"audio": event.audio.model_copy(update={"speaker_segments": told})})
    spoken = {turn.start_ms // 2_000: turn.text for turn in MONO.turns}
    engine = ScriptedEngine(lambda clip: spoken.get(clip.start_ms // 2_000, ""))

    assert listen(event, MONO.data, engine, settings(), SOME_TIME, Ticks()).roles_doubtful


def test_roles_stay_unknown_where_only_one_side_speaks_and_says_nothing_that_tells() -> None:
    agent, customer = example_pcm("s02_finance_violation")

    transcript = heard(wav([agent, np.zeros_like(customer)], 8_000), ScriptedEngine(lambda _: "嗯"), roles=None)

    assert {segment.role for segment in transcript.segments} == {"unknown"}
    assert not transcript.roles_inferred


def test_the_speakers_of_a_mono_recording_are_those_that_the_event_names() -> None:
    call = example_calls()["s09_mono_logistics"]
    told = tuple(
        SpeakerSegment(
            role="agent" if turn.channel == "agent" else "customer", start_ms=turn.start_ms, end_ms=turn.end_ms
        )
        for turn in call.turns
    )
    event = call_with(call.data, None)
    event = event.model_copy(update={"audio": event.audio.model_copy(update={"speaker_segments": told})})

    transcript = listen(event, call.data, ScriptedEngine(), settings(), SOME_TIME, Ticks())

    assert [(segment.channel, segment.role) for segment in transcript.segments] == [
        (0, turn.channel) for turn in call.turns
    ]
    assert set(transcript.speech) == {"agent", "customer"}
    assert not transcript.roles_inferred
    assert transcript.sound is not None
    assert transcript.sound.channels[0].role == "unknown"


MONO = example_calls()["s09_mono_logistics"]
VOICES = [(0 if turn.channel == "agent" else 1, turn.start_ms, turn.end_ms) for turn in MONO.turns]


def said(clip: SpeechClip) -> str:
    """What was said in a clip of the mono call."""
    return max(MONO.turns, key=lambda turn: min(turn.end_ms, clip.end_ms) - max(turn.start_ms, clip.start_ms)).text


@pytest.mark.parametrize("swapped", [False, True], ids=["agent_is_0", "agent_is_1"])
def test_voices_that_are_told_apart_get_their_roles_by_what_they_say(swapped: bool) -> None:
    separation = ScriptedSeparation([(1 - voice if swapped else voice, start, end) for voice, start, end in VOICES])

    transcript = heard(MONO.data, ScriptedEngine(said), None, replace(settings(), separation=separation))

    assert [(segment.channel, segment.role) for segment in transcript.segments] == [
        (0, turn.channel) for turn in MONO.turns
    ]
    assert transcript.roles_inferred
    assert set(transcript.speech) == {"agent", "customer"}
    assert transcript.engine.settings["speakers"] == "scripted 1"
    assert transcript.sound is not None
    assert transcript.sound.channels[0].role == "unknown"


def test_voices_that_say_nothing_of_their_roles_stay_unknown_whoever_speaks_first() -> None:
    how = replace(settings(), separation=ScriptedSeparation(VOICES))

    transcript = heard(MONO.data, ScriptedEngine(lambda _: "嗯"), None, how)

    assert {segment.role for segment in transcript.segments} == {"unknown"}
    assert not transcript.roles_inferred


def test_what_no_voice_says_stays_unknown_beside_the_roles_of_the_two() -> None:
    how = replace(settings(), separation=ScriptedSeparation(VOICES[:-1]))

    transcript = heard(MONO.data, ScriptedEngine(said), None, how)

    roles: list[str] = [turn.channel for turn in MONO.turns[:-1]]
    assert [segment.role for segment in transcript.segments] == [*roles, "unknown"]
    assert transcript.roles_inferred
    assert set(transcript.speech) == {"agent", "customer", "unknown"}


@pytest.mark.parametrize(
    ("data", "roles", "told"),
    [
        pytest.param(MONO.data, None, True, id="the_event_names_who_speaks_when"),
        pytest.param(example_calls()["s02_finance_violation"].data, AGENT_FIRST, False, id="two_channels"),
        pytest.param(wav([np.zeros(80_000, dtype=np.int16)], 8_000), None, False, id="nobody_speaks"),
    ],
)
def test_voices_are_not_told_apart_where_there_is_no_need(
    data: bytes, roles: tuple[Role, ...] | None, told: bool
) -> None:
    separation = ScriptedSeparation(VOICES)
    event = call_with(data, roles)
    if told:
        segments = (SpeakerSegment(role="agent", start_ms=0, end_ms=60_000),)
        event = event.model_copy(update={"audio": event.audio.model_copy(update={"speaker_segments": segments})})

    listen(event, data, ScriptedEngine(), replace(settings(), separation=separation), SOME_TIME, Ticks())

    assert separation.asked == 0


def test_the_same_sound_on_both_channels_is_told_apart_like_mono() -> None:
    (pcm,) = example_pcm(MONO.call_id)
    how = replace(settings(), separation=ScriptedSeparation(VOICES))

    transcript = heard(wav([pcm, pcm], 8_000), ScriptedEngine(said), AGENT_FIRST, how)

    assert [segment.role for segment in transcript.segments] == [turn.channel for turn in MONO.turns]


def test_the_pace_of_a_channel_with_both_speakers_is_nobodys() -> None:
    mono, stereo = heard(MONO.data, roles=None).sound, heard(example_calls()["s02_finance_violation"].data).sound

    assert mono is not None
    assert stereo is not None
    assert [channel.characters_per_minute for channel in mono.channels] == [None]
    assert all(channel.characters_per_minute for channel in stereo.channels)


@pytest.mark.parametrize("roles", [None, ("agent",), AGENT_FIRST], ids=["none", "one", "two"])
def test_a_mono_recording_has_one_channel_of_unknown_role(roles: tuple[Role, ...] | None) -> None:
    """Both speakers are on it, whatever the event says: their words must not all become the agent's."""
    call = example_calls()["s09_mono_logistics"]

    transcript = heard(call.data, roles=roles)

    assert [(segment.channel, segment.role) for segment in transcript.segments] == [(0, "unknown")] * len(call.turns)


def test_the_same_sound_on_both_channels_is_heard_as_mono() -> None:
    (pcm,) = example_pcm("s09_mono_logistics")
    engine = ScriptedEngine()

    transcript = heard(wav([pcm, pcm], 8_000), engine)

    assert transcript.audio is not None
    assert transcript.audio.identical_channels
    assert transcript.audio.channels == 2
    assert {clip.channel for clip in engine.clips} == {0}
    assert {segment.role for segment in transcript.segments} == {"unknown"}


@pytest.mark.parametrize("gate_db", [18, 0], ids=["gate", "no_gate"])
def test_the_gate_keeps_a_leak_from_becoming_a_turn(gate_db: float) -> None:
    agent, customer = example_pcm("s02_finance_violation")
    leak = 10 ** (-28 / 20)
    leaking = [(agent + leak * customer).astype(np.int16), (customer + leak * agent).astype(np.int16)]

    transcript = heard(wav(leaking, 8_000), how=settings(gate_db=gate_db))

    turns = len(example_calls()["s02_finance_violation"].turns)
    assert (len(transcript.segments) == turns) == (gate_db > 0)


SILENCE = np.zeros(8_000 * 12, dtype=np.int16)
NOISE = (np.random.default_rng(11).normal(size=8_000 * 12) * 200).astype(np.int16)


@pytest.mark.parametrize(
    "channels",
    [
        pytest.param([SILENCE], id="digital_silence_mono"),
        pytest.param([SILENCE, SILENCE], id="digital_silence_on_both_channels"),
        pytest.param([NOISE, SILENCE], id="noise_of_the_line"),
        pytest.param([tone(425, 12_000, 8_000)], id="dialling_tone"),
    ],
)
def test_where_nobody_speaks_there_are_no_words(
    channels: list[np.ndarray[tuple[int], np.dtype[np.int16]]], engine: SpeechEngine
) -> None:
    transcript = heard(wav(channels, 8_000), engine)

    assert (transcript.outcome, transcript.segments, transcript.rejected) == (None, (), ())
    assert transcript.language is None
    assert transcript.speech == dict.fromkeys(AGENT_FIRST if len(channels) == 2 else ("unknown",), ())


SECOND = tone(440, 1_000, 8_000)


@pytest.mark.parametrize(
    ("data", "outcome", "reason"),
    [
        pytest.param(b"not a recording" * 50, "bad_audio", "undecodable", id="undecodable"),
        pytest.param(wav_header(0), "no_audio", "empty_recording", id="header_of_44_bytes_only"),
        pytest.param(b"", "no_audio", "empty_recording", id="no_bytes"),
        pytest.param(encoded([SECOND] * 6, 8_000, layout="5.1"), "unsupported", "too_many_channels", id="six_channels"),
        pytest.param(wav([np.tile(SECOND, 3)], 8_000), "too_short", "shorter_than_minimum", id="three_second_misdial"),
        pytest.param(wav([np.tile(SECOND, 61)], 8_000), "unsupported", "too_long", id="longer_than_allowed"),
    ],
)
def test_a_recording_that_cannot_be_heard_has_an_outcome_and_is_not_recognised(
    data: bytes, outcome: Outcome, reason: str
) -> None:
    engine = ScriptedEngine()

    transcript = heard(data, engine, how=settings(max_call_ms=60_000))

    assert (transcript.outcome, transcript.outcome_reason) == (outcome, reason)
    assert engine.clips == []
    assert transcript.engine == listener_of(engine, settings(max_call_ms=60_000))
    assert Transcript.decode(transcript.encode()) == transcript


@pytest.mark.parametrize(
    ("duration_ms", "outcome"),
    [pytest.param(4_999, "too_short", id="just_under"), pytest.param(5_000, None, id="exactly_the_minimum")],
)
def test_too_short_is_judged_by_the_samples_of_the_file(duration_ms: int, outcome: Outcome | None) -> None:
    assert heard(wav([tone(440, duration_ms, 8_000)], 8_000)).outcome == outcome


def test_a_call_that_was_never_fetched_keeps_its_reason() -> None:
    call = call_with(b"")

    transcript = unheard_transcript(call, "no_audio", "object_missing", ScriptedEngine().identity, SOME_TIME)

    assert (transcript.call, transcript.outcome, transcript.outcome_reason) == (call, "no_audio", "object_missing")
    assert transcript.audio is None


def test_text_that_was_invented_is_kept_apart_with_its_reason_and_in_the_script_wanted() -> None:
    call = example_calls()["s02_finance_violation"]

    def text_of(clip: SpeechClip) -> str:
        return "請不吝點贊訂閱" if clip.start_ms < 1_000 else "您好"

    transcript = heard(call.data, ScriptedEngine(text_of))

    assert [(piece.role, piece.text, piece.reason) for piece in transcript.rejected] == [
        ("agent", "请不吝点赞订阅", "known_phantom")
    ]
    assert len(transcript.segments) == len(call.turns) - 1
    assert [segment.segment_id for segment in transcript.segments] == list(range(len(transcript.segments)))


@pytest.mark.parametrize(
    ("script", "text"),
    [("simplified", "这款产品"), ("traditional", "這款產品"), ("as_heard", "这款產品")],
)
def test_the_transcript_is_in_the_script_wanted(script: ChineseScript, text: str) -> None:
    engine = ScriptedEngine(lambda _clip: "这款產品")

    transcript = heard(example_calls()["s09_mono_logistics"].data, engine, how=settings(script=script))

    assert {segment.text for segment in transcript.segments} == {text}
    assert {"".join(word.text for word in segment.words) for segment in transcript.segments} == {text}


def test_what_nobody_says_hides_nothing_from_masking() -> None:
    engine = ScriptedEngine(lambda _clip: "\u200b".join("手机号是13800138000") + "\x1b")

    transcript = heard(example_calls()["s09_mono_logistics"].data, engine)

    assert {segment.text for segment in transcript.segments} == {"手机号是[手机号]"}
    assert {"".join(word.text for word in segment.words) for segment in transcript.segments} == {"手机号是[手机号]"}
    assert all(word.text for segment in transcript.segments for word in segment.words)


MISHEARD = "我叫孟瑶，这个号的优惠圈怎么领"


@pytest.mark.parametrize(
    ("how", "hint", "text", "heard_text"),
    [
        pytest.param({}, "zh", "我叫[姓名]，这个号的优惠券怎么领", "我叫[姓名]，这个号的优惠圈怎么领", id="Mandarin"),
        pytest.param({"spelling": None}, "zh", "我叫[姓名]，这个号的优惠圈怎么领", None, id="switched off"),
        pytest.param({}, "en", "我叫[姓名]，这个号的优惠圈怎么领", None, id="another language"),
        pytest.param(
            {"chinese_script": "traditional"}, "zh", "我叫[姓名]，這個號的優惠圈怎麼領", None, id="another script"
        ),
    ],
)
def test_characters_of_the_same_sound_are_put_right_and_what_was_heard_stays_beside_them(
    how: dict[str, Any], hint: str, text: str, heard_text: str | None
) -> None:
    respelling = replace(settings(), **{"spelling": load_spelling()} | how)
    engine = ScriptedEngine(lambda _: MISHEARD)
    transcript = heard(example_calls()["s02_finance_violation"].data, engine, how=respelling, language_hint=hint)
    for segment in transcript.segments:
        assert (segment.text, segment.heard_text) == (text, heard_text)
        assert "".join(word.text for word in segment.words) == segment.text
    for span in transcript.pii:
        assert transcript.segments[span.segment_id].text[span.start_char : span.end_char] == "[姓名]"
    assert len(transcript.pii) == len(transcript.segments) > 0


def test_what_puts_characters_right_stands_in_the_identity_of_the_engine() -> None:
    spelling = load_spelling()
    on, off = (listener_of(ScriptedEngine(), replace(settings(), spelling=one)) for one in (spelling, None))
    assert (on.settings["respelling"], off.settings["respelling"]) == (spelling.version, "off")
    assert not on.hears_like(off)


def test_a_bug_in_an_engine_is_not_hidden_as_an_outcome() -> None:
    def broken(_clip: SpeechClip) -> str:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        heard(example_calls()["s09_mono_logistics"].data, ScriptedEngine(broken))


@pytest.mark.model
@pytest.mark.parametrize(
    ("codec", "container", "sample_rate_hz"),
    [
        pytest.param("pcm_s16le", "wav", 32_000, id="wav_32_kHz"),
        pytest.param("pcm_mulaw", "wav", 8_000, id="mu_law"),
        pytest.param("pcm_alaw", "wav", 8_000, id="a_law"),
        pytest.param("libmp3lame", "mp3", 16_000, id="mp3"),
        pytest.param("libopus", "ogg", 48_000, id="opus"),
        pytest.param("flac", "flac", 44_100, id="flac_44_kHz"),
    ],
)
def test_every_format_is_understood(
    codec: str, container: str, sample_rate_hz: int, whisper: FasterWhisperEngine
) -> None:
    at_16_khz = [channel.samples(0, 13_000) for channel in decoded("s02_finance_violation").channels]
    time_s = np.arange(13 * sample_rate_hz) / sample_rate_hz
    channels = [
        (np.interp(time_s, np.arange(len(samples)) / 16_000, samples) * 32767).astype(np.int16) for samples in at_16_khz
    ]

    transcript = heard(encoded(channels, sample_rate_hz, codec, container), whisper)

    assert transcript.audio is not None
    assert transcript.audio.sample_rate_hz == sample_rate_hz
    assert [segment.role for segment in transcript.segments] == ["agent", "customer", "agent"]
    assert "理财顾问" in transcript.segments[0].text
    assert "绝对不会亏损" in transcript.segments[2].text


@pytest.mark.model
@pytest.mark.parametrize("hint", [None, "xx"], ids=["no_hint", "unknown_hint"])
def test_the_language_of_a_call_is_detected(hint: str | None, whisper: FasterWhisperEngine) -> None:
    transcript = heard(example_calls()["s09_mono_logistics"].data, whisper, roles=None, language_hint=hint)

    assert transcript.language == "zh"
    assert transcript.language_confidence is not None
    assert transcript.language_confidence > 0.8
    # Not 快递: which character of its sound is written differs between processors.
    assert "有什么可以帮您" in "".join(segment.text for segment in transcript.segments)


@pytest.mark.long
@pytest.mark.processes
@pytest.mark.model
def test_a_call_of_two_hours_is_heard_in_bounded_memory(tmp_path: Path, whisper_cache: Path) -> None:
    """In a process of its own, whose peak is the recording, the model and everything beside them."""
    file = tmp_path / "two_hours.wav"
    spoken = np.stack(example_pcm("s02_finance_violation"), axis=1).astype("<i2").tobytes()
    seconds = 2 * 60 * 60
    with file.open("wb") as target:
        target.write(wav_header(seconds * 8_000 * 4, channels=2))
        target.write(spoken)
        target.seek(44 + (seconds * 8_000 * 4) - len(spoken))
        target.write(spoken)

    done = subprocess.run(
        [sys.executable, "-c", _TWO_HOURS, str(file), str(whisper_cache)],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )

    found = json.loads(done.stdout)
    turns = len(example_calls()["s02_finance_violation"].turns)
    assert found["duration_ms"] == seconds * 1_000
    assert len(found["starts_ms"]) == 2 * turns
    assert found["starts_ms"][turns] > (seconds - 30) * 1_000
    assert found["texts"][turns - 1] == found["texts"][-1] != ""
    assert found["peak_mb"] < MEMORY_LIMIT_MB


_TWO_HOURS = """
import json, re, sys
from pathlib import Path
from processors.listening.engines.faster_whisper import FasterWhisperEngine
from processors.listening.pipeline import ListenSettings, listen
from tests.processors.recordings import SOME_TIME, call_with

engine = FasterWhisperEngine(
    model="packaged", cache_dir=Path(sys.argv[2]), device="cpu", compute_type="int8", threads=1,
    beam_size=5, batch_size=8,
)
data = Path(sys.argv[1]).read_bytes()
how = ListenSettings(min_call_ms=5_000, max_call_ms=8_000_000, crosstalk_gate_db=18, chinese_script="simplified")
transcript = listen(call_with(data), data, engine, how, SOME_TIME, iter(range(9)).__next__)
print(json.dumps({
    "duration_ms": transcript.audio.duration_ms,
    "starts_ms": [segment.start_ms for segment in transcript.segments],
    "texts": [segment.text for segment in transcript.segments],
    # Not ru_maxrss, which a process inherits from the one that started it.
    "peak_mb": int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024,
}))
"""


def test_a_recording_that_is_too_short_is_heard_where_somebody_asks_and_stays_too_short() -> None:
    data = example_calls()["s08_misdial"].data

    transcript = heard(data, how=replace(settings(), hear_too_short=True))

    assert (transcript.outcome, transcript.outcome_reason) == ("too_short", "shorter_than_minimum")
    assert [segment.role for segment in transcript.segments] == ["agent", "customer"]
    assert Transcript.decode(transcript.encode()) == transcript
