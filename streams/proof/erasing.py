"""Customers of the proof are erased on a running stack, and everything is tried that could bring them back."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256

from sqlalchemy import select

from processors.custody.ports import CallPurgedError
from schemas.errors import EmbeddedStackError
from schemas.messages.records import ProducerRecord
from schemas.messages.topics import CALLS_ENDED, DAY_MS
from streams.adapters.clickhouse.connection import connect
from streams.adapters.clickhouse.statements import read_rows
from streams.adapters.kafka.client import TopicReader, all_topic_names, lags
from streams.adapters.object_store.folder import FolderStore
from streams.adapters.register.register import Register
from streams.adapters.register.tables import call_keys
from streams.ports import Clock, ObjectStore, PublisherPort
from streams.proof.backup_drill import BackupDrill
from streams.proof.custody import MARK, PREFIXES, Entrance, ProofTimeoutError
from streams.proof.entrance import EntranceRefusedError
from streams.proof.erasure import ErasureProof, ErasureStep, Exemption, prove_erasure
from streams.proof.searching import (
    Needles,
    Searched,
    folders_of,
    search_files_apart,
    search_register,
    search_tables,
    temporary_since,
)
from streams.proof.secrets import TENANT, ProofCall, ProofCalls
from streams.settings import Settings
from streams.stages.erase import Eraser
from streams.topology import consumer_groups

LOOK_EVERY_S = 1.0
GONE = 410
"""What `serve` answers to an upload of a call that was destroyed."""

OTHERS = "an order of a customer who stays"
CUSTOMER_KEY = "a customer's key"
DIGEST = "the digest of a recording"
PLACE = "where a recording lies"
_SEALED_AT = 74
_SEALED_BYTES = 48
"""Of a sealed object, behind its header: bytes that no other object has."""
_KEPT_LONGER_DAYS = 7
"""After so many days more Kafka has removed a file whose newest record is old enough."""

_PLACES = """
SELECT DISTINCT audio_uri FROM call_versions
WHERE tenant_id = {tenant:String} AND call_id IN {calls:Array(String)} AND position(audio_uri, call_id) > 0
"""


class ProofStartError(EmbeddedStackError):
    """The calls of the proof do not lie where they should before anything is erased."""


@dataclass(frozen=True)
class AheadClock:
    """A clock that is so far ahead of another."""

    clock: Clock
    ahead: timedelta

    def now(self) -> datetime:
        """Then."""
        return self.clock.now() + self.ahead


@dataclass
class ErasureOnStack:
    """What was done, and what was found. `holds` says whether everything is as promised."""

    customers: int = 0
    calls: int = 0
    destroyed: int = 0
    blocked: int = 0
    judged_before: int = 0
    judged_again: int = 0
    """Calls of the proof's tenant in a replay before the erasure, and after it."""
    delivered: int = 0
    """Records that were written to Kafka once more."""
    uploads: int = 0
    refused: int = 0
    left_out_objects: int = 0
    proof: ErasureProof = field(default_factory=lambda: ErasureProof({}, frozenset()))

    @property
    def holds(self) -> bool:
        """Every call was destroyed, none was judged or taken in again, and nothing of them is anywhere."""
        return (
            self.calls > 0
            and self.destroyed == self.calls
            and self.judged_again == self.judged_before - self.calls
            and self.delivered > 0
            and self.refused == self.uploads == self.calls
            and self.left_out_objects > 0
            and self.proof.holds
        )


