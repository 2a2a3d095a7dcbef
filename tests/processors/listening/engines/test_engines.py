"""The contract of a speech engine, and what the real one understands."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import jiwer
import numpy as np
import pytest
from pydantic import SecretStr

from benchmarks.character_errors import read_aloud
from benchmarks.listening_accuracy import overlaps_of
from processors.listening.engine_port import (
    ENCODER_FRAMES_PER_SECOND,
    EncoderStates,
    PooledStates,
    SpeechClip,
    SpeechEngine,
)
from processors.listening.engines.faster_whisper import FasterWhisperEngine, WhisperSettings
from processors.listening.engines.sherpa_onnx import SherpaSettings
from processors.listening.engines.stand_in import DIALOGUES, StandInEngine, StandInSettings, choice_of
from processors.listening.engines.weights import WeightsError, find_weights
from processors.listening.pipeline import ListenSettings, listen
from processors.listening.role_inference import infer_roles
from schemas.messages.transcript import Transcript
from streams.adapters.speech.openai_api import OpenAiApiSettings
from streams.settings import engines
from tests.processors.listening.engines import tiny_sense_voice
from tests.processors.listening.scripted_engine import ScriptedEngine
from tests.processors.recordings import SOME_TIME, call_with, decoded, example_calls
from tests.support import speech_service
from tests.support.receiver import Receiver, running_receiver

SETTINGS = ListenSettings(min_call_ms=5_000, max_call_ms=3_600_000, crosstalk_gate_db=18, chinese_script="simplified")


def clips_of(call_id: str, count: int) -> list[SpeechClip]:
    call = example_calls()[call_id]
    channels = decoded(call_id).channels
    return [
        SpeechClip(index, turn.start_ms, turn.end_ms, channels[index])
        for turn in call.turns[:count]
        for index in (("agent", "customer").index(turn.channel),)
    ]


class EngineContract:
    """What every engine promises; a subclass says its kind and gives the fixture `engine`."""

    kind: ClassVar[str]

    def test_there_is_one_result_for_each_clip_in_the_same_order(self, engine: SpeechEngine) -> None:
        clips = clips_of("s02_finance_violation", 5)

        speech = engine.recognize(clips, language_hint="zh").speech

        assert [(each.channel, each.start_ms, each.end_ms) for each in speech] == [
            (clip.channel, clip.start_ms, clip.end_ms) for clip in clips
        ]

    def test_the_words_are_the_text_and_lie_in_the_clip_in_order(self, engine: SpeechEngine) -> None:
        for each in engine.recognize(clips_of("s01_ecommerce_calm", 4), language_hint="zh").speech:
            assert each.text
            assert each.text == each.text.strip() == "".join(word.text for word in each.words)
            assert all(each.start_ms <= word.start_ms <= word.end_ms <= each.end_ms for word in each.words)
            assert all(first.start_ms <= second.start_ms for first, second in pairwise(each.words))
            assert all(0 <= word.confidence <= 1 for word in each.words)
            assert 0 <= each.confidence <= 1
            assert 0 <= each.no_speech_probability <= 1

    def test_the_same_clips_give_the_same_words(self, engine: SpeechEngine) -> None:
        clips = clips_of("s02_finance_violation", 2)

        assert engine.recognize(clips, language_hint="zh") == engine.recognize(clips, language_hint="zh")

    def test_a_pool_changes_no_word(self, engine: SpeechEngine) -> None:
        clips = clips_of("s02_finance_violation", 2)

        plain = engine.recognize(clips, language_hint="zh")

        assert plain == engine.recognize(clips, language_hint="zh", pool=lambda _clip, states: states.mean(axis=0))
        assert [each.pooled_states for each in plain.speech] == [None, None]

    def test_no_clips_are_no_call(self, engine: SpeechEngine) -> None:
        with pytest.raises(ValueError, match="no clips"):
            engine.recognize([], language_hint="zh")


class HearingContract(EngineContract):
    """What an engine promises that understands Chinese, knows more than one language and shows its encoder's states."""

    @pytest.mark.parametrize("hint", [None, "xx", "klingon", "nospeech"])
    def test_without_a_hint_that_it_knows_the_language_is_detected(
        self, engine: SpeechEngine, hint: str | None
    ) -> None:
        recognition = engine.recognize(clips_of("s02_finance_violation", 2), language_hint=hint)

        assert recognition.language == "zh"
        assert recognition.language_confidence > 0.8

    @pytest.mark.parametrize("hint", ["zh", "zh-CN", "zh-Hans-CN"])
    def test_a_region_does_not_hide_the_language(self, engine: SpeechEngine, hint: str) -> None:
        assert engine.recognize(clips_of("s02_finance_violation", 2), language_hint=hint).language == "zh"

    def test_a_hint_that_it_knows_is_taken(self, engine: SpeechEngine) -> None:
        assert engine.recognize(clips_of("s02_finance_violation", 1), language_hint="en").language == "en"

    def test_a_pool_gets_the_states_of_each_clip_once_and_its_vector_comes_back(self, engine: SpeechEngine) -> None:
        clips = clips_of("s02_finance_violation", 5)
        frames: dict[int, int] = {}

        def pool(clip: SpeechClip, states: EncoderStates) -> PooledStates:
            assert clip.start_ms not in frames
            frames[clip.start_ms] = len(states)
            assert np.isfinite(states).all()
            assert states.std() > 0
            return np.array([clip.start_ms, clip.end_ms], dtype=np.float32)

        speech = engine.recognize(clips, language_hint="zh", pool=pool).speech

        for clip, each in zip(clips, speech, strict=True):
            assert each.pooled_states is not None
            assert each.pooled_states.tolist() == [clip.start_ms, clip.end_ms]
            expected = (clip.end_ms - clip.start_ms) / 1000 * ENCODER_FRAMES_PER_SECOND
            assert frames[clip.start_ms] == pytest.approx(expected, abs=1)


