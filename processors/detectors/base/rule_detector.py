"""What detectors that read rules share: which rules apply to a call, and how several rules make one measure."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

from processors.detectors.base.contract import Measure, NotMeasured, Result
from processors.detectors.base.findings import Attributes, finding_in_words, finding_of_call
from processors.detectors.base.sides import ROLES_DOUBTFUL
from processors.judging.call_context import CallContext
from processors.rules.conditions import ConditionResult, Hearing, RuleHit
from processors.rules.rulebook import Compiled, Rulebook, Rulebooks
from processors.text.conversation import NO_SPEECH, NO_TIMES, why_no_times
from processors.text.remembered import remembered
from schemas.config.rule_pack import ConversationRule
from schemas.messages.call_ended import Role
from schemas.messages.finding import Finding, Severity

LANGUAGE_NOT_SUPPORTED = "language_not_supported"
NOT_APPLICABLE = "not_applicable"

COUNTS: Mapping[str, tuple[str, str]] = {
    "mandatory_scripts": ("mandatory_scripts_asked", "mandatory_scripts_kept"),
    "procedures": ("procedures_asked", "procedures_kept"),
    "checklists": ("checklists_asked", "checklists_kept"),
}
"""Section of what agents must do → the measures of how many of its rules applied to a call, and how many were kept."""

DISCLOSURES = ("required_disclosures_asked", "required_disclosures_kept")
"""The same of those mandatory scripts that a law asks for (`required_by`)."""

RuleMeasure = tuple[str | None, bool | None]
"""The measure of a rule and its value; null where nobody can say whether it holds."""


class ReadInstead(NamedTuple):
    """That what a rule misses was read in a call, by which heads, and where; without a place in the call as a whole."""

    model: str
    hit: RuleHit | None = None


@dataclass(frozen=True)
class SecondLook:
    """Reading beside the rules of one measure: what a rule finds is certain, and stands; what it misses and is read is
    no miss, and costs nothing."""

    measure: str
    read: Callable[[CallContext], ReadInstead | None]


Doubt = Callable[[CallContext], float | None]
"""How likely reading holds what rules found in a call, where it is so unlikely that they are doubted; else null."""


def ask_rules(
    context: CallContext, rulebooks: Rulebooks, measures: Iterable[str]
) -> tuple[Rulebook, Hearing] | list[Result]:
    """The rules for a call and the call prepared for them; or every measure as skipped, with the reason."""
    if context.spoken.is_silent:
        return [NotMeasured(measure, NO_SPEECH) for measure in measures]
    book = rulebooks.of(context)
    if book is None:
        return [NotMeasured(measure, LANGUAGE_NOT_SUPPORTED) for measure in measures]
    return book, book.hearing(context)


def combine_measures(
    measures: Iterable[str],
    verdicts: Iterable[RuleMeasure],
    why_unknown: str | None,
    untimed: Collection[str | None] = (),
) -> Iterator[Result]:
    """Each measure once. Of several rules with one measure only those that apply count; one that holds is enough.

    `why_unknown` is the reason where nobody can say whether any of them holds; `untimed` are the measures of rules that
    could not be decided for want of times: without another that holds, nobody knows.
    """
    values: dict[str, bool | None] = {}
    for measure, value in verdicts:
        if measure is not None:
            values[measure] = _either(values.get(measure, False), value)
    for measure in measures:
        value = values.get(measure)
        if measure in untimed and not value:
            yield NotMeasured(measure, NO_TIMES)
        elif value is not None:
            yield Measure(measure, value)
        else:
            yield NotMeasured(measure, why_unknown or NOT_APPLICABLE if measure in values else NOT_APPLICABLE)


def _either(one: bool | None, other: bool | None) -> bool | None:
    """Whether one of two holds; null where that depends on one of which it is unknown."""
    return True if one or other else None if one is None or other is None else False


def rule_attributes(compiled: Compiled[Any], **more: str | int | float | bool) -> Attributes:
    """The attributes that every finding of a rule has, and more."""
    return {"name": compiled.entry.name, "pack": compiled.pack.pack, **more}


def occasions(book: Rulebook, hearing: Hearing, context: CallContext, doubt: Doubt | None) -> Hearing:
    """The call in which the `when` of rules is looked for: without the threats in it that reading doubts."""
    if doubt is None:
        return hearing
    threats = [rule for rule in book.threats if rule.entry.doubtable and not rule.is_suspicion]
    places = [hit for rule in threats if applies(rule, hearing) for hit in hearing.look(rule.nodes["find"]).hits]
    return hearing.without(places) if places and doubt(context) is not None else hearing


def applies(compiled: Compiled[Any], hearing: Hearing) -> bool:
    """Whether a rule applies to the call: by what is known about it, and by its `when`."""
    assert hearing.call is not None, "a call that is judged has an event"  # noqa: S101
    when = compiled.nodes.get("when")
    return compiled.applies_to(hearing.call) and (when is None or hearing.look(when).holds)


def lacks_times(rule: Compiled[Any], hearing: Hearing, context: CallContext) -> bool:
    """Whether a rule for such calls counts seconds of a call of which nobody knows when what was said."""
    if not rule.needs_times or why_no_times(context.transcript) is None or not rule.applies_to(context.transcript.call):
        return False
    find = rule.nodes.get("find")
    return find is None or not find.is_shown_by_event(hearing)


def _rests_on_roles(rule: Compiled[Any], hearing: Hearing) -> bool:
    """Whether another outcome would be possible with the roles exchanged: not where the event alone shows it."""
    find = rule.nodes.get("find")
    return rule.asks_who_speaks and (find is None or not find.is_shown_by_event(hearing))


def count_kept(
    names: tuple[str, str], kept: Sequence[tuple[str, bool | None]], why_unknown: str | None
) -> Iterator[Result]:
    """How many rules were asked of the call, and how many of them hold, as the measures of these names.

    Rules that share a measure are one rule in several wordings: they count once, and one that holds is enough. Where
    of any it could not be said that it does not hold (null), nothing is counted: such calls would count only for what
    is good in them.
    """
    if why_unknown is not None and any(value is None for _, value in kept):
        yield from (NotMeasured(name, why_unknown) for name in names)
        return
    holds: dict[str, bool] = {}
    for counted_as, value in kept:
        holds[counted_as] = holds.get(counted_as, False) or bool(value)
    asked, held = names
    yield Measure(asked, len(holds))
    yield Measure(held, sum(holds.values()))


@dataclass(frozen=True)
class RuleDetector:
    """Asks every rule of one section that applies to the call. `judge` gives what comes of one: its findings, and
    whether it holds. Of the sections in `COUNTS` it also says how many were asked and how many hold, so that KPIs
    count the rules of every pack without knowing their names.

    Where agent and customer are not told apart, a rule that depends on who speaks holds only by what is known to be
    said by the right one; else it has no finding, and its measure is null with the reason why they are not. Where they
    may be exchanged, it keeps its finding, and its measure is null (`roles_doubtful`).

    With a `second_look`, a rule of its measure that would be missed is kept where reading finds that it was. With a
    `doubt`, what a rule finds that is `doubtable` is only noted where reading doubts it: an `info` finding that has the
    probability as `doubted`, and no measure; and its words are no occasion (`when`) for other rules.
    """

    name: Literal["mandatory_scripts", "procedures", "checklists", "threats", "rules"]
    rulebooks: Rulebooks
    judge: Callable[[Compiled[Any], Hearing, CallContext], tuple[Iterable[Finding], bool]]
    second_look: SecondLook | None = None
    doubt: Doubt | None = None
    needs_speech: ClassVar[bool] = True
    reads_measures: ClassVar[bool] = True

    @remembered
    def measures(self) -> tuple[str, ...]:
        disclosures = DISCLOSURES if self.name == "mandatory_scripts" else ()
        return (*self.rulebooks.measures(self.name), *COUNTS.get(self.name, ()), *disclosures)

    def process(self, context: CallContext) -> Iterable[Result]:
        ready = ask_rules(context, self.rulebooks, self.measures)
        if isinstance(ready, list):
            return ready
        book, hearing = ready
        results: list[Result] = []
        verdicts: list[RuleMeasure] = []
        kept: list[tuple[str, bool | None]] = []
        disclosed: list[tuple[str, bool | None]] = []
        untimed: set[str | None] = set()
        occasion = occasions(book, hearing, context, self.doubt)
        why_unknown = context.why_not_told_apart or (ROLES_DOUBTFUL if context.roles_doubtful else None)
        for rule in getattr(book, self.name):
            if rule.is_suspicion:
                continue  # the detector `like` asks it
            if lacks_times(rule, hearing, context):
                untimed.add(rule.entry.measure)
            elif applies(rule, occasion):
                findings, holds = self._judge(rule, hearing, context)
                results.extend(findings)
                verdicts.append((rule.entry.measure, holds))
                may_fail = context.why_not_told_apart is None or not rule.asks_who_speaks
                kept.append((rule.entry.measure or rule.rule_id, holds if may_fail else None))
                if getattr(rule.entry, "required_by", None) is not None:
                    disclosed.append(kept[-1])
        results.extend(combine_measures(self.rulebooks.measures(self.name), verdicts, why_unknown, untimed))
        if self.name in COUNTS:
            results.extend(count_kept(COUNTS[self.name], kept, why_unknown))
        if self.name == "mandatory_scripts":
            results.extend(count_kept(DISCLOSURES, disclosed, why_unknown))
        return results

    def _judge(
        self, rule: Compiled[Any], hearing: Hearing, context: CallContext
    ) -> tuple[Iterable[Finding], bool | None]:
        findings, holds = self._looked_twice(rule, hearing, context)
        if context.why_not_told_apart is None:
            return findings, None if context.roles_doubtful and _rests_on_roles(rule, hearing) else holds
        if not rule.asks_who_speaks:
            return findings, holds
        return (findings, True) if holds and not rule.asks_who_is_silent else ((), None)

    def _looked_twice(
        self, rule: Compiled[Any], hearing: Hearing, context: CallContext
    ) -> tuple[Iterable[Finding], bool]:
        findings, holds = self.judge(rule, hearing, context)
        if not holds and self.second_look is not None and rule.entry.measure == self.second_look.measure:
            read = self.second_look.read(context)
            if read is not None:
                return self._shown(rule, read, context), True
        if holds and self.doubt is not None and getattr(rule.entry, "doubtable", False):
            probability = self.doubt(context)
            if probability is not None:
                return (_doubted(finding, probability) for finding in findings), False
        return findings, holds

    def _shown(self, rule: Compiled[Any], read: ReadInstead, context: CallContext) -> Iterator[Finding]:
        """Where it was read, if that is known: an `info` finding with the `source` `reading`."""
        if read.hit is not None:
            attributes = rule_attributes(rule, state="found", source="reading", model=read.model)
            yield finding_of_rule(self.name, rule, read.hit, context, attributes, _SHOWN)


def conversation_rules(
    name: Literal["mandatory_scripts", "threats", "rules"],
    rulebooks: Rulebooks,
    second_look: SecondLook | None = None,
    doubt: Doubt | None = None,
) -> RuleDetector:
    """For rules that are found in a call, or missing.

    Of a mandatory script the finding that counts is that it is missing; where it was said is shown by an `info` one
    (`script_found`), with the `source` `speech`, `telephony` (the telephony side played it) or `reading`.
    """

    def judge(
        rule: Compiled[ConversationRule], hearing: Hearing, context: CallContext
    ) -> tuple[Iterable[Finding], bool]:
        found = hearing.look(rule.nodes["find"])
        return _findings(name, rule, found, context), found.holds

    return RuleDetector(name, rulebooks, judge, second_look, doubt)


def _findings(
    name: str, rule: Compiled[ConversationRule], found: ConditionResult, context: CallContext
) -> Iterator[Finding]:
    entry = rule.entry
    if not found.holds:
        if entry.finding in ("missing", "both"):
            yield finding_of_rule(
                name, rule, None, context, rule_attributes(rule, advice=entry.advice, state="missing")
            )
        return
    if entry.finding not in ("found", "both"):
        return
    attributes = rule_attributes(
        rule, state="found", source="telephony" if found.by_event and not found.hits else "speech"
    )
    # Of a mandatory script the finding that counts is that it is missing; that it is there is only shown.
    shown = _SHOWN if entry.finding == "both" else None
    if not found.hits:
        yield finding_of_rule(name, rule, None, context, attributes, weight=shown, role="unknown")
        return
    for hit in found.hits if entry.each_hit else found.hits[:1]:
        of_hit = attributes | {"hits": len(found.hits), "word": hit.matched}
        yield finding_of_rule(name, rule, hit, context, of_hit if shown else of_hit | {"advice": entry.advice}, shown)


def _doubted(finding: Finding, probability: float) -> Finding:
    """The same words, only noted."""
    attributes = finding.attributes | {"doubted": round(probability, 4)}
    return finding.model_copy(update={"severity": "info", "score_delta": 0, "attributes": attributes})


@dataclass(frozen=True)
class Weight:
    """Category and severity of a finding."""

    category: str
    severity: Severity
    score_delta: float = 0


_SHOWN = Weight("script_found", "info")


def finding_of_rule(
    name: str,
    rule: Compiled[Any],
    hit: RuleHit | None,
    context: CallContext,
    attributes: Attributes,
    weight: Weight | None = None,
    role: Role = "agent",
) -> Finding:
    """A finding of a rule at a place in the call, or without one of the call as a whole, where it lies with `role`.

    It weighs what the rule says, unless it is told otherwise.
    """
    entry = rule.entry
    weight = weight or Weight(entry.category, entry.severity, entry.score_delta)
    if hit is None:
        return finding_of_call(
            context.transcript,
            detector=name,
            rule_id=rule.rule_id,
            rule_version=rule.rule_version,
            category=weight.category,
            severity=weight.severity,
            role=role,
            score_delta=weight.score_delta,
            attributes=attributes,
        )
    return finding_in_words(
        context.transcript,
        hit.passage,
        hit.span,
        detector=name,
        rule_id=rule.rule_id,
        rule_version=rule.rule_version,
        category=weight.category,
        severity=weight.severity,
        score_delta=weight.score_delta,
        confidence=hit.confidence,
        attributes=attributes,
    )
