"""Who a person is: by a password, a session, a token of their own, or what an OpenID provider says of them.

Whatever is wrong, the answer is the same, and it takes as long: nobody learns here which accounts there are.
"""

import asyncio
import hmac
import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from hashlib import sha256
from http import HTTPStatus
from ipaddress import IPv4Address, ip_address, ip_network
from itertools import islice
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar
from urllib.parse import urlsplit

from processors.custody.accounts import (
    Account,
    AccountError,
    HeldGrant,
    OidcSubject,
    actor_of,
    actor_of_token,
    digest_of,
    grants_at,
    is_token,
    parts_of_token,
)
from processors.custody.audit_entry import AuditEntry, AuditLog, AuditResult
from processors.custody.authorization import EVERY_TENANT, Actor, Grant
from processors.custody.oidc_claims import TokenRefusedError, account_of, claimed_grants
from processors.custody.sign_in import FREE_OF_ACCOUNT, FREE_OF_ADDRESS
from schemas.config.claim_grants import NO_CLAIM_GRANTS, ClaimGrants
from schemas.config.roles import PeopleRole
from schemas.errors import OperatorError, RetryableError
from streams.ports import Clock
from streams.serve.problems import RefusedError, busy, entered, unavailable

if TYPE_CHECKING:
    from starlette.requests import Request

    from streams.adapters.oidc.provider import SaidOfSomebody
    from streams.adapters.register.accounts import FoundToken
    from streams.adapters.register.sessions import OidcSignIn, Session

log = logging.getLogger(__name__)

T = TypeVar("T")

REMEMBERED_S = 10.0
"""So long an account that was disabled, a session that was closed elsewhere, or a token that was revoked may still be
used here. What has a time at which it ends is looked at every time."""

REMEMBERED = 10_000
USE_IS_NOTED_EVERY = timedelta(hours=1)
SESSION_USE_IS_NOTED_EVERY = timedelta(minutes=1)
ENTERED_EVERY_S = 10.0
"""Who is nobody, from one address and for one reason, is entered once in that time: a log must not be filled by those
who are not let in. The log of the process has each."""

MOST_ADDRESSES = 60
"""So many are told apart in that time; of all others together there is one entry."""

PASSWORDS_AT_ONCE = 2
PASSWORDS_WAITING = 16

PROVIDER_NAME = "the OpenID provider"
PROVIDER_THREADS = 4
"""Of their own: while the provider is slow or away, those who need the register alone are not held up."""

COOKIE = "__Host-callstream"
"""A browser sends it back to this server alone, over HTTPS or to this machine, and shows it to no script."""

SIGN_IN_COOKIE = "__Host-callstream-sign-in"
CSRF_HEADER = "x-csrf-token"
NOBODY = "unknown"

PROVIDER = Actor("oidc", (Grant("oidc_provider", EVERY_TENANT, frozenset({"administer"})),))
"""Who adds the account of somebody who signs in at the OpenID provider for the first time. It gets no role there."""

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class KnowsAccounts(Protocol):
    """`RegisterAccounts`. Every method may raise `RetryableError` and `OperatorError`."""

    def find(self, account_id: str) -> Account | None: ...
    def find_by_subject(self, subject: OidcSubject) -> Account | None: ...
    def find_token(self, token_id: str) -> "FoundToken | None": ...
    def add(self, by: Actor, account_id: str, home: str, *, oidc: OidcSubject | None = None) -> Account: ...
    def note_use(self, token_id: str, at: datetime) -> None: ...
    def hash_anew(self, account_id: str, former: str, password_hash: str) -> None: ...


class KnowsSessions(Protocol):
    """`RegisterSessions`. Every method may raise `RetryableError` and `OperatorError`."""

    def open(self, account_id: str, generation: int, claimed: Collection[HeldGrant] = ()) -> str: ...
    def find(self, secret: str) -> "Session | None": ...
    def note_use(self, digest: str, at: datetime) -> None: ...
    def close(self, digest: str) -> None: ...
    def begin_oidc(self, state: str, browser: str, sign_in: "OidcSignIn") -> None: ...
    def end_oidc(self, state: str, browser: str) -> "OidcSignIn | None": ...
    def begin_try(self, name: str, free: int) -> float: ...
    def forgive(self, name: str, *, wholly: bool) -> None: ...


class KnowsPasswords(Protocol):
    """`streams.adapters.passwords.Passwords`."""

    def hash(self, password: str) -> str: ...
    def is_password(self, kept: str | None, given: str) -> bool: ...
    def is_dated(self, kept: str) -> bool: ...


