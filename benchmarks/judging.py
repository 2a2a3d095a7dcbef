"""How right the judge is on labelled dialogues: rules alone, reading alone, and both.

    python benchmarks/judging.py --data FOLDER
    python benchmarks/judging.py --pairs training/pairs
    python benchmarks/judging.py --chats FOLDER

FOLDER holds dialogues as JSON, a file for each industry: `id`, `turns` of `role` and `text`, and `labels`
(`violations`, `select`, `customer_upset`, `complaint_threat`, `recording_notice`, `identity_verified`, `topics`).
Everything is masked first, as in the pipeline. Intervals are 95 %, by Wilson's formula (Wilson 1927).

Pairs are dialogues in the format of `training/README.md`, each followed by a twin in which one sentence of the agent is
another: of the two, the one with the violation must be read as the worse. Chats are text files of real ones, a chat in
each line: `用户：…` and `客服：…` after each other; in them hardly anything is a violation, so what is suspected is
wrong.
"""

import argparse
import json
import re
import statistics
import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from processors.detectors.reading import SUSPECTED, ReadingSettings
from processors.judging.pipeline import Judge, JudgeSettings
from processors.kpi.statistics import wilson
from processors.reading.call_reader import SUSPECTED_IN_CALL, VIOLATION, CallReader
from processors.reading.features import Said
from processors.rules.examples import imagine_transcript
from processors.text.normalized_text import normalize
from schemas.messages.call_analysis import CallAnalysis, MeasureValue
from schemas.messages.call_ended import Role
from training.dialogues import load_dialogues
from training.masked import Lines, mask_lines

OF_VIOLATIONS = frozenset(
    (
        "advertising_law",
        "consumer_rights",
        "fake_reviews",
        "forbidden_conduct",
        "forbidden_promise",
        "illegal_goods",
        "improper_inducement",
        "misleading_statement",
        "over_promise",
        "patient_safety",
        "poor_service",
        "privacy",
        "private_dealing",
        "rude",
        "rude_words",
        "threat",
    )
)
"""Categories of the shipped rules for something that the agent does wrong with words."""
FACTS = ("direction", "course_type")
"""What is told of a dialogue beside its industry; rules for schools ask for the type of the course."""
UTTERANCES = 70
THREATS = ("complaint_threat", "regulator_threat", "review_threat")


@dataclass(frozen=True)
class Case:
    """A labelled dialogue and what the judge says of it."""

    industry: str
    labels: Mapping[str, Any]
    turns: Lines
    analysis: CallAnalysis
    by_rules: CallAnalysis


def judged(folder: Path) -> list[Case]:
    """Every dialogue of the folder, judged by the shipped rules and heads, and by the rules alone."""
    judge = Judge(JudgeSettings())
    rules = Judge(JudgeSettings(parts=(ReadingSettings(reading=False),)))
    found = []
    for file in sorted(folder.glob("*.json")):
        for dialogue in json.loads(file.read_text(encoding="utf-8")):
            lines = mask_lines([(turn["role"], turn["text"]) for turn in dialogue["turns"]])
            facts = {"call_id": dialogue["id"], **{name: dialogue[name] for name in FACTS if name in dialogue}}
            transcript = imagine_transcript(lines, dialogue["industry"], **facts)
            analysis, by_rules = (each.judge(transcript, transcript.transcribed_at) for each in (judge, rules))
            found.append(Case(dialogue["industry"], dialogue["labels"], lines, analysis, by_rules))
    return found


def said_in(lines: Lines) -> list[Said]:
    """What is said, as the heads see it."""
    return [Said(role, normalize(text).letters) for role, text in lines]


# --- what is compared

Believes = Callable[[Case], bool]


def turns_suspected(case: Case, *, rules: bool, reading: bool) -> set[int]:
    """Turns of the agent in which one of the two finds something wrong."""
    found = set()
    for finding in case.analysis.findings:
        is_read = finding.category.startswith(SUSPECTED)
        if finding.role != "agent" or (is_read and not reading) or (not is_read and not rules):
            continue
        if (is_read or finding.category in OF_VIOLATIONS) and "segment_id" in finding.attributes:
            found.add(int(finding.attributes["segment_id"]))
    return found


