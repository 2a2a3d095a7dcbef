"""Throughput and character error of recognition, against faster-whisper used plainly, in the same run.

    python benchmarks/asr.py --data DIR [--repeats 3] [--processes 2] [--price 0.04] [--joined]

`DIR/calls` holds two-channel recordings, each with a JSON of the same name (`benchmarks/listening_accuracy.py`). Every
side gets the same processes of one thread each, the same weights, compute type and recordings, and takes the next
recording when it is done with one. The sides take turns in each repeat, with models loaded and warm:

* **callstream**: `processors.listening.pipeline.listen`, from the bytes to the finished transcript, with word times;
* **sequential**: `WhisperModel.transcribe` of each channel after the other, VAD on, beam 5; by default it tries again
  with other temperatures what looks like a loop, which can cost many times the call, so it is measured without as well;
* **batched**: `BatchedInferencePipeline.transcribe` of each channel, batch of 8, VAD on, beam 5; with word times and
  without, for which it needs less work.

`--joined` makes one call of all recordings and gives it to each process: batching does better on long calls than on
short ones.

Prints for each side the real-time factor, the character error rate, hours of audio that a core hears in an hour, and
the cost of 100 minutes at the price of a core-hour; then the ratios of throughput. Times are the processor's time of
all processes together, because other work on the machine falls on one side more than on another; ratios of the wall
clock stand beside them.
"""

import argparse
import io
import json
import multiprocessing
import statistics
import tempfile
import time
import wave
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.character_errors import count_character_errors, read_aloud
from benchmarks.listening_accuracy import LONGEST_MS, SIDES, Notes, heard
from processors.listening.audio import DecodeLimits, decode
from processors.listening.engines.faster_whisper import FasterWhisperEngine
from processors.listening.engines.weights import find_weights
from processors.listening.respelling import load_spelling
from processors.text.chinese_script import to_script

BATCH = 8
MODEL = "packaged"
COMPUTE_TYPE = "int8"

Texts = list[str]
"""What was heard on each channel."""
Recognize = Callable[[bytes], Texts]


@dataclass(frozen=True)
class Work:
    """A recording and what is said on each channel."""

    data: bytes
    duration_s: float
    truth: Texts


@dataclass(frozen=True)
class Run:
    """What one side needed for all recordings, and how much of the text was wrong."""

    wall_s: float
    cpu_s: float
    character_error: float


@dataclass(frozen=True)
class Side:
    """One way to recognise; `build` runs in each process."""

    name: str
    build: str
    beam_size: int


SIDES_OF_BENCH = (
    Side("callstream, beam 5", "callstream", 5),
    Side("callstream, beam 1", "callstream", 1),
    Side("sequential, beam 5", "sequential", 5),
    Side("sequential, beam 5, no second try", "sequential_once", 5),
    Side("batched, beam 5", "batched", 5),
    Side("batched, beam 5, word times", "batched_words", 5),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "callstream-bench")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--price", type=float, default=0.04, help="of a core-hour, in the currency of your choice")
    parser.add_argument("--joined", action="store_true")
    arguments = parser.parse_args()
    find_weights(MODEL, arguments.cache)
    work = read_calls(arguments.data / "calls")
    if arguments.joined:
        work = [joined(work)] * arguments.processes
    audio_s = sum(each.duration_s for each in work)
    print(f"{len(work)} recordings, {audio_s / 60:.1f} min, {arguments.processes} processes of one thread", flush=True)
    teams = {side: Team(side, arguments.processes, arguments.cache, work) for side in SIDES_OF_BENCH}
    runs: dict[Side, list[Run]] = {side: [] for side in SIDES_OF_BENCH}
    try:
        for repeat in range(arguments.repeats):
            for side, team in teams.items():
                runs[side].append(team.run())
            each = ", ".join(f"{side.name} {runs[side][-1].cpu_s:.1f}" for side in SIDES_OF_BENCH)
            print(f"repeat {repeat + 1}, seconds: {each}", flush=True)
    finally:
        for team in teams.values():
            team.close()
    print("\n| side | RTF | CER | hours of audio per core-hour | cost of 100 min |\n|---|---|---|---|---|")
    for side in SIDES_OF_BENCH:
        rtf = statistics.median(run.cpu_s for run in runs[side]) / audio_s
        cost = arguments.price * 100 / 60 * rtf
        print(f"| {side.name} | {rtf:.4f} | {runs[side][-1].character_error:.3f} | {1 / rtf:.1f} | {cost:.5f} |")
    print("\n| throughput of callstream, beam 5 ÷ that of | median | of each repeat | by the wall clock |")
    print("|---|---|---|---|")
    ours = runs[SIDES_OF_BENCH[0]]
    for side in SIDES_OF_BENCH[1:]:
        ratios = [their.cpu_s / our.cpu_s for their, our in zip(runs[side], ours, strict=True)]
        walls = [their.wall_s / our.wall_s for their, our in zip(runs[side], ours, strict=True)]
        print(f"| {side.name} | {statistics.median(ratios):.2f} | {listed(ratios)} | {listed(walls)} |")


def listed(ratios: Sequence[float]) -> str:
    return ", ".join(f"{ratio:.2f}" for ratio in ratios)


def read_calls(folder: Path) -> list[Work]:
    """Two-channel calls of at least 5 s, longest first, so that no process is left with a long one at the end."""
    work = []
    for file in sorted(folder.glob("*.json")):
        truth = json.loads(file.read_text(encoding="utf-8"))
        if truth.get("mono") or truth["duration_ms"] < 5_000:
            continue
        texts = ["".join(turn["text"] for turn in truth["turns"] if turn["channel"] == side) for side in SIDES]
        work.append(Work(file.with_name(truth["file"]).read_bytes(), truth["duration_ms"] / 1000, texts))
    return sorted(work, key=lambda each: -each.duration_s)


def joined(work: Sequence[Work]) -> Work:
    """One call of all, one after the other."""
    recordings = [decode(each.data, DecodeLimits(LONGEST_MS)) for each in work]
    samples = np.concatenate([np.stack([c.pcm for c in each.channels], axis=1) for each in recordings])
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as target:
        target.setnchannels(2)
        target.setsampwidth(2)
        target.setframerate(recordings[0].channels[0].sample_rate_hz)
        target.writeframes(samples.astype("<i2").tobytes())
    truth = ["".join(each.truth[side] for each in work) for side in range(2)]
    return Work(buffer.getvalue(), sum(each.duration_s for each in work), truth)


class Team:
    """Processes that share the recordings of a run."""

    def __init__(self, side: Side, processes: int, cache: Path, work: Sequence[Work]) -> None:
        context = multiprocessing.get_context("spawn")
        self._work = work
        self._tasks: Queue[int | None] = context.Queue()
        self._results: Queue[tuple[int, Texts, float]] = context.Queue()
        self._members: list[BaseProcess] = [
            context.Process(target=take_part, args=(side, cache, work, self._tasks, self._results))
            for _ in range(processes)
        ]
        for member in self._members:
            member.start()
        for _ in self._members:  # each loads its model and hears one recording
            self._results.get(timeout=300)

    def run(self) -> Run:
        """Hear all recordings."""
        began_s = time.perf_counter()
        for number in range(len(self._work)):
            self._tasks.put(number)
        results = [self._results.get(timeout=600) for _ in self._work]
        wall_s = time.perf_counter() - began_s
        wrong = total = 0
        for number, texts, _ in results:
            for truth, text in zip(self._work[number].truth, texts, strict=True):
                wrong += count_character_errors(read_aloud(truth), read_aloud(text))
                total += len(read_aloud(truth))
        return Run(wall_s, sum(cpu_s for _, _, cpu_s in results), wrong / total)

    def close(self) -> None:
        """End the processes."""
        for _ in self._members:
            self._tasks.put(None)
        for member in self._members:
            member.join(timeout=30)
            if member.is_alive():
                member.terminate()


def take_part(
    side: Side,
    cache: Path,
    work: Sequence[Work],
    tasks: "Queue[int | None]",
    results: "Queue[tuple[int, Texts, float]]",
) -> None:
    """The life of a process."""
    recognize = BUILDERS[side.build](cache, side.beam_size)
    results.put((-1, recognize(work[-1].data), 0.0))
    while (number := tasks.get()) is not None:
        began_s = time.process_time()
        texts = recognize(work[number].data)
        results.put((number, texts, time.process_time() - began_s))


def build_callstream(cache: Path, beam_size: int) -> Recognize:
    engine = FasterWhisperEngine(
        model=MODEL,
        cache_dir=cache,
        device="cpu",
        compute_type=COMPUTE_TYPE,
        threads=1,
        beam_size=beam_size,
        batch_size=BATCH,
    )

    def recognize(data: bytes) -> Texts:
        notes = Notes(engine, load_spelling())
        heard(notes, data, SIDES, "inbound", spelling=load_spelling())
        return notes.texts(2)

    return recognize


def build_plain(cache: Path, beam_size: int, *, batched: bool, **options: Any) -> Recognize:
    from faster_whisper import (  # type: ignore[import-untyped] # ships without types
        BatchedInferencePipeline,
        WhisperModel,
        decode_audio,
    )

    model: Any = WhisperModel(
        str(find_weights(MODEL, cache).folder), device="cpu", compute_type=COMPUTE_TYPE, cpu_threads=1
    )
    how: dict[str, Any] = {"language": "zh", "beam_size": beam_size, "vad_filter": True, **options}
    if batched:
        model = BatchedInferencePipeline(model)
        how["batch_size"] = BATCH

    def recognize(data: bytes) -> Texts:
        channels = decode_audio(io.BytesIO(data), sampling_rate=16_000, split_stereo=True)
        texts = ["".join(segment.text for segment in model.transcribe(channel, **how)[0]) for channel in channels]
        return list(to_script(texts, "simplified", "zh"))

    return recognize


BUILDERS: dict[str, Callable[[Path, int], Recognize]] = {
    "callstream": build_callstream,
    "sequential": lambda cache, beam: build_plain(cache, beam, batched=False),
    "sequential_once": lambda cache, beam: build_plain(cache, beam, batched=False, temperature=0),
    "batched": lambda cache, beam: build_plain(cache, beam, batched=True),
    "batched_words": lambda cache, beam: build_plain(cache, beam, batched=True, word_timestamps=True),
}


if __name__ == "__main__":
    main()
