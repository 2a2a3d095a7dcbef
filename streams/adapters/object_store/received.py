"""Transcripts from outside that wait to be masked: what was said lies sealed in the object store, for days at most."""

from datetime import UTC, date, datetime
from secrets import token_hex

from pydantic import TypeAdapter

from processors.custody.ports import KeyGoneError, SealBrokenError, SealedIdentity
from schemas.errors import InvalidMessageError
from schemas.messages.topics import TRANSCRIPTS_RECEIVED
from schemas.messages.transcript_received import ReceivedUtterance, SealedTranscript, TranscriptReceived
from streams.adapters.object_store.sealed_store import ObjectTooLargeError
from streams.adapters.object_store.transcripts import (
    NotReadableError,
    SealedObjects,
    compressed,
    expanded,
    valid_call,
    valid_tenant,
)
from streams.ports import ObjectMissingError, ObjectStore

PREFIX = "received/"
_UTTERANCES = TypeAdapter[tuple[ReceivedUtterance, ...]](tuple[ReceivedUtterance, ...])


class OriginalGoneError(Exception):
    """What was said lies there no more: it was masked and removed, or nobody masked it in time."""


class ReceivedStore:
    """What was said in calls, not masked, each object sealed with the `received` key of its call.

    `received/<tenant>/<yyyy>/<mm>/<dd>/<call_id>.<version>`, by the UTC day on which the call ended; a version is
    random, so that no message takes the place of another. Every method may raise `RetryableError` and `OperatorError`.
    """

    def __init__(self, store: ObjectStore, sealed: SealedObjects) -> None:
        self._store = store
        self._sealed = sealed

    def put(self, message: TranscriptReceived) -> TranscriptReceived:
        """The same message with a reference in place of what was said, which is durable in the store."""
        if message.sealed is not None:
            return message
        reference = SealedTranscript(version=token_hex(8))
        key, identity, day = _place(message, reference)
        self._sealed.put(key, identity, day, compressed(_UTTERANCES.dump_json(message.utterances)))
        return message.model_copy(update={"utterances": (), "sealed": reference})

    def open(self, message: TranscriptReceived) -> TranscriptReceived:
        """The message as it was before `put`. Raises `OriginalGoneError` and `InvalidMessageError`."""
        if message.sealed is None:
            return message
        key, identity, day = _place(message, message.sealed)
        try:
            packed = self._sealed.read(key, identity, day, most_bytes=TranscriptReceived.max_bytes)
            said = expanded(packed, TranscriptReceived.max_bytes)
        except (ObjectMissingError, KeyGoneError):
            raise OriginalGoneError from None
        except (SealBrokenError, NotReadableError, ObjectTooLargeError):
            raise InvalidMessageError(["sealed: the object does not open"]) from None
        head = message.model_dump_json(exclude={"sealed", "utterances"}).encode()
        return TRANSCRIPTS_RECEIVED.decode(head[:-1] + b',"utterances":' + said + b"}")

    def remove(self, message: TranscriptReceived) -> None:
        """What was said is masked and durable: the original goes."""
        if message.sealed is not None:
            self._store.delete(_place(message, message.sealed)[0])

    def remove_older_than(self, moment: datetime) -> int:
        """Originals that nobody has masked, and whatever else lies among them; how many there were."""
        old = [entry.key for entry in self._store.entries(PREFIX) if entry.modified_at < moment]
        for key in old:
            self._store.delete(key)
        return len(old)


def _place(message: TranscriptReceived, reference: SealedTranscript) -> tuple[str, SealedIdentity, date]:
    day = message.call.ended_at.astimezone(UTC).date()
    tenant_id, call_id = valid_tenant(message.tenant_id), valid_call(message.call_id)
    key = f"{PREFIX}{tenant_id}/{day:%Y/%m/%d}/{call_id}.{reference.version}"
    return key, SealedIdentity(tenant_id, call_id, "received", reference.version), day
