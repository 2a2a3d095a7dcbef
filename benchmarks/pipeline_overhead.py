"""What the pipeline costs beside recognition: calls through the running stack against a plain loop.

    python benchmarks/pipeline_overhead.py [--repeats 3]

Both sides recognise the same recordings with the same model, threads, compute type and beam, one after the other in
this run, and both give word times. The loop is what one writes with faster-whisper in an afternoon: decode, and
transcribe each channel with its VAD. The pipeline's time runs from the first publish to the moment when ClickHouse
holds the outcome of the last call. Every repeat uses new call ids, so nothing is found to be done already.
Prints ratios (pipeline ÷ loop), their median, and the peak memory of every process of the stack.
"""

import argparse
import io
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from processors.listening.engines.faster_whisper import WhisperSettings
from processors.listening.engines.weights import find_weights
from streams.adapters.clickhouse.connection import connect
from streams.adapters.decoder.process import DecoderProcess
from streams.adapters.kafka.client import Publisher
from streams.demo.examples import example_recordings
from streams.embedded.stack import Stack, StackPlan, stages_of
from streams.settings import Settings, load_settings
from streams.stages.capture import facts_of_recording, read_facts
from streams.stages.take_in import take_in_file, take_in_from

TENANT = "benchmark"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    arguments.add_argument("--repeats", type=int, default=3)
    repeats: int = arguments.parse_args().repeats
    files = [file for file in example_recordings() if "misdial" not in file.stem]
    base = load_settings({}).settings
    loop = PlainLoop(base)
    ratios: dict[str, list[float]] = {"with word times": [], "without word times": []}
    with (
        tempfile.TemporaryDirectory(prefix="callstream-bench-") as folder,
        Stack(StackPlan("tansu", Path(folder), restart_workers=False), base) as stack,
    ):
        stack.start()
        through_pipeline(stack, files[:1])  # the workers have joined and loaded the model
        for repeat in range(repeats):
            pipeline_s = through_pipeline(stack, files)
            for name, word_times in (("with word times", True), ("without word times", False)):
                loop_s = loop.run(files, word_times=word_times)
                ratios[name].append(pipeline_s / loop_s)
                sides = f"pipeline {pipeline_s:.1f} s ÷ loop {name} {loop_s:.1f} s"
                print(f"repeat {repeat + 1}: {sides} = {pipeline_s / loop_s:.2f}", flush=True)
        memory = peak_memory_mb(stack)
    for name, values in ratios.items():
        print(f"pipeline ÷ plain loop {name}: median {statistics.median(values):.2f} of {len(values)} (goal ≤ 1.10)")
    print("peak memory: " + ", ".join(f"{name} {mb:.0f} MB" for name, mb in memory.items()))


class PlainLoop:
    """faster-whisper per channel in sequence."""

    def __init__(self, settings: Settings) -> None:
        from faster_whisper import WhisperModel  # type: ignore[import-untyped] # ships without types

        whisper = settings.part(WhisperSettings)
        folder = find_weights(whisper.whisper_model, settings.cache_dir).folder
        self._beam_size = whisper.whisper_beam_size
        self._model: Any = WhisperModel(
            str(folder), device="cpu", compute_type=whisper.whisper_compute_type, cpu_threads=whisper.whisper_threads
        )

    def run(self, files: Sequence[Path], *, word_times: bool) -> float:
        """Seconds for all files."""
        from faster_whisper import decode_audio

        began_s = time.perf_counter()
        for file in files:
            data = io.BytesIO(file.read_bytes())
            stereo = "mono" not in file.stem
            channels = decode_audio(data, sampling_rate=16_000, split_stereo=stereo)
            for channel in channels if stereo else (channels,):
                segments, _ = self._model.transcribe(
                    channel, language="zh", beam_size=self._beam_size, vad_filter=True, word_timestamps=word_times
                )
                list(segments)
        return time.perf_counter() - began_s


def through_pipeline(stack: Stack, files: Sequence[Path]) -> float:
    """Seconds from the first publish until every call has its outcome in ClickHouse."""
    settings = stack.settings
    publisher = Publisher(settings)
    client = connect(settings.clickhouse_url.get_secret_value())
    run = uuid4().hex[:8]
    most_bytes = settings.max_recording_bytes
    with DecoderProcess() as decoder:
        take_in = take_in_from(settings, publisher, decoder.probe)
        calls = []
        for file in files:
            facts = read_facts(file.with_suffix(".json")) | {"tenant_id": TENANT, "call_id": f"{run}-{file.stem}"}
            calls.append((file, facts_of_recording(file, facts, most_bytes, decoder.probe)))
        began_s = time.perf_counter()
        for file, facts in calls:
            take_in_file(take_in, file, facts, most_bytes, source="publish")
    query = "SELECT count() FROM outcomes WHERE outcome != 'pending' AND startsWith(call_id, {run:String})"
    while client.query(query, parameters={"run": run}).result_rows[0][0] < len(calls):
        stack.check()
        time.sleep(0.05)
    return time.perf_counter() - began_s


def peak_memory_mb(stack: Stack) -> dict[str, float]:
    """The largest resident size that each process has had."""
    peaks: dict[str, float] = {}
    workers = [f"{stage}-0" if stage == "listen" else stage for stage in stages_of(stack.settings)]
    for name in ("tansu", "clickhouse", *workers):
        pid = stack.supervisor.pid(name)
        for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                peaks[name] = int(line.split()[1]) / 1024
    return peaks


if __name__ == "__main__":
    main()
