"""The life of a person's account: added, given roles, given tokens, disabled and enabled again. Pure.

An account names who somebody is, by a password, a subject at an OpenID provider, or an account of the operating system.
What it may do are its grants: a role of `roles.yaml` in a tenant, for teams or for one agent, until a day. A token is a
part of an account: it never allows more than the account does at the time of its use.
"""

import hmac
import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256

from processors.custody.authorization import ACTIONS, EVERY_TENANT, Action, Actor, Grant, Target, authorize
from schemas.config.roles import PeopleRole, check_scope
from schemas.errors import OperatorError

LONGEST_TOKEN = timedelta(days=366)
SHORTEST_PASSWORD = 12
LONGEST_PASSWORD = 256
FEWEST_LETTERS = 6
"""Different ones in a password: `aaaaaaaaaaaa` is none."""

OPERATOR = "operator"
"""The role of whoever owns the data directory: everything, everywhere, and an entry each time."""

_ACCOUNT = re.compile(r"[a-z][a-z0-9._-]{0,63}")
_TENANT = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_TOKEN = re.compile(r"cst_([a-z2-7]{12})_([A-Za-z0-9_-]{43})")
_COMMON = ("password", "qwerty", "12345678", "abcdefgh", "11111111", "letmein", "callstream", "administrator")


class AccountError(OperatorError):
    """What is asked of an account cannot be done; the sentence says why and names no secret."""

    exit_code = 1


class AccountRefusedError(AccountError):
    """Whoever asks may not do this to the account. `reason` is the word for the audit log."""

    def __init__(self, sentence: str, reason: str, tenant_id: str) -> None:
        super().__init__(sentence)
        self.reason = reason
        self.tenant_id = tenant_id


@dataclass(frozen=True)
class OidcSubject:
    """Somebody as an OpenID provider knows them: both together never change and never mean another one."""

    issuer: str
    subject: str


@dataclass(frozen=True)
class HeldGrant:
    """A role that an account was given. `teams` and `agent_id` as in `Grant`.

    `granted_by` is who gave it; None where an OpenID provider's claims do.
    """

    grant_id: str
    role: str
    tenant_id: str
    granted_at: datetime
    teams: frozenset[str] | None = None
    agent_id: str | None = None
    ends_at: datetime | None = None
    revoked_at: datetime | None = None
    granted_by: str | None = None

    def holds(self, now: datetime) -> bool:
        """Whether it counts."""
        return self.revoked_at is None and (self.ends_at is None or now < self.ends_at)


@dataclass(frozen=True)
class Token:
    """What is kept of a token of a person. `digest` is the SHA-256 of its secret, in hex.

    `held_by` is who besides the account may have it: the operator who made it, or, where the account made it itself,
    who had given the account its password by then; None where nobody had.
    """

    token_id: str
    label: str
    scopes: frozenset[Action]
    digest: str
    issued_at: datetime
    expires_at: datetime
    revoked_at: datetime | None = None
    held_by: str | None = None

    def holds(self, now: datetime) -> bool:
        """Whether it may be used."""
        return self.revoked_at is None and now < self.expires_at


@dataclass(frozen=True)
class Account:
    """What is known of a person. `home` is the tenant whose administrators look after the account, `*` for none alone.

    Sessions carry the `generation` in which they were opened; every change of what the account may do begins another,
    so that what was open before it is closed. `made_by` is who added it, and `password_by` who else gave it a password
    last: that the account changes it itself shows nothing, because who knows a password can do so, too.
    """

    account_id: str
    home: str
    created_at: datetime
    made_by: str
    password_hash: str | None = None
    password_by: str | None = None
    oidc: OidcSubject | None = None
    os_user: str | None = None
    clickhouse_user: str | None = None
    disabled_at: datetime | None = None
    generation: int = 0
    grants: tuple[HeldGrant, ...] = ()
    tokens: tuple[Token, ...] = ()

    @property
    def is_enabled(self) -> bool:
        return self.disabled_at is None


@dataclass(frozen=True)
class AddAccount:
    """Make an account, which may do nothing yet."""

    account_id: str
    home: str
    password_hash: str | None = None
    oidc: OidcSubject | None = None
    os_user: str | None = None
    clickhouse_user: str | None = None


@dataclass(frozen=True)
class SetPassword:
    """From now on the account signs in by this password."""

    account_id: str
    password_hash: str


@dataclass(frozen=True)
class GiveGrant:
    """Give the account a role."""

    account_id: str
    grant_id: str
    role: str
    tenant_id: str
    teams: frozenset[str] | None = None
    agent_id: str | None = None
    ends_at: datetime | None = None


