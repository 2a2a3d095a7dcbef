"""Topic surges: far more calls about a topic than in the same hour of past weeks.

A window is an hour, and moves in steps of ten minutes. Its calls about a topic are compared with those in the same
hour on the same weekday of past weeks, by the wall clock of the tenant: the historical limits method (Stroup,
Williamson, Herndon and Karon, Detection of aberrations in the occurrence of notifiable diseases surveillance data,
Statistics in Medicine 8, 1989), with a median for the expectation, so that one past surge does not hide the next. The
limit is the tail of what is predicted: the expectation is itself estimated from a few weeks, and counts vary more from
week to week than those of a Poisson process do, so it is that of a negative binomial distribution with the variance of
both (Noufaily and others, An improved algorithm for outbreak detection in multiple surveillance systems, Statistics in
Medicine 32, 2013). How much more counts vary is told by all topics of the tenant together, because a few weeks of one
topic cannot tell.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import chain
from math import exp, lgamma, log, log1p, pi
from statistics import median
from typing import Literal

from processors.kpi.statistics import FALSE_DISCOVERIES, q_values
from schemas.config.tenants import TenantDays
from schemas.messages.alert import MAX_CALLS_OF_SURGE, Alert

WINDOW = timedelta(hours=1)
STEP = timedelta(minutes=10)
"""By which windows move; also the length of a bucket, of which six make a window."""

MIN_WEEKS = 2
"""Fewer past weeks say nothing about what is usual."""

LEAST_EXPECTED = 1.0
"""A topic that is new counts as if one call an hour were usual."""

MAX_CHANCE = 1e-4
"""Of so many calls. With a hundred topics looked at once an hour: a false alarm in a hundred hours. Of more than five
hundred topics the false-discovery rate asks for less."""

MEDIAN_VARIANCE = pi / 2
"""Of a median of n counts, in variances of a single count divided by n (of the normal distribution, for large n)."""

QUIET = timedelta(hours=6)
"""For so long after an alert only growth is news; then a surge that goes on is told again."""

RULE_ID = "topic_surge"
RULE_VERSION = "1"

SurgeStatus = Literal["surge", "usual", "too_few_calls", "history_unknown"]


@dataclass(frozen=True)
class SurgeSettings:
    """`days` say from whose clock "the same hour" is read: the tenant's."""

    days: TenantDays
    weeks: int = 4
    min_count: int = 10
    ratio: float = 2.0


@dataclass(frozen=True)
class BucketCount:
    """Analysed calls of one tenant that ended within one `STEP` from `start`, and those of them about each topic."""

    tenant_id: str
    start: datetime
    calls: int
    topics: Mapping[str, int]
    names: Mapping[str, str]


@dataclass(frozen=True)
class TopicWindow:
    """Calls about a topic in the window from `start`, and in the same window of past weeks, the last week first.

    Weeks in which the tenant had no call at all in that hour are left out of `past`: then nothing is known of them.
    """

    tenant_id: str
    topic_id: str
    name: str
    start: datetime
    count: int
    past: tuple[int, ...]
    dispersion: float = 1.0
    """How many times as much the tenant's counts vary from week to week as those of a Poisson process; at least 1."""

    @property
    def end(self) -> datetime:
        """The first moment after the window."""
        return self.start + WINDOW


@dataclass(frozen=True)
class SurgeAssessment:
    """What a window comes to. `expected`, `chance` and `q_value` are null where the past is not known.

    `q_value` is over all topics of the tenant in the same window.
    """

    window: TopicWindow
    verdict: SurgeStatus
    expected: float | None = None
    chance: float | None = None
    q_value: float | None = None
    comparisons: int = 0
    """How many topics of the tenant were looked at in the same window."""


