"""Calls are destroyed: the one function that does it, step by step, whoever asks for it (ADR 0059).

`Purger.purge` is the only way in. Whatever wants a call gone, a retention that has run out, a person, a customer, gives
an order; what holds the call is looked at in the transaction that writes its tombstone (`RegisterPurges`). Killed
anywhere, it goes on where it stopped (`go_on`), and two at once do it once.
"""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import partial
from importlib.metadata import version
from secrets import token_hex
from typing import Any, Protocol

from processors.custody.listed_call import ListedCall
from processors.custody.purge import (
    MOST_CALLS,
    PlaceCounts,
    PurgeBusyError,
    PurgeOrder,
    PurgeStep,
    require_one_time,
)
from schemas.errors import OperatorError, RetryableError
from schemas.messages.topics import CALLS_ENDED, CALLS_RATED, DAY_MS
from streams.adapters.register.tombstones import OpenedPurge, PurgeRow, RegisterPurges
from streams.ports import Clock

log = logging.getLogger(__name__)

AT_ONCE = 100
"""Purges, and blocked calls times `MOST_CALLS`, in one round of `go_on`."""

MOST_WAITS = 3
"""So many in a row may wait for an answer of something outside; then the round ends."""

READ_BACKS = 3
"""So many times is what read-back still finds removed at once; after that the round is given up, and the next one goes
on."""

KEEPER = "callstream"
"""Who destroys what is kept no longer."""

KEEPER_ROLE = "keeper"
"""In which role: nobody is granted it."""

OF_A_PERSON = "erasure"
"""The reason of an order by which a customer is erased: tags that were given to the person go, too."""

NOT_UNDER_CONTROL = (
    "copies that people made: schemas of analysts, files of `export parquet` and `learn data`, screenshots",
    "messages that subscribers of alerts were sent",
    "backups from before, until the next `backup create` or `backup apply-erasures` takes it out; copies of backups",
)
"""What no program of ours can reach; a receipt names it."""


class Objects(Protocol):
    """`streams.adapters.object_store.purging.CallObjects`."""

    def day_of(self, tenant_id: str, call_id: str) -> date | None: ...

    def destroy(self, tenant_id: str, calls: Mapping[str, Sequence[date]]) -> PlaceCounts: ...

    def left(self, tenant_id: str, calls: Mapping[str, Sequence[date]]) -> PlaceCounts: ...


class Tables(Protocol):
    """`streams.adapters.clickhouse.purging.ClickHousePurge`."""

    def now(self) -> datetime: ...

    def days_of(self, tenant_id: str, calls: Collection[str]) -> Mapping[str, set[date]]: ...

    def listed(self, tenant_id: str, calls: Collection[str]) -> Mapping[str, ListedCall]: ...

    def tell(
        self,
        tenant_id: str,
        calls: Collection[str],
        state: str,
        *,
        reason: str,
        policy: str,
        purge_id: str,
        at: datetime,
    ) -> None: ...

    def destroy(self, tenant_id: str, calls: Sequence[str], at: datetime, *, of_a_person: bool) -> PlaceCounts: ...

    def left(self, tenant_id: str, calls: Sequence[str], *, of_a_person: bool) -> PlaceCounts: ...

    def wait_for_old_parts(self) -> None: ...


class DerivedCopies(Protocol):
    """Copies of calls somewhere else, of which callstream itself is in charge: caches, exports that were released."""

    @property
    def name(self) -> str:
        """What a receipt calls them."""
        ...

    def destroy(self, tenant_id: str, calls: Sequence[str]) -> int:
        """Remove what there is of these calls; how many things that were. Again is right."""
        ...

    def left(self, tenant_id: str, calls: Sequence[str]) -> int:
        """How many things there are."""
        ...


