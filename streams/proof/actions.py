"""The proof of custody's actions: people at random listen, hold, release, purge and erase while time passes, and beside
it stands a book of its own, which says of each thing that happened whether it was right (`callstream custody prove`).

Register, sealed objects and the parts that decide are those of a stack; rows of ClickHouse are told by the call. The
book knows nothing of them: it counts grants, cases and days for itself, and whether a call is destroyed it asks the
disk. In the middle of a purge others act as well, and now and then its process ends there.
"""

import random
import shutil
import struct
import tempfile
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import SecretStr

from processors.custody.authorization import Action, Actor, Grant, Target, authorize
from processors.custody.holds import CustomerScope, HoldRefusedError, HoldScope
from processors.custody.listed_call import ListedCall
from processors.custody.ports import PURPOSES, SealedIdentity
from processors.custody.purge import PurgeOrder
from processors.custody.receipts import signed_receipt
from processors.custody.retention import Keep, terms_of
from processors.custody.sealed import SUITE
from processors.listening.virtual_wav import SoundFrames
from schemas.config.retention import RetentionClass, RetentionWhen
from schemas.messages.call_ended import Agent, Audio, AudioEncryption, CallEnded, Customer
from schemas.messages.pii import PiiSpan
from schemas.messages.transcript import AudioFacts, EngineIdentity, Segment, Transcript
from streams.adapters.key_wrappers.environment import EnvironmentSettings
from streams.adapters.object_store.folder import FolderStore
from streams.adapters.object_store.playable import PlayableRecordings
from streams.adapters.object_store.purging import CallObjects
from streams.adapters.object_store.recordings import key_id_of, recording_key
from streams.adapters.object_store.renditions import RenditionStore
from streams.adapters.object_store.sealed_store import SealedStore
from streams.adapters.object_store.transcripts import TranscriptStore
from streams.adapters.register.erasures import RegisterErasures
from streams.adapters.register.holds import RegisterCases, RegisterHolds
from streams.adapters.register.intakes import RegisterIntakes
from streams.adapters.register.keys import RegisterKeys
from streams.adapters.register.migrate import migrate_register
from streams.adapters.register.register import Register, sqlite_url
from streams.adapters.register.retentions import KeepDecision, RegisterRetentions
from streams.adapters.register.tombstones import (
    FloorsWithin,
    HoldsWithin,
    RegisterPurges,
    RegisterTombstones,
)
from streams.adapters.register.wrapping_keys import ensure_current
from streams.listening import Listening, ListeningRequest, NotPlayedError
from streams.proof.exports import CountedEntries, MovedClock
from streams.stages.erase import Eraser
from streams.stages.holding import Asking, Holding, NotAllowedToHoldError
from streams.stages.purge import Purger

TENANTS = ("acme", "bank")
TEAMS = ("north", "south")
AGENTS = ("a1", "a2")
CUSTOMERS = ("1" * 64, "2" * 64)
CALLS_OF_A_TENANT = 3
PEOPLE = 5
BEGAN = datetime(2001, 3, 1, 9, tzinfo=UTC)
"""Long ago: a sequence may last for years, and no call may end in the future."""
HOUSES = 40
"""Beginnings of sequences: which calls there are, made once. Each sequence has a copy of one."""
FASTEST = Path("/dev/shm")  # noqa: S108 - a folder of our own below it
"""Where the disk is memory: the proof waits for the disk more than for anything else."""

_CLASSES = (
    RetentionClass(id="general", name="general", days=180),
    RetentionClass(id="longer", name="longer", days=400),
    RetentionClass(id="finance", name="finance", days=730, when=RetentionWhen(industries=("finance",))),
)
_DAYS: Mapping[str, tuple[int, int]] = {"general": (180, 180), "longer": (400, 180), "finance": (730, 365)}
"""Class → days that it is kept, and days that the law demands, as the book has them."""
_GRANTABLE: tuple[Action, ...] = ("listen", "listen_unmasked", "see_text", "hold", "release", "delete")
_RATE_HZ = 8_000
_SECRET_MS = (800, 1_000)
"""When a number is said in every recording."""
_KEY = Ed25519PrivateKey.generate()
_ENGINE = EngineIdentity(name="written", version="1", model="none")