def last_step(moment: datetime) -> datetime:
    """The end of the last step that is over at that moment, in UTC; steps are counted from 1970."""
    step_s = int(STEP.total_seconds())
    return datetime.fromtimestamp(int(moment.timestamp()) // step_s * step_s, UTC)


def same_hours(start: datetime, settings: SurgeSettings, zone: tzinfo) -> tuple[datetime, ...]:
    """Starts of the same window in past weeks by the wall clock of a zone, the last week first; in UTC.

    Where the clock was put forward, a time of day that did not exist is the one an hour later.
    """
    local = start.astimezone(zone)
    return tuple(
        (local - timedelta(weeks=week)).astimezone(UTC)  # arithmetic within a zone is that of its wall clock
        for week in range(1, settings.weeks + 1)
    )


def topic_windows(
    buckets: Iterable[BucketCount], starts: Sequence[datetime], settings: SurgeSettings
) -> Iterator[TopicWindow]:
    """Every topic that a window holds a call about, by start of the window, tenant and topic.

    `buckets` cover the windows and their past; each bucket once.
    """
    of_tenant: dict[str, dict[datetime, BucketCount]] = defaultdict(dict)
    for bucket in buckets:
        of_tenant[bucket.tenant_id][bucket.start] = bucket
    for start in starts:
        for tenant_id in sorted(of_tenant):
            past_starts = same_hours(start, settings, settings.days.zone_of(tenant_id))
            known = of_tenant[tenant_id]
            now = _in_window(known, start)
            names = dict(chain.from_iterable(bucket.names.items() for bucket in now))
            past = [_in_window(known, past_start) for past_start in past_starts]
            past = [week for week in past if any(bucket.calls for bucket in week)]
            known_topics = {topic_id for week in past for bucket in week for topic_id in bucket.topics}
            of_topics = {topic: tuple(_count(week, topic) for week in past) for topic in known_topics | set(names)}
            varies = dispersion(of_topics.values())
            for topic_id in sorted(names):
                yield TopicWindow(
                    tenant_id, topic_id, names[topic_id], start, _count(now, topic_id), of_topics[topic_id], varies
                )


def _in_window(known: Mapping[datetime, BucketCount], start: datetime) -> list[BucketCount]:
    moments = (start + step * STEP for step in range(WINDOW // STEP))
    return [known[moment] for moment in moments if moment in known]


def _count(buckets: Iterable[BucketCount], topic_id: str) -> int:
    return sum(bucket.topics.get(topic_id, 0) for bucket in buckets)


def assess_all(windows: Iterable[TopicWindow], settings: SurgeSettings) -> list[SurgeAssessment]:
    """Each window; the topics of a tenant in the same window are looked at together. In the order of the windows.

    A surge is no surge where, among so many topics, more than `FALSE_DISCOVERIES` of what is as unlikely comes by
    chance.
    """
    assessed = [assess(window, settings) for window in windows]
    together: dict[tuple[str, datetime], list[int]] = defaultdict(list)
    for place, one in enumerate(assessed):
        if one.chance is not None:
            together[one.window.tenant_id, one.window.start].append(place)
    for places in together.values():
        found = q_values([assessed[place].chance or 0.0 for place in places])
        for place, q_value in zip(places, found, strict=True):
            one = assessed[place]
            is_chance = one.verdict == "surge" and q_value > FALSE_DISCOVERIES
            assessed[place] = replace(
                one, q_value=q_value, comparisons=len(places), verdict="usual" if is_chance else one.verdict
            )
    return assessed


def assess(window: TopicWindow, settings: SurgeSettings) -> SurgeAssessment:
    """Whether it is a surge: `expected` = max(median of the past weeks, `LEAST_EXPECTED`), and

    count ≥ `min_count`, count ≥ `ratio` · expected, P(X ≥ count) < `MAX_CHANCE` of what is predicted
    (`predicted_tail`).
    """
    if len(window.past) < MIN_WEEKS:
        return SurgeAssessment(window, "history_unknown")
    expected = max(float(median(window.past)), LEAST_EXPECTED)
    chance = predicted_tail(window.count, expected, len(window.past), window.dispersion)
    if window.count < settings.min_count:
        return SurgeAssessment(window, "too_few_calls", expected, chance)
    is_surge = window.count >= settings.ratio * expected and chance < MAX_CHANCE
    return SurgeAssessment(window, "surge" if is_surge else "usual", expected, chance)


def dispersion(counts_of_topics: Iterable[Sequence[int]]) -> float:
    """Variance ÷ mean of counts of the same hour in several weeks, over all topics; 1 where it is less, or unknown.

    The median over the topics, so that past surges of some do not count, divided by that of a χ² variable ÷ its degrees
    of freedom (Wilson and Hilferty), which it would have by chance.
    """
    ratios = []
    freedom = 1
    for counts in counts_of_topics:
        mean = sum(counts) / len(counts) if counts else 0.0
        if len(counts) >= MIN_WEEKS and mean >= LEAST_EXPECTED:
            freedom = len(counts) - 1
            ratios.append(sum((count - mean) ** 2 for count in counts) / freedom / mean)
    if not ratios:
        return 1.0
    return max(1.0, median(ratios) / (1 - 2 / (9 * freedom)) ** 3)


def predicted_tail(count: int, expected: float, weeks: int, times_poisson: float = 1.0) -> float:
    """P(X ≥ count) of a new count, where `expected` is the median of so many weeks, and counts vary as said.

    The variance is that of a count and that of the median, and the distribution the negative binomial one of both.
    """
    return negative_binomial_tail(count, expected, times_poisson * expected * (1 + MEDIAN_VARIANCE / weeks))


def negative_binomial_tail(count: int, mean: float, variance: float) -> float:
    """P(X ≥ count) of a negative binomial distribution with a variance above its positive mean; exact to six digits
    or so, also where it is tiny."""
    size = mean * mean / (variance - mean)
    share = mean / (size + mean)

    def chance(of: int) -> float:
        return exp(
            lgamma(of + size) - lgamma(size) - lgamma(of + 1) + size * log1p(-share) + (of * log(share) if of else 0.0)
        )

    if count <= mean:
        return 1.0 - sum(chance(lower) for lower in range(count))
    # Summed upwards from `count`, where terms shrink: 1 - P(X < count) would lose every digit of a small tail.
    term, tail, higher = chance(count), 0.0, count
    while term > tail * 1e-16:
        tail += term
        term *= share * (higher + size) / (higher + 1)
        higher += 1
    return min(tail, 1.0)


class RaisedSurges:
    """The alerts that this process has raised, by tenant, topic and hour of the window's start: its memory.

    One alert for each topic and hour. Within `QUIET` of an alert, another hour is news only where its count has grown
    by `ratio` over the largest that was told; a surge that goes on and does not grow is told once in `QUIET`.
    """

    def __init__(self, ratio: float) -> None:
        self._ratio = ratio
        self._told: dict[tuple[str, str], dict[datetime, int]] = defaultdict(dict)

    def is_news(self, surge: TopicWindow) -> bool:
        """Whether an alert is to be raised of it."""
        hour = _hour(surge.start)
        told = self._told.get((surge.tenant_id, surge.topic_id), {})
        near = [count for moment, count in told.items() if abs(moment - hour) < QUIET]
        return hour not in told and all(surge.count >= self._ratio * count for count in near)

    def remember(self, surge: TopicWindow) -> None:
        """The alert is out; what was told long before is forgotten."""
        hour = _hour(surge.start)
        told = self._told[surge.tenant_id, surge.topic_id]
        told[hour] = surge.count
        for moment in [moment for moment in told if hour - moment > 4 * QUIET]:
            del told[moment]


def alert_of(surge: SurgeAssessment, call_ids: Sequence[str], now: datetime) -> Alert:
    """The alert, with the calls behind it, newest first. Its id is the same for every window of the topic and hour."""
    window = surge.window
    hour = _hour(window.start).strftime("%Y-%m-%dT%H:%MZ")
    expected = surge.expected or 0.0
    return Alert(
        alert_id=Alert.id_of(window.tenant_id, f"{window.topic_id}/{hour}", RULE_ID, RULE_VERSION),
        kind="surge",
        tenant_id=window.tenant_id,
        rule_id=RULE_ID,
        rule_version=RULE_VERSION,
        category=RULE_ID,
        severity="high",
        title=f"{window.name[:200]}：一小时内 {window.count} 通，往周同一时段约 {expected:g} 通",
        advice="抽听所列通话，查明共同原因；准备统一答复，必要时加派坐席",
        topic_id=window.topic_id,
        calls=tuple(call_ids[:MAX_CALLS_OF_SURGE]),
        calls_count=window.count,
        expected_count=expected,
        happened_at=window.end,
        raised_at=now,
    )


def _hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)