@dataclass(frozen=True)
class RevokeGrant:
    """Take a role from the account."""

    account_id: str
    grant_id: str


@dataclass(frozen=True)
class DisableAccount:
    """The account may do nothing, whatever it was given."""

    account_id: str


@dataclass(frozen=True)
class EnableAccount:
    """The account may do again what it was given."""

    account_id: str


@dataclass(frozen=True)
class IssueToken:
    """Make a token of the account, for programs."""

    account_id: str
    token_id: str
    label: str
    scopes: frozenset[Action]
    digest: str
    expires_at: datetime


@dataclass(frozen=True)
class RevokeToken:
    """End a token."""

    account_id: str
    token_id: str


AccountCommand = (
    AddAccount | SetPassword | GiveGrant | RevokeGrant | DisableAccount | EnableAccount | IssueToken | RevokeToken
)


@dataclass(frozen=True)
class AccountAdded:
    account: Account


@dataclass(frozen=True)
class PasswordSet:
    account_id: str
    password_hash: str
    password_by: str | None


@dataclass(frozen=True)
class GrantGiven:
    account_id: str
    grant: HeldGrant


@dataclass(frozen=True)
class GrantRevoked:
    account_id: str
    grant: HeldGrant
    revoked_at: datetime


@dataclass(frozen=True)
class AccountDisabled:
    account_id: str
    disabled_at: datetime


@dataclass(frozen=True)
class AccountEnabled:
    account_id: str


@dataclass(frozen=True)
class TokenIssued:
    account_id: str
    token: Token


@dataclass(frozen=True)
class TokenRevoked:
    account_id: str
    token_id: str
    revoked_at: datetime


AccountEvent = (
    AccountAdded
    | PasswordSet
    | GrantGiven
    | GrantRevoked
    | AccountDisabled
    | AccountEnabled
    | TokenIssued
    | TokenRevoked
)


def decide(
    command: AccountCommand, state: Account | None, by: Actor, roles: Mapping[str, PeopleRole], now: datetime
) -> Sequence[AccountEvent]:
    """What happens to the account that the command names, of which `state` is known, when `by` asks for it; nothing
    where it is so already.

    Raises `AccountError`, and `AccountRefusedError` where `by` may not.
    """
    if isinstance(command, AddAccount):
        return _add(command, state, by, now)
    if state is None:
        raise AccountError(f"there is no account {command.account_id}: `callstream user list` shows all")
    match command:
        case SetPassword():
            if by.actor_id == state.account_id:
                return (PasswordSet(state.account_id, command.password_hash, state.password_by),)
            _require_over(state, by, now)
            return (PasswordSet(state.account_id, command.password_hash, by.actor_id),)
        case GiveGrant():
            return _give(command, state, by, roles, now)
        case RevokeGrant():
            grant = next((each for each in state.grants if each.grant_id == command.grant_id), None)
            if grant is None:
                raise AccountError(
                    f"{state.account_id} has no grant {command.grant_id}: `callstream user show` names all"
                )
            _require_in(grant.tenant_id, by)
            return () if grant.revoked_at is not None else (GrantRevoked(state.account_id, grant, now),)
        case DisableAccount():
            _require_over(state, by, now)
            return (AccountDisabled(state.account_id, now),) if state.is_enabled else ()
        case EnableAccount():
            _require_over(state, by, now)
            return () if state.is_enabled else (AccountEnabled(state.account_id),)
        case IssueToken():
            return _issue(command, state, by, roles, now)
        case RevokeToken():
            if by.actor_id != state.account_id:
                _require_over(state, by, now)
            token = next((each for each in state.tokens if each.token_id == command.token_id), None)
            if token is None:
                raise AccountError(
                    f"{state.account_id} has no token {command.token_id}: see `callstream user token list`"
                )
            return () if token.revoked_at is not None else (TokenRevoked(state.account_id, token.token_id, now),)


def _add(command: AddAccount, state: Account | None, by: Actor, now: datetime) -> Sequence[AccountEvent]:
    if not _ACCOUNT.fullmatch(command.account_id):
        raise AccountError(
            "an account is written a-z, 0-9, ., _ and -, begins with a letter and has at most 64 characters"
        )
    if command.home != EVERY_TENANT and not _TENANT.fullmatch(command.home):
        raise AccountError("a tenant is written a-z, 0-9, _ and -, and begins with a letter")
    # An account of the machine is of no tenant: whoever links it decides for whom its commands speak.
    _require_in(command.home if command.os_user is None else EVERY_TENANT, by)
    if state is not None:
        raise AccountError(f"there is an account {command.account_id} already: choose another name")
    return (
        AccountAdded(
            Account(
                account_id=command.account_id,
                home=command.home,
                created_at=now,
                made_by=by.actor_id,
                password_hash=command.password_hash,
                password_by=None if command.password_hash is None else by.actor_id,
                oidc=command.oidc,
                os_user=command.os_user,
                clickhouse_user=command.clickhouse_user,
            )
        ),
    )


