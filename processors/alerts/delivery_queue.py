"""What one subscriber still has to be sent: filters, quiet hours, grouping, retries. Pure; time is an argument.

    arrive ──► waiting ──► next_parcel ──► (somebody sends it) ──► settle ──► finished
                  ▲  due, no hold                                     │
                  └───────────────── later ───────────────────────────┘

Nothing is forgotten: what has arrived is waiting or finished, and every end of an alert that the subscription asks for
is a line in the record.
"""

import random
from collections import OrderedDict, deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

from processors.alerts.raising import at_least
from processors.alerts.rendering import MAX_GROUPED, Notice
from schemas.config.subscription import Subscription
from schemas.messages.alert import Alert
from schemas.messages.alert_delivery import AlertDelivery, DeliveryOutcome

MAX_REMEMBERED = 10_000
"""Ids of sent alerts by which a repeat is known."""

MINUTE = timedelta(minutes=1)

LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)

RecordPosition = tuple[int, int]
"""Partition and offset of an alert in its topic."""

Cause = tuple[str, str]
"""Tenant and rule."""

AttemptResult = Literal["accepted", "later", "refused", "gone"]


@dataclass(frozen=True)
class Answer:
    """How an attempt ended. `later`: try again; `refused`: this alert is never accepted; `gone`: none ever is."""

    verdict: AttemptResult
    status_code: int | None = None
    error_class: str | None = None
    retry_after_s: float | None = None
    latency_ms: int = 0


@dataclass(frozen=True)
class RetrySchedule:
    """Exponential back-off with full jitter: the nth pause is anything up to `first_s` doubled n-1 times, at most
    `longest_s`. An alert that is older than `give_up_s` is given up.
    """

    first_s: float = 2
    longest_s: float = 900
    give_up_s: float = 24 * 3_600

    def pause(self, failures: int, rng: random.Random) -> timedelta:
        """The pause after so many failures in a row."""
        most_s = min(self.first_s * 2.0 ** min(failures - 1, 60), self.longest_s)
        return timedelta(seconds=rng.uniform(0, most_s))


@dataclass(eq=False)
class Delivery:
    """What will be sent as one message: one alert, or the storm that is being collected."""

    entries: list[tuple[Alert, RecordPosition]]
    due_at: datetime
    is_storm: bool = False
    attempts: int = 0

    @property
    def cause(self) -> Cause:
        """Tenant and rule, which all alerts of one delivery share."""
        alert = self.entries[0][0]
        return alert.tenant_id, alert.rule_id

    def notice(self, subscriber: str) -> Notice:
        """What the channel sends."""
        alerts = tuple(alert for alert, _place in self.entries)
        return Notice.of_storm(subscriber, alerts) if self.is_group else Notice.of_one(alerts[0])

    @property
    def is_group(self) -> bool:
        """Whether it is a storm: one that only ever got its first alert is not."""
        return self.is_storm and len(self.entries) > 1


