"""The stage `audit`: gives entries their places in the tree, signs it, and takes what it signed out of reach.

It also enters what people asked ClickHouse, and once a UTC day where each tenant's calls of the day before ended. How
far it has come with each of these lies in the register, noted together with the entries. Killed anywhere, it goes on
from there; a second one does the same work again, and no harm.
"""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Protocol

from processors.custody.audit_account import completeness_entry, query_entry, shortened_entry
from processors.custody.audit_entry import AuditEntry, AuditResult
from schemas.config.roles import ALL_TENANTS, RESERVED_USERS, load_roles, load_users
from schemas.errors import OperatorError, RetryableError
from streams.adapters.audit_anchors import (
    PREFIX,
    CheckpointAnchor,
    KafkaAnchor,
    StoreAnchor,
    WebhookAnchor,
    size_of_key,
    webhook_of,
)
from streams.adapters.clickhouse.audit_source import (
    ACCESS_DENIED,
    MOST_QUERIES,
    AskedQuery,
    ClickHouseAuditSource,
    DayAccount,
)
from streams.adapters.object_store.from_settings import object_store_from
from streams.adapters.register.audit_log import RegisterAuditLog, SignedCheckpoint
from streams.adapters.register.register import Register
from streams.ports import Clock, ObjectStore
from streams.runtime.audit_key import AuditKey, kept_audit_key
from streams.runtime.loop import Loop, nothing
from streams.runtime.worker_context import WorkerContext
from streams.settings import Settings
from streams.wiring import require_register, require_topics

log = logging.getLogger(__name__)

LOOKS_EVERY_S = 2.0
SIGNED_AFTER = 1_000
"""So many entries are signed at once, however young."""

DELIVERED_AT_ONCE = 500
AGAIN_AFTER = timedelta(seconds=30)
"""What did not go, is tried again after so long; the rest does not wait for it."""

ASKED_EVERY = timedelta(seconds=10)
QUERIES_COME_LATE = timedelta(minutes=5)
"""So much later than it ended may a query turn up in the query log; what was entered before is not entered again."""

ACCOUNT_AFTER = timedelta(minutes=10)
"""So long after the end of a UTC day its account is made."""

DAYS_CAUGHT_UP = 31
PRUNED_EVERY = timedelta(hours=1)
LOOKED_BACK = timedelta(days=31)
"""So far back the object store is looked through, when the stage starts, for what was signed."""

QUERY_LOG = "query_log"
COMPLETENESS = "completeness"
EVER = datetime(2000, 1, 1, tzinfo=UTC)


class AuditSource(Protocol):
    """What ClickHouse tells. Raises `RetryableError` and `OperatorError`."""

    def queries(self, since: datetime, without: frozenset[str]) -> Sequence[AskedQuery]: ...

    def account(self, day: date) -> Sequence[DayAccount]: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class QueryingPerson:
    """An account of ClickHouse: its role, and its tenant; `*` where it has several."""

    role: str
    tenant_id: str


@dataclass(frozen=True)
class Accounts:
    """Accounts by name. Whoever is neither here nor technical is a person of whom the role is not known."""

    people: Mapping[str, QueryingPerson]
    technical: frozenset[str]

    @classmethod
    def of(cls, settings: Settings) -> "Accounts":
        """Those of the settings. Raises `RolesFileError` and `UsersFileError`."""
        roles = load_roles()
        users = load_users(settings.clickhouse_users_file, roles)
        named = {each.strip() for each in settings.audit_technical_accounts.split(",") if each.strip()}
        technical = {user.name for user in users if not roles.roles[user.role].of_people}
        people = {
            user.name: QueryingPerson(user.role, user.tenants[0] if len(user.tenants) == 1 else ALL_TENANTS)
            for user in users
        }
        people.setdefault("analyst", QueryingPerson("bi_analyst", ALL_TENANTS))  # of the embedded engine
        return cls(people, frozenset(named | technical | (RESERVED_USERS - {"analyst"})))