class TestScriptedEngine(HearingContract):
    kind = "scripted"

    @pytest.fixture
    def engine(self) -> SpeechEngine:
        return ScriptedEngine()


@pytest.mark.model
class TestFasterWhisper(HearingContract):
    kind = WhisperSettings.kind

    @pytest.fixture
    def engine(self, whisper: FasterWhisperEngine) -> SpeechEngine:
        return whisper


class TestSherpaOnnx(EngineContract):
    """By a model of a few characters: what it writes means nothing, and has its place and its order all the same."""

    kind = SherpaSettings.kind

    @pytest.fixture
    def engine(self, tmp_path: Path) -> SpeechEngine:
        tiny_sense_voice.write(tmp_path)
        return SherpaSettings(sherpa_model=tmp_path).build(cache_dir=tmp_path)


class TestStandIn(EngineContract):
    """Which hears nothing, and takes the time that it is told to."""

    kind = StandInSettings.kind

    @pytest.fixture
    def engine(self, tmp_path: Path) -> SpeechEngine:
        return StandInSettings(stand_in_ear=True, stand_in_call_s=0).build(cache_dir=tmp_path)

    def test_it_is_not_built_by_its_name_alone(self, tmp_path: Path) -> None:
        with pytest.raises(WeightsError, match="needs stand_in_ear, because what it writes is made up"):
            StandInSettings().build(cache_dir=tmp_path)

    def test_the_time_it_takes_is_told_for_the_call_and_for_its_speech(self) -> None:
        slept: list[float] = []
        clips = clips_of("s02_finance_violation", 3)
        speech_s = sum(clip.end_ms - clip.start_ms for clip in clips) / 1000

        StandInEngine(2.0, 0.5, slept.append).recognize(clips, language_hint=None)

        assert slept == [pytest.approx(2.0 + speech_s / 2)]

    def test_other_sound_is_another_dialogue_until_all_have_been_heard(self) -> None:
        clips = clips_of("s01_ecommerce_calm", 10)

        chosen = {choice_of(clips[start:end]) for start in range(10) for end in range(start + 1, 11)}

        assert chosen == set(range(len(DIALOGUES)))


