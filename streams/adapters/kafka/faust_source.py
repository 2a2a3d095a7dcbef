"""`WorkSource` by a Faust agent. The only file that knows Faust, with its traps written down where they bite."""

import asyncio
import logging
import queue
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import closing, suppress
from typing import Any, cast

import faust
from aiokafka.consumer.group_coordinator import GroupCoordinator
from faust.transport.drivers.aiokafka import Consumer as AiokafkaConsumer
from faust.types import TP

from schemas.errors import RetryableError
from schemas.messages.records import ConsumerRecord
from streams.adapters.kafka.batches import UnreadableBatch, guard_aiokafka
from streams.adapters.kafka.client import GROUP_PREFIX, NOTICE_PARTITIONS_MS, require_access
from streams.adapters.kafka.fetcher import FETCH_BYTES, Fetcher, headers_of, ssl_context
from streams.runtime.logs import describe
from streams.settings import Settings

log = logging.getLogger(__name__)

LONGEST_MESSAGE_S = 4 * 60 * 60
"""A member that does not come back for its next message within this time is taken for stalled."""

LOOK_UP_S = 0.1
"""So often Faust's thread looks whether the worker is asked to stop."""

LEAVE_WITHIN_S = 5.0
"""So long `close` waits until Faust has left the group."""


class FaustEndedError(RuntimeError):
    """Faust stopped by itself; why stands in the log."""


class _InOrder(AiokafkaConsumer):
    """Our agent acknowledges the records of a partition in their order, so the last of them stands for all before it.

    Faust would wait for each offset before it, and list them: those of a batch that cannot be read, and those that
    compaction has removed, never come.
    """

    def _new_offset(self, tp: TP) -> int | None:
        acked = self._acked[tp]
        if not acked:
            return None
        last = max(acked)
        acked.clear()
        self._acked_index[tp].clear()
        return last + 1

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Nothing is remembered of offsets that do not come."""


_leave_group = GroupCoordinator._maybe_leave_group


async def _fall_silent(coordinator: GroupCoordinator) -> None:
    """Be missed, as every member of a first generation is: aiokafka takes its number, 0 on tansu, for none."""
    coordinator.reset_generation()


class _Worker(faust.Worker):
    """Faust's worker in a thread of its own: signals belong to the main thread, which tells it to stop."""

    def __init__(self, app: faust.App, loop: asyncio.AbstractEventLoop, stop: threading.Event) -> None:
        super().__init__(
            app, loglevel=None, quiet=True, redirect_stdouts=False, override_logging=False, loop=loop, daemon=True
        )
        self.spinner = None  # it writes escape sequences to stdout even when quiet
        self._asked_to_stop = stop

    def install_signal_handlers(self) -> None:
        """None: they can be set in the main thread only."""

    async def on_execute(self) -> None:
        self.add_future(self._stop_when_asked())

    async def _stop_when_asked(self) -> None:
        while not self._asked_to_stop.is_set():
            await asyncio.sleep(LOOK_UP_S)
        asyncio.ensure_future(self.stop())  # noqa: RUF006 - it cancels this task, and the loop ends with it


