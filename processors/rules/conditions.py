"""Compiled conditions, and looking for them in a call.

A condition is compiled once into a tree. In a call only those leaves are looked at of which a phrase was found at all,
so that thousands of rules that have nothing to do with the call cost next to nothing.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple, Protocol

from processors.rules.likeness import USUAL_SIMILARITY, LikeExamples, NearestExample, SpokenSentence, sentences_of
from processors.text.negation import CONTEXT_LETTERS, stance
from processors.text.negation import Stance as SpeakerStance
from processors.text.normalized_text import normalize
from processors.text.passages import Passage, SpokenText
from processors.text.phrases import (
    LOOSE,
    STRICT,
    BySound,
    CompiledPhrase,
    PhraseHit,
    PhraseIndex,
    Places,
    hits,
    is_in_one_piece,
    lies_in_one,
)
from processors.text.remembered import remembered
from schemas.config.condition import (
    Anchor,
    Condition,
    EventTest,
    MeasureTest,
    RuleSpeaker,
    SoundTolerance,
    WantedStance,
    compile_regex,
)
from schemas.messages.call_analysis import MeasureValue
from schemas.messages.call_ended import CallEnded, Role

if TYPE_CHECKING:
    import re2

_BY_SOUND: Mapping[SoundTolerance, BySound | None] = {"off": None, "strict": STRICT, "loose": LOOSE}


class ConditionError(Exception):
    """A condition refers to one that does not exist, or to itself; the text says which."""


class RuleHit(NamedTuple):
    """Letters `start` to `end` of a turn, the phrase or pattern that they match, and with what confidence."""

    passage: Passage
    start: int
    end: int
    matched: str
    confidence: float = 1.0

    @property
    def span(self) -> tuple[int, int]:
        """Start and end in characters of the text of the turn."""
        return self.passage.utterance.normalized.source_span(self.start, self.end)

    @property
    def time_ms(self) -> tuple[int, int]:
        """When it was said."""
        return self.passage.utterance.time_ms(*self.span)


@dataclass(frozen=True)
class ConditionResult:
    """Whether a condition holds, and the places that show it, in order of time; none where its absence does.

    `by_event` where a field of the event shows it.
    """

    holds: bool
    hits: tuple[RuleHit, ...] = ()
    by_event: bool = False


NOT_FOUND = ConditionResult(False)


class Node(Protocol):
    """A compiled condition.

    `asks_who_speaks`: whether it depends on which side says something. `asks_who_is_silent`: whether it may hold
    because one of them does not, so that words of an unknown speaker may be what it should not find. `needs_times`:
    whether it counts seconds, so that it cannot be decided where nobody knows when what was said. `rests_on_likeness`:
    whether it depends on what sentences mean, so that what it finds is a suspicion.
    """

    @property
    def asks_who_speaks(self) -> bool: ...
    @property
    def asks_who_is_silent(self) -> bool: ...
    @property
    def needs_times(self) -> bool: ...
    @property
    def rests_on_likeness(self) -> bool: ...
    def look(self, hearing: "Hearing") -> ConditionResult: ...

    def is_shown_by_event(self, hearing: "Hearing") -> bool:
        """Whether it holds by the event alone, whatever was said."""
        ...


@dataclass(frozen=True, eq=False)
class Hearing:
    """One call as conditions see it: what was said, the event if there is one, the measures."""

    spoken: SpokenText
    index: PhraseIndex
    watchers: "Watchers"
    call: CallEnded | None = None
    measures: Mapping[str, MeasureValue] = field(default_factory=dict)
    disregarded: tuple[RuleHit, ...] = ()
    """Places that show nothing: no hit that overlaps one counts."""
    _known: dict[int, ConditionResult] = field(default_factory=dict)
    _stances: dict[tuple[int, int, int], SpeakerStance] = field(default_factory=dict)
    _sentences: dict[int, tuple[SpokenSentence, ...]] = field(default_factory=dict)

    def sentences(self, passage: Passage) -> tuple[SpokenSentence, ...]:
        """The sentences of a passage, ready to be compared; only asked for where a rule compares them."""
        known = self._sentences.get(passage.number)
        if known is None:
            known = self._sentences[passage.number] = sentences_of(passage)
        return known

    def look(self, node: Node) -> ConditionResult:
        """The result of a condition; computed once and remembered."""
        known = self._known.get(id(node))
        if known is None:
            known = self._known[id(node)] = node.look(self)
        return known

    def without(self, places: Iterable[RuleHit]) -> "Hearing":
        """The same call as if nothing stood at these places."""
        return Hearing(self.spoken, self.index, self.watchers, self.call, self.measures, tuple(places))

    def disregards(self, hit: RuleHit) -> bool:
        """Whether a hit overlaps a place that shows nothing."""
        return any(
            hit.passage is one.passage and hit.start < one.end and one.start < hit.end for one in self.disregarded
        )

    def stance(self, passage: Passage, start: int, end: int) -> SpeakerStance:
        """The speaker's stance towards letters of a passage, remembered because many rules ask for the same."""
        place = (passage.number, start, end)
        taken = self._stances.get(place)
        if taken is None:
            text = passage.utterance.normalized
            taken = stance(text.before(start, CONTEXT_LETTERS), text.after(end, CONTEXT_LETTERS))
            self._stances[place] = taken
        return taken

    def candidates(self, leaf: object) -> Mapping[int, Sequence[CompiledPhrase]]:
        """Passages, by number, in which phrases of a leaf may stand: the first part does, and so do all others."""
        return self._candidates.get(id(leaf), _NONE)

    @remembered
    def _candidates(self) -> dict[int, dict[int, list[CompiledPhrase]]]:
        found: dict[int, dict[int, list[CompiledPhrase]]] = {}
        waiting = self.watchers.by_first_part
        for number, places in enumerate(self.spoken.places(self.index)):
            for part in places:
                for leaf, phrase in waiting.get(part, ()):
                    if len(phrase.parts) == 1 or phrase.may_stand_in(places):
                        found.setdefault(leaf, {}).setdefault(number, []).append(phrase)
        return found


