"""A customer asks to be erased (PIPL 47): every call of the customer goes, at once or on the day on which it may.

Calls within a floor of the law or under a hold are blocked at once for every use; `go_on` destroys each when nothing
keeps it any more, finds calls that were under way when the request came, and at last signs that nothing is left.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from importlib.metadata import version
from typing import Any, Protocol

from processors.custody.purge import IN_FLIGHT, PurgeOrder
from streams.adapters.register.erasures import Erasure, RegisterErasures
from streams.ports import Clock
from streams.stages.purge import OF_A_PERSON, OneByOne, Purger


class CustomerCalls(Protocol):
    """`streams.adapters.clickhouse.purging.ClickHousePurge`."""

    def calls_of_customer(self, tenant_id: str, customer_keys: Collection[str]) -> Mapping[str, datetime]:
        """Call → when it ended."""
        ...

    def forget_customer(self, tenant_id: str, customer_keys: Collection[str]) -> None:
        """Take away what other systems know of a customer, of whose calls nothing is left."""
        ...


ErasePersonal = Callable[[Collection[str], Collection[tuple[str, str]]], int]
"""Customer keys, and calls (tenant, id) → how many personal values were erased that the audit log had of them
(`RegisterAuditLog.erase_personal`)."""


@dataclass(frozen=True)
class Eraser:
    """Every method may raise `RetryableError` and `OperatorError`: what was begun goes on with `go_on`."""

    erasures: RegisterErasures
    purger: Purger
    customers: CustomerCalls
    erase_personal: ErasePersonal
    sign: Callable[[Mapping[str, Any]], bytes]
    clock: Clock

    def erase(
        self,
        tenant_id: str,
        customer_keys: Sequence[str],
        *,
        reason: str,
        actor: str,
        role: str = "",
        ticket: str | None = None,
    ) -> Erasure:
        """Erase the customer with these keys, one for each version of the secret. The same once more goes on."""
        erasure = self.erasures.ask(tenant_id, customer_keys, reason, actor, ticket, role)
        return self._step(erasure)

    def go_on(self) -> int:
        """One round over all that are not done; how many are done now. One that fails holds up no other."""
        turns = OneByOne()
        for erasure in self.erasures.open():
            turns.take(f"erasure {erasure.erasure_id}", partial(self._is_done, erasure))
        return turns.ended()

    def _is_done(self, erasure: Erasure) -> bool:
        return self._step(erasure).done_at is not None

    def _step(self, erasure: Erasure) -> Erasure:
        order = PurgeOrder(
            erasure.tenant_id,
            OF_A_PERSON,
            erasure.actor,
            ticket=erasure.ticket,
            erasure_id=erasure.erasure_id,
            role=erasure.role,
        )
        known = self.purger.purges.calls_of_customer(erasure.tenant_id, erasure.customer_keys)
        found = known | dict(self.customers.calls_of_customer(erasure.tenant_id, erasure.customer_keys))
        # Later calls of a person who calls again are not what was asked for.
        calls = [call_id for call_id, ended_at in found.items() if ended_at <= erasure.asked_at]
        if calls:
            self.purger.purge(order, calls, erases=True)
        states = self.purger.purges.of_erasure(erasure.tenant_id, erasure.erasure_id)
        about = [(erasure.tenant_id, call_id) for call_id in states]
        before = erasure.counts.get("personal", 0)
        counts = {
            "destroyed": sum(state == "purged" for state in states.values()),
            "under_way": sum(state == "purging" for state in states.values()),
            "blocked": sum(state == "blocked" for state in states.values()),
            "personal": before + self.erase_personal(erasure.customer_keys, about),
        }
        nothing_waits = not counts["blocked"] and not counts["under_way"]
        if nothing_waits:
            self.customers.forget_customer(erasure.tenant_id, erasure.customer_keys)
        is_done = nothing_waits and self.clock.now() >= erasure.asked_at + IN_FLIGHT
        receipt = self.sign(self._receipt(erasure, counts, is_done))
        self.erasures.got(erasure.erasure_id, counts, receipt, is_done=is_done)
        return self.erasures.find(erasure.erasure_id)

    def _receipt(self, erasure: Erasure, counts: Mapping[str, int], is_done: bool) -> dict[str, Any]:
        return {
            "erasure_id": erasure.erasure_id,
            "tenant_id": erasure.tenant_id,
            "customer_digest": erasure.customer_digest,
            "reason": erasure.reason,
            "actor": erasure.actor,
            "ticket": erasure.ticket,
            "asked_at": erasure.asked_at.isoformat(timespec="seconds"),
            "at": self.clock.now().isoformat(timespec="seconds"),
            "calls": dict(counts),
            "blocked_means": "used for nothing; destroyed on the day on which the last floor of the law or hold ends",
            "is_done": is_done,
            "release": version("callstream"),
        }
