"""Conditions made ready, and looked for in a call.

A condition is compiled once into a tree. In a call only those leaves are looked at of which a phrase was found at all,
so that thousands of rules that have nothing to do with the call cost next to nothing.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal, Protocol

from processors.negation import CONTEXT_LETTERS, stance
from processors.normalized_text import normalize
from processors.phrases import LOOSE, STRICT, BySound, Phrase, PhraseHit, PhraseIndex, hits, lies_in
from processors.spoken_text import Passage, SpokenText
from schemas.call_analysis import MeasureValue
from schemas.call_ended import CallEnded, Role
from schemas.condition import Anchor, Condition, EventTest, MeasureTest, Sound, Speaker, Stance, compile_regex

if TYPE_CHECKING:
    import re2

_BY_SOUND: Mapping[Sound, BySound | None] = {"off": None, "strict": STRICT, "loose": LOOSE}


class ConditionError(Exception):
    """A condition refers to one that is not there, or to itself; the text says which."""


@dataclass(frozen=True)
class Hit:
    """Letters `start` to `end` of a turn, the phrase or pattern that they match, and how surely."""

    passage: Passage
    start: int
    end: int
    matched: str
    confidence: float = 1.0

    @cached_property
    def span(self) -> tuple[int, int]:
        """As characters of the text of the turn."""
        return self.passage.utterance.normalized.source_span(self.start, self.end)

    @cached_property
    def time_ms(self) -> tuple[int, int]:
        """When it was said."""
        return self.passage.utterance.time_ms(*self.span)


@dataclass(frozen=True)
class Found:
    """Whether a condition holds, and the places that show it, in order of time; none where its absence does.

    `by_event` where a field of the event shows it.
    """

    holds: bool
    hits: tuple[Hit, ...] = ()
    by_event: bool = False


NOT_FOUND = Found(False)


class Node(Protocol):
    """A compiled condition."""

    def look(self, hearing: "Hearing") -> Found: ...


@dataclass(frozen=True, eq=False)
class Hearing:
    """One call as conditions look at it: what was said, the event where there is one, the measures."""

    spoken: SpokenText
    index: PhraseIndex
    watchers: "Watchers"
    call: CallEnded | None = None
    measures: Mapping[str, MeasureValue] = field(default_factory=dict)
    _known: dict[int, Found] = field(default_factory=dict)

    def look(self, node: Node) -> Found:
        """What comes of a condition; asked again, it is remembered."""
        known = self._known.get(id(node))
        if known is None:
            known = self._known[id(node)] = node.look(self)
        return known

    def candidates(self, leaf: object) -> Sequence[tuple[Passage, Phrase]]:
        """Turns in which the first part of a phrase of a leaf stands."""
        return self._candidates.get(id(leaf), ())

    @cached_property
    def _candidates(self) -> Mapping[int, Sequence[tuple[Passage, Phrase]]]:
        return self.spoken.once(self.watchers, lambda: self.watchers.candidates(self.spoken, self.index))


class Watchers:
    """Which leaves wait for which phrases; filled while conditions are compiled."""

    def __init__(self) -> None:
        self.phrases: list[Phrase] = []
        self._by_first_part: dict[str, list[tuple[int, Phrase]]] = {}
        self._leaves: list[object] = []

    def add(self, leaf: object, phrases: Iterable[Phrase]) -> None:
        """The leaf is kept, so that its identity stays its own."""
        self._leaves.append(leaf)
        for phrase in phrases:
            self.phrases.append(phrase)
            self._by_first_part.setdefault(phrase.parts[0], []).append((id(leaf), phrase))

    def of(self, part: str) -> Sequence[tuple[int, Phrase]]:
        """Leaves, by identity, with the phrase that begins with a part."""
        return self._by_first_part.get(part, ())

    def candidates(self, spoken: SpokenText, index: PhraseIndex) -> Mapping[int, Sequence[tuple[Passage, Phrase]]]:
        """Leaves, by identity, with the turns in which the first part of one of their phrases stands."""
        found: dict[int, list[tuple[Passage, Phrase]]] = {}
        for passage, places in zip(spoken.passages, spoken.places(index), strict=True):
            for part in places:
                for leaf, phrase in self.of(part):
                    found.setdefault(leaf, []).append((passage, phrase))
        return found


@dataclass(frozen=True)
class Scope:
    """What leaves inherit: who speaks, how, and where in the call."""

    by: Speaker
    stance: Stance
    sound: Sound
    unknown_counts: bool
    """An unknown speaker is taken for the wanted one."""
    first_s: float | None = None
    last_s: float | None = None
    first_percent: float | None = None
    last_percent: float | None = None
    anchors: tuple["_CompiledAnchor", ...] = ()

    def wants(self, role: Role) -> bool:
        """Whether what that role says is looked at."""
        return self.by == "anyone" or role == self.by or (role == "unknown" and self.unknown_counts)

    def keep(self, found: Iterable[Hit], hearing: Hearing) -> tuple[Hit, ...]:
        """The hits that lie where they must, in order of time."""
        kept = [hit for hit in found if self._is_in_window(hit, hearing.spoken.duration_ms)]
        for anchor in self.anchors:
            kept = anchor.keep(kept, hearing)
        return tuple(sorted(kept, key=_order))

    def _is_in_window(self, hit: Hit, duration_ms: int) -> bool:
        if self.first_s is None and self.last_s is None and self.first_percent is None and self.last_percent is None:
            return True
        start_ms, end_ms = hit.time_ms
        return (
            (self.first_s is None or start_ms <= self.first_s * 1000)
            and (self.last_s is None or end_ms >= duration_ms - self.last_s * 1000)
            and (self.first_percent is None or start_ms <= self.first_percent / 100 * duration_ms)
            and (self.last_percent is None or end_ms >= (1 - self.last_percent / 100) * duration_ms)
        )


def _order(hit: Hit) -> tuple[int, int, int]:
    return (hit.time_ms[0], hit.passage.number, hit.start)


Side = Literal["before", "after", "near"]


@dataclass(frozen=True)
class _CompiledAnchor:
    side: Side
    anchor: Anchor
    of: Node

    def keep(self, found: Sequence[Hit], hearing: Hearing) -> list[Hit]:
        if not found:
            return []
        there = hearing.look(self.of).hits
        if self.anchor.nth is not None:
            place = self.anchor.nth - 1 if self.anchor.nth > 0 else self.anchor.nth
            there = there[place : place + 1 or None] if -len(there) <= place < len(there) else ()
        if not there:
            return list(found) if self.anchor.if_absent == "holds" else []
        return [hit for hit in found if any(self._fits(hit, other) for other in there)]

    def _fits(self, hit: Hit, other: Hit) -> bool:
        ahead = _order(hit) < _order(other)
        if _order(hit) == _order(other) or (self.side == "before" and not ahead) or (self.side == "after" and ahead):
            return False
        first, second = (hit, other) if ahead else (other, hit)
        anchor = self.anchor
        return (
            (anchor.within_s is None or second.time_ms[0] - first.time_ms[1] <= anchor.within_s * 1000)
            and (anchor.within_turns is None or second.passage.number - first.passage.number <= anchor.within_turns)
            and (
                anchor.within_letters is None
                or (second.passage is first.passage and second.start - first.end <= anchor.within_letters)
            )
        )


@dataclass(frozen=True, eq=False)
class _Say:
    scope: Scope
    unless: tuple[str, ...]

    def look(self, hearing: Hearing) -> Found:
        candidates = hearing.candidates(self)
        if not candidates:
            return NOT_FOUND
        found = self.scope.keep(_longest(self._hits(candidates, hearing)), hearing)
        return Found(bool(found), found)

    def _hits(self, candidates: Sequence[tuple[Passage, Phrase]], hearing: Hearing) -> Iterator[Hit]:
        scope = self.scope
        all_places = hearing.spoken.places(hearing.index)
        for passage, phrase in candidates:
            if not scope.wants(passage.role):
                continue
            text, places = passage.utterance.normalized, all_places[passage.number]
            for hit in hits(phrase, places, text, negation_in_gap=scope.stance == "any"):
                if any(lies_in(part, longer, places, by_sound=False) for longer in self.unless for part in hit.parts):
                    continue
                if stands(scope.stance, passage, hit):
                    yield Hit(passage, hit.start, hit.end, phrase.text, hit.confidence)


def stands(wanted: Stance, passage: Passage, hit: PhraseHit) -> bool:
    """Whether the speaker stands to the words as wanted."""
    if wanted == "any":
        return True
    text = passage.utterance.normalized
    is_told = stance(text.before(hit.start, CONTEXT_LETTERS), text.after(hit.end, CONTEXT_LETTERS))
    return is_told == "claimed" or (wanted == "not_negated" and is_told != "negated")


def _longest(found: Iterable[Hit]) -> list[Hit]:
    """Of overlapping hits the surest, then the longest: 退款 in 退款申请 is one hit."""
    taken: list[Hit] = []
    occupied: dict[int, set[int]] = {}
    for hit in sorted(found, key=lambda hit: (-hit.confidence, hit.start - hit.end, hit.passage.number, hit.start)):
        letters = occupied.setdefault(hit.passage.number, set())
        span = range(hit.start, hit.end)
        if letters.isdisjoint(span):
            letters.update(span)
            taken.append(hit)
    return taken


@dataclass(frozen=True, eq=False)
class _Regex:
    scope: Scope
    pattern: "re2._Regexp"

    def look(self, hearing: Hearing) -> Found:
        found = self.scope.keep(self._hits(hearing), hearing)
        return Found(bool(found), found)

    def _hits(self, hearing: Hearing) -> Iterator[Hit]:
        for passage in hearing.spoken.passages:
            if not self.scope.wants(passage.role):
                continue
            digits = passage.in_digits
            for match in self.pattern.finditer(digits.text):  # type: ignore[no-untyped-call]
                start, end = passage.utterance.normalized.letters_of(*digits.source_span(*match.span()))
                if start < end:
                    yield Hit(passage, start, end, match.group())


@dataclass(frozen=True, eq=False)
class _Event:
    test: EventTest

    def look(self, hearing: Hearing) -> Found:
        if hearing.call is None:
            return NOT_FOUND
        if self.test.field == "customer_value_tier":
            value: object = hearing.call.customer.value_tier
        else:
            value = getattr(hearing.call, self.test.field)
        holds = value is self.test.equals if self.test.equals is not None else value in self.test.one_of
        return Found(holds, by_event=holds)


@dataclass(frozen=True, eq=False)
class _Measure:
    test: MeasureTest

    def look(self, hearing: Hearing) -> Found:
        value = hearing.measures.get(self.test.name)
        if value is None:
            return NOT_FOUND
        return Found(
            (self.test.equals is None or bool(value) is self.test.equals)
            and (self.test.above is None or value > self.test.above)
            and (self.test.below is None or value < self.test.below)
        )


@dataclass(frozen=True, eq=False)
class _Group:
    parts: tuple[Node, ...]
    wanted: int
    """As many must hold; 0: none may."""

    def look(self, hearing: Hearing) -> Found:
        holding = [found for found in (hearing.look(part) for part in self.parts) if found.holds]
        if self.wanted == 0:
            return Found(not holding)
        if len(holding) < self.wanted:
            return NOT_FOUND
        together = {(hit.passage.number, hit.start, hit.end): hit for found in holding for hit in found.hits}
        return Found(True, tuple(sorted(together.values(), key=_order)), any(found.by_event for found in holding))


@dataclass(frozen=True, eq=False)
class _AtLeast:
    of: Node
    wanted: int

    def look(self, hearing: Hearing) -> Found:
        found = hearing.look(self.of)
        return found if len(found.hits) >= self.wanted else NOT_FOUND


class Compiler:
    """Makes conditions ready. `named` gives the condition of a name, or raises `ConditionError`."""

    def __init__(self, named: Callable[[str], Condition], watchers: Watchers) -> None:
        self._named = named
        self._watchers = watchers

    def compile(self, condition: Condition, scope: Scope, inside: tuple[str, ...] = ()) -> Node:
        """A condition in a scope. Raises `ConditionError`; `inside` are the names that lead here."""
        scope = self._narrowed(condition, scope, inside)
        node = self._node(condition, scope, inside)
        return node if condition.at_least == 1 else _AtLeast(node, condition.at_least)

    def _node(self, condition: Condition, scope: Scope, inside: tuple[str, ...]) -> Node:
        if condition.say:
            say = _Say(scope, tuple(normalize(phrase).letters for phrase in condition.unless))
            by_sound = _BY_SOUND[scope.sound]
            self._watchers.add(say, [Phrase.of(phrase, by_sound) for phrase in condition.say])
            self._watchers.phrases.extend(Phrase.of(phrase, None) for phrase in condition.unless)
            return say
        if condition.regex is not None:
            return _Regex(scope, compile_regex(condition.regex))
        if condition.event is not None:
            return _Event(condition.event)
        if condition.measure is not None:
            return _Measure(condition.measure)
        if condition.ref is not None:
            if condition.ref in inside:
                raise ConditionError(f"condition {' → '.join((*inside, condition.ref))} refers to itself")
            return self.compile(self._named(condition.ref), scope, (*inside, condition.ref))
        parts = tuple(self.compile(part, scope, inside) for part in condition.parts())
        wanted = 1 if condition.any_of else 0 if condition.none_of else condition.n or len(parts)
        return _Group(parts, wanted)

    def _narrowed(self, condition: Condition, scope: Scope, inside: tuple[str, ...]) -> Scope:
        told = {
            name: value
            for name in ("by", "stance", "sound", "first_s", "last_s", "first_percent", "last_percent")
            if (value := getattr(condition, name)) is not None
        }
        outer = replace(scope, **told)
        sides: tuple[tuple[Side, Anchor | None], ...] = (
            ("before", condition.before),
            ("after", condition.after),
            ("near", condition.near),
        )
        # Who speaks at the anchor is not inherited: what the agent says comes after what the customer asked.
        beside = replace(
            scope, first_s=None, last_s=None, first_percent=None, last_percent=None, anchors=(), by="anyone"
        )
        anchors = tuple(
            _CompiledAnchor(side, anchor, self.compile(anchor.of, beside, inside)) for side, anchor in sides if anchor
        )
        return replace(outer, anchors=(*outer.anchors, *anchors))
