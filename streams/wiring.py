"""What the settings ask for, built: stores of sealed things, keys. What must be prepared before a stage runs."""

from processors.custody.ports import PURPOSES, Purpose
from schemas.errors import OperatorError
from streams.adapters.clickhouse.migrate import missing_migrations
from streams.adapters.kafka.client import missing_topics
from streams.adapters.key_wrappers.from_settings import key_wrapper_from
from streams.adapters.object_store.received import ReceivedStore
from streams.adapters.object_store.recordings import RecordingStore
from streams.adapters.object_store.renditions import RenditionStore
from streams.adapters.object_store.sealed_store import SealedStore
from streams.adapters.object_store.transcripts import TranscriptStore
from streams.adapters.register.keys import RegisterKeys
from streams.adapters.register.ports import EntryWithinOrBefore
from streams.adapters.register.register import Register
from streams.adapters.register.tombstones import RegisterTombstones
from streams.adapters.register.wrapping_keys import ensure_current
from streams.ports import Clock, ObjectStore, SystemClock
from streams.runtime.buried import BuriedCalls
from streams.settings import Settings


class NotPreparedError(OperatorError):
    """Something that is made once is not there yet; the sentence names the command that makes it."""


def require_topics(settings: Settings) -> None:
    """Raises `NotPreparedError` where a declared topic is missing, and `RetryableError`."""
    missing = missing_topics(settings)
    if missing:
        raise NotPreparedError(f"Kafka has no topic {', '.join(missing)}: run `callstream topics apply`")


def require_migrations(settings: Settings) -> None:
    """Raises `NotPreparedError` where ClickHouse is behind, `MigrationRefusedError` where a newer release took away
    what this one needs, `ClickHouseAccessError` and `RetryableError`."""
    lacking = missing_migrations(settings.clickhouse_url.get_secret_value(), beside_newer=True)
    if lacking:
        raise NotPreparedError(f"ClickHouse lacks {len(lacking)} migration(s): run `callstream migrate`")


def audit_log_of(register: Register, clock: Clock) -> EntryWithinOrBefore:
    """Where entries about this register go."""
    from streams.adapters.register.audit_log import RegisterAuditLog

    return RegisterAuditLog(register, clock)


def require_register(register: Register) -> None:
    """Raises `RegisterSchemaError` where its tables are not of this release, and as `Register.transaction`."""
    register.check()


def buried_calls(settings: Settings) -> BuriedCalls:
    """Which calls were destroyed, or may be used no more, by the register of these settings; nothing is opened yet."""
    return BuriedCalls(RegisterTombstones(Register.of(settings), SystemClock()))


def sealed_store_from(
    settings: Settings, store: ObjectStore, *purposes: Purpose, register: Register | None = None
) -> SealedStore:
    """Objects of this store that only their keys open, those of these purposes alone; nothing is opened yet."""
    keys = RegisterKeys(register or Register.of(settings), key_wrapper_from(settings, purposes), SystemClock())
    return SealedStore(store, keys)


def prepare_keys(settings: Settings) -> None:
    """Have the register know a wrapping key for each purpose; where there is none yet, one is made.

    Raises `RetryableError` and `OperatorError`.
    """
    register, wrapper = Register.of(settings), key_wrapper_from(settings)
    try:
        for purpose in PURPOSES:
            ensure_current(register, wrapper, purpose, SystemClock().now())
    finally:
        register.close()


def recording_store_from(settings: Settings, store: ObjectStore) -> RecordingStore:
    """Recordings in this store, for who hears them."""
    return RecordingStore(
        store,
        sealed_store_from(settings, store, "audio"),
        settings.max_recording_bytes,
        hears_unsealed=settings.unsealed_recordings == "hear",
    )


def rendition_store_from(settings: Settings, store: ObjectStore) -> RenditionStore:
    """What is made of recordings, in this store."""
    return RenditionStore(store, sealed_store_from(settings, store, "audio"))


def transcript_store_from(settings: Settings, store: ObjectStore) -> TranscriptStore:
    """Masked transcripts in this store."""
    return TranscriptStore(store, sealed_store_from(settings, store, "transcript"))


def received_store_from(settings: Settings, store: ObjectStore) -> ReceivedStore:
    """Transcripts from outside that wait to be masked, in this store."""
    return ReceivedStore(store, sealed_store_from(settings, store, "received"))


def require_sealed_transcripts(transcripts: TranscriptStore) -> None:
    """Raises `NotPreparedError` where a transcript lies as releases before 0.4 wrote it, and `RetryableError`."""
    if next(transcripts.in_clear(), None) is not None:
        raise NotPreparedError(
            "the object store holds transcripts of an earlier release, in clear: run `callstream custody "
            "seal-transcripts`"
        )
