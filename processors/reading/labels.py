"""Calls with labels: from the verdicts of inspectors on transcripts, or from dialogues in JSON files."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from processors.pii.masking import MaskSettings, mask_text
from processors.reading.adapting import LabelledCall
from processors.reading.features import Said
from processors.rules.examples import segments_of_lines
from processors.text.passages import Passage, SpokenText
from schemas.errors import OperatorError
from schemas.messages.belongs_there import with_what_belongs_there
from schemas.messages.message import Identifier, is_by_another
from schemas.messages.transcript import Segment
from schemas.messages.verdict_given import VerdictAbout, VerdictAnswer

READING = "reading"


class LabelledDataError(OperatorError):
    """Labelled calls cannot be used, or are too few; the text says which file and field, and no word of a call."""

    exit_code = 1


@dataclass(frozen=True)
class Verdict:
    """What one person says, as far as heads learn from it."""

    about: VerdictAbout
    answer: VerdictAnswer
    detector: str | None = None
    start_ms: int | None = None
    segment_id: int | None = None
    quote: str | None = None


@dataclass(frozen=True)
class StoredCall:
    """A call as it is stored, and what inspectors say of it."""

    call_id: str
    agent_id: str
    ended_at: datetime
    segments: tuple[Segment, ...]
    verdicts: tuple[Verdict, ...]
    heard: bool = False
    """A recogniser of the house wrote its text."""


@dataclass(frozen=True)
class Labelled:
    """Calls that can be learned from; `not_read` have speakers whom nobody tells apart, `not_placed` counts verdicts
    whose words are no longer found in the transcript."""

    calls: tuple[LabelledCall, ...]
    not_read: int = 0
    not_placed: int = 0


def label_calls(calls: Iterable[StoredCall], *, also_unlabelled: bool = False) -> Labelled:
    """Labels by the majority of verdicts; none where as many say yes as no.

    An utterance is a violation where a suspicion of it is right, or where one was missed; none where a suspicion is
    wrong, or where the whole call was not worth hearing. Of all others nothing is known. Findings of rules tell how
    right the rules are; heads do not learn from them.
    """
    found, not_read, not_placed = [], 0, 0
    for call in calls:
        passages = SpokenText.of(call.segments, None).passages
        if {one.role for one in passages} != {"agent", "customer"}:
            not_read += 1
            continue
        worth_hearing = _majority([one.answer for one in call.verdicts if one.about == "call"])
        answers: dict[int, list[VerdictAnswer]] = {}
        for verdict in call.verdicts:
            if verdict.about == "call" or (verdict.about == "finding" and verdict.detector != READING):
                continue
            place = _place(verdict, passages)
            if place is None:
                not_placed += 1
            else:
                answers.setdefault(place, []).append(verdict.answer)
        otherwise = False if worth_hearing is False else None
        violations = tuple(
            _majority(answers[one.number]) if one.number in answers else otherwise
            for one in passages
            if one.role == "agent"
        )
        found.append(
            replace(
                _labelled(call.call_id, call.agent_id, call.ended_at.timestamp(), passages, worth_hearing, violations),
                heard=call.heard,
            )
        )
    return Labelled(tuple(one for one in found if also_unlabelled or one.is_labelled), not_read, not_placed)


def without_missed(calls: Iterable[StoredCall]) -> list[StoredCall]:
    """The calls without what inspectors say was missed. That can only be right, so it tells nothing of how many
    suspicions are."""
    return [
        replace(call, verdicts=tuple(verdict for verdict in call.verdicts if verdict.about != "missed"))
        for call in calls
    ]


def _majority(answers: Sequence[VerdictAnswer]) -> bool | None:
    balance = answers.count("yes") - answers.count("no")
    return None if balance == 0 else balance > 0


def _place(verdict: Verdict, passages: Sequence[Passage]) -> int | None:
    """The passage of the agent that a verdict is about."""
    for one in passages:
        segments = one.utterance.segments
        if one.role != "agent":
            continue
        if verdict.start_ms is not None and one.start_ms <= verdict.start_ms < segments[-1].end_ms:
            return one.number
        if verdict.segment_id is not None and verdict.segment_id in {each.segment_id for each in segments}:
            return one.number
    if verdict.quote is not None and verdict.segment_id is None:
        # What a person wrote down is masked more broadly than a transcript.
        for one in passages:
            text = one.utterance.text
            if one.role == "agent" and (verdict.quote in text or verdict.quote in mask_text(text, MaskSettings())):
                return one.number
    return None


def _labelled(
    call_id: str,
    agent_id: str,
    moment: float,
    passages: Sequence[Passage],
    worth_hearing: bool | None,
    violations: tuple[bool | None, ...],
) -> LabelledCall:
    said = tuple(Said(one.role, one.utterance.normalized.letters) for one in passages)
    return LabelledCall(call_id, agent_id, moment, said, worth_hearing, violations)


# --- dialogues


class _Part(BaseModel):
    """Of what else a dialogue says nothing is needed here."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class _Turn(_Part):
    role: Literal["agent", "customer"]
    text: str = Field(min_length=1)


