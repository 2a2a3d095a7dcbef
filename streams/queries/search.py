"""Search: calls by any combination of conditions, newest first, page by page, from ClickHouse.

Candidates come from the raw tables without `FINAL`, by their indexes and in the order of their key; each is then read
with `FINAL` and checked again. So versions that were replaced give no hit, repeats give one, and only what is on the
page is read whole. Time is looked at in stretches that grow, the latest first: what is frequent is found in the first.
`docs/adr/0022-search.md` has the reasons and measurements.
"""

import heapq
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from difflib import get_close_matches
from itertools import groupby
from typing import Any

from clickhouse_connect.driver.client import Client

from processors.clickhouse.search_sql import (
    DEFAULT_LIMIT,
    MOST_HITS,
    ROLES,
    CursorError,
    FoundCall,
    Page,
    PagePosition,
    Quote,
    SearchQuery,
    SqlCondition,
    decode_cursor,
    encode_cursor,
    finding_quotes,
    is_heard,
    lines_of,
    of_call,
    of_index,
    of_keys,
    of_segments,
    of_text,
    phrase_quotes,
    stretch,
    told_triggers,
    windows,
)
from processors.clickhouse.search_steps import FINDING_COLUMNS, HeardCall, SpokenSegment
from processors.second_reading.joining import SUSPECTING
from schemas.errors import OperatorError
from streams.adapters.clickhouse.errors import QueryTimeoutError
from streams.adapters.clickhouse.statements import read_rows

SPARE_CANDIDATES = 9
"""More than are wanted: some candidates are repeats or were replaced."""
MOST_CANDIDATES = 2_000
"""Candidates that are checked at once."""
FEW_CANDIDATES = 200
"""So many calls with the phrase are tried for the other conditions one by one; if there are more, the tables are
joined."""
MOST_SECONDS = 60
"""No query of a search runs longer, and a search begins none after so long."""

CALLS = "call_versions"
TEXTS = "search_text_versions"
TRANSCRIPTS = "transcript_versions"


_USABLE = SqlCondition(
    "isNull(purged_at) AND (tenant_id, call_id) GLOBAL NOT IN (SELECT tenant_id, call_id FROM blocked_calls)", {}
)
"""A call that was destroyed, or is erased for every use, is found by nothing."""


class SearchError(OperatorError):
    """The search cannot be done as it was asked for; the text says what to change, and quotes nothing that was said."""

    exit_code = 2


def search(client: Client, query: SearchQuery, *, limit: int = DEFAULT_LIMIT, cursor: str | None = None) -> Page:
    """One page of the calls that the views `calls` and `segments` show and the query describes, newest first.

    `cursor` is the `next_cursor` of the page before. A call that ends, arrives or is judged again in the meantime
    changes no later page, but by what is true of it now. Raises `SearchError` for a tenant without calls, a cursor
    that does not fit, and a search that takes too long; and as `connect`.
    """
    if not 1 <= limit <= MOST_HITS:
        raise SearchError(f"a page has 1 to {MOST_HITS} calls")
    try:
        after = decode_cursor(query, cursor) if cursor else None
    except CursorError as error:
        raise SearchError(str(error)) from None
    try:
        places = _Search(client, query).places(after, limit + 1)
        last = places[limit - 1] if len(places) > limit else None
        hits = _hits(client, query, places[:limit])
    except QueryTimeoutError:
        raise SearchError(
            f"the search took more than {MOST_SECONDS} s: narrow it in time, or give a phrase of two characters or more"
        ) from None
    return Page(hits, encode_cursor(query, last) if last else None)


def check_tenant(client: Client, tenant_id: str) -> None:
    """Raises `SearchError` for a tenant of which no call is stored; and as `search` does."""
    of_tenant = SqlCondition("tenant_id = {tenant_id:String}", {"tenant_id": tenant_id})
    if not _read(client, ("tenant_id",), CALLS, of_tenant, "LIMIT 1"):
        raise SearchError(f"there is no call of tenant {tenant_id}: is its name right?")


def only_tenant(client: Client) -> str:
    """The tenant of all calls. Raises `SearchError` where there is none, or more than one; and as `search` does."""
    tenants = [str(row[0]) for row in _read(client, ("DISTINCT tenant_id",), CALLS, SqlCondition("1", {}), "LIMIT 20")]
    if not tenants:
        raise SearchError("there is no call yet")
    if len(tenants) > 1:
        raise SearchError(f"name one with --tenant: {', '.join(sorted(tenants))}")
    return tenants[0]


