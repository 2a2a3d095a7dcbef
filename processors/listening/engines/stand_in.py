"""An ear that hears nothing: it takes a fixed time for each call and writes one of a few dialogues.

For benchmarks and fault tests of everything around recognition, where a real recogniser would be all that is measured.
It must be asked for twice, because whoever ran it by mistake would have transcripts that nobody spoke.
"""

import hashlib
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from pydantic import Field

from processors.listening.engine_port import (
    EngineSettings,
    Recognition,
    RecognizedSpeech,
    RecognizedWord,
    SpeechClip,
    StatesPool,
)
from processors.listening.engines.weights import WeightsError
from schemas.messages.transcript import EngineIdentity

log = logging.getLogger(__name__)

Dialogue = tuple[tuple[str, ...], tuple[str, ...]]
"""What is said on the first channel, and on the second."""

DIALOGUES: tuple[Dialogue, ...] = (
    (
        ("您好，本次通话将录音，请问有什么可以帮您？", "请稍等，我帮您查询一下。", "包裹预计明天下午可以送到。"),
        ("你好，我想问一下订单什么时候能到？", "后四位是二七八一。", "好的，谢谢。"),
    ),
    (
        ("您好，我是您的理财顾问。", "这款产品保本保息，绝对不会亏损，您完全可以放心。", "今天不买明天就没有了。"),
        ("什么产品啊，有风险吗？", "真的保本吗？", "那我再考虑一下吧。"),
    ),
    (
        ("您好，本次通话将录音，请问有什么可以帮您？", "您先听我说完，我们是有流程的。", "抱歉，我帮您登记。"),
        ("东西质量太差了，我要退货，全额退款！", "你们这是骗人！", "我要投诉，我要打一二三一五！"),
    ),
    (
        ("您好，本次通话将录音，请问有什么可以帮您？", "好的，请您提供一下手机号码。", "已经帮您办好了。"),
        ("我的银行卡丢了，想挂失。", "幺三八零零幺三八零零零。", "好的，再见。"),
    ),
)
"""A question about an order, a forbidden promise, a complaint, a number that must be masked."""

CONFIDENCE = 0.9
NO_SPEECH_PROBABILITY = 0.05


class StandInSettings(EngineSettings):
    """How long the stand-in takes."""

    kind: ClassVar[str] = "stand-in"
    hears_several: ClassVar[bool] = True

    stand_in_ear: bool = Field(
        default=False,
        description="stand-in: yes, write made-up transcripts; for benchmarks and fault tests, never for real calls",
    )
    stand_in_call_s: float = Field(
        default=0.2, ge=0, le=3_600, description="stand-in: seconds that each call takes, however long it is"
    )
    stand_in_real_time_factor: float = Field(
        default=0, ge=0, le=10, description="stand-in: seconds that each second of speech takes on top of that"
    )

    def lacking(self) -> str | None:
        """See `EngineSettings.lacking`."""
        return None if self.stand_in_ear else "stand_in_ear, because what it writes is made up: it is for tests alone"

    def build(self, cache_dir: Path) -> "StandInEngine":  # noqa: ARG002 - there is nothing to keep
        """See `EngineSettings.build`."""
        if lacking := self.lacking():
            raise WeightsError(f"speech_engine {self.kind} needs {lacking}")
        log.critical("the stand-in hears: every transcript of this worker is made up")
        return StandInEngine(self.stand_in_call_s, self.stand_in_real_time_factor)


class StandInEngine:
    """The same sound gives the same text, on every machine."""

    def __init__(
        self, call_s: float = 0, real_time_factor: float = 0, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        """`call_s` is for each call; `real_time_factor` for each second of its clips."""
        self._call_s = call_s
        self._real_time_factor = real_time_factor
        self._sleep = sleep

    @property
    def identity(self) -> EngineIdentity:
        """See `SpeechEngine.identity`. How long it takes changes no word."""
        return EngineIdentity(name=StandInSettings.kind, version="1", model="dialogues")

    def recognize(
        self, clips: Sequence[SpeechClip], *, language_hint: str | None, pool: StatesPool | None = None
    ) -> Recognition:
        """See `SpeechEngine.recognize`. It has no states to show."""
        del language_hint, pool
        if not clips:
            raise ValueError("no clips")
        self._sleep(self._call_s + self._real_time_factor * sum(clip.end_ms - clip.start_ms for clip in clips) / 1000)
        dialogue = DIALOGUES[choice_of(clips)]
        said = [0, 0]
        speech = []
        for clip in clips:
            side = clip.channel % 2
            lines = dialogue[side]
            speech.append(_spoken(clip, lines[said[side] % len(lines)]))
            said[side] += 1
        return Recognition("zh", 1.0, tuple(speech))


def choice_of(clips: Sequence[SpeechClip]) -> int:
    """Which of `DIALOGUES` this sound stands for."""
    digest = hashlib.sha256()
    for clip in clips:
        digest.update(f"{clip.channel} {clip.start_ms} {clip.end_ms} ".encode())
        digest.update(np.ascontiguousarray(clip.sound.samples(clip.start_ms, clip.end_ms)).tobytes())
    return int.from_bytes(digest.digest()[:8], "big") % len(DIALOGUES)


def _spoken(clip: SpeechClip, text: str) -> RecognizedSpeech:
    """Every character is a word, evenly spread over the clip."""
    step_ms = (clip.end_ms - clip.start_ms) / len(text)
    words = tuple(
        RecognizedWord(letter, clip.start_ms + int(i * step_ms), clip.start_ms + int((i + 1) * step_ms), CONFIDENCE)
        for i, letter in enumerate(text)
    )
    return RecognizedSpeech(clip.channel, clip.start_ms, clip.end_ms, text, words, CONFIDENCE, NO_SPEECH_PROBABILITY)
