"""What emotion and the measures of the sound cost beside recognition, as a share of the recognition's time.

    python benchmarks/emotion_cost.py [--data examples/calls] [--repeats 3]

Hears every recording of a folder with `processors.listening.pipeline.listen`, one thread, and clocks the
processor's time of

* **recognition**: `SpeechEngine.recognize`, without the pooling that happens in it;
* **emotion**: pooling the encoder's states, prosody, both sound heads, the text head, the fusion;
* **sound**: frames, quality and pace (`processors.listening.quality`).

All three fall into the same run, so other work on the machine falls on them alike. The goal is 5 % for emotion and
sound together.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.listening_accuracy import LONGEST_MS, SIDES, heard
from processors.emotion.heads import load_heads
from processors.emotion.segments import EmotionModel, HeardSegment
from processors.listening import pipeline as listening
from processors.listening.audio import DecodeLimits, decode
from processors.listening.engine_port import Recognition, SpeechClip, SpeechEngine, StatesPool
from processors.listening.engines.faster_whisper import FasterWhisperEngine
from schemas.messages.emotion import SegmentEmotion, SoundGap
from schemas.messages.transcript import EngineIdentity

MEASURES = ("frames_of", "audio_quality", "characters_per_minute")
PARTS = ("recognition", "emotion", "sound")


class Clock:
    """Seconds of processor time for each part; a part that runs inside another one is not counted there."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(PARTS, 0.0)
        self._inner_s = 0.0

    def timed(self, part: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """The same work, clocked."""

        def clocked(*arguments: Any, **options: Any) -> Any:
            outer_s, self._inner_s = self._inner_s, 0.0
            began_s = time.process_time()
            result = work(*arguments, **options)
            whole_s = time.process_time() - began_s
            self.seconds[part] += whole_s - self._inner_s
            self._inner_s = outer_s + whole_s
            return result

        return clocked


class ClockedEngine:
    """A recogniser with a clock."""

    def __init__(self, engine: SpeechEngine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    @property
    def identity(self) -> EngineIdentity:
        return self._engine.identity

    def recognize(
        self, clips: Sequence[SpeechClip], *, language_hint: str | None, pool: StatesPool | None = None
    ) -> Recognition:
        recognize = self._clock.timed("recognition", self._engine.recognize)
        clocked_pool = self._clock.timed("emotion", pool) if pool else None
        result: Recognition = recognize(clips, language_hint=language_hint, pool=clocked_pool)
        return result


class ClockedEmotion(EmotionModel):
    """An emotion model with a clock."""

    clock: Clock

    def judge(self, segments: Iterable[HeardSegment]) -> Iterator[SegmentEmotion | SoundGap]:
        yield from self.clock.timed("emotion", lambda: list(super(ClockedEmotion, self).judge(segments)))()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, default=Path("examples/calls"))
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "callstream-bench")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    engine = FasterWhisperEngine(
        model="packaged",
        cache_dir=arguments.cache,
        device="cpu",
        compute_type="int8",
        threads=1,
        beam_size=5,
        batch_size=8,
    )
    files = [file for file in sorted(arguments.data.iterdir()) if file.suffix in (".wav", ".flac")]
    recordings = [file.read_bytes() for file in files]
    unclocked = {name: getattr(listening, name) for name in MEASURES}
    shares: list[float] = []
    print("| repeat | recognition, s | emotion, s | sound, s | emotion ÷ recognition | both ÷ recognition |")
    print("|---|---|---|---|---|---|")
    for repeat in range(arguments.repeats + 1):
        clock = Clock()
        for name in MEASURES:
            setattr(listening, name, clock.timed("sound", unclocked[name]))
        hear(recordings, engine, clock)
        if repeat:  # the first one warms up
            recognition_s, emotion_s, sound_s = (clock.seconds[part] for part in PARTS)
            shares.append((emotion_s + sound_s) / recognition_s)
            print(
                f"| {repeat} | {recognition_s:.2f} | {emotion_s:.3f} | {sound_s:.3f} "
                f"| {emotion_s / recognition_s:.2%} | {shares[-1]:.2%} |",
                flush=True,
            )
    print(f"\nmedian of emotion and sound ÷ recognition: {statistics.median(shares):.2%} (goal: at most 5 %)")


def hear(recordings: Sequence[bytes], engine: SpeechEngine, clock: Clock) -> None:
    """Hear every recording once; two channels are agent and customer."""
    model = ClockedEmotion.of_heads(load_heads(), engine.identity.model)
    model.clock = clock
    for data in recordings:
        channels = len(decode(data, DecodeLimits(LONGEST_MS)).channels)
        heard(ClockedEngine(engine, clock), data, SIDES if channels == 2 else None, "inbound", model)


if __name__ == "__main__":
    main()