class KilledError(BaseException):
    """Here the process ends."""


class NothingToDoError(Exception):
    """Whoever asked may not."""


@dataclass
class ActionsProof:
    """What happened. `holds` says whether all of it was right, and whether enough was done to say so."""

    sequences: int = 0
    actions: Counter[str] = field(default_factory=Counter)
    done: Counter[str] = field(default_factory=Counter)
    destroyed: int = 0
    stopped: int = 0
    """Calls that were to go, and were held."""
    killed: int = 0
    across_tenants: int = 0
    not_allowed: int = 0
    after_destruction: int = 0
    unmuted: int = 0
    under_hold: int = 0
    too_early: int = 0
    not_destroyed: int = 0
    otherwise_held: int = 0

    @property
    def plays(self) -> int:
        return self.done["play"]

    @property
    def wrong(self) -> int:
        """Plays, deletions and holds that must not have been, and deletions that were not done."""
        return self.across_tenants + self.under_hold + self.otherwise_wrong

    @property
    def otherwise_wrong(self) -> int:
        """Plays without a grant, unmuted, or of what was destroyed; deletions before their time, or not done; holds
        of other calls than were named."""
        return (
            self.not_allowed
            + self.after_destruction
            + self.unmuted
            + self.too_early
            + self.not_destroyed
            + self.otherwise_held
        )

    @property
    def holds(self) -> bool:
        return self.wrong == 0 and min(self.plays, self.destroyed, self.stopped, self.done["release"]) > 0


@dataclass
class BookedCall:
    """What the book has of a call."""

    tenant_id: str
    call_id: str
    agent_id: str
    team: str
    customer: str
    ended_at: datetime
    sound: int
    """Every sample of its recording, but for the number that is said."""
    object_key: str
    keep_until: date
    floor_until: date
    blocked: bool = False
    doomed: bool = False
    """Its tombstone is written: whatever comes, it goes."""
    left_behind: bool = False
    """Somebody was killed while destroying it: it goes in a later round."""
    gone: bool = False

    @property
    def key(self) -> tuple[str, str]:
        return self.tenant_id, self.call_id


@dataclass
class BookedCase:
    """What the book has of a case. A customer's calls within a time."""

    calls: set[str] = field(default_factory=set)
    customers: list[tuple[str, datetime | None]] = field(default_factory=list)
    is_open: bool = True


@dataclass
class MadeTables:
    """`Tables` and `CustomerCalls`: the calls of which there are rows, and whose they are."""

    clock: MovedClock
    rows: dict[tuple[str, str], tuple[str, datetime]] = field(default_factory=dict)

    def now(self) -> datetime:
        return self.clock.now()

    def days_of(self, tenant_id: str, calls: Collection[str]) -> Mapping[str, set[date]]:
        found = {call_id: self.rows.get((tenant_id, call_id)) for call_id in calls}
        return {call_id: {row[1].date()} for call_id, row in found.items() if row is not None}

    def listed(self, tenant_id: str, calls: Collection[str]) -> Mapping[str, ListedCall]:  # noqa: ARG002
        return {}  # no exchange sends a list here

    def calls_of_customer(self, tenant_id: str, customer_keys: Collection[str]) -> dict[str, datetime]:
        mine = ((owner, call_id, row) for (owner, call_id), row in self.rows.items())
        return {call_id: row[1] for owner, call_id, row in mine if owner == tenant_id and row[0] in customer_keys}

    def forget_customer(self, tenant_id: str, customer_keys: Collection[str]) -> None: ...  # nobody sends facts here

    def tell(self, tenant_id: str, calls: Collection[str], state: str, **_why: object) -> None: ...

    def destroy(self, tenant_id: str, calls: Sequence[str], at: datetime, **_: object) -> Mapping[str, int]:  # noqa: ARG002
        return {"call_versions": sum(self.rows.pop((tenant_id, each), None) is not None for each in calls)}

    def left(self, tenant_id: str, calls: Sequence[str], **_: object) -> Mapping[str, int]:
        return {"call_versions": sum((tenant_id, each) in self.rows for each in calls)}

    def wait_for_old_parts(self) -> None: ...


