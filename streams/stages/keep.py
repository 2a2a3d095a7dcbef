"""The stage `keep`: decides how long each call is kept, and has what is due archived or destroyed (R16–R19, R82, R94).

Deciding: what is said of a call when it ends, when it is judged, and whenever it is judged again, is added to what the
register has (`processors.custody.retention`). A call whose event says `legal_hold` gets a case of a hold first. Offsets
move once the register has it; again is right.

Carrying out: what is due is read from the register, held calls are passed over, and the others given to the one
function that destroys, which looks at holds itself, in the transaction in which it writes the tombstone. Calls that
cannot be destroyed or archived now are tried again in the next round, and hold up no others.
"""

import logging
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from typing import Protocol

from processors.custody.holds import HoldRefusedError
from processors.custody.listed_call import Listed, ListedCall
from processors.listening.audio import DecodeLimits
from schemas.config.retention import RETENTION_FILE, TenantPolicies, read_retention_policy
from schemas.config.tenants import read_tenants
from schemas.errors import InvalidMessageError, OperatorError, RefusedByDatabaseError, RetryableError
from schemas.messages.call_analysis import CallAnalysis
from schemas.messages.call_ended import CallEnded
from schemas.messages.dead_letter import dead_letter_for
from schemas.messages.records import ConsumerRecord, ProducerRecord
from schemas.messages.topics import CALLS_ANALYZED, CALLS_DEAD_LETTERS, CALLS_REANALYZED, LANE_OF, LANES
from streams.adapters.decoder.process import DecoderProcess
from streams.adapters.kafka.client import BatchConsumer
from streams.adapters.kafka.lag_at_start import LagAtStart
from streams.adapters.object_store.archive import RecordingArchive
from streams.adapters.object_store.from_settings import whole_store_from
from streams.adapters.register.errors import RegisterRefusedError
from streams.adapters.register.holds import Gone, RegisterCases, RegisterHolds
from streams.adapters.register.register import Register
from streams.adapters.register.retentions import DueKey, KeepDecision, KeptCall, RegisterRetentions, TenantCall
from streams.adapters.register.tombstones import RegisterTombstones
from streams.ports import Clock, WorkSource
from streams.purging import eraser_from, keeps_calls, listed_from, purger_from
from streams.queries.archived_result import CallResults
from streams.runtime.lanes import Lanes
from streams.runtime.logs import describe
from streams.runtime.loop import Loop, in_own_thread, nothing
from streams.runtime.worker_context import WorkerContext
from streams.stages.deciding import decision_of_analysis, decision_of_event, hold_for_telephony
from streams.topology import groups_of
from streams.wiring import require_migrations, require_register, require_topics, sealed_store_from

log = logging.getLogger(__name__)

KEEP = "keep"

AT_ONCE = 500
"""Calls of one page of what is due."""

DECIDED_AT_ONCE = 500
"""Messages of one batch; on SQLite nobody else writes while they are decided."""

MOST_WAITS = 3
"""So often in a row may something outside not answer; then the round pauses, and goes on behind that page."""

PAUSE = timedelta(minutes=1)
"""So long it pauses."""

PAGE_EVERY_S = 0.5
"""Between two pages, and two looks whether something is due."""

LOOK_WHETHER_CAUGHT_UP_S = 2.0
"""Between two questions to Kafka, after a start."""

LONGEST_PAGE_S = 3600.0
"""A page may be of many tenants, and each waits until ClickHouse has removed the files that were replaced."""

END_WITHIN_S = 5.0
"""So long what is being destroyed may take to come to a step at which it can be left."""

ACTOR = "callstream"
"""Who destroys what is due."""


class Purge(Protocol):
    """The one function that destroys calls (`streams.stages.purge`)."""

    def __call__(
        self, tenant_id: str, calls: Mapping[str, Sequence[date]], *, reason: str, policy_version: str
    ) -> Collection[str]:
        """Calls by id, with the UTC days under which something of each is filed. Those of them whose tombstone stands
        when this returns; the others are held. Raises `RetryableError` and `OperatorError`."""
        ...


