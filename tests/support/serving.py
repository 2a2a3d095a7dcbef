"""A real server on the loopback address over a real folder, register and use case; Kafka is the broker in memory."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from processors.custody.api_keys import ApiScope
from processors.custody.customer_keys import CustomerKeys
from processors.listening.audio import UnhearableError
from schemas.config.claim_grants import NO_CLAIM_GRANTS, ClaimGrants
from schemas.errors import RetryableError
from schemas.messages.call_ended import CallEnded
from schemas.messages.records import ProducerRecord
from schemas.messages.topics import CALLS_ENDED, TRANSCRIPTS_RECEIVED
from schemas.messages.transcript import AudioFacts
from streams.adapters.memory.broker import MemoryBroker
from streams.adapters.object_store.folder import FolderStore
from streams.adapters.object_store.received import ReceivedStore
from streams.adapters.object_store.sealed_store import SealedStore
from streams.adapters.register.api_keys import RegisterApiKeys
from streams.adapters.register.audit_log import RegisterAuditLog
from streams.adapters.register.intakes import RegisterIntakes
from streams.adapters.register.migrate import migrate_register
from streams.adapters.register.register import Register, sqlite_url
from streams.ports import ObjectStore
from streams.serve.application import build_app
from streams.serve.audit import ServedAudit
from streams.serve.people import Provider
from streams.serve.ports import Served, ServedExports
from streams.serve.server import Server
from streams.settings import Settings, load_settings
from streams.stages.take_in import TakeIn
from tests.support.data_keys import MemoryDataKeys
from tests.support.people import Town

NOW = datetime(2026, 5, 1, 8, tzinfo=UTC)
CUSTOMERS = CustomerKeys(1, {1: "of the test"})
ALL: tuple[ApiScope, ...] = ("recordings:write", "calls:read", "transcripts:write")


@dataclass
class HandClock:
    """Stands still until somebody moves it."""

    moment: datetime = NOW

    def now(self) -> datetime:
        return self.moment


class SwitchableBroker(MemoryBroker):
    """The broker in memory, which may be down."""

    down = False

    def publish(self, outputs: Iterable[ProducerRecord]) -> None:
        if self.down:
            raise RetryableError("Kafka did not take 1 of 1 message(s)")
        super().publish(outputs)


class KnownOutcomes:
    """What `store` has written, for as long as the database answers."""

    def __init__(self) -> None:
        self.of: dict[tuple[str, str], tuple[str, str]] = {}
        self.down = False

    def outcome(self, tenant_id: str, call_id: str) -> tuple[str, str] | None:
        if self.down:
            raise RetryableError("ClickHouse does not answer")
        return self.of.get((tenant_id, call_id))


def not_heard(_data: bytes) -> AudioFacts:
    """Uploads of tests are no sound."""
    raise UnhearableError("bad_audio", "not_audio")


@dataclass
class Serving:
    """A running server and all behind it."""

    url: str
    folder: Path
    register: Register
    api_keys: RegisterApiKeys
    intakes: RegisterIntakes
    broker: SwitchableBroker
    outcomes: KnownOutcomes
    clock: HandClock
    sealed: SealedStore
    received: ReceivedStore
    town: Town

    def key(self, tenant_id: str = "acme", scopes: tuple[ApiScope, ...] = ALL, days: int | None = 1) -> str:
        """A new API key."""
        ends = None if days is None else self.clock.now() + timedelta(days=days)
        return self.api_keys.issue(tenant_id, "test", scopes, ends, actor="test").text

    def client(self, key: str | None, **options: Any) -> httpx.Client:
        """A client that sends the key."""
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=60, trust_env=False, **options)

    def announced(self) -> list[CallEnded]:
        """What Kafka has, each call as often as it came."""
        records = [record for record in self.broker.records[CALLS_ENDED.name] if record.value is not None]
        return [CallEnded.decode(record.value) for record in records]

    def objects(self) -> list[Path]:
        """Every file of the store, whole or not."""
        return [path for path in (self.folder / "store").rglob("*") if path.is_file()]

    def recording(self, call: CallEnded) -> bytes:
        """What was uploaded, opened again."""
        from processors.custody.ports import SealedIdentity

        assert call.audio.encryption is not None
        identity = SealedIdentity(
            call.tenant_id, call.call_id, "recording", call.audio.encryption.parameters["version"]
        )
        key = call.audio.uri.split("/", 3)[3]
        return self.sealed.read(key, identity, call.ended_at.date())


def event(call_id: str = "c1", **fields: Any) -> dict[str, Any]:
    """What an upload says of its call."""
    return {
        "call_id": call_id,
        "direction": "inbound",
        "agent": {"id": "A1"},
        "started_at": "2026-04-30T10:00:00+08:00",
        "ended_at": "2026-04-30T10:05:00+08:00",
    } | fields


def settings_in(folder: Path, **values: object) -> Settings:
    """Settings of a server at any port of this machine."""
    environ = {f"CALLSTREAM_{name.upper()}": str(value) for name, value in values.items()}
    return load_settings({"CALLSTREAM_SERVE_PORT": "0", "CALLSTREAM_DATA_DIR": str(folder)} | environ).settings


@contextmanager
def serving(
    folder: Path,
    store: ObjectStore | None = None,
    /,
    *,
    provider: Provider | None = None,
    claim_grants: ClaimGrants = NO_CLAIM_GRANTS,
    exports: ServedExports | None = None,
    **values: object,
) -> Iterator[Serving]:
    """A server with these settings, listening; gone afterwards."""
    settings = settings_in(folder, **values)
    clock = HandClock()
    register = Register(sqlite_url(folder / "register" / "register.db"))
    migrate_register(register)
    bucket = store or FolderStore(folder / "store", "calls")
    bucket.apply()
    sealed = SealedStore(bucket, MemoryDataKeys())
    received = ReceivedStore(bucket, sealed)
    intakes, broker, outcomes = RegisterIntakes(register, clock), SwitchableBroker(), KnownOutcomes()
    api_keys = RegisterApiKeys(register, clock)
    town = Town(register, clock)

    def kafka() -> None:
        if broker.down:
            raise RetryableError("Kafka does not answer")

    app = build_app(
        Served(
            settings=settings,
            clock=clock,
            take_in=TakeIn(bucket, sealed, intakes, broker, clock, not_heard, settings.intake_max_bytes),
            hand_over=lambda message: broker.publish([TRANSCRIPTS_RECEIVED.record(received.put(message))]),
            api_keys=api_keys,
            intakes=intakes,
            outcomes=outcomes,
            audit=ServedAudit(RegisterAuditLog(register, clock), clock),
            customer_of=lambda tenant, number: CUSTOMERS.fields(tenant, number, keep_last_digits=False),
            people=town.served(provider, claim_grants=claim_grants),
            owners=town.owners,
            exports=exports,
            checks={"the store": bucket.check, "the register": register.check, "Kafka": kafka},
        )
    )
    server = Server(app, settings, datetime.now(UTC))
    server.start()
    try:
        yield Serving(server.url, folder, register, api_keys, intakes, broker, outcomes, clock, sealed, received, town)
    finally:
        server.stop()
        register.close()
