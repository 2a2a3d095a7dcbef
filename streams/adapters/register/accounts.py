"""Accounts of people in the register: what `processors.custody.accounts` decides, kept with an event and an entry.

All three stand in one transaction. A change that is refused leaves an entry, too.
"""

import base64
import json
import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import func, insert, select, update

from processors.custody.accounts import (
    OPERATOR,
    Account,
    AccountAdded,
    AccountCommand,
    AccountDisabled,
    AccountEnabled,
    AccountError,
    AccountEvent,
    AccountRefusedError,
    AddAccount,
    DisableAccount,
    EnableAccount,
    GiveGrant,
    GrantGiven,
    GrantRevoked,
    HeldGrant,
    IssueToken,
    OidcSubject,
    PasswordSet,
    RevokeGrant,
    RevokeToken,
    SetPassword,
    Token,
    TokenIssued,
    TokenRevoked,
    after,
    decide,
    digest_of,
    token_text,
)
from processors.custody.audit_entry import AuditEntry
from processors.custody.authorization import Action, Actor
from schemas.config.roles import PeopleRole
from schemas.messages.custody_changed import CustodyChanged, CustodyKind
from streams.adapters.register.ports import EntryWithinOrBefore
from streams.adapters.register.register import Register, Transaction
from streams.adapters.register.tables import account_grants, account_tokens, accounts
from streams.ports import Clock

NO_ROLE = "none"


@dataclass(frozen=True)
class FreshToken:
    """A token that was made just now; `text` is kept nowhere, and shown once."""

    token: Token
    text: str


@dataclass(frozen=True)
class FoundToken:
    """A token and whose it is."""

    account: Account
    token: Token


