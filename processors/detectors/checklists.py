"""Things that must all be told: the rules of a refund (R84)."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from processors.case import Case
from processors.conditions import Found, Hearing
from processors.detectors import DetectorContext, Result
from processors.findings import finding_of_call
from processors.rule_detector import Verdict, applies, finding_of_hit, hearing_of, measured, named, not_measured
from processors.rulebook import Compiled, Rulebooks
from schemas.finding import Finding
from schemas.rule_pack import Checklist, ChecklistItem


@dataclass(frozen=True)
class ChecklistsDetector:
    """One finding for each checklist that applies and is not complete, at what made it apply. `attributes`: `missing`
    (ids, separated by commas), `missing_names`, `told` and `items` (how many), `advice`.
    """

    name: ClassVar[str] = "checklists"
    needs_speech: ClassVar[bool] = True
    reads_measures: ClassVar[bool] = True

    rulebooks: Rulebooks

    @cached_property
    def measures(self) -> tuple[str, ...]:
        return self.rulebooks.measures(self.name)

    def process(self, case: Case) -> Iterable[Result]:
        book = self.rulebooks.of(case)
        hearing = hearing_of(case, book)
        if isinstance(hearing, str):
            return not_measured(self.measures, hearing)
        assert book is not None, "there is a hearing"  # noqa: S101
        results: list[Result] = []
        verdicts: list[Verdict] = []
        for checklist in book.checklists:
            if applies(checklist, hearing):
                missing = missing_items(checklist, hearing)
                if missing:
                    results.append(_finding(checklist, missing, hearing.look(checklist.nodes["when"]), case))
                verdicts.append((checklist.entry.measure, not missing))
        return [*results, *measured(self.measures, verdicts)]


def missing_items(checklist: Compiled[Checklist], hearing: Hearing) -> list[ChecklistItem]:
    """The items that are not optional and were not told."""
    return [
        item
        for number, item in enumerate(checklist.entry.items)
        if not item.optional and not hearing.look(checklist.nodes[f"items.{number}"]).holds
    ]


def _finding(checklist: Compiled[Checklist], missing: list[ChecklistItem], when: Found, case: Case) -> Finding:
    entry = checklist.entry
    needed = sum(not item.optional for item in entry.items)
    attributes = named(
        checklist,
        missing=",".join(item.id for item in missing),
        missing_names="、".join(item.name for item in missing),
        told=needed - len(missing),
        items=needed,
        advice=entry.advice,
    )
    if when.hits:
        return finding_of_hit(
            ChecklistsDetector.name,
            checklist,
            when.hits[0],
            case,
            category=entry.category,
            severity=entry.severity,
            score_delta=entry.score_delta,
            attributes=attributes,
        )
    return finding_of_call(
        case.transcript,
        detector=ChecklistsDetector.name,
        rule_id=checklist.rule_id,
        rule_version=checklist.rule_version,
        category=entry.category,
        severity=entry.severity,
        role="agent",
        score_delta=entry.score_delta,
        attributes=attributes,
    )


def detector(context: DetectorContext) -> ChecklistsDetector:
    """With the rules of the judge."""
    return ChecklistsDetector(context.rulebooks)
