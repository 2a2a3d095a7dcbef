"""`ingest`: a finished recording with what is known of the call → object store → `calls.ended.v1`.

The recording is durable before the event exists, so no consumer ever sees a reference to nothing.
"""

import hmac
import json
import re
import unicodedata
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from processors.listening.audio import UnhearableError
from schemas.errors import InvalidCallError, InvalidMessageError
from schemas.messages.call_ended import CallEnded
from schemas.messages.message import UtcDatetime
from schemas.messages.records import ProducerRecord
from schemas.messages.topics import CALLS_ENDED, message_key
from schemas.messages.transcript import AudioFacts
from streams.adapters.decoder.process import DecoderProcess
from streams.adapters.object_store.recordings import RecordingStore
from streams.ports import PublisherPort

_SEPARATORS = re.compile(r"[\s\-().·]")
_NUMBER = re.compile(r"\+?[0-9]{3,20}")
_TIME = TypeAdapter[datetime](UtcDatetime)


def customer_key(number: str, secret: str) -> str:
    """HMAC-SHA-256 of the normalised phone number, in hex (R30).

    Normalised: full-width characters made half-width; spaces, dashes, dots and brackets dropped; 00 written as +. A
    number of mainland China loses its +86 or its trunk prefix 0, that of another country keeps its + and country
    code. Raises `InvalidCallError` when that is no number or there is no secret.
    """
    if not secret:
        raise InvalidCallError(
            "customer_key_secret is not set: without it a phone number cannot be made a customer key"
        )
    normalized = _normalized(number)
    if not _NUMBER.fullmatch(normalized):
        raise InvalidCallError("the customer's number is not a phone number: 3 to 20 digits are expected")
    return hmac.new(secret.encode(), normalized.encode(), sha256).hexdigest()


def _normalized(number: str) -> str:
    dialled = re.sub(r"^00", "+", _SEPARATORS.sub("", unicodedata.normalize("NFKC", number)))
    return dialled if re.match(r"\+(?!86)", dialled) else dialled.removeprefix("+86").removeprefix("0")


PENDING_URI = "s3://pending/recording"
"""Stands in an event until its recording is stored."""


@dataclass(frozen=True)
class Ingest:
    """Stores recordings and publishes their events."""

    recordings: RecordingStore
    publisher: PublisherPort

    def publish(self, call: CallEnded, data: bytes, extension: str) -> CallEnded:
        """Store the recording, then publish the event that points to it; returns that event.

        Durable in store and topic when this returns; doing it again changes nothing. Raises `RetryableError` and
        `StoreAccessError`.
        """
        uri = self.recordings.put_recording(call.tenant_id, call.call_id, call.ended_at, extension, data)
        stored = call.model_copy(update={"audio": call.audio.model_copy(update={"uri": uri})})
        key = message_key(stored.tenant_id, stored.call_id)
        self.publisher.publish([ProducerRecord(CALLS_ENDED.name, key, stored.encode())])
        return stored


def event_for(facts: Mapping[str, Any], data: bytes, found: AudioFacts | None, *, ended_at: datetime) -> CallEnded:
    """The event of a recording that is not stored yet (`audio.uri` is `PENDING_URI`).

    `facts` are fields of `CallEnded`, of which any may be missing; what is missing comes from the file. `found`
    is what the file turned out to be, or null where it cannot be decoded: the event is made all the same, because
    every call is accounted for. `ended_at` holds where the facts do not say. The call id, where none is given,
    follows from recording and end, so that publishing the same file twice is one call. Raises `InvalidCallError`.
    """
    digest = sha256(data).hexdigest()
    fields: dict[str, Any] = {"tenant_id": "default", "direction": "inbound", "agent": {"id": "unknown"}} | dict(facts)
    ended = _time(fields.setdefault("ended_at", ended_at.isoformat()), "ended_at")
    duration = timedelta(milliseconds=found.duration_ms if found else 0)
    fields.setdefault("started_at", (ended - duration).isoformat())
    fields.setdefault("call_id", sha256(f"{digest}/{ended.isoformat()}".encode()).hexdigest()[:32])
    audio: dict[str, Any] = {"uri": PENDING_URI, "sha256": digest, "bytes": len(data)}
    if found is not None:
        audio |= found.model_dump(include={"container", "codec", "sample_rate_hz", "channels"})
    given = fields.get("audio") or {}
    if not isinstance(given, Mapping):
        raise InvalidCallError("audio: must be an object")
    try:
        return CallEnded.decode(json.dumps(fields | {"audio": audio | dict(given)}).encode())
    except InvalidMessageError as error:
        raise InvalidCallError("; ".join(error.problems)) from None


def read_facts(file: Path) -> dict[str, Any]:
    """The metadata in a JSON file: an object with fields of `CallEnded`. Raises `InvalidCallError`."""
    try:
        facts = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InvalidCallError(f"the metadata file {file} does not exist") from None
    except (OSError, ValueError) as error:
        raise InvalidCallError(f"the metadata file {file} cannot be read as JSON: {type(error).__name__}") from None
    if not isinstance(facts, dict):
        raise InvalidCallError(f"the metadata file {file} must hold one JSON object")
    return facts


def call_of_file(
    file: Path, facts: Mapping[str, Any], max_bytes: int, decoder: DecoderProcess | None = None
) -> tuple[CallEnded, bytes]:
    """The event of a recording in a file, and its bytes; the call ended when the file was last written.

    For several files, give the `decoder`: else one is started for each. Raises `InvalidCallError`.
    """
    try:
        size, written_s = file.stat().st_size, file.stat().st_mtime
        if size > max_bytes:
            raise InvalidCallError(f"{file} has {size} bytes, more than max_recording_bytes ({max_bytes})")
        data = file.read_bytes()
    except OSError as error:
        raise InvalidCallError(f"{file} cannot be read: {error.strerror}") from None
    with ExitStack() as stack:
        decoder = decoder or stack.enter_context(DecoderProcess())
        try:
            found = decoder.probe(data)
        except UnhearableError:
            found = None
    return event_for(facts, data, found, ended_at=datetime.fromtimestamp(written_s, UTC)), data


def extension_of(file: Path) -> str:
    """The extension under which a recording is stored."""
    suffix = file.suffix.lower().removeprefix(".")
    return suffix if re.fullmatch(r"[a-z0-9]{1,8}", suffix) else "bin"


def _time(text: object, field: str) -> datetime:
    """The time in UTC. Raises `InvalidCallError`."""
    try:
        time = datetime.fromisoformat(str(text))
    except ValueError:
        raise InvalidCallError(f"{field}: not a time; write it as 2026-03-02T10:15:00+08:00") from None
    if time.tzinfo is None:
        raise InvalidCallError(f"{field}: has no time zone; write it as 2026-03-02T10:15:00+08:00")
    try:
        return _TIME.validate_python(time)
    except ValidationError:
        raise InvalidCallError(f"{field}: is not in the years that a call may have") from None
