"""What an agent says about a product, compared with the catalogue of what is true (R76, R83)."""

import logging
import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

from processors.detectors.base.contract import DetectorContext, Measure, NotMeasured, Result
from processors.detectors.base.rule_detector import Weight, applies, ask_rules, finding_of_rule, rule_attributes
from processors.detectors.base.sides import of_sides
from processors.judging.call_context import CallContext
from processors.rules.conditions import Hearing, RuleHit
from processors.rules.rulebook import Compiled, Rulebooks
from processors.text.conversation import SPEAKER_UNKNOWN
from schemas.config.rule_pack import Allowed, Claim, ClaimUnit
from schemas.config.tenants import ALL_ALIKE, Tenants
from schemas.messages.finding import Finding

_NUMBER = r"(?P<low>\d+(?:\.\d+)?)(?:(?:到|至|-|~|—)(?P<high>\d+(?:\.\d+)?))?"
_UNITS: dict[ClaimUnit, str] = {
    "percent": r"(?:%|％|个点|个百分点|分的?年化)",
    "yuan": r"(?:元|块|块钱)",
    "day": r"(?:个)?(?:自然|工作)?(?:天|日)",
    "hour": r"(?:个)?(?:小时|钟头)",
    "month": r"(?:个)?月",
    "year": r"(?:年|周年)",
    "times": r"(?:次|回|节|课时)",
    "fold": r"折",
    "plain": r"",
}
_PATTERNS = {unit: re.compile(_NUMBER + r"\s*" + written) for unit, written in _UNITS.items()}
_CLAUSE_ENDS = "。！？!?；;"

NO_CLAIMS_ADOPTED = "no_claims_adopted"

logger = logging.getLogger(__name__)

ClaimStatus = Literal["true", "claim_contradicted", "claim_without_entry"]


@dataclass(frozen=True)
class SpokenAmount:
    """The number that goes with a claim: one value, or a range; none if the claim needs none."""

    values: tuple[float, ...]
    as_heard: str


@dataclass(frozen=True)
class ClaimsDetector:
    """One finding for each claim of the agent that contradicts every entry of the catalogue that applies to it
    (`claim_contradicted`), or for which there is none (`claim_without_entry`, at most `low`). `attributes`: `said` (the
    number), `allowed` (what would be true), `advice`. `claims_checked` counts the claims,
    `claims_contradicted` the false ones.

    The claims of a pack with `example_claims` are in force for tenants that adopt them. What is said of the others is
    compared with nothing: it has no entry, which an `info` finding says, without an example's numbers, and it does not
    count. Where none is in force, nothing is measured (`no_claims_adopted`).
    """

    name: ClassVar[str] = "claims"
    measures: ClassVar[tuple[str, ...]] = ("claims_checked", "claims_contradicted")
    needs_speech: ClassVar[bool] = True
    reads_measures: ClassVar[bool] = True

    rulebooks: Rulebooks
    tenants: Tenants = ALL_ALIKE

    def process(self, context: CallContext) -> Iterable[Result]:
        ready = ask_rules(context, self.rulebooks, self.measures)
        if isinstance(ready, list):
            return ready
        book, hearing = ready
        verdicts: list[ClaimStatus] = []
        findings: list[Finding] = []
        in_force = [claim for claim in book.claims if self._is_in_force(claim, context)]
        for claim in book.claims:
            if not applies(claim, hearing):
                continue
            for hit, said, verdict in check_claim(claim, hearing):
                if claim not in in_force:
                    findings.extend(_not_adopted(claim, hit, said, context))
                    continue
                verdicts.append(verdict)
                findings.extend(_finding(claim, hit, said, verdict, context))
        if context.why_not_told_apart == SPEAKER_UNKNOWN:
            return [*findings, *(NotMeasured(measure, SPEAKER_UNKNOWN) for measure in self.measures)]
        if book.claims and not in_force:
            return [*findings, *(NotMeasured(measure, NO_CLAIMS_ADOPTED) for measure in self.measures)]
        contradicted = verdicts.count("claim_contradicted")
        measured = (Measure("claims_checked", len(verdicts)), Measure("claims_contradicted", contradicted))
        return of_sides(context, [*findings, *measured])

    def _is_in_force(self, claim: Compiled[Claim], context: CallContext) -> bool:
        pack = claim.pack
        return not pack.example_claims or self.tenants.adopts(context.transcript.tenant_id, pack.pack, claim.entry.id)