class FaustSource:
    """One member of the consumer group of a stage; `poll`, `commit` and `rewind` are for one thread.

    * Records are worked on outside Faust's event loop: one that is blocked for longer than the session time-out loses
      its partitions.
    * Messages are acknowledged by hand after their outputs are durable. An agent that raises acknowledges all the
      same, so nothing is raised in it: who works on a record that cannot be finished ends the process, and the offset
      stays.
    * When the worker is asked to stop, Faust leaves the group at once, whatever is under way: that is not acknowledged,
      and another member begins with it.
    """

    def __init__(self, settings: Settings, stage: str, topic: str, stop: threading.Event) -> None:
        self._settings = settings
        self._stage = stage
        self._topic = topic
        self._stop = stop
        self._fetched: queue.SimpleQueue[tuple[ConsumerRecord, asyncio.Event]] = queue.SimpleQueue()
        self._again: deque[ConsumerRecord] = deque()
        self._under_way: dict[str, asyncio.Event] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"{stage}.faust", daemon=True)

    def poll(self, most: int, wait_s: float) -> Sequence[ConsumerRecord]:  # noqa: ARG002 - an agent gives one
        """One record at a time. Raises `FaustEndedError` and `KafkaAccessError`."""
        if not self._thread.ident:
            with suppress(RetryableError):  # for a broker Faust waits by itself
                # For a topic that it may not see it would wait as well, for ever and without a word.
                require_access(self._settings, self._stage, self._topic)
            self._thread.start()
        if self._again:
            return (self._again.popleft(),)
        try:
            record, done = self._fetched.get(timeout=wait_s)
        except queue.Empty:
            if self._ended.is_set() and not self._stop.is_set():
                self._require_reading()
                raise FaustEndedError("Faust has stopped by itself") from None
            return ()
        self._under_way[record.position] = done
        return (record,)

    def commit(self, records: Sequence[ConsumerRecord]) -> None:
        """As `WorkSource.commit`; Faust sends the offsets within a second, and when it stops."""
        for record in records:
            done = self._under_way.pop(record.position)
            if self._loop is not None and not self._ended.is_set():
                self._loop.call_soon_threadsafe(done.set)

    def rewind(self, records: Sequence[ConsumerRecord]) -> None:
        """As `WorkSource.rewind`; the record stays with this member."""
        self._again.extend(records)

    def close(self) -> None:
        """Leave the group, within `LEAVE_WITHIN_S`."""
        self._stop.set()
        if self._thread.ident:
            self._thread.join(LEAVE_WITHIN_S)

    def _require_reading(self) -> None:
        """Raises `KafkaAccessError` where that is why Faust has ended."""
        fetcher = Fetcher(self._settings)
        with suppress(RetryableError), closing(fetcher):
            require_access(self._settings, self._stage, self._topic)
            fetcher.assign({(self._topic, 0): None})
            fetcher.take(1, 1.0)

    def _run(self) -> None:
        """The life of Faust's thread."""
        try:
            loop = self._loop = asyncio.new_event_loop()
            asyncio.set_event_loop(loop)
            app = build_app(self._settings, self._stage)
            topic = app.topic(self._topic, key_serializer="raw", value_serializer="raw")
            app.agent(topic, name=self._stage)(self._agent)
            _Worker(app, loop, self._stop).execute_from_commandline()
        except SystemExit as end:
            if end.code:
                log.critical("%s: Faust ended with %s", self._stage, end.code)
        except BaseException as error:
            log.critical("%s: Faust ended by %s", self._stage, describe(error))
        finally:
            self._ended.set()

    async def _agent(self, stream: faust.StreamT[Any]) -> None:
        async for event in cast(faust.Stream[Any], stream).noack().events():
            message = event.message
            done = asyncio.Event()
            record = _record(message)
            self._fetched.put((record, done))
            await done.wait()
            event.ack()


def _record(message: Any) -> ConsumerRecord:
    place = (message.topic, message.partition, message.offset)
    if isinstance(message.value, UnreadableBatch):
        return ConsumerRecord(*place, None, None, unreadable=message.value.problem)
    return ConsumerRecord(*place, message.key, message.value, headers=headers_of(message.headers))


def build_app(settings: Settings, stage_name: str) -> faust.App:
    """A Faust app that only consumes: no tables, no web server, no leader topic, nothing on disk."""
    guard_aiokafka()
    tansu = settings.kafka_flavour == "tansu"
    # As `may_leave` says; but to ask takes longer than Faust has when it stops.
    GroupCoordinator._maybe_leave_group = _fall_silent if tansu else _leave_group
    directory = settings.data_dir / "faust" / stage_name
    directory.parent.mkdir(parents=True, exist_ok=True)  # Faust makes its folder, but not the parent
    app = faust.App(
        GROUP_PREFIX + stage_name,
        broker=[f"kafka://{address}" for address in settings.kafka_bootstrap.split(",")],
        broker_credentials=_credentials(settings),
        broker_session_timeout=6.0 if tansu else 10.0,
        broker_heartbeat_interval=2.0,
        broker_max_poll_interval=float(LONGEST_MESSAGE_S),
        broker_max_poll_records=16,
        broker_commit_interval=1.0,
        # Else it would say many times a second that nothing is committed, for as long as one recording takes.
        broker_commit_livelock_soft_timeout=float(LONGEST_MESSAGE_S),
        stream_processing_timeout=float(LONGEST_MESSAGE_S),
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=FETCH_BYTES,
        consumer_metadata_max_age_ms=NOTICE_PARTITIONS_MS,
        key_serializer="raw",
        value_serializer="raw",
        store="memory://",
        # Waiting for the message under way would hold up a rebalance for as long as a recognition takes;
        # what is done twice because of it is found to be done already.
        stream_wait_empty=False,
        # Prefetched messages are memory: a two-hour transcript is about 3 MB.
        stream_buffer_maxsize=16,
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
        datadir=directory,
        worker_redirect_stdouts=False,
        autodiscover=False,
    )
    app.transport.Consumer = _InOrder  # type: ignore[misc]
    return app


def _credentials(settings: Settings) -> Any:
    protocol = settings.kafka_security_protocol
    context = ssl_context(settings)
    if protocol.startswith("SASL"):
        return faust.SASLCredentials(
            mechanism=settings.kafka_sasl_mechanism,
            username=settings.kafka_sasl_username,
            password=settings.kafka_sasl_password.get_secret_value(),
            ssl_context=context,
        )
    return faust.SSLCredentials(context) if context is not None else None