@dataclass
class PurgeResult:
    """What came of an order. `purges` are those that destroy the calls now."""

    purges: list[str] = field(default_factory=list)
    buried: list[str] = field(default_factory=list)
    blocked: list[str] = field(default_factory=list)
    held: dict[str, tuple[str, ...]] = field(default_factory=dict)
    known: dict[str, str] = field(default_factory=dict)

    def add(self, opened: OpenedPurge) -> None:
        """What came of a part of the calls."""
        if opened.buried:
            self.purges.append(opened.purge_id)
        self.buried += opened.buried
        self.blocked += opened.blocked
        self.held |= opened.held
        self.known |= opened.known


@dataclass
class OneByOne:
    """Things that are each done by themselves: where one fails, the next has its turn."""

    _count: int = 0
    _in_a_row: int = 0
    _waits: RetryableError | None = None

    def take(self, what: str, do: Callable[[], int]) -> None:
        """Do it. Raises `RetryableError` where several in a row have not been answered."""
        try:
            self._count += do()
        except RetryableError as error:
            log.warning("%s waits: %s", what, str(error))
            self._waits, self._in_a_row = self._waits or error, self._in_a_row + 1
            if self._in_a_row >= MOST_WAITS:
                raise
        except OperatorError as error:
            log.error("%s cannot be got on with, for now: %s", what, str(error))
        else:
            self._in_a_row = 0

    def ended(self) -> int:
        """What they add up to. Raises `RetryableError` where one waits."""
        if self._waits is not None:
            raise self._waits
        return self._count