@dataclass(frozen=True)
class ErasureOfCustomers:
    """Does it, step by step; `say` hears what is being done.

    `eraser` is the one of `callstream erase`, with floors of the law that are over by its clock: calls of the proof are
    a day old at most, and nobody's. Every method may raise `RetryableError` and `OperatorError`.
    """

    settings: Settings
    register: Register
    store: ObjectStore
    entrance: Entrance
    publisher: PublisherPort
    eraser: Eraser
    drill: BackupDrill
    replay: Callable[[datetime], int]
    """Judges the stored transcripts of the proof's tenant again, from a time on; how many."""
    say: Callable[[str], None]
    actor: str
    role: str
    within_s: float

    def run(self, made: ProofCalls, judged: int) -> ErasureOnStack:
        """Erase the customers who are remembered. The mark, and what is of another call, has to be found whenever it is
        searched. `judged`: so many calls a replay of the proof's tenant has judged before.

        Raises `ProofTimeoutError` and `ProofStartError`.
        """
        calls = made.remembered
        customers = {call.phone_number for call in calls}
        done = ErasureOnStack(customers=len(customers), calls=len(calls), judged_before=judged)
        self._settle()
        records = list(self._records(calls))
        planted = self._planted(calls)
        stay = {MARK: {made.mark.encode()}}
        if made.another is not None:
            stay[OTHERS] = {str(made.another.facts["order_id"]).encode()}
        needles, stays = Needles({**planted, **stay}), frozenset(stay)
        self.say("making a backup")
        try:
            self.drill.create()
            before = Exemption(f"{self.drill.backups}/", "in the backup of before, until erasures are applied to it")
            done.proof = prove_erasure(
                planted,
                lambda: self._search(needles, stays, made.now),
                [
                    ErasureStep("erased", lambda: self._erase(calls, done), [before]),
                    ErasureStep("replayed", lambda: self._judge_again(made.since, done), [before]),
                    ErasureStep("delivered again", lambda: self._deliver_again(calls, records, done), [before]),
                    ErasureStep("restored", lambda: self._restore(done)),
                ],
                stays=stays,
                exempt=self._exempt(),
            )
        finally:
            self.drill.remove()
        return done

    def _erase(self, calls: Sequence[ProofCall], done: ErasureOnStack) -> None:
        for count, number in enumerate(dict.fromkeys(call.phone_number for call in calls), start=1):
            self.say(f"erasing customer {count} of {done.customers}, and waiting until ClickHouse has removed files")
            keys = self.settings.customer_keys.every(TENANT, number)
            erased = self.eraser.erase(TENANT, keys, reason="proof", actor=self.actor, role=self.role)
            done.destroyed += erased.counts["destroyed"]
            done.blocked += erased.counts["blocked"]

    def _judge_again(self, since: datetime, done: ErasureOnStack) -> None:
        self.say("judging every call again")
        done.judged_again = self.replay(since)
        self._settle()

    def _deliver_again(
        self, calls: Sequence[ProofCall], records: Sequence[ProducerRecord], done: ErasureOnStack
    ) -> None:
        self.say("uploading the calls again, and writing to Kafka what it had of them")
        for call in calls:
            done.uploads += 1
            try:
                self.entrance.take_in(call)
            except CallPurgedError:
                done.refused += 1
            except EntranceRefusedError as error:
                if error.status != GONE:
                    raise
                done.refused += 1
        self.publisher.publish(records)
        done.delivered = len(records)
        self._settle()

    def _restore(self, done: ErasureOnStack) -> None:
        self.say("giving the backup back into an empty folder, and applying erasures to it")
        done.left_out_objects = self.drill.restore().left_out_objects
        self.drill.apply_erasures()

    def _settle(self) -> None:
        """Until every stage has worked on all that is in Kafka."""
        deadline_s = time.monotonic() + self.within_s
        while behind := [lag for lag in lags(self.settings, consumer_groups((), self.settings)) if lag.messages]:
            if time.monotonic() > deadline_s:
                raise ProofTimeoutError(
                    f"after {self.within_s:.0f} s {behind[0].stage} is {behind[0].messages} messages of "
                    f"{behind[0].topic} behind: see `callstream status`, or give it longer with --within"
                )
            time.sleep(LOOK_EVERY_S)

    def _records(self, calls: Iterable[ProofCall]) -> Iterator[ProducerRecord]:
        """What Kafka has of these calls."""
        keys = {f"{TENANT}/{call.call_id}".encode() for call in calls}
        for topic in sorted(all_topic_names(self.settings)):
            reader = TopicReader(self.settings, topic)
            try:
                while not reader.is_at_end:
                    for record in reader.read(1_000, 0.2):
                        if record.key in keys and record.value is not None:
                            yield ProducerRecord(topic, record.key, record.value)
            finally:
                reader.close()

    def _planted(self, calls: Sequence[ProofCall]) -> Mapping[str, frozenset[bytes]]:
        """What there is of these calls and of no others, as it lies in files and rows; kinds of which there is nothing
        are left out."""
        call_ids = {call.call_id for call in calls}
        customers = {self.settings.customer_keys.of(TENANT, call.phone_number) for call in calls}
        recordings = [call.recording for call in calls if call.recording]
        found: dict[str, set[bytes]] = {
            "an order": {str(call.facts["order_id"]).encode() for call in calls},
            CUSTOMER_KEY: {key.encode() for key in customers},
            "what was said": {phrase.encode() for call in calls for phrase in call.phrases},
            PLACE: self._places(call_ids),
            DIGEST: {sha256(one).hexdigest().encode() for one in recordings},
            "a wrapped key": self._wrapped_keys(call_ids),
            "a sealed object": self._sealed(call_ids),
        }
        if len(found[PLACE]) != len(recordings):
            raise ProofStartError(
                f"ClickHouse knows where {len(found[PLACE])} recordings lie, and {len(recordings)} were taken in: see "
                "`callstream status` and the log of store"
            )
        return {name: frozenset(which) for name, which in found.items() if which}

    def _places(self, call_ids: Iterable[str]) -> set[bytes]:
        """Call and version of each, with which the names of all its objects begin."""
        client = connect(self.settings.clickhouse_url.get_secret_value())
        try:
            rows = read_rows(client, "where recordings lie", _PLACES, tenant=TENANT, calls=sorted(call_ids))
        finally:
            client.close()
        return {str(uri).rpartition("/")[2].rpartition(".")[0].encode() for (uri,) in rows}

    def _wrapped_keys(self, call_ids: set[str]) -> set[bytes]:
        with self.register.reading("read the keys of the proof") as tx:
            asked = select(call_keys.c.call_id, call_keys.c.blob).where(call_keys.c.tenant_id == TENANT)
            return {bytes(row.blob) for row in tx.execute(asked) if row.call_id in call_ids}

    def _sealed(self, call_ids: set[str]) -> set[bytes]:
        """Nothing where objects lie in a bucket: no file of this machine has them, and a purge counts them."""
        if not isinstance(self.store, FolderStore):
            return set()
        keys = [entry.key for prefix in PREFIXES for entry in self.store.entries(f"{prefix}/{TENANT}/")]
        mine = [key for key in keys if key.rpartition("/")[2].partition(".")[0] in call_ids]
        return {self.store.read(key, start=_SEALED_AT, length=_SEALED_BYTES) for key in mine}

    def _search(self, needles: Needles, stays: frozenset[str], began: datetime) -> list[Searched]:
        self.say("searching files, tables and register")
        return [
            search_files_apart(folders_of(self.settings), needles, stays, temporary_since(began)),
            search_tables(self.settings, needles, stays),
            search_register(self.register, needles, stays),
        ]

    def _exempt(self) -> list[Exemption]:
        masked_days = self.settings.kafka_masked_days + 1
        facts_days = CALLS_ENDED.retention_ms // DAY_MS + _KEPT_LONGER_DAYS
        kafka = (
            f"in files of Kafka, packed, where masked text is kept for {masked_days} days and facts for {facts_days}"
        )
        request = "in the request to erase, which has the customer's key until it is done, two hours later"
        leftover = "in `leftovers`: names of objects, where `sweep` looks for an upload that was under way"
        days = self.settings.outbox_keep_days
        outbox = f"in events of the register, which it keeps for {days} days after Kafka has them"
        register = f"{self.settings.data_dir / 'register'}/"
        restored = f"{self.drill.restored / 'register'}/"
        return [
            Exemption(f"{self.settings.data_dir / 'kafka'}/", kafka),
            Exemption("register.erasures", request, CUSTOMER_KEY),
            Exemption(register, request, CUSTOMER_KEY),
            Exemption("register.leftovers", leftover, PLACE),
            Exemption(register, leftover, PLACE),
            Exemption("register.outbox", outbox, DIGEST),
            Exemption(register, outbox, DIGEST),
            Exemption(restored, outbox, DIGEST),
        ]