def nothing_listed(_calls: Collection[TenantCall]) -> Mapping[TenantCall, ListedCall]:
    """Where there is no list."""
    return {}


ToArchive = Callable[[KeptCall], object]
"""Have the recording lie in the archive and not where it lay. Doing it again is right.

Raises `RetryableError` and `OperatorError`.
"""


def build(worker: WorkerContext) -> Loop:
    """Waits for object store, register, Kafka and ClickHouse. Raises `RetentionPolicyError` and `TenantsError`."""
    settings, clock = worker.settings, worker.clock
    policy = read_retention_policy(settings.retention_file or RETENTION_FILE)
    policies = TenantPolicies(policy, read_tenants(settings.tenants_file))
    store, register = whole_store_from(settings), Register.of(settings)
    worker.wait_for(store.check)
    worker.wait_for(lambda: require_register(register))
    worker.wait_for(lambda: require_topics(settings))
    worker.wait_for(lambda: require_migrations(settings))
    keeps = keeps_calls(register, clock)
    purger, eraser = purger_from(settings, register, clock, keeps), eraser_from(settings, register, clock, keeps)
    listed = listed_from(settings)
    tombstones, decoder = RegisterTombstones(register, clock), DecoderProcess()
    archive = RecordingArchive(
        store,
        sealed_store_from(settings, store, "audio", "transcript", register=register),
        decoder.render,
        decoder.probe,
        DecodeLimits(settings.max_call_minutes * 60_000),
        settings.max_recording_bytes,
        CallResults(settings.clickhouse_url.get_secret_value()),
    )

    def go_on() -> None:
        purger.go_on()
        eraser.go_on()

    def close() -> None:
        decoder.close()
        listed.close()
        register.close()

    retentions, holds = RegisterRetentions(register, clock), RegisterHolds(register, clock)
    cases = RegisterCases(register, clock, keeps.audit, tombstones.gone)
    carry_out = CarryOut(
        retentions,
        holds,
        purger.due,
        lambda kept: archive.archive(kept.tenant_id, kept.call_id, kept.day),
        clock,
        timedelta(seconds=settings.keep_every_s),
        go_on=go_on,
        listed=listed.among,
    )
    live, history = (BatchConsumer(settings, group, topics) for group, topics in groups_of(KEEP).items())
    decide = Decide(retentions, cases, tombstones.gone, policies, clock)
    at_start = LagAtStart(settings, groups_of(KEEP))
    return loop_of(worker, Lanes(live, history), decide, carry_out, close, at_start.is_done)


@dataclass(frozen=True)
class CarriedOut:
    """What one page of what was due came to."""

    destroyed: int = 0
    archived: int = 0
    held: int = 0
    failed: int = 0

    def __add__(self, other: "CarriedOut") -> "CarriedOut":
        return CarriedOut(
            self.destroyed + other.destroyed,
            self.archived + other.archived,
            self.held + other.held,
            self.failed + other.failed,
        )


@dataclass(frozen=True)
class Found:
    """A record, and what is to be decided of its call."""

    raw: ConsumerRecord
    message: CallEnded | CallAnalysis
    decision: KeepDecision
    is_held: bool