_NAMED = {
    "topics": ("topic", "arrayJoin(arrayZip(topics.topic_id, topics.name))"),
    "rules": ("rule", "arrayJoin(arrayMap(id -> (id, id), findings.rule_id))"),
    "teams": ("team", "(agent_team, agent_team)"),
}
"""Condition → what one value of it is called, and SQL of the values that calls have, with what people call them."""
_NAMED_TO_ALL = _NAMED | {
    "rules": (
        "rule",
        "arrayJoin(arrayMap((id, detector) -> if(detector IN "
        f"({', '.join(repr(each) for each in sorted(SUSPECTING))}), ('', ''), (id, id)), "
        "findings.rule_id, findings.detector))",
    )
}
"""The same without rules of which there are suspicions alone."""


def unknown_values(client: Client, query: SearchQuery) -> list[str]:
    """Sentences about topics, rules and teams that were asked for and that no call of these tenants has.

    For a search that found nothing. Raises as `search` does when ClickHouse does not answer.
    """
    sentences = []
    of_tenants = SqlCondition("tenant_id IN {tenants:Array(String)}", {"tenants": list(query.tenants)})
    for condition, (kind, column) in (_NAMED if query.with_suspicions else _NAMED_TO_ALL).items():
        asked = getattr(query, condition)
        if not asked:
            continue
        pairs = [row[0] for row in _read(client, (f"DISTINCT {column}",), CALLS, of_tenants) if row[0][0]]
        known = {str(value) for value, _ in pairs}
        meant_by = {str(name): str(value) for value, name in pairs} | {value: value for value in known}
        for value in asked:
            if value not in known:
                alike = get_close_matches(value, sorted(meant_by), n=3, cutoff=0.5)
                near = dict.fromkeys(meant_by[each] for each in alike)
                meant = f"; did you mean {', '.join(near)}?" if near else ""
                sentences.append(f"no call of {', '.join(query.tenants)} has the {kind} {value}{meant}")
    return sentences


