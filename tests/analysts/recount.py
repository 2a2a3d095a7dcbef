"""The figures of the twelve questions, counted anew from the rows as they were delivered.

Nothing here reads a view of KPIs or uses `processors.kpi`: definitions are those of docs/kpis.md, the t distribution is
scipy's. What the page says is compared with this in `test_twelve_questions.py`.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from math import sqrt
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import numpy as np
from clickhouse_connect.driver.client import Client
from scipy import stats

ZONE = ZoneInfo("Asia/Shanghai")
WINDOW = timedelta(days=7)
Z = float(stats.norm.ppf(0.975))
Key = TypeVar("Key", bound=Hashable)
Row = TypeVar("Row")

_CALLS = """
SELECT
    *, topics.topic_id AS topic_ids, topics.name AS topic_names,
    score_items.item_group AS item_groups, score_items.points AS item_points,
    score_items.max_points AS item_most, score_items.reason AS item_reasons,
    findings.detector AS detectors, findings.role AS roles
FROM call_versions FINAL WHERE tenant_id = {tenant:String}
"""
_RATINGS = "SELECT * FROM rating_versions FINAL WHERE tenant_id = {tenant:String} ORDER BY rated_at, rating_id"
_FACTS = "SELECT * FROM fact_versions FINAL WHERE tenant_id = {tenant:String} ORDER BY valid_from"
_SEGMENTS = """
SELECT call_id, segments.role AS roles, segments.start_ms AS starts, segments.end_ms AS ends, segments.text AS texts
FROM transcript_versions FINAL WHERE tenant_id = {tenant:String}
"""


@dataclass(frozen=True)
class Turn:
    """Something that was said."""

    role: str
    start_ms: int
    end_ms: int
    text: str


class Call:
    """One call as it was delivered, with what was said in it and what was said of it later."""

    def __init__(self, row: Mapping[str, Any], turns: Sequence[Turn], ratings: Sequence[Mapping[str, Any]]) -> None:
        self.row = row
        self.turns = turns
        self.ratings = ratings
        self.started_at: datetime = row["started_at"].replace(tzinfo=UTC)
        self.ended_at: datetime = row["ended_at"].replace(tzinfo=UTC)

    def __getattr__(self, name: str) -> Any:
        return self.row[name]

    @property
    def day(self) -> date:
        """That of the tenant."""
        return self.ended_at.astimezone(ZONE).date()

    @property
    def hour(self) -> int:
        """By the tenant's clock."""
        return self.ended_at.astimezone(ZONE).hour

    @property
    def is_heard(self) -> bool:
        return bool(self.outcome == "analyzed")

    def measure(self, name: str) -> float | None:
        return self.measures.get(name)  # type: ignore[no-any-return]

    @property
    def silence_ms(self) -> int:
        """Stretches of at least 3 s in which nobody speaks, between the first and the last word."""
        spoken = sorted((turn.start_ms, turn.end_ms) for turn in self.turns)
        found, until = 0, spoken[0][1]
        for start, end in spoken[1:]:
            found += start - until if start - until >= 3_000 else 0
            until = max(until, end)
        return found

    @property
    def rating(self) -> float | None:
        """The newest answer of the customer, 0 to 100."""
        for said in (*reversed(self.ratings), self.row):
            if said["csat_score"] is not None:
                low, high = said["csat_scale_min"], said["csat_scale_max"]
                return float(100 * (said["csat_score"] - low) / (high - low))
        return None

    def newest(self, name: str) -> Any:
        """What was said last: order_status, customer_value_tier."""
        return next((said[name] for said in (*reversed(self.ratings), self.row) if said[name] is not None), None)

    @property
    def newest_tags(self) -> Sequence[str]:
        told = [said["customer_tags"] for said in self.ratings if said["customer_tags_told"]]
        return told[-1] if told else self.customer_tags  # type: ignore[no-any-return]


