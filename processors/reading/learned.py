"""What a folder of adapted heads says of itself: what it learned from, and which calls it must be judged by."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from hashlib import sha256
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from processors.reading.adapting import Adapted, LabelledCall, adapt, read_labels
from processors.reading.call_reader import VIOLATION, WORTH_HEARING, CallReader
from processors.reading.figures import HeadFigures, Read, Truth, Value, average_precision, difference, f1_at, figures
from processors.reading.labels import LabelledDataError
from schemas.messages.message import Record

RECORD = "learned.json"
Split = Literal["time", "agent"]
HEADS = (WORTH_HEARING, VIOLATION)
LEAST_CALLS = 40
"""Fewer labelled calls say nothing, neither of heads nor of how right they are."""
LEAST_FIGURES = 5
"""So many examples of each kind a head needs in the frozen calls to be judged by them."""


class LearnedHead(Record):
    """What a head learned from; `penalty` null where it stays as it was, 0 where only its calibration changed."""

    head: str
    examples: int
    positive: int
    penalty: float | None


class Learned(Record):
    """The record beside the weights: ids of calls, counts and dates, and no word of a call."""

    format: Literal[1] = 1
    tenant: str
    based_on: str
    model: str
    split: Split
    first_day: date | None = Field(default=None, description="of the calls it learned from; null if they tell none")
    last_day: date | None = None
    trained_on: tuple[str, ...]
    frozen: tuple[str, ...]
    heads: tuple[LearnedHead, ...]


def split_calls(
    calls: Sequence[LabelledCall], split: Split, share: float
) -> tuple[tuple[LabelledCall, ...], tuple[LabelledCall, ...]]:
    """Those to learn from, and those that are frozen: the newest, or the calls of some agents, drawn by their ids.

    Raises `LabelledDataError` where there are too few.
    """
    if len(calls) < LEAST_CALLS:
        raise LabelledDataError(f"{len(calls)} labelled call(s) are too few to learn from: {LEAST_CALLS} are needed")
    wanted = round(len(calls) * share)
    if split == "time":
        ordered = sorted(calls, key=lambda call: (call.moment, call.call_id))
        return tuple(ordered[:-wanted]), tuple(ordered[-wanted:])
    agents = sorted({call.agent_id for call in calls}, key=lambda agent: sha256(agent.encode()).digest())
    chosen: set[str] = set()
    for agent in agents[:-1]:
        if sum(call.agent_id in chosen for call in calls) >= wanted:
            break
        chosen.add(agent)
    if not chosen:
        raise LabelledDataError("calls of one agent alone cannot be split by agent: use --split time")
    kept: list[LabelledCall] = []
    frozen: list[LabelledCall] = []
    for call in calls:
        (frozen if call.agent_id in chosen else kept).append(call)
    return tuple(kept), tuple(frozen)


def learn(
    reader: CallReader, calls: Sequence[LabelledCall], tenant: str, split: Split, share: float
) -> tuple[Adapted, Learned]:
    """Adapt a reader to the calls that are not frozen. Raises `LabelledDataError`."""
    trained_on, frozen = split_calls(calls, split, share)
    adapted = adapt(reader, trained_on)
    heads = tuple(
        LearnedHead(
            head=one.head,
            examples=one.examples,
            positive=one.positive,
            penalty=None if one.penalty is None else 0.0 if one.penalty == float("inf") else one.penalty,
        )
        for one in adapted.reports
    )
    record = Learned(
        tenant=tenant,
        based_on=reader.version,
        model=adapted.reader.version,
        split=split,
        first_day=_day(min(call.moment for call in trained_on)),
        last_day=_day(max(call.moment for call in trained_on)),
        trained_on=_ids(trained_on),
        frozen=_ids(frozen),
        heads=heads,
    )
    return adapted, record


def _day(moment: float) -> date | None:
    """The day; None where moments only number the calls."""
    day = datetime.fromtimestamp(moment, UTC).date()
    return day if day.year > 1970 else None


def _ids(calls: Iterable[LabelledCall]) -> tuple[str, ...]:
    return tuple(sorted(call.call_id for call in calls))


def save_learned(folder: Path, reader: CallReader, record: Learned) -> None:
    """The weights and the record, in a folder that is made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    reader.save(folder)
    (folder / RECORD).write_text(record.model_dump_json(indent=2) + "\n", encoding="utf-8")


