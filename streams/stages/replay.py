"""History judged again: stored transcripts through other rules, beside live traffic. No audio is touched.

Transcripts are read from the object store, by the days of the calls, and judged by several processes; what comes out
goes to `calls.reanalyzed.v1`, which `store` takes in when live traffic leaves it room, and there replaces the former
judgement of the call. How far it has got is kept, so that it goes on there after whatever ended it.
"""

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from processors.custody.ports import KeyGoneError, Tombstones
from processors.judging.pipeline import Judge
from schemas.config.rule_pack import RulePack, read_rule_pack
from schemas.errors import InvalidMessageError, OperatorError
from schemas.messages.call_analysis import CallAnalysis
from schemas.messages.message import FUTURE_MOST
from schemas.messages.records import ProducerRecord
from schemas.messages.topics import CALLS_REANALYZED
from schemas.messages.transcript import Transcript
from streams.adapters.object_store.transcripts import NotReadableError, StoredObject, TranscriptStore
from streams.ports import (
    Clock,
    FormerJudgements,
    History,
    NoHistory,
    ObjectMissingError,
    PublisherPort,
    RecordTooLargeError,
    RiskOrNone,
)
from streams.runtime.buried import NO_TOMBSTONES
from streams.runtime.processes import InOrder
from streams.runtime.rules_feed import PackRegistry

BATCH_CALLS = 100
NO_HISTORY = NoHistory()
MAX_CHANGES_NAMED = 10_000
MAX_UNREADABLE_NAMED = 1_000
MAX_UNJUDGED_NAMED = 1_000
FOREIGN = "no transcript is called like that"
NICENESS = 10
"""Live workers on the same machine go first."""

SideOutputs = Callable[[CallAnalysis], Sequence[ProducerRecord]]


class ReplayError(OperatorError):
    """The replay cannot be done as asked; the text says what to change."""

    exit_code = 2


@dataclass(frozen=True)
class ReplayWindow:
    """Which calls: those that ended from `since` to before `until`, of one tenant or of all."""

    since: datetime
    until: datetime
    tenant_id: str | None = None

    @classmethod
    def of(cls, since: datetime, until: datetime | None, tenant_id: str | None, now: datetime) -> "ReplayWindow":
        """Without an end, up to the last call that may have ended by now."""
        return cls(since, until or now + FUTURE_MOST, tenant_id)

    def holds(self, transcript: Transcript) -> bool:
        """Whether a call is to be judged again."""
        return self.since <= transcript.call.ended_at < self.until

    def objects(self, transcripts: TranscriptStore, after: str = "") -> Iterator[StoredObject]:
        """What lies where the transcripts of these calls do and comes behind `after`, sorted by key."""
        first, last = (moment.astimezone(UTC).date() for moment in (self.since, self.until))
        for tenant_id in [self.tenant_id] if self.tenant_id is not None else transcripts.tenants():
            yield from transcripts.objects(tenant_id, first, last, after=after)


@dataclass(frozen=True)
class Change:
    """A call whose risk is another one now."""

    tenant_id: str
    call_id: str
    before: RiskOrNone
    after: RiskOrNone


@dataclass(frozen=True)
class Unreadable:
    """An object that lies among the transcripts and is none that can be read."""

    key: str
    reason: str


@dataclass(frozen=True)
class Unjudged:
    """A call whose transcript can be read, and of which no judgement can be written: it keeps the one that it has."""

    tenant_id: str
    call_id: str
    reason: str


@dataclass
class ReplayBatch:
    """Some objects, as keys alone, and which calls are wanted."""

    objects: Sequence[StoredObject]
    window: ReplayWindow


@dataclass(frozen=True)
class ReplayedCall:
    """What came of a call: its risk before and now, how often each rule was found, and what is to be written."""

    risk: Change
    findings: Counter[str]
    outputs: tuple[ProducerRecord, ...]

    def unjudged(self, reason: str) -> Unjudged:
        """The same call, whose judgement nothing takes."""
        return Unjudged(self.risk.tenant_id, self.risk.call_id, reason)


