"""How right the judge is on calls as they are heard: hearing, rules and reading together.

    python benchmarks/spoken.py --data DIR [--transcripts FOLDER] [--as-recognised]

`DIR` holds recordings with two channels, each with a JSON of the same name: `turns` with `channel`, `start_ms`,
`end_ms` and `text`, and `expect` with `violations` (of `turn`), `select` and `topics`. A violating turn is found when
something that the agent says in its time is found or suspected. Each call is judged twice: as it is heard, and as it
was truly said, so that what the recogniser costs can be told from what the judge does not know. `--transcripts` keeps
what was heard, so that it is heard once. Intervals are 95 %, by Wilson's formula (Wilson 1927).
"""

import argparse
import json
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.character_errors import count_character_errors, read_aloud
from benchmarks.judging import OF_VIOLATIONS, score, share
from benchmarks.listening_accuracy import SIDES, Notes, heard
from processors.detectors.reading import SUSPECTED
from processors.judging.pipeline import Judge, JudgeSettings
from processors.listening.engines.faster_whisper import FasterWhisperEngine
from processors.listening.respelling import SpellingModel, load_spelling
from processors.rules.examples import imagine_transcript
from schemas.messages.call_analysis import CallAnalysis
from schemas.messages.finding import Finding
from schemas.messages.transcript import Transcript
from training.masked import mask_lines


@dataclass(frozen=True)
class SpokenCall:
    """A call, what was heard of it, and how many of its characters were heard wrong."""

    truth: dict[str, Any]
    transcript: Transcript
    characters: int
    wrong: int


@dataclass(frozen=True)
class Judged:
    """What is true of a call, and what the judge says."""

    expected: dict[str, Any]
    agent_turns: frozenset[int]
    found_turns: frozenset[int]
    analysis: CallAnalysis


