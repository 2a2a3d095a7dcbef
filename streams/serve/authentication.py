"""Who asks: the API key of a system or the token of a person in `Authorization: Bearer …`, or a session's cookie."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, TypeVar

from processors.custody.api_keys import ApiKey, ApiScope, is_key, parts_of
from processors.custody.authorization import Actor, Grant
from processors.custody.ports import CallPurgedError
from schemas.errors import OperatorError, RetryableError
from streams.ports import Clock
from streams.serve.limits import TenantLimits
from streams.serve.people import COOKIE, People, Person, Remembered
from streams.serve.ports import KnowsKeys
from streams.serve.problems import RefusedError, entered, unavailable
from streams.serve.requests import Principal

if TYPE_CHECKING:
    from starlette.requests import Request

T = TypeVar("T")

log = logging.getLogger(__name__)

USE_IS_NOTED_EVERY = timedelta(hours=1)


class Authentication:
    """Asks the register for keys, and remembers them for seconds. For the thread of the event loop alone."""

    def __init__(
        self,
        keys: KnowsKeys,
        people: People,
        clock: Clock,
        pool: Executor,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._keys = keys
        self._people = people
        self._clock = clock
        self._pool = pool
        self._remembered: Remembered[ApiKey | None] = Remembered(monotonic_s)
        self._used_at: dict[str, datetime] = {}
        self._noting: set[asyncio.Future[None]] = set()

    async def who(self, request: "Request") -> Principal | Person:
        """The system whose API key came, or the person: by a token, by one of the OpenID provider, or by a session.

        Raises `RefusedError`: 401, whatever is wrong, once it is entered; 403 for a change that another site may have
        sent.
        """
        authorization = request.headers.get("authorization")
        if authorization is None:
            cookie = request.cookies.get(COOKIE)
            if cookie is None:
                raise await self._people.refused(request, "no_token")
            return await self._people.by_session(cookie, request)
        scheme, _, given = authorization.partition(" ")
        given = given.strip()
        if scheme.lower() != "bearer":
            raise await self._people.refused(request, "no_token")
        if given.startswith("cst_"):
            return await self._people.by_token(given, request)
        if given.count(".") == 2:
            return await self._people.by_access_token(given, request)
        return await self._key(given, request)

    async def actor_of(self, request: "Request") -> Actor:
        """Whoever asks, as `authorize` knows them. A key alone shows, plays and changes nothing. Raises as `who`."""
        who = await self.who(request)
        return who.actor if isinstance(who, Person) else actor_of_key(who)

    async def require(self, request: "Request", scope: ApiScope, limits: TenantLimits) -> Principal:
        """A key with this scope. Raises `RefusedError`: 401; 403 for a key that is for else, and for a person, of whom
        429 where they try it too often.
        """
        who = await self.who(request)
        if isinstance(who, Person):
            limits.request(f"account {who.account.account_id}")
            await self._people.enter_person(request, "scope", who)
            raise entered(RefusedError(HTTPStatus.FORBIDDEN, "scope", "This is for systems: it needs an API key."))
        return await self.require_scope(request, who, scope)

    async def require_scope(self, request: "Request", principal: Principal, scope: ApiScope) -> Principal:
        """Raises `RefusedError` (403) for a key that lacks it."""
        if scope not in principal.scopes:
            await self._people.enter_key(request, "scope", principal.key_id, principal.tenant_id)
            raise entered(RefusedError(HTTPStatus.FORBIDDEN, "scope", f"This key lacks the scope {scope}."))
        return principal

    async def _key(self, given: str, request: "Request") -> Principal:
        parts = parts_of(given)
        if parts is None:
            raise await self._people.refused(request, "no_token")
        key_id, secret = parts
        key = await self._find(key_id)
        now = self._clock.now()
        if not is_key(key, secret, now) or key is None:
            raise await self._people.refused(request, "key")
        self._note_use(key_id, now)
        return Principal(key_id, key.tenant_id, frozenset(key.scopes))

    async def _find(self, key_id: str) -> ApiKey | None:
        known = self._remembered.get(key_id)
        if known is not None:
            return known[0]
        key = await answered(
            asyncio.get_running_loop().run_in_executor(self._pool, self._keys.find, key_id), "the register"
        )
        self._remembered.keep(key_id, key)
        return key

    def _note_use(self, key_id: str, now: datetime) -> None:
        used_at = self._used_at.get(key_id)
        if used_at is not None and now - used_at < USE_IS_NOTED_EVERY:
            return
        self._used_at[key_id] = now
        noting = asyncio.get_running_loop().run_in_executor(self._pool, self._keys.note_use, key_id, now)
        self._noting.add(noting)
        noting.add_done_callback(self._noted)

    def _noted(self, noting: "asyncio.Future[None]") -> None:
        self._noting.discard(noting)
        if not noting.cancelled() and isinstance(error := noting.exception(), RetryableError | OperatorError):
            log.warning("when a key was used last is not noted: %s", str(error))


def actor_of_key(principal: Principal) -> Actor:
    """A system: it may be asked about calls of its tenant, and is allowed nothing that is granted to people."""
    return Actor(f"key:{principal.key_id}", (Grant("api_key", principal.tenant_id, frozenset()),))


async def answered(asked: Awaitable[T], what: str) -> T:
    """The answer. Raises `RefusedError` (503) where it does not come; why stands in the log."""
    try:
        return await asked
    except CallPurgedError:
        raise  # an answer, and not a trouble of ours
    except (RetryableError, OperatorError) as error:
        log.warning("%s is needed: %s", what, str(error))
    raise unavailable(f"Not now: {what} does not answer.")
