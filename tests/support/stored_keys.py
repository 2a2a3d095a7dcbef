"""Stores of transcripts, and keys for several processes; keys in memory are in `tests.support.data_keys`."""

from datetime import date
from hashlib import sha256

from processors.custody.ports import DataKeys, Purpose
from streams.adapters.object_store.received import ReceivedStore
from streams.adapters.object_store.sealed_store import SealedStore
from streams.adapters.object_store.transcripts import TranscriptStore
from streams.ports import ObjectStore


class DerivedKeys:
    """Keys that every process comes to by itself."""

    def make(self, tenant_id: str, call_id: str, day: date, purpose: Purpose) -> bytes:
        return sha256(f"{tenant_id}/{call_id}/{day}/{purpose}".encode()).digest()

    get = make

    def destroy(self, tenant_id: str, call_id: str, day: date) -> None:
        raise NotImplementedError


def transcripts_in(store: ObjectStore, keys: DataKeys) -> TranscriptStore:
    """Masked transcripts."""
    return TranscriptStore(store, SealedStore(store, keys))


def originals_in(store: ObjectStore, keys: DataKeys) -> ReceivedStore:
    """Transcripts from outside that are not masked."""
    return ReceivedStore(store, SealedStore(store, keys))