@dataclass
class JudgedBatch:
    """What came of a batch. Everything up to `last_key` is in it or in one before."""

    last_key: str
    transcripts: int = 0
    calls: list[ReplayedCall] = field(default_factory=list)
    unreadable: list[Unreadable] = field(default_factory=list)
    unjudged: list[Unjudged] = field(default_factory=list)

    @property
    def outputs(self) -> list[ProducerRecord]:
        """Everything that is to be written."""
        return [output for call in self.calls for output in call.outputs]

    @property
    def changes(self) -> list[Change]:
        """The calls whose risk is another one now."""
        return [call.risk for call in self.calls if call.risk.before != call.risk.after]


@dataclass(frozen=True)
class Named:
    """What a report names because of one batch."""

    changes: list[Change]
    unreadable: list[Unreadable]
    unjudged: list[Unjudged]


@dataclass
class ReplayReport:
    """What came of a replay.

    `transcripts` counts what was read, calls outside of the window included; `judged` what was judged again. `changes`
    holds the first `MAX_CHANGES_NAMED` calls whose risk is another one now, `moves` counts all of them: `low → high` →
    how many. `unreadable` counts objects that are no transcripts or cannot be opened, `unjudged` calls whose judgement
    cannot be written; `named_unreadable` and `named_unjudged` are the first.
    """

    transcripts: int = 0
    unreadable: int = 0
    unjudged: int = 0
    judged: int = 0
    findings: Counter[str] = field(default_factory=Counter)
    moves: Counter[str] = field(default_factory=Counter)
    changes: list[Change] = field(default_factory=list)
    named_unreadable: list[Unreadable] = field(default_factory=list)
    named_unjudged: list[Unjudged] = field(default_factory=list)

    def add(self, batch: JudgedBatch) -> Named:
        """Which of its changes, objects and calls are named from now on."""
        self.transcripts += batch.transcripts
        self.judged += len(batch.calls)
        self.unreadable += len(batch.unreadable)
        self.unjudged += len(batch.unjudged)
        for call in batch.calls:
            self.findings.update(call.findings)
        changes = batch.changes
        self.moves.update(f"{change.before} → {change.after}" for change in changes)
        named = Named(
            changes[: MAX_CHANGES_NAMED - len(self.changes)],
            batch.unreadable[: MAX_UNREADABLE_NAMED - len(self.named_unreadable)],
            batch.unjudged[: MAX_UNJUDGED_NAMED - len(self.named_unjudged)],
        )
        self.changes += named.changes
        self.named_unreadable += named.unreadable
        self.named_unjudged += named.unjudged
        return named

    @property
    def changed(self) -> int:
        """Calls whose risk is another one now."""
        return sum(self.moves.values())

    def gravest(self) -> list[Change]:
        """The changes that are named, those to a high risk first."""
        rank: dict[RiskOrNone, int] = {"high": 0, "medium": 1, "low": 2, "none": 3}
        return sorted(self.changes, key=lambda one: (rank[one.after], -rank[one.before], one.call_id))

    def counts(self) -> dict[str, Any]:
        """All that is counted, for `of_counts`."""
        return {
            "transcripts": self.transcripts,
            "unreadable": self.unreadable,
            "unjudged": self.unjudged,
            "judged": self.judged,
            "findings": dict(self.findings),
            "moves": dict(self.moves),
        }

    @classmethod
    def of_counts(
        cls,
        counts: Mapping[str, Any],
        changes: Iterable[Change],
        unreadable: Iterable[Unreadable],
        unjudged: Iterable[Unjudged],
    ) -> "ReplayReport":
        """The report of a replay that goes on."""
        if not counts:
            return cls()
        counters = {name: Counter(counts[name]) for name in ("findings", "moves")}
        return cls(
            **{**counts, **counters},
            changes=list(changes),
            named_unreadable=list(unreadable),
            named_unjudged=list(unjudged),
        )


