"""Emotion in a transcript: what is judged by what, why it is missing, and that masked words alone are read."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from processors.emotion.heads import load_heads
from processors.emotion.reading import HeadReading
from processors.emotion.segments import EmotionModel, LinearSound
from processors.listening.engine_port import Recognition, SpeechClip, SpeechEngine, StatesPool
from processors.listening.engines.faster_whisper import FasterWhisperEngine
from processors.listening.pipeline import ListenSettings, listen, listener_of
from schemas.messages.call_ended import SpeakerSegment
from schemas.messages.emotion import SegmentEmotion
from schemas.messages.transcript import EngineIdentity, Transcript
from tests.processors.listening.scripted_engine import ScriptedEngine
from tests.processors.recordings import SOME_TIME, call_with, example_calls

SETTINGS = ListenSettings(
    min_call_ms=5_000, max_call_ms=600_000, crosstalk_gate_db=18, chinese_script="simplified", hear_too_short=True
)
CALM_CALLS = [
    "s01_ecommerce_calm",
    "s02_finance_violation",
    "s03_finance_compliant",
    "s06_education_refund_rule",
    "s07_finance_pii",
    "s10_backchannels",
]


class EngineWithoutStates:
    """A recogniser that shows no states, as sherpa-onnx."""

    def __init__(self) -> None:
        self._engine = ScriptedEngine()

    @property
    def identity(self) -> EngineIdentity:
        return self._engine.identity

    def recognize(
        self, clips: Sequence[SpeechClip], *, language_hint: str | None, pool: StatesPool | None = None
    ) -> Recognition:
        del pool
        return self._engine.recognize(clips, language_hint=language_hint)


class WordsNotebook:
    """A `TextJudge` that writes down what it is given."""

    identity = "notebook"

    def __init__(self) -> None:
        self.texts: list[str] = []

    def read(self, text: str) -> HeadReading | None:
        self.texts.append(text)
        return None


def shipped(engine: SpeechEngine) -> EmotionModel:
    return EmotionModel.of_heads(load_heads(), engine.identity.model)


def heard(
    call_id: str, engine: SpeechEngine, model: Callable[[SpeechEngine], EmotionModel] | None = shipped
) -> Transcript:
    call = example_calls()[call_id]
    emotion = model(engine) if model else None
    event = call_with(call.data, call.roles)
    return listen(event, call.data, engine, SETTINGS, SOME_TIME, iter(range(9)).__next__, emotion)


def emotions(transcript: Transcript, role: str | None = None) -> list[SegmentEmotion]:
    return [each.emotion for each in transcript.segments if each.emotion and role in (None, each.role)]


def test_every_segment_has_an_emotion_by_sound_and_words() -> None:
    transcript = heard("s02_finance_violation", ScriptedEngine(lambda _clip: "好的谢谢您"))

    assert [each.source for each in emotions(transcript)] == ["fused"] * len(transcript.segments)
    assert Transcript.decode(transcript.encode()) == transcript


def test_switched_off_every_segment_says_so_and_no_state_is_pooled() -> None:
    class NoPool(ScriptedEngine):
        def recognize(
            self, clips: Sequence[SpeechClip], *, language_hint: str | None, pool: StatesPool | None = None
        ) -> Recognition:
            assert pool is None
            return super().recognize(clips, language_hint=language_hint)

    transcript = heard("s02_finance_violation", NoPool(), model=None)

    assert {each.emotion_gap for each in transcript.segments} == {"switched_off"}
    assert transcript.engine.settings["emotion"] == "switched_off"


def test_an_engine_that_shows_no_states_is_judged_by_prosody_and_words() -> None:
    def knows_the_engine(engine: SpeechEngine) -> EmotionModel:
        heads = load_heads()
        return EmotionModel.of_heads(
            replace(heads, states=replace(heads.states, encoder=engine.identity.model)), engine.identity.model
        )

    transcript = heard("s02_finance_violation", EngineWithoutStates(), knows_the_engine)

    assert [each.source for each in emotions(transcript)] == ["fused"] * len(transcript.segments)
    assert emotions(transcript) == emotions(heard("s02_finance_violation", ScriptedEngine()))


def test_only_masked_words_are_read() -> None:
    words = WordsNotebook()
    heads = load_heads()

    transcript = heard(
        "s02_finance_violation",
        ScriptedEngine(lambda _clip: "我的手机号是幺三八零零幺三八零零零"),
        lambda _engine: EmotionModel(LinearSound(heads, None), words, heads.fusion),
    )

    assert words.texts == [segment.text for segment in transcript.segments]
    assert "[手机号]" in words.texts[0]
    assert "八零零" not in "".join(words.texts)


def test_each_side_is_measured_against_itself() -> None:
    call = example_calls()["s04_ecommerce_angry_interrupts"]
    engine = ScriptedEngine()

    both = heard("s04_ecommerce_angry_interrupts", engine)
    judged_alone = listen(
        call_with(call.data, ("customer", "agent")),
        call.data,
        engine,
        SETTINGS,
        SOME_TIME,
        iter(range(9)).__next__,
        shipped(engine),
    )

    # Who is called what changes nothing: a voice is compared with the voice on its own channel.
    assert emotions(judged_alone, "customer") == emotions(both, "agent")
    assert emotions(both, "agent")[1:] != emotions(both, "customer")[1:]


def test_a_segment_of_a_few_milliseconds_stops_nobody() -> None:
    call = example_calls()["s09_mono_logistics"]
    told = (
        SpeakerSegment(role="agent", start_ms=4_000, end_ms=5_000),
        SpeakerSegment(role="customer", start_ms=5_000, end_ms=5_012),
        SpeakerSegment(role="agent", start_ms=5_012, end_ms=7_000),
    )
    event = call_with(call.data, None)
    event = event.model_copy(update={"audio": event.audio.model_copy(update={"speaker_segments": told})})
    engine = ScriptedEngine(lambda _clip: "嗯")

    transcript = listen(event, call.data, engine, SETTINGS, SOME_TIME, iter(range(9)).__next__, shipped(engine))

    gaps = {segment.emotion_gap for segment in transcript.segments if segment.end_ms - segment.start_ms < 250}
    assert gaps == {"too_short"}


def test_a_transcript_by_other_heads_is_another_listeners() -> None:
    engine = ScriptedEngine()
    heads = load_heads()
    other = replace(heads, fusion=replace(heads.fusion, base_rate=0.3))
    listeners = [
        listener_of(engine, SETTINGS, emotion)
        for emotion in (shipped(engine), shipped(engine), EmotionModel.of_heads(other, "script"), None)
    ]

    assert listeners[0] == listeners[1]
    assert len({str(each.settings) for each in listeners}) == 3


@pytest.fixture(scope="module")
def transcripts(whisper: FasterWhisperEngine) -> dict[str, Transcript]:
    """Every example call, heard by the packaged model and judged by the shipped heads."""
    return {call_id: heard(call_id, whisper) for call_id in example_calls()}


@pytest.mark.model
@pytest.mark.long
class TestTheExampleCalls:
    """What the shipped heads say of synthetic calls, of which one has an angry customer."""

    def test_the_angry_customer_is_the_most_agitated_of_all(self, transcripts: dict[str, Transcript]) -> None:
        highest = {
            call_id: max((each.agitated for each in emotions(transcript, "customer")), default=0.0)
            for call_id, transcript in transcripts.items()
        }
        angry = highest.pop("s04_ecommerce_angry_interrupts")

        assert angry > 0.5
        assert angry > max(highest.values()) + 0.1

    @pytest.mark.parametrize("call_id", CALM_CALLS)
    def test_nobody_is_agitated_in_a_calm_call(self, transcripts: dict[str, Transcript], call_id: str) -> None:
        said = emotions(transcripts[call_id])

        assert len(said) == len(transcripts[call_id].segments)
        assert [round(each.agitated, 2) for each in said if each.agitated > 0.5] == []

    def test_encoder_states_are_looked_at(
        self, whisper: FasterWhisperEngine, transcripts: dict[str, Transcript]
    ) -> None:
        call_id = "s02_finance_violation"
        without = heard(call_id, whisper, lambda _engine: EmotionModel.of_heads(load_heads(), "another@1"))

        for with_states, by_prosody in zip(emotions(transcripts[call_id]), emotions(without), strict=True):
            assert with_states.sound_agitated != by_prosody.sound_agitated