@dataclass
class _Search:
    """Finds places in the list of calls."""

    client: Client
    query: SearchQuery

    def __post_init__(self) -> None:
        self._rest_is_rare = False
        self._began_s = time.monotonic()
        self._tenants = sorted(set(self.query.tenants))
        self._of_call = of_call(self.query)
        self._of_index = of_index(self.query)
        self._of_text = of_text(self.query)
        self._of_segments = of_segments(self.query)
        self._is_heard_asked = any(phrase.as_heard for phrase in self.query.phrases)

    def places(self, after: PagePosition | None, wanted: int) -> list[PagePosition]:
        """The first calls that follow `after`, at most `wanted`."""
        found: list[PagePosition] = []
        for start, end in windows(*self._ends(after)):
            at = after
            most = wanted + SPARE_CANDIDATES
            spoken = self._of_index
            while len(found) < wanted:
                if time.monotonic() - self._began_s > MOST_SECONDS:
                    raise QueryTimeoutError("searching for candidates")
                candidates, at = self._candidates(start, end, at, spoken, most)
                found += self._confirmed(candidates)
                if at is None:
                    break
                # Too few of them are meant: read more at once, and the texts with them.
                most = min(4 * most, MOST_CANDIDATES)
                spoken = self._of_text
            if len(found) >= wanted:
                return found[:wanted]
        return found

    def _ends(self, after: PagePosition | None) -> tuple[datetime, datetime]:
        """Where the calls of these tenants begin and end, as far as they are asked for. Raises `SearchError`."""
        ends: list[datetime] = []
        for tenant_id in self._tenants:
            of_tenant = SqlCondition("tenant_id = {tenant_id:String}", {"tenant_id": tenant_id})
            mine = [
                row[0]
                for order in ("ASC", "DESC")
                for row in self._select(("ended_at",), CALLS, of_tenant, f"ORDER BY ended_at {order} LIMIT 1")
            ]
            if not mine:
                raise SearchError(f"there is no call of tenant {tenant_id}: is its name right?")
            ends += mine
        first, last = min(ends), max(ends)
        until = last + timedelta(milliseconds=1)
        if after is not None:
            until = min(until, after.ended_at + timedelta(milliseconds=1))
        return max(first, self.query.since or first), min(until, self.query.until or until)

    def _candidates(
        self, start: datetime, end: datetime, after: PagePosition | None, spoken: SqlCondition, most: int
    ) -> tuple[list[PagePosition], PagePosition | None]:
        """Calls of all tenants that may be meant, in order, and after which of them to go on: null if these are all."""
        lists = [
            self._of_tenant(tenant_id, stretch(tenant_id, start, end, after), spoken, most)
            for tenant_id in self._tenants
        ]
        merged = heapq.merge(*lists, reverse=True)
        cut_off = [each[-1] for each in lists if len(each) >= most]
        if not cut_off:
            return _without_repeats(merged), None
        # Beyond the last of a list that was cut off, nothing is known of its tenant.
        last = max(cut_off)
        return _without_repeats(place for place in merged if place >= last), last

    def _of_tenant(self, tenant_id: str, where: SqlCondition, spoken: SqlCondition, most: int) -> list[PagePosition]:
        """Candidates of one tenant; a list shorter than `most` is complete."""
        if not self._of_text.sql:
            return self._places(CALLS, tenant_id, where & self._of_call, most)
        if not self._of_call.sql:
            return self._places(TEXTS, tenant_id, where & spoken, most)
        if not self._rest_is_rare:
            few = max(FEW_CANDIDATES, most)
            said = self._places(TEXTS, tenant_id, where & spoken, few)
            if not said:
                return []
            both = self._places(CALLS, tenant_id, of_keys(said) & self._of_call, most)
            if len(said) < few or len(both) >= most:
                return both
            # What was said is frequent, the rest is not: begin with the rest, in later stretches, too.
            self._rest_is_rare = True
        calls = where & self._of_call
        inner = f"(ended_at, call_id) IN ({_select(('ended_at', 'call_id'), CALLS, calls.sql)})"
        return self._places(TEXTS, tenant_id, where & spoken & SqlCondition(inner, calls.parameters), most)

    def _places(self, table: str, tenant_id: str, where: SqlCondition, most: int) -> list[PagePosition]:
        """At most so many keys, in order; a key that was stored twice may come twice."""
        rest = f"ORDER BY ended_at DESC, call_id DESC LIMIT {most}"
        rows = self._select(("ended_at", "call_id"), table, where, rest)
        return [PagePosition(ended_at, tenant_id, call_id) for ended_at, call_id in rows]

    def _confirmed(self, candidates: Sequence[PagePosition]) -> list[PagePosition]:
        """The candidates whose current version fulfils every condition."""
        confirmed: set[PagePosition] = set()
        for tenant_id, group in groupby(sorted(candidates, key=_tenant_of), key=_tenant_of):
            keys = of_keys(list(group))
            there = self._current(CALLS, tenant_id, keys & self._of_call & _USABLE)
            if there and self._of_text.sql:
                there &= self._current(TEXTS, tenant_id, of_keys(there) & self._of_text)
            if there and self._is_heard_asked:
                there = self._heard(tenant_id, there)
            if there and self._of_segments.sql:
                there &= self._current(TRANSCRIPTS, tenant_id, of_keys(there) & self._of_segments)
            if there and self.query.steps:
                there = set(_quotes_of_steps(self.client, self.query, tenant_id, of_keys(there)))
            confirmed |= there
        return [place for place in candidates if place in confirmed]

    def _heard(self, tenant_id: str, places: Iterable[PagePosition]) -> set[PagePosition]:
        """Those in which each phrase as heard can be heard in one piece: the index knows pairs of syllables alone."""
        columns = ("ended_at", "call_id", *(f"{role}_text" for role in ROLES))
        return {
            PagePosition(ended_at, tenant_id, call_id)
            for ended_at, call_id, *said in self._select(columns, f"{TEXTS} FINAL", of_keys(places))
            if is_heard(self.query, dict(zip(ROLES, said, strict=True)))
        }

    def _current(self, table: str, tenant_id: str, where: SqlCondition) -> set[PagePosition]:
        rows = self._select(("ended_at", "call_id"), f"{table} FINAL", where)
        return {PagePosition(ended_at, tenant_id, call_id) for ended_at, call_id in rows}

    def _select(
        self, columns: Sequence[str], source: str, where: SqlCondition, rest: str = ""
    ) -> Sequence[Sequence[Any]]:
        return _read(self.client, columns, source, where, rest)


def _select(columns: Sequence[str], source: str, where: str) -> str:
    """A SELECT made of our own names, and conditions whose values are parameters."""
    return f"SELECT {', '.join(columns)} FROM {source} WHERE {where}"  # noqa: S608


def _read(
    client: Client, columns: Sequence[str], source: str, where: SqlCondition, rest: str = ""
) -> Sequence[Sequence[Any]]:
    # Ranges of the key for the thousands of calls of a subquery take longer to work out than they save.
    settings = f"max_execution_time = {MOST_SECONDS}, use_index_for_in_with_subqueries = 0"
    sql = f"{_select(columns, source, where.sql)} {rest} SETTINGS {settings}"
    return read_rows(client, "a search", sql, **where.parameters)


def _tenant_of(place: PagePosition) -> str:
    return place.tenant_id


def _without_repeats(places: Iterable[PagePosition]) -> list[PagePosition]:
    return list(dict.fromkeys(places))


