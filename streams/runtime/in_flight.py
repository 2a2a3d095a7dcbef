"""Several calls at once, chosen fairly, and committed only up to the lowest that is not done.

What is read waits in a window; which call of it is next, `FairQueue` says. Each is worked on in one of a few threads,
and everything else (reading, publishing, committing) is done by the one thread of the loop. A call whose outputs are
durable is done: its offset is committed as soon as everything before it is done too, and until then noted beside the
offset, so that a restart does not do it again (`offsets`).
"""

import heapq
import json
import logging
import math
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from queue import Empty, SimpleQueue

from schemas.errors import InvalidMessageError, OperatorError, RetryableError
from schemas.messages.records import ConsumerRecord, ProducerRecord, call_of_key
from schemas.messages.topics import CALLS_DEAD_LETTERS
from streams.ports import LaneSource, Place, PlaceCommits, PublisherPort
from streams.runtime import tracing
from streams.runtime.crash_guard import CrashGuard
from streams.runtime.fair_queue import FairQueue, Queued
from streams.runtime.logs import at_records
from streams.runtime.loop import FIRST_WAIT_S, StoppedError, Streak, nothing
from streams.runtime.metrics import WorkerMetrics
from streams.runtime.offsets import PartitionProgress
from streams.runtime.watchdog import Watchdog

log = logging.getLogger(__name__)

READ_MOST = 500
IDLE_S = 0.5
BUSY_S = 0.1
"""So long is waited for a call to end while others could be read."""

LONG_CALL_S = 15 * 60
"""A call of so much audio is long: all but one of the calls at once may be."""

UNKNOWN_CALL_S = 60.0
"""Taken for the length of a call whose event does not tell it; `listen` refuses such an event, or finds out."""

LONGEST_CALL_S = 24 * 60 * 60.0
"""No call counts for more: who may publish could else keep a tenant out for weeks by one event."""

CLOSE_EVERY_S = 0.2


@dataclass(frozen=True)
class Window:
    """How much may be read and not done, in each lane."""

    calls: int
    bytes: int


@dataclass(eq=False)
class CallAtHand:
    """A record on its way through the window."""

    record: ConsumerRecord
    lane: str
    tenant: str
    key: bytes | None
    audio_s: float
    failures: int = 0

    @property
    def bytes(self) -> int:
        return len(self.record.value or b"") + len(self.record.key or b"")

    @property
    def place(self) -> Place:
        return (self.record.topic, self.record.partition)


@dataclass
class _LaneUse:
    calls: int = 0
    bytes: int = 0


Ended = tuple[CallAtHand, Sequence[ProducerRecord] | BaseException]


