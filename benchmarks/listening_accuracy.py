"""How well calls are heard: roles, turns, overlaps and character errors against the truth beside the recordings.

    python benchmarks/listening_accuracy.py --data DIR [--model packaged] [--beam 5] [--as-recognised]

`DIR/calls` holds recordings, each with a JSON of the same name: `turns` with `channel` (agent, customer), `start_ms`,
`end_ms` and `text`, and `mono` for a recording with both speakers on one channel. `DIR/speech_zh` (if it is there)
holds recordings of one channel and `transcripts.tsv` with a file name and its text a line. Two-channel calls are heard
three times: as they are, with the roles not told, and with swapped channels and the roles not told. Characters are
compared before personal data is masked: what is masked was not misheard. With `--as-recognised` characters of the same
sound are not put right.
"""

import argparse
import io
import json
import tempfile
import time
import wave
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.character_errors import count_character_errors, read_aloud
from processors.emotion.segments import EmotionModel
from processors.listening.audio import DecodeLimits, decode
from processors.listening.engine_port import Recognition, SpeechClip, SpeechEngine, StatesPool
from processors.listening.engines.faster_whisper import FasterWhisperEngine
from processors.listening.hallucination import sift
from processors.listening.pipeline import ListenSettings, listen
from processors.listening.respelling import SpellingModel, load_spelling
from processors.text.chinese_script import to_script
from processors.text.conversation import LEAST_OVERLAP_MS
from schemas.messages.call_ended import Agent, Audio, CallEnded, Role
from schemas.messages.transcript import EngineIdentity, Transcript

TOLERANCE_MS = 300
NOW = datetime(2026, 1, 1, tzinfo=UTC)
LONGEST_MS = 4 * 60 * 60 * 1000
SIDES: tuple[Role, Role] = ("agent", "customer")


@dataclass(frozen=True)
class Score:
    """What was counted on one call."""

    name: str
    characters: int
    wrong: int
    turns: int
    turns_right: int
    true_overlaps: int
    overlaps_right: bool
    roles_right: int
    roles_asked: int
    rejected: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="packaged")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "callstream-bench")
    parser.add_argument("--beam", type=int, default=5)
    parser.add_argument("--compute-type", default="int8")
    parser.add_argument("--skip-roles", action="store_true", help="hear each call once")
    parser.add_argument("--as-recognised", action="store_true", help="without putting characters of one sound right")
    arguments = parser.parse_args()
    spelling = None if arguments.as_recognised else load_spelling()
    engine = FasterWhisperEngine(
        model=arguments.model,
        cache_dir=arguments.cache,
        device="cpu",
        compute_type=arguments.compute_type,
        threads=1,
        beam_size=arguments.beam,
        batch_size=8,
    )
    print(f"{engine.identity.name} {engine.identity.version}, {engine.identity.model}, {engine.identity.settings}\n")
    print("| call | CER | wrong / characters | turns within 300 ms | overlaps | roles inferred right | rejected |")
    print("|---|---|---|---|---|---|---|")
    scores = []
    for truth_file in sorted((arguments.data / "calls").glob("*.json")):
        score = score_call(engine, spelling, truth_file, with_roles=not arguments.skip_roles)
        if score is not None:
            print(line(score), flush=True)
            scores.append(score)
    print(line(total(scores)))
    read = arguments.data / "speech_zh"
    if read.is_dir():
        print("\n| clip | CER | wrong / characters |\n|---|---|---|")
        wrong = characters = 0
        for name, clip_wrong, clip_characters in score_clips(engine, spelling, read):
            print(f"| {name} | {share(clip_wrong, clip_characters)} | {clip_wrong} / {clip_characters} |", flush=True)
            wrong, characters = wrong + clip_wrong, characters + clip_characters
        print(f"| **all** | **{share(wrong, characters)}** | {wrong} / {characters} |")


def line(score: Score) -> str:
    overlaps = f"{score.true_overlaps} {'exactly' if score.overlaps_right else 'NOT exactly'}"
    roles = f"{score.roles_right} of {score.roles_asked}" if score.roles_asked else "not asked"
    cells = [
        score.name,
        share(score.wrong, score.characters),
        f"{score.wrong} / {score.characters}",
        f"{score.turns_right} of {score.turns}",
        overlaps,
        roles,
        str(score.rejected),
    ]
    return "| " + " | ".join(cells) + " |"


def total(scores: list[Score]) -> Score:
    return Score(
        "**all**",
        sum(score.characters for score in scores),
        sum(score.wrong for score in scores),
        sum(score.turns for score in scores),
        sum(score.turns_right for score in scores),
        sum(score.true_overlaps for score in scores),
        all(score.overlaps_right for score in scores),
        sum(score.roles_right for score in scores),
        sum(score.roles_asked for score in scores),
        sum(score.rejected for score in scores),
    )


def share(part: int, whole: int) -> str:
    return f"{part / whole:.3f}" if whole else "–"


