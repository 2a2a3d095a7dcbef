"""The proof of custody: calls with secrets are taken in, heard, judged and judged again while keys are wrapped anew;
then everything that the stack has written is searched for the secrets, and sealed objects are tampered with.
"""

import random
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Protocol

from processors.custody.ports import (
    PURPOSE_OF,
    PURPOSES,
    DataKeys,
    KeyRefusedError,
    ObjectRole,
    Purpose,
    SealedIdentity,
)
from schemas.errors import EmbeddedStackError, RetryableError
from streams.adapters.clickhouse.connection import connect
from streams.adapters.clickhouse.statements import read_rows
from streams.adapters.kafka.client import all_topic_names
from streams.adapters.register.register import Register
from streams.adapters.register.rotation import Rotation
from streams.ports import ObjectStore
from streams.proof.audit_mutations import try_audit_mutations
from streams.proof.mutations import MutationReport, SealedSample, try_mutations
from streams.proof.searching import (
    Needles,
    Searched,
    folders_of,
    search_files_apart,
    search_register,
    search_tables,
    search_topics,
    temporary_since,
)
from streams.proof.secrets import TENANT, ProofCall, ProofCalls
from streams.settings import Settings

UPLOADS_AT_ONCE = 8
LOOK_EVERY_S = 1.0
MARK = "mark"
MUTATED_OBJECTS = 40
MUTATED_LOGS = 10_000


class ProofTimeoutError(EmbeddedStackError):
    """The stack did not get on with the calls of the proof in time."""


class Entrance(Protocol):
    """How calls get into the stack."""

    def take_in(self, call: ProofCall) -> None:
        """Durable when it returns. Raises `RetryableError` and `OperatorError`."""
        ...


@dataclass(frozen=True)
class WholeRotation:
    """Rotations from beginning to end, as an operator does them over days."""

    rotation: Rotation

    def rotate(self, purpose: Purpose) -> int:
        """How many day keys a new wrapping key has wrapped anew; the former one is done with.

        Raises as `Rotation` does.
        """
        self.rotation.prepare(purpose)
        self.rotation.switch(purpose)
        result = self.rotation.rewrap(purpose)
        if result.refused:
            raise KeyRefusedError(
                f"{result.refused} keys of days ({purpose}) do not open: see `callstream keys status`"
            )
        self.rotation.retire(purpose)
        return result.done


@dataclass
class CustodyProof:
    """What was done, and what was found. `holds` says whether everything is as promised."""

    calls: int = 0
    recordings: int = 0
    secrets: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    rewrapped: int = 0
    replayed: int = 0
    searched: list[Searched] = field(default_factory=list)
    mutations: MutationReport = field(default_factory=MutationReport)
    audit_mutations: MutationReport = field(default_factory=MutationReport)
    took_s: dict[str, float] = field(default_factory=dict)

    @property
    def blind(self) -> list[str]:
        """Places in which not even the mark was found, which stands everywhere: there the search saw nothing."""
        return [one.place for one in self.searched if MARK not in one.found]

    def found(self, searched: Searched) -> Counter[str]:
        """What must not be found and was: what it is → how many different ones."""
        return Counter({name: len(which) for name, which in searched.found.items() if name != MARK})

    @property
    def holds(self) -> bool:
        """Everything taken in and analysed, nothing found, nothing unnoticed, and the search was not blind."""
        return (
            self.outcomes == Counter(analyzed=self.calls)
            and self.replayed >= self.calls
            and self.rewrapped > 0
            and not self.blind
            and not any(self.found(one) or one.unreadable for one in self.searched)
            and self.mutations.tried > 0
            and not self.mutations.unnoticed
            and self.audit_mutations.tried > 0
            and not self.audit_mutations.unnoticed
        )