class RegisterAccounts:
    """Safe to share between threads and processes. Every method may raise what `Register.transaction` does; those that
    change something raise `AccountError` where it cannot be done or may not.
    """

    def __init__(
        self,
        register: Register,
        clock: Clock,
        roles: Mapping[str, PeopleRole],
        audit_log: EntryWithinOrBefore,
        *,
        client: str = "cli",
    ) -> None:
        self._register = register
        self._clock = clock
        self._roles = roles
        self._audit_log = audit_log
        self._client = client

    def add(
        self,
        by: Actor,
        account_id: str,
        home: str,
        *,
        password_hash: str | None = None,
        oidc: OidcSubject | None = None,
        os_user: str | None = None,
        clickhouse_user: str | None = None,
    ) -> Account:
        """A new account, which may do nothing yet."""
        return self._obey(by, AddAccount(account_id, home, password_hash, oidc, os_user, clickhouse_user))

    def set_password(self, by: Actor, account_id: str, password_hash: str) -> Account:
        """Closes the account's sessions."""
        return self._obey(by, SetPassword(account_id, password_hash))

    def give(
        self,
        by: Actor,
        account_id: str,
        role: str,
        tenant_id: str,
        *,
        teams: Collection[str] | None = None,
        agent_id: str | None = None,
        ends_at: datetime | None = None,
    ) -> HeldGrant:
        """A new grant."""
        narrowed = frozenset(teams) if teams else None
        command = GiveGrant(account_id, new_id(), role, tenant_id, narrowed, agent_id, ends_at)
        return next(each for each in self._obey(by, command).grants if each.grant_id == command.grant_id)

    def revoke_grant(self, by: Actor, account_id: str, grant_id: str) -> Account:
        """Does nothing the second time."""
        return self._obey(by, RevokeGrant(account_id, grant_id))

    def disable(self, by: Actor, account_id: str) -> Account:
        """Does nothing the second time."""
        return self._obey(by, DisableAccount(account_id))

    def enable(self, by: Actor, account_id: str) -> Account:
        """Does nothing the second time."""
        return self._obey(by, EnableAccount(account_id))

    def issue_token(
        self, by: Actor, account_id: str, label: str, scopes: Collection[Action], lasts: timedelta
    ) -> FreshToken:
        """A new token; its text is kept nowhere."""
        token_id, secret = new_id(), secrets.token_urlsafe(32)
        ends_at = self._clock.now() + lasts
        command = IssueToken(account_id, token_id, label, frozenset(scopes), digest_of(secret), ends_at)
        account = self._obey(by, command)
        token = next(each for each in account.tokens if each.token_id == token_id)
        return FreshToken(token, token_text(token_id, secret))

    def revoke_token(self, by: Actor, account_id: str, token_id: str) -> Account:
        """Does nothing the second time."""
        return self._obey(by, RevokeToken(account_id, token_id))

    def is_new(self) -> bool:
        """Whether nobody has been given a role yet."""
        with self._register.reading("look for roles that were given") as tx:
            return tx.execute(select(func.count()).select_from(account_grants)).scalar() == 0

    def find(self, account_id: str) -> Account | None:
        """The account of that name, whatever its state."""
        return self._find(accounts.c.account_id == account_id)

    def find_by_subject(self, subject: OidcSubject) -> Account | None:
        """The account that signs in at that provider as that subject."""
        return self._find((accounts.c.oidc_issuer == subject.issuer) & (accounts.c.oidc_subject == subject.subject))

    def find_by_os_user(self, os_user: str) -> Account | None:
        """The account for which commands of that account of the operating system speak."""
        return account_of_os_user(self._register, os_user)

    def find_token(self, token_id: str) -> FoundToken | None:
        """The token of that id and its account, whatever their states."""
        asked = select(account_tokens.c.account_id).where(account_tokens.c.token_id == token_id)
        with self._register.reading("read a token") as tx:
            account_id = tx.execute(asked).scalar()
            account = None if account_id is None else _load(tx, accounts.c.account_id == account_id)
        if account is None:
            return None
        return FoundToken(account, next(each for each in account.tokens if each.token_id == token_id))

    def list(self) -> Sequence[Account]:
        """All accounts, by name."""
        with self._register.reading("list accounts") as tx:
            names = tx.execute(select(accounts.c.account_id).order_by(accounts.c.account_id)).scalars().all()
            found = [_load(tx, accounts.c.account_id == name) for name in names]
        return [account for account in found if account is not None]

    def tokens_used_at(self, account_id: str) -> Mapping[str, datetime | None]:
        """Token → when it was used last, to about an hour."""
        t = account_tokens.c
        with self._register.reading("list tokens") as tx:
            rows = tx.execute(select(t.token_id, t.used_at).where(t.account_id == account_id)).all()
        return {row.token_id: row.used_at for row in rows}

    def note_use(self, token_id: str, at: datetime) -> None:
        """When it was used last; never goes back. Changes nothing of the token, so it is no event."""
        t = account_tokens.c
        with self._register.transaction("note the use of a token") as tx:
            later = func.coalesce(t.used_at < at, True)
            tx.execute(update(account_tokens).where(t.token_id == token_id, later).values(used_at=at))

    def hash_anew(self, account_id: str, former: str, password_hash: str) -> None:
        """The same password by the parameters of this release: no change of the account."""
        a = accounts.c
        with self._register.transaction("hash a password anew") as tx:
            mine = (a.account_id == account_id) & (a.password_hash == former)
            tx.execute(update(accounts).where(mine).values(password_hash=password_hash))

    def _find(self, which: Any) -> Account | None:
        with self._register.reading("read an account") as tx:
            return _load(tx, which)

    def _obey(self, by: Actor, command: AccountCommand) -> Account:
        now = self._clock.now()
        try:
            with self._register.transaction("change an account") as tx:
                state = _load(tx, accounts.c.account_id == command.account_id, lock=True)
                if isinstance(command, AddAccount):
                    _require_free(tx, command)
                for event in decide(command, state, by, self._roles, now):
                    state = after(event, state)
                    _write(tx, event, state)
                    told, entry = _told(event, state, by, now, self._client)
                    tx.outbox(told)
                    self._audit_log.append_within(tx, entry)
        except AccountRefusedError as refused:
            self._audit_log.append(_refused(command, refused, by, now, self._client))
            raise
        if state is None:
            raise AccountError(f"there is no account {command.account_id}: `callstream user list` shows all")
        return state


