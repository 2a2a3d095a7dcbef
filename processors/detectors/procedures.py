"""Steps that must be taken in order: who the customer is, before anything of the account is told (R71)."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from processors.case import Case
from processors.conditions import Hearing, Hit, order
from processors.detectors import DetectorContext, Result
from processors.findings import finding_of_call
from processors.rule_detector import Verdict, applies, finding_of_hit, hearing_of, measured, named, not_measured
from processors.rulebook import Compiled, Rulebooks
from schemas.finding import Finding
from schemas.rule_pack import Procedure


@dataclass(frozen=True)
class Walk:
    """How far a procedure was kept: the hit of each step, and the first step that is missing or late."""

    hits: tuple[Hit | None, ...]
    broken_at: int | None
    reason: str | None
    """`missing`: never done; `out_of_order`: done, but before the step ahead of it; `too_late`: after `before`."""


@dataclass(frozen=True)
class ProceduresDetector:
    """One finding for each procedure that applies and is broken, at what came too early or, where nothing did, for the
    call as a whole. `attributes`: `step`, `step_name`, `reason` (`missing`, `out_of_order`, `too_late`), `advice`.
    """

    name: ClassVar[str] = "procedures"
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
        for procedure in book.procedures:
            if applies(procedure, hearing):
                walked = walk(procedure, hearing)
                results.extend(_finding(procedure, walked, hearing, case))
                verdicts.append((procedure.entry.measure, walked.broken_at is None))
        return [*results, *measured(self.measures, verdicts)]


def walk(procedure: Compiled[Procedure], hearing: Hearing) -> Walk:
    """Each step at its first place after the step ahead of it; all of them before the first hit of `before`."""
    limit = _first_hit_of_before(procedure, hearing)
    at = (-1, -1)
    taken: list[Hit | None] = []
    for number, step in enumerate(procedure.entry.steps):
        found = hearing.look(procedure.nodes[f"steps.{number}"])
        after = [hit for hit in found.hits if order(hit) > at]
        hit = after[0] if after else None
        taken.append(hit)
        if hit is not None and (limit is None or order(hit) < order(limit)):
            at = order(hit)
        elif not step.optional and not found.by_event:
            reason = "too_late" if hit is not None else "out_of_order" if found.hits else "missing"
            return Walk(tuple(taken), number, reason)
    return Walk(tuple(taken), None, None)


def _first_hit_of_before(procedure: Compiled[Procedure], hearing: Hearing) -> Hit | None:
    before = procedure.nodes.get("before")
    found = hearing.look(before).hits if before else ()
    return found[0] if found else None


def _finding(procedure: Compiled[Procedure], walked: Walk, hearing: Hearing, case: Case) -> Iterator[Finding]:
    if walked.broken_at is None:
        return
    entry = procedure.entry
    step = entry.steps[walked.broken_at]
    attributes = named(procedure, step=step.id, step_name=step.name, reason=walked.reason or "", advice=entry.advice)
    too_early = _first_hit_of_before(procedure, hearing)
    if too_early is not None:
        yield finding_of_hit(
            ProceduresDetector.name,
            procedure,
            too_early,
            case,
            category=entry.category,
            severity=entry.severity,
            score_delta=entry.score_delta,
            attributes=attributes,
        )
        return
    yield finding_of_call(
        case.transcript,
        detector=ProceduresDetector.name,
        rule_id=procedure.rule_id,
        rule_version=procedure.rule_version,
        category=entry.category,
        severity=entry.severity,
        role="agent",
        score_delta=entry.score_delta,
        attributes=attributes,
    )


def detector(context: DetectorContext) -> ProceduresDetector:
    """With the rules of the judge."""
    return ProceduresDetector(context.rulebooks)