@dataclass(frozen=True)
class Decide:
    """The first half of the stage: what is said of calls, added to what the register has."""

    retentions: RegisterRetentions
    cases: RegisterCases
    gone: Gone
    policies: TenantPolicies
    clock: Clock

    def work(self, records: Sequence[ConsumerRecord]) -> Sequence[ProducerRecord]:
        """Decide all of them; the dead letters of those that the register refuses. Doing it again is right.

        A record that cannot be read has an owner that makes the dead letter: `listen` and `store`. Nothing is decided
        of calls that were destroyed; of those that are blocked it is: until it is known how long the law keeps them
        they wait, and a legal hold keeps them, too. Raises `RetryableError` and `OperatorError`.
        """
        found = [one for raw in records if (one := self._found(raw)) is not None]
        gone = self.gone({one.decision.call for one in found})
        found = [one for one in found if one.decision.call not in gone]
        letters: list[ProducerRecord] = []
        self._decide([one for one in found if not one.is_held or self._hold(one, letters)], letters)
        return letters

    def _found(self, raw: ConsumerRecord) -> Found | None:
        try:
            if raw.topic in LANE_OF:
                call = LANES[LANE_OF[raw.topic]].read(raw)
                return Found(raw, call, decision_of_event(self.policies.of(call.tenant_id), call), call.legal_hold)
            topic = CALLS_ANALYZED if raw.topic == CALLS_ANALYZED.name else CALLS_REANALYZED
            analysis = topic.read(raw)
        except InvalidMessageError:
            return None
        policy = self.policies.of(analysis.tenant_id)
        return Found(raw, analysis, decision_of_analysis(policy, analysis), analysis.call.legal_hold)

    def _hold(self, found: Found, letters: list[ProducerRecord]) -> bool:
        """First of all the case of a call whose event says `legal_hold`; whether the call may be decided now."""
        try:
            hold_for_telephony(self.cases, found.decision.call, self.clock.now())
        except HoldRefusedError:
            return False  # it was destroyed just now
        except RegisterRefusedError as error:
            letters.append(self._refused(found, error))
            return False
        return True

    def _decide(self, found: Sequence[Found], letters: list[ProducerRecord]) -> None:
        """Halved until the one stands alone that the register refuses; the others are decided."""
        if not found:
            return
        try:
            self.retentions.decide([one.decision for one in found])
        except RegisterRefusedError as error:
            if len(found) == 1:
                letters.append(self._refused(found[0], error))
                return
            middle = len(found) // 2
            self._decide(found[:middle], letters)
            self._decide(found[middle:], letters)

    def _refused(self, one: Found, error: RegisterRefusedError) -> ProducerRecord:
        log.error("keep: %s becomes a dead letter: %s; the call is kept for good", one.raw.position, error)
        refused = RefusedByDatabaseError([str(error)])
        return CALLS_DEAD_LETTERS.record(dead_letter_for(KEEP, one.raw, one.message, refused, self.clock.now()))


