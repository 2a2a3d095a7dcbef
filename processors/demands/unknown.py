"""What customers say that no topic covers, grouped: demands that nobody has written a topic for (R61). Pure.

Groups are formed of a sample of the calls without a topic; then every call of the week and of the week before is put
to the group that it is nearest to, a batch at a time, so that memory does not grow with the calls.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import sha256
from typing import Literal

import numpy as np

from processors.demands.opening_space import LETTERS, OpeningSpace, PlacedOpenings, group_by_average, unit_rows
from processors.demands.typical_words import WordCounts, count_words, typical_words
from processors.kpi.demands import share_of
from processors.kpi.statistics import FALSE_DISCOVERIES, Difference, Estimate, difference, q_values
from processors.text.normalized_text import normalize

SAMPLE = 3_000
"""Calls without a topic that groups are formed of; where there are more, a sample by a hash of their ids."""

BACKGROUND = 1_000
"""Calls with a topic that words are compared with."""

JOINED_FROM = 0.2
"""Mean cosine from which on groups are one, and …"""

BELONGS_FROM = 0.4
"""… cosine to the middle of a group from which on a call belongs to it. Both chosen on `training/dialogues`."""

FEWEST_CALLS = 3
MOST_WORDS = 8
MOST_QUOTES = 5
MOST_PHRASES = 6
SHORT = 2
"""Letters of a phrase that is said by chance too often."""

DemandTrend = Literal["new", "grows", "known"]


@dataclass(frozen=True)
class SaidByCustomer:
    """An utterance of a customer, masked."""

    text: str
    start_ms: int
    end_ms: int


@dataclass(frozen=True)
class OpenCall:
    """A call with what its customer said first. `opening` are its letters, as calls are compared by."""

    call_id: str
    ended_at: datetime
    said: tuple[SaidByCustomer, ...]

    @property
    def letters(self) -> tuple[str, ...]:
        """The letters of each utterance, without punctuation."""
        return tuple(normalize(one.text).letters for one in self.said)

    @property
    def opening(self) -> str:
        """The first letters of the customer, by whole utterances."""
        kept: list[str] = []
        for letters in self.letters:
            kept.append(letters[: 4 * LETTERS])
            if sum(map(len, kept)) >= LETTERS:
                break
        return "\x02".join(filter(None, kept))


@dataclass(frozen=True)
class DemandQuote:
    """The utterance that shows a demand best in a call, and where it is."""

    call_id: str
    ended_at: datetime
    start_ms: int
    end_ms: int
    text: str


@dataclass(frozen=True)
class UnknownDemand:
    """A group of calls that no topic covers. `share` is of all analysed calls; `q_value` that of the change."""

    cluster: str
    calls: int
    share: Estimate
    calls_before: int
    change: Difference | None
    trend: DemandTrend
    words: tuple[str, ...]
    phrases: tuple[str, ...]
    quotes: tuple[DemandQuote, ...]
    members: tuple[str, ...]
    q_value: float | None = None


@dataclass
class _Group:
    """What is gathered of a group while the calls of the week pass by."""

    calls: int = 0
    before: int = 0
    words: WordCounts = field(default_factory=WordCounts)
    nearest: list[tuple[float, OpenCall]] = field(default_factory=list)
    members: list[str] = field(default_factory=list)


class UnknownDemands:
    """Groups of calls that no topic covers. Formed when built; then told of every call, then asked."""

    def __init__(self, sample: Sequence[OpenCall], background: Sequence[OpenCall], fewest: int = FEWEST_CALLS) -> None:
        self._fewest = fewest
        openings = [call.opening for call in sample]
        self._space = OpeningSpace([*openings, *(call.opening for call in background)])
        points = self._space.place(openings)
        known = [number for number in range(len(sample)) if points[number].any()]
        groups = [[known[place] for place in group] for group in group_by_average(points[known], JOINED_FROM)]
        groups = [group for group in groups if len(group) >= fewest]
        sums = [points[group].sum(axis=0) for group in groups]
        self._middles: PlacedOpenings = unit_rows(
            np.array(sums, dtype=np.float32).reshape(len(groups), points.shape[1])
        )
        # Named by one of its calls: the same calls give the same names.
        self._ids = [
            sha256(min(sample[number].call_id for number in group).encode()).hexdigest()[:8] for group in groups
        ]
        self._groups = [_Group() for _ in groups]
        self._background = count_words(call.letters for call in background)
        self._background_calls = len(background)
        self._others: WordCounts = WordCounts()
        self._counted = 0

    def tell(self, calls: Sequence[OpenCall]) -> None:
        """Some of the calls of the week that no topic covers, each once."""
        for call, (number, cosine) in zip(calls, self._nearest(calls), strict=True):
            self._counted += 1
            if number is None:
                continue
            group = self._groups[number]
            group.calls += 1
            group.members.append(call.call_id)
            if group.calls <= SAMPLE:
                group.words.update(count_words([call.letters]))
            group.nearest = sorted([*group.nearest, (cosine, call)], key=lambda one: (-one[0], one[1].call_id))
            del group.nearest[4 * MOST_QUOTES :]

    def tell_before(self, calls: Sequence[OpenCall]) -> None:
        """Some of those of the week before."""
        for number, _ in self._nearest(calls):
            if number is not None:
                self._groups[number].before += 1

    def groups_found(self, analysed: int, analysed_before: int) -> list[UnknownDemand]:
        """The groups, those of most calls first, of so many analysed calls in the week and in the one before."""
        demands = []
        for cluster, group in zip(self._ids, self._groups, strict=True):
            if group.calls >= self._fewest:
                demands.append(self._demand(cluster, group, analysed, analysed_before))
        compared = [one for one in demands if one.change is not None]
        q_of = dict(
            zip(
                (one.cluster for one in compared),
                q_values([one.change.chance for one in compared if one.change is not None]),
                strict=True,
            )
        )
        finished = [_with_trend(one, q_of.get(one.cluster)) for one in demands]
        return sorted(finished, key=lambda one: (-one.calls, one.cluster))

    def _nearest(self, calls: Sequence[OpenCall]) -> list[tuple[int | None, float]]:
        if not len(self._groups) or not calls:
            return [(None, 0.0)] * len(calls)
        cosines = self._space.place([call.opening for call in calls]) @ self._middles.T
        best = cosines.argmax(axis=1)
        return [
            (int(number), float(row[number])) if row[number] >= BELONGS_FROM else (None, 0.0)
            for number, row in zip(best, cosines, strict=True)
        ]

    def _demand(self, cluster: str, group: _Group, analysed: int, analysed_before: int) -> UnknownDemand:
        outside = self._background + sum((one.words for one in self._groups if one is not group), WordCounts())
        others = self._background_calls + sum(min(one.calls, SAMPLE) for one in self._groups if one is not group)
        counted = min(group.calls, SAMPLE)
        words = typical_words(group.words, counted, outside, others, 4 * MOST_WORDS)
        share = share_of(group.calls, analysed)
        return UnknownDemand(
            cluster,
            group.calls,
            share,
            group.before,
            difference(share, share_of(group.before, analysed_before)),
            "known",
            tuple(words[:MOST_WORDS]),
            tuple(_phrases(words, group.words, counted, outside, others)),
            tuple(_quotes(group.nearest, words[:MOST_WORDS])),
            tuple(group.members),
        )


def _with_trend(demand: UnknownDemand, q_value: float | None) -> UnknownDemand:
    grows = q_value is not None and q_value <= FALSE_DISCOVERIES and demand.change and demand.change.value > 0
    trend: DemandTrend = "new" if demand.calls_before == 0 else "grows" if grows else "known"
    return replace(demand, trend=trend, q_value=q_value)


def _phrases(words: Sequence[str], inside: WordCounts, calls: int, outside: WordCounts, others: int) -> Iterable[str]:
    """What a topic would be found by: words of three letters and more that are rarely said in other calls, or of two
    where nothing longer is there."""
    rare = [
        word
        for word in words
        if inside[word] >= max(2, 0.1 * calls) and outside.get(word, 0) * calls <= 0.1 * inside[word] * max(others, 1)
    ]
    long = [word for word in rare if len(word) > SHORT]
    return (long or rare)[:MOST_PHRASES]


def _quotes(nearest: Iterable[tuple[float, OpenCall]], words: Sequence[str]) -> Iterable[DemandQuote]:
    for _, call in list(nearest)[:MOST_QUOTES]:
        letters = call.letters
        place = max(range(len(letters)), key=lambda number: (sum(word in letters[number] for word in words), -number))
        said = call.said[place]
        yield DemandQuote(call.call_id, call.ended_at, said.start_ms, said.end_ms, said.text)