class Recount:
    """All calls of a tenant, and what follows from several of them."""

    def __init__(
        self,
        calls: Sequence[Call],
        now: datetime,
        facts: Sequence[Mapping[str, Any]] = (),
        window: timedelta = WINDOW,
    ) -> None:
        self.calls = sorted(calls, key=lambda call: call.ended_at)
        self.now = now
        self._facts = grouped(facts, lambda fact: (fact["entity"], fact["key"]))
        self._window = window
        self._of_customer = grouped(self.calls, lambda call: call.customer_key)

    @classmethod
    def read(cls, client: Client, tenant: str, now: datetime) -> "Recount":
        """As the owner of the tables, who may read what was delivered."""

        def rows(query: str) -> list[dict[str, Any]]:
            return list(client.query(query, parameters={"tenant": tenant}).named_results())

        turns = {
            row["call_id"]: [
                Turn(*each) for each in zip(row["roles"], row["starts"], row["ends"], row["texts"], strict=True)
            ]
            for row in rows(_SEGMENTS)
        }
        ratings = grouped(rows(_RATINGS), lambda row: row["call_id"])
        return cls(
            [Call(row, turns.get(row["call_id"], ()), ratings.get(row["call_id"], ())) for row in rows(_CALLS)],
            now,
            rows(_FACTS),
        )

    def known(self, entity: str, key: str | None, at: datetime | None = None) -> Mapping[str, str]:
        """What other systems said of a thing up to a moment, or up to now: the fields that held then."""
        told = [
            fact
            for fact in self._facts.get((entity, key), ())
            if at is None or fact["valid_from"].replace(tzinfo=UTC) <= at
        ]
        return told[-1]["fields"] if told else {}

    def between(self, first: date, last: date) -> list[Call]:
        """The calls of these days of the tenant, both included."""
        return [call for call in self.calls if first <= call.day <= last]

    def repeats(self, call: Call) -> bool | None:
        """Whether the customer had called within the seven days before, about whatever."""
        if call.direction != "inbound" or call.customer_key is None or call.outcome == "too_short":
            return None
        return any(
            earlier.call_id != call.call_id
            and earlier.direction == "inbound"
            and earlier.outcome != "too_short"
            and call.ended_at - WINDOW <= earlier.ended_at < call.ended_at
            for earlier in self._of_customer[call.customer_key]
        )

    def resolution(self, call: Call) -> str | None:
        """What became of the matter: resolved, unresolved, pending; null where nobody can tell."""
        answers = [said["resolved"] for said in call.ratings if said["resolved"] is not None]
        if answers:
            return "resolved" if answers[-1] else "unresolved"
        if not self._is_contact(call):
            return None
        if self.now < call.ended_at + self._window:
            return "pending"
        again = any(
            call.started_at < later.started_at <= call.ended_at + self._window and _is_same_matter(call, later)
            for later in self._contacts(call)
        )
        return "unresolved" if again else "resolved"

    def is_repeat(self, call: Call) -> bool:
        """Whether it is no first contact."""
        return self._is_contact(call) and any(
            earlier.started_at < call.started_at <= earlier.ended_at + self._window and _is_same_matter(call, earlier)
            for earlier in self._contacts(call)
        )

    def settled_score(self, call: Call) -> float | None:
        """The score, with the points of what asks whether the matter was settled once that is known."""
        items = list(zip(call.item_groups, call.item_points, call.item_most, call.item_reasons, strict=True))
        resolution = self.resolution(call)
        if (
            not any(reason == "pending" for *_, reason in items)
            or resolution not in ("resolved", "unresolved")
            or self.now < call.ended_at + self._window
        ):
            return call.score  # type: ignore[no-any-return]
        settled = [
            (group, (most if resolution == "resolved" else 0.0) if reason == "pending" else points, most)
            for group, points, most, reason in items
        ]
        total = weight = 0.0
        for of_group in grouped(settled, lambda item: item[0]).values():
            measured = [(points, most) for _, points, most in of_group if points is not None]
            if measured:
                share = sum(points for points, _ in measured) / sum(most for _, most in measured)
                group_weight = sum(most for *_, most in of_group)
                total, weight = total + 100 * share * group_weight, weight + group_weight
        return round(total / weight, 2)

    def _is_contact(self, call: Call) -> bool:
        return bool(
            call.customer_key is not None
            and call.direction == "inbound"
            and call.outcome != "too_short"
            and (call.topic_ids or call.inquiry_type is not None)
        )

    def _contacts(self, call: Call) -> list[Call]:
        """All calls in which the customer called for something, this one among them."""
        return [
            other
            for other in self._of_customer[call.customer_key]
            if other.direction == "inbound" and other.outcome != "too_short"
        ]