def _give(
    command: GiveGrant, state: Account, by: Actor, roles: Mapping[str, PeopleRole], now: datetime
) -> Sequence[AccountEvent]:
    check_grant(command.role, command.tenant_id, command.teams, command.agent_id, roles)
    if by.actor_id == state.account_id:
        raise AccountRefusedError(
            "nobody gives a role to themselves: ask another administrator", "own_account", command.tenant_id
        )
    _require_in(command.tenant_id, by)
    if command.ends_at is not None and command.ends_at <= now:
        raise AccountError("a grant ends in the future")
    if any(each.grant_id == command.grant_id for each in state.grants):
        return ()
    grant = HeldGrant(
        grant_id=command.grant_id,
        role=command.role,
        tenant_id=command.tenant_id,
        granted_at=now,
        teams=command.teams,
        agent_id=command.agent_id,
        ends_at=command.ends_at,
        granted_by=by.actor_id,
    )
    return (GrantGiven(state.account_id, grant),)


def check_grant(
    role: str, tenant_id: str, teams: Collection[str] | None, agent_id: str | None, roles: Mapping[str, PeopleRole]
) -> None:
    """Raises `AccountError` unless the role exists and exactly that is given which it needs."""
    known = roles.get(role)
    if known is None:
        raise AccountError(f"there is no role {role} of people: {', '.join(sorted(roles))}")
    if tenant_id != EVERY_TENANT and not _TENANT.fullmatch(tenant_id):
        raise AccountError("a tenant is written a-z, 0-9, _ and -, and begins with a letter; * is all of them")
    if tenant_id == EVERY_TENANT and known.rows in ("team", "agent"):
        raise AccountError(f"role {role} needs exactly one tenant: teams and numbers of agents are its own")
    problem = None
    try:
        check_scope(role, known.rows, [tenant_id], sorted(teams or ()), agent_id)
    except ValueError as error:
        problem = str(error)
    if problem is not None:
        raise AccountError(problem)
    if agent_id is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}", agent_id):
        raise AccountError("that cannot be the number of an agent")
    if any(not 0 < len(team) <= 200 or not team.isprintable() for team in teams or ()):
        raise AccountError("that cannot be the name of a team")


def _issue(
    command: IssueToken, state: Account, by: Actor, roles: Mapping[str, PeopleRole], now: datetime
) -> Sequence[AccountEvent]:
    if by.actor_id != state.account_id and not _is_operator(by):
        raise AccountRefusedError(
            "a token speaks for its account: nobody but the account itself makes one", "other_account", state.home
        )
    if not state.is_enabled:
        raise AccountError(f"the account {state.account_id} is disabled")
    may = frozenset().union(*(grant.actions for grant in grants_at(state, roles, now)))
    if not command.scopes:
        raise AccountError(f"a token needs a scope: {', '.join(ACTIONS)}")
    if command.scopes - may:
        raise AccountError(
            f"the account may not {', '.join(sorted(command.scopes - may))}: a token cannot do more than it"
        )
    if not now < command.expires_at <= now + LONGEST_TOKEN:
        raise AccountError(f"a token holds for {LONGEST_TOKEN.days} days at most")
    token = Token(
        command.token_id,
        command.label,
        command.scopes,
        command.digest,
        now,
        command.expires_at,
        held_by=state.password_by if by.actor_id == state.account_id else by.actor_id,
    )
    return (TokenIssued(state.account_id, token),)


def _is_operator(by: Actor) -> bool:
    return any(grant.role == OPERATOR and grant.tenant_id == EVERY_TENANT for grant in by.grants)


def _require_in(tenant_id: str, by: Actor) -> None:
    """Raises `AccountRefusedError` unless `by` administers that tenant."""
    decision = authorize(by, "administer", Target(tenant_id))
    if not decision.allowed:
        where = "every tenant" if tenant_id == EVERY_TENANT else f"tenant {tenant_id}"
        raise AccountRefusedError(
            f"this needs a role that may administer {where}: ask somebody who has one", decision.reason, tenant_id
        )


def _require_over(state: Account, by: Actor, now: datetime) -> None:
    """Who changes an account could sign in as it, so they must administer every tenant in which it may do anything."""
    for tenant_id in sorted({state.home, *(grant.tenant_id for grant in state.grants if grant.holds(now))}):
        _require_in(tenant_id, by)


