"""A recogniser that knows what was said: for tests of what happens around recognition.

It passes the contract test that the real engine passes (`engines/test_engines.py`).
"""

from collections.abc import Callable, Sequence

import numpy as np

from processors.listening.engine_port import (
    ENCODER_FRAMES_PER_SECOND,
    ENGINE_SAMPLE_RATE_HZ,
    EncoderStates,
    Recognition,
    RecognizedSpeech,
    RecognizedWord,
    SpeechClip,
    StatesPool,
)
from schemas.messages.transcript import EngineIdentity

KNOWN_LANGUAGES = ("zh", "en")


class ScriptedEngine:
    """Says for each clip what `text_of` says; every letter is a word, evenly spread over the clip."""

    def __init__(
        self,
        text_of: Callable[[SpeechClip], str] = lambda _clip: "您好",
        *,
        confidence: float = 0.9,
        no_speech_probability: float = 0.1,
    ) -> None:
        self._text_of = text_of
        self._confidence = confidence
        self._no_speech_probability = no_speech_probability
        self.clips: list[SpeechClip] = []
        self.hints: list[str | None] = []

    @property
    def identity(self) -> EngineIdentity:
        return EngineIdentity(name="scripted", version="1", model="script")

    def recognize(
        self, clips: Sequence[SpeechClip], *, language_hint: str | None, pool: StatesPool | None = None
    ) -> Recognition:
        if not clips:
            raise ValueError("no clips")
        self.clips.extend(clips)
        self.hints.append(language_hint)
        primary = (language_hint or "").split("-")[0]
        language = primary if primary in KNOWN_LANGUAGES else "zh"
        return Recognition(language, 0.9, tuple(self._speech(clip, pool) for clip in clips))

    def _speech(self, clip: SpeechClip, pool: StatesPool | None) -> RecognizedSpeech:
        text = self._text_of(clip)
        step_ms = (clip.end_ms - clip.start_ms) / max(1, len(text))
        words = tuple(
            RecognizedWord(
                letter,
                clip.start_ms + int(i * step_ms),
                clip.start_ms + int((i + 1) * step_ms),
                self._confidence,
            )
            for i, letter in enumerate(text)
        )
        return RecognizedSpeech(
            channel=clip.channel,
            start_ms=clip.start_ms,
            end_ms=clip.end_ms,
            text=text,
            words=words,
            confidence=self._confidence if words else 0.0,
            no_speech_probability=self._no_speech_probability,
            pooled_states=None if pool is None else pool(clip, _levels(clip)),
        )


def _levels(clip: SpeechClip) -> EncoderStates:
    """Its encoder: the root mean square of each frame, one number."""
    frame = ENGINE_SAMPLE_RATE_HZ // ENCODER_FRAMES_PER_SECOND
    samples = clip.sound.samples(clip.start_ms, clip.end_ms)
    frames = samples[: len(samples) // frame * frame].reshape(-1, frame)
    levels: EncoderStates = np.sqrt((frames**2).mean(axis=1, keepdims=True))
    return levels