def load_learned(folder: Path) -> Learned | None:
    """The record of a folder; None where its heads were not adapted. Raises `LabelledDataError`."""
    file = folder / RECORD
    if not file.is_file():
        return None
    try:
        return Learned.model_validate_json(file.read_bytes())
    except (OSError, ValidationError):
        pass
    raise LabelledDataError(f"{file} cannot be read: run `callstream learn train` again")


def frozen_calls(calls: Sequence[LabelledCall], *records: Learned | None) -> tuple[LabelledCall, ...]:
    """The calls by which all these can be judged: frozen for one that has a record, and learned from by none."""
    known = [record for record in records if record is not None]
    frozen = {call_id for record in known for call_id in record.frozen}
    learned_from = {call_id for record in known for call_id in record.trained_on}
    return tuple(call for call in calls if call.call_id in frozen - learned_from)


def not_learned_from(calls: Sequence[LabelledCall], folder: Path) -> tuple[LabelledCall, ...]:
    """The calls that the heads of a folder have not learned from. Raises `LabelledDataError`."""
    record = load_learned(folder)
    learned_from = set(record.trained_on) if record is not None else set()
    return tuple(call for call in calls if call.call_id not in learned_from)


@dataclass(frozen=True)
class HeadComparison:
    """Two readers on the same calls; differences are the second less the first."""

    head: str
    before: HeadFigures
    after: HeadFigures
    f1: Value
    average_precision: Value

    @property
    def is_worse(self) -> bool:
        """Whether the second is lower in F1 or in average precision. Ties are none."""
        return self.f1.value < 0 or self.average_precision.value < 0


def compare(one: CallReader, other: CallReader, calls: Sequence[LabelledCall]) -> tuple[HeadComparison, ...]:
    """Of each head of which the calls have enough examples. Raises `LabelledDataError` where that is none."""
    before, after = read_labels(one, calls), read_labels(other, calls)
    found = tuple(_compared(head, before[head], after[head]) for head in HEADS if _has_enough(before[head][0]))
    if not found:
        raise LabelledDataError(
            f"the {len(calls)} frozen calls with labels have fewer than {LEAST_FIGURES} of a kind: give more verdicts"
        )
    return found


def _has_enough(truth: Truth) -> bool:
    positive = int(truth.sum())
    return min(positive, len(truth) - positive) >= LEAST_FIGURES


def _compared(head: str, one: tuple[Truth, Read, float], other: tuple[Truth, Read, float]) -> HeadComparison:
    (truth, read, threshold), (_, other_read, other_threshold) = one, other
    return HeadComparison(
        head,
        figures(truth, read, threshold),
        figures(truth, other_read, other_threshold),
        difference(truth, (read, f1_at(threshold)), (other_read, f1_at(other_threshold))),
        difference(truth, (read, average_precision), (other_read, average_precision)),
    )


def model_card(record: Learned, compared: Sequence[HeadComparison]) -> str:
    """What the heads learned from and how right they are, in Markdown: counts, dates and figures, and no quote."""
    lines = [
        f"# Reading heads of {record.tenant}",
        "",
        f"Model `{record.model}`, adapted from `{record.based_on}` by `callstream learn train`.",
        "",
        f"* Learned from {len(record.trained_on)} labelled calls{_between(record)}; split by {record.split}.",
        f"* Judged by {len(record.frozen)} frozen calls that it did not learn from.",
        *(
            f"* Head `{one.head}`: {one.examples} labelled examples, {one.positive} of them positive; "
            + ("left as it was." if one.penalty is None else f"corrected, penalty {one.penalty:g}.")
            for one in record.heads
        ),
        "",
        "| head | frozen examples | positive | | precision | recall | F1 | average precision |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for each in compared:
        for name, one in (("before", each.before), ("after", each.after)):
            figure = f"{one.precision} | {one.recall} | {one.f1} | {one.average_precision}"
            lines.append(f"| {each.head} | {one.examples} | {one.positive} | {name} | {figure} |")
    lines += [
        "",
        "Intervals are 95 %. Precision, recall and F1 are those at the threshold of each model. They hold for calls",
        "that are picked as these were; of calls drawn by lot less is worth hearing.",
        "",
    ]
    return "\n".join(lines)


def _between(record: Learned) -> str:
    return "" if record.first_day is None else f" of {record.first_day} to {record.last_day}"