def _kinds_suspected(case: Case, *, whole: bool) -> set[str]:
    """Kinds of which utterances are suspected, with `whole` also those of which the call as a whole is."""
    found = [one for one in case.analysis.findings if one.category.startswith(SUSPECTED)]
    return {
        one.category.removeprefix(SUSPECTED) for one in found if whole or not one.rule_id.startswith(SUSPECTED_IN_CALL)
    }


def _upset_turns(cases: Iterable[Case], reader: CallReader) -> str:
    """How often a turn in which the customer is upset is read as more so than another (area under the curve)."""
    upset: list[float] = []
    others: list[float] = []
    for case in cases:
        for number, one in enumerate(reader.read(said_in(case.turns)).utterances):
            if one is not None and one.role == "customer":
                (upset if number in case.labels["upset_turns"] else others).append(one.probabilities["upset"])
    if not upset or not others:
        return "-"
    ordered = sorted(others)
    beaten = sum((bisect_left(ordered, one) + bisect_right(ordered, one)) / 2 for one in upset)
    return f"{beaten / len(upset) / len(others):.3f}  n {len(upset)} of {len(upset) + len(others)}"


def share(hits: int, of: int) -> str:
    """A share with its interval."""
    if of == 0:
        return "-"
    low, high = wilson(hits, of)
    return f"{hits / of:.2f} [{low:.2f}, {high:.2f}]"


def score(pairs: Iterable[tuple[bool, bool]]) -> str:
    """Precision and recall of (said, true)."""
    counted = list(pairs)
    right = sum(said and true for said, true in counted)
    said, true = sum(said for said, _ in counted), sum(true for _, true in counted)
    f1 = 2 * right / (said + true) if said + true else 0
    return f"P {share(right, said)}  R {share(right, true)}  F1 {f1:.2f}  n {true}"


def rows(cases: Sequence[Case], reader: CallReader) -> Iterable[tuple[str, str]]:
    """Name → precision and recall, for each thing that is compared."""
    for who, rules, reading in (("rules", True, False), ("reading", False, True), ("both", True, True)):
        yield (
            f"violations by turn, {who}",
            score(
                (number in turns_suspected(case, rules=rules, reading=reading), number in true)
                for case in cases
                for true in [{one["turn"] for one in case.labels["violations"]}]
                for number, (role, _) in enumerate(case.turns)
                if role == "agent"
            ),
        )
    for who, whole in (("of utterances", False), ("reading", True)):
        yield (
            f"violations by call and kind, {who}",
            score(
                (kind in said, kind in true)
                for case in cases
                for said, true in [
                    (_kinds_suspected(case, whole=whole), {one["kind"] for one in case.labels["violations"]})
                ]
                for kind in said | true
            ),
        )
    yield (
        "calls with violations, both",
        score(
            (bool(turns_suspected(case, rules=True, reading=True)), bool(case.labels["violations"])) for case in cases
        ),
    )
    yield "customer upset by turn, AUC", _upset_turns(cases, reader)
    select = reader.call.threshold("select")

    def risky(case: Case) -> bool:
        return case.analysis.risk is not None and case.analysis.risk.level != "low"

    def threatened(*, doubted: bool) -> Believes:
        return lambda case: any(
            finding.category in THREATS and (doubted or "doubted" not in finding.attributes)
            for finding in case.analysis.findings
        )

    def read(head: str) -> Believes:
        threshold = reader.call.threshold(head)
        return lambda case: (case.analysis.measures.get(f"reading_{head}") or 0) >= threshold

    def triggered(case: Case, *, reading: bool) -> bool:
        selection = case.analysis.selection
        return selection is not None and bool(selection.triggers if reading else selection.certain)

    compared: list[tuple[str, str, Believes]] = [
        ("select, rules (risk medium or high)", "select", risky),
        (f"select, reading (≥ {select:.2f})", "select", read("select")),
        ("select, both", "select", lambda case: risky(case) or read("select")(case)),
        ("select, triggers without reading", "select", lambda case: triggered(case, reading=False)),
        ("select, triggers", "select", lambda case: triggered(case, reading=True)),
        ("complaint threat, rules", "complaint_threat", threatened(doubted=True)),
        ("complaint threat, rules that reading does not doubt", "complaint_threat", threatened(doubted=False)),
        ("complaint threat, reading", "complaint_threat", read("threat")),
        ("customer upset, reading", "customer_upset", read("upset")),
    ]
    for name, label, believes in compared:
        yield name, score((believes(case), bool(case.labels[label])) for case in cases)
    for who, by_rules in (("rules", True), ("rules and reading", False)):
        yield (
            f"recording notice, {who}",
            score((_measures(case, by_rules=by_rules)[_NOTICE] is True, case.labels[_NOTICE]) for case in cases),
        )
    yield from _identity("rules", [(case, case.by_rules.measures[_IDENTITY]) for case in cases])
    yield from _identity("reading", [(case, case.analysis.measures[_IDENTITY_READ]) for case in cases])
    for who, by_rules in (("rules", True), ("rules and reading", False)):
        yield f"topics, {who}", score(_topics(cases, by_rules=by_rules))
        mains = [
            (case.labels["topics"][0], names_of_topics(case, by_rules=by_rules))
            for case in cases
            if case.labels["topics"]
        ]
        yield f"main topic found, {who}", share(sum(main in found for main, found in mains), len(mains))
        yield (
            f"main topic is the first, {who}",
            share(sum(found[:1] == [main] for main, found in mains), len(mains)),
        )