_NONE: Mapping[int, Sequence[CompiledPhrase]] = {}


class Watchers:
    """Which leaves wait for which phrases; filled while conditions are compiled."""

    def __init__(self) -> None:
        self.phrases: list[CompiledPhrase] = []
        self.by_first_part: dict[str, list[tuple[int, CompiledPhrase]]] = {}
        """First part → leaves, by identity, with the phrase that begins with it."""
        self._leaves: dict[object, Node] = {}

    def share(self, key: object, leaf: Node, phrases: Iterable[CompiledPhrase] = ()) -> Node:
        """The leaf, or the one that was made before for the same key: a named condition that ten rules use is looked
        for once. Leaves are kept, so that their identities stay their own."""
        known = self._leaves.get(key)
        if known is not None:
            return known
        self._leaves[key] = leaf
        for phrase in phrases:
            self.phrases.append(phrase)
            self.by_first_part.setdefault(phrase.parts[0], []).append((id(leaf), phrase))
        return leaf


@dataclass(frozen=True)
class LeafScope:
    """What leaves inherit: who speaks, how, and where in the call."""

    by: RuleSpeaker
    stance: WantedStance
    sound: SoundTolerance
    unknown_counts: bool
    """An unknown speaker is taken for the wanted one; else what such a one says proves nothing."""
    first_s: float | None = None
    last_s: float | None = None
    first_percent: float | None = None
    last_percent: float | None = None
    anchors: tuple["_CompiledAnchor", ...] = ()

    @property
    def asks_who_speaks(self) -> bool:
        """Whether it matters which side says it."""
        return self.by != "anyone" or any(anchor.of.asks_who_speaks for anchor in self.anchors)

    @property
    def rests_on_likeness(self) -> bool:
        """Whether it depends on what sentences mean where to look."""
        return any(anchor.of.rests_on_likeness for anchor in self.anchors)

    @property
    def asks_who_is_silent(self) -> bool:
        """Whether it may be found because one side did not say something else."""
        return any(
            anchor.of.asks_who_is_silent or (anchor.anchor.if_absent == "holds" and anchor.of.asks_who_speaks)
            for anchor in self.anchors
        )

    def may_hold(self, passage: Passage, duration_ms: int) -> bool:
        """Whether anything in a passage can lie where it must and is said by who must say it."""
        if not self._may_be_said_by(passage.role):
            return False
        if not self._has_window:
            return True
        return self._is_in_window(*passage.utterance.bounds_ms, duration_ms)

    def _may_be_said_by(self, role: Role) -> bool:
        if self.by == "not_customer":
            return role != "customer"
        return self.by in ("anyone", role) or (role == "unknown" and self.unknown_counts)

    @remembered
    def needs_times(self) -> bool:
        """Whether it counts seconds between two things that are said.

        How many seconds from the beginning or the end of a call is known well enough: by about how fast people speak.
        """
        return any(anchor.needs_times for anchor in self.anchors)

    @remembered
    def _has_window(self) -> bool:
        return any(side is not None for side in (self.first_s, self.last_s, self.first_percent, self.last_percent))

    def keep(self, found: Iterable[RuleHit], hearing: Hearing) -> tuple[RuleHit, ...]:
        """The hits that are where they must be, in order of time."""
        kept = [hit for hit in found if not hearing.disregards(hit)] if hearing.disregarded else list(found)
        if self._has_window:
            duration_ms = hearing.spoken.duration_ms
            kept = [hit for hit in kept if self._is_in_window(*hit.time_ms, duration_ms)]
        for anchor in self.anchors:
            kept = anchor.keep(kept, hearing)
        return tuple(sorted(kept, key=order))

    def _is_in_window(self, start_ms: int, end_ms: int, duration_ms: int) -> bool:
        return self._begins_early_enough(start_ms, duration_ms) and self._ends_late_enough(end_ms, duration_ms)

    def _begins_early_enough(self, start_ms: int, duration_ms: int) -> bool:
        return (self.first_s is None or start_ms <= self.first_s * 1000) and (
            self.first_percent is None or start_ms <= self.first_percent / 100 * duration_ms
        )

    def _ends_late_enough(self, end_ms: int, duration_ms: int) -> bool:
        return (self.last_s is None or end_ms >= duration_ms - self.last_s * 1000) and (
            self.last_percent is None or end_ms >= (1 - self.last_percent / 100) * duration_ms
        )