def build(worker: WorkerContext) -> Loop:
    """Waits for Kafka, object store and register; not for ClickHouse. Raises `AuditKeyError` and `OperatorError`."""
    settings = worker.settings
    accounts = Accounts.of(settings)
    webhook = webhook_of(settings)
    store, register = object_store_from(settings), Register.of(settings)
    lock = timedelta(days=settings.audit_lock_days)
    stored = StoreAnchor(store, lock)
    worker.wait_for(lambda: require_topics(settings))
    worker.wait_for(store.check)
    worker.wait_for(lambda: require_register(register))
    entries = RegisterAuditLog(register, worker.clock)
    last = worker.wait_for(entries.last_checkpoint)
    key = kept_audit_key(settings, may_make=last is None)
    anchors: list[CheckpointAnchor] = [stored, KafkaAnchor(worker.publisher(), key.verifier)]
    if webhook is not None:
        anchors.append(WebhookAnchor(webhook, worker.clock))
    audit = Audit(
        entries,
        key,
        anchors,
        ClickHouseAuditSource(settings.clickhouse_url.get_secret_value(), settings.clickhouse_cluster),
        accounts,
        worker.clock,
        every=timedelta(seconds=settings.audit_checkpoint_s),
        keep=timedelta(days=settings.audit_keep_days),
        store=store,
    )

    def close() -> None:
        audit.close()
        register.close()

    loop = worker.loop(
        lambda: audit.step(worker.stop, loop.beat),
        every_s=min(LOOKS_EVERY_S, settings.audit_checkpoint_s),
        recover=register.close,
        close=close,
    )
    return loop