_NOTICE = "recording_notice"
_IDENTITY = "identity_verified_before_disclosure"
_IDENTITY_READ = "reading_identity_verified"


def _measures(case: Case, *, by_rules: bool) -> Mapping[str, MeasureValue]:
    return (case.by_rules if by_rules else case.analysis).measures


def _identity(who: str, values: Iterable[tuple[Case, MeasureValue]]) -> Iterator[tuple[str, str]]:
    """Of the calls in which something personal is told or changed, in how many the measure has a value, and of these
    in how many the right one; of all that have one, in how many something is."""
    said = [(case.labels["identity_verified"], value) for case, value in values]
    measured = [(true, value) for true, value in said if true is not None and value is not None]
    with_value = sum(value is not None for _, value in said)
    yield (
        f"identity measured where it applies, {who}",
        share(len(measured), sum(true is not None for true, _ in said)),
    )
    yield (
        f"identity right where it applies, {who}",
        share(sum(true == value for true, value in measured), len(measured)),
    )
    yield (f"identity applies where measured, {who}", share(len(measured), with_value))


def names_of_topics(case: Case, *, by_rules: bool) -> list[str]:
    """What the call is said to be about, the likeliest first."""
    return [topic.name for topic in (case.by_rules if by_rules else case.analysis).topics]


def _topics(cases: Iterable[Case], *, by_rules: bool) -> Iterable[tuple[bool, bool]]:
    for case in cases:
        found, true = set(names_of_topics(case, by_rules=by_rules)), set(case.labels["topics"])
        yield from ((name in found, name in true) for name in found | true)


def print_pairs(folder: Path, reader: CallReader) -> None:
    """Of how many pairs the worse call, and the worse sentence, is read as the worse; and which are suspected."""
    dialogues = {one.id: one for one in load_dialogues(folder)}
    pairs = [
        sorted((one, dialogues[one.twin_of]), key=lambda each: any(turn.violations for turn in each.turns))
        for one in dialogues.values()
        if one.twin_of is not None
    ]
    calls, sentences, suspected, needlessly = 0, 0, 0, 0
    for good, bad in pairs:
        place = next(n for n, turn in enumerate(bad.turns) if turn.violations)
        of_good, of_bad = (
            reader.read(said_in(mask_lines([(turn.role, turn.text) for turn in each.turns]))) for each in (good, bad)
        )
        sentence = [reading.utterances[place] for reading in (of_good, of_bad)]
        better, worse = (one.probabilities[VIOLATION] if one is not None else 0.0 for one in sentence)
        calls += of_bad.probabilities["select"] > of_good.probabilities["select"]
        sentences += worse > better
        suspected += worse >= reader.agent.threshold(VIOLATION)
        needlessly += better >= reader.agent.threshold(VIOLATION)
    print(f"\n{len(pairs)} pairs")
    print(f"  the worse call is read as the worse      {share(calls, len(pairs))}")
    print(f"  the worse sentence is read as the worse  {share(sentences, len(pairs))}")
    print(f"  the violation is suspected               {share(suspected, len(pairs))}")
    print(f"  its harmless twin is suspected           {share(needlessly, len(pairs))}")


_SPEAKER = re.compile("(用户|客服)[:：]")


