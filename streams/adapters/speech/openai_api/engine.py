"""Any service with OpenAI's `/audio/transcriptions`: a turn is sent as a WAV file and comes back with its words.

What is wrong with the service makes the call wait (`RetryableError`) or needs a person (`OperatorError`); what is wrong
with one recording alone is told apart by asking the service about a second of silence.
"""

import io
import re
import time
import wave
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from math import exp
from queue import Empty, SimpleQueue

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from urllib3.filepost import encode_multipart_formdata

from processors.listening.engine_port import (
    ENGINE_SAMPLE_RATE_HZ,
    Recognition,
    RecognizedSpeech,
    RecognizedWord,
    Samples,
    SpeechClip,
    StatesPool,
)
from processors.listening.packing import PackedClip, alone
from schemas.config.subscription import HttpTarget
from schemas.errors import OperatorError, RetryableError
from schemas.messages.transcript import EngineIdentity
from streams.adapters.channels.http_sender import HttpAnswer, HttpLimits, HttpSender, SendError

# Rises when the same answers of a service would become another text than before.
_RECIPE = 1

MAX_ANSWER_BYTES = 1024 * 1024
"""The words of a turn of 28 s take a hundredth of that."""

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 20.0
"""Pauses between attempts double from the first; a service that names a pause (Retry-After) is given it, up to this."""

UNTOLD_CONFIDENCE = 0.5
"""Of words and languages whose probability the service does not tell: neither a doubt nor a certainty to any guard."""

_PASSES = frozenset({408, 409, 425, 429, 502, 503, 504})
"""Answers of a service that is busy or away."""
_NEEDS_A_PERSON = {
    401: "refuses the key: check speech_api_key",
    403: "refuses the key: check speech_api_key and what it may do",
    404: "knows no such address or model: check speech_api_url and speech_api_model",
    405: "takes no recordings there: check speech_api_url",
}
_WRONG_ADDRESS = {
    "RefusedAddressError": "speech_api_url leads to an address that nothing is sent to",
    "SSLCertVerificationError": "the certificate of the speech service is not trusted: let SSL_CERT_FILE name its CA, "
    "and check speech_api_url",
}
"""Kinds of `SendError` that do not pass."""
_LANGUAGES = frozenset(
    re.findall(
        "[a-z]+",
        "af ar az be bg bn bs ca cs cy da de el en es et fa fi fr gl he hi hr hu hy id is it ja kk km kn ko lo lt lv "
        "mi mk ml mn mr ms my ne nl no pa pl pt ro ru si sk sl sq sr sv sw ta te th tl tr uk ur uz vi yi yue zh",
    )
)
"""Of a hint, those that services know; one that they do not know would be refused."""
_CODES = {
    "chinese": "zh", "mandarin": "zh", "cmn": "zh", "cantonese": "yue", "english": "en", "japanese": "ja",
    "korean": "ko", "french": "fr", "german": "de", "spanish": "es", "russian": "ru", "portuguese": "pt",
    "italian": "it", "vietnamese": "vi", "thai": "th", "indonesian": "id", "malay": "ms", "arabic": "ar",
}  # fmt: skip
"""Names that some services give in place of codes."""


class SpeechApiRefusesError(OperatorError):
    """The service refuses whatever is sent; the sentence names the setting."""


class UnusableAnswerError(Exception):
    """The service answers, but not to this recording, or not with what can be read. Its text holds no word of it."""


class _Word(BaseModel):
    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)

    word: str
    start: float = Field(ge=0, le=3600)
    end: float = Field(ge=0, le=3600)
    probability: float | None = Field(default=None, ge=0, le=1)


class _Segment(BaseModel):
    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)

    start: float = Field(default=0, ge=0, le=3600)
    end: float = Field(default=0, ge=0, le=3600)
    avg_logprob: float | None = None
    no_speech_prob: float | None = Field(default=None, ge=0, le=1)
    words: list[_Word] | None = None


