"""Compiled rule packs: for each tenant, language and industry one rulebook, and one index over the phrases of all."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Generic, TypeVar

from processors.judging.call_context import CallContext
from processors.rules.conditions import Compiler, ConditionError, Hearing, LeafScope, Node, Watchers
from processors.rules.word_matcher import Words
from processors.text.passages import SpokenText
from processors.text.phonetic import Sounds
from processors.text.phrases import CompiledPhrase, PhraseIndex
from processors.text.remembered import remembered
from schemas.config.condition import Condition
from schemas.config.rule_pack import (
    GENERAL,
    Applies,
    Checklist,
    Claim,
    ConversationRule,
    Entry,
    Procedure,
    RetentionRule,
    RulePack,
    RulePackError,
    Threat,
    TopicRule,
)
from schemas.config.tenants import USUAL_DAYS, TenantDays
from schemas.messages.call_analysis import MeasureValue
from schemas.messages.call_ended import CallEnded

E = TypeVar("E", bound=Entry)

_BY_AGENT = LeafScope("agent", "not_negated", "loose", unknown_counts=False)
_SCOPES: Mapping[str, LeafScope] = {
    "mandatory_scripts": _BY_AGENT,
    "procedures": _BY_AGENT,
    "checklists": _BY_AGENT,
    "threats": LeafScope("customer", "not_negated", "strict", unknown_counts=False),
    "claims": LeafScope("agent", "not_negated", "strict", unknown_counts=False),
    "topics": LeafScope("customer", "not_negated", "strict", unknown_counts=True),
    "retention": LeafScope("anyone", "not_negated", "strict", unknown_counts=True),
    "rules": LeafScope("agent", "not_negated", "strict", unknown_counts=False),
}
"""What conditions of a section inherit. A script that the recogniser wrote badly must not count as missing, so there
phrases are found by sound more easily; what is held against somebody must stand there. Nor is anything held against
somebody, or counted for them, of which nobody knows who said it."""


def scope_of(section: str) -> LeafScope:
    """The scope in which the rules of a section are read."""
    return _SCOPES[section]


@dataclass(frozen=True, eq=False)
class Compiled(Generic[E]):
    """A rule with its pack and its compiled conditions, by their path in the rule: `find`, `steps.0`."""

    pack: RulePack
    entry: E
    nodes: Mapping[str, Node]
    days: TenantDays = USUAL_DAYS

    @property
    def rule_id(self) -> str:
        """As findings name the rule."""
        return self.pack.rule_id(self.entry)

    @property
    def rule_version(self) -> str:
        """The version of the pack."""
        return str(self.pack.version)

    @remembered
    def is_suspicion(self) -> bool:
        """Whether what it finds rests on sentences that are alike (`like:`), so that a person has to confirm it."""
        return any(node.rests_on_likeness for node in self.nodes.values())

    @remembered
    def needs_times(self) -> bool:
        """Whether any of its conditions counts seconds."""
        return any(node.needs_times for node in self.nodes.values())

    @remembered
    def asks_who_speaks(self) -> bool:
        """Whether it depends on which side says something, apart from whether the rule applies."""
        return any(node.asks_who_speaks for node in self._judging)

    @remembered
    def asks_who_is_silent(self) -> bool:
        """Whether it may hold because one side does not say something."""
        return any(node.asks_who_is_silent for node in self._judging)

    @property
    def _judging(self) -> list[Node]:
        return [node for path, node in self.nodes.items() if path != "when"]

    @remembered
    def _is_for_all(self) -> bool:
        entry = self.entry
        return entry.applies == Applies() and entry.valid_from is None and entry.valid_to is None

    def applies_to(self, call: CallEnded) -> bool:
        """Whether the rule is for calls of this kind, on the day of the tenant on which the call ended."""
        if self._is_for_all:
            return True
        day = self.days.day_of(call.ended_at, call.tenant_id)
        entry = self.entry
        if (entry.valid_from and day < entry.valid_from) or (entry.valid_to and entry.valid_to < day):
            return False
        return _applies(entry.applies, call)


def _applies(applies: Applies, call: CallEnded) -> bool:
    asked: tuple[tuple[Sequence[str], str | None], ...] = (
        (applies.directions, call.direction),
        (applies.handled_by, call.handled_by),
        (applies.queues, call.queue),
        (applies.inquiry_types, call.inquiry_type),
        (applies.course_types, call.course_type),
        (applies.order_statuses, call.order_status),
    )
    return all(not wanted or value in wanted for wanted, value in asked) and (
        not applies.customer_tags or not set(applies.customer_tags).isdisjoint(call.customer.tags)
    )


class Rulebook:
    """Every rule that applies to the calls of one industry. Built once; judging changes nothing in it.

    Raises `RulePackError` for conditions that refer to what is not there, or to themselves. It can be asked once its
    `index` is set, which must hold its `phrases`.
    """

    index: PhraseIndex

    def __init__(self, packs: Iterable[RulePack], days: TenantDays | None = None) -> None:
        self._days = days or USUAL_DAYS
        self.packs = tuple(sorted(packs, key=lambda pack: (pack.industry == GENERAL, pack.pack)))
        self.words = Words(self.packs)
        self._problems: list[str] = []
        self._watchers = Watchers()
        self._check_named_conditions()
        self.mandatory_scripts: list[Compiled[ConversationRule]] = self._section("mandatory_scripts")
        self.procedures: list[Compiled[Procedure]] = self._section("procedures")
        self.checklists: list[Compiled[Checklist]] = self._section("checklists")
        self.threats: list[Compiled[Threat]] = self._section("threats")
        self.claims: list[Compiled[Claim]] = self._section("claims")
        self.topics: list[Compiled[TopicRule]] = self._section("topics")
        self.retention: list[Compiled[RetentionRule]] = self._section("retention")
        self.rules: list[Compiled[ConversationRule]] = self._section("rules")
        self.suspecting = [rule for rule in self.rules if rule.is_suspicion]
        """Those of them whose findings are suspicions."""
        if self._problems:
            raise RulePackError(self._problems)
        digest = sha256("".join(pack.digest() for pack in self.packs).encode()).hexdigest()
        self.version = f"{','.join(pack.label for pack in self.packs)}#{digest[:12]}"
        """Packs with versions and a digest of their content: `finance@1,general@1#4f1c2a90b7d3`."""
        self.category_names: dict[str, str] = {}
        """Category → name for people: that of a tenant's pack, else of an industry's, else of a general one."""
        for pack in sorted(self.packs, key=lambda one: (one.tenant is not None, one.industry != GENERAL)):
            self.category_names |= pack.categories

    def _check_named_conditions(self) -> None:
        for pack in self.packs:
            compiler = Compiler(self._find_conditions(pack), Watchers())
            for name, condition in pack.conditions.items():
                try:
                    compiler.compile(condition, _BY_AGENT, (name,))
                except ConditionError as error:
                    self._problems.append(f"{pack.place('condition', name)}: {error}")

    def _find_conditions(self, pack: RulePack) -> Callable[[str], Condition]:
        others = [other for other in self.packs if other.industry == GENERAL and other is not pack]

        def named(name: str) -> Condition:
            for one in (pack, *others):
                if name in one.conditions:
                    return one.conditions[name]
            return _no_condition(name)

        return named

    def _section(self, section: str) -> list[Compiled[E]]:
        compiled: list[Compiled[E]] = []
        for pack in self.packs:
            compiler = Compiler(self._find_conditions(pack), self._watchers)
            for entry in getattr(pack, section):
                try:
                    nodes = {
                        path: compiler.compile(condition, _scope(section, entry, path))
                        for path, condition in _conditions(entry)
                    }
                except ConditionError as error:
                    self._problems.append(f"{pack.place(section, entry.id)}: {error}")
                    continue
                found: Compiled[E] = Compiled(pack, entry, nodes, self._days)
                if found.is_suspicion and (problem := _not_for_suspicions(section, entry)):
                    self._problems.append(f"{pack.place(section, entry.id)}: {problem}")
                    continue
                compiled.append(found)
        return compiled

    def phrases(self) -> Iterator[CompiledPhrase]:
        """All phrases that its rules look for."""
        yield from self.words.phrases
        yield from self._watchers.phrases

    def compiled_sections(self) -> Iterator[tuple[str, Sequence[Compiled[Any]]]]:
        """Every section of rules that have conditions, with its rules."""
        for section in _SCOPES:
            yield section, getattr(self, section)

    def hearing(self, context: CallContext) -> Hearing:
        """A call prepared for the conditions of this rulebook; all detectors that read rules share it."""
        known: Hearing | None = context.hearings.get(id(self))
        if known is None:
            known = context.hearings[id(self)] = self.hearing_of(
                context.spoken, context.transcript.call, context.measures
            )
        return known

    def hearing_of(
        self, spoken: SpokenText, call: CallEnded, measures: Mapping[str, MeasureValue] | None = None
    ) -> Hearing:
        """The same of what was said, the event and the measures."""
        return Hearing(spoken, self.index, self._watchers, call, measures or {})


def _not_for_suspicions(section: str, entry: Entry) -> str | None:
    """What a rule with `like:` says that no suspicion may; None where it says nothing of the kind."""
    if not isinstance(entry, ConversationRule) or section != "rules":
        return "like finds suspicions, and may only be used in rules of the section rules"
    if entry.finding != "found":
        return "like finds suspicions: finding must be found, because nothing can be held to be missing by them"
    if entry.severity != "info" or entry.score_delta or entry.measure:
        return "like finds suspicions: they have the severity info, cost no points and take no measure"
    return None


def _no_condition(name: str) -> Condition:
    raise ConditionError(f"there is no condition {name}")


def _scope(section: str, entry: Entry, path: str) -> LeafScope:
    scope = scope_of(section)
    if isinstance(entry, TopicRule):
        return LeafScope(entry.by, scope.stance, scope.sound, scope.unknown_counts)
    if path == "when" or path == "before" or path.startswith("requires"):
        # What makes a rule apply may be said by either side, unless it says by whom.
        return LeafScope("anyone", scope.stance, "strict", unknown_counts=True)
    return scope


def _conditions(entry: Entry) -> Iterator[tuple[str, Condition]]:
    """The conditions of a rule with their paths; phrases of topics and claims are conditions, too."""
    for name in ("when", "find", "before"):
        if isinstance(condition := getattr(entry, name, None), Condition):
            yield name, condition
    for name in ("steps", "items"):
        yield from ((f"{name}.{number}", part.find) for number, part in enumerate(getattr(entry, name, ())))
    if isinstance(entry, TopicRule) and entry.phrases:
        yield "phrases", Condition(say=entry.phrases, unless=entry.unless)
    if isinstance(entry, Claim):
        yield "subject", Condition(say=entry.subject, stance="claimed")
        for number, allowed in enumerate(entry.allowed):
            if allowed.about:
                yield f"about.{number}", Condition(say=allowed.about, by="anyone", stance="any")
            if allowed.requires is not None:
                yield f"requires.{number}", allowed.requires


class Rulebooks:
    """All packs, with a rulebook for each tenant that has its own, language and industry.

    A pack of a tenant takes the place of the one of the same name that is for everybody. Raises `RulePackError`.
    """

    def __init__(self, packs: Iterable[RulePack], sounds: Sounds | None = None, days: TenantDays | None = None) -> None:
        self.packs = tuple(packs)
        self._books: dict[tuple[str | None, str, str], Rulebook] = {}
        self._measures: dict[tuple[str, ...], tuple[str, ...]] = {}
        problems: list[str] = []
        for tenant in sorted({pack.tenant for pack in self.packs}, key=str):
            mine = self._packs_of(tenant)
            for language in sorted({pack.language for pack in mine}):
                for industry in sorted({GENERAL, *(pack.industry for pack in mine)}):
                    try:
                        self._books[tenant, language, industry] = Rulebook(
                            (p for p in mine if p.language == language and p.industry in (industry, GENERAL)), days
                        )
                    except RulePackError as error:
                        problems.extend(error.problems)
        if problems:
            raise RulePackError(dict.fromkeys(problems))
        index = PhraseIndex({p for book in self._books.values() for p in book.phrases()}, sounds or Sounds())
        for book in self._books.values():
            book.index = index.for_phrases(book.phrases())

    def _packs_of(self, tenant: str | None) -> list[RulePack]:
        named = {pack.pack: pack for pack in self.packs if pack.tenant is None}
        named |= {pack.pack: pack for pack in self.packs if pack.tenant == tenant}
        return list(named.values())

    def book(self, tenant: str, language: str | None, industry: str) -> Rulebook | None:
        """The rules for a call; those for every industry where none are for its own. None: no rules in its language."""
        if language is None:
            return None
        owner = tenant if any(key[0] == tenant for key in self._books) else None
        found = self._books.get((owner, language, industry)) or self._books.get((owner, language, GENERAL))
        return found if found is not None and found.packs else None

    def industries(self, tenant: str) -> tuple[str, ...]:
        """For which industries there are packs of their own, in any language, the tenant's among them."""
        return tuple(sorted({pack.industry for pack in self._packs_of(tenant)} - {GENERAL}))

    def of(self, context: CallContext) -> Rulebook | None:
        """The rules for a call. None: there are none in the language that was heard."""
        transcript = context.transcript
        return self.book(transcript.tenant_id, transcript.language, transcript.call.industry)

    def version(self, context: CallContext) -> str:
        """The version of the rules for a call; `none` where there are none."""
        book = self.of(context)
        return book.version if book else "none"

    def category_names(self, tenant: str, language: str | None, industry: str) -> Mapping[str, str]:
        """Category → name for people, as the packs for a call have it; the Chinese ones where its language has none.

        A tenant's pack that takes the place of a shared one need not repeat its names.
        """
        books = (
            self._books.get((None, "zh", GENERAL)),
            self._books.get((None, language or "zh", industry)),
            self.book(tenant, language, industry) or self.book(tenant, "zh", industry),
        )
        return {category: name for book in books if book for category, name in book.category_names.items()}

    def measures(self, *sections: str) -> tuple[str, ...]:
        """The names of all measures that rules of these sections take, in any pack."""
        known = self._measures.get(sections)
        if known is None:
            names = {
                entry.measure
                for pack in self.packs
                for section in sections
                for entry in getattr(pack, section)
                if entry.measure
            }
            known = self._measures[sections] = tuple(sorted(names))
        return known
