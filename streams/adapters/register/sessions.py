"""Sessions of people, those on their way to an OpenID provider and back, and tries to sign in, in the register."""

import json
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from sqlalchemy import delete, insert, select, update

from processors.custody.accounts import HeldGrant, digest_of
from processors.custody.sign_in import (
    FORGOTTEN_AFTER,
    IDLE,
    LONGEST_SESSION,
    SIGN_IN_WITHIN,
    SessionTimes,
    Tries,
    after_try,
    forgiven,
    waits_s,
)
from streams.adapters.register.register import Register, Transaction
from streams.adapters.register.tables import oidc_sign_ins, sessions, sign_in_tries
from streams.ports import Clock


@dataclass(frozen=True)
class Session:
    """An open session. `claimed` are grants that an OpenID provider's claims gave when it was opened."""

    digest: str
    account_id: str
    generation: int
    times: SessionTimes
    claimed: tuple[HeldGrant, ...] = ()


@dataclass(frozen=True)
class OidcSignIn:
    """Somebody who was sent to the OpenID provider: what has to come back with them."""

    nonce: str
    verifier: str


class RegisterSessions:
    """Safe to share between threads and processes. Every method may raise what `Register.transaction` does."""

    def __init__(self, register: Register, clock: Clock) -> None:
        self._register = register
        self._clock = clock

    def open(self, account_id: str, generation: int, claimed: Collection[HeldGrant] = ()) -> str:
        """The secret of a new session, which is kept nowhere. Sessions that ended long since are removed."""
        now, secret = self._clock.now(), secrets.token_urlsafe(32)
        s = sessions.c
        with self._register.transaction("open a session") as tx:
            tx.execute(delete(sessions).where((s.used_at < now - IDLE) | (s.opened_at < now - LONGEST_SESSION)))
            tx.execute(
                insert(sessions).values(
                    digest=digest_of(secret),
                    account_id=account_id,
                    generation=generation,
                    opened_at=now,
                    used_at=now,
                    claimed=json.dumps([_as_json(each) for each in claimed], ensure_ascii=False),
                )
            )
        return secret

    def find(self, secret: str) -> Session | None:
        """The session of that secret, whatever its times."""
        with self._register.reading("read a session") as tx:
            asked = select(sessions).where(sessions.c.digest == digest_of(secret))
            row = tx.execute(asked).mappings().first()
        if row is None:
            return None
        claimed = tuple(_as_grant(each, row["opened_at"]) for each in json.loads(row["claimed"]))
        times = SessionTimes(row["opened_at"], row["used_at"])
        return Session(row["digest"], row["account_id"], row["generation"], times, claimed)

    def note_use(self, digest: str, at: datetime) -> None:
        """When it was used last; never goes back."""
        s = sessions.c
        with self._register.transaction("note the use of a session") as tx:
            tx.execute(update(sessions).where(s.digest == digest, s.used_at < at).values(used_at=at))

    def close(self, digest: str) -> None:
        """Does nothing the second time."""
        with self._register.transaction("close a session") as tx:
            tx.execute(delete(sessions).where(sessions.c.digest == digest))

    def begin_oidc(self, state: str, browser: str, sign_in: OidcSignIn) -> None:
        """Somebody is sent to the provider with this `state`, their browser holding that secret."""
        now = self._clock.now()
        with self._register.transaction("begin to sign somebody in") as tx:
            tx.execute(delete(oidc_sign_ins).where(oidc_sign_ins.c.began_at < now - SIGN_IN_WITHIN))
            tx.execute(
                insert(oidc_sign_ins).values(
                    digest=_of_both(state, browser), nonce=sign_in.nonce, verifier=sign_in.verifier, began_at=now
                )
            )

    def end_oidc(self, state: str, browser: str) -> OidcSignIn | None:
        """They are back, for the first time and in time; else None."""
        since = self._clock.now() - SIGN_IN_WITHIN
        o = oidc_sign_ins.c
        with self._register.transaction("sign somebody in") as tx:
            this = (o.digest == _of_both(state, browser)) & (o.began_at >= since)
            row = tx.execute(select(oidc_sign_ins).where(this).with_for_update()).mappings().first()
            tx.execute(delete(oidc_sign_ins).where(o.digest == _of_both(state, browser)))
        return None if row is None else OidcSignIn(row["nonce"], row["verifier"])

    def begin_try(self, name: str, free: int) -> float:
        """One more try of this name or address: 0 where it may be looked at, else for how many seconds none is.

        It counts as wrong until `forgive` says otherwise, so that many at once are many.
        """
        now, who = self._clock.now(), _of_name(name)
        with self._register.transaction("count a try to sign in") as tx:
            t = sign_in_tries.c
            tx.execute(delete(sign_in_tries).where(t.last_at < now - FORGOTTEN_AFTER))
            tx.insert_new(sign_in_tries, who=who, count=0, last_at=now, waits_until=None)
            tries = _tries(tx, who)
            if left_s := waits_s(tries, now):
                return left_s
            _keep(tx, who, after_try(tries, free, now))
        return 0.0

    def forgive(self, name: str, *, wholly: bool) -> None:
        """The try was right: it does not count; `wholly`: nor do those before."""
        who = _of_name(name)
        with self._register.transaction("forgive a try to sign in") as tx:
            if wholly:
                tx.execute(delete(sign_in_tries).where(sign_in_tries.c.who == who))
            else:
                _keep(tx, who, forgiven(_tries(tx, who)))


def _of_both(state: str, browser: str) -> str:
    return sha256(f"{state}\n{browser}".encode()).hexdigest()


def _of_name(name: str) -> str:
    return sha256(name.encode()).hexdigest()


def _tries(tx: Transaction, who: str) -> Tries:
    asked = select(sign_in_tries).where(sign_in_tries.c.who == who).with_for_update()
    row = tx.execute(asked).mappings().first()
    return Tries() if row is None else Tries(row["count"], row["last_at"], row["waits_until"])


def _keep(tx: Transaction, who: str, tries: Tries) -> None:
    values: dict[str, object] = {"count": tries.count, "waits_until": tries.waits_until}
    if tries.last_at is not None:
        values["last_at"] = tries.last_at
    tx.execute(update(sign_in_tries).where(sign_in_tries.c.who == who).values(values))


def _as_json(grant: HeldGrant) -> dict[str, object]:
    return {
        "role": grant.role,
        "tenant_id": grant.tenant_id,
        "teams": None if grant.teams is None else sorted(grant.teams),
        "agent_id": grant.agent_id,
    }


def _as_grant(kept: dict[str, object], opened_at: datetime) -> HeldGrant:
    teams, agent_id = kept["teams"], kept["agent_id"]
    return HeldGrant(
        grant_id="claimed",
        role=str(kept["role"]),
        tenant_id=str(kept["tenant_id"]),
        granted_at=opened_at,
        teams=frozenset(map(str, teams)) if isinstance(teams, list) else None,
        agent_id=None if agent_id is None else str(agent_id),
    )
