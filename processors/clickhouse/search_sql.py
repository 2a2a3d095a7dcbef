"""Searching in SQL: conditions, positions in the list of calls, and the quotes that show why a call was found.

Pure; `streams/queries/search.py` asks ClickHouse. A phrase is found where it stands within one segment, character by
character: no case folding, no other script, no normalisation; but a number is also found as its digits are said. A
phrase `as_heard` is found where it can be heard, however it was written. Steps, which say what is said or found before
or after something else, are checked by `processors/clickhouse/search_steps.py`; SQL narrows down to calls that hold
their words. `docs/adr/0022-search.md`, `docs/adr/0045-search-as-heard.md` and `docs/adr/0072-search-steps.md` have the
reasons.
"""

import base64
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial
from hashlib import sha256
from itertools import product
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import AfterValidator, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from processors.second_reading.joining import SUSPECTING
from processors.text.heard import LEAST_SYLLABLES, HeardPhrase, heard_phrase
from processors.text.phonetic import USUAL_MERGERS, Merger
from schemas.messages.call_analysis import SUSPECTING as SUSPECTING_TRIGGERS
from schemas.messages.call_analysis import TRIGGER_NAMES, RiskLevel, TriggerName
from schemas.messages.call_ended import Role
from schemas.messages.message import Identifier, Record, Sha256, ShortText, Slug, TenantId, UtcDatetime
from schemas.messages.outcome import Outcome

PAIR = 2
"""Characters of a token of the text index."""
WINDOWS = (timedelta(days=7), timedelta(days=30), timedelta(days=90), timedelta(days=365))
"""How far back the first looks reach, each from the end of the one before it; the last one takes all that is left.

What is frequent is found in the first; what is rare costs a look into each.
"""
DEFAULT_LIMIT = 20
MOST_HITS = 200
"""Calls of one page."""
MOST_QUOTES = 5
"""Quotes of one kind that a found call shows."""
MOST_CONDITIONS = 32
"""Conditions of one search: as many names has its entry in the log of access."""

ROLES: tuple[Role, ...] = get_args(Role)
_SAID_BY: dict[Role | None, tuple[Role, ...]] = {role: (role,) for role in ROLES} | {None: ROLES}


class CursorError(ValueError):
    """The cursor was not given out by this search; the text says what to do."""


def _says_something(text: str) -> str:
    if not text.strip():
        raise PydanticCustomError("empty_phrase", "a phrase needs at least one character that is no space")
    return text


PhraseText = Annotated[str, StringConstraints(max_length=200), AfterValidator(_says_something)]
ShareValue = Annotated[float, Field(ge=0, le=1)]
Points = Annotated[float, Field(ge=0, le=100)]


class SearchPhrase(Record):
    """A keyword or phrase, and who said it; null: anybody. One of its `alternatives` will do as well.

    `as_heard` looks for its sound, with the sounds of `merged_sounds` not told apart.
    """

    text: PhraseText
    alternatives: tuple[PhraseText, ...] = Field(default=(), max_length=128)
    role: Role | None = None
    as_heard: bool = False
    merged_sounds: tuple[Merger, ...] = tuple(sorted(USUAL_MERGERS))

    @model_validator(mode="after")
    def _has_a_sound_to_look_for(self) -> Self:
        if self.as_heard and len(self.sound()) < LEAST_SYLLABLES:
            raise PydanticCustomError("too_short_to_be_heard", "a phrase as heard needs two syllables or more")
        if self.alternatives and (self.as_heard or any("\n" in text for text in (self.text, *self.alternatives))):
            raise PydanticCustomError("plain_alternatives", "alternatives are words as written, each of one line")
        return self

    def spellings(self) -> tuple[str, ...]:
        """Every text that it is found by."""
        return _spellings_of_any(self.text, self.alternatives)

    def sound(self) -> HeardPhrase:
        """The phrase as it sounds."""
        return heard_phrase(self.text, frozenset(self.merged_sounds))

    def places(self, text: str) -> Iterator[tuple[int, int]]:
        """Where it stands in a segment, or can be heard in it: start and end, exclusive."""
        if self.as_heard:
            yield from self.sound().places(text)
            return
        for spelling in self.spellings():
            if spelling in text:
                yield from ((start, start + len(spelling)) for start in _starts(text, spelling))