@dataclass(frozen=True)
class RegisterMakers:
    """`processors.custody.makers.KnowsMakers`. Every method may raise what `Register.reading` does."""

    register: Register

    def find(self, account_id: str) -> Account | None:
        """The account of that name, whatever its state."""
        with self.register.reading("read an account") as tx:
            return _load(tx, accounts.c.account_id == account_id)

    def find_by_os_user(self, os_user: str) -> Account | None:
        """The account for which commands of that account of the operating system speak."""
        return account_of_os_user(self.register, os_user)


def account_of_os_user(register: Register, os_user: str) -> Account | None:
    """The account for which commands of that account of the operating system speak. Raises as `Register.reading`."""
    with register.reading("read an account") as tx:
        return _load(tx, accounts.c.os_user == os_user)


def new_id() -> str:
    """An id of 60 random bits."""
    return base64.b32encode(secrets.token_bytes(8)).decode().lower()[:12]


def _require_free(tx: Transaction, command: AddAccount) -> None:
    """Raises `AccountError` where somebody else signs in that way."""
    if command.os_user is not None and _load(tx, accounts.c.os_user == command.os_user) is not None:
        raise AccountError("that account of the operating system is linked to another account already")
    if command.oidc is not None:
        a = accounts.c
        same = (a.oidc_issuer == command.oidc.issuer) & (a.oidc_subject == command.oidc.subject)
        if _load(tx, same) is not None:
            raise AccountError("that subject of the OpenID provider is linked to another account already")


def _load(tx: Transaction, which: Any, *, lock: bool = False) -> Account | None:
    asked = select(accounts).where(which)
    row = tx.execute(asked.with_for_update() if lock else asked).mappings().first()
    if row is None:
        return None
    g, t = account_grants.c, account_tokens.c
    mine = row["account_id"]
    grants = tx.execute(select(account_grants).where(g.account_id == mine).order_by(g.granted_at, g.grant_id))
    tokens = tx.execute(select(account_tokens).where(t.account_id == mine).order_by(t.issued_at, t.token_id))
    subject = None if row["oidc_issuer"] is None else OidcSubject(row["oidc_issuer"], row["oidc_subject"])
    return Account(
        account_id=mine,
        home=row["home"],
        created_at=row["created_at"],
        made_by=row["made_by"],
        password_hash=row["password_hash"],
        password_by=row["password_by"],
        oidc=subject,
        os_user=row["os_user"],
        clickhouse_user=row["clickhouse_user"],
        disabled_at=row["disabled_at"],
        generation=row["generation"],
        grants=tuple(_as_grant(each) for each in grants.mappings()),
        tokens=tuple(_as_token(each) for each in tokens.mappings()),
    )


def _as_grant(row: Mapping[Any, Any]) -> HeldGrant:
    return HeldGrant(
        grant_id=row["grant_id"],
        role=row["role"],
        tenant_id=row["tenant_id"],
        granted_at=row["granted_at"],
        teams=None if row["teams"] is None else frozenset(json.loads(row["teams"])),
        agent_id=row["agent_id"],
        ends_at=row["ends_at"],
        revoked_at=row["revoked_at"],
        granted_by=row["granted_by"],
    )


