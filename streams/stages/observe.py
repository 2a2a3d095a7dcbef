"""The stage `observe`: measures what no single worker knows, also when no worker of a stage runs.

How far each consumer group is behind, how much audio waits, what waits in the register, which calls have no outcome.
It writes nothing but metrics. A system that does not answer leaves what the others told as it is; what it told itself
is not exported any more.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from schemas.config.subscription import subscriber_names
from schemas.errors import OperatorError, RetryableError
from streams.adapters.clickhouse.connection import connect
from streams.adapters.clickhouse.status import count_unaccounted
from streams.adapters.kafka.ages import UnfinishedAges
from streams.adapters.kafka.audio_lag import AudioAhead
from streams.adapters.kafka.client import lags
from streams.adapters.register.outbox import Outbox
from streams.adapters.register.pauses import RegisterPauses
from streams.adapters.register.queues import custody_queues
from streams.adapters.register.register import Register
from streams.runtime.loop import Loop, in_own_thread
from streams.runtime.metrics import WorkerMetrics
from streams.runtime.worker_context import WorkerContext
from streams.settings import Settings
from streams.topology import WORKER_NAMES, WORKERS, consumer_groups

Series = Iterable[tuple[Mapping[str, str], float]]
Measured = Mapping[str, Series]
"""Metric → its series."""


def build(worker: WorkerContext) -> Loop:
    """Waits for nothing: what does not answer is not measured. Each system has a loop of its own."""
    settings, clock = worker.settings, worker.clock
    ahead, ages, register = AudioAhead(settings), UnfinishedAges(settings), Register.of(settings)
    kafka = Observation("kafka", KAFKA_METRICS, lambda now: of_kafka(settings, ahead, ages, now))
    database = Observation("clickhouse", CLICKHOUSE_METRICS, lambda now: of_clickhouse(settings, now))
    of_custody = Observation("register", REGISTER_METRICS, lambda now: of_register(register, now))
    for beside in (database, of_custody):
        in_own_thread(
            worker.loop_beside(
                beside.system,
                lambda beside=beside: beside.step(worker.metrics, clock.now()),  # type: ignore[misc]
                every_s=settings.observe_every_s,
            )
        )

    def close() -> None:
        ahead.close()
        register.close()

    return worker.loop(lambda: kafka.step(worker.metrics, clock.now()), every_s=settings.observe_every_s, close=close)


@dataclass(frozen=True)
class Observation:
    """What is measured of one system: these metrics, by this question."""

    system: str
    metrics: tuple[str, ...]
    ask: Callable[[datetime], Measured]

    def step(self, metrics: WorkerMetrics, now: datetime) -> None:
        """Export what it tells. Raises `RetryableError`, also where it refuses us: the others are measured on."""
        try:
            told = self.ask(now)
        except (RetryableError, OperatorError) as error:
            for name in self.metrics:
                metrics.measured(name, ())
            raise RetryableError(str(error)) from error
        for name in self.metrics:
            metrics.measured(name, told[name])
        metrics.observed(self.system, now)


KAFKA_METRICS = (
    "callstream_lag_messages",
    "callstream_lag_audio_seconds",
    "callstream_oldest_unfinished_age_seconds",
)


def of_kafka(settings: Settings, ahead: AudioAhead, ages: UnfinishedAges, now: datetime) -> Measured:
    """Raises `RetryableError` and `KafkaAccessError`."""
    behind = lags(settings, consumer_groups(subscriber_names(settings.subscriptions_file), settings))
    oldest_s: dict[tuple[str, str], float] = {}
    for (group, topic), age_s in ages.ask(behind, now).items():
        of_stage = (_stage_of(group), topic)
        oldest_s[of_stage] = max(age_s, oldest_s.get(of_stage, 0))
    return {
        "callstream_lag_messages": [
            ({"stage": _stage_of(lag.stage), "group": lag.stage, "topic": lag.topic}, lag.messages) for lag in behind
        ],
        "callstream_lag_audio_seconds": [({"lane": lane}, waiting.audio_s) for lane, waiting in ahead.ask().items()],
        "callstream_oldest_unfinished_age_seconds": [
            ({"stage": stage, "topic": topic}, age_s) for (stage, topic), age_s in oldest_s.items()
        ],
    }


def _stage_of(group: str) -> str:
    return group.partition(".")[0]


CLICKHOUSE_METRICS = ("callstream_unaccounted_calls", "callstream_oldest_unaccounted_age_seconds")


def of_clickhouse(settings: Settings, now: datetime) -> Measured:
    """Raises `RetryableError` and `ClickHouseAccessError`."""
    client = connect(settings.clickhouse_url.get_secret_value())
    try:
        waiting = count_unaccounted(
            client,
            older_than_s=settings.processing_objective_s,
            since=now - timedelta(days=settings.status_days),
            now=now,
        )
    finally:
        client.close()
    return {
        "callstream_unaccounted_calls": [({}, waiting.calls)],
        "callstream_oldest_unaccounted_age_seconds": [({}, _age_s(waiting.oldest_since, now))],
    }


REGISTER_METRICS = (
    "callstream_custody_queue",
    "callstream_outbox_entries",
    "callstream_outbox_oldest_age_seconds",
    "callstream_stage_paused",
    "callstream_paused_tenants",
)


def of_register(register: Register, now: datetime) -> Measured:
    """Raises as `Register.transaction`."""
    backlog = Outbox(register).backlog()
    pauses = RegisterPauses(register).every()
    whole = {each.stage for each in pauses if not each.tenant_id}
    tenants = Counter(each.stage for each in pauses if each.tenant_id)
    return {
        "callstream_custody_queue": [
            ({"queue": queue}, entries) for queue, entries in custody_queues(register, now).items()
        ],
        "callstream_outbox_entries": [({}, backlog.events)],
        "callstream_outbox_oldest_age_seconds": [({}, _age_s(backlog.oldest_since, now))],
        "callstream_stage_paused": [({"stage": name}, float(name in whole)) for name in WORKER_NAMES],
        "callstream_paused_tenants": [
            ({"stage": stage.name}, tenants[stage.name]) for stage in WORKERS if stage.pauses_tenants
        ],
    }


def _age_s(since: datetime | None, now: datetime) -> float:
    return 0 if since is None else max((now - since).total_seconds(), 0)