_HIT_COLUMNS = (
    *("tenant_id", "call_id", "ended_at", "started_at", "direction", "agent_id", "agent_team", "queue"),
    *("inquiry_type", "order_id", "outcome", "duration_ms", "risk_level", "score", "agitation"),
)
_QUOTE_COLUMNS = (
    *("findings.detector", "findings.rule_id", "findings.role", "findings.start_ms", "findings.end_ms"),
    *("findings.quote", "findings.matched", "topics.role", "topics.quote"),
)
_TEXT_COLUMNS = ("ended_at", "call_id", "version", *(f"{role}_text" for role in ROLES))
_SEGMENT_COLUMNS = (
    *("ended_at", "call_id", "version"),
    *("segments.segment_id", "segments.role", "segments.start_ms", "segments.end_ms"),
)


def _hits(client: Client, query: SearchQuery, places: Sequence[PagePosition]) -> tuple[FoundCall, ...]:
    """The calls as they are now; one that was deleted since it was found is left out."""
    hits: dict[PagePosition, FoundCall] = {}
    is_quoted = bool(query.rules or query.words or query.sensitive or query.topics)
    columns = (*_HIT_COLUMNS, "selected_by.trigger", "topics.topic_id", *(_QUOTE_COLUMNS if is_quoted else ()))
    for tenant_id, group in groupby(sorted(places, key=_tenant_of), key=_tenant_of):
        keys = of_keys(list(group))
        spoken = _spoken(client, query, tenant_id, keys)
        for values in _read(client, columns, f"{CALLS} FINAL", keys):
            row = dict(zip(columns, values, strict=True))
            place = PagePosition(row["ended_at"], row["tenant_id"], row["call_id"])
            judged = finding_quotes(query, row) if is_quoted else ()
            if query.steps and not query.phrases:  # of the findings those are shown for which the steps hold
                judged = tuple(quote for quote in judged if quote.kind != "finding")
            quotes = (*spoken.get(place, ()), *judged)
            facts = {name: row[name] for name in _HIT_COLUMNS}
            topics = tuple(dict.fromkeys(row["topics.topic_id"]))
            triggers = told_triggers(query, row["selected_by.trigger"])
            hits[place] = FoundCall(**facts, triggers=triggers, topics=topics, quotes=quotes)
    return tuple(hits[place] for place in places if place in hits)


def _spoken(
    client: Client, query: SearchQuery, tenant_id: str, keys: SqlCondition
) -> dict[PagePosition, tuple[Quote, ...]]:
    """The quotes of each call that show what was said, and what came before or after it."""
    if query.steps:
        return _quotes_of_steps(client, query, tenant_id, keys)
    if not query.phrases:
        return {}
    segments = _segments(client, tenant_id, keys)
    return {place: phrase_quotes(query, each) for place, each in segments.items()}


def _quotes_of_steps(
    client: Client, query: SearchQuery, tenant_id: str, keys: SqlCondition
) -> dict[PagePosition, tuple[Quote, ...]]:
    """The quotes of each call in which the steps of the search hold; no call without a transcript is among them."""
    findings: dict[PagePosition, dict[str, Sequence[Any]]] = {}
    if query.asks_for_findings or any(step.rule is not None for step in query.steps):
        columns = ("ended_at", "call_id", *FINDING_COLUMNS)
        for ended_at, call_id, *found in _read(client, columns, f"{CALLS} FINAL", keys):
            findings[PagePosition(ended_at, tenant_id, call_id)] = dict(zip(FINDING_COLUMNS, found, strict=True))
    quotes = {
        place: HeardCall(segments, findings.get(place, {})).anchor_quotes(query)
        for place, segments in _segments(client, tenant_id, keys).items()
    }
    return {place: shown for place, shown in quotes.items() if shown}


def _segments(client: Client, tenant_id: str, keys: SqlCondition) -> dict[PagePosition, list[SpokenSegment]]:
    """The segments of each call. Texts come from the narrow table, because reading them among transcripts is slow."""
    texts = {
        PagePosition(ended_at, tenant_id, call_id): (version, dict(zip(ROLES, said, strict=True)))
        for ended_at, call_id, version, *said in _read(client, _TEXT_COLUMNS, f"{TEXTS} FINAL", keys)
    }
    segments: dict[PagePosition, list[SpokenSegment]] = {}
    unlike: list[PagePosition] = []
    for ended_at, call_id, version, *told in _read(client, _SEGMENT_COLUMNS, f"{TRANSCRIPTS} FINAL", keys):
        place = PagePosition(ended_at, tenant_id, call_id)
        text_version, said = texts.get(place, (None, {}))
        lines = lines_of(told[1], said) if version == text_version else None
        if lines is None:
            unlike.append(place)
        else:
            segments[place] = list(zip(*told, lines, strict=True))
    if unlike:  # a segment of several lines, or a transcript that was stored in this moment
        columns = (*_SEGMENT_COLUMNS, "segments.text")
        for ended_at, call_id, _, *told in _read(client, columns, f"{TRANSCRIPTS} FINAL", of_keys(unlike)):
            segments[PagePosition(ended_at, tenant_id, call_id)] = list(zip(*told, strict=True))
    return segments