def order(hit: RuleHit) -> tuple[int, int]:
    """The order in which hits were said: by the beginning of their passage, and inside it by their letters."""
    return (hit.passage.number, hit.start)


Side = Literal["before", "after", "near"]


@dataclass(frozen=True)
class _CompiledAnchor:
    side: Side
    anchor: Anchor
    of: Node

    @property
    def needs_times(self) -> bool:
        return self.anchor.within_s is not None or self.of.needs_times

    def keep(self, found: Sequence[RuleHit], hearing: Hearing) -> list[RuleHit]:
        if not found:
            return []
        there = hearing.look(self.of).hits
        if self.anchor.nth is not None:
            place = self.anchor.nth - 1 if self.anchor.nth > 0 else self.anchor.nth
            there = there[place : place + 1 or None] if -len(there) <= place < len(there) else ()
        if not there:
            return list(found) if self.anchor.if_absent == "holds" else []
        return [hit for hit in found if any(self._fits(hit, other) for other in there)]

    def _fits(self, hit: RuleHit, other: RuleHit) -> bool:
        ahead = order(hit) < order(other)
        if order(hit) == order(other) or (self.side == "before" and not ahead) or (self.side == "after" and ahead):
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
class _Words:
    """Words that somebody says."""

    scope: LeafScope

    @property
    def rests_on_likeness(self) -> bool:
        return self.scope.rests_on_likeness

    @property
    def asks_who_speaks(self) -> bool:
        return self.scope.asks_who_speaks

    @property
    def asks_who_is_silent(self) -> bool:
        return self.scope.asks_who_is_silent


@dataclass(frozen=True, eq=False)
class _Say(_Words):
    unless: tuple[str, ...]

    @property
    def needs_times(self) -> bool:
        return self.scope.needs_times

    def is_shown_by_event(self, hearing: Hearing) -> bool:  # noqa: ARG002 - no event says what was said
        return False

    def look(self, hearing: Hearing) -> ConditionResult:
        candidates = hearing.candidates(self)
        if not candidates:
            return NOT_FOUND
        found = self.scope.keep(self._hits(candidates, hearing), hearing)
        return ConditionResult(bool(found), found)

    def _hits(self, candidates: Mapping[int, Sequence[CompiledPhrase]], hearing: Hearing) -> Iterator[RuleHit]:
        passages, all_places = hearing.spoken.passages, hearing.spoken.places(hearing.index)
        for number, phrases in candidates.items():
            passage = passages[number]
            if self.scope.may_hold(passage, hearing.spoken.duration_ms):
                for hit in self._longest(phrases, passage, all_places[number], hearing):
                    yield RuleHit(passage, hit.start, hit.end, hit.phrase.text, hit.confidence)

    def _longest(
        self, phrases: Sequence[CompiledPhrase], passage: Passage, places: Places, hearing: Hearing
    ) -> Sequence[PhraseHit]:
        """Of overlapping hits in a passage the surest, then the longest: 退款 in 退款申请 is one hit.

        Whether a hit counts at all is only asked where none that counts lies over it.
        """
        possible = [hit for phrase in phrases for hit in hits(phrase, places)]
        if len(possible) > 1:
            possible.sort(key=_precedence)
        taken: list[PhraseHit] = []
        for hit in possible:
            lies_apart = all(hit.end <= other.start or other.end <= hit.start for other in taken)
            if lies_apart and self._counts(passage, hit, places, hearing):
                taken.append(hit)
        return taken

    def _counts(self, passage: Passage, hit: PhraseHit, places: Places, hearing: Hearing) -> bool:
        wanted = self.scope.stance
        return (
            is_in_one_piece(hit, passage.utterance.normalized, negation_in_gap=wanted == "any")
            and not lies_in_one(hit, self.unless, places, by_sound=False)
            and (wanted == "any" or _stands(wanted, hearing.stance(passage, hit.start, hit.end)))
        )