def main() -> None:
    """Print both tables and the calls one by one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of recordings with the truth beside them")
    parser.add_argument("--transcripts", type=Path, help="folder in which what was heard is kept")
    parser.add_argument("--as-recognised", action="store_true", help="without putting characters of one sound right")
    options = parser.parse_args()
    spelling = None if options.as_recognised else load_spelling()
    calls = list(hear(sorted(options.data.glob("*.json")), options.transcripts, spelling))
    judge = Judge(JudgeSettings())
    as_heard = [of_heard(judge, call) for call in calls]
    print_table("as heard", as_heard)
    wrong, characters = sum(call.wrong for call in calls), sum(call.characters for call in calls)
    print(f"  {'characters wrong':40} {wrong / characters:.3f} ({wrong} of {characters})")
    print_table("as truly said", [of_said(judge, call.truth) for call in calls])
    print("\ncall by call, as heard: wanted; triggers; violating turns and found ones; topics and found ones")
    for call, one in zip(calls, as_heard, strict=True):
        selection = one.analysis.selection
        triggers = [trigger.name for trigger in selection.triggers] if selection is not None else []
        true = sorted(violating(one.expected))
        topics = [topic.name for topic in one.analysis.topics]
        print(f"  {call.truth['id']}  {one.expected['select']}  {triggers}  {true} {sorted(one.found_turns)}", end="  ")
        print(f"{one.expected['topics']} {topics}")


def hear(truth_files: Iterable[Path], kept: Path | None, spelling: SpellingModel | None) -> Iterator[SpokenCall]:
    """Every call that is heard, by the packaged recogniser; none that ends without being heard."""
    engine = FasterWhisperEngine(
        model="packaged",
        cache_dir=Path(tempfile.gettempdir()) / "callstream-bench",
        device="cpu",
        compute_type="int8",
        threads=1,
        beam_size=5,
        batch_size=8,
    )
    for file in truth_files:
        truth = json.loads(file.read_text(encoding="utf-8"))
        memory = kept / f"{file.stem}.json" if kept is not None else None
        if memory is not None and memory.exists():
            said = json.loads(memory.read_text(encoding="utf-8"))
            yield SpokenCall(truth, Transcript.model_validate(said["transcript"]), said["characters"], said["wrong"])
            continue
        notes = Notes(engine, spelling)
        recording = file.with_name(truth["file"]).read_bytes()
        transcript = heard(notes, recording, SIDES, truth["direction"], spelling=spelling)
        if transcript.outcome is not None:
            continue
        call = transcript.call.model_copy(update={"industry": truth["industry"], "call_id": truth["id"]})
        transcript = transcript.model_copy(update={"call": call, "call_id": truth["id"]})
        wrong = characters = 0
        for side, text in zip(SIDES, notes.texts(2), strict=True):
            spoken = read_aloud("".join(turn["text"] for turn in truth["turns"] if turn["channel"] == side))
            wrong += count_character_errors(spoken, read_aloud(text))
            characters += len(spoken)
        if memory is not None:
            memory.parent.mkdir(parents=True, exist_ok=True)
            content = {"transcript": transcript.model_dump(mode="json"), "characters": characters, "wrong": wrong}
            memory.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
        yield SpokenCall(truth, transcript, characters, wrong)


def of_heard(judge: Judge, call: SpokenCall) -> Judged:
    """The call as it was heard: what is found counts for the turns of the agent in whose time it is said."""
    analysis = judge.judge(call.transcript, call.transcript.transcribed_at)
    times = [(finding.start_ms, finding.end_ms) for finding in wrong_words(analysis)]
    turns = of_agent(call.truth)
    found = frozenset(
        number
        for number, turn in turns.items()
        if any(start < turn["end_ms"] and turn["start_ms"] < end for start, end in times)
    )
    return Judged(call.truth["expect"], frozenset(turns), found, analysis)


def of_said(judge: Judge, truth: dict[str, Any]) -> Judged:
    """The call as it was truly said."""
    lines = mask_lines([(turn["channel"], turn["text"]) for turn in truth["turns"]])
    facts = {"call_id": truth["id"], "direction": truth["direction"]}
    transcript = imagine_transcript(lines, truth["industry"], **facts)
    analysis = judge.judge(transcript, transcript.transcribed_at)
    found = frozenset(int(finding.attributes["segment_id"]) for finding in wrong_words(analysis))
    return Judged(truth["expect"], frozenset(of_agent(truth)), found, analysis)


def of_agent(truth: dict[str, Any]) -> dict[int, dict[str, Any]]:
    """The turns of the agent by their numbers."""
    return {number: turn for number, turn in enumerate(truth["turns"]) if turn["channel"] == "agent"}


def wrong_words(analysis: CallAnalysis) -> list[Finding]:
    """What is found or suspected to be wrong in the words of the agent."""
    return [
        finding
        for finding in analysis.findings
        if finding.role == "agent"
        and "segment_id" in finding.attributes
        and (finding.category in OF_VIOLATIONS or finding.category.startswith(SUSPECTED))
    ]


def violating(expected: dict[str, Any]) -> set[int]:
    """Numbers of the turns in which the agent breaks a rule."""
    return {each["turn"] for each in expected["violations"]}


def print_table(title: str, calls: Sequence[Judged]) -> None:
    """Precision and recall of violations, of what is worth hearing and of topics."""
    turns = [
        (turn in one.found_turns, turn in violating(one.expected)) for one in calls for turn in sorted(one.agent_turns)
    ]
    selected = [
        (bool(one.analysis.selection is not None and one.analysis.selection.selected), bool(one.expected["select"]))
        for one in calls
    ]
    read = [(one.analysis.measures.get("reading_selects") is True, bool(one.expected["select"])) for one in calls]
    names = [({topic.name for topic in one.analysis.topics}, one.expected["topics"]) for one in calls]
    topics = [(name in found, name in true) for found, true in names for name in sorted(found | set(true))]
    with_main = [(found, true[0]) for found, true in names if true]
    print(f"\n{title}: {len(calls)} calls")
    print(f"  {'violations by turn':40} {score(turns)}")
    print(f"  {'worth hearing, triggers':40} {score(selected)}")
    print(f"  {'worth hearing, reading':40} {score(read)}")
    print(f"  {'main topic found':40} {share(sum(main in found for found, main in with_main), len(with_main))}")
    print(f"  {'topics':40} {score(topics)}")


if __name__ == "__main__":
    main()