def _no_decoding(parts: Sequence[bytes], at_ms: int, first: int, count: int, channels: int) -> SoundFrames:  # noqa: ARG001
    raise AssertionError("recordings of the proof are plain")


class House:
    """Register, objects, and what works on them, in a folder."""

    def __init__(self, folder: Path, clock: MovedClock, register: Register | None = None) -> None:
        """`register` is one that was closed, of the file in this folder: it knows its statements by now."""
        self.folder = folder
        self.clock = clock
        self.entries = CountedEntries()
        self.register = register or Register(sqlite_url(folder / "register.db"))
        self.store = FolderStore(folder / "objects", "callstream")
        keys = {f"{purpose}_keys": SecretStr("1:" + "A" * 43 + "=") for purpose in PURPOSES}
        self.wrapper = EnvironmentSettings(**keys).open(folder, PURPOSES)
        self.sealed = SealedStore(self.store, RegisterKeys(self.register, self.wrapper, clock))
        self.transcripts = TranscriptStore(self.store, self.sealed)
        self.retentions = RegisterRetentions(self.register, clock)
        self.tables = MadeTables(clock)
        self.purges = RegisterPurges(self.register, clock, self.holds(), self.floors(), self.entries)
        self.erasures = RegisterErasures(self.register, clock, self.entries)
        gone = RegisterTombstones(self.register, clock)
        self.holding = Holding(
            RegisterCases(self.register, clock, self.entries, gone.gone), self.retentions, self.entries, clock
        )
        self.listening = Listening(
            PlayableRecordings(self.store, self.sealed, RenditionStore(self.store, self.sealed), _no_decoding),
            self.transcripts,
            RegisterIntakes(self.register, clock),
            self.tombstones(),
            self.entries,
            clock,
        )

    def holds(self) -> HoldsWithin:
        """What a purge asks for holds."""
        return RegisterHolds(self.register, self.clock)

    def floors(self) -> FloorsWithin:
        """What a purge asks for retentions."""
        return self.retentions

    def tombstones(self) -> Any:
        """What listening asks for tombstones."""
        return RegisterTombstones(self.register, self.clock)

    def prepare(self) -> None:
        """Tables, keys and bucket."""
        migrate_register(self.register)
        for purpose in PURPOSES:
            ensure_current(self.register, self.wrapper, purpose, self.clock.now())
        self.store.apply()

    def take_in(self, call: BookedCall, retention_class: str) -> None:
        """As `take_in`, `listen`, `store` and `keep` do."""
        data = _wav(call.sound)
        version = sha256(f"{call.key}".encode()).hexdigest()[:16]
        day = call.ended_at.date()
        self.sealed.put(call.object_key, SealedIdentity(*call.key, "recording", version), day, data)
        event = CallEnded(
            tenant_id=call.tenant_id,
            call_id=call.call_id,
            direction="inbound",
            started_at=call.ended_at - timedelta(minutes=1),
            ended_at=call.ended_at,
            agent=Agent(id=call.agent_id, team=call.team),
            customer=Customer(key=call.customer),
            audio=Audio(
                uri=self.store.uri_of(call.object_key),
                sha256=sha256(data).hexdigest(),
                bytes=len(data),
                encryption=AudioEncryption(
                    algorithm=SUITE,
                    key_id=key_id_of(call.tenant_id, call.ended_at),
                    parameters={"version": version},
                ),
            ),
        )
        start_ms, end_ms = _SECRET_MS
        segment = Segment(
            segment_id=0,
            channel=0,
            role="customer",
            start_ms=start_ms,
            end_ms=end_ms,
            text=f"{call.tenant_id} [手机号]",
            confidence=1,
        )
        span = PiiSpan(
            kind="mobile",
            segment_id=0,
            role="customer",
            start_ms=start_ms,
            end_ms=end_ms,
            start_char=5,
            end_char=10,
            confidence=1,
            placeholder="[手机号]",
        )
        frames = (len(data) - 44) // 2
        self.transcripts.save(
            Transcript(
                tenant_id=call.tenant_id,
                call_id=call.call_id,
                call=event,
                engine=_ENGINE,
                audio=AudioFacts(
                    container="wav",
                    codec="pcm_s16le",
                    sample_rate_hz=_RATE_HZ,
                    channels=1,
                    duration_ms=frames * 1000 // _RATE_HZ,
                ),
                segments=(segment,),
                pii=(span,),
                transcribed_at=call.ended_at,
            )
        )
        self.decide(call, retention_class)
        self.tables.rows[call.key] = (call.customer, call.ended_at)

    def decide(self, call: BookedCall, retention_class: str) -> None:
        """As `keep` does."""
        classes = [each for each in _CLASSES if each.id == retention_class]
        command = Keep(*terms_of(classes, 1, call.ended_at, "judged"))
        self.retentions.decide([KeepDecision(*call.key, call.ended_at, command, call.customer)])

    def has(self, call: BookedCall) -> bool:
        """Whether its recording lies there."""
        return (self.folder / "objects" / "callstream" / call.object_key).exists()

    def close(self) -> None:
        self.register.close()


