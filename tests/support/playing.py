"""Recordings that can be listened to: a real folder, register, keys in memory, and who asks is named by a word."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
from starlette.requests import Request

from processors.custody.audit_entry import AuditEntry
from processors.custody.authorization import Action, Actor, Grant
from processors.listening.audio import DecodeLimits, UnhearableError, decode
from processors.listening.renditions import render
from processors.listening.stretch import decode_stretch
from schemas.errors import RetryableError
from schemas.messages.call_ended import Agent, CallEnded, Role
from schemas.messages.interval import Interval
from schemas.messages.outcome import Outcome
from schemas.messages.pii import PiiSpan
from schemas.messages.transcript import EngineIdentity, Segment, Transcript, Word
from streams.adapters.object_store.archive import ArchivedResults
from streams.adapters.object_store.folder import FolderStore
from streams.adapters.object_store.playable import DecodesStretches, PlayableRecordings
from streams.adapters.object_store.renditions import RenditionStore
from streams.adapters.object_store.sealed_store import SealedStore
from streams.adapters.object_store.transcripts import TranscriptStore
from streams.adapters.register.intakes import RegisterIntakes
from streams.adapters.register.migrate import migrate_register
from streams.adapters.register.register import Register, sqlite_url
from streams.listening import Listening, ListeningRequest
from streams.play.application import build_app
from streams.play.ports import Played
from streams.ports import ObjectStore
from streams.serve.problems import RefusedError
from streams.serve.server import Server
from tests.processors.recordings import call_with
from tests.support.data_keys import MemoryDataKeys
from tests.support.sealing import Sealing
from tests.support.serving import HandClock, settings_in

LONGEST = DecodeLimits(4 * 60 * 60 * 1000)
TEAM = "gold"


def actor_of(name: str, *actions: Action, tenant_id: str = "acme", **narrowed: Any) -> Actor:
    """Somebody with one role of that name."""
    return Actor(name, (Grant(name, tenant_id, frozenset(actions), **narrowed),))


INSPECTOR = actor_of("inspector", "see_text", "listen", teams=frozenset({TEAM}))
CHIEF = actor_of("chief", "see_text", "listen", "listen_unmasked")
READER = actor_of("reader", "see_text")
STRANGER = actor_of("stranger", "see_text", "listen", "listen_unmasked", tenant_id="other")
ROLELESS = Actor("roleless", ())
ACTORS = {each.actor_id: each for each in (INSPECTOR, CHIEF, READER, STRANGER, ROLELESS)}


class MemoryAuditLog:
    """Entries in a list, for as long as the register answers."""

    def __init__(self) -> None:
        self.entries: list[AuditEntry] = []
        self.down = False

    def append(self, entry: AuditEntry) -> None:
        """See `AuditLog.append`."""
        if self.down:
            raise RetryableError("the register does not answer")
        self.entries.append(entry)


class MemoryTombstones:
    """Calls that were destroyed."""

    def __init__(self) -> None:
        self.of: set[tuple[str, str]] = set()

    def among(self, calls: Collection[tuple[str, str]]) -> frozenset[tuple[str, str]]:
        """See `Tombstones.among`."""
        return frozenset(self.of & set(calls))


class NamedActors:
    """Whoever says a name is who has it."""

    async def actor_of(self, request: Request) -> Actor:
        """See `streams.play.ports.Authenticates`."""
        actor = ACTORS.get(request.headers.get("authorization", "").removeprefix("Bearer "))
        if actor is None:
            raise RefusedError(HTTPStatus.UNAUTHORIZED, "unauthorized", "Nobody known asks.")
        return actor


@dataclass
class Plays:
    """A use case, and all behind it."""

    folder: Path
    store: ObjectStore
    keys: MemoryDataKeys
    sealed: SealedStore
    transcripts: TranscriptStore
    intakes: RegisterIntakes
    audit_log: MemoryAuditLog
    tombstones: MemoryTombstones
    clock: HandClock
    listening: Listening
    url: str = ""
    renditions: RenditionStore = field(init=False)

    def __post_init__(self) -> None:
        self.renditions = self.listening.recordings.renditions

    def put(self, data: bytes, call_id: str = "c1", transcript: bool = True, **fields: Any) -> CallEnded:
        """Seal a recording, and what `listen` makes of it: renditions, and a transcript with these fields."""
        call = call_with(data).model_copy(update={"call_id": call_id, "agent": Agent(id="A1", team=TEAM)})
        call = Sealing(self.store, self.sealed).put(call, data)
        if transcript:
            self.hear(call, data, **fields)
        return call

    def hear(self, call: CallEnded, data: bytes, outcome: Outcome | None = None, **fields: Any) -> Transcript:
        """As `listen` does, but what was said is given."""
        try:
            recording = decode(data, LONGEST)
            facts = recording.facts.model_copy(update={"truncated": recording.truncated})
            self.renditions.save(call, render(data, LONGEST), None)
        except UnhearableError:
            facts = None
        made = Transcript(
            tenant_id=call.tenant_id,
            call_id=call.call_id,
            call=call,
            outcome=outcome,
            outcome_reason=None if outcome is None else "because",
            audio=facts,
            engine=fields.pop("engine", EngineIdentity(name="a", version="1", model="m")),
            transcribed_at=call.ended_at,
            **fields,
        )
        self.transcripts.save(made)
        return made

    def request(self, actor: Actor = INSPECTOR, call_id: str = "c1", **fields: Any) -> ListeningRequest:
        """Somebody asks."""
        return ListeningRequest(actor, fields.pop("tenant_id", "acme"), call_id, **{"purpose": "sampling"} | fields)

    def client(self, name: str | None = "inspector", purpose: str | None = "sampling") -> httpx.Client:
        """Somebody asks over HTTP."""
        headers = {} if name is None else {"Authorization": f"Bearer {name}"}
        if purpose is not None:
            headers["X-Callstream-Purpose"] = purpose
        return httpx.Client(base_url=self.url, headers=headers, timeout=60, trust_env=False)


def said(
    text: str, start_ms: int, end_ms: int, *, segment_id: int = 0, role: Role = "customer", words: bool = True
) -> Segment:
    """A segment, each character of which is a word as long as the others."""
    each = (end_ms - start_ms) // max(1, len(text))
    timed = (
        Word(start_ms=start_ms + n * each, end_ms=start_ms + (n + 1) * each, text=letter, confidence=1)
        for n, letter in enumerate(text)
    )
    return Segment(
        segment_id=segment_id,
        channel=1 if role == "customer" else 0,
        role=role,
        start_ms=start_ms,
        end_ms=end_ms,
        text=text,
        words=tuple(timed) if words else (),
        confidence=1,
    )


def personal(segment: Segment, start_ms: int, end_ms: int) -> PiiSpan:
    """Something in a segment that was masked."""
    return PiiSpan(
        kind="mobile",
        segment_id=segment.segment_id,
        role=segment.role,
        start_ms=start_ms,
        end_ms=end_ms,
        start_char=0,
        end_char=5,
        confidence=1,
        placeholder="[手机号]",
    )


def spoken(*intervals: tuple[int, int]) -> dict[Role, tuple[Interval, ...]]:
    """Speech of the customer."""
    return {"customer": tuple(Interval(start_ms=start, end_ms=end) for start, end in intervals)}


@contextmanager
def plays(
    folder: Path, store: ObjectStore | None = None, *, decoder: DecodesStretches | None = None
) -> Iterator[Plays]:
    """The use case, decoding in this process unless there is a decoder."""
    clock = HandClock(datetime(2026, 5, 1, 8, tzinfo=UTC))
    register = Register(sqlite_url(folder / "register" / "register.db"))
    migrate_register(register)
    bucket = store or FolderStore(folder / "store", "calls")
    bucket.apply()
    keys = MemoryDataKeys()
    sealed = SealedStore(bucket, keys)
    transcripts, intakes = TranscriptStore(bucket, sealed), RegisterIntakes(register, clock)
    audit_log, tombstones = MemoryAuditLog(), MemoryTombstones()
    recordings = PlayableRecordings(bucket, sealed, RenditionStore(bucket, sealed), decoder or decode_stretch)
    results = ArchivedResults(sealed)
    listening = Listening(recordings, transcripts, intakes, tombstones, audit_log, clock, results)
    try:
        yield Plays(folder, bucket, keys, sealed, transcripts, intakes, audit_log, tombstones, clock, listening)
    finally:
        register.close()


@contextmanager
def played(
    folder: Path, store: ObjectStore | None = None, /, *, decoder: DecodesStretches | None = None, **values: object
) -> Iterator[Plays]:
    """The same behind a server at the loopback address."""
    with plays(folder, store, decoder=decoder) as all_of_it:
        settings = settings_in(folder, play_port=0, **values)
        app = build_app(Played(settings, NamedActors(), all_of_it.listening, {"the store": all_of_it.store.check}))
        server = Server(app, settings, datetime.now(UTC), name="play")
        server.start()
        all_of_it.url = server.url
        try:
            yield all_of_it
        finally:
            server.stop()