@dataclass
class DeliveryQueue:
    """The state of one subscriber. Every method that decides something returns the lines that record it; they are to be
    written before the places of `take_finished` are taken for done.
    """

    subscription: Subscription
    schedule: RetrySchedule = RetrySchedule()
    per_minute: int | None = None
    """At most so many messages a minute, because the channel limits them."""

    rng: random.Random = field(default_factory=random.Random)
    max_remembered: int = MAX_REMEMBERED
    gone: bool = False
    """The subscriber has said that it wants nothing any more."""

    settled: OrderedDict[RecordPosition, str] = field(default_factory=OrderedDict)
    """Position → id of alerts that are finished. Where reading begins again, they come again, and nothing is done:
    neither is what was accepted sent twice, nor does a line say that it was suppressed."""

    ended_before: Collection[str] = ()
    """Ids of alerts of which the record says that they have ended, where positions tell nothing any more."""

    _waiting: list[Delivery] = field(default_factory=list)
    _storms: dict[Cause, Delivery] = field(default_factory=dict)
    _waiting_ids: set[str] = field(default_factory=set)
    _finished: list[RecordPosition] = field(default_factory=list)
    _sent_ids: OrderedDict[str, None] = field(default_factory=OrderedDict)
    _sent_at: dict[Cause, deque[datetime]] = field(default_factory=dict)
    _recent: deque[datetime] = field(default_factory=deque)
    _failures: int = 0
    _hold_until: datetime = LONG_AGO
    _last_now: datetime = LONG_AGO

    def arrive(self, alert: Alert, place: RecordPosition, now: datetime) -> list[AlertDelivery]:
        """Take in an alert. It waits, or is finished at once if it is not for this subscriber or was sent before."""
        self._follow(now)
        has_ended = self.settled.get(place) == alert.alert_id or alert.alert_id in self.ended_before
        if has_ended or not wants(self.subscription, alert):
            self._finished.append(place)
            return []
        if alert.alert_id in self._sent_ids or alert.alert_id in self._waiting_ids:
            self._finished.append(place)
            return self._lines(Delivery([(alert, place)], now), now, "suppressed", reason="repeat")
        self._waiting.append(Delivery([(alert, place)], now))
        self._waiting_ids.add(alert.alert_id)
        return []

    def skip(self, place: RecordPosition) -> None:
        """Count a position as finished: what was read there is not an alert, or was dealt with before."""
        self._finished.append(place)

    def next_delivery(self, now: datetime) -> tuple[Delivery | None, list[AlertDelivery]]:
        """What to send now, if anything; settles on the way what need not be sent."""
        self._follow(now)
        lines: list[AlertDelivery] = []
        if now < self._free_at():
            return None, lines
        due = [delivery for delivery in self._waiting if delivery.due_at <= now]
        # Those with the fewest attempts first: an alert that always fails must not hold up those behind it.
        for delivery in sorted(due, key=lambda each: (each.attempts, each.entries[0][0].raised_at)):
            decided = self._decided_without_sending(delivery, now)
            if decided is None:
                return delivery, lines
            lines.extend(decided)
        return None, lines

    def settle(self, delivery: Delivery, answer: Answer, now: datetime) -> list[AlertDelivery]:
        """Record how an attempt ended: the delivery is finished, or waits for the next attempt."""
        self._follow(now)
        delivery.attempts += 1
        self._close(delivery)
        if self.per_minute is not None:
            self._recent.append(now)
        if answer.verdict == "later":
            return self._later(delivery, answer, now)
        self._failures = 0
        if answer.verdict == "accepted":
            self._sent_at.setdefault(delivery.cause, deque()).append(now)
            return self._end(delivery, now, "grouped" if delivery.is_group else "delivered", answer=answer)
        self.gone = self.gone or answer.verdict == "gone"
        return self._end(delivery, now, "gave_up", reason=answer.verdict, answer=answer)

    def wake_at(self) -> datetime | None:
        """When there is something to do again; None: not before something arrives."""
        if not self._waiting:
            return None
        return max(min(delivery.due_at for delivery in self._waiting), self._free_at())

    def take_finished(self) -> list[RecordPosition]:
        """Positions finished since the last call."""
        finished, self._finished = self._finished, []
        return finished

    def drop(self, partitions: Collection[int]) -> None:
        """Forget these partitions: another worker has them now and will read again what was not finished."""
        for delivery in list(self._waiting):
            self._waiting_ids -= {alert.alert_id for alert, place in delivery.entries if place[0] in partitions}
            delivery.entries = [entry for entry in delivery.entries if entry[1][0] not in partitions]
            if not delivery.entries:
                self._waiting.remove(delivery)
                self._storms = {cause: storm for cause, storm in self._storms.items() if storm is not delivery}
        self._finished = [place for place in self._finished if place[0] not in partitions]

    def __len__(self) -> int:
        return sum(len(delivery.entries) for delivery in self._waiting)

    def _follow(self, now: datetime) -> None:
        """Where the clock was set back, go back with it: else what was sent in a time to come would suppress alerts,
        and pauses would end as much later."""
        back, self._last_now = self._last_now - now, now
        if back <= timedelta(0):
            return
        for delivery in self._waiting:
            delivery.due_at -= back
        self._sent_at = {cause: deque(at - back for at in sent_at) for cause, sent_at in self._sent_at.items()}
        self._recent = deque(at - back for at in self._recent)
        self._hold_until = max(self._hold_until - back, LONG_AGO)

    def _free_at(self) -> datetime:
        """The earliest moment at which anything may be sent at all."""
        if self.per_minute is None or len(self._recent) < self.per_minute:
            return self._hold_until
        while len(self._recent) > self.per_minute:
            self._recent.popleft()
        return max(self._hold_until, self._recent[0] + MINUTE)

    def _decided_without_sending(self, delivery: Delivery, now: datetime) -> list[AlertDelivery] | None:
        """The lines of record if the delivery is not to be sent now; None if it is."""
        if self.gone:
            return self._end(delivery, now, "gave_up", reason="subscriber_gone")
        if now >= self._deadline(delivery):
            return self._end(delivery, now, "gave_up", reason="too_old")
        quiet = self.subscription.quiet_hours
        ends_at = quiet.end_after(now, delivery.notice(self.subscription.name).severity) if quiet else None
        if ends_at is not None:
            delivery.due_at = ends_at
            return self._lines(delivery, now, "deferred", reason="quiet_hours", next_try_at=ends_at)
        if delivery.is_storm or delivery.attempts:
            return None
        sent_at = self._sent_within(delivery.cause, now)
        if sent_at and (now - sent_at[-1]).total_seconds() < self.subscription.min_interval_s:
            return self._end(delivery, now, "suppressed", reason="min_interval")
        grouping = self.subscription.grouping
        if grouping is not None:
            begin = now - timedelta(seconds=grouping.within_s)
            if delivery.cause in self._storms or sum(at > begin for at in sent_at) >= grouping.more_than:
                self._collect(delivery, now + timedelta(seconds=grouping.within_s))
                return []
        return None

    def _collect(self, delivery: Delivery, due_at: datetime) -> None:
        """Add a single alert to the storm of its cause; the first one starts it."""
        self._waiting.remove(delivery)
        storm = self._storms.get(delivery.cause)
        if storm is None:
            storm = Delivery([], due_at, is_storm=True)
            self._storms[delivery.cause] = storm
            self._waiting.append(storm)
        storm.entries.extend(delivery.entries)
        if len(storm.entries) >= MAX_GROUPED:
            storm.due_at = min(storm.due_at, delivery.due_at)
            self._close(storm)

    def _close(self, delivery: Delivery) -> None:
        """Keep a storm as it is once it was sent: its id is derived from the ids in it."""
        if self._storms.get(delivery.cause) is delivery:
            del self._storms[delivery.cause]

    def _later(self, delivery: Delivery, answer: Answer, now: datetime) -> list[AlertDelivery]:
        self._failures += 1
        hold = self.schedule.pause(self._failures, self.rng)
        if answer.retry_after_s is not None:
            hold = max(hold, timedelta(seconds=min(answer.retry_after_s, self.schedule.give_up_s)))
        self._hold_until = max(self._hold_until, now + hold)
        delivery.due_at = max(now + self.schedule.pause(delivery.attempts, self.rng), self._hold_until)
        if delivery.due_at >= self._deadline(delivery):
            return self._end(delivery, now, "gave_up", reason="too_old", answer=answer)
        return self._lines(delivery, now, "failed", answer=answer, next_try_at=delivery.due_at)

    def _deadline(self, delivery: Delivery) -> datetime:
        return max(alert.raised_at for alert, _place in delivery.entries) + timedelta(seconds=self.schedule.give_up_s)

    def _sent_within(self, cause: Cause, now: datetime) -> Sequence[datetime]:
        """When something of this cause was sent, as far back as it matters."""
        grouping = self.subscription.grouping
        matters_s = max(self.subscription.min_interval_s, grouping.within_s if grouping else 0)
        sent_at = self._sent_at.get(cause, deque())
        while sent_at and (now - sent_at[0]).total_seconds() >= matters_s:
            sent_at.popleft()
        if not sent_at:
            self._sent_at.pop(cause, None)
        return sent_at

    def _end(
        self,
        delivery: Delivery,
        now: datetime,
        outcome: DeliveryOutcome,
        *,
        reason: str | None = None,
        answer: Answer | None = None,
    ) -> list[AlertDelivery]:
        """Remove a finished delivery and remember its positions."""
        lines = self._lines(delivery, now, outcome, reason=reason, answer=answer)
        if delivery in self._waiting:
            self._waiting.remove(delivery)
        self._close(delivery)
        self._waiting_ids -= {alert.alert_id for alert, _place in delivery.entries}
        self._finished.extend(place for _alert, place in delivery.entries)
        self.settled.update((place, alert.alert_id) for alert, place in delivery.entries)
        while len(self.settled) > self.max_remembered:
            self.settled.popitem(last=False)
        if outcome != "gave_up":
            self._sent_ids.update((alert.alert_id, None) for alert, _place in delivery.entries)
            while len(self._sent_ids) > self.max_remembered:
                self._sent_ids.popitem(last=False)
        return lines

    def _lines(
        self,
        delivery: Delivery,
        now: datetime,
        outcome: DeliveryOutcome,
        *,
        reason: str | None = None,
        answer: Answer | None = None,
        next_try_at: datetime | None = None,
    ) -> list[AlertDelivery]:
        """One line of record for each alert of the delivery."""
        group_id = (
            delivery.notice(self.subscription.name).notice_id if delivery.is_group and delivery.attempts else None
        )
        return [
            AlertDelivery(
                alert_id=alert.alert_id,
                tenant_id=alert.tenant_id,
                rule_id=alert.rule_id,
                subscriber=self.subscription.name,
                channel=self.subscription.channel.kind,
                attempt=delivery.attempts if answer else 0,
                outcome=outcome,
                reason=reason,
                status_code=answer.status_code if answer else None,
                error_class=answer.error_class if answer else None,
                group_id=group_id,
                at=now,
                next_try_at=next_try_at,
                latency_ms=answer.latency_ms if answer else None,
            )
            for alert, _place in delivery.entries
        ]


