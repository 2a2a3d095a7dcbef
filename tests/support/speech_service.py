"""A service with OpenAI's `/audio/transcriptions` on loopback that answers as services do that know words."""

import io
import json
import wave
from collections.abc import Callable, Mapping
from email.parser import BytesParser
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.support.receiver import Reply, Request

KEY = "sk-loopback"
MODEL = "whisper-of-a-test"
LETTERS = "您好请问有什么可以帮您"

Transcribe = Callable[[NDArray[np.float32], str | None], dict[str, Any]]
"""Samples at 16 kHz and the language that was asked for → the JSON of the answer."""


def form_of(request: Request) -> Mapping[str, list[bytes]]:
    """The fields of a multipart form."""
    head = f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode()
    form: dict[str, list[bytes]] = {}
    for part in BytesParser().parsebytes(head + request.body).walk():
        name = part.get_param("name", header="content-disposition")
        if isinstance(name, str):
            payload = part.get_payload(decode=True)
            assert isinstance(payload, bytes)
            form.setdefault(name, []).append(payload)
    return form


def samples_of(sound: bytes) -> NDArray[np.float32]:
    """A WAV file of 16 kHz, one channel, 16 bit."""
    with wave.open(io.BytesIO(sound)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16_000, 1, 2)
        pcm = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")
    return pcm.astype(np.float32) / np.float32(32_768)


def answering(transcribe: Transcribe) -> Callable[[Request], Reply]:
    """What a service does with a request: as strict as one about key, path, model and format."""

    def answer(request: Request) -> Reply:
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return Reply(401)
        if request.path != "/v1/audio/transcriptions":
            return Reply(404)
        form = form_of(request)
        if form["model"] != [MODEL.encode()]:
            return Reply(404)
        if form["response_format"] != [b"verbose_json"] or b"word" not in form["timestamp_granularities[]"]:
            return Reply(400)
        language = form["language"][0].decode() if "language" in form else None
        content = transcribe(samples_of(form["file"][0]), language)
        return Reply(200, {"content-type": "application/json"}, json.dumps(content, ensure_ascii=False).encode())

    return answer


def scripted(samples: NDArray[np.float32], language: str | None) -> dict[str, Any]:
    """The same words in every turn, evenly spread over it, and no punctuation among the words."""
    duration_s = len(samples) / 16_000
    step_s = duration_s / len(LETTERS)
    words = [{"word": one, "start": at * step_s, "end": (at + 1) * step_s} for at, one in enumerate(LETTERS)]
    return {
        "task": "transcribe",
        "language": {"zh": "chinese", "en": "english"}.get(language or "zh", language),
        "duration": duration_s,
        "text": f" {LETTERS[:2]}，{LETTERS[2:]}？",
        "words": words,
        "segments": [
            {"id": 0, "start": 0.0, "end": duration_s, "avg_logprob": -0.2, "no_speech_prob": 0.1, "tokens": [1, 2]}
        ],
    }


def whisper(model: Any) -> Transcribe:
    """With words and their times, by a `faster_whisper.WhisperModel`."""

    def transcribe(samples: NDArray[np.float32], language: str | None) -> dict[str, Any]:
        found, about = model.transcribe(samples, language=language, word_timestamps=True, temperature=0, beam_size=1)
        segments = list(found)
        words = [word for segment in segments for word in segment.words or ()]
        return {
            "language": about.language,
            "language_probability": about.language_probability,
            "text": "".join(segment.text for segment in segments),
            "words": [
                {"word": one.word, "start": one.start, "end": one.end, "probability": one.probability} for one in words
            ],
            "segments": [
                {
                    "start": one.start,
                    "end": one.end,
                    "avg_logprob": one.avg_logprob,
                    "no_speech_prob": one.no_speech_prob,
                }
                for one in segments
            ],
        }

    return transcribe