def print_chats(folder: Path, reader: CallReader) -> None:
    """How many different sentences of agents are suspected, each read in its chat; and how many chats are selected."""
    suspected: dict[str, bool] = {}
    by_rules: dict[str, str] = {}
    rules = Judge(JudgeSettings(parts=(ReadingSettings(reading=False),)))
    chats, selected, as_a_whole = 0, 0, set[tuple[Said, ...]]()
    for file in sorted(folder.glob("*.txt")):
        for line in file.read_text(encoding="utf-8").splitlines():
            _, *pieces = _SPEAKER.split(line)
            sides: list[Role] = ["agent" if who == "客服" else "customer" for who in pieces[::2]]
            turns = mask_lines(list(zip(sides, pieces[1::2], strict=True)))
            said = [one for one in said_in(turns) if one.letters]
            read = reader.read(said)
            transcript = imagine_transcript([(one.role, one.letters) for one in said], "ecommerce")
            for finding in rules.judge(transcript, transcript.transcribed_at).findings:
                if finding.category in OF_VIOLATIONS and finding.role == "agent" and "segment_id" in finding.attributes:
                    by_rules[said[int(finding.attributes["segment_id"])].letters] = finding.matched
            chats += 1
            if read.probabilities["select"] >= reader.call.threshold("select"):
                selected += 1
                if read.kinds_of_no_utterance(reader.agent.threshold(VIOLATION)):
                    as_a_whole.add(tuple(said))
            for one, reading in zip(said, read.utterances, strict=True):
                if one.role == "agent" and reading is not None:
                    found = reading.probabilities[VIOLATION] >= reader.agent.threshold(VIOLATION)
                    suspected[one.letters] = suspected.get(one.letters, False) or found
    count = sum(suspected.values())
    low, high = wilson(count, len(suspected))
    print(f"\n{count} of {len(suspected)} sentences of agents suspected: {count / len(suspected):.2%}", end=" ")
    print(f"[{low:.2%}, {high:.2%}]")
    for letters in sorted(letters for letters, found in suspected.items() if found):
        print(f"  {letters}")
    print(f"chats read as worth hearing: {share(selected, chats)}")
    print(f"different chats that are suspected of a kind as a whole: {len(as_a_whole)}")
    either = len(set(by_rules) | {letters for letters, found in suspected.items() if found})
    low, high = wilson(either, len(suspected))
    print(f"{len(by_rules)} sentences have a violation by rules: {', '.join(sorted(set(by_rules.values()))) or 'none'}")
    print(f"by rules or reading: {either / len(suspected):.2%} [{low:.2%}, {high:.2%}]")


def print_cost(reader: CallReader, repeats: int = 51) -> None:
    """Processor time of one call of 70 utterances, median; what is said is that of the training text."""
    turns = [turn for one in load_dialogues()[:20] for turn in one.turns][:UTTERANCES]
    call = [Said(turn.role, normalize(turn.text).letters) for turn in turns]
    times_ms = []
    for _ in range(repeats):
        began_s = time.process_time()
        reader.read(call)
        times_ms.append((time.process_time() - began_s) * 1_000)
    print(f"\nreading a call of {len(call)} utterances: {statistics.median(times_ms):.1f} ms, median of {repeats}")


def main() -> None:
    """Print the table for all industries together, then for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of labelled dialogues, JSON")
    parser.add_argument("--pairs", type=Path, help="folder of dialogues and their twins, as in training/")
    parser.add_argument("--chats", type=Path, help="folder of text files of real chats, one in each line")
    parser.add_argument(
        "--industries",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="also each industry by itself (default: %(default)s)",
    )
    options = parser.parse_args()
    for name, pattern in (("data", "*.json"), ("pairs", "*/*.txt"), ("chats", "*.txt")):
        folder = getattr(options, name)
        if folder is not None and not any(folder.glob(pattern)):
            parser.error(f"--{name}: {folder} holds no {pattern}")
    if options.data is options.pairs is options.chats is None:
        parser.error("name what to judge: --data, --pairs or --chats")
    reader = CallReader.load()
    if options.pairs is not None:
        print_pairs(options.pairs, reader)
    if options.chats is not None:
        print_chats(options.chats, reader)
    cases = judged(options.data) if options.data is not None else []
    groups = {"all": cases} if cases else {}
    if options.industries:
        groups |= {name: [c for c in cases if c.industry == name] for name in sorted({c.industry for c in cases})}
    for name, group in groups.items():
        print(f"\n{name}: {len(group)} calls")
        for what, figures in rows(group, reader):
            print(f"  {what:50} {figures}")
    print_cost(reader)


if __name__ == "__main__":
    main()
