"""`streams.stages.rollup.BucketStore` on ClickHouse: the table `duration_buckets`."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, cast

from processors.clickhouse.time_buckets import (
    CALLS_TOUCHED,
    DAY,
    DAY_S,
    MADE,
    MAKE,
    MAKE_DAY,
    PURGES_TOUCHED,
    SPAN,
    SPAN_S,
    MadeBuckets,
)
from streams.adapters.clickhouse.reconnecting import ReconnectingClient
from streams.adapters.clickhouse.statements import execute, read_rows

TIMEOUT_S = 600


class ClickHouseDurationBuckets:
    """Connects at the first question, and again after an error. For one thread. Raises as `connect` does."""

    def __init__(self, url: str) -> None:
        self._connection = ReconnectingClient(url, timeout_s=TIMEOUT_S)

    def now(self) -> datetime:
        """The time of the database."""
        ((moment,),) = self._rows("the time", "SELECT now64(3, 'UTC')")
        return cast(datetime, moment)

    def touched(self, since: datetime, oldest: datetime, until: datetime) -> dict[datetime, datetime]:
        """Start of ten minutes → when the newest of its calls was stored or erased, of what was since then.

        Of calls that ended in [oldest, until).
        """
        newest: dict[datetime, datetime] = {}
        for query in (CALLS_TOUCHED, PURGES_TOUCHED):
            rows = self._rows("what was stored", query, since=_ms(since), oldest=_ms(oldest), until=_ms(until))
            for start, stored_at in rows:
                newest[start] = max(stored_at, newest.get(start, stored_at))
        return newest

    def made(self, oldest: datetime, until: datetime) -> MadeBuckets:
        """What was made of the time from `oldest` on."""
        rows = self._rows("buckets of durations", MADE, oldest=_ms(oldest), until=_ms(until))
        spans, days = ({start: as_of for of, start, as_of in rows if of == span_s} for span_s in (SPAN_S, DAY_S))
        return MadeBuckets(spans, days)

    def make(self, starts: Sequence[datetime], as_of: datetime) -> None:
        """Make these ten minutes from the calls; again is right."""
        self._make(MAKE, starts, max(starts) + SPAN, as_of)

    def make_day(self, day: datetime, as_of: datetime) -> None:
        """Make a day from its ten minutes, all of which were made; again is right."""
        self._make(MAKE_DAY, [day], day + DAY, as_of)

    def close(self) -> None:
        """Lets go of the connection."""
        self._connection.close()

    def _make(self, statement: str, starts: Sequence[datetime], end: datetime, as_of: datetime) -> None:
        asked = {"starts": [int(start.timestamp()) for start in starts], "first": _ms(min(starts)), "end": _ms(end)}
        with self._connection.client() as client:
            execute(client, "adding up durations", statement, as_of=_ms(as_of), **asked)

    def _rows(self, operation: str, query: str, **parameters: object) -> Sequence[Sequence[Any]]:
        with self._connection.client() as client:
            return read_rows(client, operation, query, **parameters)


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