def check_claim(claim: Compiled[Claim], hearing: Hearing) -> Iterator[tuple[RuleHit, SpokenAmount, ClaimStatus]]:
    """Every claim of this kind, with the number that was said and the verdict on it."""
    for hit in hearing.look(claim.nodes["subject"]).hits:
        said = _read_amount(claim.entry, hit)
        if said is not None:
            yield hit, said, _verdict(claim, hit, said, hearing)


def _read_amount(claim: Claim, hit: RuleHit) -> SpokenAmount | None:
    """The number with the unit that follows the subject in the same sentence; None: no claim was made."""
    if claim.unit is None:
        return SpokenAmount((), "")
    digits = hit.passage.in_digits
    behind = bisect_left(digits.offsets, hit.span[1])
    rest = digits.text[behind : behind + claim.within_letters + _LONGEST_NUMBER]
    rest = re.split(f"[{_CLAUSE_ENDS}]", rest, maxsplit=1)[0]
    match = _PATTERNS[claim.unit].search(rest)
    if match is None or match.start() > claim.within_letters:
        return None
    return SpokenAmount(tuple(float(value) for value in match.groups() if value), match.group())


_LONGEST_NUMBER = 24


def _verdict(claim: Compiled[Claim], hit: RuleHit, said: SpokenAmount, hearing: Hearing) -> ClaimStatus:
    entries = [
        (number, allowed)
        for number, allowed in enumerate(claim.entry.allowed)
        if _is_about(claim, number, hit, hearing)
    ]
    if not entries:
        return "true" if claim.entry.unlisted == "ignore" else "claim_without_entry"
    if any(_allows(allowed, said) and _has_required(claim, number, hearing) for number, allowed in entries):
        return "true"
    return "claim_contradicted"


def _is_about(claim: Compiled[Claim], number: int, hit: RuleHit, hearing: Hearing) -> bool:
    """Whether the product of an entry was named in this turn or before; an entry without product is about any."""
    about = claim.nodes.get(f"about.{number}")
    return about is None or any(other.passage.number <= hit.passage.number for other in hearing.look(about).hits)


def _allows(allowed: Allowed, said: SpokenAmount) -> bool:
    return all(
        (allowed.min is None or value >= allowed.min)
        and (allowed.max is None or value <= allowed.max)
        and (not allowed.one_of or value in allowed.one_of)
        for value in said.values
    )


def _has_required(claim: Compiled[Claim], number: int, hearing: Hearing) -> bool:
    required = claim.nodes.get(f"requires.{number}")
    return required is None or hearing.look(required).holds


def _finding(
    claim: Compiled[Claim], hit: RuleHit, said: SpokenAmount, verdict: ClaimStatus, context: CallContext
) -> Iterator[Finding]:
    if verdict == "true":
        return
    entry = claim.entry
    weight = Weight(verdict, entry.severity, entry.score_delta)
    attributes = rule_attributes(
        claim, said=said.as_heard, allowed="；".join(map(_in_words, entry.allowed)), advice=entry.advice
    )
    yield finding_of_rule(
        ClaimsDetector.name,
        claim,
        hit,
        context,
        attributes,
        weight if verdict == "claim_contradicted" else Weight(verdict, "low"),
    )


def _not_adopted(claim: Compiled[Claim], hit: RuleHit, said: SpokenAmount, context: CallContext) -> Iterator[Finding]:
    if claim.entry.unlisted == "report":
        attributes = rule_attributes(claim, said=said.as_heard, adopted=False)
        weight = Weight("claim_without_entry", "info")
        yield finding_of_rule(ClaimsDetector.name, claim, hit, context, attributes, weight)


def _in_words(allowed: Allowed) -> str:
    parts = [
        "、".join(allowed.about),
        f"≥ {allowed.min:g}" if allowed.min is not None else "",
        f"≤ {allowed.max:g}" if allowed.max is not None else "",
        " / ".join(f"{value:g}" for value in allowed.one_of),
        "须同时说明条件" if allowed.requires is not None else "",
    ]
    return " ".join(part for part in parts if part)


def detector(context: DetectorContext) -> ClaimsDetector:
    """The detector, with the rules in force and what tenants adopt of the examples.

    A name that no pack has is only logged: packs come and go while a worker runs.
    """
    packs = [pack for pack in context.rulebooks.packs if pack.claims]
    known = {pack.pack for pack in packs} | {pack.rule_id(claim) for pack in packs for claim in pack.claims}
    for name in sorted(context.tenants.adopted_claims() - known):
        logger.warning("the file of tenants adopts the claims %s, and no rule pack has any of that name", name)
    return ClaimsDetector(context.rulebooks, context.tenants)
