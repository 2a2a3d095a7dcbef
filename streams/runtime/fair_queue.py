"""Which of the calls that wait is next: lanes and tenants share by weight, and whoever waits alone has everything.

Start-time fair queueing, once between lanes and once between the tenants of a lane. Each has a virtual time, which
grows by the seconds of audio that it was given, divided by its weight; next is who has had least. Who had nothing to do
begins again at the virtual time of the others, so that nobody saves up. Of a tenant, the oldest call is next.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Queued(Generic[T]):
    """Something that waits: in which lane, whose it is, and how much it costs (of a call: seconds of audio)."""

    lane: str
    tenant: str
    cost: float
    item: T


class _Share:
    """What one lane, or one tenant of a lane, has had: its virtual time."""

    def __init__(self, weight: float) -> None:
        self.weight = weight
        self.served = 0.0

    def charge(self, cost: float) -> None:
        self.served += cost / self.weight

    def catch_up(self, now: float) -> None:
        self.served = max(self.served, now)


@dataclass
class _Tenant(Generic[T]):
    share: _Share
    short: deque[tuple[int, Queued[T]]] = field(default_factory=deque)
    long: deque[tuple[int, Queued[T]]] = field(default_factory=deque)

    @property
    def is_empty(self) -> bool:
        return not self.short and not self.long

    def has(self, *, short_only: bool) -> bool:
        return bool(self.short) or (bool(self.long) and not short_only)

    def may_be_forgotten(self, now: float) -> bool:
        """Whether one that comes anew would stand as it does."""
        return self.is_empty and self.share.served <= now

    def take(self, *, short_only: bool) -> Queued[T]:
        """Whichever has waited longer."""
        queues: list[deque[tuple[int, Queued[T]]]] = [
            queue for queue in (self.short, *(() if short_only else (self.long,))) if queue
        ]
        first = min(queues, key=lambda queue: queue[0][0])
        return first.popleft()[1]


@dataclass
class _Lane(Generic[T]):
    share: _Share
    tenants: dict[str, _Tenant[T]] = field(default_factory=dict)
    now: float = 0.0
    """How much the tenant had had that was served last."""

    @property
    def is_empty(self) -> bool:
        return all(tenant.is_empty for tenant in self.tenants.values())


class FairQueue(Generic[T]):
    """For one thread."""

    def __init__(
        self,
        lanes: Mapping[str, float],
        weight_of: Callable[[str], float] = lambda _tenant: 1.0,
        long_from: float = float("inf"),
    ) -> None:
        """`lanes`: name → weight. `weight_of` tells that of a tenant. What costs `long_from` or more is long."""
        self._lanes = {name: _Lane[T](_Share(weight)) for name, weight in lanes.items()}
        self._weight_of = weight_of
        self._long_from = long_from
        self._now = 0.0
        self._arrivals = 0
        self._returns = 0
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def push(self, waiting: Queued[T]) -> None:
        """It waits behind what its tenant has in its lane."""
        self._arrivals += 1
        self._queue_of(waiting).append((self._arrivals, waiting))

    def push_front(self, waiting: Queued[T]) -> None:
        """It was next before and is again: before all that its tenant has in its lane."""
        self._returns -= 1
        self._queue_of(waiting).appendleft((self._returns, waiting))

    def _queue_of(self, waiting: Queued[T]) -> deque[tuple[int, Queued[T]]]:
        lane = self._lanes[waiting.lane]
        if lane.is_empty:
            lane.share.catch_up(self._now)
        tenant = lane.tenants.get(waiting.tenant)
        if tenant is None:
            tenant = lane.tenants[waiting.tenant] = _Tenant(_Share(self._weight_of(waiting.tenant)))
        if tenant.is_empty:
            tenant.share.catch_up(lane.now)
        self._length += 1
        return tenant.long if waiting.cost >= self._long_from else tenant.short

    def pop(self, *, without: Collection[str] = (), short_only: bool = False) -> Queued[T] | None:
        """The next, which waits no longer; None where nothing may be.

        Not of the tenants `without`, which save up nothing by that.
        """
        for lane in sorted(self._lanes.values(), key=lambda each: each.share.served):
            for name in [name for name, each in lane.tenants.items() if each.may_be_forgotten(lane.now)]:
                del lane.tenants[name]
            found = None
            for name, tenant in lane.tenants.items():
                if name in without:
                    tenant.share.catch_up(lane.now)
                elif tenant.has(short_only=short_only) and (found is None or tenant.share.served < found.share.served):
                    found = tenant
            if found is not None:
                return self._taken(lane, found, short_only=short_only)
            if not short_only:
                lane.share.catch_up(self._now)
        return None

    def _taken(self, lane: _Lane[T], tenant: _Tenant[T], *, short_only: bool) -> Queued[T]:
        waiting = tenant.take(short_only=short_only)
        self._length -= 1
        self._now = max(self._now, lane.share.served)
        lane.now = max(lane.now, tenant.share.served)
        lane.share.charge(waiting.cost)
        tenant.share.charge(waiting.cost)
        return waiting

    def drop(self, is_gone: Callable[[T], bool]) -> list[Queued[T]]:
        """These wait no longer."""
        gone: list[Queued[T]] = []
        for lane in self._lanes.values():
            for tenant in lane.tenants.values():
                for queue in (tenant.short, tenant.long):
                    kept = [entry for entry in queue if not is_gone(entry[1].item)]
                    gone += [waiting for _, waiting in queue if is_gone(waiting.item)]
                    queue.clear()
                    queue.extend(kept)
        self._length -= len(gone)
        return gone

    def waiting(self) -> Iterator[Queued[T]]:
        """All, in no order."""
        for lane in self._lanes.values():
            for tenant in lane.tenants.values():
                yield from (waiting for queue in (tenant.short, tenant.long) for _, waiting in queue)
