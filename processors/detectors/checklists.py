"""Things that must all be mentioned, such as the refund rules (R84)."""

from collections.abc import Iterable
from typing import Final

from processors.detectors.base.contract import DetectorContext
from processors.detectors.base.rule_detector import RuleDetector, finding_of_rule, rule_attributes
from processors.detectors.threats import doubt_of
from processors.judging.call_context import CallContext
from processors.rules.conditions import ConditionResult, Hearing
from processors.rules.rulebook import Compiled
from schemas.config.rule_pack import Checklist, ChecklistItem
from schemas.messages.finding import Finding

NAME: Final = "checklists"


def missing_items(checklist: Compiled[Checklist], hearing: Hearing) -> list[ChecklistItem]:
    """The mandatory items that were not mentioned."""
    return [
        item
        for number, item in enumerate(checklist.entry.items)
        if not item.optional and not hearing.look(checklist.nodes[f"items.{number}"]).holds
    ]


def _judge(checklist: Compiled[Checklist], hearing: Hearing, context: CallContext) -> tuple[Iterable[Finding], bool]:
    missing = missing_items(checklist, hearing)
    if not missing:
        return (), True
    return [_finding(checklist, missing, hearing.look(checklist.nodes["when"]), context)], False


def _finding(
    checklist: Compiled[Checklist], missing: list[ChecklistItem], when: ConditionResult, context: CallContext
) -> Finding:
    """At what made it apply.

    `attributes`: `missing` (ids, separated by commas), `missing_names`, `told` and `items` (how many), `advice`.
    """
    entry = checklist.entry
    needed = sum(not item.optional for item in entry.items)
    attributes = rule_attributes(
        checklist,
        missing=",".join(item.id for item in missing),
        missing_names="、".join(item.name for item in missing),
        told=needed - len(missing),
        items=needed,
        advice=entry.advice,
    )
    return finding_of_rule(NAME, checklist, when.hits[0] if when.hits else None, context, attributes)


def detector(context: DetectorContext) -> RuleDetector:
    """The detector, with the rules in force: one finding for each checklist that applies and is incomplete. Raises
    `ReadingWeightsError`."""
    return RuleDetector(NAME, context.rulebooks, _judge, doubt=doubt_of(context))
