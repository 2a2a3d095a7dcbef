"""Where checkpoints of the audit log go: objects with names by time, messages, a signed POST; locked where asked."""

import base64
import json
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import SecretStr

from processors.alerts.signatures import standard_webhooks_signature
from processors.custody.merkle import leaf_hash, peaks_of
from schemas.errors import OperatorError, RetryableError
from schemas.messages.topics import AUDIT_CHECKPOINTS
from streams.adapters.audit_anchors import (
    KafkaAnchor,
    StoreAnchor,
    WebhookAnchor,
    checkpoint_key,
    size_of_key,
    webhook_of,
)
from streams.adapters.memory.broker import MemoryBroker
from streams.adapters.object_store.folder import FolderStore
from streams.adapters.object_store.s3.client import S3Store
from streams.adapters.register.audit_log import SignedCheckpoint
from streams.ports import LocksObjects, StoreAccessError
from streams.runtime.audit_key import AuditKey
from streams.settings import load_settings
from tests.support.later_clock import LaterClock
from tests.support.receiver import Reply, running_receiver

AT = datetime(2026, 5, 1, 8, 0, 0, 250, tzinfo=UTC)
KEY = AuditKey("log", Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()


def signed(size: int) -> SignedCheckpoint:
    peaks = peaks_of([leaf_hash(bytes([number])) for number in range(size)])
    at = AT + timedelta(minutes=size)
    return SignedCheckpoint(size, KEY.note(size, peaks.root, at), peaks, at)


def test_checkpoints_are_objects_that_sort_by_time(tmp_path: Path) -> None:
    store = FolderStore(tmp_path, "calls")
    store.apply()
    anchor = StoreAnchor(store, timedelta())
    anchor.deliver([signed(2), signed(11)])
    anchor.deliver([signed(11)])
    keys = [entry.key for entry in store.entries("audit/")]
    assert keys == ["audit/checkpoints/20260501T080200.000250Z-000000000000002", checkpoint_key(signed(11))]
    assert [size_of_key(key) for key in keys] == [2, 11]
    assert size_of_key("recordings/acme/2026-1") is None
    assert store.read(keys[0]).decode() == signed(2).note


class LockingStore(FolderStore):
    """A folder that remembers what it was told to lock."""

    locked: dict[str, datetime]

    def put_locked(self, key: str, data: bytes, until: datetime, *, content_type: str) -> None:
        self.put(key, data, content_type=content_type)
        self.locked[key] = until


def test_checkpoints_are_locked_where_the_settings_ask_for_it(tmp_path: Path) -> None:
    plain, locking = FolderStore(tmp_path, "calls"), LockingStore(tmp_path, "calls")
    assert not isinstance(plain, LocksObjects)
    with pytest.raises(OperatorError, match="audit_lock_days"):
        StoreAnchor(plain, timedelta(days=1))
    locking.apply()
    locking.locked = {}
    StoreAnchor(locking, timedelta(days=400)).deliver([signed(1)])
    assert locking.locked == {checkpoint_key(signed(1)): signed(1).signed_at + timedelta(days=400)}


def test_checkpoints_are_messages_with_all_that_verifying_needs() -> None:
    broker = MemoryBroker()
    KafkaAnchor(broker, KEY.verifier).deliver([signed(1), signed(2)])
    told = [AUDIT_CHECKPOINTS.decode(record.value) for record in broker.records[AUDIT_CHECKPOINTS.name]]
    assert [each.size for each in told] == [1, 2]
    assert all(KEY.has_signed(each.note, each.size, bytes.fromhex(each.root)) for each in told)


def settings(**values: str) -> Any:
    return load_settings(
        {f"CALLSTREAM_AUDIT_CHECKPOINT_{name.upper()}": value for name, value in values.items()}
    ).settings


@pytest.mark.loopback
def test_the_newest_checkpoint_is_posted_and_signed() -> None:
    with running_receiver(Reply(status=200), Reply(status=503)) as receiver:
        channel = webhook_of(settings(url=receiver.url(), secret=SECRET, allow_private="true"))
        assert channel is not None
        anchor = WebhookAnchor(channel, LaterClock(timedelta()))
        anchor.deliver([signed(1), signed(2)])
        with pytest.raises(RetryableError, match="HTTP 503"):
            anchor.deliver([signed(3)])
        anchor.close()
        request = receiver.requests[0]
    told = json.loads(request.body)
    assert (told["type"], told["data"]["size"], told["data"]["note"]) == ("audit.checkpoint", 2, signed(2).note)
    timestamp_s = int(request.headers["webhook-timestamp"])
    assert request.headers["webhook-id"] == "audit-checkpoint-2"
    assert request.headers["webhook-signature"] == standard_webhooks_signature(
        [bytes(range(32))], "audit-checkpoint-2", timestamp_s, request.body
    )
    gone = WebhookAnchor(channel, LaterClock(timedelta()))
    with pytest.raises(RetryableError, match="does not answer"):
        gone.deliver([signed(1)])


def test_a_subscriber_that_cannot_be_used_is_refused_without_its_url() -> None:
    assert webhook_of(settings()) is None
    for wrong in (
        {"url": "https://hooks.example.com/token-1234", "secret": "short"},
        {"url": "http://hooks.example.com/token-1234", "secret": SECRET},
        {"url": "https://hooks.example.com/token-1234"},
    ):
        with pytest.raises(OperatorError, match="audit_checkpoint_url") as caught:
            webhook_of(settings(**wrong))
        assert "token-1234" not in str(caught.value)


@pytest.mark.loopback
def test_a_bucket_is_asked_to_lock_in_compliance_mode() -> None:
    """What S3 needs to be told; MinIO and versitygw keep to it."""
    seen: list[tuple[str, dict[str, str], bytes]] = []

    class Bucket(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            seen.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
            refused = len(seen) > 1
            told = b"<Error><Code>InvalidRequest</Code></Error>" if refused else b""
            self.send_response(400 if refused else 200)
            self.send_header("content-length", str(len(told)))
            self.end_headers()
            self.wfile.write(told)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Bucket)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        endpoint = f"127.0.0.1:{server.server_address[1]}"
        store = S3Store(endpoint, "calls", access_key="a", secret_key=SecretStr("s" * 8), secure=False)
        anchor = StoreAnchor(store, timedelta(days=400))
        anchor.deliver([signed(3)])
        with pytest.raises(StoreAccessError, match="InvalidRequest"):  # a bucket that was not made with object lock
            anchor.deliver([signed(4)])
    finally:
        server.shutdown()
        server.server_close()
    path, headers, body = seen[0]
    assert path == f"/calls/{checkpoint_key(signed(3))}"
    assert body.decode() == signed(3).note
    assert headers["x-amz-object-lock-mode"] == "COMPLIANCE"
    assert headers["x-amz-object-lock-retain-until-date"].startswith("2027-06-05T08:03:00")
    assert headers["content-md5"]
