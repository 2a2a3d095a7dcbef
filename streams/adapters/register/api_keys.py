"""API keys in the register: what `processors.custody.api_keys` decides, kept with an event of each change."""

import base64
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import func, insert, select, update

from processors.custody.api_keys import (
    ApiKey,
    ApiKeyCommand,
    ApiKeyEvent,
    ApiScope,
    IssueKey,
    KeyIssued,
    KeyReplaced,
    KeyRevoked,
    RevokeKey,
    RotateKey,
    after,
    decide,
    digest_of,
    written,
)
from schemas.messages.custody_changed import CustodyChanged
from streams.adapters.register.register import Register, Transaction
from streams.adapters.register.tables import api_keys
from streams.ports import Clock


@dataclass(frozen=True)
class FreshKey:
    """A key that was made just now; `text` is kept nowhere, and shown once."""

    key: ApiKey
    text: str


@dataclass(frozen=True)
class ListedKey:
    """A key, and when it was used last, to about an hour; null where it never was."""

    key: ApiKey
    used_at: datetime | None


class RegisterApiKeys:
    """Safe to share between threads and processes. Every method may raise what `Register.transaction` does."""

    def __init__(self, register: Register, clock: Clock) -> None:
        self._register = register
        self._clock = clock

    def issue(
        self, tenant_id: str, label: str, scopes: Iterable[ApiScope], expires_at: datetime | None, *, actor: str
    ) -> FreshKey:
        """A new key. Raises `ApiKeyError`."""
        key_id, secret = _new_id(), secrets.token_urlsafe(32)
        digest = digest_of(secret)
        command = IssueKey(key_id, tenant_id, label, frozenset(scopes), digest, expires_at)
        return FreshKey(self._obey(command, key_id, actor), written(key_id, secret))

    def rotate(self, key_id: str, overlap: timedelta, expires_at: datetime | None, *, actor: str) -> FreshKey:
        """A new key in the place of another, which holds for the overlap. Raises `ApiKeyError`."""
        new_id, secret = _new_id(), secrets.token_urlsafe(32)
        command = RotateKey(key_id, new_id, digest_of(secret), overlap, expires_at)
        return FreshKey(self._obey(command, new_id, actor), written(new_id, secret))

    def revoke(self, key_id: str, *, actor: str) -> ApiKey:
        """Ends a key; does nothing the second time. Raises `ApiKeyError`."""
        return self._obey(RevokeKey(key_id), key_id, actor)

    def find(self, key_id: str) -> ApiKey | None:
        """The key of that id, whatever its state."""
        with self._register.reading("read an API key") as tx:
            return _find(tx, key_id)

    def list(self, tenant_id: str | None = None) -> Sequence[ListedKey]:
        """All keys, or those of a tenant, the oldest first."""
        asked = select(api_keys).order_by(api_keys.c.issued_at, api_keys.c.key_id)
        if tenant_id is not None:
            asked = asked.where(api_keys.c.tenant_id == tenant_id)
        with self._register.reading("list the API keys") as tx:
            return [ListedKey(_as_key(row), row["used_at"]) for row in tx.execute(asked).mappings()]

    def note_use(self, key_id: str, at: datetime) -> None:
        """When it was used last; never goes back. Changes nothing of the key, so it is no event."""
        a = api_keys.c
        with self._register.transaction("note the use of an API key") as tx:
            later = func.coalesce(a.used_at < at, True)
            tx.execute(update(api_keys).where(a.key_id == key_id, later).values(used_at=at))

    def _obey(self, command: ApiKeyCommand, wanted: str, actor: str) -> ApiKey:
        """The key of the id that is wanted, after what was decided."""
        now = self._clock.now()
        with self._register.transaction("change an API key") as tx:
            known: dict[str, ApiKey] = {}
            if (state := _find(tx, command.key_id, lock=True)) is not None:
                known[command.key_id] = state
            for event in decide(command, state, now):
                key = after(event, None if isinstance(event, KeyIssued) else known.get(event.key_id))
                _write(tx, event, key)
                tx.outbox(_told(event, actor, now))
                known[key.key_id] = key
            return known[wanted]


def _new_id() -> str:
    return base64.b32encode(secrets.token_bytes(8)).decode().lower()[:12]


def _find(tx: Transaction, key_id: str, *, lock: bool = False) -> ApiKey | None:
    asked = select(api_keys).where(api_keys.c.key_id == key_id)
    row = tx.execute(asked.with_for_update() if lock else asked).mappings().first()
    return None if row is None else _as_key(row)


def _as_key(row: Mapping[Any, Any]) -> ApiKey:
    return ApiKey(
        key_id=row["key_id"],
        tenant_id=row["tenant_id"],
        label=row["label"],
        scopes=frozenset(cast(ApiScope, scope) for scope in row["scopes"].split()),
        digest=row["digest"],
        issued_at=row["issued_at"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
        replaced_by=row["replaced_by"],
    )


def _write(tx: Transaction, event: ApiKeyEvent, key: ApiKey) -> None:
    values: dict[str, object] = {
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
        "replaced_by": key.replaced_by,
    }
    if not isinstance(event, KeyIssued):
        tx.execute(update(api_keys).where(api_keys.c.key_id == key.key_id).values(values))
        return
    values |= {
        "key_id": key.key_id,
        "tenant_id": key.tenant_id,
        "label": key.label,
        "scopes": " ".join(sorted(key.scopes)),
        "digest": key.digest,
        "issued_at": key.issued_at,
    }
    tx.execute(insert(api_keys).values(values))


def _told(event: ApiKeyEvent, actor: str, at: datetime) -> CustodyChanged:
    match event:
        case KeyIssued(key):
            return CustodyChanged.of("api_key_made", tenant_id=key.tenant_id, actor=actor, at=at, api_key_id=key.key_id)
        case KeyReplaced(key_id, tenant_id):
            return CustodyChanged.of("api_key_replaced", tenant_id=tenant_id, actor=actor, at=at, api_key_id=key_id)
        case KeyRevoked(key_id, tenant_id):
            return CustodyChanged.of("api_key_revoked", tenant_id=tenant_id, actor=actor, at=at, api_key_id=key_id)