class SearchStep(Record):
    """What comes after, or before, what a search is about: a phrase that is said, or a finding of a rule.

    `within_ms` is from the end of the one to the beginning of the other, null: however long; what is said at the same
    time counts as both. With `absent` it does not come. Segments have times, words inside them have none: within one
    segment the order of the words counts.
    """

    said: SearchPhrase | None = None
    rule: ShortText | None = None
    side: Literal["after", "before"] = "after"
    within_ms: int | None = Field(default=None, gt=0, lt=2**63)
    absent: bool = False

    @model_validator(mode="after")
    def _is_of_one_kind(self) -> Self:
        if (self.said is None) == (self.rule is None):
            raise PydanticCustomError("one_kind", "a step is either a phrase or a rule")
        return self


class MeasureRange(Record):
    """Bounds of a measure of `docs/measures.md`, in its unit; yes and no are 1 and 0."""

    name: Slug
    least: float | None = Field(default=None, allow_inf_nan=False)
    most: float | None = Field(default=None, allow_inf_nan=False)

    @model_validator(mode="after")
    def _holds_something(self) -> Self:
        if re.match(r"(like|reading|second_reader)_", self.name):
            raise PydanticCustomError("suspicion", "what reading suspects is no measure of the call")
        if self.least is None and self.most is None:
            raise PydanticCustomError("no_bound", "a range needs a lower or an upper bound")
        if self.least is not None and self.most is not None and self.least > self.most:
            raise PydanticCustomError("empty_range", "the range of {name} is empty", {"name": self.name})
        return self


