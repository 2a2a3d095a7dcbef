"""What invented telephony and invented systems know beside the calls of `callstream sample-data`.

Drawn from generators of their own: the calls, and all that is said in them, are as they were without it.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, tzinfo
from random import Random
from typing import Any

from schemas.messages.call_ended import CallEnded, DisconnectedBy
from schemas.messages.fact_received import FactReceived

COURSES = ("C101", "C102", "C205", "C310")
"""Courses that calls about education are about."""

_ENDED_BY: tuple[tuple[DisconnectedBy, float], ...] = (
    ("customer", 0.6),
    ("agent", 0.31),
    ("transfer", 0.06),
    ("system", 0.03),
)
_CALLS_BACK_WITHIN = timedelta(days=3)
_WORK_AFTER_S = {"new": 55.0, "regular": 40.0, "senior": 30.0}
"""Usual after-call work."""


@dataclass
class SampleTelephony:
    """What an exchange tells of calls beside their recordings. Asked in order of time."""

    seed: int
    _last: dict[tuple[str, str], CallEnded] = field(default_factory=dict, init=False, repr=False)

    def told(self, call: CallEnded, *, holds: bool) -> CallEnded:
        """The call with hold, queue, after-call work, who ended it, and the earlier call of the same matter."""
        random = Random(f"{self.seed}/telephony/{call.call_id}")  # noqa: S311 - nothing is secret here
        lasts_ms = (call.ended_at - call.started_at) // timedelta(milliseconds=1)
        rush = 2.2 if call.started_at.astimezone(UTC).hour in (2, 3, 6, 7) else 1.0  # 10, 11, 14 and 15 in Shanghai
        usual_s = _WORK_AFTER_S[call.agent.seniority or "regular"]
        told: dict[str, Any] = {
            "hold_ms": round(min(lasts_ms * 0.4, random.uniform(8_000, 70_000))) if holds else 0,
            "after_call_work_ms": round(usual_s * 1_000 * random.lognormvariate(0, 0.5)),
            "disconnected_by": random.choices([by for by, _ in _ENDED_BY], [weight for _, weight in _ENDED_BY])[0],
        }
        if call.direction == "inbound":
            told["queue_wait_ms"] = round(14_000 * rush * random.lognormvariate(0, 0.8))
        if call.customer.key is not None:
            place = (call.customer.key, call.industry)
            before = self._last.get(place)
            if before is not None and call.started_at - before.ended_at <= _CALLS_BACK_WITHIN:
                told["previous_call_id"] = before.call_id
                told["initial_call_id"] = before.initial_call_id or before.call_id
        if call.industry == "education":
            told["crm"] = {"course_id": random.choice(COURSES)}
        call = call.model_copy(update=told)
        if call.customer.key is not None:
            self._last[call.customer.key, call.industry] = call
        return call


@dataclass
class SampleFacts:
    """What an order system, a credit system, a school and the personnel office know."""

    tenant_id: str
    seed: int
    until: datetime
    zone: tzinfo
    """In which these systems write their times."""
    _known: set[tuple[str, str]] = field(default_factory=set, init=False, repr=False)

    def of_agents(self, agents: Collection[tuple[str, date]], first: datetime) -> Iterator[FactReceived]:
        """Agents and their first days → a training of every second of them, half-way between `first` and the end."""
        trained_at = first + (self.until - first) / 2
        for number, (agent_id, hired_on) in enumerate(agents):
            told = {"hired_on": hired_on.isoformat()}
            yield self._fact("agent", agent_id, first, told, "personnel")
            if number % 2 == 0:
                trained = told | {
                    "trained_on": trained_at.astimezone(self.zone).date().isoformat(),
                    "training": "合规话术",
                }
                yield self._fact("agent", agent_id, trained_at, trained, "personnel")

    def of_courses(self, first: datetime) -> Iterator[FactReceived]:
        """Name and price of each course."""
        for course, name, price in zip(
            COURSES, ("考研英语", "会计职称", "日语初级", "编程入门"), (3980, 2680, 1980, 4580), strict=True
        ):
            yield self._fact("course", course, first, {"name": name, "price": str(price)}, "school")

    def of_call(self, call: CallEnded) -> Iterator[FactReceived]:
        """Of its order, before the call and after it; of its customer, once."""
        random = Random(f"{self.seed}/facts/{call.call_id}")  # noqa: S311 - nothing is secret here
        if call.order_id is not None and call.order_status is not None:
            yield from self._of_order(random, call, call.order_id, call.order_status)
        if call.industry == "finance" and call.customer.key is not None:
            place = ("credit", call.customer.key)
            if place not in self._known:
                self._known.add(place)
                band = "AABBBCD"[int(call.customer.key[8:12], 16) % 7]
                yield self._fact(*place, call.started_at - timedelta(days=30), {"band": band}, "credit")

    def _of_order(self, random: Random, call: CallEnded, order_id: str, status: str) -> Iterator[FactReceived]:
        """Late are most orders that are still on their way, and some of the others."""
        on_its_way = status in ("配送中", "已发货", "待发货")
        late = random.random() < (0.7 if on_its_way else 0.25)
        promised_at = call.started_at - timedelta(hours=random.randrange(6, 90)) * (1 if late else -1)
        ordered_at = min(promised_at, call.started_at) - timedelta(days=random.randrange(2, 6))
        delivered_at = promised_at + timedelta(hours=random.randrange(2, 60)) * (1 if late else -1)
        if on_its_way:
            delivered_at = max(delivered_at, call.ended_at + timedelta(hours=random.randrange(3, 50)))
        else:
            delivered_at = min(delivered_at, call.started_at - timedelta(hours=1))
        told = {"ordered_at": self._text(ordered_at), "promised_at": self._text(promised_at)}
        before = told | {"status": status} | ({} if on_its_way else {"delivered_at": self._text(delivered_at)})
        yield self._fact("order", order_id, ordered_at, before, "orders")
        problem = {"problem_at": self._text(call.started_at)}
        solved_at = call.ended_at + timedelta(hours=random.lognormvariate(2.6, 0.9))
        if on_its_way and delivered_at <= self.until:
            arrived = told | problem | {"status": "已签收", "delivered_at": self._text(delivered_at)}
            yield self._fact("order", order_id, delivered_at, arrived, "orders")
            before = arrived
        if on_its_way:
            solved_at = max(solved_at, delivered_at + timedelta(minutes=1))
        if random.random() < 0.85 and solved_at <= self.until:
            solved = before | problem | {"solved_at": self._text(solved_at)}
            yield self._fact("order", order_id, solved_at, solved, "orders")

    def _fact(self, entity: str, key: str, valid_from: datetime, fields: dict[str, str], source: str) -> FactReceived:
        return FactReceived(
            tenant_id=self.tenant_id, entity=entity, key=key, valid_from=valid_from, fields=fields, source=source
        )

    def _text(self, moment: datetime) -> str:
        return moment.astimezone(self.zone).isoformat(timespec="seconds")
