"""The state of the pipeline, from Kafka and ClickHouse."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from rich.table import Table

from schemas.config.subscription import subscriber_names
from schemas.errors import RetryableError
from streams.adapters.clickhouse.connection import connect
from streams.adapters.clickhouse.status import (
    DeadLetterCount,
    calls_per_minute,
    count_unaccounted,
    dead_letter_counts,
    outcome_counts,
)
from streams.adapters.kafka.canary import write_canary
from streams.adapters.kafka.client import Lag, lags
from streams.adapters.kafka.fetcher import KafkaAccessError
from streams.ports import Clock
from streams.runtime.free_space import lack_of_space
from streams.settings import Settings
from streams.topology import consumer_groups

RATE_OVER_MINUTES = 5


@dataclass(frozen=True)
class PipelineStatus:
    """One look at the pipeline. `unaccounted` are calls without outcome for longer than the objective."""

    lags: Sequence[Lag]
    outcomes: dict[str, int]
    unaccounted: int
    oldest_unaccounted: datetime | None
    dead_letters: Sequence[DeadLetterCount]
    calls_per_minute: float
    problems: Sequence[str] = ()
    """Sentences about what keeps the pipeline from going on: Kafka takes no record, a disk is full."""

    def as_json(self) -> dict[str, Any]:
        """The status for programs; times in ISO 8601."""
        plain = asdict(self)
        oldest = self.oldest_unaccounted
        return plain | {"oldest_unaccounted": oldest.isoformat() if oldest else None}

    def summary(self) -> str:
        """One line: how fast, and what is overdue."""
        since = f", the oldest since {self.oldest_unaccounted:%Y-%m-%d %H:%M:%S} UTC" if self.unaccounted else ""
        return (
            f"{self.calls_per_minute:.1f} calls a minute over {RATE_OVER_MINUTES} minutes; "
            f"{self.unaccounted} without outcome for too long{since}"
        )


def pipeline_status(settings: Settings, clock: Clock) -> PipelineStatus:
    """Writes a record to a topic that nobody reads: a broker may answer, and take nothing.

    Raises `RetryableError` when Kafka or ClickHouse does not answer, and `ClickHouseAccessError`.
    """
    lacking = lack_of_space(settings.data_dir)
    try:
        return _look(settings, clock, lacking)
    except RetryableError as error:
        raise RetryableError("; ".join((str(error), *lacking))) from None


def _look(settings: Settings, clock: Clock, problems: Sequence[str]) -> PipelineStatus:
    client = connect(settings.clickhouse_url.get_secret_value())
    now = clock.now()
    waiting = count_unaccounted(client, older_than_s=settings.processing_objective_s, now=now)
    return PipelineStatus(
        lags=lags(settings, consumer_groups(subscriber_names(settings.subscriptions_file))),
        outcomes=outcome_counts(client),
        unaccounted=waiting.calls,
        oldest_unaccounted=waiting.oldest_since,
        dead_letters=dead_letter_counts(client),
        calls_per_minute=calls_per_minute(client, now=now, minutes=RATE_OVER_MINUTES),
        problems=(*_refused_canary(settings), *problems),
    )


def _refused_canary(settings: Settings) -> tuple[str, ...]:
    try:
        write_canary(settings)
    except RetryableError as error:
        return (f"Kafka answers, and takes no records: {error}",)
    except KafkaAccessError as error:
        return (str(error),)
    return ()


def status_tables(status: PipelineStatus) -> Iterator[Table]:
    """The status as tables for people."""
    lag = Table("stage", "reads", "messages behind", title="lag")
    for row in status.lags:
        lag.add_row(row.stage, row.topic, str(row.messages))
    yield lag
    outcomes = Table("outcome", "calls", title="outcomes")
    for outcome, calls in status.outcomes.items():
        outcomes.add_row(outcome, str(calls))
    yield outcomes
    if status.dead_letters:
        letters = Table("step", "error", "messages", title="dead letters")
        for count in status.dead_letters:
            letters.add_row(count.step, count.exception_class, str(count.letters))
        yield letters