def _is_same_matter(one: Call, other: Call) -> bool:
    if one.topic_ids and other.topic_ids:
        return not set(one.topic_ids).isdisjoint(other.topic_ids)
    return one.inquiry_type is not None and one.inquiry_type == other.inquiry_type


def grouped(rows: Iterable[Row], key: Callable[[Row], Key]) -> dict[Key, list[Row]]:
    """The rows of each key, in their order."""
    found: dict[Key, list[Row]] = {}
    for row in rows:
        found.setdefault(key(row), []).append(row)
    return found


@dataclass(frozen=True)
class Figure:
    """A value with its limits; null where they cannot be told."""

    n: int
    value: float
    low: float | None = None
    high: float | None = None


def figure(parts: Sequence[tuple[str, float, float]], kind: str, lowest: float = 0.0, highest: float = 1.0) -> Figure:
    """Σ numerator ÷ Σ denominator of calls, each with its agent, and its 95 % interval with agents as clusters.

    `kind` is share (Wilson, n calls), parts (Wilson, of as many events as would be as uncertain), events (Poisson, of
    as many as would be as uncertain) or mean (normal).
    """
    y, x = (np.array([part[place] for part in parts], float) for place in (1, 2))
    n, ratio = len(parts), y.sum() / x.sum()
    agents = grouped(zip((part[0] for part in parts), y, x, strict=True), lambda part: part[0]).values()
    of_agents = np.array([[sum(part[1] for part in of), sum(part[2] for part in of)] for of in agents])
    effective = x.sum() ** 2 / (of_agents[:, 1] ** 2).sum()
    if effective < 3:
        return Figure(n, ratio)
    spread = (
        effective / (effective - 1) * ((of_agents[:, 0] - ratio * of_agents[:, 1]) ** 2).sum()
        * (stats.t.ppf(0.975, effective - 1) / Z) ** 2
    )  # fmt: skip
    by_calls = n * ((y - ratio * x) ** 2).sum() / (n - 1)
    if kind == "mean":
        half = Z * sqrt(max(by_calls, spread)) / x.sum()
        return Figure(n, ratio, max(ratio - half, lowest), min(ratio + half, highest))
    if kind == "events":
        wider = max(1.0, max(spread, by_calls) / y.sum()) if y.sum() else 1.0
        seen = y.sum() / wider
        low, high = (stats.chi2.ppf(tail, 2 * events) / 2 for tail, events in ((0.025, seen), (0.975, seen + 1)))
        return Figure(n, ratio, float(low) * wider / x.sum() if seen else 0.0, float(high) * wider / x.sum())
    binomial = x.sum() * ratio * (1 - ratio)
    wider = max(1.0, max(spread, by_calls if kind == "parts" else 0.0) / binomial) if binomial > 0 else 1.0
    return Figure(n, ratio, *wilson(ratio, x.sum() / wider))


def wilson(share: float, n: float) -> tuple[float, float]:
    """Limits of a share of n: the roots of (p - share)² = z² p (1 - p) / n."""
    low, high = sorted(np.roots([1 + Z**2 / n, -(2 * share + Z**2 / n), share**2]).real)
    return max(float(low), 0.0), min(float(high), 1.0)


def spearman(pairs: Sequence[tuple[float, float]]) -> Figure:
    """Rank correlation with the interval of Bonett and Wright (2000)."""
    value = float(stats.spearmanr(*zip(*pairs, strict=True)).statistic)
    half = Z * sqrt((1 + value**2 / 2) / (len(pairs) - 3))
    return Figure(len(pairs), value, float(np.tanh(np.arctanh(value) - half)), float(np.tanh(np.arctanh(value) + half)))
