"""Data keys in memory, and stores of transcripts that use them."""

import os
from datetime import date
from hashlib import sha256

from processors.custody.ports import DataKeys, KeyGoneError, Purpose
from streams.adapters.object_store.received import ReceivedStore
from streams.adapters.object_store.sealed_store import SealedStore
from streams.adapters.object_store.transcripts import TranscriptStore
from streams.ports import ObjectStore

_Key = tuple[str, str, date, Purpose]


class MemoryKeys:
    """The port `DataKeys` without a register."""

    def __init__(self) -> None:
        self.keys: dict[_Key, bytes] = {}

    def make(self, tenant_id: str, call_id: str, day: date, purpose: Purpose) -> bytes:
        return self.keys.setdefault((tenant_id, call_id, day, purpose), os.urandom(32))

    def get(self, tenant_id: str, call_id: str, day: date, purpose: Purpose) -> bytes:
        try:
            return self.keys[tenant_id, call_id, day, purpose]
        except KeyError:
            raise KeyGoneError("there is no such key") from None

    def destroy(self, tenant_id: str, call_id: str, day: date) -> None:
        for key in [key for key in self.keys if key[:3] == (tenant_id, call_id, day)]:
            del self.keys[key]


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
