"""History judged again: stored transcripts through other rules, beside live traffic. No audio is touched.

`calls.transcribed.v1` is read from a point in time; what comes out goes to `calls.reanalyzed.v1`, which `store` takes
in when live traffic leaves it room, and there replaces the former judgement of the call.
"""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol

from processors.judging.pipeline import Judge
from schemas.config.rule_pack import RulePack, read_rule_pack
from schemas.errors import InvalidMessageError, OperatorError
from schemas.messages.call_analysis import CallAnalysis
from schemas.messages.records import ConsumerRecord, ProducerRecord
from schemas.messages.topics import CALLS_REANALYZED, CALLS_TRANSCRIBED, message_key
from schemas.messages.transcript import Transcript
from streams.ports import CallKey, Clock, FormerJudgements, History, NoHistory, PublisherPort, RiskOrNone
from streams.runtime.rules_feed import PackRegistry

BATCH_CALLS = 100
NO_HISTORY = NoHistory()
MAX_CHANGES_NAMED = 10_000
NICENESS = 10
"""Live workers on the same machine go first."""


class TranscriptSource(Protocol):
    """The transcripts from a point in time on, up to the end that the topic has now."""

    @property
    def is_at_end(self) -> bool: ...

    def read(self, most: int, wait_s: float) -> list[ConsumerRecord]: ...


class ReplayError(OperatorError):
    """The replay cannot be done as asked; the text says what to change."""

    exit_code = 2


@dataclass(frozen=True)
class ReplayWindow:
    """Which calls: those that ended from `since` to before `until`, of one tenant or of all."""

    since: datetime
    until: datetime | None = None
    tenant_id: str | None = None

    def holds(self, transcript: Transcript) -> bool:
        """Whether a call is to be judged again."""
        ended_at = transcript.call.ended_at
        return (
            self.since <= ended_at
            and (self.until is None or ended_at < self.until)
            and self.tenant_id in (None, transcript.tenant_id)
        )


@dataclass(frozen=True)
class Change:
    """A call whose risk is another one now."""

    tenant_id: str
    call_id: str
    before: RiskOrNone
    after: RiskOrNone


@dataclass
class ReplayReport:
    """What came of a replay.

    `transcripts` counts what was read, other calls included; `judged` what was judged again: a call whose transcript
    stands there twice is judged twice, and the later one stays. `changes` holds the first `MAX_CHANGES_NAMED` calls
    whose risk is another one now, `moves` counts all of them: `low → high` → how many.
    """

    transcripts: int = 0
    unreadable: int = 0
    judged: int = 0
    findings: Counter[str] = field(default_factory=Counter)
    changes: dict[CallKey, Change] = field(default_factory=dict)
    moves: Counter[str] = field(default_factory=Counter)
    _changed: dict[CallKey, tuple[RiskOrNone, RiskOrNone]] = field(default_factory=dict, repr=False)
    """Every change, since a call may be judged once more and its last verdict counts."""

    def add(self, analysis: CallAnalysis, before: RiskOrNone) -> None:
        """One call, judged again."""
        self.judged += 1
        self.findings.update(finding.rule_id for finding in analysis.findings)
        after: RiskOrNone = analysis.risk.level if analysis.risk else "none"
        key = (analysis.tenant_id, analysis.call_id)
        if key in self._changed:
            before, superseded = self._changed.pop(key)
            self.moves -= Counter([f"{before} → {superseded}"])
            self.changes.pop(key, None)
        if before == after:
            return
        self._changed[key] = before, after
        self.moves[f"{before} → {after}"] += 1
        if len(self.changes) < MAX_CHANGES_NAMED:
            self.changes[key] = Change(*key, before, after)

    def gravest(self) -> list[Change]:
        """The changes that are named, those to a high risk first."""
        rank: dict[RiskOrNone, int] = {"high": 0, "medium": 1, "low": 2, "none": 3}
        return sorted(self.changes.values(), key=lambda one: (rank[one.after], -rank[one.before], one.call_id))


@dataclass(frozen=True)
class Replay:
    """Judges stored transcripts again.

    Without `publisher` nothing is written: the report says what would change. `history` tells of other calls.
    `side_outputs` gives the messages that follow from a judgement (alerts), none unless asked. `give_way` is called
    before each batch and returns when live traffic leaves room. `most_per_s` bounds the pace; 0: as fast as it goes.
    """

    source: TranscriptSource
    judge: Judge
    former: FormerJudgements
    clock: Clock
    publisher: PublisherPort | None = None
    history: History = NO_HISTORY
    side_outputs: Callable[[CallAnalysis], Sequence[ProducerRecord]] = lambda _analysis: ()
    give_way: Callable[[], None] = lambda: None
    most_per_s: float = 0

    def run(
        self, window: ReplayWindow, progress: Callable[[ReplayReport], None] = lambda _report: None
    ) -> ReplayReport:
        """Everything in the window. Raises `RetryableError`; what was written by then stays, and may be done again."""
        report = ReplayReport()
        while not self.source.is_at_end:
            self.give_way()
            started_s = time.monotonic()
            transcripts = self._read(report)
            wanted = [transcript for transcript in transcripts if window.holds(transcript)]
            self._judge(wanted, report)
            progress(report)
            if self.most_per_s and wanted:
                time.sleep(max(0.0, len(wanted) / self.most_per_s - (time.monotonic() - started_s)))
        return report

    def _read(self, report: ReplayReport) -> list[Transcript]:
        transcripts: list[Transcript] = []
        for record in self.source.read(BATCH_CALLS, 0.5):
            report.transcripts += 1
            try:
                transcripts.append(CALLS_TRANSCRIBED.decode(record.value))
            except InvalidMessageError:
                report.unreadable += 1  # `judge` made a dead letter of it when it was new
        return transcripts

    def _judge(self, transcripts: Sequence[Transcript], report: ReplayReport) -> None:
        if not transcripts:
            return
        before = self.former.risks(transcripts)
        outputs: list[ProducerRecord] = []
        for transcript in transcripts:
            background = self.history.background(transcript.call)
            analysis = self.judge.judge(transcript, self.clock.now(), background)
            report.add(analysis, before.get((analysis.tenant_id, analysis.call_id), "none"))
            key = message_key(analysis.tenant_id, analysis.call_id)
            outputs += [ProducerRecord(CALLS_REANALYZED.name, key, analysis.encode()), *self.side_outputs(analysis)]
        if self.publisher is not None:
            self.publisher.publish(outputs)


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