@dataclass(frozen=True)
class ProofOfCustody:
    """Does it, step by step; `say` hears what is being done."""

    settings: Settings
    register: Register
    store: ObjectStore
    keys: DataKeys
    entrance: Entrance
    rotation: WholeRotation
    replay: Callable[[datetime], int]
    """Judges the stored transcripts of the proof's tenant again, from a time on; how many."""
    say: Callable[[str], None]
    within_s: float

    def run(self, calls: ProofCalls, count: int, recordings: int) -> CustodyProof:
        """With so many calls, of which so many have recordings. Raises `ProofTimeoutError`, `RetryableError` and
        `OperatorError`.
        """
        proof = CustodyProof(calls=count, recordings=recordings)
        secrets: dict[str, set[bytes]] = {MARK: {calls.mark.encode()}}
        with self._timed(proof, "taken in, while keys were wrapped anew"):
            self.say(f"taking in {count} calls, {recordings} of them with a recording, while keys are wrapped anew")
            made = (_made(calls, number, recordings) for number in range(count))
            proof.rewrapped = self._take_in(_noting(made, secrets))
        proof.secrets = sum(len(which) for name, which in secrets.items() if name != MARK)
        with self._timed(proof, "heard and judged"):
            self.say("waiting until every call is heard and judged")
            proof.outcomes = self._outcomes(calls.mark, count)
        with self._timed(proof, "judged again"):
            self.say("judging every call again from its stored transcript")
            proof.replayed = self.replay(calls.since)
        with self._timed(proof, "searched"):
            self.say("searching files, topics, tables and register")
            proof.searched = self._search(Needles(secrets), calls.now)
        with self._timed(proof, "tampered with"):
            self.say("tampering with sealed objects")
            proof.mutations = try_mutations(self._samples(calls.mark), random.Random(calls.seed))  # noqa: S311
        with self._timed(proof, "audit logs tampered with"):
            self.say("tampering with audit logs")
            proof.audit_mutations = try_audit_mutations(MUTATED_LOGS, random.Random(calls.seed))  # noqa: S311
        return proof

    def _take_in(self, calls: Iterable[ProofCall]) -> int:
        """All of them; how many day keys were wrapped anew meanwhile."""
        done = threading.Event()
        with ThreadPoolExecutor(UPLOADS_AT_ONCE + 1) as pool:
            rewrapped = pool.submit(self._rotate_until, done)
            try:
                waiting = []
                for call in calls:
                    waiting.append(pool.submit(self.entrance.take_in, call))
                    while len(waiting) > 4 * UPLOADS_AT_ONCE:
                        waiting.pop(0).result()
                for one in waiting:
                    one.result()
            finally:
                done.set()
            return rewrapped.result()

    def _rotate_until(self, done: threading.Event) -> int:
        """Every purpose, again and again, until all calls are in; once more where that was quick."""
        rewrapped = 0
        while True:
            last = done.wait(LOOK_EVERY_S)
            for purpose in PURPOSES:
                rewrapped += self.rotation.rotate(purpose)
            if last:
                return rewrapped

    def _outcomes(self, mark: str, count: int) -> Counter[str]:
        """Outcome → calls, once none is pending."""
        deadline_s = time.monotonic() + self.within_s
        client = connect(self.settings.clickhouse_url.get_secret_value())
        try:
            while True:
                found: Counter[str] = Counter()
                with suppress(RetryableError):
                    rows = read_rows(
                        client,
                        "the outcomes of the proof",
                        "SELECT outcome, count() FROM outcomes WHERE tenant_id = {tenant:String} "
                        "AND startsWith(call_id, {mark:String}) GROUP BY outcome",
                        tenant=TENANT,
                        mark=mark,
                    )
                    found = Counter({str(outcome): int(calls) for outcome, calls in rows})
                if found.total() >= count and not found["pending"]:
                    del found["pending"]
                    return found
                if time.monotonic() > deadline_s:
                    raise ProofTimeoutError(
                        f"after {self.within_s:.0f} s {found.total() - found['pending']} of {count} calls have an "
                        "outcome: see `callstream status`, or give it longer with --within"
                    )
                time.sleep(LOOK_EVERY_S)
        finally:
            client.close()

    def _search(self, needles: Needles, began: datetime) -> list[Searched]:
        allowed = frozenset({MARK})
        return [
            search_files_apart(folders_of(self.settings), needles, allowed, temporary_since(began)),
            search_topics(self.settings, all_topic_names(self.settings), needles, allowed),
            search_tables(self.settings, needles, allowed),
            search_register(self.register, needles, allowed),
        ]

    def _samples(self, mark: str) -> list[SealedSample]:
        """Sealed objects of the proof, of every kind that there is, as they lie in the store."""
        samples: list[SealedSample] = []
        for prefix in PREFIXES:
            kinds: Counter[str] = Counter()
            for entry in self.store.entries(f"{prefix}/{TENANT}/"):
                place = _place_of(entry.key)
                if place is None or mark not in entry.key:
                    continue
                identity, day = place
                kinds[identity.role] += 1
                if kinds[identity.role] <= MUTATED_OBJECTS:
                    key = self.keys.get(TENANT, identity.call_id, day, PURPOSE_OF[identity.role])
                    samples.append(SealedSample(key, identity, self.store.read(entry.key)))
        return samples

    @staticmethod
    def _timed(proof: CustodyProof, what: str) -> "_Timed":
        return _Timed(proof.took_s, what)


@dataclass
class _Timed:
    """Notes how long a step took, in seconds."""

    took_s: dict[str, float]
    what: str
    _started_s: float = 0.0

    def __enter__(self) -> None:
        self._started_s = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self.took_s[self.what] = time.monotonic() - self._started_s


def _made(calls: ProofCalls, number: int, recordings: int) -> ProofCall:
    """The first ones are recordings. A customer has one of them, and one call that is told."""
    with_recording = number < recordings
    customer = number if with_recording else number - recordings
    return calls.make(number, with_recording=with_recording, customer=customer)


def _noting(calls: Iterable[ProofCall], secrets: dict[str, set[bytes]]) -> Iterator[ProofCall]:
    """The calls as they come, their secrets kept for the search."""
    for call in calls:
        for secret in call.secrets:
            secrets.setdefault(secret.what, set()).add(secret.content)
        yield call


PREFIXES = ("recordings", "renditions", "transcripts")
_KEY = re.compile(
    r"(?P<prefix>[a-z]+)/[^/]+/(?P<day>\d{4}/\d{2}/\d{2})/(?P<call>[^/.]+)\.(?P<version>[^/.]+)(\.(?P<what>[^/]+))?"
)
_RENDITIONS: Mapping[str, ObjectRole] = {"peaks": "peaks", "seek": "seek_index"}


def _place_of(key: str) -> tuple[SealedIdentity, date] | None:
    """What an object of the proof is by its key, and of which day; None for one that is called otherwise."""
    found = _KEY.fullmatch(key)
    if found is None:
        return None
    role: ObjectRole = "transcript"
    if found["prefix"] == "recordings":
        role = "recording"
    elif found["prefix"] == "renditions":
        role = _RENDITIONS.get(found["what"] or "", "converted")
    identity = SealedIdentity(TENANT, found["call"], role, found["version"])
    return identity, date.fromisoformat(found["day"].replace("/", "-"))