class SearchQuery(Record):
    """Every condition holds for a call that is found; of several values of one condition, any.

    `since` is inclusive, `until` exclusive, both of the end of the call; the ends of a range belong to it, and a call
    for which the value is not known lies in no range. All `phrases` are said, and none of `not_phrases`; of a call
    in which nobody was heard neither is known. `steps` all hold for one and the same place of the only phrase or,
    without phrases, of one of the findings that `rules`, `words` and `sensitive` ask for. Without `with_suspicions` no
    finding counts or is quoted that is only suspected, and no trigger that rests on one.
    """

    tenants: tuple[TenantId, ...] = Field(min_length=1, max_length=64)
    since: UtcDatetime | None = None
    until: UtcDatetime | None = None
    call_ids: tuple[Identifier, ...] = ()
    agents: tuple[Identifier, ...] = ()
    teams: tuple[ShortText, ...] = ()
    customer_keys: tuple[Sha256, ...] = Field(
        default=(), description="of one customer there are several: one for each version of the secret, and tenant"
    )
    queues: tuple[ShortText, ...] = ()
    inquiry_types: tuple[ShortText, ...] = ()
    order_ids: tuple[ShortText, ...] = ()
    tags: tuple[ShortText, ...] = Field(default=(), description="tags of the customer at the time of the call")
    value_tiers: tuple[ShortText, ...] = Field(default=(), description="value tier at the time of the call")
    directions: tuple[Literal["inbound", "outbound"], ...] = ()
    order_statuses: tuple[ShortText, ...] = Field(default=(), description="of the order at the time of the call")
    newest_order_statuses: tuple[ShortText, ...] = Field(default=(), description="as it became known since")
    topics: tuple[ShortText, ...] = ()
    risks: tuple[RiskLevel, ...] = ()
    selected: bool = Field(default=False, description="only calls that a trigger selected for review, whichever")
    triggers: tuple[TriggerName, ...] = Field(default=(), description="what selected them")
    rules: tuple[ShortText, ...] = ()
    not_rules: tuple[ShortText, ...] = Field(default=(), description="rules none of which found anything")
    words: tuple[ShortText, ...] = Field(default=(), description="sensitive words, as they were heard")
    sensitive: bool = Field(default=False, description="only calls with a sensitive word, whichever")
    outcomes: tuple[Outcome, ...] = ()
    score_min: Points | None = None
    score_max: Points | None = None
    agitation_min: ShareValue | None = None
    agitation_max: ShareValue | None = None
    duration_min_ms: int | None = Field(default=None, ge=0, lt=2**63)
    duration_max_ms: int | None = Field(default=None, ge=0, lt=2**63)
    measures: tuple[MeasureRange, ...] = Field(default=(), max_length=8)
    with_suspicions: bool = Field(default=True, description="whether what nobody has confirmed counts as a finding")
    phrases: tuple[SearchPhrase, ...] = Field(default=(), max_length=8)
    not_phrases: tuple[SearchPhrase, ...] = Field(default=(), max_length=8)
    steps: tuple[SearchStep, ...] = Field(default=(), max_length=4)

    @model_validator(mode="after")
    def _ranges_are_not_empty(self) -> Self:
        if self.since is not None and self.until is not None and self.since >= self.until:
            raise PydanticCustomError("no_time", "no call ends in this stretch of time: since must lie before until")
        for name in ("score", "agitation", "duration"):
            unit = "_ms" if name == "duration" else ""
            least, most = getattr(self, f"{name}_min{unit}"), getattr(self, f"{name}_max{unit}")
            if least is not None and most is not None and least > most:
                raise PydanticCustomError("empty_range", "the range of {name} is empty", {"name": name})
        return self

    @model_validator(mode="after")
    def _can_be_looked_for(self) -> Self:
        if any(phrase.as_heard or "\n" in phrase.text for phrase in self.not_phrases):
            raise PydanticCustomError("plain_negation", "what was not said is told as written, each phrase of one line")
        if self.steps and len(self.phrases) > 1:
            raise PydanticCustomError(
                "no_single_anchor", "what comes before or after is told of one phrase, and this search has several"
            )
        if self.steps and not (self.phrases or self.asks_for_findings):
            raise PydanticCustomError(
                "no_anchor", "before or after what? say a phrase, a rule or a sensitive word, too"
            )
        if len(self.model_dump(exclude_defaults=True)) > MOST_CONDITIONS:
            raise PydanticCustomError(
                "too_many_conditions", "a search has at most {most} conditions", {"most": MOST_CONDITIONS}
            )
        return self

    @property
    def asks_for_findings(self) -> bool:
        """Whether the findings of rules or words are asked for."""
        return bool(self.rules or self.words or self.sensitive)

    def digest(self) -> str:
        """A digest that identifies this query."""
        return sha256(self.model_dump_json().encode()).hexdigest()[:16]


@dataclass(frozen=True, order=True)
class PagePosition:
    """The position of a call in the list of all calls, which is sorted in descending order."""

    ended_at: datetime
    tenant_id: str
    call_id: str


@dataclass(frozen=True)
class SqlCondition:
    """SQL that is true or false for a row, and its parameters."""

    sql: str
    parameters: Mapping[str, object]

    def __and__(self, other: "SqlCondition") -> "SqlCondition":
        if not (self.sql and other.sql):
            return self if self.sql else other
        return SqlCondition(f"{self.sql} AND {other.sql}", {**self.parameters, **other.parameters})


NO_CONDITION = SqlCondition("", {})


def encode_cursor(query: SearchQuery, last: PagePosition) -> str:
    """A cursor to the calls that follow `last` in the same search."""
    content = [query.digest(), milliseconds(last.ended_at), last.tenant_id, last.call_id]
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


def decode_cursor(query: SearchQuery, cursor: str) -> PagePosition:
    """The inverse. Raises `CursorError` for anything that is not a cursor, and for the cursor of another search."""
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        digest, ended_at_ms, tenant_id, call_id = json.loads(raw)
        place = PagePosition(EPOCH + timedelta(milliseconds=ended_at_ms), tenant_id, call_id)
        if not isinstance(tenant_id, str) or not isinstance(call_id, str):
            raise TypeError
    except (ValueError, TypeError, OverflowError, RecursionError):
        raise CursorError("this is no cursor: use the next_cursor of the page before, unchanged") from None
    if digest != query.digest() or tenant_id not in query.tenants:
        raise CursorError("this cursor belongs to another search: repeat the search that gave it, unchanged")
    return place


