"""The state of the pipeline: from Kafka, ClickHouse and the register, and that of the workers of this machine from the
data folder.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from schemas.config.subscription import subscriber_names
from schemas.errors import OperatorError, RetryableError
from schemas.messages.topics import Lane
from streams.adapters.clickhouse.connection import connect
from streams.adapters.clickhouse.status import (
    DeadLetterCount,
    calls_per_minute,
    count_unaccounted,
    dead_letter_counts,
    outcome_counts,
)
from streams.adapters.kafka.audio_lag import AudioAhead, AudioWaiting
from streams.adapters.kafka.canary import write_canary
from streams.adapters.kafka.client import lags
from streams.adapters.kafka.fetcher import KafkaAccessError
from streams.adapters.kafka.waiting import oldest_unread
from streams.adapters.register.outbox import Outbox
from streams.adapters.register.pauses import RegisterPauses
from streams.adapters.register.register import Register
from streams.ports import Clock
from streams.queries.lane_waits import LaneWait, lane_waits
from streams.runtime.child_records import LOOP_WITHIN_S, ChildCondition, child_conditions
from streams.runtime.free_space import lack_of_space
from streams.runtime.heartbeat import WorkerCondition, conditions
from streams.runtime.loop import refused_in_a_row
from streams.runtime.pauses import Pause
from streams.settings import Settings
from streams.topology import WORKER_NAMES, consumer_groups

RATE_OVER_MINUTES = 5
CLICKHOUSE_WITHIN_S = 10
"""So long ClickHouse may take to say that it is there. One that hangs takes connections and never answers, and who asks
how the pipeline is doing has no two minutes."""


@dataclass(frozen=True)
class StageLag:
    """How far a consumer group is behind on a topic.

    `oldest_waits_s`: since when the oldest message waits that is not finished, by the broker's clock and ours; null
    where none does, or where Kafka did not show it in time.
    """

    stage: str
    topic: str
    messages: int
    oldest_waits_s: float | None


@dataclass(frozen=True)
class OutboxLag:
    """What the register has to tell that `relay` has not published yet, and for how long the oldest of it waits."""

    events: int
    oldest_waits_s: float | None


@dataclass(frozen=True)
class LocalWorkers:
    """Of this machine and data folder alone; on others, `status` looks there."""

    workers: Sequence[WorkerCondition]
    children: Sequence[ChildCondition]
    """Of supervisors (`callstream up`, `callstream worker A B`)."""
    refused_in_a_row: dict[str, int]
    """Stage → messages that it has made dead letters of since one last went right; without those at 0."""

    @classmethod
    def of(cls, data_dir: Path) -> "LocalWorkers":
        """As they are now."""
        refused = {name: refused_in_a_row(data_dir / "workers" / name) for name in WORKER_NAMES}
        return cls(
            conditions(data_dir),
            child_conditions(data_dir),
            {name: count for name, count in refused.items() if count},
        )

    @property
    def problems(self) -> list[str]:
        """One sentence for each that somebody must look at."""
        return [
            *(_worker_in_words(worker) for worker in self.workers if worker.is_problem),
            *(_child_in_words(child) for child in self.children if child.is_problem),
        ]


@dataclass(frozen=True)
class PipelineStatus:
    """One look at the pipeline. `unaccounted` are calls without outcome for longer than the objective.

    Calls and dead letters are those of the last `days`. What only ClickHouse knows is None where it does not answer;
    `outcomes` also where nobody asked for them.
    """

    lags: Sequence[StageLag]
    outcomes: dict[str, int] | None
    unaccounted: int | None
    oldest_unaccounted: datetime | None
    dead_letters: Sequence[DeadLetterCount] | None
    calls_per_minute: float | None
    days: int
    local: LocalWorkers
    problems: Sequence[str] = ()
    """Sentences about what keeps the pipeline from going on: Kafka takes no record, the register does not answer, a
    disk is full."""
    outbox: OutboxLag | None = None
    """None where the register does not answer, which is a problem, or where there is none yet, which is not."""
    lanes: Sequence[LaneWait] = ()
    """What waits to be heard."""
    pauses: Sequence[Pause] = ()
    """Stages that are to stand still, and tenants for whom one does nothing; no problem, somebody wanted it."""
    clickhouse_away: str = ""
    """The sentence that says so; empty where ClickHouse answers."""

    @property
    def is_problem(self) -> bool:
        """Whether somebody has to look."""
        return bool(self.unaccounted) or bool(self.problems) or bool(self.local.problems)

    def as_json(self) -> dict[str, Any]:
        """The status for programs; times in ISO 8601."""
        plain = asdict(self)
        oldest = self.oldest_unaccounted
        return plain | {
            "oldest_unaccounted": oldest.isoformat() if oldest else None,
            "problems": [*self.problems, *self.local.problems],
            "pauses": [{**asdict(each), "since": each.since.isoformat()} for each in self.pauses],
        }

    def summary(self) -> str:
        """One line: how fast, and what is overdue."""
        if self.calls_per_minute is None:
            return "outcomes, dead letters and calls a minute stand in ClickHouse, which does not answer"
        since = f", the oldest since {self.oldest_unaccounted:%Y-%m-%d %H:%M:%S} UTC" if self.unaccounted else ""
        return (
            f"{self.calls_per_minute:.1f} calls a minute over {RATE_OVER_MINUTES} minutes; "
            f"of the last {_days(self.days)} {self.unaccounted} without outcome for too long{since}"
        )


def pipeline_status(settings: Settings, clock: Clock, *, with_outcomes: bool = True) -> PipelineStatus:
    """Writes a record to a topic that nobody reads: a broker may answer, and take nothing.

    Outcomes are counted of all calls of the last `status_days`, which may be many: whoever asks often leaves them out.

    Raises `RetryableError` when Kafka does not answer, and `ClickHouseAccessError`.
    """
    lacking = lack_of_space(settings.data_dir)
    counts, away = _Counts(), ""
    try:
        counts = _counts(settings, clock.now(), with_outcomes)
    except RetryableError as error:
        away = str(error)
    try:
        return _look(settings, clock, counts, away, lacking)
    except RetryableError as error:
        raise RetryableError("; ".join(filter(None, (away, str(error), *lacking)))) from None


@dataclass(frozen=True)
class _Counts:
    """What only ClickHouse knows."""

    outcomes: dict[str, int] | None = None
    unaccounted: int | None = None
    oldest_unaccounted: datetime | None = None
    dead_letters: Sequence[DeadLetterCount] | None = None
    calls_per_minute: float | None = None


def _counts(settings: Settings, now: datetime, with_outcomes: bool) -> _Counts:
    url = settings.clickhouse_url.get_secret_value()
    connect(url, timeout_s=CLICKHOUSE_WITHIN_S).close()
    with closing(connect(url)) as client:
        since = now - timedelta(days=settings.status_days)
        waiting = count_unaccounted(client, older_than_s=settings.processing_objective_s, since=since, now=now)
        return _Counts(
            outcomes=outcome_counts(client, since=since) if with_outcomes else None,
            unaccounted=waiting.calls,
            oldest_unaccounted=waiting.oldest_since,
            dead_letters=dead_letter_counts(client, since=since),
            calls_per_minute=calls_per_minute(client, now=now, minutes=RATE_OVER_MINUTES),
        )


def _look(settings: Settings, clock: Clock, counts: _Counts, away: str, problems: Sequence[str]) -> PipelineStatus:
    outbox, of_register = outbox_lag(settings, clock.now())
    return PipelineStatus(
        lags=stage_lags(settings, clock),
        outcomes=counts.outcomes,
        unaccounted=counts.unaccounted,
        oldest_unaccounted=counts.oldest_unaccounted,
        dead_letters=counts.dead_letters,
        calls_per_minute=counts.calls_per_minute,
        days=settings.status_days,
        local=LocalWorkers.of(settings.data_dir),
        problems=(*_refused_canary(settings), *of_register, *problems),
        outbox=outbox,
        lanes=lane_waits(audio_waiting(settings), settings.lane_weights, counts.calls_per_minute or 0.0),
        pauses=standing_pauses(settings),
        clickhouse_away=away,
    )


def audio_waiting(settings: Settings) -> Mapping[Lane, AudioWaiting]:
    """Lane → what waits to be heard. Raises `RetryableError` and `KafkaAccessError`."""
    with closing(AudioAhead(settings)) as ahead:
        return ahead.ask()


def standing_pauses(settings: Settings) -> list[Pause]:
    """Those in the register; none where it does not answer, which `outbox_lag` tells."""
    register = Register.of(settings)
    try:
        return RegisterPauses(register).every()
    except (RetryableError, OperatorError):
        return []
    finally:
        register.close()


def outbox_lag(settings: Settings, now: datetime) -> tuple[OutboxLag | None, tuple[str, ...]]:
    """What waits in the outbox of the register, and what of it is a problem, in sentences."""
    register = Register.of(settings)
    if register.file is not None and not register.file.exists():
        return None, ()
    try:
        backlog = Outbox(register).backlog()
    except (RetryableError, OperatorError) as error:
        return None, (str(error),)
    finally:
        register.close()
    since = backlog.oldest_since
    lag = OutboxLag(backlog.events, None if since is None else round(max((now - since).total_seconds(), 0), 1))
    if lag.oldest_waits_s is None or lag.oldest_waits_s <= settings.processing_objective_s:
        return lag, ()
    return lag, (
        f"{lag.events} events of the register have waited for up to {lag.oldest_waits_s:.0f} s for custody.changed.v1: "
        "see whether a worker relay runs, and its log",
    )


def _refused_canary(settings: Settings) -> tuple[str, ...]:
    try:
        write_canary(settings)
    except RetryableError as error:
        return (f"Kafka answers, and takes no records: {error}",)
    except KafkaAccessError as error:
        return (str(error),)
    return ()


def stage_lags(settings: Settings, clock: Clock) -> list[StageLag]:
    """Of every consumer group on each of its topics. Raises `RetryableError`."""
    behind = lags(settings, consumer_groups(subscriber_names(settings.subscriptions_file), settings))
    since = oldest_unread(settings, behind)
    now = clock.now()

    def waits_s(stage: str, topic: str) -> float | None:
        moment = since.get((stage, topic))
        return None if moment is None else round(max((now - moment).total_seconds(), 0), 1)

    return [StageLag(lag.stage, lag.topic, lag.messages, waits_s(lag.stage, lag.topic)) for lag in behind]


def status_tables(status: PipelineStatus) -> Iterator[Table]:
    """The status as tables for people."""
    lag = Table("stage", "reads", "messages behind", "oldest waits", title="lag")
    for row in status.lags:
        lag.add_row(row.stage, row.topic, str(row.messages), _in_seconds(row.oldest_waits_s))
    if status.outbox is not None:
        waits = _in_seconds(status.outbox.oldest_waits_s)
        lag.add_row("relay", "outbox of the register", str(status.outbox.events), waits)
    yield lag
    if any(lane.calls for lane in status.lanes):
        lanes = Table("lane", "calls waiting", "audio waiting", "heard in", title="lanes of listen")
        for lane in status.lanes:
            about = "about " if lane.is_estimate else ""
            nobody_knows = "unknown" if status.clickhouse_away else "not at the rate of now"
            ends = nobody_knows if lane.heard_in_s is None else f"{lane.heard_in_s:.0f} s"
            lanes.add_row(lane.lane, str(lane.calls), f"{about}{lane.audio_s:.0f} s", ends)
        yield lanes
    if status.pauses:
        pauses = Table("stage", "tenant", "is", "since (UTC)", "by", "why", title="paused")
        for pause in status.pauses:
            how = "paused" if pause.kind == "pause" else "drained"
            since = f"{pause.since:%Y-%m-%d %H:%M:%S}"
            pauses.add_row(pause.stage, pause.tenant_id or "all", how, since, Text(pause.actor), Text(pause.why))
        yield pauses
    yield from _local_tables(status.local)
    if status.outcomes is not None:
        outcomes = Table("outcome", "calls", title=f"outcomes of the last {_days(status.days)}")
        for outcome, calls in status.outcomes.items():
            outcomes.add_row(outcome, str(calls))
        yield outcomes
    if status.dead_letters:
        letters = Table("step", "error", "messages", title=f"open dead letters of the last {_days(status.days)}")
        for count in status.dead_letters:
            letters.add_row(count.step, count.exception_class, str(count.letters))
        yield letters


def _days(days: int) -> str:
    """`day`, or `8 days`."""
    return "day" if days == 1 else f"{days} days"


def _in_seconds(waits_s: float | None) -> str:
    return "" if waits_s is None else f"{waits_s:.0f} s"


def _local_tables(local: LocalWorkers) -> Iterator[Table]:
    if local.workers:
        columns = ("stage", "process", "state", "for", "at", "refused in a row", "not ready: no answer of")
        workers = Table(*columns, title="workers of this machine")
        for worker in local.workers:
            refused = local.refused_in_a_row.get(worker.stage, 0)
            at = worker.at[0] if len(worker.at) == 1 else f"{len(worker.at)} messages" if worker.at else worker.loop
            workers.add_row(
                worker.stage,
                str(worker.pid),
                worker.state,
                f"{worker.for_s:.0f} s",
                Text(at),
                str(refused),
                ", ".join(worker.away),
            )
        yield workers
    ended = [child for child in local.children if child.ends or child.is_problem]
    if ended:
        title = f"processes that ended in the last {LOOP_WITHIN_S / 60:.0f} minutes"
        children = Table("process", "state", "ended", "exit code", "log", title=title)
        for child in ended:
            children.add_row(child.name, child.state, f"{child.ends} ×", str(child.exit_code), Text(child.log_file))
        yield children


def _worker_in_words(worker: WorkerCondition) -> str:
    who = f"{worker.stage} (process {worker.pid})"
    match worker.state:
        case "gone":
            return f"{who} has ended without a word, {worker.for_s:.0f} s ago or more"
        case "starts":
            return f"{who} has been starting for {worker.for_s:.0f} s: see its log"
    what = f" ({worker.loop})" if worker.loop else f" at {worker.at[0]}" if len(worker.at) == 1 else ""
    return f"{who} has not moved for {worker.for_s:.0f} s{what}: see its log, end it and start it again"


def _child_in_words(child: ChildCondition) -> str:
    what = f"{child.name} ended with exit code {child.exit_code}"
    if child.state == "ended":
        return f"{what} and is not started again: see {child.log_file}"
    return f"{what}, {child.ends} times in {LOOP_WITHIN_S / 60:.0f} minutes: see {child.log_file}"