def score_call(
    engine: SpeechEngine, spelling: SpellingModel | None, truth_file: Path, *, with_roles: bool
) -> Score | None:
    """None for a call that ends without being heard, such as a misdial."""
    truth = json.loads(truth_file.read_text(encoding="utf-8"))
    data = truth_file.with_name(truth["file"]).read_bytes()
    mono = bool(truth.get("mono"))
    turns = truth["turns"]
    notes = Notes(engine, spelling)
    transcript = heard(notes, data, None if mono else SIDES, truth["direction"])
    if transcript.outcome is not None:
        return None
    wrong = characters = 0
    for side, text in zip((None,) if mono else SIDES, notes.texts(1 if mono else 2), strict=True):
        said = read_aloud("".join(turn["text"] for turn in turns if side in (None, turn["channel"])))
        wrong, characters = wrong + count_character_errors(said, read_aloud(text)), characters + len(said)
    true_overlaps = list(overlaps_of([(turn["channel"], turn["start_ms"], turn["end_ms"]) for turn in turns]))
    roles_right = roles_asked = 0
    if with_roles and not mono:
        for recording, agent_channel in ((data, 0), (swapped(data), 1)):
            guess = heard(engine, recording, None, truth["direction"])
            roles_asked += 1
            roles_right += guess.roles_inferred and all(
                (segment.role == "agent") == (segment.channel == agent_channel) for segment in guess.segments
            )
    return Score(
        truth_file.stem,
        characters,
        wrong,
        len(turns),
        sum(is_found(turn, transcript, mono) for turn in turns),
        len(true_overlaps),
        mono or are_the_same(true_overlaps, transcript),
        roles_right,
        roles_asked,
        len(transcript.rejected),
    )


def is_found(turn: dict[str, Any], transcript: Transcript, mono: bool) -> bool:
    return any(
        abs(segment.start_ms - turn["start_ms"]) <= TOLERANCE_MS
        and abs(segment.end_ms - turn["end_ms"]) <= TOLERANCE_MS
        for segment in transcript.segments
        if mono or segment.role == turn["channel"]
    )


def overlaps_of(turns: Sequence[tuple[str, int, int]]) -> Iterator[tuple[int, int, str]]:
    """Where two turns (who, from ms, to ms; in order) of different speakers overlap, and who began to speak later.

    A shorter overlap than `LEAST_OVERLAP_MS` is none, as for the measures: voice activity adds as much to a turn.
    """
    for position, (first, _, first_end_ms) in enumerate(turns):
        for second, start_ms, second_end_ms in turns[position + 1 :]:
            end_ms = min(first_end_ms, second_end_ms)
            if first != second and end_ms - start_ms >= LEAST_OVERLAP_MS:
                yield start_ms, end_ms, second


def are_the_same(true: list[tuple[int, int, str]], transcript: Transcript) -> bool:
    found = list(overlaps_of([(each.role, each.start_ms, each.end_ms) for each in transcript.segments]))
    return len(found) == len(true) and all(
        abs(start_ms - true_start_ms) <= TOLERANCE_MS and abs(end_ms - true_end_ms) <= TOLERANCE_MS and who == true_who
        for (start_ms, end_ms, who), (true_start_ms, true_end_ms, true_who) in zip(found, true, strict=True)
    )


def score_clips(engine: SpeechEngine, spelling: SpellingModel | None, folder: Path) -> Iterator[tuple[str, int, int]]:
    for row in (folder / "transcripts.tsv").read_text(encoding="utf-8").splitlines():
        name, text = row.split("\t")
        notes = Notes(engine, spelling)
        heard(notes, (folder / name).read_bytes(), None, "inbound")
        (found,) = notes.texts(1)
        said = read_aloud(text)
        yield name, count_character_errors(said, read_aloud(found)), len(said)


class Notes:
    """An engine, and what it said: believed, in simplified characters, respelt where a model is given, not masked."""

    def __init__(self, engine: SpeechEngine, spelling: SpellingModel | None = None) -> None:
        self._engine = engine
        self._spelling = spelling
        self._texts: dict[int, str] = {}

    @property
    def identity(self) -> EngineIdentity:
        return self._engine.identity

    def recognize(
        self, clips: Sequence[SpeechClip], *, language_hint: str | None, pool: StatesPool | None = None
    ) -> Recognition:
        recognition = self._engine.recognize(clips, language_hint=language_hint, pool=pool)
        for speech in recognition.speech:
            believed, _ = sift(speech)
            if believed is not None:
                (text,) = to_script([believed.text], "simplified", recognition.language)
                if self._spelling is not None:
                    sure = [word.confidence for word in believed.words for _ in word.text]
                    text = self._spelling.respell(text, sure or [believed.confidence] * len(text))
                self._texts[speech.channel] = self._texts.get(speech.channel, "") + text
        return recognition

    def texts(self, channels: int) -> list[str]:
        """What was said on each channel."""
        return [self._texts.get(channel, "") for channel in range(channels)]


def heard(
    engine: SpeechEngine,
    data: bytes,
    roles: tuple[Role, ...] | None,
    direction: str,
    emotion: EmotionModel | None = None,
    spelling: SpellingModel | None = None,
) -> Transcript:
    audio = Audio(uri="s3://recordings/c1", sha256=sha256(data).hexdigest(), bytes=len(data), channel_roles=roles)
    call = CallEnded.model_validate(
        {
            "tenant_id": "benchmark",
            "call_id": "c1",
            "direction": direction,
            "started_at": NOW,
            "ended_at": NOW,
            "agent": Agent(id="a1"),
            "language_hint": "zh",
            "audio": audio,
        }
    )
    how = ListenSettings(
        min_call_ms=5_000 if roles else 0,
        max_call_ms=LONGEST_MS,
        crosstalk_gate_db=18,
        chinese_script="simplified",
        spelling=spelling,
    )
    return listen(call, data, engine, how, NOW, time.monotonic, emotion)


def swapped(data: bytes) -> bytes:
    """The recording with its two channels exchanged, as a WAV file."""
    recording = decode(data, DecodeLimits(LONGEST_MS))
    samples = np.stack([channel.pcm for channel in reversed(recording.channels)], axis=1).astype("<i2")
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as target:
        target.setnchannels(2)
        target.setsampwidth(2)
        target.setframerate(recording.channels[0].sample_rate_hz)
        target.writeframes(samples.tobytes())
    return buffer.getvalue()


if __name__ == "__main__":
    main()
