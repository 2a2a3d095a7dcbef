"""What one tenant, and all together, may ask at once."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from streams.serve.limits import Slots, TenantLimits, TokenBucket
from streams.serve.problems import RefusedError


class HandWatch:
    """Seconds that a test moves."""

    def __init__(self) -> None:
        self.s = 0.0

    def __call__(self) -> float:
        return self.s


def test_a_bucket_lets_through_its_rate_and_what_has_gathered() -> None:
    watch = HandWatch()
    bucket = TokenBucket(2, 5, watch)
    assert [bucket.take(1) for _ in range(10)] == [0] * 10
    assert bucket.take(1) == pytest.approx(0.5)
    watch.s += 0.5
    assert bucket.take(1) == 0
    watch.s += 1_000
    assert [bucket.take(1) for _ in range(11)][-1] > 0, "no more than the burst gathers"


def test_more_than_a_bucket_holds_goes_through_when_it_is_full_and_is_owed() -> None:
    watch = HandWatch()
    bucket = TokenBucket(10, 1, watch)
    assert bucket.take(25) == 0
    watch.s += 1
    assert bucket.take(1) == pytest.approx(0.6), "fifteen are owed"
    watch.s += 0.6
    assert bucket.take(1) == 0


def test_no_rate_is_no_bound() -> None:
    assert [TokenBucket(0, 10).take(1e12) for _ in range(3)] == [0, 0, 0]


def test_a_tenant_without_requests_left_is_told_when_there_are() -> None:
    limits = TenantLimits(requests_per_s=0.1, bytes_per_s=0)
    limits.request("acme")
    with pytest.raises(RefusedError) as refused:
        limits.request("acme")
    assert refused.value.status == 429
    assert refused.value.retry_after_s is not None
    assert refused.value.retry_after_s > 0
    limits.request("globex")


def test_slots_are_handed_on_in_turn_and_one_tenant_does_not_hold_up_another() -> None:
    async def run() -> list[str]:
        slots, order = Slots(2, 1, 30), list[str]()

        async def work(tenant: str, name: str) -> None:
            async with slots.slot(tenant):
                order.append(name)
                await asyncio.sleep(0)

        async with AsyncExitStack() as held:
            await held.enter_async_context(slots.slot("acme"))
            waiting = [asyncio.create_task(work("acme", f"acme{n}")) for n in range(3)]
            await asyncio.sleep(0)
            await asyncio.create_task(work("globex", "globex"))
            assert order == ["globex"]
        await asyncio.gather(*waiting)
        return order

    assert asyncio.run(run()) == ["globex", "acme0", "acme1", "acme2"]


def test_who_waits_too_long_or_goes_away_leaves_no_slot_taken() -> None:
    async def run() -> None:
        slots = Slots(1, 1, 0.01)
        async with slots.slot("acme"):
            with pytest.raises(RefusedError) as refused:
                async with slots.slot("globex"):
                    pass
            assert refused.value.status == 429
            patient = Slots(1, 1, 30)
        async with patient.slot("acme"):
            gone = asyncio.create_task(patient.slot("globex").__aenter__())
            await asyncio.sleep(0)
            gone.cancel()
            with pytest.raises(asyncio.CancelledError):
                await gone
        for tenant in ("acme", "globex"):
            async with slots.slot(tenant), patient.slot(tenant):
                pass

    asyncio.run(run())