def after(event: AccountEvent, state: Account | None) -> Account:
    """What is known of the account that the event is about. Raises `ValueError` for an event of another account."""
    if isinstance(event, AccountAdded):
        return event.account
    if state is None or state.account_id != event.account_id:
        raise ValueError("the event is about another account")
    match event:
        case PasswordSet():
            return replace(_next(state), password_hash=event.password_hash, password_by=event.password_by)
        case GrantGiven():
            return replace(_next(state), grants=(*state.grants, event.grant))
        case GrantRevoked():
            grants = tuple(
                replace(each, revoked_at=event.revoked_at) if each.grant_id == event.grant.grant_id else each
                for each in state.grants
            )
            return replace(_next(state), grants=grants)
        case AccountDisabled():
            return replace(_next(state), disabled_at=event.disabled_at)
        case AccountEnabled():
            return replace(_next(state), disabled_at=None)
        case TokenIssued():
            return replace(state, tokens=(*state.tokens, event.token))
        case TokenRevoked():
            tokens = tuple(
                replace(each, revoked_at=event.revoked_at) if each.token_id == event.token_id else each
                for each in state.tokens
            )
            return replace(state, tokens=tokens)


def _next(state: Account) -> Account:
    return replace(state, generation=state.generation + 1)


def grants_at(
    account: Account, roles: Mapping[str, PeopleRole], now: datetime, extra: Collection[HeldGrant] = ()
) -> tuple[Grant, ...]:
    """What the account may do at that time; `extra` are grants from elsewhere, such as an OpenID provider's claims.

    A role that is not in the file any more grants nothing.
    """
    if not account.is_enabled:
        return ()
    return tuple(
        Grant(
            role=held.role,
            tenant_id=held.tenant_id,
            actions=roles[held.role].actions,
            teams=held.teams,
            agent_id=held.agent_id,
            fields=roles[held.role].fields,
            granted_by=held.granted_by,
        )
        for held in (*account.grants, *extra)
        if held.holds(now) and held.role in roles
    )


def actor_of(
    account: Account, roles: Mapping[str, PeopleRole], now: datetime, extra: Collection[HeldGrant] = ()
) -> Actor:
    """The account as `authorize` knows it."""
    return Actor(account.account_id, grants_at(account, roles, now, extra))


def actor_of_token(account: Account, token: Token, roles: Mapping[str, PeopleRole], now: datetime) -> Actor:
    """The account, as far as the token goes: in no grant an action that the token was not made for."""
    grants = tuple(replace(grant, actions=grant.actions & token.scopes) for grant in grants_at(account, roles, now))
    return Actor(account.account_id, grants if token.holds(now) else ())


def operator_of(os_user: str) -> Actor:
    """The owner of the data directory, who can read and write everything there anyway; what they do is entered."""
    every = Grant(
        role=OPERATOR,
        tenant_id=EVERY_TENANT,
        actions=frozenset(ACTIONS),
        fields=frozenset({"facts", "suspicion", "customer"}),
    )
    return Actor(f"os:{os_user}", (every,))


def check_password(password: str, account_id: str) -> str:
    """The password as it is hashed: in Unicode's form NFKC, so that another keyboard writes the same.

    Raises `AccountError` for one that is easily guessed.
    """
    normal = unicodedata.normalize("NFKC", password)
    if not SHORTEST_PASSWORD <= len(normal) <= LONGEST_PASSWORD:
        raise AccountError(f"a password has {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters")
    if len(set(normal)) < FEWEST_LETTERS:
        raise AccountError(f"a password has at least {FEWEST_LETTERS} different characters")
    low = normal.lower()
    if account_id in low or any(len(low.replace(common, "")) < FEWEST_LETTERS for common in _COMMON):
        raise AccountError("that password is among the first that anybody tries: choose another")
    return normal


def token_text(token_id: str, secret: str) -> str:
    """The token as its owner is given it, once."""
    return f"cst_{token_id}_{secret}"


def parts_of_token(text: str) -> tuple[str, str] | None:
    """Id and secret; None for what is no token."""
    match = _TOKEN.fullmatch(text)
    return None if match is None else (match[1], match[2])


def digest_of(secret: str) -> str:
    """What is kept of a secret of 256 random bits: there is nothing to guess."""
    return sha256(secret.encode()).hexdigest()


_NO_DIGEST = digest_of("")


def is_token(token: Token | None, secret: str, now: datetime) -> bool:
    """Whether this secret is that of the token, and the token holds. A token that there is not takes as long."""
    digest = _NO_DIGEST if token is None else token.digest
    same = hmac.compare_digest(digest_of(secret).encode(), digest.encode())
    return same and token is not None and token.holds(now)
