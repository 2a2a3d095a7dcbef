"""What a folder of adapted heads says of itself: what it learned from, and which calls it must be judged by."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from hashlib import sha256
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from processors.reading.adapting import Adapted, LabelledCall, adapt, read_labels
from processors.reading.call_reader import VIOLATION, WORTH_HEARING, CallReader
from processors.reading.encoder_learning import LEFT_OUT, AdaptedWithEncoder, adapt_with_encoder, digest_of_calls
from processors.reading.figures import HeadFigures, Read, Truth, Value, average_precision, difference, f1_at, figures
from processors.reading.labels import LabelledDataError
from processors.reading.transformers_encoder import SEED, FineTuning, fine_tune
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


class EncodedHead(Record):
    """Whether the encoder helps a head: log loss of calls left out, without it and with it, by weights that were
    learned from other calls; null where there are too few of a kind to tell, and then it has no say."""

    head: str
    examples: int
    positive: int
    loss_before: float | None
    loss_after: float | None
    helps: bool


class LearnedEncoder(Record):
    """The encoder that was fine-tuned: from what and on what, and whether it helps. Digests are SHA-256."""

    base: str = Field(description="name of the folder of the checkpoint")
    base_digest: str = Field(description="of its model.safetensors")
    data_digest: str = Field(description="of the calls to learn from with their labels")
    learned_from: int = Field(description="calls")
    left_out: int = Field(description="calls that ended the fine-tuning and put encoder and small heads together")
    sentences: int
    class_weights: tuple[float, float] = Field(description="of a violation, of a sentence of a call worth hearing")
    device: str
    seed: int
    learning_rate: float
    losses: tuple[float, ...] = Field(description="on the calls left out, after each epoch")
    kept_epoch: int
    versions: dict[str, str]
    heads: tuple[EncodedHead, ...]


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
    encoder: LearnedEncoder | None = None


def split_calls(
    calls: Sequence[LabelledCall], split: Split, share: float
) -> tuple[tuple[LabelledCall, ...], tuple[LabelledCall, ...]]:
    """Those to learn from, and those that are frozen: the newest, or the calls of some agents, drawn by their ids.

    Raises `LabelledDataError` where there are too few.
    """
    if len(calls) < LEAST_CALLS:
        raise LabelledDataError(f"{len(calls)} labelled call(s) are too few to learn from: {LEAST_CALLS} are needed")
    return _divided(calls, split, share)


def _divided(
    calls: Sequence[LabelledCall], split: Split, share: float
) -> tuple[tuple[LabelledCall, ...], tuple[LabelledCall, ...]]:
    wanted = round(len(calls) * share)
    if split == "time":
        ordered = sorted(calls, key=lambda call: (call.moment, call.call_id))
        return tuple(ordered[:-wanted]), tuple(ordered[-wanted:])
    if unnamed := sum(call.agent_id == call.call_id for call in calls):
        raise LabelledDataError(
            f"{unnamed} of {len(calls)} calls say no agent_id, without which none can be split by agent: "
            "add it, or use --split time"
        )
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
    return adapted, _record(reader, adapted, tenant, split, trained_on, frozen)


def learn_with_encoder(
    reader: CallReader,
    calls: Sequence[LabelledCall],
    tenant: str,
    split: Split,
    share: float,
    tuning: FineTuning,
    folder: Path,
    tell: Callable[[str], None],
) -> tuple[AdaptedWithEncoder, Learned]:
    """Adapt a reader to the calls that are not frozen, with an encoder that is fine-tuned on them and written into an
    empty folder, which the reader needs until it is saved. Raises `LabelledDataError` and `EncoderError`."""
    trained_on, frozen = split_calls(calls, split, share)
    learned_from, left_out = _divided(trained_on, split, LEFT_OUT)
    encoder, tuned = fine_tune(tuning, learned_from, left_out, folder, tell)
    adapted = adapt_with_encoder(reader, learned_from, left_out, encoder)
    record = _record(reader, adapted, tenant, split, trained_on, frozen)
    heads = tuple(
        EncodedHead(
            head=name,
            examples=one.examples,
            positive=one.positive,
            loss_before=one.loss_before,
            loss_after=one.loss_after,
            helps=one.weights is not None,
        )
        for name, one in adapted.fused.items()
    )
    about = LearnedEncoder(
        base=tuned.base,
        base_digest=tuned.base_digest,
        data_digest=digest_of_calls(trained_on),
        learned_from=len(learned_from),
        left_out=len(left_out),
        sentences=tuned.sentences,
        class_weights=tuned.class_weights,
        device=tuning.device,
        seed=SEED,
        learning_rate=tuning.learning_rate,
        losses=tuned.losses,
        kept_epoch=tuned.kept_epoch,
        versions=dict(tuned.versions),
        heads=heads,
    )
    return adapted, record.model_copy(update={"encoder": about})


def _record(
    reader: CallReader,
    adapted: Adapted,
    tenant: str,
    split: Split,
    trained_on: Sequence[LabelledCall],
    frozen: Sequence[LabelledCall],
) -> Learned:
    heads = tuple(
        LearnedHead(
            head=one.head,
            examples=one.examples,
            positive=one.positive,
            penalty=None if one.penalty is None else 0.0 if one.penalty == float("inf") else one.penalty,
        )
        for one in adapted.reports
    )
    return Learned(
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
        """Whether the second is lower in F1, or certainly in average precision: there the whole interval is below 0, or
        F1 says nothing. Ties are none."""
        is_lower = self.average_precision.value < 0
        return self.f1.value < 0 or (is_lower and (self.average_precision.high < 0 or self.f1.value == 0))


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
        *_of_encoder(record.encoder),
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


def _of_encoder(encoder: LearnedEncoder | None) -> list[str]:
    if encoder is None:
        return []
    versions = ", ".join(f"{name} {version}" for name, version in encoder.versions.items())
    return [
        "",
        f"An encoder was fine-tuned beside the small heads from `{encoder.base}`, whose weights have the SHA-256",
        f"`{encoder.base_digest}`, by {versions}, on {encoder.device}:",
        "",
        f"* {encoder.sentences} sentences of {encoder.learned_from} calls; {encoder.left_out} others were left out, "
        f"which epoch {encoder.kept_epoch} of {len(encoder.losses)} reads best.",
        f"* Seed {encoder.seed}, learning rate {encoder.learning_rate:g}; a violation weighs "
        f"{encoder.class_weights[0]:.1f}, a sentence of a call worth hearing {encoder.class_weights[1]:.1f}.",
        f"* The labelled calls to learn from have the SHA-256 `{encoder.data_digest}`.",
        *(f"* Head `{one.head}`: {how_it_helps(one)}." for one in encoder.heads),
    ]


def how_it_helps(head: EncodedHead) -> str:
    """Whether the encoder helps a head, in words."""
    if head.loss_before is None or head.loss_after is None:
        return (
            f"{head.positive} of {head.examples} examples left out are positive, too few of a kind to use the encoder"
        )
    losses = f"log loss of the calls left out {head.loss_before:.3f} → {head.loss_after:.3f}"
    return (
        f"the encoder reads with it, {losses}" if head.helps else f"the encoder does not help and is not used, {losses}"
    )
