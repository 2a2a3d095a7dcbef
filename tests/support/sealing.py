"""Keys, and recordings that lie sealed although nobody took them in, for tests of what comes after."""

from dataclasses import dataclass
from datetime import UTC
from hashlib import sha256

from processors.custody.ports import PURPOSES, SealedIdentity
from processors.custody.sealed import SUITE
from schemas.messages.call_ended import AudioEncryption, CallEnded
from streams.adapters.object_store.from_settings import object_store_from
from streams.adapters.object_store.recordings import key_id_of, recording_key
from streams.adapters.object_store.sealed_store import SealedStore
from streams.adapters.register.keys import RegisterKeys
from streams.adapters.register.register import Register
from streams.adapters.register.wrapping_keys import ensure_current
from streams.ports import Clock, ObjectStore
from streams.settings import Settings
from streams.wiring import sealed_store_from
from tests.support.registers import MemoryWrapper


def keys_of(register: Register, clock: Clock) -> RegisterKeys:
    """Data keys that are wrapped in memory."""
    wrapper = MemoryWrapper()
    for purpose in PURPOSES:
        ensure_current(register, wrapper, purpose, clock.now())
    return RegisterKeys(register, wrapper, clock)


@dataclass(frozen=True)
class Sealing:
    """Seals recordings as taking in does, whatever their events say, and announces nothing."""

    store: ObjectStore
    sealed: SealedStore

    @classmethod
    def of(cls, settings: Settings) -> "Sealing":
        """With store and keys of these settings."""
        store = object_store_from(settings)
        return cls(store, sealed_store_from(settings, store, "audio"))

    def put(self, call: CallEnded, data: bytes, extension: str = "bin", version: str = "") -> CallEnded:
        """Store the recording; the event that points to it, with what it said of size, checksum and another seal."""
        version = version or sha256(data).hexdigest()[:16]
        key = recording_key(call.tenant_id, call.call_id, call.ended_at, version, extension)
        seal = AudioEncryption(
            algorithm=SUITE, key_id=key_id_of(call.tenant_id, call.ended_at), parameters={"version": version}
        )
        audio = call.audio.model_copy(update={"uri": self.store.uri_of(key), "encryption": seal})
        stored = call.model_copy(update={"audio": audio})
        self.replace(stored, data)
        if call.audio.encryption is None:
            return stored
        return call.model_copy(update={"audio": audio.model_copy(update={"encryption": call.audio.encryption})})

    def replace(self, call: CallEnded, data: bytes) -> None:
        """Have other bytes lie under its seal, as nobody without its key could."""
        assert call.audio.encryption is not None
        version = call.audio.encryption.parameters["version"]
        identity = SealedIdentity(call.tenant_id, call.call_id, "recording", version)
        self.sealed.put(self.store.key_of(call.audio.uri), identity, call.ended_at.astimezone(UTC).date(), data)
