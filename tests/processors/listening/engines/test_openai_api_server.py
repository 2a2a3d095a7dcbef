"""The engine openai-api against faster-whisper-server with Whisper base: a service that others wrote."""

import re
from collections.abc import Iterator
from pathlib import Path

import jiwer
import pytest

from benchmarks.character_errors import read_aloud
from processors.listening.engine_port import SpeechEngine
from processors.listening.engines.faster_whisper import FasterWhisperEngine
from processors.listening.engines.weights import find_weights
from processors.listening.pipeline import ListenSettings, listen
from schemas.messages.transcript import Transcript
from streams.adapters.speech.openai_api import OpenAiApiSettings
from streams.adapters.speech.openai_api.engine import SpeechApiRefusesError
from tests.processors.recordings import SOME_TIME, call_with, example_calls
from tests.support.model_server import ModelServerUnavailableError
from tests.support.whisper_server import MODEL, running_whisper_server

pytestmark = [pytest.mark.loopback, pytest.mark.processes, pytest.mark.model, pytest.mark.speech_server]

SETTINGS = ListenSettings(min_call_ms=5_000, max_call_ms=3_600_000, crosstalk_gate_db=18, chinese_script="simplified")
CALL = "s07_finance_pii"
"""With the numbers of a card and of a telephone."""
MASKED = re.compile(r"\[[^\]]+\]")


@pytest.fixture(scope="module")
def url(whisper_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    weights = find_weights("packaged", whisper_cache).folder
    try:
        with running_whisper_server(weights, tmp_path_factory.mktemp("server")) as running:
            yield running
    except ModelServerUnavailableError as error:
        pytest.skip(str(error))


def heard_by(engine: SpeechEngine) -> Transcript:
    call = example_calls()[CALL]
    return listen(call_with(call.data, call.roles), call.data, engine, SETTINGS, SOME_TIME, iter(range(9)).__next__)


@pytest.fixture(scope="module")
def both(url: str, whisper: FasterWhisperEngine, tmp_path_factory: pytest.TempPathFactory) -> tuple[Transcript, ...]:
    """One call, as the service hears it, and as the engine of this process does."""
    settings = OpenAiApiSettings(speech_api_url=url, speech_api_model=MODEL, speech_api_parallel=1)
    return heard_by(settings.build(tmp_path_factory.mktemp("cache"))), heard_by(whisper)


def test_it_hears_the_same_turns_and_nearly_the_same_words(both: tuple[Transcript, ...]) -> None:
    by_service, here = both
    assert [(one.role, one.start_ms, one.end_ms) for one in by_service.segments] == [
        (one.role, one.start_ms, one.end_ms) for one in here.segments
    ]
    assert by_service.language == here.language == "zh"
    pairs = [
        (read_aloud(one.text), read_aloud(other.text))
        for one, other in zip(here.segments, by_service.segments, strict=True)
        if not MASKED.search(one.text + other.text)
    ]
    assert sum(len(words) for words, _ in pairs) > 60
    assert jiwer.cer([one for one, _ in pairs], [other for _, other in pairs]) < 0.1


def test_it_gives_no_times_of_words_and_the_numbers_are_masked_all_the_same(both: tuple[Transcript, ...]) -> None:
    by_service, here = both
    assert all(segment.words == () for segment in by_service.segments)
    assert any(segment.words for segment in here.segments)
    masked = [[bool(MASKED.search(segment.text)) for segment in one.segments] for one in both]
    assert masked[0] == masked[1]
    assert sum(masked[0]) == 2, "the numbers of the card and of the telephone"
    assert not any(character.isdigit() for segment in by_service.segments for character in segment.text)


def test_a_model_that_it_does_not_have_needs_a_person(whisper_cache: Path, tmp_path: Path) -> None:
    """It answers 400, to silence as well."""
    weights = find_weights("packaged", whisper_cache).folder
    try:
        with running_whisper_server(weights, tmp_path, name="base") as url:
            settings = OpenAiApiSettings(speech_api_url=url, speech_api_model="base")
            with pytest.raises(SpeechApiRefusesError, match="speech_api_url and speech_api_model"):
                heard_by(settings.build(tmp_path))
    except ModelServerUnavailableError as error:
        pytest.skip(str(error))