class _Answer(BaseModel):
    """What is read of `verbose_json`; services add more."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)

    text: str
    language: str | None = Field(default=None, max_length=64)
    language_probability: float | None = Field(default=None, ge=0, le=1)
    words: list[_Word] | None = None
    segments: list[_Segment] | None = None

    @property
    def all_words(self) -> list[_Word]:
        """Of the whole, or where a service has them there, of the segments."""
        return self.words or [word for segment in self.segments or () for word in segment.words or ()]


class OpenAiApiEngine:
    """A recogniser behind HTTP. Turns of one call are sent several at once, each alone, so that no words are mixed up.

    Nothing but sound, model and language is sent: no id, no name of a file. Redirects are not followed, proxies of the
    environment not used, and answers above `MAX_ANSWER_BYTES` not read.
    """

    def __init__(
        self,
        *,
        url: str,
        model: str,
        key: SecretStr,
        language: str,
        timeout_s: float,
        attempts: int,
        parallel: int,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        try:
            target = HttpTarget.model_validate(
                {"url": f"{url.rstrip('/')}/audio/transcriptions", "allow_private": True}
            )
        except ValidationError:
            raise SpeechApiRefusesError("speech_api_url is no URL that recordings may be sent to") from None
        limits = HttpLimits(read_s=timeout_s, total_s=timeout_s, answer_bytes=MAX_ANSWER_BYTES)
        self._headers = {"Authorization": f"Bearer {key.get_secret_value()}"} if key.get_secret_value() else {}
        self._model, self._language, self._attempts, self._parallel = model, language, attempts, parallel
        self._sleep = sleep
        self._idle: SimpleQueue[HttpSender] = SimpleQueue()
        for _ in range(parallel):
            self._idle.put(HttpSender(target, limits))
        self._identity = EngineIdentity(
            name="openai-api",
            version="1",
            model=model,
            settings={"url": url.rstrip("/"), "language": language or None, "recipe": _RECIPE},
        )

    @property
    def identity(self) -> EngineIdentity:
        """The service, its model and what is asked of it. What the service changes on its side nobody sees here."""
        return self._identity

    def recognize(
        self, clips: Sequence[SpeechClip], *, language_hint: str | None, pool: StatesPool | None = None
    ) -> Recognition:
        """Recognise the clips of one call, at least one; one result for each, in the same order.

        Without a language, the longest clip is heard first, and the others in its language. A service shows no encoder
        states: a `pool` gets none. Raises `RetryableError` where the service is busy or away, `SpeechApiRefusesError`,
        and `UnusableAnswerError` where it fails on this recording alone.
        """
        del pool
        if not clips:
            raise ValueError("no clips")
        try:
            return self._recognize(clips, self._language or _known_language(language_hint))
        finally:
            self._close_idle()

    def _close_idle(self) -> None:
        """Connections last for a call; those that another thread uses, it closes itself."""
        idle: list[HttpSender] = []
        with suppress(Empty):
            for _ in range(self._parallel):
                idle.append(self._idle.get_nowait())
        for sender in idle:
            sender.close()
            self._idle.put(sender)

    def _recognize(self, clips: Sequence[SpeechClip], language: str | None) -> Recognition:
        answers: dict[int, _Answer] = {}
        if language is None:
            longest = max(range(len(clips)), key=lambda index: clips[index].end_ms - clips[index].start_ms)
            answers[longest] = self._ask(clips[longest], None)
            language = _code_of(answers[longest].language)
        asked = [index for index in range(len(clips)) if index not in answers]
        threads = ThreadPoolExecutor(self._parallel)
        try:
            answers |= zip(asked, threads.map(lambda index: self._ask(clips[index], language), asked), strict=True)
        finally:
            threads.shutdown(cancel_futures=True)  # what is not sent yet need not be, once one has failed
        found = [answers[index] for index in range(len(clips))]
        told = [answer.language_probability for answer in found if answer.language_probability is not None]
        return Recognition(
            language or _most_common_language(found),
            sum(told) / len(told) if told else UNTOLD_CONFIDENCE,
            tuple(_speech_of(alone(0, clip).places[0], answer) for clip, answer in zip(clips, found, strict=True)),
        )

    def _ask(self, clip: SpeechClip, language: str | None) -> _Answer:
        sound = _wav(alone(0, clip).samples())
        try:
            return self._transcribe(sound, language)
        except UnusableAnswerError:
            # Is it this recording, or does the service fail on all of them?
            try:
                self._transcribe(_wav(np.zeros(ENGINE_SAMPLE_RATE_HZ, dtype=np.float32)), None)
            except UnusableAnswerError as error:
                raise SpeechApiRefusesError(
                    f"the speech service answers to nothing as it should, not even to silence ({error}): check "
                    "speech_api_url and speech_api_model, and whether it knows verbose_json"
                ) from None
            raise

    def _transcribe(self, sound: bytes, language: str | None) -> _Answer:
        """One turn, sent again after pauses. Raises as `recognize`."""
        body, content_type = encode_multipart_formdata(
            [
                ("model", self._model),
                ("response_format", "verbose_json"),
                ("timestamp_granularities[]", "word"),
                ("timestamp_granularities[]", "segment"),
                ("temperature", "0"),
                *([("language", language)] if language else []),
                ("file", ("turn.wav", sound, "audio/wav")),
            ]
        )
        headers = {**self._headers, "Content-Type": content_type, "Accept": "application/json"}
        pause_s = FIRST_PAUSE_S
        for attempt in range(1, self._attempts + 1):
            failure, retry_after = "", None
            try:
                answer = self._post(body, headers)
            except SendError as error:
                failure = error.kind
                if failure in _WRONG_ADDRESS:
                    raise SpeechApiRefusesError(_WRONG_ADDRESS[failure]) from None
            else:
                if answer.status == 200:
                    return _read(answer.body)
                _refuse(answer.status)
                failure, retry_after = f"HTTP {answer.status}", answer.retry_after
                if answer.status < 500 and answer.status not in _PASSES:
                    raise UnusableAnswerError(failure)
            if attempt < self._attempts:
                self._sleep(_pause(retry_after, pause_s))
                pause_s = min(LONGEST_PAUSE_S, pause_s * 2)
        if failure == "HTTP 500":
            raise UnusableAnswerError(failure)
        raise RetryableError(f"the speech service did not recognise a turn in {self._attempts} attempts: {failure}")

    def _post(self, body: bytes, headers: dict[str, str]) -> HttpAnswer:
        sender = self._idle.get()
        try:
            return sender.post(body, headers)
        finally:
            self._idle.put(sender)


def _refuse(status: int) -> None:
    """Raises `SpeechApiRefusesError` for what only a person can mend."""
    if 300 <= status < 400:
        raise SpeechApiRefusesError(
            f"the speech service redirects (HTTP {status}), which is not followed: put the address where it is into "
            "speech_api_url"
        )
    if status in _NEEDS_A_PERSON:
        raise SpeechApiRefusesError(f"the speech service {_NEEDS_A_PERSON[status]} (HTTP {status})")


def _pause(retry_after: str | None, usual_s: float) -> float:
    """Seconds until the next attempt. A date in Retry-After counts as not said."""
    asked_s = float(retry_after) if retry_after is not None and re.fullmatch(r"\d{1,6}", retry_after) else 0.0
    return min(LONGEST_PAUSE_S, max(usual_s, asked_s))


def _read(body: bytes) -> _Answer:
    if len(body) >= MAX_ANSWER_BYTES:
        raise UnusableAnswerError("an answer that is too large")
    with suppress(ValidationError):
        return _Answer.model_validate_json(body)
    raise UnusableAnswerError("an answer that is no verbose_json")


def _wav(samples: Samples) -> bytes:
    """16-bit mono at 16 kHz."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(ENGINE_SAMPLE_RATE_HZ)
        sound.writeframes((np.clip(samples, -1, 1) * 32_767).astype("<i2").tobytes())
    return file.getvalue()


