"""All that taking in needs, on a folder, a register and a broker in memory, and what it left there."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from processors.custody.intake import Intake
from processors.custody.ports import SealedIdentity
from processors.listening.audio import probe
from schemas.errors import RetryableError
from schemas.messages.call_ended import CallEnded
from schemas.messages.custody_changed import CustodyChanged
from schemas.messages.records import ProducerRecord
from schemas.messages.topics import CALLS_ENDED
from streams.adapters.memory.broker import MemoryBroker
from streams.adapters.object_store.folder import FolderStore
from streams.adapters.object_store.sealed_store import SealedStore
from streams.adapters.register.intakes import RegisterIntakes
from streams.adapters.register.outbox import Outbox
from streams.adapters.register.register import Register
from streams.ports import ObjectStore
from streams.stages.sweep import Sweep
from streams.stages.take_in import TakeIn, TakenIn
from tests.processors.recordings import tone, wav
from tests.support.sealing import keys_of

SOUND = wav([tone(440, 1_500, 8_000), tone(880, 1_500, 8_000)], 8_000)
OTHER = wav([tone(300, 1_500, 8_000)], 8_000)
ENDED_AT = datetime(2026, 3, 2, 2, 15, 51, tzinfo=UTC)
DAY = ENDED_AT.date()
FACTS: dict[str, Any] = {"tenant_id": "acme", "call_id": "c1", "ended_at": ENDED_AT.isoformat(), "queue": "refunds"}
AFTER = timedelta(seconds=60)
KEEP = timedelta(days=30)


class TickingClock:
    """Every question takes a millisecond; a test may let more time pass."""

    def __init__(self) -> None:
        self.time = datetime(2026, 3, 2, 3, tzinfo=UTC)

    def now(self) -> datetime:
        self.time += timedelta(milliseconds=1)
        return self.time

    def pass_(self, time: timedelta) -> None:
        self.time += time


class FailingBroker(MemoryBroker):
    """Does not answer while `away`."""

    away = False

    def publish(self, outputs: Iterable[ProducerRecord]) -> None:
        if self.away:
            raise RetryableError("Kafka did not take 1 of 1 message(s)")
        super().publish(outputs)


@dataclass
class House:
    """All that taking in needs, and what it left."""

    register: Register
    store: ObjectStore
    folder: Path
    clock: TickingClock
    take_in: TakeIn
    sweep: Sweep
    broker: FailingBroker
    sealed: SealedStore

    def take(
        self, facts: Mapping[str, Any] = FACTS, data: bytes | Iterable[bytes] = SOUND, extension: str = "wav"
    ) -> TakenIn:
        chunks = pieces(data) if isinstance(data, bytes) else data
        return self.take_in.take_in(facts, chunks, extension=extension, source="serve")

    @property
    def events(self) -> list[CallEnded]:
        return [CALLS_ENDED.read(record) for record in self.broker.records[CALLS_ENDED.name]]

    @property
    def objects(self) -> list[str]:
        return [entry.key for entry in self.store.entries("recordings/")]

    @property
    def files(self) -> list[Path]:
        return [path for path in self.folder.rglob("*") if path.is_file()]

    @property
    def told(self) -> list[CustodyChanged]:
        return [CustodyChanged.decode(event.record.value) for event in Outbox(self.register).waiting(1_000)]

    @property
    def intake(self) -> Intake:
        return self.take_in.intakes.intake("acme", "c1")

    def opened(self, call: CallEnded) -> bytes:
        assert call.audio.encryption is not None
        identity = SealedIdentity(
            call.tenant_id, call.call_id, "recording", call.audio.encryption.parameters["version"]
        )
        key = self.store.key_of(call.audio.uri)
        return self.sealed.read(key, identity, call.ended_at.date())


def pieces(data: bytes, size: int = 1_000) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def house_in(register: Register, folder: Path) -> House:
    """A house with an empty store in that folder."""
    clock = TickingClock()
    store = FolderStore(folder, "the-bucket")
    store.apply()
    sealed = SealedStore(store, keys_of(register, clock))
    broker = FailingBroker()
    intakes = RegisterIntakes(register, clock)
    take_in = TakeIn(store, sealed, intakes, broker, clock, probe, 1_000_000)
    return House(
        register, store, folder, clock, take_in, Sweep(store, intakes, broker, clock, AFTER, KEEP), broker, sealed
    )