@dataclass
class InFlight:
    """The step of a stage that works on several records at once."""

    name: str
    open_source: Callable[[Callable[[PlaceCommits], None], Callable[[], None]], LaneSource]
    """What to call with partitions that were assigned, and when all are taken away."""
    lanes: Mapping[str, str]
    """Topic → lane."""
    queue: FairQueue[CallAtHand]
    work: Callable[[ConsumerRecord], Sequence[ProducerRecord]]
    """A record → what is to be written. Called by several threads at once."""
    publisher: PublisherPort
    stop: threading.Event
    max_wait_s: float
    at_once: int
    window: Window
    guard: CrashGuard
    refusals: Streak
    metrics: WorkerMetrics = field(default_factory=lambda: WorkerMetrics(""))
    watchdog: Watchdog = field(default_factory=lambda: Watchdog(math.inf))
    """Knows how long each of the calls under way may take."""
    beat: Callable[[], None] = nothing
    """Called while calls are waited for: the loop moves."""
    paused: Callable[[], Collection[str]] = tuple
    """Tenants none of whose calls is begun for now."""
    finish_within_s: float = 0.0
    """So long `close` lets calls end that are under way; those that do not are handed back."""
    _source: LaneSource | None = field(default=None, init=False, repr=False)
    _progress: dict[Place, PartitionProgress] = field(default_factory=dict, init=False, repr=False)
    _changed: set[Place] = field(default_factory=set, init=False, repr=False)
    _use: dict[str, _LaneUse] = field(default_factory=dict, init=False, repr=False)
    _full: set[str] = field(default_factory=set, init=False, repr=False)
    _read: dict[str, CallAtHand] = field(default_factory=dict, init=False, repr=False)
    """By position: what is in the window, or was when its partition was taken away and is still under way."""
    _under_way: dict[str, CallAtHand] = field(default_factory=dict, init=False, repr=False)
    _behind: dict[bytes, deque[CallAtHand]] = field(default_factory=dict, init=False, repr=False)
    """Key → records that wait for one of the same key, which is in the window before them."""
    _later: list[tuple[float, int, CallAtHand]] = field(default_factory=list, init=False, repr=False)
    _alone: CallAtHand | None = field(default=None, init=False, repr=False)
    _threads: int = field(default=0, init=False, repr=False)
    _begun: SimpleQueue[CallAtHand | None] = field(default_factory=SimpleQueue, init=False, repr=False)
    _ended: SimpleQueue[Ended] = field(default_factory=SimpleQueue, init=False, repr=False)
    _unpublished: list[tuple[CallAtHand, Sequence[ProducerRecord]]] = field(
        default_factory=list, init=False, repr=False
    )
    _published: list[tuple[CallAtHand, Sequence[ProducerRecord]]] = field(default_factory=list, init=False, repr=False)
    _begins_at_s: float = field(default=0.0, init=False, repr=False)
    """Nothing is begun before: the outside did not answer."""
    _pause_s: float = field(default=FIRST_WAIT_S, init=False, repr=False)
    _numbers: int = field(default=0, init=False, repr=False)

    def step(self) -> None:
        """Take what has ended, write it, read, begin, commit.

        Raises `RetryableError`, `TooManyFailuresError`, and whatever bug the stage has.
        """
        if self._source is None:
            self._source = self.open_source(self._assigned, self._revoked)
        self._finish(self._wait_s())
        self._bring_back()
        self._begin()
        self._source.hold(self._held())
        self._take(self._source.read(READ_MOST, 0 if self._under_way else IDLE_S))
        self._begin()
        self._commit()  # behind `read`, which takes note of partitions that are ours no more

    @property
    def under_way(self) -> tuple[CallAtHand, ...]:
        """Which calls are worked on; may be asked from another thread."""
        return tuple(self._under_way.copy().values())

    def waiting_s(self) -> dict[str, float]:
        """Lane → seconds of audio that were read and are not begun."""
        sums = dict.fromkeys(self.lanes.values(), 0.0)
        for call in self._read.values():
            if call.record.position not in self._under_way:
                sums[call.lane] += call.audio_s
        return sums

    # Reading

    def _assigned(self, commits: PlaceCommits) -> None:
        for place, (offset, metadata) in commits.items():
            self._progress[place] = PartitionProgress.resumed(offset, metadata) if offset >= 0 else PartitionProgress()
        log.info("%s reads %d partition(s)", self.name, len(commits))

    def _revoked(self) -> None:
        """What waits, whoever has the partitions now reads. What is under way comes to its end, and is not committed
        unless the partition comes back before that."""
        self._progress.clear()
        self._changed.clear()
        self._later.clear()
        self._behind.clear()
        self._use.clear()
        self.queue.drop(lambda _call: True)
        self._read = dict(self._under_way)
        if self._alone is not None and self._alone.record.position not in self._under_way:
            self._alone = None
        for call in self._read.values():
            self._count_in(call)
            if call.key is not None:
                self._behind[call.key] = deque()

    def _held(self) -> list[Place]:
        full = {
            lane for lane, use in self._use.items() if use.calls >= self.window.calls or use.bytes >= self.window.bytes
        }
        for lane in full - self._full:
            tenants = Counter(call.tenant for call in self._read.values() if call.lane == lane)
            ((tenant, calls),) = tenants.most_common(1) or [("", 0)]
            log.warning(
                "%s reads no more of lane %s for now: %d calls wait, %d of them of tenant %s%s",
                *(self.name, lane, tenants.total(), calls, tenant),
                ", which is paused" if tenant in self.paused() else "",
            )
        self._full = full
        return [place for place, progress in self._progress.items() if progress.is_full or self.lanes[place[0]] in full]

    def _take(self, records: Sequence[ConsumerRecord]) -> None:
        for record in records:
            place = (record.topic, record.partition)
            progress = self._progress.setdefault(place, PartitionProgress())
            self._changed.add(place)
            if not progress.take(record.offset) or record.position in self._read:
                continue
            call = call_of(record, self.lanes[record.topic])
            self._read[record.position] = call
            self._count_in(call)
            self._enqueue(call)

    def _count_in(self, call: CallAtHand) -> None:
        use = self._use.setdefault(call.lane, _LaneUse())
        use.calls += 1
        use.bytes += call.bytes

    def _enqueue(self, call: CallAtHand) -> None:
        """Two records of one call are never worked on at the same time, nor in another order."""
        if call.key is not None:
            if call.key in self._behind:
                self._behind[call.key].append(call)
                return
            self._behind[call.key] = deque()
        self.queue.push(_waiting(call))

    # Working

    def _begin(self) -> None:
        now_s = time.monotonic()
        paused = self.paused()
        while len(self._under_way) < self.at_once and now_s >= self._begins_at_s and not self.stop.is_set():
            if self._alone is None:
                found = self.queue.pop(without=paused, short_only=not self._may_be_long())
                if found is None:
                    return
                call = found.item
                if self.guard.is_suspect(call.record):
                    self._alone = call
            if self._alone is not None:
                if self._under_way:
                    return
                call = self._alone
            try:
                letters = self.guard.enter((call.record,))
            except RetryableError:
                if self._alone is None:
                    self.queue.push_front(_waiting(call))
                raise
            self._under_way[call.record.position] = call
            if letters:
                self._ended.put((call, letters))
            else:
                self._hand_over(call)

    def _may_be_long(self) -> bool:
        long = sum(call.audio_s >= LONG_CALL_S for call in self.under_way)
        return long < max(self.at_once - 1, 1)

    def _hand_over(self, call: CallAtHand) -> None:
        """To a thread that lives on behind the call: a child process may die with the thread that started it."""
        if self._threads < len(self._under_way):
            self._threads += 1
            threading.Thread(target=self._serve, name=f"{self.name} calls", daemon=True).start()
        self._begun.put(call)

    def _serve(self) -> None:
        while (call := self._begun.get()) is not None:
            try:
                with (
                    at_records((call.record,)),
                    self.watchdog.watching(call.record.title, call.audio_s),
                    self.metrics.timed("work"),
                    tracing.working(self.name, (call.record,)) as span,
                ):
                    outputs: Sequence[ProducerRecord] | BaseException = span.marked(self.work(call.record))
            except BaseException as error:
                outputs = error
            self._ended.put((call, outputs))

    def _bring_back(self) -> None:
        """What failed a while ago is next of its tenant."""
        now_s = time.monotonic()
        while self._later and self._later[0][0] <= now_s:
            self.queue.push_front(_waiting(heapq.heappop(self._later)[2]))

    def _wait_s(self) -> float:
        """How long to wait for a call to end before something is read or begun."""
        if not self._under_way:
            return 0
        return BUSY_S if len(self._under_way) < self.at_once else IDLE_S

    # Finishing

    def _finish(self, wait_s: float) -> None:
        """Of all that has ended. The first is waited for."""
        while True:
            try:
                call, outputs = self._ended.get(timeout=wait_s) if wait_s > 0 else self._ended.get_nowait()
            except Empty:
                break
            wait_s = 0
            if isinstance(outputs, RetryableError):
                self._put_off(call, outputs)
            elif isinstance(outputs, BaseException):
                if isinstance(outputs, OperatorError):
                    self.guard.leave()  # the installation is wrong, and no record is to blame
                elif not isinstance(outputs, StoppedError):
                    log.critical("%s: stopped at %s", self.name, call.record.title)
                raise outputs
            else:
                self._pause_s = FIRST_WAIT_S
                self._unpublished.append((call, outputs))
        self._publish()
        self._settle()

    def _put_off(self, call: CallAtHand, error: RetryableError) -> None:
        """Others come first, and none at once: most likely what does not answer this call answers no other."""
        log.warning("%s waits: %s, %s", self.name, call.record.title, str(error))
        self.metrics.retried((call.record,), error)
        self.guard.leave((call.record,))
        self._ends(call)
        now_s = time.monotonic()
        self._begins_at_s = now_s + self._pause_s
        self._pause_s = min(self._pause_s * 2, self.max_wait_s)
        if call.place not in self._progress:  # another member has it now
            self._forget(call)
            self._release(call)
            return
        call.failures += 1
        wait_s = min(FIRST_WAIT_S * 2 ** min(call.failures, 20), self.max_wait_s)
        self._numbers += 1
        heapq.heappush(self._later, (now_s + wait_s, self._numbers, call))

    def _publish(self) -> None:
        """All of it together. Raises `RetryableError`; then it is written once more by the next step."""
        if not self._unpublished:
            return
        try:
            self._write([output for _, outputs in self._unpublished for output in outputs])
        except InvalidMessageError:
            for call, outputs in list(self._unpublished):
                self._published.append((call, self._written(call, outputs)))
                del self._unpublished[0]
        else:
            self._published += self._unpublished
            self._unpublished = []

    def _written(self, call: CallAtHand, outputs: Sequence[ProducerRecord]) -> Sequence[ProducerRecord]:
        """What was written of one call: its outputs, or the dead letter of one whose outputs can never be."""
        try:
            self._write(outputs)
        except InvalidMessageError as error:
            log.error("%s: %s becomes a dead letter: %s", self.name, call.record.title, error)
            letter = self.guard.letter_of(call.record, error)
            self._write((letter,))
            return (letter,)
        return outputs

    def _write(self, outputs: Sequence[ProducerRecord]) -> None:
        if outputs:
            with self.metrics.timed("publish"):
                self.publisher.publish(outputs)

    def _settle(self) -> None:
        """What is durable is done. Raises `RetryableError` and `TooManyFailuresError`."""
        while self._published:
            call, outputs = self._published[0]
            self.guard.leave((call.record,))
            del self._published[0]
            self.metrics.worked((call.record,), outputs)
            self._ends(call)
            progress = self._progress.get(call.place)
            if progress is not None:
                progress.finish(call.record.offset)
                self._changed.add(call.place)
            self._forget(call)
            self._release(call)
            if outputs and all(output.topic == CALLS_DEAD_LETTERS.name for output in outputs):
                self.refusals.count()
            else:
                self.refusals.reset()

    def _ends(self, call: CallAtHand) -> None:
        self._under_way.pop(call.record.position, None)
        if self._alone is call:
            self._alone = None

    def _forget(self, call: CallAtHand) -> None:
        if self._read.pop(call.record.position, None) is not None and call.lane in self._use:
            self._use[call.lane].calls -= 1
            self._use[call.lane].bytes -= call.bytes

    def _release(self, call: CallAtHand) -> None:
        """The next record of the same call may come."""
        if call.key is None or call.key not in self._behind:
            return
        behind = self._behind[call.key]
        if behind:
            self.queue.push(_waiting(behind.popleft()))
        else:
            del self._behind[call.key]

    def _commit(self) -> None:
        changed = {place for place in self._changed if self._progress[place].position is not None}
        if changed and self._source is not None:
            with self.metrics.timed("commit"):
                self._source.commit({place: self._progress[place].commit() for place in changed})
        self._changed.clear()

    # The end

    def close(self) -> None:
        """Calls that are under way come to their end, as far as there is time, then the group is left."""
        ends_at_s = time.monotonic() + self.finish_within_s
        with suppress(RetryableError):
            while self.stop.is_set() and self._under_way and time.monotonic() < ends_at_s:
                self.beat()
                self._finish(CLOSE_EVERY_S)
                self._commit()
        if self.stop.is_set() and self._under_way:
            log.warning(
                "%s: %d call(s) are not finished in time, another worker does them", self.name, len(self._under_way)
            )
            self.guard.hand_back()
        if self._source is not None:
            with suppress(RetryableError):
                self._source.close()
        if not self._under_way:  # else a child dies on which a call that is handed back still works
            for _ in range(self._threads):
                self._begun.put(None)


def _waiting(call: CallAtHand) -> Queued[CallAtHand]:
    return Queued(call.lane, call.tenant, call.audio_s, call)


def call_of(record: ConsumerRecord, lane: str) -> CallAtHand:
    """A record of a lane: whose it is and how long its call lasted, by its event as far as that can be read.

    What cannot be is refused when its turn comes.
    """
    of_key = call_of_key(record.key)
    tenant, audio_s = of_key[0] if of_key else "", UNKNOWN_CALL_S
    with suppress(ValueError, TypeError, AttributeError, KeyError, OverflowError, RecursionError):
        event = json.loads(record.value or b"")
        if isinstance(event["tenant_id"], str):
            tenant = event["tenant_id"]
        lasts = datetime.fromisoformat(event["ended_at"]) - datetime.fromisoformat(event["started_at"])
        audio_s = min(max(lasts.total_seconds(), 1.0), LONGEST_CALL_S)
    return CallAtHand(record, lane, tenant, record.key, audio_s)