class Progress(Protocol):
    """Where it is kept how far a replay has got."""

    def advance(
        self,
        last_key: str,
        counts: Mapping[str, Any],
        changes: Iterable[tuple[str, str, str, str]],
        unreadable: Iterable[tuple[str, str]],
        unjudged: Iterable[tuple[str, str, str]],
    ) -> None:
        """Everything up to this object is done and durable."""
        ...


@dataclass(frozen=True)
class BatchJudge:
    """Judges the transcripts of a batch again; one for each process.

    `history` tells of other calls, `former` what was stored of these. `side_outputs` gives the messages that follow
    from a judgement (alerts), none unless asked.
    """

    transcripts: TranscriptStore
    judge: Judge
    former: FormerJudgements
    clock: Clock
    history: History = NO_HISTORY
    side_outputs: SideOutputs = lambda _analysis: ()
    tombstones: Tombstones = NO_TOMBSTONES

    def __call__(self, batch: ReplayBatch) -> JudgedBatch:
        """Raises `RetryableError` and `OperatorError`."""
        result = JudgedBatch(batch.objects[-1].key)
        transcripts = [read for one in batch.objects if (read := self._read(one, result)) is not None]
        buried = self.tombstones.among({(each.tenant_id, each.call_id) for each in transcripts})
        wanted = [
            each for each in transcripts if batch.window.holds(each) and (each.tenant_id, each.call_id) not in buried
        ]
        before = self.former.risks(wanted) if wanted else {}
        for transcript in wanted:
            key = (transcript.tenant_id, transcript.call_id)
            try:
                result.calls.append(self._judged(transcript, before.get(key, "none")))
            except InvalidMessageError as error:
                result.unjudged.append(Unjudged(*key, str(error)))
        return result

    def _judged(self, transcript: Transcript, was: RiskOrNone) -> ReplayedCall:
        """Raises `InvalidMessageError` for a call whose judgement no topic takes, besides what `__call__` raises."""
        analysis = self.judge.judge(transcript, self.clock.now(), self.history.background(transcript.call))
        is_now: RiskOrNone = analysis.risk.level if analysis.risk else "none"
        findings = Counter(finding.rule_id for finding in analysis.findings)
        try:
            outputs = (CALLS_REANALYZED.record(analysis), *self.side_outputs(analysis))
        except InvalidMessageError as error:
            raise InvalidMessageError([*error.problems, *_most_found(findings)]) from None
        return ReplayedCall(Change(analysis.tenant_id, analysis.call_id, was, is_now), findings, outputs)

    def _read(self, one: StoredObject, result: JudgedBatch) -> Transcript | None:
        if one.place is None:
            result.unreadable.append(Unreadable(one.key, FOREIGN))
            return None
        try:
            transcript = self.transcripts.read(one.place)
        except (ObjectMissingError, KeyGoneError):
            return None  # it was destroyed: there is no such call
        except NotReadableError as error:
            result.unreadable.append(Unreadable(one.key, str(error)))
            return None
        result.transcripts += 1
        return transcript


def _most_found(findings: Counter[str]) -> list[str]:
    """Which rule to look at where a judgement is too large."""
    return [f"it has {findings.total()} findings, {most} of {rule_id}" for rule_id, most in findings.most_common(1)]


@dataclass(frozen=True)
class Replay:
    """Judges stored transcripts again.

    Without `publisher` nothing is written: the report says what would change. `give_way` is called before each batch
    and returns when live traffic leaves room. `most_per_s` bounds the pace; 0: as fast as it goes.
    """

    transcripts: TranscriptStore
    judged: InOrder[ReplayBatch, JudgedBatch]
    publisher: PublisherPort | None = None
    give_way: Callable[[], None] = lambda: None
    most_per_s: float = 0

    def run(
        self,
        window: ReplayWindow,
        kept: Progress | None = None,
        report: ReplayReport | None = None,
        after: str = "",
        progress: Callable[[ReplayReport], None] = lambda _report: None,
    ) -> ReplayReport:
        """Everything in the window behind the object `after`, added to the report.

        Raises `RetryableError` and `OperatorError`; what was written by then stays. The batch that was under way may
        then be written a second time: the later judgement of a call replaces the earlier.
        """
        report = report or ReplayReport()
        for batch in self.judged(self._batches(window, after)):
            if self.publisher is not None:
                _write(batch, self.publisher)
            named = report.add(batch)
            if kept is not None:
                kept.advance(
                    batch.last_key,
                    report.counts(),
                    [(one.tenant_id, one.call_id, one.before, one.after) for one in named.changes],
                    [(one.key, one.reason) for one in named.unreadable],
                    [(one.tenant_id, one.call_id, one.reason) for one in named.unjudged],
                )
            progress(report)
        return report

    def _batches(self, window: ReplayWindow, after: str) -> Iterator[ReplayBatch]:
        objects = window.objects(self.transcripts, after)
        while some := tuple(islice(objects, BATCH_CALLS)):
            self.give_way()
            started_s = time.monotonic()
            yield ReplayBatch(some, window)
            if self.most_per_s:
                time.sleep(max(0.0, len(some) / self.most_per_s - (time.monotonic() - started_s)))