def _known_language(hint: str | None) -> str | None:
    primary = (hint or "").split("-")[0].lower()
    code = _CODES.get(primary, primary)
    return code if code in _LANGUAGES else None


def _code_of(name: str | None) -> str | None:
    """The code of a language that a service names; None where it names none that is known."""
    written = (name or "").strip().lower()
    code = _CODES.get(written, written.split("-")[0])
    return code if code in _LANGUAGES else None


def _most_common_language(answers: Sequence[_Answer]) -> str:
    codes = Counter(code for answer in answers if (code := _code_of(answer.language)) is not None)
    return codes.most_common(1)[0][0] if codes else "und"


def _speech_of(place: PackedClip, answer: _Answer) -> RecognizedSpeech:
    """What was said in a clip, with its words at their times in the recording."""
    text = answer.text.strip()
    words = tuple(_words_of(place, text, answer)) if text else ()
    confidences = [word.confidence for word in words] or ([_confidence_of(answer.segments or ())] if text else [0.0])
    silences = [one.no_speech_prob for one in answer.segments or () if one.no_speech_prob is not None]
    return RecognizedSpeech(
        channel=place.clip.channel,
        start_ms=place.clip.start_ms,
        end_ms=place.clip.end_ms,
        text=text,
        words=words,
        confidence=sum(confidences) / len(confidences),
        no_speech_probability=sum(silences) / len(silences) if silences else 0.0,
    )


def _words_of(place: PackedClip, text: str, answer: _Answer) -> Iterator[RecognizedWord]:
    """The words, each with what stands behind it in the text: many services leave the punctuation out of them.

    None at all where they are not those of the text, or there are none.
    """
    said = [word for word in answer.all_words if word.word.strip()]
    starts: list[int] = []
    offset = 0
    for word in said:
        start = text.find(word.word.strip(), offset)
        if start < 0:
            return
        starts.append(start)
        offset = start + len(word.word.strip())
    earliest_ms = place.clip.start_ms
    for number, word in enumerate(said):
        begin = starts[number] if number else 0
        end = starts[number + 1] if number + 1 < len(said) else len(text)
        start_ms = max(earliest_ms, _within(place, word.start))
        earliest_ms = start_ms
        yield RecognizedWord(
            text=text[begin:end],
            start_ms=start_ms,
            end_ms=max(start_ms, _within(place, word.end)),
            confidence=_confidence_of_word(word, answer.segments or ()),
        )


def _within(place: PackedClip, seconds: float) -> int:
    """A time of the file as a time of the recording, inside the clip."""
    at_ms = place.clip.start_ms + round(seconds * 1000) - place.offset_ms
    return min(place.clip.end_ms, max(place.clip.start_ms, at_ms))


def _confidence_of_word(word: _Word, segments: Sequence[_Segment]) -> float:
    """As the service tells it, of the word or of the segment that it is in."""
    if word.probability is not None:
        return word.probability
    return _confidence_of([one for one in segments if one.start <= word.start <= one.end] or segments)


def _confidence_of(segments: Sequence[_Segment]) -> float:
    told = [exp(min(0.0, one.avg_logprob)) for one in segments if one.avg_logprob is not None]
    return sum(told) / len(told) if told else UNTOLD_CONFIDENCE
