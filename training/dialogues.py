"""Labelled dialogues in the compact text of `training/README.md`, read and checked.

python -m training.dialogues [FOLDER]    # checks all parts and counts what they hold
"""

import argparse
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Literal

from processors.reading.call_reader import ACTS, KINDS
from schemas.config.rule_pack import RULE_PACK_FOLDER, load_rule_packs

DIALOGUES = Path(__file__).parent / "dialogues"
FOLDS = 4
"""So often are heads trained that leave parts out; more cost time and tell hardly more."""

SOFT = "soft"
"""The one act of customers: calmer than before."""

WHYS = frozenset(("negated", "quoted", "customer", "third", "legal", "joke", "withdrawn"))
PERSONAL = frozenset(
    "phone bank_card id_card name address email plate passport account password code".split()  # noqa: SIM905
)
FLAGS = frozenset(("upset", "soothed", "threat"))

_TURN = re.compile(r"^(?:~(?P<place>\d+) )?(?P<role>[AC]) (?:\[(?P<acts>[a-z, ]*)\] ?)?(?P<text>.*)$")
_MARK = re.compile(r" *##")

Role = Literal["agent", "customer"]


@dataclass(frozen=True)
class Mark:
    """A label on some words of a turn: of a violation its kind and severity, else why it is none, or what it is."""

    kind: str
    severity: str
    quote: str


@dataclass(frozen=True)
class Turn:
    """What one side says, and its labels."""

    role: Role
    text: str
    acts: frozenset[str] = frozenset()
    violations: tuple[Mark, ...] = ()
    tempting: tuple[Mark, ...] = ()
    personal: tuple[Mark, ...] = ()
    upset: bool = False
    threat: bool = False


@dataclass(frozen=True)
class Dialogue:
    """One call. `twin_of` is the id of the call that it repeats with one thing changed."""

    id: str
    part: str
    industry: str
    direction: str
    topics: tuple[str, ...] = ()
    select: bool | None = None
    flags: frozenset[str] = frozenset()
    turns: tuple[Turn, ...] = ()
    twin_of: str | None = None
    where: str = field(default="", compare=False)