def windows(start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    """[start, end) divided into windows, latest first, as `WINDOWS` says."""
    for length in WINDOWS:
        if end <= start:
            return
        begin = max(start, end - length)
        yield begin, end
        end = begin
    if end > start:
        yield start, end


def stretch(tenant_id: str, start: datetime, end: datetime, after: PagePosition | None) -> SqlCondition:
    """Calls of the tenant that ended in [start, end) and follow `after` in the list."""
    sql = (
        "tenant_id = {tenant_id:String} AND ended_at >= fromUnixTimestamp64Milli({start:Int64}, 'UTC') "
        "AND ended_at < fromUnixTimestamp64Milli({end:Int64}, 'UTC')"
    )
    condition = SqlCondition(sql, {"tenant_id": tenant_id, "start": milliseconds(start), "end": milliseconds(end)})
    if after is None:
        return condition
    at = "fromUnixTimestamp64Milli({after:Int64}, 'UTC')"
    parameters: dict[str, object] = {"after": milliseconds(after.ended_at)}
    if tenant_id < after.tenant_id:
        return condition & SqlCondition(f"ended_at <= {at}", parameters)
    if tenant_id > after.tenant_id:
        return condition & SqlCondition(f"ended_at < {at}", parameters)
    sql = f"ended_at <= {at} AND (ended_at < {at} OR call_id < {{after_call:String}})"
    return condition & SqlCondition(sql, {**parameters, "after_call": after.call_id})


def of_keys(places: Iterable[PagePosition]) -> SqlCondition:
    """Calls of one tenant with one of these keys."""
    found = list(places)
    keys = [(f"{place.ended_at.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}"[:-3], place.call_id) for place in found]
    sql = "tenant_id = {key_tenant:String} AND (ended_at, call_id) IN {keys:Array(Tuple(DateTime64(3, 'UTC'), String))}"
    return SqlCondition(sql, {"key_tenant": found[0].tenant_id, "keys": keys})


_ONE_OF = {
    "call_ids": ("call_id", "String"),
    "agents": ("agent_id", "String"),
    "teams": ("agent_team", "String"),
    "customer_keys": ("customer_key", "String"),
    "queues": ("queue", "String"),
    "inquiry_types": ("inquiry_type", "String"),
    "order_ids": ("order_id", "String"),
    "value_tiers": ("customer_value_tier", "String"),
    "directions": ("direction", "String"),
    "order_statuses": ("order_status", "String"),
    "risks": ("risk_level", "String"),
    "outcomes": ("outcome", "String"),
}
_ANY_OF = {
    "topics": "topics.topic_id",
    "tags": "customer_tags",
    "triggers": "selected_by.trigger",
}
_RANGES = {
    "score": ("score", "Float64", ""),
    "agitation": ("agitation", "Float64", ""),
    "duration": ("duration_ms", "UInt64", "_ms"),
}


def of_call(query: SearchQuery) -> SqlCondition:
    """What a row of `call_versions` must fulfil, time and tenant aside."""
    parts = [
        SqlCondition(f"{column} IN {{{name}:Array({kind})}}", {name: list(getattr(query, name))})
        for name, (column, kind) in _ONE_OF.items()
        if getattr(query, name)
    ]
    parts += [
        SqlCondition(f"hasAny({column}, {{{name}:Array(String)}})", {name: list(getattr(query, name))})
        for name, column in _ANY_OF.items()
        if getattr(query, name)
    ]
    if not query.with_suspicions and (query.selected or query.triggers):
        told = [name for name in query.triggers or TRIGGER_NAMES if name not in SUSPECTING_TRIGGERS]
        parts.append(SqlCondition("hasAny(selected_by.trigger, {told:Array(String)})", {"told": told}))
    if query.rules:
        parts.append(SqlCondition(_found_by("rules", query), {"rules": list(query.rules)}))
    if query.not_rules:
        parts.append(SqlCondition(f"NOT ({_found_by('not_rules', query)})", {"not_rules": list(query.not_rules)}))
    if query.newest_order_statuses:
        parts.append(_newest_order_status(query))
    for number, measure in enumerate(query.measures):
        value = f"measures[{{measure_{number}:String}}]"
        for bound, sign, limit in (("least", ">=", measure.least), ("most", "<=", measure.most)):
            if limit is not None:
                parameters: dict[str, object] = {f"measure_{number}": measure.name, f"{bound}_{number}": limit}
                parts.append(SqlCondition(f"{value} {sign} {{{bound}_{number}:Float64}}", parameters))
    if query.words:
        parts.append(
            SqlCondition(
                "hasAny(findings.matched, {words:Array(String)}) AND arrayExists((detector, matched) -> "
                "detector = 'sensitive_words' AND has({words:Array(String)}, matched), "
                "findings.detector, findings.matched)",
                {"words": list(query.words)},
            )
        )
    if query.sensitive:
        parts.append(SqlCondition("has(findings.detector, 'sensitive_words')", {}))
    if query.selected:
        parts.append(SqlCondition("selected", {}))
    for name, (column, kind, unit) in _RANGES.items():
        for bound, sign in (("min", ">="), ("max", "<=")):
            field = f"{name}_{bound}{unit}"
            if (value := getattr(query, field)) is not None:
                parts.append(SqlCondition(f"{column} {sign} {{{field}:{kind}}}", {field: value}))
    return _all_of(parts)


def _found_by(rules: str, query: SearchQuery) -> str:
    """SQL that is true where one of the rules found something that may be told. The first condition has an index."""
    found = f"hasAny(findings.rule_id, {{{rules}:Array(String)}})"
    if query.with_suspicions:
        return found
    suspecting = ", ".join(f"'{detector}'" for detector in sorted(SUSPECTING))
    return (
        f"{found} AND arrayExists((detector, rule_id) -> detector NOT IN ({suspecting}) AND "
        f"has({{{rules}:Array(String)}}, rule_id), findings.detector, findings.rule_id)"
    )


def _newest_order_status(query: SearchQuery) -> SqlCondition:
    """The newest that is told of the order after the call, or else that of the call, as `kpi_calls` has it."""
    told = f"({_NEWEST_ORDER_STATUSES})"
    asked = "IN {newest_order_statuses:Array(String)}"
    changed = f"(tenant_id, call_id) GLOBAL IN (SELECT told.1, told.2 FROM {told} WHERE newest {asked})"  # noqa: S608
    kept = f"order_status {asked} AND (tenant_id, call_id) GLOBAL NOT IN (SELECT told.1, told.2 FROM {told})"  # noqa: S608
    parameters: dict[str, object] = {
        "newest_order_statuses": list(query.newest_order_statuses),
        "newest_tenants": list(query.tenants),
    }
    return SqlCondition(f"({changed} OR ({kept}))", parameters)


_NEWEST_ORDER_STATUSES = """
    SELECT (tenant_id, call_id) AS told, argMax(order_status, (rated_at, rating_id)) AS newest
    FROM rating_versions WHERE tenant_id IN {newest_tenants:Array(String)} AND isNotNull(order_status)
    GROUP BY tenant_id, call_id
"""


def of_index(query: SearchQuery) -> SqlCondition:
    """What a row of `search_text_versions` fulfils if it holds the phrases, by its text index alone as far as possible.

    Two characters are in the index. Of a longer phrase all pairs must be there, which need not stand side by side. For
    a single character there is no index: the text of each call is read.
    """
    return _of_text(query, _by_index)


def of_text(query: SearchQuery) -> SqlCondition:
    """What a row of `search_text_versions` must fulfil: each phrase stands in the text of that role, and none of those
    that are not said; and so do the words of steps that must come, wherever they stand.

    Exact for phrases of one line, because a line is a segment or a part of one; but not for those as heard, of which
    it says no more than the index (`is_heard`).
    """
    return _of_text(query, _by_text)


def _of_text(query: SearchQuery, test: Callable[[str, str], SqlCondition]) -> SqlCondition:
    there = (*query.phrases, *(step.said for step in query.steps if step.said is not None and not step.absent))
    parts = [
        _by_sound(number, phrase)
        if phrase.as_heard
        else _is_said(f"{number}", phrase.spellings(), _SAID_BY[phrase.role], test)
        for number, phrase in enumerate(there)
    ]
    if query.not_phrases:  # where nobody was heard, what was not said is not known
        parts.append(SqlCondition(f"({' OR '.join(f'notEmpty({role}_text)' for role in ROLES)})", {}))
    for number, phrase in enumerate(query.not_phrases):
        # The index may promise too much, so that it cannot say that something is not there: the text is asked.
        said = _is_said(f"not_{number}", phrase.spellings(), may_be_said_by(phrase.role), _by_text)
        parts.append(SqlCondition(f"NOT {said.sql}", said.parameters))
    return _all_of(parts)


def may_be_said_by(role: Role | None) -> tuple[Role, ...]:
    """Whose words are perhaps those of the role: what an unknown voice said, either side may have said."""
    return ROLES if role is None else tuple(dict.fromkeys((role, "unknown")))


def _is_said(
    number: str, texts: Sequence[str], roles: Sequence[Role], test: Callable[[str, str], SqlCondition]
) -> SqlCondition:
    """One of the texts stands in what one of the roles said."""
    either: list[str] = []
    parameters: dict[str, object] = {}
    for spelling, text in enumerate(texts):
        one = test(f"{number}_{spelling}" if spelling else number, text)
        either += [f"({one.sql.format(column=f'{role}_text')})" for role in roles]
        parameters |= one.parameters
    return SqlCondition(f"({' OR '.join(either)})", parameters)


def _by_sound(number: int, phrase: SearchPhrase) -> SqlCondition:
    """Of each pair of its syllables one way to hear it was said; whether side by side, the index does not know."""
    parameters = {f"heard_{number}_{place}": pairs for place, pairs in enumerate(phrase.sound().pairs())}
    either = [
        "(" + " AND ".join(f"hasAnyTokens({role}_sounds, {{{name}:Array(String)}})" for name in parameters) + ")"
        for role in _SAID_BY[phrase.role]
    ]
    return SqlCondition(f"({' OR '.join(either)})", parameters)


def is_heard(query: SearchQuery, said: Mapping[Role, str]) -> bool:
    """Whether every phrase as heard can be heard in what was said, one line a segment."""
    return all(
        any(next(phrase.places(said[role]), None) is not None for role in _SAID_BY[phrase.role])
        for phrase in query.phrases
        if phrase.as_heard
    )


_SPOKEN_ONES = ("一", "幺")
_MOST_MIXED = 4
"""Of so many ones, each may be said in either way; of more, all in one."""
_SPOKEN_DIGITS = str.maketrans("〇零洞一二三四五六七八九幺拐勾", "000123456789179")
_WIDE_DIGITS = str.maketrans("０１２３４５６７８９", "0123456789")
_WRITTEN_RUN = re.compile(r"[0-9]{2,}")
_SPOKEN_RUN = re.compile(r"[〇零洞一二三四五六七八九幺拐勾0-9]{3,}")


def _say_each(ones: Iterator[str], run: re.Match[str]) -> str:
    return "".join(next(ones) if digit == "1" else "零一二三四五六七八九"[int(digit)] for digit in run[0])


@lru_cache(maxsize=64)  # asked again for each segment of each candidate
def _spellings_of_any(text: str, alternatives: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(spelling for each in (text, *alternatives) for spelling in spellings_of(each)))


def spellings_of(phrase: str) -> tuple[str, ...]:
    """The phrase, and where it has a number that is said digit by digit, the same in figures and in characters.

    12315 is 一二三一五, 幺二三幺五 and 幺二三一五. A phrase of several lines is left as it is.
    """
    if "\n" in phrase:
        return (phrase,)
    narrow = phrase.translate(_WIDE_DIGITS)
    in_figures = _SPOKEN_RUN.sub(lambda run: run[0].translate(_SPOKEN_DIGITS), narrow)
    count = sum(run.count("1") for run in _WRITTEN_RUN.findall(in_figures))
    mixed = product(_SPOKEN_ONES, repeat=count) if count <= _MOST_MIXED else ((one,) * count for one in _SPOKEN_ONES)
    spoken = [_WRITTEN_RUN.sub(partial(_say_each, iter(ones)), in_figures) for ones in mixed]
    return tuple(dict.fromkeys((phrase, in_figures, *spoken)))


def _by_index(number: str, text: str) -> SqlCondition:
    if len(text) < PAIR:
        return _by_text(number, text)
    parameters = {f"pairs_{number}": pairs_of(text)}
    return SqlCondition(f"hasAllTokens({{column}}, {{{{pairs_{number}:Array(String)}}}})", parameters)


def _by_text(number: str, text: str) -> SqlCondition:
    if len(text) == PAIR:
        return _by_index(number, text)
    stands = SqlCondition(f"position({{column}}, {{{{phrase_{number}:String}}}}) > 0", {f"phrase_{number}": text})
    return stands if len(text) < PAIR else _by_index(number, text) & stands


def pairs_of(text: str) -> list[str]:
    """Each pair of neighbouring characters, once, in order."""
    return list(dict.fromkeys(text[start : start + PAIR] for start in range(len(text) - PAIR + 1)))


def of_segments(query: SearchQuery) -> SqlCondition:
    """What a row of `transcript_versions` must fulfil: phrases of several lines stand in a segment of that role."""
    parts = []
    for number, phrase in enumerate(query.phrases):
        if phrase.as_heard or "\n" not in phrase.text:
            continue
        parameters: dict[str, object] = {f"phrase_{number}": phrase.text}
        test = f"position(text, {{phrase_{number}:String}}) > 0"
        if phrase.role is None:
            parts.append(SqlCondition(f"arrayExists(text -> {test}, segments.text)", parameters))
        else:
            parameters[f"role_{number}"] = phrase.role
            test += f" AND role = {{role_{number}:String}}"
            parts.append(SqlCondition(f"arrayExists((text, role) -> {test}, segments.text, segments.role)", parameters))
    return _all_of(parts)


def _all_of(parts: Iterable[SqlCondition]) -> SqlCondition:
    whole = NO_CONDITION
    for part in parts:
        whole &= part
    return whole


class Span(Record):
    """A stretch of a quote, in characters from its beginning; `end` is exclusive."""

    start: int
    end: int


class Quote(Record):
    """Words that show why a call was found: a segment with the phrase, or the sentence of a finding or topic.

    `start_ms` and `end_ms` are those of the segment or finding in the recording; a topic has none.
    """

    kind: Literal["phrase", "finding", "topic"]
    role: str
    start_ms: int | None = None
    end_ms: int | None = None
    text: str
    spans: tuple[Span, ...] = ()
    segment_id: int | None = None
    rule_id: str | None = None
    topic_id: str | None = None


class FoundCall(Record):
    """A call that was found, with its facts and the quotes that show why."""

    tenant_id: str
    call_id: str
    ended_at: datetime
    started_at: datetime
    direction: str
    agent_id: str
    agent_team: str | None
    queue: str | None
    inquiry_type: str | None
    order_id: str | None
    outcome: str
    duration_ms: int | None
    risk_level: str | None
    triggers: tuple[str, ...] = ()
    score: float | None
    agitation: float | None
    topics: tuple[str, ...]
    quotes: tuple[Quote, ...] = ()


@dataclass(frozen=True)
class Page:
    """Calls, newest first, and the cursor to those that follow; null if there are none."""

    hits: tuple[FoundCall, ...]
    next_cursor: str | None


def lines_of(roles: Sequence[Role], said: Mapping[Role, str]) -> list[str] | None:
    """The text of each segment, by its role and by what each role said, one line a segment.

    Null where that cannot be told, because a segment has several lines.
    """
    lines = {role: iter(text.split("\n")) for role, text in said.items()}
    if any(role not in said for role in roles):
        return None
    if any(text.count("\n") != max(0, list(roles).count(role) - 1) for role, text in said.items()):
        return None
    return [next(lines[role]) for role in roles]


def phrase_quotes(query: SearchQuery, segments: Sequence[tuple[int, str, int, int, str]]) -> tuple[Quote, ...]:
    """The segments (id, role, start, end, text) that hold a phrase, with every place of it: `MOST_QUOTES` at most."""
    quotes = []
    for segment_id, role, start_ms, end_ms, text in segments:
        wanted = [phrase for phrase in query.phrases if phrase.role in (None, role)]
        spans = merged_spans(place for phrase in wanted for place in phrase.places(text))
        if spans:
            quotes.append(
                Quote(
                    kind="phrase",
                    role=role,
                    start_ms=start_ms,
                    end_ms=end_ms,
                    text=text,
                    spans=spans,
                    segment_id=segment_id,
                )
            )
    return tuple(quotes[:MOST_QUOTES])


def spans_of(text: str, phrases: Iterable[str]) -> tuple[Span, ...]:
    """Where the phrases stand in a text; stretches that touch or overlap are one."""
    return merged_spans((start, start + len(phrase)) for phrase in phrases for start in _starts(text, phrase))


def merged_spans(found: Iterable[tuple[int, int]]) -> tuple[Span, ...]:
    """Stretches in order; those that touch or overlap are one."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(found):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return tuple(Span(start=start, end=end) for start, end in merged)


def _starts(text: str, phrase: str) -> Iterator[int]:
    start = text.find(phrase)
    while start >= 0:
        yield start
        start = text.find(phrase, start + 1)


def told_triggers(query: SearchQuery, triggers: Iterable[str]) -> tuple[str, ...]:
    """Those that may be shown to whoever searches."""
    return tuple(name for name in triggers if query.with_suspicions or name not in SUSPECTING_TRIGGERS)


def is_told(query: SearchQuery, detector: str) -> bool:
    """Whether findings of the detector count for this search."""
    return query.with_suspicions or detector not in SUSPECTING


def is_wanted_finding(query: SearchQuery, detector: str, rule_id: str, matched: str) -> bool:
    """Whether a finding is one of those that are asked for."""
    if not is_told(query, detector):
        return False
    is_sensitive = detector == "sensitive_words"
    return rule_id in query.rules or (is_sensitive and (query.sensitive or matched in query.words))


def finding_quotes(query: SearchQuery, row: Mapping[str, Sequence[Any]]) -> tuple[Quote, ...]:
    """Findings and topics that were asked for, by the columns of `call_versions`."""
    quotes = []
    names = ("detector", "rule_id", "role", "start_ms", "end_ms", "quote", "matched")
    for detector, rule_id, role, start_ms, end_ms, text, matched in zip(
        *(row[f"findings.{name}"] for name in names), strict=True
    ):
        if is_wanted_finding(query, detector, rule_id, matched):
            spans = spans_of(text, [matched]) if matched else ()
            quotes.append(
                Quote(
                    kind="finding",
                    role=role,
                    start_ms=start_ms,
                    end_ms=end_ms,
                    text=text,
                    spans=spans,
                    rule_id=rule_id,
                )
            )
    told = [
        Quote(kind="topic", role=role, text=text, topic_id=topic_id)
        for topic_id, role, text in zip(*(row[f"topics.{name}"] for name in ("topic_id", "role", "quote")), strict=True)
        if topic_id in query.topics
    ]
    return (*quotes[:MOST_QUOTES], *told[:MOST_QUOTES])


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def milliseconds(moment: datetime) -> int:
    """Since 1970, rounded up: a call that ended at a whole millisecond is before or after both alike."""
    return -((EPOCH - moment) // timedelta(milliseconds=1))
