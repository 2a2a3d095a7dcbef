"""`streams.ports.History` on ClickHouse: baselines of durations and earlier calls of a customer.

State that must be exact is not kept in the stream: it is read from the views, which are right after re-delivery and
re-analysis, and survives every restart there (docs/adr/0017-background-from-clickhouse.md).
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import TracebackType
from typing import Self

from clickhouse_connect.driver.client import Client

from processors.clickhouse.time_buckets import DAY_S, SPAN_S, durations_sql, sources
from processors.judging.baselines import Group, baseline_in_steps, group_of, moment_of
from processors.judging.call_context import Background, DurationBaseline
from processors.judging.earlier_contacts import CONTACT_WINDOW, EarlierContact
from schemas.errors import OperatorError, RetryableError
from schemas.messages.call_ended import CallEnded
from streams.adapters.clickhouse.reconnecting import ReconnectingClient
from streams.adapters.clickhouse.statements import read_rows
from streams.runtime.logs import describe
from streams.settings import Settings

log = logging.getLogger(__name__)

PAUSE_AFTER_FAILURE_S = 5.0
"""A ClickHouse that failed is left alone for so long: else every call would wait for its time-out again."""

SNAPSHOTS = 64
"""As many moments are remembered. Live traffic needs one or two; history that is judged again needs more."""

STALE_AFTER = timedelta(hours=1)
"""Baselines of four weeks hardly change in an hour; older ones are as good as none, because calls are judged again."""

SCAN_TIMEOUT_S = 60
"""For the baselines of all groups, in the background."""

MOST_CONTACTS = 100
"""Of one customer in the window; a customer with more is a machine."""

Baselines = Mapping[Group, DurationBaseline]


@dataclass(frozen=True)
class Snapshot:
    """The baselines of all groups as of one moment, and when they were read, in seconds of `Stopwatch`."""

    baselines: Baselines
    read_s: float


class BaselineReader:
    """Reads the baselines of all groups in a thread of its own, with a client of its own, and remembers them.

    Baselines are wanted for the moment that `moment_of` gives. Those that are older than `refresh_s` are still used,
    and read again meanwhile, because calls that ended before a moment may be judged after it.
    """

    def __init__(
        self,
        url: str,
        *,
        window: timedelta,
        refresh_s: float,
        timeout_s: int,
        stopwatch: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = url
        self._window = window
        self._refresh_s = refresh_s
        self._timeout_s = timeout_s
        self._stopwatch = stopwatch
        self._changed = threading.Condition()
        self._snapshots: dict[datetime, Snapshot] = {}
        self._wanted: set[datetime] = set()
        self._answers = True
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="baselines", daemon=True)
        self._thread.start()

    def baselines(self, moment: datetime) -> Baselines | None:
        """Those as of the moment; when they do not come in time, the last known before it, of `STALE_AFTER` at most.
        None where there are none such: then nothing is known.
        """
        with self._changed:
            snapshot = self._snapshots.get(moment)
            if snapshot is None or self._stopwatch() - snapshot.read_s >= self._refresh_s:
                self._wanted.add(moment)
                self._changed.notify_all()
            if snapshot is None and self._answers:
                # After one that waited in vain, nobody waits until it answers again.
                self._answers = self._changed.wait_for(
                    lambda: moment in self._snapshots or not self._answers, self._timeout_s
                ) and (moment in self._snapshots)
            known = [earlier for earlier in self._snapshots if earlier <= moment]
            if not known or moment - max(known) > STALE_AFTER:
                return None
            return self._snapshots[max(known)].baselines

    def close(self) -> None:
        """Ends the thread; a query that is under way is waited for no longer than a call would."""
        self._closed.set()
        with self._changed:
            self._changed.notify_all()
        self._thread.join(self._timeout_s)

    def _serve(self) -> None:
        connection = ReconnectingClient(self._url, timeout_s=SCAN_TIMEOUT_S)
        while not self._closed.is_set():
            with self._changed:
                self._changed.wait_for(lambda: self._wanted or self._closed.is_set())
                moment = max(self._wanted, default=None)
            if moment is None:
                break
            try:
                with connection.client() as client:
                    baselines = read_baselines(client, moment - self._window, moment)
            except Exception as error:
                # Whatever it is, calls are judged without; a thread that ended would never tell.
                log.warning("baselines of durations stay as they are: %s", _reason(error))
                with self._changed:
                    # What was wanted meanwhile is asked for again by the next call that wants it.
                    self._wanted.clear()
                    self._answers = False
                    self._changed.notify_all()
                self._closed.wait(PAUSE_AFTER_FAILURE_S)
                continue
            with self._changed:
                self._wanted.discard(moment)
                self._snapshots.pop(moment, None)
                self._snapshots[moment] = Snapshot(baselines, self._stopwatch())
                while len(self._snapshots) > SNAPSHOTS:
                    del self._snapshots[next(iter(self._snapshots))]
                self._answers = True
                self._changed.notify_all()
        connection.close()


class ContactReader:
    """Looks up the earlier calls of one customer, by one bounded query. For one thread at a time."""

    def __init__(self, url: str, *, timeout_s: int, stopwatch: Callable[[], float] = time.monotonic) -> None:
        self._timeout_s = timeout_s
        self._stopwatch = stopwatch
        self._connection = ReconnectingClient(url, timeout_s=timeout_s)
        self._not_before_s = float("-inf")
        self._lock = threading.Lock()

    def contacts(self, call: CallEnded) -> tuple[EarlierContact, ...] | None:
        """Newest first; null without a customer key, and when ClickHouse does not answer in time."""
        if call.customer.key is None:
            return None
        with self._lock:
            if self._stopwatch() < self._not_before_s:
                return None
            try:
                with self._connection.client() as client:
                    return read_contacts(client, call, self._timeout_s)
            except Exception as error:
                log.warning("earlier calls of customers are unknown: %s", _reason(error))
                self._not_before_s = self._stopwatch() + PAUSE_AFTER_FAILURE_S
                return None

    def close(self) -> None:
        """Lets go of the connection."""
        with self._lock:
            self._connection.close()


class ClickHouseHistory:
    """`History`; a context manager, because a thread runs in it. Nothing is connected before the first call."""

    def __init__(self, baselines: BaselineReader, contacts: ContactReader | None) -> None:
        self._baselines = baselines
        self._contacts = contacts

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """As the settings say."""
        url = settings.clickhouse_url.get_secret_value()
        baselines = BaselineReader(
            url,
            window=timedelta(days=settings.baseline_window_days),
            refresh_s=settings.baseline_refresh_s,
            timeout_s=settings.background_timeout_s,
        )
        contacts = ContactReader(url, timeout_s=settings.background_timeout_s) if settings.contacts_lookup else None
        return cls(baselines, contacts)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._baselines.close()
        if self._contacts is not None:
            self._contacts.close()

    def background(self, call: CallEnded) -> Background:
        """Never raises. Waits `background_timeout_s` at most for the baseline, and for each answer about earlier calls.

        After a wait in vain nobody waits, until ClickHouse answers again.
        """
        baselines = self._baselines.baselines(moment_of(call.ended_at))
        return Background(
            None if baselines is None else baselines.get(group_of(call)),
            self._contacts.contacts(call) if self._contacts is not None else None,
            baseline_known=baselines is not None,
        )


_MADE = f"""
SELECT span_s, start FROM duration_buckets FINAL
WHERE tenant_id = '' AND span_s IN ({SPAN_S}, {DAY_S})
    AND start >= fromUnixTimestamp64Milli({{start:Int64}}, 'UTC')
    AND start < fromUnixTimestamp64Milli({{end:Int64}}, 'UTC')