@dataclass(frozen=True)
class Purger:
    """Destroys calls. Every method may raise `RetryableError` and `OperatorError`: what was begun goes on later.

    `sign` makes a receipt of what it says. `kafka_masked_days` is how long Kafka keeps masked text.
    """

    purges: RegisterPurges
    objects: Objects
    tables: Tables
    copies: Sequence[DerivedCopies]
    sign: Callable[[Mapping[str, Any]], bytes]
    clock: Clock
    kafka_masked_days: int
    adopt: Callable[[str, Collection[str]], object] = lambda _tenant_id, _calls: None
    """Has it decided how long calls are kept of which nothing is known but what is stored, and opens the holds that
    their events ask for, before any of them is looked at (`streams.stages.adopt`)."""
    compares_clocks: bool = True
    """Whether nothing begins while this machine and the database tell different times."""
    reached: Callable[[str], None] = lambda _step: None
    """Is told each step before it is done; tests end the process there."""

    def purge(
        self,
        order: PurgeOrder,
        calls: Collection[str] | Mapping[str, Sequence[date]],
        *,
        erases: bool = False,
        only_due: bool = False,
    ) -> PurgeResult:
        """Destroy these calls, each unless something holds it; see `RegisterPurges.open` for the rest. Where it is
        known, each with the UTC days under which something of it is filed; days that store and tables know are added.

        When this returns, what it buried is destroyed and receipted, but for what may still be under way (`go_on`).
        """
        self._require_one_time()
        worker, done, wanted = token_hex(8), PurgeResult(), sorted(set(calls))
        for start in range(0, len(wanted), MOST_CALLS):
            part = wanted[start : start + MOST_CALLS]
            self.reached("tombstones")
            self.adopt(order.tenant_id, part)
            listed = self.tables.listed(order.tenant_id, part)
            days = self._with_days(order.tenant_id, part, calls if isinstance(calls, Mapping) else {})
            opened = self.purges.open(order, days, worker, erases=erases, only_due=only_due, listed=listed)
            done.add(opened)
            if opened.blocked:
                self._block(order, opened.blocked)
            if opened.buried:
                self._work(opened.purge_id, worker)
        return done

    def go_on(self) -> int:
        """One round: finish what was begun, look for what was written late, and destroy blocked calls that nothing
        keeps any more. How many purges were got on with; the others wait, or others are at them. One that cannot be
        got on with is told of in the log, and holds up no other.
        """
        self._require_one_time()
        turns = OneByOne()
        for purge_id in self.purges.due(AT_ONCE):
            turns.take(f"purge {purge_id}", partial(self._got_on_with, purge_id))
        waiting: dict[PurgeOrder, list[str]] = {}
        for blocked in self.purges.to_look_at(MOST_CALLS):
            waiting.setdefault(blocked.order, []).append(blocked.call_id)
        for order, calls in waiting.items():
            turns.take(f"blocked calls of {order.tenant_id}", partial(self._look_at, order, calls))
        return turns.ended()

    def _got_on_with(self, purge_id: str) -> int:
        with suppress(PurgeBusyError):
            self._work(purge_id, token_hex(8))
            return 1
        return 0

    def _look_at(self, order: PurgeOrder, calls: Sequence[str]) -> int:
        return len(self.purge(order, calls, erases=True).purges)

    def due(
        self, tenant_id: str, calls: Mapping[str, Sequence[date]], *, reason: str, policy_version: str
    ) -> Collection[str]:
        """For the stage `keep`: calls whose time is over. Those of them whose tombstone stands now; the others are
        held, or their time is not over any more."""
        order = PurgeOrder(tenant_id, reason, KEEPER, policy_version, role=KEEPER_ROLE)
        done = self.purge(order, calls, only_due=True)
        return {*done.buried, *(call for call, purge_id in done.known.items() if purge_id)}

    def _with_days(
        self, tenant_id: str, calls: Sequence[str], told: Mapping[str, Sequence[date]]
    ) -> dict[str, tuple[date, ...]]:
        """Each call with the UTC days under which something of it may be filed."""
        stored = self.tables.days_of(tenant_id, calls)
        days = {call_id: {*stored.get(call_id, ()), *told.get(call_id, ())} for call_id in calls}
        for call_id in calls:
            if (day := self.objects.day_of(tenant_id, call_id)) is not None:
                days[call_id].add(day)
        return {call_id: tuple(sorted(each)) for call_id, each in days.items()}

    def _block(self, order: PurgeOrder, calls: Sequence[str]) -> None:
        self.reached("block")
        self._tell(order, calls, "blocked", "")

    def _work(self, purge_id: str, worker: str) -> None:
        """Do the steps that are left, as far as it is time for them. Raises `PurgeBusyError`."""
        row = self.purges.claim(purge_id, worker)
        while (step := row.state.next_step) is not None and row.state.is_due(self.clock.now()):
            self.reached(step)
            counts, receipt = self._do(step, row)
            self.reached(f"after {step}")
            self.purges.finish(purge_id, worker, step, counts, receipt)
            if step in ("receipt", "late"):
                return
            row = self.purges.claim(purge_id, worker)

    def _do(self, step: PurgeStep, row: PurgeRow) -> tuple[PlaceCounts, bytes | None]:
        tenant_id, calls = row.order.tenant_id, sorted(row.calls)
        match step:
            case "keys":
                return self.purges.destroy_keys(tenant_id, row.calls), None
            case "objects":
                return self.objects.destroy(tenant_id, row.calls), None
            case "tables":
                self._tell(row.order, calls, "purging", row.state.purge_id)
                return self._destroy_rows(row), None
            case "topics":
                return {}, None  # no topic is compacted: what Kafka keeps goes by its age, as the receipt says
            case "copies":
                return {each.name: each.destroy(tenant_id, calls) for each in self.copies}, None
            case "read_back":
                self._destroy_what_is_left(row)
                self.tables.wait_for_old_parts()
                return self._left(row), None
            case "receipt":
                receipt = self.sign(self._receipt(row))
                self._tell(row.order, calls, "purged", row.state.purge_id)
                return {}, receipt
            case "late":
                return self._look_for_late(row)

    def _look_for_late(self, row: PurgeRow) -> tuple[PlaceCounts, bytes | None]:
        """What was under way at the tombstone has been written by now: it goes. A new receipt says how much that
        was."""
        found = self._destroy_what_is_left(row)
        if sum(found.values()):
            log.warning(
                "purge %s: %d thing(s) were written late, and are removed", row.state.purge_id, sum(found.values())
            )
            self.tables.wait_for_old_parts()
        self._tell(row.order, sorted(row.calls), "purged", row.state.purge_id)
        return found, self.sign(
            self._receipt(row) | {"written_late": dict(found), "looked_again_at": _text(self.clock.now())}
        )

    def _destroy_rows(self, row: PurgeRow) -> PlaceCounts:
        of_a_person = row.order.reason == OF_A_PERSON
        calls = sorted(row.calls)
        return self.tables.destroy(row.order.tenant_id, calls, row.state.started_at, of_a_person=of_a_person)

    def _destroy_what_is_left(self, row: PurgeRow) -> dict[str, int]:
        """How much of each place it had to remove. Raises `RetryableError` where it comes again faster than it goes."""
        found: dict[str, int] = {}
        for _ in range(READ_BACKS):
            left = self._left(row)
            if not sum(left.values()):
                return found
            found = {place: found.get(place, 0) + count for place, count in left.items()}
            self.purges.destroy_keys(row.order.tenant_id, row.calls)
            self.objects.destroy(row.order.tenant_id, row.calls)
            self._destroy_rows(row)
            for each in self.copies:
                each.destroy(row.order.tenant_id, sorted(row.calls))
        raise RetryableError("something of the calls is written again while it is destroyed")

    def _left(self, row: PurgeRow) -> dict[str, int]:
        """Place → how many things of the calls are there. `calls` of `call_versions` that nothing tells of count as
        0."""
        tenant_id, calls = row.order.tenant_id, sorted(row.calls)
        of_a_person = row.order.reason == OF_A_PERSON
        return {
            **self.purges.count_keys(tenant_id, row.calls),
            **self.objects.left(tenant_id, row.calls),
            **self.tables.left(tenant_id, calls, of_a_person=of_a_person),
            **{each.name: each.left(tenant_id, calls) for each in self.copies},
        }

    def _receipt(self, row: PurgeRow) -> dict[str, Any]:
        """What the receipt says; nothing of a person."""
        order, state = row.order, row.state
        begun = state.started_at
        facts_days = CALLS_ENDED.retention_ms // DAY_MS
        labels_days = CALLS_RATED.retention_ms // DAY_MS
        return {
            "purge_id": state.purge_id,
            "tenant_id": order.tenant_id,
            "reason": order.reason,
            "policy_version": order.policy_version,
            "actor": order.actor,
            "ticket": order.ticket,
            "erasure_id": order.erasure_id,
            "calls": len(row.calls),
            "call_digests": sorted(row.digests),
            "began_at": _text(begun),
            "read_back_at": _text(self.clock.now()),
            "destroyed": {
                step: dict(counts) for step, counts in state.counts.items() if step not in ("read_back", "topics")
            },
            "read_back": dict(state.counts.get("read_back", {})),
            "kafka_keeps_until": {
                "masked text": _text(begun + timedelta(days=self.kafka_masked_days + 1)),
                "facts of calls": _text(begun + timedelta(days=facts_days + 7)),
                "ratings and verdicts": _text(begun + timedelta(days=labels_days + 7)),
            },
            "looked_at_again_from": _text(state.late_at),
            "not_under_control": list(NOT_UNDER_CONTROL),
            "release": version("callstream"),
        }

    def _tell(self, order: PurgeOrder, calls: Sequence[str], state: str, purge_id: str) -> None:
        at = self.clock.now()
        policy = order.policy_version
        self.tables.tell(order.tenant_id, calls, state, reason=order.reason, policy=policy, purge_id=purge_id, at=at)

    def _require_one_time(self) -> None:
        if self.compares_clocks:
            require_one_time(self.clock.now(), self.tables.now(), "ClickHouse")


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")
