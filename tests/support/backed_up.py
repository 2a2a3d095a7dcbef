"""An installation with calls in it, for tests of backups: register, ClickHouse and sealed objects agree."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import uuid4

from clickhouse_connect.driver.client import Client
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from processors.custody.ports import PURPOSES, SealedIdentity
from schemas.clickhouse.migrations import load_migrations
from streams.adapters.backup.target import BackupPlace, BackupTarget
from streams.adapters.clickhouse.connection import connect
from streams.adapters.clickhouse.migrate import migrate
from streams.adapters.object_store.folder import FolderStore
from streams.adapters.object_store.recordings import recording_key
from streams.adapters.object_store.sealed_store import SealedStore
from streams.adapters.object_store.transcripts import TranscriptStore
from streams.adapters.register.keys import RegisterKeys
from streams.adapters.register.register import Register
from streams.adapters.register.tables import api_keys, intakes
from streams.adapters.register.wrapping_keys import ensure_current
from streams.backup.restoring import ClickHouseTarget
from streams.backup.systems import ConfigurationFile, PublishedRecord, Sources, Systems
from streams.ports import ObjectStore, SystemClock
from tests.support.registers import MemoryWrapper
from tests.support.stored_calls import RICH, T0, Call, Store

SAID = "我的护照号码是E12345678"
VERSION = "0123456789abcdef"
SIGNING = Ed25519PrivateKey.generate()
SOURCES = Sources(
    rules=lambda: [PublishedRecord(b"acme/general", b'{"pack": 1}')],
    configuration=[ConfigurationFile("tenants_file", "tenants.yaml", b"tenants: []\n")],
)


@dataclass
class House:
    """The systems of an installation, and what puts calls into them."""

    systems: Systems
    wrapper: MemoryWrapper
    url: str
    client: Client

    @property
    def keys(self) -> RegisterKeys:
        return RegisterKeys(self.systems.register, self.wrapper, SystemClock())

    @property
    def sealed(self) -> SealedStore:
        return SealedStore(self.systems.store, self.keys)

    def take_in(self, call_id: str, *, tenant: str = "acme", said: str = SAID, sound: bytes = b"RIFF" * 5_000) -> Call:
        """A call with a recording, a transcript, rows and an intake that is still announced."""
        call = Call(
            call_id,
            (("customer", said),),
            tenant=tenant,
            ended_at=T0 + timedelta(minutes=len(call_id)),
            customer="c" * 64,
            order_id="O-77",
            topics=("refund",),
            rules=(("rules", "finance.notice", said),),
        )
        transcript = call.transcript()
        self.sealed.put(key_of(call), identity_of(call), day_of(call), sound)
        TranscriptStore(self.systems.store, self.sealed).save(transcript)
        Store(self.url, self.client).write(call)
        with self.systems.register.transaction() as tx:
            tx.insert_new(
                intakes,
                tenant_id=tenant,
                call_id=call_id,
                state="stored",
                attempt="a" * 16,
                object_key=key_of(call),
                lease_until=None,
                source="test",
                content="0" * 64,
                event=transcript.call.encode(),
                received_at=datetime.now(UTC),
                capture_ms=3,
            )
        return call

    def play(self, call: Call) -> bytes:
        return self.sealed.read(key_of(call), identity_of(call), day_of(call))

    def clickhouse(self) -> ClickHouseTarget:
        """Its tables are to be made by a restore."""

        def until(number: int) -> None:
            migrate(self.url, tuple(each for each in load_migrations() if each.number <= number), views={})

        return ClickHouseTarget(until, lambda: _ignored(migrate(self.url)), lambda: False)


def _ignored(_result: object) -> None:
    return None


def key_of(call: Call) -> str:
    return recording_key(call.tenant, call.call_id, call.ended_at, VERSION, "wav")


def identity_of(call: Call) -> SealedIdentity:
    return SealedIdentity(call.tenant, call.call_id, "recording", VERSION)


def day_of(call: Call) -> date:
    return call.ended_at.astimezone(UTC).date()


@contextmanager
def opened_house(
    register: Register, engine_url: str, folder: Path, *, empty: bool = False, wrapper: MemoryWrapper | None = None
) -> Iterator[House]:
    """With two tenants in it, or empty: then its tables are not made either."""
    url = engine_url
    store: ObjectStore = FolderStore(folder / "objects", "callstream")
    store.apply()
    house = House(
        Systems(register, lambda: connect(url), store, SystemClock(), "1.2.3"),
        wrapper or MemoryWrapper(),
        url,
        None,  # type: ignore[arg-type] # set below, where there is a database
    )
    if empty:
        yield house
        return
    migrate(url)
    house.client = connect(url)
    try:
        for purpose in PURPOSES:
            ensure_current(register, house.wrapper, purpose, SystemClock().now())
        for number in range(6):
            house.take_in(f"call-{number}")
        house.take_in("other.one", tenant="beta")
        Store(url, house.client).write(RICH)
        with register.transaction() as tx:
            tx.insert_new(
                api_keys,
                key_id="k1",
                tenant_id="acme",
                label="exchange",
                scopes="recordings:write",
                digest="d" * 64,
                issued_at=datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
                expires_at=None,
                revoked_at=None,
                replaced_by=None,
                used_at=None,
            )
        yield house
    finally:
        house.client.close()


class Killed(BaseException):
    """As if the process had ended there."""


class DyingStore(FolderStore):
    """A folder that is written to so many times."""

    def __init__(self, root: Path, bucket: str, writes: int) -> None:
        super().__init__(root, bucket)
        self._writes = writes

    def put(self, key: str, data: bytes, *, content_type: str = "application/octet-stream") -> None:
        if self._writes == 0:
            raise Killed
        self._writes -= 1
        super().put(key, data, content_type=content_type)


def target_in(
    folder: Path, *, writes: int | None = None, sealing_key: bytes | None = None, keys_sealing_key: bytes | None = None
) -> BackupTarget:
    """In a folder, signed with the key of these tests. With `writes` it is killed behind so many."""
    store = FolderStore(folder, "backup") if writes is None else DyingStore(folder, "backup", writes)
    return BackupTarget(
        BackupPlace(store), private_key=SIGNING, sealing_key=sealing_key, keys_sealing_key=keys_sealing_key
    )


def new_database() -> str:
    return f"test_{uuid4().hex}"