def _write(batch: JudgedBatch, publisher: PublisherPort) -> None:
    """All of it; a call whose judgement Kafka never takes is then one that could not be judged."""
    try:
        publisher.publish(batch.outputs)
    except RecordTooLargeError:
        _write_one_by_one(batch, publisher)


def _write_one_by_one(batch: JudgedBatch, publisher: PublisherPort) -> None:
    """What is not too large may be written already: once more does no harm."""
    written: list[ReplayedCall] = []
    for call in batch.calls:
        try:
            publisher.publish(call.outputs)
        except RecordTooLargeError as error:
            batch.unjudged.append(call.unjudged("; ".join([*error.problems, *_most_found(call.findings)])))
        else:
            written.append(call)
    batch.calls = written


@dataclass(frozen=True)
class ReplayPlan:
    """What a replay was asked for, so that it can go on with the very same rules. `release` is that of callstream."""

    release: str
    window: ReplayWindow
    packs: tuple[RulePack, ...]
    dry_run: bool = False
    alerts: bool = False

    def to_json(self) -> dict[str, Any]:
        """For `of_json`."""
        return {
            "release": self.release,
            "since": self.window.since.isoformat(),
            "until": self.window.until.isoformat(),
            "tenant_id": self.window.tenant_id,
            "packs": [json.loads(pack.model_dump_json()) for pack in self.packs],
            "dry_run": self.dry_run,
            "alerts": self.alerts,
        }

    @classmethod
    def of_json(cls, written: Mapping[str, Any]) -> "ReplayPlan":
        """Raises `ValueError` for one that another release wrote otherwise."""
        since, until = (datetime.fromisoformat(written[name]) for name in ("since", "until"))
        return cls(
            written["release"],
            ReplayWindow(since, until, written["tenant_id"]),
            tuple(RulePack.model_validate_json(json.dumps(pack)) for pack in written["packs"]),
            written["dry_run"],
            written["alerts"],
        )


def step_aside() -> None:
    """Let live workers of this machine have the processor first."""
    os.nice(NICENESS)


def choose_packs(names: Iterable[str], registry: PackRegistry) -> tuple[RulePack, ...]:
    """The packs that a person names: `finance@12`, `acme/finance@3`, `finance` (the one in force), or a file.

    Raises `ReplayError` for one that is not known, and `RulePackError` for a file.
    """
    return tuple(_chosen(name, registry) for name in names)


def _chosen(name: str, registry: PackRegistry) -> RulePack:
    if name.endswith((".yaml", ".yml")):
        return read_rule_pack(Path(name))
    tenant, _, pack = name.rpartition("/")
    pack, _, version = pack.partition("@")
    if not version:
        latest = registry.latest(tenant or None, pack)
        if latest is not None:
            return latest
    elif version.isdigit():
        found = registry.version(tenant or None, pack, int(version))
        if found is not None:
            return found
        if versions := registry.versions(tenant or None, pack):
            raise ReplayError(f"there is no {name}; of {pack} there are the versions {', '.join(map(str, versions))}")
    raise ReplayError(f"there are no rules {name}: write finance@12, finance, or the path of a .yaml file")
