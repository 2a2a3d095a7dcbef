"""What comes before or after what a search is about: the steps of a `SearchQuery`, in one call.

Pure; `streams/queries/search.py` reads the calls that hold the words at all. `docs/adr/0072-search-steps.md` has the
reasons.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from processors.clickhouse.search_sql import (
    MOST_QUOTES,
    Quote,
    SearchPhrase,
    SearchQuery,
    SearchStep,
    Span,
    is_wanted_finding,
    may_be_said_by,
    merged_spans,
    spans_of,
)

SpokenSegment = tuple[int, str, int, int, str]
"""Id, role, start and end in ms, text."""
FINDING_COLUMNS = tuple(
    f"findings.{name}" for name in ("detector", "rule_id", "matched", "role", "start_ms", "end_ms", "quote")
)
"""Columns of `call_versions` that steps are looked for in, where they are about findings."""


@dataclass(frozen=True)
class _Place:
    """Where something is said, or what a rule found lies; `start` and `end` are characters of the segment."""

    start_ms: int
    end_ms: int
    quote: Quote
    segment_id: int | None = None
    start: int = 0

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
        quotes: dict[tuple[int, int, str, Quote], None] = {}
        for anchor in self._anchors(query):
            beside = [self._beside(anchor, step) for step in query.steps]
            if all(bool(found) != step.absent for found, step in zip(beside, query.steps, strict=True)):
                for place in (anchor, *(place for found in beside for place in found[:1])):
                    quotes[place.start_ms, place.start, place.quote.kind, place.quote] = None
        ordered = [quote for *_, quote in sorted(quotes, key=lambda key: key[:3])]
        return tuple(_joined(ordered))[:MOST_QUOTES]

    def _anchors(self, query: SearchQuery) -> Iterator[_Place]:
        if query.phrases:
            (phrase,) = query.phrases
            yield from self._said(phrase, () if phrase.role is None else (phrase.role,))
            return
        for place, detector, rule_id, matched in self._found():
            if is_wanted_finding(query, detector, rule_id, matched):
                yield place

    def _beside(self, anchor: _Place, step: SearchStep) -> list[_Place]:
        """The places of the step on its side of the anchor, the nearest first."""
        if step.said is not None:
            role = step.said.role
            # That somebody did not say it can be told only where nobody unknown said it.
            roles = () if role is None else may_be_said_by(role) if step.absent else (role,)
            there: Iterable[_Place] = self._said(step.said, roles)
        else:
            there = (place for place, _, rule_id, _ in self._found() if rule_id == step.rule)
        if step.side == "after":
            return sorted(
                (place for place in there if anchor.is_followed_by(place, step.within_ms)),
                key=lambda place: (place.start_ms, place.start),
            )
        return sorted(
            (place for place in there if place.is_followed_by(anchor, step.within_ms)),
            key=lambda place: (-place.end_ms, -place.start),
        )

    def _said(self, phrase: SearchPhrase, roles: Sequence[str]) -> Iterator[_Place]:
        """Every place of the phrase; without roles by anybody."""
        for segment_id, role, start_ms, end_ms, text in self.segments:
            if roles and role not in roles:
                continue
            for start, end in phrase.places(text):
                quote = Quote(
                    kind="phrase",
                    role=role,
                    start_ms=start_ms,
                    end_ms=end_ms,
                    text=text,
                    spans=(Span(start=start, end=end),),
                    segment_id=segment_id,
                )
                yield _Place(start_ms, end_ms, quote, segment_id, start)

    def _found(self) -> Iterator[tuple[_Place, str, str, str]]:
        """Every finding with its detector, rule and what it matched."""
        columns = (self.findings.get(name, ()) for name in FINDING_COLUMNS)
        for detector, rule_id, matched, role, start_ms, end_ms, text in zip(*columns, strict=True):
            spans = spans_of(text, [matched]) if matched else ()
            quote = Quote(
                kind="finding", role=role, start_ms=start_ms, end_ms=end_ms, text=text, spans=spans, rule_id=rule_id
            )
            yield _Place(start_ms, end_ms, quote), detector, rule_id, matched


def _joined(quotes: Iterable[Quote]) -> Iterator[Quote]:
    """Quotes of one segment as one, with the places of all; stretches that overlap are one."""
    joined: dict[tuple[object, ...], Quote] = {}
    for quote in quotes:
        key = (quote.kind, quote.segment_id, quote.rule_id, quote.start_ms, quote.text)
        known = joined.get(key)
        spans = [*(known.spans if known else ()), *quote.spans]
        joined[key] = quote.model_copy(update={"spans": merged_spans((span.start, span.end) for span in spans)})
    return iter(joined.values())