def _precedence(hit: PhraseHit) -> tuple[float, int, int]:
    return (-hit.confidence, hit.start - hit.end, hit.start)


def _stands(wanted: WantedStance, taken: SpeakerStance) -> bool:
    """Whether the speaker's stance towards the words is the wanted one."""
    return taken == "claimed" or (wanted == "not_negated" and taken != "negated")


@dataclass(frozen=True, eq=False)
class _Regex(_Words):
    pattern: "re2._Regexp"

    @property
    def needs_times(self) -> bool:
        return self.scope.needs_times

    def is_shown_by_event(self, hearing: Hearing) -> bool:  # noqa: ARG002 - no event says what was said
        return False

    def look(self, hearing: Hearing) -> ConditionResult:
        found = self.scope.keep(self._hits(hearing), hearing)
        return ConditionResult(bool(found), found)

    def _hits(self, hearing: Hearing) -> Iterator[RuleHit]:
        """Searches all passages at once; a match across the end of a passage does not count."""
        spoken = hearing.spoken
        for match in self.pattern.finditer(spoken.in_digits):  # type: ignore[no-untyped-call]
            passage, at = spoken.passage_in_digits(match.start())
            digits = passage.in_digits
            if match.end() - at > len(digits.text) or not self.scope.may_hold(passage, spoken.duration_ms):
                continue
            source = digits.source_span(match.start() - at, match.end() - at)
            start, end = passage.utterance.normalized.letters_of(*source)
            if start < end:
                yield RuleHit(passage, start, end, match.group())


@dataclass(frozen=True, eq=False)
class _Like(_Words):
    """Sentences that are like one of some examples."""

    examples: LikeExamples
    least: float

    @property
    def rests_on_likeness(self) -> bool:
        return True

    @property
    def needs_times(self) -> bool:
        return self.scope.needs_times

    def is_shown_by_event(self, hearing: Hearing) -> bool:  # noqa: ARG002 - no event says what was said
        return False

    def look(self, hearing: Hearing) -> ConditionResult:
        found = self.scope.keep(self._hits(hearing), hearing)
        return ConditionResult(bool(found), found)

    def _hits(self, hearing: Hearing) -> Iterator[RuleHit]:
        """Of each turn its sentence that is most alike."""
        for passage in hearing.spoken.passages:
            if not self.scope.may_hold(passage, hearing.spoken.duration_ms):
                continue
            alike = self.examples.nearest(hearing.sentences(passage))
            if alike is not None and alike.similarity >= self.least and self._stands(hearing, passage, alike):
                yield RuleHit(passage, alike.start, alike.end, alike.example, round(alike.similarity, 4))

    def _stands(self, hearing: Hearing, passage: Passage, alike: NearestExample) -> bool:
        wanted = self.scope.stance
        # An example that is negative itself (您不能退货) is meant as it stands; only a quotation or a question is not.
        taken = hearing.stance(passage, alike.start, alike.end)
        return wanted != "claimed" or taken == "claimed"


class _Fact:
    """Something that is known of a call, whoever speaks in it."""

    rests_on_likeness = False
    asks_who_speaks = False
    asks_who_is_silent = False


@dataclass(frozen=True, eq=False)
class _Event(_Fact):
    test: EventTest
    needs_times: ClassVar[bool] = False

    def is_shown_by_event(self, hearing: Hearing) -> bool:
        return self.look(hearing).holds

    def look(self, hearing: Hearing) -> ConditionResult:
        if hearing.call is None:
            return NOT_FOUND
        if self.test.field == "customer_value_tier":
            value: object = hearing.call.customer.value_tier
        else:
            value = getattr(hearing.call, self.test.field)
        holds = value is self.test.equals if self.test.equals is not None else value in self.test.one_of
        return ConditionResult(holds, by_event=holds)