def wants(subscription: Subscription, alert: Alert) -> bool:
    """Whether the subscription asks for this alert. One to alerts never asks for a call that was only selected, and one
    to selected calls for nothing else."""
    if subscription.on == "selected" or alert.triggers:
        return subscription.on == "selected" and bool(alert.triggers) and _wants_call(subscription, alert)
    return (
        subscription.tenant in ("*", alert.tenant_id)
        and at_least(alert.severity, subscription.min_severity)
        and (not subscription.categories or alert.category in subscription.categories)
        and (not subscription.teams or alert.agent_team in subscription.teams)
        and (not subscription.rules or any(_names(rule, alert.rule_id) for rule in subscription.rules))
        and (not subscription.kinds or alert.kind in subscription.kinds)
    )


def _wants_call(subscription: Subscription, alert: Alert) -> bool:
    """Whether a subscription to selected calls asks for this one, whatever its severity."""
    return (
        subscription.tenant in ("*", alert.tenant_id)
        and (not subscription.teams or alert.agent_team in subscription.teams)
        and (not subscription.triggers or not set(subscription.triggers).isdisjoint(alert.triggers))
    )


def _names(rule: str, rule_id: str) -> bool:
    """`finance.*` names every rule that begins with `finance.`; anything else itself alone."""
    return rule_id.startswith(rule[:-1]) if rule.endswith("*") else rule_id == rule