@pytest.mark.loopback
class TestOpenAiApi(EngineContract):
    """By a service on loopback that says the same in every turn."""

    kind = OpenAiApiSettings.kind

    @pytest.fixture
    def engine(self, tmp_path: Path) -> Iterator[SpeechEngine]:
        with running_receiver() as service:
            service.choose = speech_service.answering(speech_service.scripted)
            yield api_settings(service).build(cache_dir=tmp_path)


@pytest.fixture(scope="module")
def hearing_service(whisper_cache: Path) -> Iterator[Receiver]:
    """A service with the packaged weights of Whisper base."""
    from faster_whisper import WhisperModel  # type: ignore[import-untyped] # ships without types

    folder = find_weights("packaged", whisper_cache).folder
    model = WhisperModel(str(folder), device="cpu", compute_type="int8", cpu_threads=1)
    with running_receiver() as service:
        service.choose = speech_service.answering(speech_service.whisper(model))
        yield service


@pytest.mark.loopback
@pytest.mark.model
class TestOpenAiApiWithWhisper(EngineContract):
    """By a service that hears."""

    kind = OpenAiApiSettings.kind

    @pytest.fixture
    def engine(self, hearing_service: Receiver, tmp_path: Path) -> SpeechEngine:
        return api_settings(hearing_service).build(cache_dir=tmp_path)

    @pytest.mark.parametrize("hint", [None, "klingon", "zh-Hans-CN"])
    def test_it_hears_what_was_said_and_in_which_language(self, engine: SpeechEngine, hint: str | None) -> None:
        recognition = engine.recognize(clips_of("s02_finance_violation", 3), language_hint=hint)

        assert recognition.language == "zh"
        assert recognition.language_confidence > 0.8
        said = [read_aloud(turn.text) for turn in example_calls()["s02_finance_violation"].turns[:3]]
        assert jiwer.cer(said, [read_aloud(each.text) for each in recognition.speech]) < 0.3


def api_settings(service: Receiver) -> OpenAiApiSettings:
    return OpenAiApiSettings(
        speech_api_url=service.url("/v1"),
        speech_api_model=speech_service.MODEL,
        speech_api_key=SecretStr(speech_service.KEY),
    )


def test_every_engine_that_there_is_passes_the_contract() -> None:
    contracts = [*EngineContract.__subclasses__(), *HearingContract.__subclasses__()]
    under_contract = {contract.kind for contract in contracts if contract is not HearingContract}
    assert set(engines()) - under_contract == set(), "add a subclass of EngineContract to this file"


@pytest.fixture(scope="module")
def transcripts(whisper: FasterWhisperEngine) -> dict[str, Transcript]:
    """Every example call, heard by the packaged model."""
    return {
        call_id: listen(
            call_with(call.data, call.roles), call.data, whisper, SETTINGS, SOME_TIME, iter(range(9)).__next__
        )
        for call_id, call in example_calls().items()
    }


@pytest.mark.model
class TestWhisperBase:
    """What the packaged model understands of the example calls."""

    @staticmethod
    def text(transcript: Transcript, role: str | None = None) -> str:
        return "".join(segment.text for segment in transcript.segments if role in (None, segment.role))

    def test_at_most_ten_of_a_hundred_characters_are_wrong(self, transcripts: dict[str, Transcript]) -> None:
        said, understood = [], []
        for call_id, call in example_calls().items():
            if transcripts[call_id].outcome is not None:
                continue
            for speaker in (None,) if call.is_mono else ("agent", "customer"):
                said.append(read_aloud("".join(turn.text for turn in call.turns_of(speaker))))
                understood.append(read_aloud(self.text(transcripts[call_id], speaker)))

        assert sum(map(len, said)) > 1_200
        assert jiwer.cer(said, understood) <= 0.1

    def test_nine_of_ten_turns_are_a_segment_of_the_right_speaker_within_300_ms(
        self, transcripts: dict[str, Transcript]
    ) -> None:
        within = []
        for call_id, call in example_calls().items():
            segments = transcripts[call_id].segments
            for turn in call.turns if segments else ():
                extents = [(s.start_ms, s.end_ms) for s in segments if call.is_mono or s.role == turn.channel]
                error_ms = np.abs(np.array(extents) - (turn.start_ms, turn.end_ms)).max(axis=1).min()
                within.append(error_ms <= 300)

        assert len(within) > 70
        assert np.mean(within) >= 0.9

    def test_swapped_channels_are_told_apart_in_every_call(self, transcripts: dict[str, Transcript]) -> None:
        for call_id, call in example_calls().items():
            if call.is_mono or transcripts[call_id].outcome is not None:
                continue
            texts = [self.text(transcripts[call_id], role) for role in ("agent", "customer")]

            assert infer_roles(texts, None, "inbound") == ("agent", "customer"), call_id
            assert infer_roles(texts[::-1], None, "inbound") == ("customer", "agent"), call_id

    def test_overlaps_are_exactly_the_true_ones_and_begun_by_who_began_them(
        self, transcripts: dict[str, Transcript]
    ) -> None:
        for call_id, call in example_calls().items():
            segments = transcripts[call_id].segments
            if call.is_mono or not segments:
                continue
            found = list(overlaps_of([(each.role, each.start_ms, each.end_ms) for each in segments]))
            true = list(overlaps_of([(turn.channel, turn.start_ms, turn.end_ms) for turn in call.turns]))
            assert [who for _, _, who in found] == [who for _, _, who in true], call_id
            for (start_ms, end_ms, _), (true_start_ms, true_end_ms, _) in zip(found, true, strict=True):
                assert abs(start_ms - true_start_ms) <= 300
                assert abs(end_ms - true_end_ms) <= 300

    def test_a_promise_is_heard_and_so_is_its_denial(self, transcripts: dict[str, Transcript]) -> None:
        # 保本 itself is 保本, 薄本 or 宝本, as the vector instructions of the processor let the weights be rounded.
        assert "绝对不会亏损" in self.text(transcripts["s02_finance_violation"], "agent")
        assert "不承诺保本" in self.text(transcripts["s03_finance_compliant"], "agent")

    def test_every_transcript_is_in_simplified_characters(self, transcripts: dict[str, Transcript]) -> None:
        text = "".join(map(self.text, transcripts.values()))

        assert not set(text) & set("這個們來說時後請問謝錄產險幫對嗎貨單為點還沒")
        assert len(text) > 1_000

    def test_a_misdial_is_too_short(self, transcripts: dict[str, Transcript]) -> None:
        misdial = transcripts["s08_misdial"]

        assert (misdial.outcome, misdial.outcome_reason) == ("too_short", "shorter_than_minimum")
        assert misdial.audio is not None
        assert 2_900 <= misdial.audio.duration_ms <= 3_000

    def test_nothing_that_was_said_is_rejected(self, transcripts: dict[str, Transcript]) -> None:
        assert [piece.reason for transcript in transcripts.values() for piece in transcript.rejected] == []

    def test_the_identity_names_the_weights_and_what_changes_the_output(self, whisper: FasterWhisperEngine) -> None:
        identity = whisper.identity

        assert (identity.name, identity.model) == ("faster-whisper", "whisper-base@d01c3014881c")
        assert identity.settings["beam_size"] == 5
        assert identity.settings["compute_type"] == "int8"

    def test_hot_words_reach_the_recogniser(self, whisper: FasterWhisperEngine, whisper_cache: Path) -> None:
        told = FasterWhisperEngine(
            model="packaged",
            cache_dir=whisper_cache,
            device="cpu",
            compute_type="int8",
            threads=1,
            beam_size=5,
            batch_size=8,
            hot_words="保本保息",
        )
        (_, _, promise) = clips_of("s02_finance_violation", 3)

        texts = [engine.recognize([promise], language_hint="zh").speech[0].text for engine in (whisper, told)]

        assert ["保本保息" in text for text in texts] == [False, True]