@dataclass(frozen=True, eq=False)
class _Measure(_Fact):
    test: MeasureTest
    needs_times: ClassVar[bool] = False

    def is_shown_by_event(self, hearing: Hearing) -> bool:  # noqa: ARG002 - a measure is no event
        return False

    def look(self, hearing: Hearing) -> ConditionResult:
        value = hearing.measures.get(self.test.name)
        if value is None:
            return NOT_FOUND
        return ConditionResult(
            (self.test.equals is None or bool(value) is self.test.equals)
            and (self.test.above is None or value > self.test.above)
            and (self.test.below is None or value < self.test.below)
        )


@dataclass(frozen=True, eq=False)
class _Group:
    parts: tuple[Node, ...]
    wanted: int
    """As many must hold; 0: none may."""

    @property
    def rests_on_likeness(self) -> bool:
        return any(part.rests_on_likeness for part in self.parts)

    @property
    def needs_times(self) -> bool:
        return any(part.needs_times for part in self.parts)

    def is_shown_by_event(self, hearing: Hearing) -> bool:
        return 0 < self.wanted <= sum(part.is_shown_by_event(hearing) for part in self.parts)

    @property
    def asks_who_speaks(self) -> bool:
        return any(part.asks_who_speaks for part in self.parts)

    @property
    def asks_who_is_silent(self) -> bool:
        return any(part.asks_who_is_silent or (self.wanted == 0 and part.asks_who_speaks) for part in self.parts)

    def look(self, hearing: Hearing) -> ConditionResult:
        holding = [found for found in (hearing.look(part) for part in self.parts) if found.holds]
        if self.wanted == 0:
            return ConditionResult(not holding)
        if len(holding) < self.wanted:
            return NOT_FOUND
        together = {(hit.passage.number, hit.start, hit.end): hit for found in holding for hit in found.hits}
        return ConditionResult(
            True, tuple(sorted(together.values(), key=order)), any(found.by_event for found in holding)
        )


@dataclass(frozen=True, eq=False)
class _AtLeast:
    of: Node
    wanted: int

    @property
    def rests_on_likeness(self) -> bool:
        return self.of.rests_on_likeness

    @property
    def needs_times(self) -> bool:
        return self.of.needs_times

    def is_shown_by_event(self, hearing: Hearing) -> bool:  # noqa: ARG002 - an event is no hit that could be counted
        return False

    @property
    def asks_who_speaks(self) -> bool:
        return self.of.asks_who_speaks

    @property
    def asks_who_is_silent(self) -> bool:
        return self.of.asks_who_is_silent

    def look(self, hearing: Hearing) -> ConditionResult:
        found = hearing.look(self.of)
        return found if len(found.hits) >= self.wanted else NOT_FOUND


class Compiler:
    """Compiles conditions. `named` returns the condition with a name, or raises `ConditionError`."""

    def __init__(self, named: Callable[[str], Condition], watchers: Watchers) -> None:
        self._named = named
        self._watchers = watchers

    def compile(self, condition: Condition, scope: LeafScope, inside: tuple[str, ...] = ()) -> Node:
        """A condition in a scope. Raises `ConditionError`; `inside` are the names that lead here."""
        scope = self._narrow(condition, scope, inside)
        node = self._node(condition, scope, inside)
        return node if condition.at_least == 1 else _AtLeast(node, condition.at_least)

    def _node(self, condition: Condition, scope: LeafScope, inside: tuple[str, ...]) -> Node:
        if condition.say:
            say = _Say(scope, tuple(normalize(phrase).letters for phrase in condition.unless))
            by_sound = _BY_SOUND[scope.sound]
            self._watchers.phrases.extend(one for phrase in condition.unless for one in CompiledPhrase.of(phrase, None))
            phrases = [one for phrase in condition.say for one in CompiledPhrase.of(phrase, by_sound)]
            return self._watchers.share((condition.say, condition.unless, scope), say, phrases)
        if condition.regex is not None:
            regex = _Regex(scope, compile_regex(condition.regex))
            return self._watchers.share((condition.regex, scope), regex)
        if condition.like:
            least = condition.min_similarity or USUAL_SIMILARITY
            like = _Like(scope, LikeExamples(condition.like), least)
            return self._watchers.share((condition.like, least, scope), like)
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

    def _narrow(self, condition: Condition, scope: LeafScope, inside: tuple[str, ...]) -> LeafScope:
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
