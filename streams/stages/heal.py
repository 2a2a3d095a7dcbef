"""Stage `heal`: judges calls again that were judged while ClickHouse told nothing of other calls.

The topic of judgements is the queue: what says `baseline_unknown` or `history_unknown` waits there, the offset before
it, until ClickHouse answers and `store` has written all that was judged before. Then the stored transcript is judged
again, by the rules in force, and what comes of it goes the way of history (`calls.reanalyzed.v1`). What comes twice
gives the same: the later judgement of a call replaces the earlier, and alerts that were raised are not raised again.
"""

import logging
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from processors.alerts.raising import alerts_of
from processors.custody.ports import Tombstones
from processors.detectors.duration_anomaly import BASELINE_UNKNOWN
from processors.detectors.repeated_contact import HISTORY_UNKNOWN
from processors.judging.call_context import Background
from processors.judging.pipeline import Judge
from schemas.errors import InvalidMessageError, RetryableError
from schemas.messages.alert import Alert
from schemas.messages.call_analysis import CallAnalysis
from schemas.messages.finding import Severity
from schemas.messages.records import ConsumerRecord, ProducerRecord
from schemas.messages.topics import ALERTS_RAISED, CALLS_ANALYZED, CALLS_REANALYZED, RULES_PUBLISHED
from schemas.messages.transcript import Transcript
from streams.adapters.clickhouse.connection import connect
from streams.adapters.clickhouse.history import ClickHouseHistory
from streams.adapters.kafka.client import BatchConsumer, TopicReader
from streams.adapters.object_store.from_settings import object_store_from
from streams.adapters.register.register import Register
from streams.analysis import judge_settings
from streams.ports import Clock, History
from streams.runtime.buried import NO_TOMBSTONES
from streams.runtime.loop import Loop, StoppedError
from streams.runtime.rule_signatures import read_public_keys
from streams.runtime.rules_feed import LiveJudge, follow, packs_at_hand
from streams.runtime.worker_context import WorkerContext
from streams.stages.reconcile import stored_until
from streams.topology import groups_of
from streams.wiring import buried_calls, require_register, require_topics, transcript_store_from

log = logging.getLogger(__name__)

HEAL = "heal"
BATCH = 50
MOST_TRIES = 5
"""So often a call is tried about which ClickHouse tells nothing although it answers; then it stays as it is."""

_MARKS = (BASELINE_UNKNOWN.encode(), HISTORY_UNKNOWN.encode())
"""What has none of these is not even decoded."""

EVER = datetime.min.replace(tzinfo=UTC)


class TranscriptsAtRest(Protocol):
    """Where transcripts lie (`TranscriptStore`)."""

    def load(self, tenant_id: str, call_id: str) -> Transcript | None:
        """None where there is none, or it cannot be used. Raises `RetryableError` and `OperatorError`."""
        ...


def build(worker: WorkerContext) -> Loop:
    """Waits for Kafka and the register. ClickHouse is not waited for: while it is away, this is what waits."""
    settings = worker.settings
    worker.wait_for(lambda: require_topics(settings))
    worker.wait_for(lambda: require_register(Register.of(settings)))

    def made_judge() -> Callable[[], Judge]:
        live = LiveJudge(
            judge_settings(settings), packs_at_hand(settings.rules_folder), read_public_keys(settings.rules_public_keys)
        )
        follow(live, lambda: TopicReader(settings, RULES_PUBLISHED.name), worker.stop, settings.retry_max_wait_s)
        return lambda: live.current

    def ask_clickhouse() -> None:
        client = connect(settings.clickhouse_url.get_secret_value())
        try:
            client.command("SELECT 1")
        finally:
            client.close()

    history = ClickHouseHistory.of(settings)
    heal = Heal(
        transcript_store_from(settings, object_store_from(settings)),
        made_judge,
        history,
        ask_clickhouse,
        lambda now: stored_until(settings, now, [CALLS_ANALYZED.name]),
        worker.clock,
        worker.stop,
        alert_min_severity=settings.alert_min_severity,
        looks_for_contacts=settings.contacts_lookup,
        most_per_s=settings.heal_per_s,
        tombstones=buried_calls(settings),
    )
    (topics,) = groups_of(HEAL).values()
    source = BatchConsumer(settings, HEAL, topics)

    def close() -> None:
        source.close()
        history.__exit__(None, None, None)

    return worker.loop_of_work(heal.work, source, batch=BATCH, close=close)


