"""Who asks: the API key in `Authorization: Bearer …`."""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import TypeVar

from processors.custody.api_keys import ApiKey, ApiScope, is_key, parts_of
from processors.custody.ports import CallPurgedError
from schemas.errors import OperatorError, RetryableError
from streams.ports import Clock
from streams.serve.ports import KnowsKeys
from streams.serve.problems import RefusedError, unavailable
from streams.serve.requests import Principal

T = TypeVar("T")

log = logging.getLogger(__name__)

REMEMBERED_S = 10.0
"""So long a key that was revoked may still be used here. Its expiry needs no time: it is looked at every time."""

REMEMBERED_KEYS = 10_000
USE_IS_NOTED_EVERY = timedelta(hours=1)


class Authentication:
    """Asks the register for keys, and remembers them for seconds. For the thread of the event loop alone."""

    def __init__(
        self, keys: KnowsKeys, clock: Clock, pool: Executor, monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._keys = keys
        self._clock = clock
        self._pool = pool
        self._monotonic_s = monotonic_s
        self._remembered: OrderedDict[str, tuple[float, ApiKey | None]] = OrderedDict()
        self._used_at: dict[str, datetime] = {}
        self._noting: set[asyncio.Future[None]] = set()

    async def require(self, authorization: str | None, scope: ApiScope) -> Principal:
        """Raises `RefusedError`: 401 for no key that holds, whatever is wrong with it; 403 for one that is for else."""
        scheme, _, given = (authorization or "").partition(" ")
        parts = parts_of(given.strip()) if scheme.lower() == "bearer" else None
        if parts is None:
            raise _unauthorized()
        key_id, secret = parts
        key = await self._find(key_id)
        now = self._clock.now()
        if not is_key(key, secret, now) or key is None:
            raise _unauthorized()
        self._note_use(key_id, now)
        if scope not in key.scopes:
            raise RefusedError(HTTPStatus.FORBIDDEN, "scope", f"This key lacks the scope {scope}.")
        return Principal(key_id, key.tenant_id, frozenset(key.scopes))

    async def _find(self, key_id: str) -> ApiKey | None:
        now_s = self._monotonic_s()
        known = self._remembered.get(key_id)
        if known is not None and now_s - known[0] < REMEMBERED_S:
            return known[1]
        key = await answered(
            asyncio.get_running_loop().run_in_executor(self._pool, self._keys.find, key_id), "the register"
        )
        self._remembered[key_id] = (now_s, key)
        self._remembered.move_to_end(key_id)
        while len(self._remembered) > REMEMBERED_KEYS:
            self._remembered.popitem(last=False)
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


def _unauthorized() -> RefusedError:
    return RefusedError(
        HTTPStatus.UNAUTHORIZED,
        "unauthorized",
        "A valid API key is needed: Authorization: Bearer cs_…",
        headers={"WWW-Authenticate": 'Bearer realm="callstream"'},
    )


async def answered(asked: Awaitable[T], what: str) -> T:
    """The answer. Raises `RefusedError` (503) where it does not come; why stands in the log."""
    try:
        return await asked
    except CallPurgedError:
        raise  # an answer, and not a trouble of ours
    except (RetryableError, OperatorError) as error:
        log.warning("%s is needed: %s", what, str(error))
    raise unavailable(f"Not now: {what} does not answer.")