class Provider(Protocol):
    """`streams.adapters.oidc.provider.OidcProvider`."""

    @property
    def issuer(self) -> str: ...
    def sign_in_url(self, state: str, nonce: str, verifier: str) -> str: ...
    def redeem(self, code: str, verifier: str, nonce: str) -> "SaidOfSomebody": ...
    def read_access_token(self, token: str) -> "SaidOfSomebody": ...


@dataclass(frozen=True)
class PeopleServed:
    """What is known of people. `provider` is None where nobody signs in at one."""

    accounts: KnowsAccounts
    sessions: KnowsSessions
    passwords: KnowsPasswords
    roles: Mapping[str, PeopleRole]
    audit_log: AuditLog
    provider: Provider | None = None
    claim_grants: ClaimGrants = NO_CLAIM_GRANTS


@dataclass(frozen=True)
class Person:
    """Who asks. `by` says how that is known: `session`, `token` or `oidc`. `csrf_token` is of a session."""

    account: Account
    actor: Actor
    by: str
    claimed: tuple[HeldGrant, ...] = ()
    csrf_token: str | None = None
    session_digest: str | None = None


@dataclass(frozen=True)
class OpenedSession:
    """A session that was opened just now: what the cookie holds, and whose it is."""

    secret: str
    person: Person


@dataclass
class Remembered(Generic[T]):
    """What was asked of the register within the last seconds."""

    monotonic_s: Callable[[], float]
    most: int = REMEMBERED
    _kept: "OrderedDict[str, tuple[float, T]]" = field(default_factory=OrderedDict)

    def get(self, name: str) -> tuple[T] | None:
        """In a tuple, because what is known may be that there is none."""
        known = self._kept.get(name)
        return (known[1],) if known is not None and self.monotonic_s() - known[0] < REMEMBERED_S else None

    def keep(self, name: str, value: T) -> None:
        self._kept[name] = (self.monotonic_s(), value)
        self._kept.move_to_end(name)
        while len(self._kept) > self.most:
            self._kept.popitem(last=False)

    def forget(self, name: str) -> None:
        self._kept.pop(name, None)