class DialogueError(ValueError):
    """Text that does not follow the format; `problems` are sentences that name file and line."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


SINCE_0_12, SINCE_0_13 = frozenset(("copse", "crag", "spit", "strand")), frozenset(("beck", "holt", "lea"))
"""Parts that came with these releases: what was trained before them, and is measured as it is, leaves them out."""


def load_dialogues(folder: Path = DIALOGUES) -> tuple[Dialogue, ...]:
    """The dialogues of all parts: each folder is one. Raises `DialogueError` with everything that is wrong."""
    reader = _Reader()
    for file in sorted(folder.glob("*/*.txt")):
        reader.read(file)
    reader.check()
    if reader.problems:
        raise DialogueError(reader.problems)
    return tuple(reader.found.values())


def folds(sizes: Mapping[str, int]) -> list[frozenset[str]]:
    """The parts, in up to `FOLDS` groups of about the same size: each is left out once. A part is never split."""
    groups: list[tuple[int, list[str]]] = [(0, []) for _ in range(min(FOLDS, len(sizes)))]
    for part, size in sorted(sizes.items(), key=lambda each: (-each[1], each[0])):
        smallest = min(range(len(groups)), key=lambda number: groups[number][0])
        groups[smallest] = (groups[smallest][0] + size, [*groups[smallest][1], part])
    return [frozenset(names) for _, names in groups]


@cache
def topic_names() -> Mapping[str, frozenset[str]]:
    """Industry → the topics that its calls may be about, those of every call included."""
    packs = {pack.pack: frozenset(topic.name for topic in pack.topics) for pack in load_rule_packs((RULE_PACK_FOLDER,))}
    return {industry: names | packs["general"] for industry, names in packs.items()}


class _Reader:
    """Collects dialogues and what is wrong with them."""

    def __init__(self) -> None:
        self.found: dict[str, Dialogue] = {}
        self.problems: list[str] = []
        self._topics = topic_names()

    def read(self, file: Path) -> None:
        current: str | None = None
        part = file.parent.name
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
            where = f"{part}/{file.name}:{number}"
            text = line.rstrip()
            if not text or text.startswith("#!"):
                continue
            if text.startswith("@ "):
                current = self._header(text.split()[1:], part, where)
            elif current is None:
                self._wrong(where, "text before the header of a call")
            else:
                self.found[current] = self._line(self.found[current], text, where)

    def _wrong(self, where: str, what: str) -> None:
        self.problems.append(f"{where}: {what}")

    def _header(self, words: Sequence[str], part: str, where: str) -> str | None:
        if len(words) != 3:
            self._wrong(where, "a header is `@ ID INDUSTRY inbound|outbound` or `@ ID from ID`")
            return None
        name = words[0]
        if name in self.found:
            self._wrong(where, f"the id {name} is there twice")
        if words[1] == "from":
            if words[2] not in self.found:
                self._wrong(where, f"no call {words[2]} before this one")
                return None
            self.found[name] = replace(self.found[words[2]], id=name, part=part, twin_of=words[2], where=where)
            return name
        if words[1] not in self._topics or words[2] not in ("inbound", "outbound"):
            self._wrong(where, "no such industry or direction")
            return None
        self.found[name] = Dialogue(name, part, words[1], words[2], where=where)
        return name

    def _line(self, dialogue: Dialogue, text: str, where: str) -> Dialogue:
        if text.startswith("topics:"):
            topics = tuple(text.removeprefix("topics:").split())
            for topic in set(topics) - self._topics[dialogue.industry]:
                self._wrong(where, f"no such topic: {topic}")
            return replace(dialogue, topics=topics)
        if text.startswith("select:"):
            answer = text.removeprefix("select:").strip()
            return replace(dialogue, select={"yes": True, "no": False}.get(answer))
        if text.startswith("flags:"):
            flags = frozenset(text.removeprefix("flags:").split())
            for flag in flags - FLAGS:
                self._wrong(where, f"no such flag: {flag}")
            return replace(dialogue, flags=flags)
        return self._turn(dialogue, text, where)

    def _turn(self, dialogue: Dialogue, line: str, where: str) -> Dialogue:
        match = _TURN.match(line)
        if match is None:
            self._wrong(where, f"no turn: {line[:30]}")
            return dialogue
        said, *marks = _MARK.split(match["text"])
        role: Role = "agent" if match["role"] == "A" else "customer"
        acts = frozenset(act.strip() for act in (match["acts"] or "").split(",") if act.strip())
        for act in acts - {*ACTS, SOFT}:
            self._wrong(where, f"no such act: {act}")
        turn = Turn(role, said.strip(), acts)
        if not turn.text:
            self._wrong(where, "a turn without words")
        for mark in marks:
            turn = self._marked(turn, mark.strip(), where)
        turns = list(dialogue.turns)
        if match["place"] is None:
            turns.append(turn)
        elif dialogue.twin_of is None or int(match["place"]) >= len(turns):
            self._wrong(where, f"~{match['place']} has nothing to replace")
        elif (was := turns[int(match["place"])].role) != role:
            self._wrong(where, f"~{match['place']} is said by the {role}, and the turn that it replaces by the {was}")
        else:
            turns[int(match["place"])] = turn
        return replace(dialogue, turns=tuple(turns))

    def _marked(self, turn: Turn, mark: str, where: str) -> Turn:
        letter, *words = mark.split(" ")
        if letter in ("U", "T"):
            if turn.role != "customer":
                self._wrong(where, f"##{letter} on what the agent says")
            return replace(turn, upset=turn.upset or letter == "U", threat=turn.threat or letter == "T")
        severity = words.pop(1) if letter == "V" and len(words) > 1 else ""
        kind, quote = (words or [""])[0], " ".join(words[1:])
        known = {"V": kind in KINDS and severity in ("high", "medium"), "X": kind in WHYS, "P": kind in PERSONAL}
        if not known.get(letter) or not quote or quote not in turn.text:
            self._wrong(where, f"##{mark[:40]}: no such label, or a quote that is not in the turn")
            return turn
        label = (Mark(kind, severity, quote),)
        if letter == "V":
            if turn.role != "agent":
                self._wrong(where, "a violation in what the customer says")
            return replace(turn, violations=turn.violations + label)
        if letter == "X":
            return replace(turn, tempting=turn.tempting + label)
        return replace(turn, personal=turn.personal + label)

    def check(self) -> None:
        """What can only be seen of a call as a whole."""
        for one in self.found.values():
            for problem in _contradictions(one):
                self._wrong(one.where, f"{one.id}: {problem}")


def _contradictions(one: Dialogue) -> Iterator[str]:
    if one.select is None:
        yield "select is missing"
    if len(one.turns) < 2:
        yield "fewer than two turns"
    if any(turn.violations for turn in one.turns) and not one.select:
        yield "a violation, and the call is not selected"
    if one.flags & {"upset", "threat"} and not one.select:
        yield "an upset customer or a threat, and the call is not selected (R49)"
    if any(turn.upset for turn in one.turns) != ("upset" in one.flags):
        yield "the flag upset and ##U disagree"
    if any(turn.threat for turn in one.turns) != ("threat" in one.flags):
        yield "the flag threat and ##T disagree"
    if {"soothed"} <= one.flags and "upset" not in one.flags:
        yield "soothed, and not upset"


def main() -> None:
    """Check all parts of a folder and print what they hold."""
    parser = argparse.ArgumentParser(description="Check labelled dialogues and count what each part holds.")
    parser.add_argument("folder", type=Path, nargs="?", default=DIALOGUES, help="default: what heads learn from")
    dialogues = load_dialogues(parser.parse_args().folder)
    for part in sorted({one.part for one in dialogues}):
        of_part = [one for one in dialogues if one.part == part]
        violations = Counter(mark.kind for one in of_part for turn in one.turns for mark in turn.violations)
        flags = Counter(flag for one in of_part for flag in one.flags)
        twins = sum(one.twin_of is not None for one in of_part)
        selected = sum(bool(one.select) for one in of_part)
        print(
            f"{part}: {len(of_part)} calls, {twins} of them twins, {selected} selected, {flags['upset']} upset,"
            f" {flags['threat']} threats, {sum(violations.values())} violations"
        )


if __name__ == "__main__":
    main()
