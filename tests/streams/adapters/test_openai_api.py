"""The engine behind HTTP: what is sent, what is read of an answer, and what becomes of a service that fails."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import SecretStr, ValidationError

from processors.listening.engine_port import RecognizedSpeech, Samples, SpeechClip
from processors.listening.engines.weights import WeightsError
from schemas.errors import RetryableError
from streams.adapters.speech.openai_api import OpenAiApiSettings
from streams.adapters.speech.openai_api.engine import (
    LONGEST_PAUSE_S,
    MAX_ANSWER_BYTES,
    OpenAiApiEngine,
    SpeechApiRefusesError,
    UnusableAnswerError,
)
from streams.settings import SettingsError, load_settings
from tests.support import speech_service
from tests.support.receiver import DROP, HANG, Receiver, Reply, running_receiver
from tests.support.speech_service import KEY, LETTERS, MODEL, answering, form_of, scripted

pytestmark = pytest.mark.loopback

SECRET_WORDS = "老虎百合"


class Tone:
    """A channel of ten seconds."""

    duration_ms = 10_000

    def samples(self, start_ms: int, end_ms: int) -> Samples:
        samples: Samples = np.sin(np.arange(start_ms * 16, end_ms * 16) * 0.3).astype(np.float32) / 2
        return samples


def clips(*spans: tuple[int, int]) -> list[SpeechClip]:
    return [SpeechClip(0, start_ms, end_ms, Tone()) for start_ms, end_ms in spans or ((1_000, 4_000),)]


@pytest.fixture
def service() -> Iterator[Receiver]:
    with running_receiver() as running:
        running.choose = answering(scripted)
        yield running


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def engine(service: Receiver, pauses: list[float]) -> OpenAiApiEngine:
    return engine_of(service, pauses)


def engine_of(service: Receiver, pauses: list[float], **changes: Any) -> OpenAiApiEngine:
    told: dict[str, Any] = {
        "key": SecretStr(KEY),
        "language": "",
        "timeout_s": 5,
        "attempts": 3,
        "parallel": 2,
    } | changes
    return OpenAiApiEngine(url=service.url("/v1"), model=MODEL, sleep=pauses.append, **told)


def says(content: dict[str, Any]) -> Callable[[Any], Reply]:
    return lambda _request: Reply(200, {}, json.dumps(content).encode())


def heard(engine: OpenAiApiEngine, *spans: tuple[int, int], hint: str | None = "zh") -> tuple[RecognizedSpeech, ...]:
    return engine.recognize(clips(*spans), language_hint=hint).speech


class TestWhatIsSent:
    def test_a_turn_is_sent_alone_with_model_language_and_key_and_nothing_that_names_the_call(
        self, engine: OpenAiApiEngine, service: Receiver
    ) -> None:
        heard(engine, (1_000, 4_000))
        (request,) = service.requests
        form = form_of(request)
        assert set(form) == {
            *("model", "response_format", "timestamp_granularities[]", "temperature", "language", "file"),
        }
        assert (form["model"], form["language"]) == ([MODEL.encode()], [b"zh"])
        assert len(speech_service.samples_of(form["file"][0])) == 16 * (300 + 3_000 + 500)
        assert request.headers["authorization"] == f"Bearer {KEY}"
        assert b'filename="turn.wav"' in request.body

    def test_the_language_of_the_settings_goes_before_the_hint(self, service: Receiver) -> None:
        heard(engine_of(service, [], language="yue"), hint="zh")
        assert form_of(service.requests[0])["language"] == [b"yue"]

    def test_without_a_language_the_longest_turn_says_which_the_others_have(
        self, engine: OpenAiApiEngine, service: Receiver
    ) -> None:
        recognition = engine.recognize(clips((0, 1_000), (2_000, 6_000), (7_000, 8_000)), language_hint="klingon")
        first, *others = [form_of(request) for request in service.requests]
        assert "language" not in first
        assert len(first["file"][0]) > max(len(other["file"][0]) for other in others)
        assert [other["language"] for other in others] == [[b"zh"], [b"zh"]]
        assert recognition.language == "zh"

    def test_without_a_key_none_is_sent(self, service: Receiver) -> None:
        service.choose = says(scripted(np.zeros(16_000, dtype=np.float32), "zh"))
        heard(engine_of(service, [], key=SecretStr("")))
        assert "authorization" not in service.requests[0].headers

    def test_the_key_is_in_no_identity_and_no_repr(self, engine: OpenAiApiEngine) -> None:
        assert KEY not in repr(engine.identity)
        assert KEY not in repr(OpenAiApiSettings(speech_api_key=SecretStr(KEY)))


class TestWhatIsRead:
    def test_punctuation_stays_with_the_word_before_it(self, engine: OpenAiApiEngine) -> None:
        (speech,) = heard(engine)
        assert speech.text == "".join(word.text for word in speech.words) == f"{LETTERS[:2]}，{LETTERS[2:]}？"
        assert [word.text for word in speech.words][1] == f"{LETTERS[1]}，"

    def test_times_are_those_of_the_recording(self, engine: OpenAiApiEngine) -> None:
        (speech,) = heard(engine, (1_000, 4_000))
        assert (speech.words[0].start_ms, speech.words[-1].end_ms) == (1_000, 4_000)
        assert speech.words[5].start_ms == pytest.approx(1_000 + 5 * 3_800 / 11 - 300, abs=2)

    def test_confidence_is_that_of_the_segment_unless_the_word_has_one(self, service: Receiver) -> None:
        engine = engine_of(service, [])
        (speech,) = heard(engine)
        assert speech.confidence == pytest.approx(np.exp(-0.2))
        assert speech.no_speech_probability == pytest.approx(0.1)
        service.choose = says({"text": "好", "words": [{"word": "好", "start": 0, "end": 1, "probability": 0.25}]})
        assert heard(engine)[0].words[0].confidence == 0.25

    @pytest.mark.parametrize(
        "content",
        [
            pytest.param({"text": "您好"}, id="the text alone"),
            pytest.param({"text": "您好", "words": None, "segments": None}, id="nulls"),
            pytest.param({"text": "您好", "words": [{"word": "喂", "start": 0, "end": 1}]}, id="words of another text"),
        ],
    )
    def test_a_service_without_words_gives_the_text(self, service: Receiver, content: dict[str, Any]) -> None:
        service.choose = says(content)
        (speech,) = heard(engine_of(service, []))
        assert (speech.text, speech.words, speech.confidence) == ("您好", (), 0.5)

    def test_words_within_segments_are_read_too(self, service: Receiver) -> None:
        word = {"word": "您好", "start": 0.3, "end": 1.3, "probability": 0.9}
        service.choose = says({"text": "您好", "segments": [{"start": 0, "end": 2, "words": [word]}]})
        (speech,) = heard(engine_of(service, []), (1_000, 4_000))
        assert [(one.text, one.start_ms, one.end_ms) for one in speech.words] == [("您好", 1_000, 2_000)]

    def test_silence_is_heard_as_nothing(self, service: Receiver) -> None:
        service.choose = says({"text": " ", "language": "zh", "words": [], "segments": []})
        (speech,) = heard(engine_of(service, []))
        assert (speech.text, speech.words, speech.confidence) == ("", (), 0.0)

    @pytest.mark.parametrize(("told", "language"), [("Mandarin", "zh"), ("EN-us", "en"), ("elvish", "und")])
    def test_a_language_is_written_as_everywhere(self, service: Receiver, told: str, language: str) -> None:
        service.choose = says({"text": "x", "language": told})
        assert engine_of(service, []).recognize(clips(), language_hint=None).language == language


class TestAServiceThatFails:
    @pytest.mark.parametrize(
        "failure",
        [
            pytest.param(Reply(429), id="too many"),
            pytest.param(Reply(500), id="broken"),
            pytest.param(Reply(503), id="away"),
            pytest.param(DROP, id="hangs up"),
        ],
    )
    def test_what_passes_is_tried_again_and_nothing_is_lost(
        self, service: Receiver, pauses: list[float], failure: Reply
    ) -> None:
        well = answering(scripted)
        service.choose = lambda request: failure if len(service.requests) < 3 else well(request)
        (speech,) = heard(engine_of(service, pauses))
        assert speech.text
        assert pauses == [0.5, 1.0]

    @pytest.mark.parametrize(
        "failure",
        [pytest.param(Reply(429), id="busy"), pytest.param(Reply(503), id="away"), pytest.param(DROP, id="gone")],
    )
    def test_what_does_not_pass_makes_the_call_wait(
        self, service: Receiver, pauses: list[float], failure: Reply
    ) -> None:
        service.choose = lambda _request: failure
        with pytest.raises(RetryableError, match="the speech service did not recognise a turn in 3 attempts: "):
            heard(engine_of(service, pauses))
        assert len(service.requests) == 3

    def test_so_does_one_that_does_not_answer_in_time(self, service: Receiver, pauses: list[float]) -> None:
        service.choose = lambda _request: HANG
        with pytest.raises(RetryableError):
            heard(engine_of(service, pauses, timeout_s=0.2, attempts=2))

    def test_and_one_that_is_not_there(self, pauses: list[float]) -> None:
        with running_receiver() as service:
            engine = engine_of(service, pauses)
        with pytest.raises(RetryableError):
            heard(engine)

    def test_a_pause_that_it_asks_for_is_kept_up_to_a_limit(self, service: Receiver, pauses: list[float]) -> None:
        replies = iter([Reply(429, {"retry-after": "7"}), Reply(429, {"retry-after": "9999"})])
        well = answering(scripted)
        service.choose = lambda request: next(replies, None) or well(request)
        heard(engine_of(service, pauses))
        assert pauses == [7.0, LONGEST_PAUSE_S]

    @pytest.mark.parametrize(
        ("status", "sentence"),
        [
            pytest.param(401, "speech_api_key", id="no such key"),
            pytest.param(403, "speech_api_key", id="a key that may not"),
            pytest.param(404, "speech_api_url and speech_api_model", id="no such model"),
            pytest.param(302, "redirects", id="elsewhere"),
            pytest.param(400, "whether it knows verbose_json", id="whatever is asked"),
        ],
    )
    def test_what_a_person_must_mend_names_the_setting(
        self, service: Receiver, pauses: list[float], status: int, sentence: str
    ) -> None:
        elsewhere = {"location": "http://127.0.0.1:1/steal"}
        service.choose = lambda _request: Reply(status, elsewhere, SECRET_WORDS.encode())
        with pytest.raises(SpeechApiRefusesError, match=sentence) as refused:
            heard(engine_of(service, pauses))
        assert SECRET_WORDS not in str(refused.value)
        assert pauses == [], "it is not tried again"

    @pytest.mark.parametrize(
        "answer",
        [
            pytest.param(Reply(400), id="refused"),
            pytest.param(Reply(500), id="breaks at it"),
            pytest.param(Reply(200, {}, SECRET_WORDS.encode()), id="no JSON"),
            pytest.param(Reply(200, {}, b'{"text": 1}'), id="another JSON"),
            pytest.param(
                Reply(200, {}, b'{"text": "x", "words": [{"word": "x", "start": -1, "end": NaN}]}'), id="times"
            ),
            pytest.param(Reply(200, {}, b'{"text": "' + b"x" * MAX_ANSWER_BYTES + b'"}'), id="without end"),
        ],
    )
    def test_a_recording_that_it_fails_on_alone_holds_up_no_other(
        self, service: Receiver, pauses: list[float], answer: Reply
    ) -> None:
        well = answering(scripted)

        def choose(request: Any) -> Reply:
            is_silence = not speech_service.samples_of(form_of(request)["file"][0]).any()
            return well(request) if is_silence else answer

        service.choose = choose
        with pytest.raises(UnusableAnswerError) as failed:
            heard(engine_of(service, pauses))
        assert SECRET_WORDS not in str(failed.value)

    def test_one_turn_that_fails_ends_the_others(self, service: Receiver, pauses: list[float]) -> None:
        service.choose = lambda _request: Reply(401)
        with pytest.raises(SpeechApiRefusesError):
            heard(engine_of(service, pauses), *[(at, at + 100) for at in range(0, 9_000, 100)])
        assert len(service.requests) < 90


class TestSettings:
    @pytest.mark.parametrize(
        ("url", "more"),
        [
            pytest.param("https://speech.example.com/v1", {}, id="TLS"),
            pytest.param("http://127.0.0.1:8000/v1", {}, id="this machine"),
            pytest.param("http://[::1]:8000/v1", {}, id="this machine, IPv6"),
            pytest.param("http://localhost:8000", {}, id="by name"),
            pytest.param("http://10.0.0.7:8000/v1", {"speech_api_allow_http": True}, id="allowed"),
        ],
    )
    def test_a_recording_is_encrypted_or_stays_here_unless_somebody_allows_it(
        self, url: str, more: dict[str, Any]
    ) -> None:
        assert OpenAiApiSettings(speech_api_url=url, **more).speech_api_url == url

    @pytest.mark.parametrize(
        "url",
        [
            pytest.param("http://10.0.0.7:8000/v1", id="another machine in clear"),
            pytest.param("http://127.0.0.1.example.com/v1", id="a name that looks like this machine"),
            pytest.param("https://user:secret@speech.example.com/v1", id="a password"),
            pytest.param("https://speech.example.com/v1?key=1", id="a query"),
            pytest.param("ftp://speech.example.com", id="another scheme"),
        ],
    )
    def test_other_addresses_are_refused(self, url: str) -> None:
        with pytest.raises(ValidationError):
            OpenAiApiSettings(speech_api_url=url)

    @pytest.mark.parametrize(
        ("settings", "lacking"),
        [
            ({}, "speech_api_url"),
            ({"CALLSTREAM_SPEECH_API_URL": "https://speech.example.com/v1"}, "speech_api_model"),
        ],
    )
    def test_what_is_lacking_is_named_before_anything_starts(self, settings: dict[str, str], lacking: str) -> None:
        with pytest.raises(SettingsError, match=f"speech_engine openai-api needs {lacking}"):
            load_settings({"CALLSTREAM_SPEECH_ENGINE": "openai-api"} | settings)

    def test_it_is_not_built_without_it_either(self, tmp_path: Path) -> None:
        with pytest.raises(WeightsError, match="speech_api_url"):
            OpenAiApiSettings().build(tmp_path)

    @pytest.mark.names
    def test_an_address_that_nothing_is_sent_to_is_refused(self, tmp_path: Path) -> None:
        metadata = OpenAiApiSettings(
            speech_api_url="http://169.254.169.254/v1", speech_api_model="x", speech_api_allow_http=True
        )
        with pytest.raises(SpeechApiRefusesError):
            metadata.build(tmp_path).recognize(clips(), language_hint="zh")


def test_the_samples_that_arrive_are_those_of_the_turn(engine: OpenAiApiEngine, service: Receiver) -> None:
    heard(engine, (1_000, 4_000))
    sent: NDArray[np.float32] = speech_service.samples_of(form_of(service.requests[0])["file"][0])
    assert np.abs(sent[: 16 * 190]).max() == 0, "silence before it"
    assert np.abs(sent[16 * 300 : 16 * 3_300]).max() > 0.05