class People:
    """For the thread of the event loop alone; what blocks runs in `pool`, passwords in threads of their own."""

    def __init__(
        self, served: PeopleServed, clock: Clock, pool: Executor, monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._served = served
        self._clock = clock
        self._pool = pool
        self._monotonic_s = monotonic_s
        self._hashing = ThreadPoolExecutor(PASSWORDS_AT_ONCE, thread_name_prefix="password")
        self._hashing_now = 0
        self._remote = ThreadPoolExecutor(PROVIDER_THREADS, thread_name_prefix="oidc")
        self._accounts: Remembered[Account | None] = Remembered(monotonic_s)
        self._tokens: Remembered[FoundToken | None] = Remembered(monotonic_s)
        self._sessions: Remembered[Session | None] = Remembered(monotonic_s)
        self._used_at: OrderedDict[str, datetime] = OrderedDict()
        self._entered_at_s: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._noting: set[asyncio.Future[None]] = set()

    # Who asks

    async def by_token(self, text: str, request: "Request") -> Person:
        """Whoever sends a token of their own. Raises `RefusedError` (401)."""
        parts = parts_of_token(text)
        if parts is None:
            raise await self.refused(request, "no_token")
        token_id, secret = parts
        known = self._tokens.get(token_id)
        if known is None:
            known = (await self._asked(self._served.accounts.find_token, token_id),)
            self._tokens.keep(token_id, known[0])
        found, now = known[0], self._clock.now()
        if not is_token(found.token if found else None, secret, now) or found is None:
            raise await self.refused(request, "token")
        account = await self._account(found.account.account_id)
        if account is None or not account.is_enabled:
            raise await self.refused(request, "disabled", found.account)
        self._note("token", token_id, now, USE_IS_NOTED_EVERY, self._served.accounts.note_use)
        return Person(account, actor_of_token(account, found.token, self._served.roles, now), "token")

    async def by_access_token(self, text: str, request: "Request") -> Person:
        """Whoever sends an access token of the OpenID provider. Raises `RefusedError` (401)."""
        if self._served.provider is None:
            raise await self.refused(request, "no_token")
        try:
            said = await self._asked(self._served.provider.read_access_token, text, what=PROVIDER_NAME)
        except TokenRefusedError as refused:
            reason = refused.reason
        else:
            return await self._said(said, "oidc", request)
        raise await self.refused(request, reason)

    async def by_session(self, secret: str, request: "Request") -> Person:
        """Whoever's browser sends the cookie. Raises `RefusedError`: 401; 403 for a change that another site may have
        sent."""
        digest = digest_of(secret)
        known = self._sessions.get(digest)
        if known is None:
            known = (await self._asked(self._served.sessions.find, secret),)
            self._sessions.keep(digest, known[0])
        session, now = known[0], self._clock.now()
        if session is None or not session.times.holds(now):
            raise await self.refused(request, "session")
        account = await self._account(session.account_id)
        if account is not None and account.generation < session.generation:
            # It was changed, and the session opened elsewhere, within the last seconds.
            self._accounts.forget(session.account_id)
            account = await self._account(session.account_id)
        if account is None or not account.is_enabled or account.generation != session.generation:
            raise await self.refused(request, "session", account)
        csrf_token = csrf_token_of(secret)
        if request.method not in _SAFE_METHODS:
            given = request.headers.get(CSRF_HEADER, "")
            if not hmac.compare_digest(given.encode(), csrf_token.encode()) or is_from_elsewhere(request):
                await self._enter(request, "csrf", account)
                raise entered(
                    RefusedError(
                        HTTPStatus.FORBIDDEN, "csrf", "Send X-CSRF-Token as GET /v1/me gives it, from this site alone."
                    )
                )
        self._note("session", digest, now, SESSION_USE_IS_NOTED_EVERY, self._served.sessions.note_use)
        actor = actor_of(account, self._served.roles, now, session.claimed)
        return Person(account, actor, "session", session.claimed, csrf_token, digest)

    async def _said(self, said: "SaidOfSomebody", by: str, request: "Request") -> Person:
        """The account of somebody whom the provider names; made where there is none. Raises `RefusedError`: 401 for a
        disabled one, 403 for somebody to whom nothing is granted.
        """
        served, now = self._served, self._clock.now()
        claimed = claimed_grants(said.claims, served.claim_grants, served.roles, now)
        name = f"oidc {digest_of(f'{said.subject.issuer} {said.subject.subject}')}"
        known = self._accounts.get(name)
        account = known[0] if known else await self._asked(served.accounts.find_by_subject, said.subject)
        if account is None and claimed:
            tenants = {grant.tenant_id for grant in claimed}
            home = tenants.pop() if len(tenants) == 1 else EVERY_TENANT
            account, known = await self._added(said.subject, home), None
        if known is None:  # or whoever asks often enough would be remembered for ever
            self._accounts.keep(name, account)
        if account is not None and not account.is_enabled:
            raise await self.refused(request, "disabled", account)
        if account is None or not grants_at(account, served.roles, now, claimed):
            await self._enter(request, "no_role", account)
            raise entered(
                RefusedError(
                    HTTPStatus.FORBIDDEN, "no_role", "No group of yours is granted a role here: ask an administrator."
                )
            )
        return Person(account, actor_of(account, served.roles, now, claimed), by, claimed)

    async def _added(self, subject: OidcSubject, home: str) -> Account | None:
        try:
            add = partial(self._served.accounts.add, PROVIDER, account_of(subject), home, oidc=subject)
            found: Account | None = await self._asked(add)
        except AccountError:  # by another request, or another process, in this very moment
            found = await self._asked(self._served.accounts.find_by_subject, subject)
        return found

    async def _account(self, account_id: str) -> Account | None:
        known = self._accounts.get(account_id)
        if known is None:
            known = (await self._asked(self._served.accounts.find, account_id),)
            self._accounts.keep(account_id, known[0])
        return known[0]

    # Signing in and out

    async def sign_in(self, name: str, password: str, request: "Request") -> OpenedSession:
        """By a password. Raises `RefusedError`: 401 whatever is wrong, 429 after too many that were."""
        if is_from_elsewhere(request):
            await self._enter(request, "csrf")
            raise entered(RefusedError(HTTPStatus.FORBIDDEN, "csrf", "Sign in from this site."))
        served, address = self._served, address_of(request)
        counted = [(f"account {name}", FREE_OF_ACCOUNT)]
        if not _is_this_machine(address):  # behind a proxy everybody comes from there
            # First: who has to wait himself makes no account wait.
            counted.insert(0, (f"address {_whose(address)}", FREE_OF_ADDRESS))
        for who, free in counted:
            wait_s = await self._asked(served.sessions.begin_try, who, free)
            if wait_s:
                await self._enter(request, "too_many_tries")
                raise busy("too_many_tries", "Too many wrong passwords: wait before the next.", wait_s)
        account = await self._asked(served.accounts.find, name)
        kept = account.password_hash if account is not None and account.is_enabled else None
        if not await self._hash(lambda: served.passwords.is_password(kept, password)) or account is None:
            raise await self.refused(request, "password", account)
        for who, free in counted:
            await self._asked(partial(served.sessions.forgive, who, wholly=free == FREE_OF_ACCOUNT))
        if kept is not None and served.passwords.is_dated(kept):
            anew = await self._hash(lambda: served.passwords.hash(password))
            await self._asked(served.accounts.hash_anew, account.account_id, kept, anew)
        return await self._open(account, (), request)

    async def begin_oidc(self) -> tuple[str, str]:
        """Where somebody is sent to sign in, and the secret that their browser brings back. Raises `RefusedError`."""
        from streams.adapters.register.sessions import OidcSignIn

        provider = self._provider()
        state, browser = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        sign_in = OidcSignIn(secrets.token_urlsafe(32), secrets.token_urlsafe(48))
        url = await self._asked(provider.sign_in_url, state, sign_in.nonce, sign_in.verifier, what=PROVIDER_NAME)
        await self._asked(self._served.sessions.begin_oidc, state, browser, sign_in)
        return url, browser

    async def end_oidc(
        self, code: str, state: str, browser: str | None, request: "Request", issuer: str | None = None
    ) -> OpenedSession:
        """Who came back from the provider; `issuer` is who says so (RFC 9207), where it does.

        Raises `RefusedError`: 401, and 403 for somebody without a role.
        """
        provider = self._provider()
        if issuer not in (None, provider.issuer):
            raise await self.refused(request, "wrong_issuer")
        sign_in = await self._asked(self._served.sessions.end_oidc, state, browser or "")
        if sign_in is None:
            raise await self.refused(request, "state")
        try:
            said = await self._asked(provider.redeem, code, sign_in.verifier, sign_in.nonce, what=PROVIDER_NAME)
        except TokenRefusedError as refused:
            reason = refused.reason
        else:
            person = await self._said(said, "session", request)
            return await self._open(person.account, person.claimed, request)
        raise await self.refused(request, reason)

    async def sign_out(self, person: Person, request: "Request") -> None:
        """Closes the session; another process may take it for seconds more. Raises `RefusedError` (409) for a token."""
        if person.session_digest is None:
            raise RefusedError(HTTPStatus.CONFLICT, "no_session", "This is no session: revoke the token instead.")
        await self._asked(self._served.sessions.close, person.session_digest)
        self._sessions.forget(person.session_digest)
        account = person.account
        await self._append(self._entry(request, account.account_id, account.home, "done", None, action="signed_out"))

    async def _open(self, account: Account, claimed: tuple[HeldGrant, ...], request: "Request") -> OpenedSession:
        await self._append(self._entry(request, account.account_id, account.home, "allowed", None))
        secret = await self._asked(self._served.sessions.open, account.account_id, account.generation, claimed)
        actor = actor_of(account, self._served.roles, self._clock.now(), claimed)
        self._accounts.keep(account.account_id, account)
        person = Person(account, actor, "session", claimed, csrf_token_of(secret), digest_of(secret))
        return OpenedSession(secret, person)

    def _provider(self) -> Provider:
        if self._served.provider is None:
            raise RefusedError(HTTPStatus.NOT_FOUND, "not_found", "Nobody signs in at an OpenID provider here.")
        return self._served.provider

    # Refusals

    async def refused(self, request: "Request", reason: str, account: Account | None = None) -> RefusedError:
        """The answer to whoever is nobody, once it is entered why."""
        await self._enter(request, reason, account)
        return entered(unauthorized())

    async def enter_key(self, request: "Request", reason: str, key_id: str, tenant_id: str) -> None:
        """A key that is known is refused."""
        await self._append(self._entry(request, f"key:{key_id}", tenant_id, "refused", reason))

    async def enter_person(self, request: "Request", reason: str, person: Person) -> None:
        """A person is refused what is for systems."""
        account = person.account
        await self._append(self._entry(request, account.account_id, account.home, "refused", reason, action="asked"))

    async def _enter(self, request: "Request", reason: str, account: Account | None = None) -> None:
        log.info("request %s: nobody is let in: %s", request.state.request_id, reason)
        key, now_s = (_whose(address_of(request)), reason), self._monotonic_s()
        if account is None:
            newest = islice(reversed(self._entered_at_s.values()), MOST_ADDRESSES)
            if (
                key not in self._entered_at_s
                and sum(now_s - at_s < ENTERED_EVERY_S for at_s in newest) == MOST_ADDRESSES
            ):
                key = ("others", "")
            if now_s - self._entered_at_s.get(key, float("-inf")) < ENTERED_EVERY_S:
                return
            self._entered_at_s[key] = now_s
            self._entered_at_s.move_to_end(key)
            while len(self._entered_at_s) > REMEMBERED:
                self._entered_at_s.popitem(last=False)
        actor, tenant_id = (NOBODY, EVERY_TENANT) if account is None else (account.account_id, account.home)
        await self._append(self._entry(request, actor, tenant_id, "refused", reason))

    def _entry(
        self,
        request: "Request",
        actor: str,
        tenant_id: str,
        result: AuditResult,
        refusal: str | None,
        action: str = "signed_in",
    ) -> AuditEntry:
        address = address_of(request)
        return AuditEntry(
            at=self._clock.now(),
            actor=actor,
            role="none",
            action=action,
            tenant_id=tenant_id,
            result=result,
            client="api",
            refusal=refusal,
            personal={} if address is None else {"address": address},
        )

    async def _append(self, entry: AuditEntry) -> None:
        await self._asked(self._served.audit_log.append, entry, what="the audit log")

    # Asking

    async def _asked(self, ask: Callable[..., Any], *arguments: object, what: str = "the register") -> Any:
        """The answer. Raises `AccountError`, and `RefusedError` (503) where it does not come; why stands in the log."""
        pool = self._remote if what == PROVIDER_NAME else self._pool
        try:
            return await asyncio.get_running_loop().run_in_executor(pool, ask, *arguments)
        except AccountError:
            raise
        except (RetryableError, OperatorError) as error:
            log.warning("%s is needed: %s", what, str(error))
        raise unavailable(f"Not now: {what} does not answer.")

    async def _hash(self, ask: Callable[[], T]) -> T:
        """In threads of their own, so many at a time: each takes 64 MiB. Raises `RefusedError` (429)."""
        if self._hashing_now >= PASSWORDS_WAITING:
            raise busy("too_many_requests", "Too many sign in at once: try again a little later.", 2)
        self._hashing_now += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._hashing, ask)
        finally:
            self._hashing_now -= 1

    def _note(
        self, kind: str, name: str, now: datetime, every: timedelta, note: Callable[[str, datetime], None]
    ) -> None:
        key = f"{kind} {name}"
        used_at = self._used_at.get(key)
        if used_at is not None and now - used_at < every:
            return
        self._used_at[key] = now
        self._used_at.move_to_end(key)
        while len(self._used_at) > REMEMBERED:
            self._used_at.popitem(last=False)
        noting = asyncio.get_running_loop().run_in_executor(self._pool, note, name, now)
        self._noting.add(noting)
        noting.add_done_callback(self._noted)

    def _noted(self, noting: "asyncio.Future[None]") -> None:
        self._noting.discard(noting)
        if not noting.cancelled() and isinstance(error := noting.exception(), RetryableError | OperatorError):
            log.warning("when somebody was here last is not noted: %s", str(error))

    def close(self) -> None:
        """Let go of the threads."""
        self._hashing.shutdown(wait=False, cancel_futures=True)
        self._remote.shutdown(wait=False, cancel_futures=True)


