"""Steps that must be taken in order: verify who the customer is before disclosing anything about the account (R71).

Where rules miss that identity was asked for, it may have been in other words: then reading finds it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from processors.detectors.base.contract import DetectorContext
from processors.detectors.base.rule_detector import (
    ReadInstead,
    RuleDetector,
    SecondLook,
    finding_of_rule,
    rule_attributes,
)
from processors.detectors.reading import Reading, reading_of
from processors.detectors.threats import doubt_of
from processors.judging.call_context import CallContext
from processors.rules.conditions import Hearing, RuleHit, order
from processors.rules.rulebook import Compiled
from schemas.config.rule_pack import Procedure
from schemas.messages.finding import Finding

NAME: Final = "procedures"


@dataclass(frozen=True)
class ProcedureWalk:
    """How far a procedure was followed: the hit of each step, and the first step that is missing or late."""

    hits: tuple[RuleHit | None, ...]
    broken_at: int | None
    reason: str | None
    """`missing`: never done; `out_of_order`: done, but before the step ahead of it; `too_late`: after `before`."""


def walk(procedure: Compiled[Procedure], hearing: Hearing) -> ProcedureWalk:
    """Each step at its first place after the step ahead of it; all of them before the first hit of `before`."""
    limit = _first_hit_of_before(procedure, hearing)
    at = (-1, -1)
    taken: list[RuleHit | None] = []
    for number, step in enumerate(procedure.entry.steps):
        found = hearing.look(procedure.nodes[f"steps.{number}"])
        after = [hit for hit in found.hits if order(hit) > at]
        hit = after[0] if after else None
        taken.append(hit)
        if hit is not None and (limit is None or order(hit) < order(limit)):
            at = order(hit)
        elif not step.optional and not found.by_event:
            reason = "too_late" if hit is not None else "out_of_order" if found.hits else "missing"
            return ProcedureWalk(tuple(taken), number, reason)
    return ProcedureWalk(tuple(taken), None, None)


def _first_hit_of_before(procedure: Compiled[Procedure], hearing: Hearing) -> RuleHit | None:
    before = procedure.nodes.get("before")
    found = hearing.look(before).hits if before else ()
    return found[0] if found else None


def _judge(procedure: Compiled[Procedure], hearing: Hearing, context: CallContext) -> tuple[Iterable[Finding], bool]:
    walked = walk(procedure, hearing)
    if walked.broken_at is None:
        return (), True
    return [_finding(procedure, walked, walked.broken_at, hearing, context)], False


def _finding(
    procedure: Compiled[Procedure], walked: ProcedureWalk, broken_at: int, hearing: Hearing, context: CallContext
) -> Finding:
    """At what came too early or, where nothing did, for the call as a whole.

    `attributes`: `step`, `step_name`, `reason` (`missing`, `out_of_order`, `too_late`), `advice`.
    """
    entry = procedure.entry
    step = entry.steps[broken_at]
    attributes = rule_attributes(
        procedure, step=step.id, step_name=step.name, reason=walked.reason or "", advice=entry.advice
    )
    return finding_of_rule(NAME, procedure, _first_hit_of_before(procedure, hearing), context, attributes)


def _read_identity(reading: Reading, context: CallContext) -> ReadInstead | None:
    read = reading.of(context)
    return ReadInstead(read.reader.version) if read is not None and read.identity_verified() else None


def detector(context: DetectorContext) -> RuleDetector:
    """The detector, with the rules in force: one finding for each procedure that applies and is broken. Raises
    `ReadingWeightsError`."""
    reading = reading_of(context)
    second_look = SecondLook("identity_verified_before_disclosure", lambda call: _read_identity(reading, call))
    return RuleDetector(NAME, context.rulebooks, _judge, second_look, doubt_of(context))