"""  # noqa: S608 - numbers of ours


def read_baselines(client: Client, start: datetime, end: datetime) -> Baselines:
    """Median and MAD of ln(ms) of the analysed calls that ended in [start, end), by group. Raises as `connect`.

    From the days and ten minutes that `rollup` has added up, and from the calls where it has not: the same either way,
    but for calls that were stored, or erased, since it did.
    """
    made = read_rows(client, "buckets of durations", _MADE, start=_ms(start), end=_ms(end))
    days, spans = ([of for span_s, of in made if span_s == wanted] for wanted in (DAY_S, SPAN_S))
    rows = read_rows(client, "baselines of durations", durations_sql(sources(start, end, days, spans)))
    return {
        (tenant_id, queue, inquiry_type): baseline_in_steps(middle, deviation, calls)
        for tenant_id, queue, inquiry_type, middle, deviation, calls in rows
    }


# The table, because only it has the topics of a call beside the call. Its key leads to the days of the tenant, the
# index on customer_key to the granules that may hold the customer.
CONTACTS_SQL = """
SELECT call_id, ended_at, topics.topic_id, direction
FROM call_versions FINAL
WHERE tenant_id = {tenant_id:String} AND customer_key = {customer_key:String} AND call_id != {call_id:String}
    AND ended_at >= fromUnixTimestamp64Milli({start:Int64}) AND ended_at < fromUnixTimestamp64Milli({end:Int64})
    AND outcome != 'too_short'
    AND (tenant_id, call_id) GLOBAL NOT IN
        (SELECT tenant_id, call_id FROM blocked_calls WHERE tenant_id = {tenant_id:String})
ORDER BY ended_at DESC, call_id DESC
LIMIT {most:UInt32}
SETTINGS max_execution_time = {timeout_s:UInt32}, max_threads = 1
"""


def read_contacts(client: Client, call: CallEnded, timeout_s: int) -> tuple[EarlierContact, ...]:
    """Other calls with the customer that ended in the window before the end of this one. Raises as `connect`."""
    rows = read_rows(
        client,
        "earlier calls of a customer",
        CONTACTS_SQL,
        tenant_id=call.tenant_id,
        customer_key=call.customer.key,
        call_id=call.call_id,
        start=_ms(call.ended_at - CONTACT_WINDOW),
        end=_ms(call.ended_at),
        most=MOST_CONTACTS,
        timeout_s=timeout_s,
    )
    return tuple(
        EarlierContact(call_id, ended_at, tuple(sorted(set(topic_ids))), direction)
        for call_id, ended_at, topic_ids, direction in rows
    )


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def _reason(error: Exception) -> str:
    """Our own errors quote nothing; of others, the class and the frames."""
    return str(error) if isinstance(error, OperatorError | RetryableError) else describe(error)