@dataclass
class CarryOut:
    """The second half of the stage: what is due, page by page."""

    retentions: RegisterRetentions
    holds: RegisterHolds
    purge: Purge
    archive: ToArchive
    clock: Clock
    every: timedelta
    """So long after a round has come to its end the next one begins."""
    at_once: int = AT_ONCE
    go_on: Callable[[], object] = nothing
    """What was begun and not finished, by whomever, is gone on with once a round."""
    listed: Listed = nothing_listed
    _behind: DueKey | None = field(default=None, init=False, repr=False)
    _next_at: datetime | None = field(default=None, init=False, repr=False)
    _round: CarriedOut = field(default_factory=CarriedOut, init=False, repr=False)
    _waits: int = field(default=0, init=False, repr=False)

    def step(self, stop: threading.Event | None = None) -> CarriedOut | None:
        """One page; None where nothing is due now. Raises what the register does, and `go_on`."""
        now = self.clock.now()
        if self._next_at is not None and now < self._next_at:
            return None
        page = self.retentions.due(now.astimezone(UTC).date(), self._behind, self.at_once)
        if not page:
            if self._round != CarriedOut():
                log.info(
                    "keep: %d call(s) destroyed, %d archived, %d due and held, %d to be tried again",
                    *(self._round.destroyed, self._round.archived, self._round.held, self._round.failed),
                )
            self._behind, self._round, self._next_at = None, CarriedOut(), now + self.every
            self.go_on()
            return None
        done = self._carry_out(page, stop or threading.Event())
        last = page[-1]
        assert last.due is not None  # noqa: S101 - it is in a list of what is due
        self._behind = (last.due.on, last.tenant_id, last.call_id)
        self._round += done
        if self._waits >= MOST_WAITS:
            self._waits, self._next_at = 0, now + PAUSE
        return done

    def _carry_out(self, page: Sequence[KeptCall], stop: threading.Event) -> CarriedOut:
        calls = [one.call for one in page]
        try:
            held = self.holds.among(calls, self.listed(calls))
        except RetryableError as error:
            return self._waited(len(page), error)
        free = [one for one in page if one.call not in held]
        done = CarriedOut(held=len(page) - len(free))
        for (tenant_id, action, reason, policy_version), group in groupby(sorted(free, key=_order), key=_order):
            these = list(group)
            if stop.is_set() or self._waits >= MOST_WAITS:
                done += CarriedOut(failed=len(these))
            elif action == "archive":
                done += sum((self._archive(one, stop) for one in these), CarriedOut())
            else:
                done += self._destroy(tenant_id, these, reason, str(policy_version))
        return done

    def _destroy(self, tenant_id: str, calls: Sequence[KeptCall], reason: str, policy_version: str) -> CarriedOut:
        """All of them together; where that fails each by itself, so that one that cannot be destroyed is alone."""
        wanted = {one.call_id: (one.day,) for one in calls}
        try:
            gone = self.purge(tenant_id, wanted, reason=reason, policy_version=policy_version)
        except RetryableError as error:
            return self._waited(len(calls), error)
        except Exception as error:
            if len(calls) > 1:
                parts = (self._destroy(tenant_id, [one], reason, policy_version) for one in calls)
                return sum(parts, CarriedOut())
            self._tell_of(calls[0], error)
            return CarriedOut(failed=1)
        self._waits = 0
        self.retentions.forget([(tenant_id, call_id) for call_id in gone])
        return CarriedOut(destroyed=len(gone), held=len(calls) - len(gone))

    def _archive(self, kept: KeptCall, stop: threading.Event) -> CarriedOut:
        if stop.is_set() or self._waits >= MOST_WAITS:
            return CarriedOut(failed=1)
        try:
            self.archive(kept)
            self.retentions.archived(kept, self.clock.now())
        except RetryableError as error:
            return self._waited(1, error)
        except Exception as error:
            self._tell_of(kept, error)
            return CarriedOut(failed=1)
        self._waits = 0
        return CarriedOut(archived=1)

    def _waited(self, calls: int, error: RetryableError) -> CarriedOut:
        self._waits += 1
        log.warning("keep waits with %d call(s): %s", calls, str(error))
        return CarriedOut(failed=calls)

    @staticmethod
    def _tell_of(kept: KeptCall, error: Exception) -> None:
        what = str(error) if isinstance(error, OperatorError) else describe(error)
        log.error("keep: call %s/%s is due and stays, for now: %s", kept.tenant_id, kept.call_id, what)


def loop_of(
    worker: WorkerContext,
    source: WorkSource,
    decide: Decide,
    carry_out: CarryOut,
    close: Callable[[], None] = nothing,
    has_caught_up: Callable[[], bool] = lambda: True,
) -> Loop:
    """The stage on a source: batches are decided, and beside that what is due is carried out, page by page.

    In threads of their own: to destroy calls takes minutes, and what must be kept longer is decided meanwhile. Nothing
    is carried out before `has_caught_up`: what was said of a call while no worker ran may keep it longer.
    """
    knows_all = threading.Event()

    def carry() -> None:
        if not knows_all.is_set() and not has_caught_up():
            worker.stop.wait(LOOK_WHETHER_CAUGHT_UP_S)
            return
        knows_all.set()
        carry_out.step(worker.stop)

    def end() -> None:
        source.close()
        carrying.join(END_WITHIN_S)
        if not carrying.is_alive():  # otherwise the process ends without it, and a later one goes on
            close()

    loop = worker.loop_of_work(decide.work, source, batch=DECIDED_AT_ONCE, close=end)
    carrying = in_own_thread(
        worker.loop_beside("what is due", carry, every_s=PAGE_EVERY_S, longest_step_s=LONGEST_PAGE_S)
    )
    return loop


def _order(kept: KeptCall) -> tuple[str, str, str, int]:
    """What calls that are destroyed together have in common."""
    assert kept.due is not None  # noqa: S101 - it is in a list of what is due
    return kept.tenant_id, kept.due.action, kept.due.reason, kept.due.policy_version
