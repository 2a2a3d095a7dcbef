"""How many of the digits of personal numbers are muted in the sound, and how much else is.

    python benchmarks/muted_digits.py --data DIR [DIR ...] [--transcripts FOLDER] [--hear-again]

Each `DIR` holds recordings with the truth beside them, as `listening_accuracy.py` describes it; a number is a turn with
a `tag` that begins with `pii`, or a quote of `expect.pii`. When a character is said is not in the truth: it is
taken for as long as any other of its turn. A digit counts as muted when all of its time is. `--transcripts` keeps what
was heard, so that it is heard once. `--hear-again` has the recogniser hear what is left of the muted recordings.
"""

import argparse
import io
import json
import re
import tempfile
import wave
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.listening_accuracy import LONGEST_MS, SIDES, Notes, heard
from processors.custody.muting import MutedStretch, Muter, muted_stretches
from processors.listening.audio import DecodeLimits, decode
from processors.listening.engines.faster_whisper import FasterWhisperEngine
from processors.listening.respelling import load_spelling
from schemas.messages.transcript import Transcript

DIGITS = "零一二三四五六七八九幺两〇"
_TO_DIGITS = str.maketrans("零〇一幺二两三四五六七八九", "0011223456789")
_SPOKEN = re.compile(r"[一-鿿A-Za-z0-9]")


@dataclass(frozen=True)
class Said:
    """Something personal that was said: the characters and when each was, about."""

    kind: str
    text: str
    times: tuple[tuple[float, float], ...]

    @property
    def digits(self) -> list[tuple[float, float]]:
        """When its digits were said."""
        return [time for letter, time in zip(self.text, self.times, strict=True) if letter in DIGITS]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+", required=True)
    parser.add_argument("--transcripts", type=Path)
    parser.add_argument("--hear-again", action="store_true")
    arguments = parser.parse_args()
    cache = Path(tempfile.gettempdir()) / "callstream-bench"
    engine = FasterWhisperEngine(
        model="packaged", cache_dir=cache, device="cpu", compute_type="int8", threads=1, beam_size=5, batch_size=8
    )
    print(
        "| call | digits | muted | names and addresses, characters | muted | speech s | muted s | without need s |",
        end="",
    )
    print(" of a number heard again |" if arguments.hear_again else "")
    print("|---" * (8 + arguments.hear_again) + "|")
    rows = []
    for file in sorted(file for folder in arguments.data for file in folder.glob("*.json")):
        row = measured(engine, file, arguments.transcripts, hear_again=arguments.hear_again)
        if row is not None:
            rows.append(row)
            print(line(file.stem, row), flush=True)
    print(line("**all**", [sum(column) for column in zip(*(row[:7] for row in rows), strict=True)]))


def line(name: str, row: Sequence[float | str]) -> str:
    cells = [f"{cell:.1f}" if isinstance(cell, float) else str(cell) for cell in row]
    return f"| {name} | {' | '.join(cells)} |"


def measured(
    engine: FasterWhisperEngine, file: Path, kept: Path | None, *, hear_again: bool
) -> list[float | str] | None:
    """None for a call that was not heard."""
    truth = json.loads(file.read_text(encoding="utf-8"))
    data = file.with_name(truth["file"]).read_bytes()
    roles = None if truth.get("mono") else SIDES
    place = kept / f"{file.stem}.json" if kept else None
    if place is not None and place.exists():
        transcript = Transcript.decode(place.read_bytes())
    else:
        transcript = heard(engine, data, roles, truth["direction"], spelling=load_spelling())
        if place is not None:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(transcript.encode())
    if transcript.outcome is not None:
        return None
    stretches = muted_stretches(transcript)
    things = list(personal(truth))
    digits = [time for thing in things for time in thing.digits]
    others = [t for thing in things if not thing.digits or thing.kind in ("name", "address") for t in thing.times]
    spoken_ms, muted_ms = speech_ms(truth, stretches)
    needed_ms = sum(overlap(stretches, *time) for thing in things for time in thing.times)
    row: list[float | str] = [
        len(digits),
        sum(is_muted(stretches, time) for time in digits),
        len(others),
        sum(is_muted(stretches, time) for time in others),
        spoken_ms / 1000,
        muted_ms / 1000,
        max(0.0, muted_ms - needed_ms) / 1000,
    ]
    if hear_again:
        notes = Notes(engine)
        heard(notes, muted_wav(data, stretches), roles, truth["direction"])
        left = "".join(notes.texts(2)).translate(_TO_DIGITS)
        runs = [
            longest_run("".join(c for c in t.text if c in DIGITS).translate(_TO_DIGITS), left)
            for t in things
            if t.digits
        ]
        row.append(max(runs, default=0))
    return row


def personal(truth: dict[str, Any]) -> Iterator[Said]:
    """What of the truth is personal, with the times of its characters."""
    for number, turn in enumerate(truth["turns"]):
        if turn.get("tag", "").startswith("pii"):
            yield _said(turn, turn["text"], turn["tag"])
        for one in truth["expect"].get("pii", []):
            if isinstance(one, dict) and one["turn"] == number:
                yield _said(turn, one["quote"], one["kind"])


def _said(turn: dict[str, Any], quote: str, kind: str) -> Said:
    at = turn["text"].index(quote)
    spoken = [place for place, letter in enumerate(turn["text"]) if _SPOKEN.match(letter)]
    each_ms = (turn["end_ms"] - turn["start_ms"]) / len(spoken)
    times = {p: (turn["start_ms"] + n * each_ms, turn["start_ms"] + (n + 1) * each_ms) for n, p in enumerate(spoken)}
    mine = [place for place in range(at, at + len(quote)) if place in times]
    return Said(kind, "".join(turn["text"][place] for place in mine), tuple(times[place] for place in mine))


def overlap(stretches: Sequence[MutedStretch], start_ms: float, end_ms: float) -> float:
    return sum(max(0.0, min(end_ms, each.end_ms) - max(start_ms, each.start_ms)) for each in stretches)


def is_muted(stretches: Sequence[MutedStretch], time: tuple[float, float]) -> bool:
    return overlap(stretches, *time) >= time[1] - time[0] - 1e-6


def speech_ms(truth: dict[str, Any], stretches: Sequence[MutedStretch]) -> tuple[float, float]:
    """Milliseconds of turns, and how many of them are muted."""
    turns = [(turn["start_ms"], turn["end_ms"]) for turn in truth["turns"]]
    return sum(end - start for start, end in turns), sum(overlap(stretches, *turn) for turn in turns)


def muted_wav(data: bytes, stretches: tuple[MutedStretch, ...]) -> bytes:
    """The recording as it may be heard, as a WAV file."""
    recording = decode(data, DecodeLimits(LONGEST_MS))
    rate_hz = recording.channels[0].sample_rate_hz
    samples = Muter(stretches, rate_hz).mute(np.stack([channel.pcm for channel in recording.channels], axis=1), 0)
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as target:
        target.setnchannels(samples.shape[1])
        target.setsampwidth(2)
        target.setframerate(rate_hz)
        target.writeframes(samples.astype("<i2").tobytes())
    return buffer.getvalue()


def longest_run(number: str, text: str) -> int:
    """Of a number, the most digits in a row that stand in a text."""
    written = re.sub(r"[\s,，。、-]", "", text)
    return SequenceMatcher(None, number, written, autojunk=False).find_longest_match().size


if __name__ == "__main__":
    main()
