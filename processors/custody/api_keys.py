"""The life of an API key: issued, rotated with an overlap, revoked, expired. And what a key looks like.

A key is `cs_<id>_<secret>`. The id names it in lists and logs; of the secret, 256 random bits, the SHA-256 alone is
kept: there is nothing to guess, so a slow hash would only slow down those who have the key.
"""

import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Literal, get_args

from schemas.errors import OperatorError

ApiScope = Literal["recordings:write", "transcripts:write", "calls:read"]
"""What a key allows."""

SCOPES: tuple[ApiScope, ...] = get_args(ApiScope)

LONGEST_OVERLAP = timedelta(days=30)
"""So long the former key may be used beside the one that takes its place."""

_KEY = re.compile(r"cs_([a-z2-7]{12})_([A-Za-z0-9_-]{43})")


class ApiKeyError(OperatorError):
    """What is asked of a key cannot be done; the sentence says why and names no secret."""

    exit_code = 1


@dataclass(frozen=True)
class ApiKey:
    """What is kept of a key. `digest` is the SHA-256 of its secret, in hex."""

    key_id: str
    tenant_id: str
    label: str
    scopes: frozenset[ApiScope]
    digest: str
    issued_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None = None
    replaced_by: str | None = None

    def holds(self, now: datetime) -> bool:
        """Whether it may be used."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


@dataclass(frozen=True)
class IssueKey:
    """Make a key."""

    key_id: str
    tenant_id: str
    label: str
    scopes: frozenset[ApiScope]
    digest: str
    expires_at: datetime | None


@dataclass(frozen=True)
class RotateKey:
    """Make a key that takes the place of another, which may be used for a while longer."""

    key_id: str
    new_key_id: str
    digest: str
    overlap: timedelta
    expires_at: datetime | None


@dataclass(frozen=True)
class RevokeKey:
    """From now on a key may not be used."""

    key_id: str


ApiKeyCommand = IssueKey | RotateKey | RevokeKey


@dataclass(frozen=True)
class KeyIssued:
    """There is a new key."""

    key: ApiKey


@dataclass(frozen=True)
class KeyReplaced:
    """Another key takes its place; this one ends then."""

    key_id: str
    tenant_id: str
    replaced_by: str
    expires_at: datetime


@dataclass(frozen=True)
class KeyRevoked:
    """It may not be used any more."""

    key_id: str
    tenant_id: str
    revoked_at: datetime


ApiKeyEvent = KeyIssued | KeyReplaced | KeyRevoked


def decide(command: ApiKeyCommand, state: ApiKey | None, now: datetime) -> Sequence[ApiKeyEvent]:
    """What happens to the key that the command names, of which `state` is known; nothing where it is so already.

    Raises `ApiKeyError`.
    """
    match command:
        case IssueKey():
            return _issue(command, state, now)
        case RotateKey():
            return _rotate(command, state, now)
        case RevokeKey():
            key = _known(state, command.key_id)
            return () if key.revoked_at is not None else (KeyRevoked(key.key_id, key.tenant_id, now),)


def _issue(command: IssueKey, state: ApiKey | None, now: datetime) -> Sequence[ApiKeyEvent]:
    if state is not None:
        raise ApiKeyError(f"there is a key {command.key_id} already: issue one again")
    if not command.scopes:
        raise ApiKeyError(f"a key needs a scope: {', '.join(SCOPES)}")
    _require_future(command.expires_at, now)
    key = ApiKey(
        command.key_id, command.tenant_id, command.label, command.scopes, command.digest, now, command.expires_at
    )
    return (KeyIssued(key),)


def _rotate(command: RotateKey, state: ApiKey | None, now: datetime) -> Sequence[ApiKeyEvent]:
    key = _known(state, command.key_id)
    if not key.holds(now):
        raise ApiKeyError(f"the key {key.key_id} is revoked or has expired: issue a new one")
    if key.replaced_by is not None:
        raise ApiKeyError(f"the key {key.key_id} was rotated already: rotate {key.replaced_by}, which took its place")
    if not timedelta(0) <= command.overlap <= LONGEST_OVERLAP:
        raise ApiKeyError(f"the overlap is from 0 to {LONGEST_OVERLAP.days} days")
    _require_future(command.expires_at, now)
    fresh = replace(key, key_id=command.new_key_id, digest=command.digest, issued_at=now, expires_at=command.expires_at)
    ends = now + command.overlap if key.expires_at is None else min(now + command.overlap, key.expires_at)
    return (KeyIssued(fresh), KeyReplaced(key.key_id, key.tenant_id, command.new_key_id, ends))


def _known(state: ApiKey | None, key_id: str) -> ApiKey:
    if state is None:
        raise ApiKeyError(f"there is no key {key_id}: `callstream api-keys list` shows all")
    return state


def _require_future(expires_at: datetime | None, now: datetime) -> None:
    if expires_at is not None and expires_at <= now:
        raise ApiKeyError("a key expires in the future")


def after(event: ApiKeyEvent, state: ApiKey | None) -> ApiKey:
    """What is known of the key that the event is about. Raises `ValueError` for an event of another key."""
    if isinstance(event, KeyIssued):
        return event.key
    if state is None or state.key_id != event.key_id:
        raise ValueError("the event is about another key")
    if isinstance(event, KeyReplaced):
        return replace(state, replaced_by=event.replaced_by, expires_at=event.expires_at)
    return replace(state, revoked_at=event.revoked_at)


def written(key_id: str, secret: str) -> str:
    """The key as its owner is given it, once."""
    return f"cs_{key_id}_{secret}"


def parts_of(key: str) -> tuple[str, str] | None:
    """Id and secret; None for what is no key."""
    match = _KEY.fullmatch(key)
    return None if match is None else (match[1], match[2])


def digest_of(secret: str) -> str:
    """What is kept of a secret."""
    return sha256(secret.encode()).hexdigest()


_NO_DIGEST = digest_of("")


def is_key(key: ApiKey | None, secret: str, now: datetime) -> bool:
    """Whether this secret is that of the key, and the key holds. A key that there is not takes as long."""
    digest = _NO_DIGEST if key is None else key.digest
    same = hmac.compare_digest(digest_of(secret).encode(), digest.encode())
    return same and key is not None and key.holds(now)
