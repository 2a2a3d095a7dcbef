"""Where checkpoints of the audit log go, out of reach of who can write the register: a bucket, Kafka, a subscriber."""

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol

from pydantic import ValidationError

from processors.alerts.signatures import standard_webhooks_key, standard_webhooks_signature
from processors.custody.audit_log import VerifierKey
from schemas.errors import OperatorError, RetryableError
from schemas.messages.audit_checkpoint import AuditCheckpoint
from schemas.messages.topics import AUDIT_CHECKPOINTS
from streams.adapters.channels.http_sender import HttpSender, SendError
from streams.adapters.channels.webhook import WebhookChannel
from streams.adapters.register.audit_log import SignedCheckpoint
from streams.ports import Clock, LocksObjects, ObjectStore, PublisherPort
from streams.settings import Settings

PREFIX = "audit/checkpoints/"
"""Of checkpoints in the object store."""


class CheckpointAnchor(Protocol):
    """One place."""

    name: str
    """By which the register knows how far it has come."""
    needs_all: bool
    """Whether each checkpoint goes there; otherwise the newest alone, which vouches for all entries before it."""

    def deliver(self, checkpoints: Sequence[SignedCheckpoint]) -> None:
        """They are there when this returns; those that were there stay. Raises `RetryableError` and `OperatorError`."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


def checkpoint_key(checkpoint: SignedCheckpoint) -> str:
    """The key of its object: `audit/checkpoints/<utc>-<size>`, sorted by time."""
    return f"{PREFIX}{checkpoint.signed_at:%Y%m%dT%H%M%S.%fZ}-{checkpoint.size:015d}"


def size_of_key(key: str) -> int | None:
    """How many entries a checkpoint in the object store is over, by its key; None for another object."""
    number = key.removeprefix(PREFIX).rpartition("-")[2]
    return int(number) if key.startswith(PREFIX) and number.isascii() and number.isdigit() else None


class StoreAnchor:
    """An object for each checkpoint; locked where the settings say for how long."""

    name = "object_store"
    needs_all = True

    def __init__(self, store: ObjectStore, lock: timedelta) -> None:
        """Raises `OperatorError` for a store that cannot lock where it should."""
        if lock and not isinstance(store, LocksObjects):
            raise OperatorError("audit_lock_days needs a bucket with object lock: set it to 0 for store_kind folder")
        self._store = store
        self._lock = lock

    def deliver(self, checkpoints: Sequence[SignedCheckpoint]) -> None:
        """See `CheckpointAnchor.deliver`."""
        for each in checkpoints:
            key, note, kind = checkpoint_key(each), each.note.encode(), "text/plain; charset=utf-8"
            if self._lock and isinstance(self._store, LocksObjects):
                self._store.put_locked(key, note, each.signed_at + self._lock, content_type=kind)
            else:
                self._store.put(key, note, content_type=kind)

    def close(self) -> None:
        """Nothing to let go of."""


class KafkaAnchor:
    """A message for each checkpoint, in a topic that the audit stage alone needs to write."""

    name = "kafka"
    needs_all = True

    def __init__(self, publisher: PublisherPort, verifier: VerifierKey) -> None:
        self._publisher = publisher
        self._origin = verifier.name

    def deliver(self, checkpoints: Sequence[SignedCheckpoint]) -> None:
        """See `CheckpointAnchor.deliver`."""
        self._publisher.publish(
            [
                AUDIT_CHECKPOINTS.record(
                    AuditCheckpoint(
                        origin=self._origin,
                        size=each.size,
                        root=each.peaks.root.hex(),
                        note=each.note,
                        signed_at=each.signed_at,
                    )
                )
                for each in checkpoints
            ]
        )

    def close(self) -> None:
        """The publisher is the worker's."""


class WebhookAnchor:
    """A signed POST (Standard Webhooks) of the newest checkpoint."""

    name = "webhook"
    needs_all = False

    def __init__(self, channel: WebhookChannel, clock: Clock) -> None:
        self._keys = [standard_webhooks_key(secret) for secret in channel.secrets]
        self._sender = HttpSender(channel)
        self._clock = clock

    def deliver(self, checkpoints: Sequence[SignedCheckpoint]) -> None:
        """See `CheckpointAnchor.deliver`."""
        newest = checkpoints[-1]
        message_id = f"audit-checkpoint-{newest.size}"
        told = {"note": newest.note, "size": newest.size, "root": newest.peaks.root.hex()}
        body = json.dumps(
            {"type": "audit.checkpoint", "timestamp": newest.signed_at.isoformat(), "data": told}, ensure_ascii=False
        ).encode()
        timestamp_s = int(self._clock.now().timestamp())
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "webhook-id": message_id,
            "webhook-timestamp": str(timestamp_s),
            "webhook-signature": standard_webhooks_signature(self._keys, message_id, timestamp_s, body),
        }
        try:
            answer = self._sender.post(body, headers)
        except SendError as error:
            raise RetryableError(f"the subscriber of audit checkpoints does not answer: {error.kind}") from None
        if not 200 <= answer.status < 300:
            raise RetryableError(f"the subscriber of audit checkpoints does not take them: HTTP {answer.status}")

    def close(self) -> None:
        """See `CheckpointAnchor.close`."""
        self._sender.close()


def webhook_of(settings: Settings) -> WebhookChannel | None:
    """The subscriber that the settings name. Raises `OperatorError`, which names the setting and no value."""
    url = settings.audit_checkpoint_url.get_secret_value()
    if not url:
        return None
    fields: dict[str, object] = {
        "url": url,
        "secrets": (settings.audit_checkpoint_secret.get_secret_value(),),
        "allow_private": settings.audit_checkpoint_allow_private,
        "ca_file": settings.audit_checkpoint_ca_file,
    }
    problems: list[str] = []
    try:
        return WebhookChannel.model_validate({name: value for name, value in fields.items() if value is not None})
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        problems = [f"{'.'.join(map(str, each['loc'])) or 'url'}: {each['msg']}" for each in found]
    raise OperatorError(f"audit_checkpoint_url or audit_checkpoint_secret cannot be used: {'; '.join(problems)}")
