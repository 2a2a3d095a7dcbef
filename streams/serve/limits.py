"""What one tenant, and all together, may ask of this process at once. For the thread of the event loop alone."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from streams.serve.problems import busy


@dataclass
class TokenBucket:
    """Lets through so much a second on average, and as much at once as gathers in `burst_s`; 0 is no bound."""

    per_s: float
    burst_s: float
    monotonic_s: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self._left = self.per_s * self.burst_s
        self._at_s = self.monotonic_s()

    def take(self, amount: float) -> float:
        """0 where that much is there and is taken; else in how many seconds it will be, and nothing is taken.

        More than ever fits is taken as soon as the bucket is full; the bucket then owes the rest.
        """
        if not self.per_s:
            return 0.0
        now_s = self.monotonic_s()
        most = self.per_s * self.burst_s
        self._left = min(most, self._left + (now_s - self._at_s) * self.per_s)
        self._at_s = now_s
        if self._left >= min(amount, most):
            self._left -= amount
            return 0.0
        return (min(amount, most) - self._left) / self.per_s


class Slots:
    """So many at a time, of one tenant and of all; the others wait for a while, in the order in which they came."""

    def __init__(self, most: int, most_of_tenant: int, waits_s: float) -> None:
        self._most = most
        self._most_of_tenant = most_of_tenant
        self._waits_s = waits_s
        self._held: Counter[str] = Counter()
        self._waiting: list[tuple[str, asyncio.Future[None]]] = []

    @asynccontextmanager
    async def slot(self, tenant_id: str) -> AsyncIterator[None]:
        """Held inside. Raises `RefusedError` (429) where none came free in time."""
        if self._waiting or not self._is_free(tenant_id):
            await self._wait(tenant_id)
        else:
            self._held[tenant_id] += 1
        try:
            yield
        finally:
            self._held[tenant_id] -= 1
            self._hand_on()

    def _is_free(self, tenant_id: str) -> bool:
        return self._held.total() < self._most and self._held[tenant_id] < self._most_of_tenant

    async def _wait(self, tenant_id: str) -> None:
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((tenant_id, granted))
        self._hand_on()
        try:
            await asyncio.wait_for(asyncio.shield(granted), self._waits_s)
        except BaseException as error:
            with suppress(ValueError):
                self._waiting.remove((tenant_id, granted))
            if granted.done():  # in this very moment
                self._held[tenant_id] -= 1
                self._hand_on()
            if isinstance(error, TimeoutError):
                raise busy("too_many_uploads", "Too many uploads at once: send this one again later.", 5) from None
            raise

    def _hand_on(self) -> None:
        """To whoever waits longest among those that may: a tenant with too many does not hold up the others."""
        for tenant_id, granted in list(self._waiting):
            if self._held.total() >= self._most:
                return
            if self._is_free(tenant_id):
                self._waiting.remove((tenant_id, granted))
                self._held[tenant_id] += 1
                granted.set_result(None)


class TenantLimits:
    """Requests and bytes a second of each tenant. A tenant is known by its key, so there are not many."""

    BURST_S = 10.0

    def __init__(self, requests_per_s: float, bytes_per_s: float) -> None:
        self._requests_per_s = requests_per_s
        self._bytes_per_s = bytes_per_s
        self._buckets: dict[str, tuple[TokenBucket, TokenBucket]] = {}

    def _of(self, tenant_id: str) -> tuple[TokenBucket, TokenBucket]:
        if tenant_id not in self._buckets:
            self._buckets[tenant_id] = (
                TokenBucket(self._requests_per_s, self.BURST_S),
                TokenBucket(self._bytes_per_s, self.BURST_S),
            )
        return self._buckets[tenant_id]

    def request(self, tenant_id: str) -> None:
        """Raises `RefusedError` (429)."""
        wait_s = self._of(tenant_id)[0].take(1)
        if wait_s:
            raise busy("too_many_requests", "Too many requests a second: send this one again later.", wait_s)

    async def pace(self, tenant_id: str, size: int) -> None:
        """Returns when so many bytes more may be read of the tenant; meanwhile its sender is held up."""
        while wait_s := self._of(tenant_id)[1].take(size):
            await asyncio.sleep(wait_s)