def _as_token(row: Mapping[Any, Any]) -> Token:
    return Token(
        token_id=row["token_id"],
        label=row["label"],
        scopes=frozenset(cast(Action, scope) for scope in row["scopes"].split()),
        digest=row["digest"],
        issued_at=row["issued_at"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
        held_by=row["held_by"],
    )


def _write(tx: Transaction, event: AccountEvent, account: Account) -> None:
    mine = accounts.c.account_id == account.account_id
    values: dict[str, object] = {
        "password_hash": account.password_hash,
        "password_by": account.password_by,
        "disabled_at": account.disabled_at,
        "generation": account.generation,
    }
    match event:
        case AccountAdded():
            values |= {
                "account_id": account.account_id,
                "home": account.home,
                "created_at": account.created_at,
                "made_by": account.made_by,
                "oidc_issuer": None if account.oidc is None else account.oidc.issuer,
                "oidc_subject": None if account.oidc is None else account.oidc.subject,
                "os_user": account.os_user,
                "clickhouse_user": account.clickhouse_user,
            }
            tx.execute(insert(accounts).values(values))
            return
        case GrantGiven(_, grant):
            tx.execute(
                insert(account_grants).values(
                    grant_id=grant.grant_id,
                    account_id=account.account_id,
                    role=grant.role,
                    tenant_id=grant.tenant_id,
                    teams=None if grant.teams is None else json.dumps(sorted(grant.teams), ensure_ascii=False),
                    agent_id=grant.agent_id,
                    granted_at=grant.granted_at,
                    granted_by=grant.granted_by,
                    ends_at=grant.ends_at,
                )
            )
        case GrantRevoked(_, grant, revoked_at):
            this = account_grants.c.grant_id == grant.grant_id
            tx.execute(update(account_grants).where(this).values(revoked_at=revoked_at))
        case TokenIssued(_, token):
            tx.execute(
                insert(account_tokens).values(
                    token_id=token.token_id,
                    account_id=account.account_id,
                    label=token.label,
                    scopes=" ".join(sorted(token.scopes)),
                    digest=token.digest,
                    issued_at=token.issued_at,
                    expires_at=token.expires_at,
                    held_by=token.held_by,
                )
            )
        case TokenRevoked(_, token_id, revoked_at):
            this = account_tokens.c.token_id == token_id
            tx.execute(update(account_tokens).where(this).values(revoked_at=revoked_at))
    tx.execute(update(accounts).where(mine).values(values))


def _told(
    event: AccountEvent, account: Account, by: Actor, at: datetime, client: str
) -> tuple[CustodyChanged, AuditEntry]:
    """The event and the entry of a change."""
    kind: CustodyKind
    tenant_id, role = account.home, None
    details: dict[str, str | int] = {}
    match event:
        case AccountAdded():
            kind = "account_added"
        case PasswordSet():
            kind = "password_set"
        case GrantGiven(_, grant):
            kind, tenant_id, role = "role_granted", grant.tenant_id, grant.role
            details = {"role": grant.role, "grant_id": grant.grant_id}
            if grant.ends_at is not None:
                details["ends_at"] = grant.ends_at.isoformat(timespec="seconds")
        case GrantRevoked(_, grant):
            kind, tenant_id, role = "role_revoked", grant.tenant_id, grant.role
            details = {"role": grant.role, "grant_id": grant.grant_id}
        case AccountDisabled():
            kind = "account_disabled"
        case AccountEnabled():
            kind = "account_enabled"
        case TokenIssued(_, token):
            kind, details = "token_made", {"token_id": token.token_id, "scopes": " ".join(sorted(token.scopes))}
        case TokenRevoked(_, token_id):
            kind, details = "token_revoked", {"token_id": token_id}
    told = CustodyChanged.of(
        kind,
        tenant_id=tenant_id,
        actor=by.actor_id,
        at=at,
        account_id=account.account_id,
        role=role,
        api_key_id=str(details["token_id"]) if "token_id" in details else None,
    )
    entry = AuditEntry(
        at=at,
        actor=by.actor_id,
        role=role_of(by, tenant_id),
        action=kind,
        tenant_id=tenant_id,
        result="done",
        client=client,
        object_kind="account",
        object_id=account.account_id,
        details=details,
    )
    return told, entry


_TRIED: Mapping[type[AccountCommand], CustodyKind] = {
    AddAccount: "account_added",
    SetPassword: "password_set",
    GiveGrant: "role_granted",
    RevokeGrant: "role_revoked",
    DisableAccount: "account_disabled",
    EnableAccount: "account_enabled",
    IssueToken: "token_made",
    RevokeToken: "token_revoked",
}


def _refused(command: AccountCommand, refused: AccountRefusedError, by: Actor, at: datetime, client: str) -> AuditEntry:
    return AuditEntry(
        at=at,
        actor=by.actor_id,
        role=role_of(by, refused.tenant_id),
        action=_TRIED[type(command)],
        tenant_id=refused.tenant_id,
        result="refused",
        client=client,
        object_kind="account",
        object_id=command.account_id,
        refusal=refused.reason,
    )


def role_of(by: Actor, tenant_id: str) -> str:
    """The role by which somebody administers the tenant, for an entry; `none` where there is none."""
    for grant in by.grants:
        if grant.role == OPERATOR or ("administer" in grant.actions and grant.tenant_id in (tenant_id, "*")):
            return grant.role
    return NO_ROLE
