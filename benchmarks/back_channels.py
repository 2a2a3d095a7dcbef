"""Back-channels and interruptions in two-channel calls, beside call-ai-metrics, as recorded and spoilt.

    pip install call-ai-metrics
    python benchmarks/back_channels.py --data DIR/calls

DIR/calls holds recordings, each with a JSON of the same name: `turns`, of which back-channels have the tag
`backchannel`, and in `expect` the numbers of interruptions. Each call is heard as recorded, with noise, with crosstalk
of the other side, and with both. Of back-channels is counted how many are found, of those that are there, and how many
are counted that are not; a call that has none can only be wrong. Without call-ai-metrics (MIT), which finds speech by
its energy and knows no words, only ours are printed.
"""

import argparse
import json
import tempfile
import wave
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.listening_accuracy import SIDES, heard
from processors.judging.pipeline import Judge, JudgeSettings
from processors.listening.engines.faster_whisper import FasterWhisperEngine
from processors.listening.respelling import load_spelling

Sound = NDArray[np.float64]
"""Shape (samples, 2), −1…1."""

SPOILT: Mapping[str, tuple[float | None, float | None]] = {
    "as recorded": (None, None),
    "noise at −45 dBFS": (None, -45),
    "noise at −36 dBFS": (None, -36),
    "crosstalk at −25 dB": (-25, None),
    "crosstalk at −20 dB": (-20, None),
    "crosstalk at −15 dB": (-15, None),
    "crosstalk at −20 dB, noise at −42 dBFS": (-20, -42),
}
"""How far below the other side its leak is, and how loud white noise is."""


@dataclass(frozen=True)
class Counted:
    """By side: back-channels and interruptions."""

    back_channels: tuple[int, int]
    interruptions: tuple[int, int]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of recordings with their truth")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "callstream-bench")
    options = parser.parse_args()
    truths = [truth for truth in _truths(options.data) if not truth.get("mono")]
    if not truths:
        parser.error(f"--data: {options.data} holds no recording of two channels with its truth")
    ours, peers = _Ours(options.cache), _peer()
    print("| | back-channels: callstream | call-ai-metrics | interruptions right: callstream | call-ai-metrics |")
    print("|---|---|---|---|---|")
    for name, (crosstalk_db, noise_db) in SPOILT.items():
        cells: list[str] = []
        counted: dict[str, list[tuple[Counted, Counted]]] = {"ours": [], "peer": []}
        for truth in truths:
            sound, rate = _read(options.data / truth["file"])
            spoilt = _as_wave(_spoil(sound, crosstalk_db, noise_db), rate)
            expected = _expected(truth)
            counted["ours"].append((expected, ours.count(spoilt, truth)))
            if peers is not None:
                counted["peer"].append((expected, peers(spoilt)))
        for what in (_back_channels, _interruptions):
            cells += [what(counted[who]) if counted[who] else "–" for who in ("ours", "peer")]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def _truths(folder: Path) -> Iterator[dict[str, Any]]:
    for file in sorted(folder.glob("*.json")):
        yield json.loads(file.read_text(encoding="utf-8"))


def _expected(truth: dict[str, Any]) -> Counted:
    tagged = [turn["channel"] for turn in truth["turns"] if turn.get("tag") == "backchannel"]
    found = truth["expect"]
    return Counted(
        (tagged.count("agent"), tagged.count("customer")),
        (found.get("agent_interruptions", 0), found.get("customer_interruptions", 0)),
    )


def _back_channels(counted: list[tuple[Counted, Counted]]) -> str:
    pairs = [pair for true, found in counted for pair in zip(true.back_channels, found.back_channels, strict=True)]
    right = sum(min(true, found) for true, found in pairs)
    return f"{right} of {sum(true for true, _ in pairs)}, {sum(found for _, found in pairs) - right} wrong"


def _interruptions(counted: list[tuple[Counted, Counted]]) -> str:
    pairs = [pair for true, found in counted for pair in zip(true.interruptions, found.interruptions, strict=True)]
    return f"{sum(true == found for true, found in pairs)} of {len(pairs)} sides"


class _Ours:
    """Hears with Whisper base and judges."""

    def __init__(self, cache: Path) -> None:
        self._engine = FasterWhisperEngine(
            model="packaged", cache_dir=cache, device="cpu", compute_type="int8", threads=1, beam_size=5, batch_size=8
        )
        self._spelling, self._judge = load_spelling(), Judge(JudgeSettings())

    def count(self, recording: bytes, truth: dict[str, Any]) -> Counted:
        transcript = heard(self._engine, recording, SIDES, truth["direction"], spelling=self._spelling)
        measures = self._judge.judge(transcript, transcript.transcribed_at).measures

        def of(measure: str) -> tuple[int, int]:
            agent, customer = (int(measures.get(f"{side}_{measure}") or 0) for side in SIDES)
            return agent, customer

        return Counted(of("back_channels"), of("interruptions"))


def _peer() -> Any:
    """What counts the same with call-ai-metrics; None where it is not installed."""
    try:
        from call_ai_metrics import analyze  # type: ignore[import-not-found]
    except ImportError:
        return None

    def count(recording: bytes) -> Counted:
        with tempfile.NamedTemporaryFile(suffix=".wav") as file:
            file.write(recording)
            file.flush()
            report = analyze(file.name, speakers=list(SIDES))
        agent, customer = (report[side] for side in SIDES)
        return Counted((agent.backchannels, customer.backchannels), (agent.interruptions, customer.interruptions))

    return count


def _read(file: Path) -> tuple[Sound, int]:
    with wave.open(str(file)) as recording:
        samples = np.frombuffer(recording.readframes(recording.getnframes()), dtype="<i2")
        return samples.reshape(-1, recording.getnchannels()) / 32_768, recording.getframerate()


def _spoil(sound: Sound, crosstalk_db: float | None, noise_db: float | None) -> Sound:
    spoilt = sound
    if crosstalk_db is not None:
        spoilt = spoilt + sound[:, ::-1] * 10 ** (crosstalk_db / 20)
    if noise_db is not None:
        spoilt = spoilt + np.random.default_rng(0).normal(0, 10 ** (noise_db / 20), sound.shape)
    return spoilt


def _as_wave(sound: Sound, rate: int) -> bytes:
    with tempfile.SpooledTemporaryFile() as file:
        with wave.open(file, "wb") as recording:
            recording.setnchannels(2)
            recording.setsampwidth(2)
            recording.setframerate(rate)
            recording.writeframes((np.clip(sound, -1, 1) * 32_767).astype("<i2").tobytes())
        file.seek(0)
        return file.read()


if __name__ == "__main__":
    main()
