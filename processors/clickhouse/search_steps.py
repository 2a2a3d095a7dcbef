"""What comes before or after what a search is about: the steps of a `SearchQuery`, in one call.

Pure; `streams/queries/search.py` reads the calls that hold the words at all. `docs/adr/0072-search-steps.md` has the
reasons.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from processors.clickhouse.search_sql import (
    MOST_QUOTES,
    Quote,
    SearchPhrase,
    SearchQuery,
    SearchStep,
    is_told,
    is_wanted_finding,
    may_be_said_by,
    merged_spans,
)

SpokenSegment = tuple[int, str, int, int, str]
"""Id, role, start and end in ms, text."""
FINDING_COLUMNS = tuple(
    f"findings.{name}" for name in ("detector", "rule_id", "matched", "role", "start_ms", "end_ms", "quote")
)
"""Columns of `call_versions` that steps are looked for in, where they are about findings."""


class _Place(NamedTuple):
    """Where something is said, or what a rule found lies; `start` and `end` are characters of the text."""

    start_ms: int
    end_ms: int
    role: str
    text: str
    start: int
    end: int
    segment_id: int | None = None
    rule_id: str | None = None

    def is_followed_by(self, other: "_Place", within_ms: int | None) -> bool:
        """Whether the other begins after it, in time. What is said at the same time is both before and after."""
        if self.segment_id is not None and self.segment_id == other.segment_id:
            return self.start < other.start
        is_later = other.end_ms > self.start_ms
        return is_later and (within_ms is None or other.start_ms - self.end_ms <= within_ms)


@dataclass(frozen=True)
class HeardCall:
    """The segments of the newest transcript, and the findings by `FINDING_COLUMNS`; none where no rule is asked for."""

    segments: Sequence[SpokenSegment]
    findings: Mapping[str, Sequence[Any]]

    def anchor_quotes(self, query: SearchQuery) -> tuple[Quote, ...]:
        """What the search is about, where all steps hold, and what comes before or after it, in order of time.

        Empty where no place fulfils every step, and where nobody was heard: what did not follow is not known then. At
        most `MOST_QUOTES`.
        """
        if not self.segments:
            return ()
        places: dict[_Place, None] = {}
        for anchor in self._anchors(query):
            beside = [self._beside(anchor, step, query) for step in query.steps]
            if all((found is None) == step.absent for found, step in zip(beside, query.steps, strict=True)):
                places |= dict.fromkeys([anchor, *(found for found in beside if found is not None)])
        return tuple(_quotes(places))[:MOST_QUOTES]

    def _anchors(self, query: SearchQuery) -> Iterator[_Place]:
        if query.phrases:
            (phrase,) = query.phrases
            yield from self._said(phrase, () if phrase.role is None else (phrase.role,))
            return
        for place, detector, rule_id, matched in self._found():
            if is_wanted_finding(query, detector, rule_id, matched):
                yield place

    def _beside(self, anchor: _Place, step: SearchStep, query: SearchQuery) -> _Place | None:
        """The place of the step on its side of the anchor, the nearest; None where there is none."""
        if step.said is not None:
            role = step.said.role
            # That somebody did not say it can be told only where nobody unknown said it.
            roles = () if role is None else may_be_said_by(role) if step.absent else (role,)
            there: Iterable[_Place] = self._said(step.said, roles)
        else:
            there = (
                place
                for place, detector, *_ in self._found()
                if place.rule_id == step.rule and is_told(query, detector)
            )
        if step.side == "after":
            later = (place for place in there if anchor.is_followed_by(place, step.within_ms))
            return min(later, key=lambda place: (place.start_ms, place.start), default=None)
        earlier = (place for place in there if place.is_followed_by(anchor, step.within_ms))
        return max(earlier, key=lambda place: (place.end_ms, place.start), default=None)

    def _said(self, phrase: SearchPhrase, roles: Sequence[str]) -> Iterator[_Place]:
        """Every place of the phrase; without roles by anybody."""
        for segment_id, role, start_ms, end_ms, text in self.segments:
            if roles and role not in roles:
                continue
            for start, end in phrase.places(text):
                yield _Place(start_ms, end_ms, role, text, start, end, segment_id=segment_id)

    def _found(self) -> Iterator[tuple[_Place, str, str, str]]:
        """Every finding with its detector, rule and what it matched."""
        columns = (self.findings.get(name, ()) for name in FINDING_COLUMNS)
        for detector, rule_id, matched, role, start_ms, end_ms, text in zip(*columns, strict=True):
            start = max(0, text.find(matched))
            end = start + len(matched) if matched in text else start
            yield _Place(start_ms, end_ms, role, text, start, end, rule_id=rule_id), detector, rule_id, matched


def _quotes(places: Iterable[_Place]) -> Iterator[Quote]:
    """In order of time; places of one segment are one quote, and stretches of it that overlap one."""
    spans: dict[tuple[int, int, str, str, int | None, str | None], list[tuple[int, int]]] = {}
    for place in sorted(places, key=lambda each: (each.start_ms, each.start, each.segment_id is not None)):
        key = (place.start_ms, place.end_ms, place.role, place.text, place.segment_id, place.rule_id)
        spans.setdefault(key, []).extend([(place.start, place.end)] if place.start < place.end else [])
    for (start_ms, end_ms, role, text, segment_id, rule_id), found in spans.items():
        yield Quote(
            kind="finding" if segment_id is None else "phrase",
            role=role,
            start_ms=start_ms,
            end_ms=end_ms,
            text=text,
            spans=merged_spans(found),
            segment_id=segment_id,
            rule_id=rule_id,
        )