@dataclass
class Heal:
    """Judgements in, better ones out.

    `made_judge` makes the judge when the first call needs it: until then this is a small process. `ask_clickhouse`
    raises `RetryableError` where it does not answer. `stored_until(now)`: all judgements that were written to their
    topic before that moment are in ClickHouse.
    """

    transcripts: TranscriptsAtRest
    made_judge: Callable[[], Callable[[], Judge]]
    history: History
    ask_clickhouse: Callable[[], None]
    stored_until: Callable[[datetime], datetime]
    clock: Clock
    stop: threading.Event = field(default_factory=threading.Event)
    alert_min_severity: Severity = "high"
    looks_for_contacts: bool = True
    most_per_s: float = 10
    tombstones: Tombstones = NO_TOMBSTONES
    _judge: Callable[[], Judge] | None = field(default=None, init=False, repr=False)
    _stored_until: datetime = field(default=EVER, init=False, repr=False)
    _tries: Counter[str] = field(default_factory=Counter, init=False, repr=False)

    def work(self, records: Sequence[ConsumerRecord]) -> list[ProducerRecord]:
        """New judgements, and the alerts that follow from them alone; nothing of calls that lack nothing.

        Raises `RetryableError` while ClickHouse, or `store`, is not so far, and `StoppedError`.
        """
        return [output for record in records for output in self._heal(record)]

    def _heal(self, record: ConsumerRecord) -> Sequence[ProducerRecord]:
        analysis = self._lacking(record)
        if analysis is None or self.tombstones.among([(analysis.tenant_id, analysis.call_id)]):
            return ()
        self._wait_for_store(record)
        background = self.history.background(analysis.call)
        if not self._is_known(background, analysis):
            return self._later(record)
        self._tries.pop(record.position, None)
        transcript = self.transcripts.load(analysis.tenant_id, analysis.call_id)
        if transcript is None:
            log.info("heal: %s stays as it is, there is no transcript", record.position)
            return ()
        if self._judge is None:
            self._judge = self.made_judge()
        judge = self._judge()
        again = judge.judge(transcript, self.clock.now(), background)
        # By rule, not by id: a version of the rules that came meanwhile makes no second alert of the same.
        raised = {alert.rule_id for alert in self._alerts(judge, analysis)}
        new = [alert for alert in self._alerts(judge, again) if alert.rule_id not in raised]
        if self.stop.wait(1 / self.most_per_s):
            raise StoppedError
        return (CALLS_REANALYZED.record(again), *(ALERTS_RAISED.record(alert) for alert in new))

    def _lacking(self, record: ConsumerRecord) -> CallAnalysis | None:
        """The judgement, where it lacks what ClickHouse knows. What cannot be read, `store` makes a dead letter of."""
        if record.value is None or not any(mark in record.value for mark in _MARKS):
            return None
        try:
            analysis = CALLS_ANALYZED.read(record)
        except InvalidMessageError:
            return None
        reasons = {skipped.reason for skipped in analysis.skipped_analysis}
        wanted = {BASELINE_UNKNOWN, *([HISTORY_UNKNOWN] if self.looks_for_contacts else [])}
        return analysis if reasons & wanted else None

    def _wait_for_store(self, record: ConsumerRecord) -> None:
        """Raises `RetryableError` where earlier calls may not be in ClickHouse yet."""
        if self._stored_until <= record.written_at:
            self._stored_until = self.stored_until(self.clock.now())
        if self._stored_until <= record.written_at:
            raise RetryableError("what was judged before is not in ClickHouse yet")

    def _is_known(self, background: Background, analysis: CallAnalysis) -> bool:
        asks = self.looks_for_contacts and analysis.call.customer.key is not None
        return background.baseline_known and (background.contacts is not None or not asks)

    def _later(self, record: ConsumerRecord) -> Sequence[ProducerRecord]:
        """Raises `RetryableError`, until it has been tried often enough."""
        self.ask_clickhouse()
        self._tries[record.position] += 1
        if self._tries[record.position] < MOST_TRIES:
            raise RetryableError("ClickHouse answers, and does not tell of other calls in time")
        del self._tries[record.position]
        log.error("heal: %s stays as it is: ClickHouse answers, and tells nothing of other calls", record.position)
        return ()

    def _alerts(self, judge: Judge, analysis: CallAnalysis) -> Sequence[Alert]:
        return alerts_of(analysis, judge.category_names(analysis), self.alert_min_severity)