def unauthorized() -> RefusedError:
    """The one answer to whoever is nobody."""
    return RefusedError(
        HTTPStatus.UNAUTHORIZED,
        "unauthorized",
        "A valid key, token or session is needed: Authorization: Bearer …, or POST /v1/session.",
        headers={"WWW-Authenticate": 'Bearer realm="callstream"'},
    )


def csrf_token_of(secret: str) -> str:
    """What a page sends along with a change. Who has it does not have the session."""
    return hmac.new(secret.encode(), b"csrf", sha256).hexdigest()


def is_from_elsewhere(request: "Request") -> bool:
    """Whether the browser says that a page of another site sends this."""
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return True
    origin = request.headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != request.headers.get("host", "")


def address_of(request: "Request") -> str | None:
    """Where the request comes from."""
    return request.client.host if request.client else None


def _whose(address: str | None) -> str:
    """The address, of IPv6 the /64 that it is in: one household has all of those."""
    try:
        found = ip_address(address or "")
    except ValueError:
        return address or ""
    if isinstance(found, IPv4Address):
        return str(found)
    mapped = found.ipv4_mapped
    return str(ip_network((found, 64), strict=False)) if mapped is None else str(mapped)


def _is_this_machine(address: str | None) -> bool:
    return address is None or address == "::1" or address.startswith("127.")