def _wav(sample: int) -> bytes:
    """A second and a half, of which a fifth is the number."""
    samples = np.full(_RATE_HZ * 3 // 2, sample, dtype="<i2")
    start, end = (each * _RATE_HZ // 1000 for each in _SECRET_MS)
    samples[start:end] = -sample
    data = samples.tobytes()
    head = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, _RATE_HZ, 2 * _RATE_HZ, 2, 16)
    return (
        struct.pack("<4sI4s", b"RIFF", 36 + len(data), b"WAVE") + head + struct.pack("<4sI", b"data", len(data)) + data
    )


def _booked(chance: random.Random, tenant_id: str, number: int, ended_at: datetime) -> tuple[BookedCall, str]:
    """A call of somebody, and its class. The ids are the same in both tenants: an id alone must lead nowhere."""
    call_id, name = f"c{number}", chance.choice(list(_DAYS))
    days, floor = _DAYS[name]
    version = sha256(f"{(tenant_id, call_id)}".encode()).hexdigest()[:16]
    call = BookedCall(
        tenant_id,
        call_id,
        chance.choice(AGENTS),
        chance.choice(TEAMS),
        chance.choice(CUSTOMERS),
        ended_at,
        100 + 100 * TENANTS.index(tenant_id) + number,
        recording_key(tenant_id, call_id, ended_at, version, "wav"),
        ended_at.date() + timedelta(days=days + 1),
        ended_at.date() + timedelta(days=floor + 1),
    )
    return call, name


@dataclass(frozen=True)
class Beginnings:
    """Folders with calls in them, made once; each sequence begins with a copy of one."""

    folder: Path

    @classmethod
    def made(cls, folder: Path, count: int, seed: int, house: type[House]) -> "Beginnings":
        """So many, below that folder."""
        for number in range(count):
            chance = random.Random(seed * 7_919 + number)  # noqa: S311 - a proof that can be repeated
            begun = house(folder / str(number), MovedClock(BEGAN))
            begun.prepare()
            for call, name in cls.calls(chance):
                begun.take_in(call, name)
            begun.close()
        return cls(folder)

    @staticmethod
    def calls(chance: random.Random) -> list[tuple[BookedCall, str]]:
        """Those of a beginning, some of them years old."""
        ages = (timedelta(hours=1), timedelta(days=179), timedelta(days=365), timedelta(days=900))
        numbers = [(tenant_id, number) for tenant_id in TENANTS for number in range(CALLS_OF_A_TENANT)]
        return [_booked(chance, tenant_id, number, BEGAN - chance.choice(ages)) for tenant_id, number in numbers]

    def copy(self, number: int, target: Path) -> None:
        """The register as a file of its own; objects, which nobody writes into, as links."""
        source = self.folder / str(number)
        target.mkdir()
        shutil.copy(source / "register.db", target / "register.db")
        shutil.copytree(
            source / "objects", target / "objects", copy_function=lambda here, there: Path(there).hardlink_to(here)
        )


class ActionWorld:
    """One sequence: who there is, what they may, and the book. `do` does one action at random."""

    ACTIONS = (
        *("play",) * 10,
        *("read",) * 3,
        *("hold", "hold", "hold", "hold_customer", "hold_customer", "extend", "extend", "release", "release"),
        *("purge", "purge", "keep", "erase", "go_on"),
        *("wait", "wait", "wait", "take", "judge_again", "change_rights"),
    )
    MEANWHILE = ("play", "read", "hold", "hold_customer", "release")
    """What others do in the middle of a purge."""

    def __init__(self, chance: random.Random, proof: ActionsProof, house: House, calls: Sequence[BookedCall]) -> None:
        self._chance = chance
        self._proof = proof
        self._house = house
        self._clock = house.clock
        self._calls = list(calls)
        self._cases: dict[tuple[str, str], BookedCase] = {}
        self._asked: dict[tuple[str, str], datetime] = {}
        """Customers who are being erased, and since when."""
        self._people = [f"p{number}" for number in range(PEOPLE)]
        self._grants = {person: self._new_grants() for person in self._people}
        self._wanted: Sequence[BookedCall] = ()
        self._order = ""
        """What is being destroyed now, and why."""
        self._interrupted_at: str | None = None
        self._ends_at: str | None = None
        for call in calls:
            house.tables.rows[call.key] = (call.customer, call.ended_at)
        self._purger = Purger(
            house.purges,
            CallObjects(house.store),
            house.tables,
            [],
            lambda body: signed_receipt(body, _KEY),
            house.clock,
            kafka_masked_days=7,
            reached=self._reached,
        )
        self._eraser = Eraser(
            house.erasures, self._purger, house.tables, lambda _keys, _calls: 0, self._purger.sign, house.clock
        )

    def do(self, name: str | None = None) -> None:
        """One action, of somebody, at random."""
        name = name or self._chance.choice(self.ACTIONS)
        self._proof.actions[name] += 1
        try:
            getattr(self, name)()
        except (NotPlayedError, NotAllowedToHoldError, HoldRefusedError, NothingToDoError):
            return
        except KilledError:
            self._proof.killed += 1
            for call in self._wanted:
                call.left_behind |= call.doomed
            return
        finally:
            self._order = ""
            self._look()
        self._proof.done[name] += 1

    def end(self) -> None:
        """What was begun must be carried out by the next round, whoever was killed at it."""
        if any(call.doomed and not call.gone for call in self._calls):
            self._clock.moment += timedelta(hours=1)
            self.go_on()
            self._look()
            self._proof.not_destroyed += sum(call.doomed and not call.gone for call in self._calls)

    # --- what people hear and read ---

    def play(self) -> None:
        actor, call = self._somebody(), self._some_call()
        unmasked = self._chance.random() < 0.4
        request = ListeningRequest(actor, call.tenant_id, call.call_id, "complaint", unmasked=unmasked)
        samples = np.frombuffer(self._house.listening.play(request).wav.read(44, 10**7), dtype="<i2")
        actions: tuple[Action, ...] = ("listen", "listen_unmasked") if unmasked else ("listen",)
        self._judge_shown(actor, call, actions, int(samples[0]) == call.sound)
        start, end = (each * _RATE_HZ // 1000 for each in _SECRET_MS)
        said = bool((samples[start:end] == -call.sound).any())
        self._proof.unmuted += said and not unmasked

    def read(self) -> None:
        actor, call = self._somebody(), self._some_call()
        request = ListeningRequest(actor, call.tenant_id, call.call_id, "complaint")
        text = self._house.listening.transcript(request).segments[0].text
        self._judge_shown(actor, call, ("see_text",), text.startswith(call.tenant_id))

    def _judge_shown(self, actor: Actor, call: BookedCall, actions: Sequence[Action], is_its_own: bool) -> None:
        theirs = any(grant.tenant_id in (call.tenant_id, "*") for grant in actor.grants)
        self._proof.across_tenants += not theirs or not is_its_own
        self._proof.not_allowed += theirs and not all(self._may(actor, each, call) for each in actions)
        self._proof.after_destruction += call.doomed or call.blocked

    @staticmethod
    def _may(actor: Actor, action: Action, call: BookedCall) -> bool:
        return any(
            grant.tenant_id in (call.tenant_id, "*")
            and action in grant.actions
            and (grant.teams is None or call.team in grant.teams)
            and grant.agent_id in (None, call.agent_id)
            for grant in actor.grants
        )

    # --- what people hold and release ---

    def hold(self) -> None:
        tenant_id, calls = self._named()
        self._tell_case(tenant_id, self._free_case(), HoldScope(frozenset(calls)), extends=False)

    def hold_customer(self) -> None:
        tenant_id = self._chance.choice(TENANTS)
        self._tell_case(tenant_id, self._free_case(), self._scope_of_customer(), extends=False)

    def extend(self) -> None:
        tenant_id, case_id = self._some_case()
        calls = self._named(tenant_id)[1]
        scope = HoldScope(frozenset(calls)) if self._chance.random() < 0.6 else self._scope_of_customer()
        self._tell_case(tenant_id, case_id, scope, extends=True)

    def _tell_case(self, tenant_id: str, case_id: str, scope: HoldScope, *, extends: bool) -> None:
        actor = self._somebody()
        asking, holding = Asking(actor, "proof"), self._house.holding
        if extends:
            outcome = holding.extend(asking, tenant_id, case_id, scope)
        else:
            outcome = holding.open(asking, tenant_id, case_id, scope, "lawsuit")
        self._proof.not_allowed += not self._may_all(actor, "hold", tenant_id)
        mine = [call for call in self._calls if call.tenant_id == tenant_id]
        named = {call.call_id for call in mine if call.call_id in scope.calls and not call.doomed}
        gone = {call.call_id for call in mine if call.call_id in scope.calls and call.doomed}
        self._proof.otherwise_held += not gone <= set(outcome.gone) or not named.isdisjoint(outcome.gone)
        case = self._cases.setdefault((tenant_id, case_id), BookedCase())
        self._proof.otherwise_held += not case.is_open
        case.calls |= named
        case.customers += [(key, each.since) for each in scope.customers for key in each.keys]

    def release(self) -> None:
        actor, (tenant_id, case_id) = self._somebody(), self._some_case()
        self._house.holding.release(Asking(actor, "proof"), tenant_id, case_id, "settled")
        self._proof.not_allowed += not self._may_all(actor, "release", tenant_id)
        self._cases[tenant_id, case_id].is_open = False

    def _scope_of_customer(self) -> HoldScope:
        since = self._chance.choice((None, BEGAN - timedelta(days=200)))
        return HoldScope(customers=(CustomerScope(frozenset({self._chance.choice(CUSTOMERS)}), since),))

    def _named(self, tenant_id: str | None = None, *, rather_held: bool = False) -> tuple[str, list[str]]:
        """One or two calls of a tenant; every other time such as are held, where there are any."""
        tenant_id = tenant_id or self._chance.choice(TENANTS)
        ids = [call.call_id for call in self._of(tenant_id)]
        if rather_held and self._chance.random() < 0.5:
            ids = [call.call_id for call in self._of(tenant_id) if self._is_held(call)] or ids
        return tenant_id, self._chance.sample(ids, min(len(ids), self._chance.randint(1, 2)))

    def _free_case(self) -> str:
        """Mostly one of its own; sometimes one that is open, or over."""
        return f"K{self._chance.randint(0, 9 if self._chance.random() < 0.8 else 1)}"

    def _some_case(self) -> tuple[str, str]:
        """Mostly one that is open."""
        known = list(self._cases)
        if self._chance.random() < 0.8:
            known = [key for key, case in self._cases.items() if case.is_open] or known
        if not known:
            raise NothingToDoError
        return self._chance.choice(known)

    def _is_held(self, call: BookedCall) -> bool:
        for (tenant_id, _), case in self._cases.items():
            if tenant_id != call.tenant_id or not case.is_open:
                continue
            if call.call_id in case.calls:
                return True
            for customer, since in case.customers:
                if customer == call.customer and (since is None or call.ended_at >= since):
                    return True
        return False

    # --- what is destroyed ---

    def purge(self) -> None:
        """As `callstream purge` does."""
        actor, (tenant_id, calls) = self._somebody(), self._named(rather_held=True)
        self._require_delete(actor, tenant_id)
        order = PurgeOrder(tenant_id, "request", actor.actor_id, role="some_role")
        self._destroying("person", [call for call in self._of(tenant_id) if call.call_id in calls])
        self._purger.purge(order, calls)
        self._carried_out()

    def keep(self) -> None:
        """As the worker does, of every call there is: what is not due must not go, although it is asked for."""
        tenant_id = self._chance.choice(TENANTS)
        calls = self._of(tenant_id)
        self._destroying("keep", calls)
        days = {call.call_id: (call.ended_at.date(),) for call in calls}
        self._purger.due(tenant_id, days, reason="retention_over", policy_version="1")
        self._carried_out()

    def erase(self) -> None:
        """As `callstream erase` does."""
        actor, tenant_id = self._somebody(), self._chance.choice(TENANTS)
        self._require_delete(actor, tenant_id)
        customer = self._chance.choice(CUSTOMERS)
        asked_at = self._asked.setdefault((tenant_id, customer), self._clock.now())
        theirs = (call for call in self._of(tenant_id) if call.customer == customer)
        self._destroying("erase", [call for call in theirs if call.ended_at <= asked_at])
        erasure = self._eraser.erase(tenant_id, [customer], reason="request", actor=actor.actor_id)
        if erasure.done_at is not None:
            del self._asked[tenant_id, customer]
        self._carried_out()

    def go_on(self) -> None:
        """As a round of `keep` does."""
        self._wanted, self._order, self._interrupted_at, self._ends_at = (), "go_on", None, None
        self._purger.go_on()
        self._look()  # what goes from here on was blocked for longer, or was asked for by who was killed at it
        self._order = "erase"
        self._wanted = [
            call
            for call in self._calls
            if (asked_at := self._asked.get((call.tenant_id, call.customer))) and call.ended_at <= asked_at
        ]
        self._eraser.go_on()
        self._look()
        self._wanted = ()
        still_open = {(each.tenant_id, each.customer_keys[0]) for each in self._house.erasures.open()}
        self._asked = {key: at for key, at in self._asked.items() if key in still_open}

    def _require_delete(self, actor: Actor, tenant_id: str) -> None:
        if not authorize(actor, "delete", Target(tenant_id)).allowed:
            raise NothingToDoError
        self._proof.not_allowed += not self._may_all(actor, "delete", tenant_id)

    def _destroying(self, order: str, calls: Sequence[BookedCall]) -> None:
        """What is going to be ordered; whether somebody acts in its middle, and whether it is killed there."""
        self._wanted, self._order = calls, order
        steps = ("tombstones", "keys", "after keys", "objects", "after objects", "tables", "read_back", "receipt")
        self._interrupted_at = self._chance.choice(steps) if self._chance.random() < 0.5 else None
        self._ends_at = self._chance.choice(steps) if self._chance.random() < 0.15 else None

    def _reached(self, step: str) -> None:
        if step == self._interrupted_at:
            self._interrupted_at, order = None, self._order
            with self._refusals():
                getattr(self, self._chance.choice(self.MEANWHILE))()
            self._order = order
        if step == self._ends_at:
            raise KilledError
        if step == "tombstones":
            for call in self._wanted:
                self._foretell(call)

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        try:
            yield
        except (NotPlayedError, NotAllowedToHoldError, HoldRefusedError, NothingToDoError):
            return

    def _foretell(self, call: BookedCall) -> None:
        """What becomes of a call that is ordered to go, at the moment before its tombstone would be written."""
        held, today = self._is_held(call), self._clock.now().date()
        self._proof.stopped += held and not call.doomed and (self._order != "keep" or today >= call.keep_until)
        match self._order:
            case "person":
                call.doomed |= not held
            case "keep":
                call.doomed |= not held and today >= call.keep_until
            case "erase" if not call.blocked and not call.doomed:
                goes = not held and today >= call.floor_until
                call.doomed, call.blocked = goes, not goes

    def _carried_out(self) -> None:
        """Nobody was killed: what had to go has gone."""
        self._look()
        for call in self._wanted:
            self._proof.not_destroyed += call.doomed and not call.gone and not call.left_behind

    def _look(self) -> None:
        """What has gone from the disk, and whether it was to."""
        for call in self._calls:
            if call.gone or self._house.has(call):
                continue
            call.gone = True
            self._proof.destroyed += 1
            if call.doomed:
                continue
            held = self._is_held(call)
            self._proof.under_hold += held
            floor_is_over = self._clock.now().date() >= call.floor_until
            self._proof.too_early += not held and not (call.blocked and floor_is_over)
            call.doomed = True

    # --- what happens meanwhile ---

    def wait(self) -> None:
        steps = (timedelta(seconds=30), timedelta(minutes=20), timedelta(hours=3), timedelta(days=40))
        self._clock.moment += self._chance.choice((*steps, timedelta(days=190), timedelta(days=400)))

    def take(self) -> None:
        """Another call of somebody."""
        tenant_id = self._chance.choice(TENANTS)
        if len(self._of(tenant_id)) >= CALLS_OF_A_TENANT + 2:
            raise NothingToDoError
        call, name = _booked(self._chance, tenant_id, len(self._of(tenant_id)), self._clock.now())
        self._house.take_in(call, name)
        self._calls.append(call)

    def judge_again(self) -> None:
        """It is found to be of another class: what is kept longest counts."""
        call, name = self._some_call(), self._chance.choice(list(_DAYS))
        if call.doomed:
            raise NothingToDoError
        self._house.decide(call, name)
        days, floor = _DAYS[name]
        ended_on = call.ended_at.date()
        call.keep_until = max(call.keep_until, ended_on + timedelta(days=days + 1))
        call.floor_until = max(call.floor_until, ended_on + timedelta(days=floor + 1))

    def change_rights(self) -> None:
        self._grants[self._chance.choice(self._people)] = self._new_grants()

    # --- who ---

    def _of(self, tenant_id: str) -> list[BookedCall]:
        return [call for call in self._calls if call.tenant_id == tenant_id]

    def _some_call(self) -> BookedCall:
        return self._chance.choice(self._calls)

    def _somebody(self) -> Actor:
        person = self._chance.choice(self._people)
        return Actor(person, self._grants[person])

    @staticmethod
    def _may_all(actor: Actor, action: Action, tenant_id: str) -> bool:
        """Whether a grant is for the whole tenant."""
        return any(
            grant.tenant_id in (tenant_id, "*")
            and action in grant.actions
            and (grant.teams, grant.agent_id) == (None, None)
            for grant in actor.grants
        )

    def _new_grants(self) -> tuple[Grant, ...]:
        """Mostly of one tenant, sometimes of both or of none, now and then for a team or an agent alone."""
        grants = []
        for tenant_id in TENANTS:
            if self._chance.random() < 0.8:
                actions = frozenset(action for action in _GRANTABLE if self._chance.random() < 0.85)
                teams = frozenset({self._chance.choice(TEAMS)}) if self._chance.random() < 0.2 else None
                agent = self._chance.choice(AGENTS) if self._chance.random() < 0.1 else None
                grants.append(Grant("some_role", tenant_id, actions, teams, agent))
        return tuple(grants)


def prove_actions(
    sequences: int,
    seed: int,
    steps: int = 10,
    house: type[House] = House,
    houses: int = HOUSES,
) -> ActionsProof:
    """So many sequences of so many actions each; the same for the same seed. `house` is what they are tried on."""
    proof = ActionsProof()
    with tempfile.TemporaryDirectory(prefix="callstream-proof-", dir=FASTEST if FASTEST.is_dir() else None) as name:
        folder = Path(name)
        beginnings = Beginnings.made(folder / "beginnings", min(houses, sequences), seed, house)
        register = Register(sqlite_url(folder / "now" / "register.db"))
        for number in range(sequences):
            chance = random.Random(seed * 1_000_003 + number)  # noqa: S311 - a proof that can be repeated
            made = house(folder / "now", MovedClock(BEGAN), register)
            with begun_world(beginnings, number % houses, seed, made, chance, proof) as world:
                for _ in range(steps):
                    world.do()
                world.end()
            proof.sequences += 1
    return proof


@contextmanager
def begun_world(
    beginnings: Beginnings,
    number: int,
    seed: int,
    house: House,
    chance: random.Random,
    proof: ActionsProof,
) -> Iterator[ActionWorld]:
    """A copy of that beginning, in the folder of the house, which is gone afterwards."""
    beginnings.copy(number, house.folder)
    try:
        calls = [call for call, _ in Beginnings.calls(random.Random(seed * 7_919 + number))]  # noqa: S311
        yield ActionWorld(chance, proof, house, calls)
    finally:
        house.close()
        shutil.rmtree(house.folder)