class Audit:
    """What the stage does. One thing that fails holds up no other: it is tried again a little later."""

    def __init__(
        self,
        entries: RegisterAuditLog,
        key: AuditKey,
        anchors: Sequence[CheckpointAnchor],
        source: AuditSource,
        accounts: Accounts,
        clock: Clock,
        *,
        every: timedelta,
        keep: timedelta,
        store: ObjectStore | None = None,
    ) -> None:
        """`every`: how old an entry may grow before it is signed; `store`: where earlier checkpoints are looked for."""
        self._entries = entries
        self._key = key
        self._anchors = anchors
        self._source = source
        self._accounts = accounts
        self._clock = clock
        self._every = every
        self._keep = keep
        self._store = store
        self._signed_at: datetime | None = None
        self._placed_since_signing = 0
        self._not_before: dict[str, datetime] = {}
        self._compared = False

    def step(self, stop: threading.Event | None = None, beat: Callable[[], None] = nothing) -> None:
        """One round. Raises `RetryableError` where the register does not answer, and `AuditLogError` where what is in
        it is not what was signed: then nothing more is signed.
        """
        stop = stop or threading.Event()
        self._compare()
        self._attempt(QUERY_LOG, self._enter_queries, ASKED_EVERY)
        self._attempt(COMPLETENESS, lambda: self._enter_accounts(stop, beat), ACCOUNT_AFTER)
        self._place(stop, beat)
        self._sign()
        for anchor in self._anchors:
            beat()
            self._attempt(anchor.name, lambda anchor=anchor: self._deliver(anchor, stop, beat), timedelta())  # type: ignore[misc]
        self._attempt("prune", lambda: self._prune(beat), PRUNED_EVERY)

    def close(self) -> None:
        """Let go of connections."""
        self._source.close()
        for anchor in self._anchors:
            anchor.close()

    def _attempt(self, name: str, do: Callable[[], None], pause: timedelta) -> None:
        """Do it, unless it is too early for it. What fails, is logged and tried again later."""
        now = self._clock.now()
        if now < self._not_before.get(name, now):
            return
        try:
            do()
            self._not_before[name] = now + pause
        except (RetryableError, OperatorError) as error:
            self._not_before[name] = now + AGAIN_AFTER
            log.warning("audit: %s waits: %s", name, str(error))

    def _place(self, stop: threading.Event, beat: Callable[[], None]) -> None:
        while not stop.is_set():
            beat()
            placed = self._entries.sequence()
            self._placed_since_signing += placed
            if self._placed_since_signing >= SIGNED_AFTER:
                self._sign()
            if not placed:
                return

    def _sign(self) -> None:
        """Where something is there that is not signed, and it is time."""
        now = self._clock.now()
        due = self._signed_at is None or now - self._signed_at >= self._every
        if not due and self._placed_since_signing < SIGNED_AFTER:
            return
        signed = self._entries.sign(
            lambda peaks, at: self._key.note(peaks.size, peaks.root, at),
            lambda last: self._key.has_signed(last.note, last.size, last.peaks.root),
        )
        self._placed_since_signing = 0
        if signed is not None:
            self._signed_at = now

    def _deliver(self, anchor: CheckpointAnchor, stop: threading.Event, beat: Callable[[], None]) -> None:
        name = f"anchor {anchor.name}"
        while not stop.is_set():
            beat()
            reached = int(self._entries.position(name) or 0)
            checkpoints: Sequence[SignedCheckpoint]
            if anchor.needs_all:
                checkpoints = self._entries.checkpoints(reached, DELIVERED_AT_ONCE)
            else:
                newest = self._entries.last_checkpoint()
                checkpoints = [newest] if newest is not None and newest.size > reached else []
            if not checkpoints:
                return
            anchor.deliver(checkpoints)
            self._entries.set_position(name, str(checkpoints[-1].size))

    def _enter_queries(self) -> None:
        """What people asked since the last time. What turns up late is found by looking back a little."""
        while True:
            position = self._entries.position(QUERY_LOG)
            reached = EVER if position is None else datetime.fromisoformat(position)
            since = EVER if position is None else reached - QUERIES_COME_LATE
            queries = self._source.queries(since, self._accounts.technical)
            if not queries:
                return
            last = max(reached, queries[-1].at)
            if len(queries) == MOST_QUERIES and last <= reached:  # more than that within the time that is looked back
                last = queries[-1].at + QUERIES_COME_LATE
            self._entries.append_known(map(self._entry_of, queries), QUERY_LOG, last.isoformat())
            if len(queries) < MOST_QUERIES:
                return

    def _entry_of(self, query: AskedQuery) -> tuple[str, AuditEntry]:
        person = self._accounts.people.get(query.user, QueryingPerson("unknown", ALL_TENANTS))
        refused = query.error == ACCESS_DENIED
        result: AuditResult = "refused" if refused else "allowed" if query.began else "failed"
        return query_entry(
            query.query_id,
            query.user,
            person.role,
            person.tenant_id,
            query.at,
            result=result,
            refusal="not_granted" if refused else None,
            error=query.error,
            tables=query.tables,
            rows_read=query.rows_read,
            rows=query.rows,
        )

    def _enter_accounts(self, stop: threading.Event, beat: Callable[[], None]) -> None:
        """The account of each UTC day that is over; the day before, where there was none yet."""
        now = self._clock.now()
        last = (now - ACCOUNT_AFTER).date() - timedelta(days=1)
        position = self._entries.position(COMPLETENESS)
        day = last if position is None else max(date.fromisoformat(position), last - timedelta(days=DAYS_CAUGHT_UP))
        day += timedelta(days=0 if position is None else 1)
        while day <= last and not stop.is_set():
            beat()
            told = [completeness_entry(each.tenant_id, day, each.outcomes, now) for each in self._source.account(day)]
            self._entries.append_known(told, COMPLETENESS, day.isoformat())
            day += timedelta(days=1)

    def _compare(self) -> None:
        """Once, when it starts: whether more was signed than there is. A register that was restored from an older
        backup looks so, and one that was cut.
        """
        if self._compared or self._store is None:
            return
        after = f"{PREFIX}{self._clock.now() - LOOKED_BACK:%Y%m%d}"
        signed = max((size_of_key(entry.key) or 0 for entry in self._store.entries(PREFIX, after=after)), default=0)
        size = self._entries.size()
        if signed > size:
            log.error(
                "audit: the object store has a checkpoint of %d entries, and the register %d entries: it was cut, or "
                "restored from an older backup; the log goes on, and `callstream audit verify` will always tell",
                signed,
                size,
            )
            with_id = shortened_entry(signed, size, self._clock.now())
            self._entries.append_known([with_id], "shortened", str(signed))
        self._compared = True

    def _prune(self, beat: Callable[[], None]) -> None:
        if removed := self._entries.prune(self._keep, beat):
            log.info("audit: %d entries are older than they are kept, and gone", removed)