class _Violation(_Part):
    turn: int = Field(ge=0)


class _Labels(_Part):
    select: bool | None = None
    violations: tuple[_Violation, ...] = ()


class _Dialogue(_Part):
    id: Identifier
    agent_id: Identifier | None = None
    ended_at: datetime | None = None
    turns: tuple[_Turn, ...] = Field(min_length=1)
    labels: _Labels = _Labels()


def read_dialogues(folder: Path, *, also_unlabelled: bool = False) -> Labelled:
    """The dialogues of the JSON files of a folder, in the order of files and lists where they tell no time.

    Each is `id`, `turns` of `role` and `text`, and `labels` with `select` and `violations` of `turn`; `agent_id` and
    `ended_at` if known. Raises `LabelledDataError`.
    """
    files = sorted(folder.glob("*.json"))
    if not files:
        raise LabelledDataError(f"{folder} holds no JSON file (*.json)")
    found: dict[str, LabelledCall] = {}
    for file in files:
        for number, dialogue in enumerate(_dialogues_of(file)):
            if dialogue.id in found:
                raise LabelledDataError(f"{file}: dialogue {number} has an id that occurred before")
            found[dialogue.id] = _of_dialogue(dialogue, len(found))
    read = [one for one in found.values() if {said.role for said in one.said} == {"agent", "customer"}]
    kept = tuple(one for one in read if also_unlabelled or one.is_labelled)
    return Labelled(kept, not_read=len(found) - len(read))


def _of_dialogue(dialogue: _Dialogue, number: int) -> LabelledCall:
    passages = SpokenText.of(segments_of_lines([(turn.role, turn.text) for turn in dialogue.turns]), None).passages
    wrong = {one.turn for one in dialogue.labels.violations}
    known = dialogue.labels.select is not None or bool(wrong)
    violations = tuple(
        bool(wrong & {segment.segment_id for segment in one.utterance.segments}) if known else None
        for one in passages
        if one.role == "agent"
    )
    moment = float(number) if dialogue.ended_at is None else dialogue.ended_at.timestamp()
    agent = dialogue.agent_id or dialogue.id
    return _labelled(dialogue.id, agent, moment, passages, dialogue.labels.select, violations)


def _dialogues_of(file: Path) -> list[_Dialogue]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise LabelledDataError(f"{file} cannot be read: {error.strerror}") from None
    except ValueError:
        raise LabelledDataError(f"{file} is not JSON in UTF-8") from None
    if not isinstance(content, list):
        raise LabelledDataError(f"{file} is no list of dialogues: put square brackets around them (docs/learning.md)")
    return [_dialogue(file, number, each) for number, each in enumerate(content)]


def _dialogue(file: Path, number: int, content: object) -> _Dialogue:
    problems: list[str] = []
    try:
        return _Dialogue.model_validate(content)
    except ValidationError as error:
        details = error.errors(include_input=False, include_context=False, include_url=False)
        for detail in details:
            if not is_by_another(detail, details):
                problem = f"{'.'.join(map(str, detail['loc']))}: {detail['type']}".removeprefix(": ")
                told = with_what_belongs_there(_Dialogue, problem if detail["loc"] else f": {problem}")
                problems.append(told.removeprefix(": "))
    # Outside of the except block: inside it, the caught error would ride along with its input.
    raise LabelledDataError(f"{file}: dialogue {number}: {'; '.join(problems[:5])}")
