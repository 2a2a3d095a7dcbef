"""What an OpenID provider says of somebody: whether a token is for us and holds, and which roles it gives. Pure.

Whether the token is the provider's own, its signature says (`streams.adapters.oidc.provider`).
"""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from processors.custody.accounts import AccountError, HeldGrant, OidcSubject, check_grant
from schemas.config.claim_grants import ClaimGrant, ClaimGrants
from schemas.config.roles import PeopleRole

SKEW = timedelta(seconds=60)
"""So far the provider's clock may be from ours."""

MOST_GROUPS = 1_000


class TokenRefusedError(Exception):
    """A token is not one that we take. `reason` is a word for the audit log; nothing of the token is in it."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


def check_claims(
    claims: Mapping[str, Any],
    *,
    issuer: str,
    audience: str,
    now: datetime,
    nonce: str | None = None,
    client_id: str | None = None,
) -> OidcSubject:
    """Who the token is about. `nonce` and `client_id` are asked of ID tokens alone.

    Raises `TokenRefusedError`: `wrong_issuer`, `wrong_audience`, `expired`, `not_yet`, `wrong_nonce`, `no_subject`.
    """
    if claims.get("iss") != issuer:
        raise TokenRefusedError("wrong_issuer")
    audiences = claims.get("aud")
    listed = audiences if isinstance(audiences, list) else [audiences]
    if audience not in listed:
        raise TokenRefusedError("wrong_audience")
    if client_id is not None:
        party = claims.get("azp")
        if party not in (None, client_id) or (len(listed) > 1 and party != client_id):
            raise TokenRefusedError("wrong_audience")
    at_s = now.timestamp()
    if at_s >= _moment(claims, "exp", "expired") + SKEW.total_seconds():
        raise TokenRefusedError("expired")
    for name in ("nbf", "iat"):
        if name in claims and _moment(claims, name, "not_yet") > at_s + SKEW.total_seconds():
            raise TokenRefusedError("not_yet")
    if nonce is not None and claims.get("nonce") != nonce:
        raise TokenRefusedError("wrong_nonce")
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= 255 or not subject.isprintable():
        raise TokenRefusedError("no_subject")
    return OidcSubject(issuer, subject)


def _moment(claims: Mapping[str, Any], name: str, reason: str) -> float:
    """Seconds since 1970."""
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TokenRefusedError(reason)
    return float(value)


def account_of(subject: OidcSubject) -> str:
    """The name of the account that somebody gets who has none yet: the same every time, and nothing of the person."""
    both = f"{subject.issuer}\n{subject.subject}"
    return f"oidc-{sha256(both.encode()).hexdigest()[:16]}"


def claimed_grants(
    claims: Mapping[str, Any], mapping: ClaimGrants, roles: Mapping[str, PeopleRole], now: datetime
) -> tuple[HeldGrant, ...]:
    """The roles that the claims give. A grant whose team or agent the claims do not tell is none."""
    groups = set(_texts(_claim(claims, mapping.groups_claim))[:MOST_GROUPS])
    found = []
    for grant in mapping.grants:
        if grant.group not in groups:
            continue
        held = _held(grant, claims, now)
        if (grant.teams_claim and not held.teams) or (grant.agent_claim and held.agent_id is None):
            continue  # whatever the role, what should narrow it is missing
        try:
            check_grant(held.role, held.tenant_id, held.teams, held.agent_id, roles)
        except AccountError:
            continue
        found.append(held)
    return tuple(found)


def _held(grant: ClaimGrant, claims: Mapping[str, Any], now: datetime) -> HeldGrant:
    teams = grant.teams if grant.teams_claim is None else tuple(_texts(_claim(claims, grant.teams_claim)))
    agent = grant.agent
    if grant.agent_claim is not None:
        agent = next(iter(_texts(_claim(claims, grant.agent_claim))), None)
    return HeldGrant(
        grant_id="claimed",
        role=grant.role,
        tenant_id=grant.tenant,
        granted_at=now,
        teams=frozenset(teams) or None,
        agent_id=agent,
    )


def _claim(claims: Mapping[str, Any], path: str) -> Any:
    """The claim of that name, else the one within others; None where there is none."""
    if path in claims:
        return claims[path]
    found: Any = claims
    for name in path.split("."):
        if not isinstance(found, Mapping) or name not in found:
            return None
        found = found[name]
    return found


def _texts(value: Any) -> Sequence[str]:
    if isinstance(value, str):
        return [value]
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []
