"""The score of a call by its form: 0–100 in four groups, with the evidence of every item (R57). Pure."""

from collections.abc import Iterable, Mapping, Sequence

from schemas.config.score_form import (
    GENERAL,
    GROUP_WEIGHTS,
    Deduction,
    FormItem,
    ItemApplies,
    PointsOfMeasure,
    ScoreForm,
)
from schemas.messages.call_analysis import Evidence, MeasureValue, Scorecard, ScoreGroup, ScoreItem, SkippedAnalysis
from schemas.messages.call_ended import CallEnded
from schemas.messages.finding import Finding

NOT_APPLICABLE = "not_applicable"
"""The form does not ask this of such a call; also the reason of a measure that is not asked of it."""

PENDING = "pending"
"""Whether the matter was settled shows when the customer does not call again; the view `kpi_calls` fills it in."""

FoundBy = Mapping[tuple[str, str], Sequence[Finding]]

NOT_MEASURED = "not_measured"
"""No detector takes the measure."""


class ScoreForms:
    """All score forms, looked up by tenant and industry."""

    def __init__(self, forms: Iterable[ScoreForm]) -> None:
        """One of the forms must be that of the industry `general`, for every tenant. Raises `ValueError`."""
        self._forms = {(form.tenant, form.industry): form for form in forms}
        if (None, GENERAL) not in self._forms:
            raise ValueError("there is no score form for the industry general")

    def of(self, call: CallEnded) -> ScoreForm:
        """The tenant's own form of the industry, else the form of the industry, else the same for `general`."""
        for industry in (call.industry, GENERAL):
            for tenant in (call.tenant_id, None):
                if (tenant, industry) in self._forms:
                    return self._forms[tenant, industry]
        raise AssertionError("there is a general form")


def score(
    form: ScoreForm,
    call: CallEnded,
    measures: Mapping[str, MeasureValue],
    findings: Sequence[Finding],
    skipped: Iterable[SkippedAnalysis],
) -> Scorecard:
    """The scorecard of a call.

    An item whose measure is null has null points, the reason of the measure, and leaves the denominator. A group is
    the share of points reached of those of its measurable items, times 100; the score is the mean of the groups by
    their weights, over the groups that have any measurable item (R57). Rounded to two decimals.
    """
    reasons = {one.measure: one.reason for one in skipped}
    found = _by_category_and_rule(findings)
    items = tuple(_score_item(item, call, measures, found, reasons) for item in form.items)
    groups = {group: _of_group(group, items) for group in GROUP_WEIGHTS}
    weighted = [
        (percent, weight)
        for group, percent in groups.items()
        if percent is not None and (weight := form.weights[group])
    ]
    total_weight = sum(weight for _, weight in weighted)
    return Scorecard(
        form_id=form.id,
        form_version=form.version,
        score=round(sum(percent * weight for percent, weight in weighted) / total_weight, 2) if weighted else None,
        groups={group: None if percent is None else round(percent, 2) for group, percent in groups.items()},
        items=items,
    )


def _by_category_and_rule(findings: Iterable[Finding]) -> FoundBy:
    """Findings that cost points, under `category` and under `rule`; those of severity `info` do not."""
    found: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        if finding.severity != "info":
            found.setdefault(("category", finding.category), []).append(finding)
            found.setdefault(("rule", finding.rule_id), []).append(finding)
    return found


def _of_group(group: ScoreGroup, items: Iterable[ScoreItem]) -> float | None:
    """The exact score of a group, 0–100; null if nothing in it is measurable."""
    measurable = [(item.points, item.max_points) for item in items if item.group == group and item.points is not None]
    possible = sum(max_points for _, max_points in measurable)
    return 100 * sum(points for points, _ in measurable) / possible if measurable else None


def _score_item(
    item: FormItem,
    call: CallEnded,
    measures: Mapping[str, MeasureValue],
    found: FoundBy,
    reasons: Mapping[str, str],
) -> ScoreItem:
    points: float | None = None
    evidence: tuple[Evidence, ...] = ()
    reason = _why_not_measurable(item, call, measures, reasons)
    if reason is None:
        costly = [(deduction, _findings_of(deduction, found)) for deduction in item.deduct]
        full = _share(item.measure, measures) * item.max_points
        points = max(0.0, round(full - sum(_cost(deduction, those) for deduction, those in costly), 2))
        evidence = (
            *(Evidence(measure=name, value=measures[name]) for name in item.measures),
            *(
                Evidence(finding_id=one.finding_id, start_ms=one.start_ms, quote=one.quote)
                for one in {one.finding_id: one for _, those in costly for one in those}.values()
            ),
        )
    return ScoreItem(
        item_id=item.id,
        name=item.name,
        group=item.group,
        points=points,
        max_points=item.max_points,
        reason=reason,
        evidence=evidence,
    )


def _why_not_measurable(
    item: FormItem, call: CallEnded, measures: Mapping[str, MeasureValue], reasons: Mapping[str, str]
) -> str | None:
    if not _applies(item.applies, call):
        return NOT_APPLICABLE
    if item.by_resolution:
        return PENDING
    for name in item.measures:
        if measures.get(name) is None:
            return reasons.get(name, NOT_MEASURED)
    return None


def _applies(applies: ItemApplies, call: CallEnded) -> bool:
    return (
        (not applies.directions or call.direction in applies.directions)
        and (not applies.industries or call.industry in applies.industries)
        and (not applies.course_types or call.course_type in applies.course_types)
    )


def _share(measure: PointsOfMeasure | None, measures: Mapping[str, MeasureValue]) -> float:
    """The share of the points of an item that was reached, 0–1."""
    if measure is None:
        return 1
    value = measures[measure.name]
    assert value is not None, "an item whose measure is null is not measurable"  # noqa: S101
    if measure.full_when is not None:
        return float(bool(value) is measure.full_when)
    full_at, zero_at = measure.line
    return min(1.0, max(0.0, (value - zero_at) / (full_at - zero_at)))


def _findings_of(deduction: Deduction, found: FoundBy) -> list[Finding]:
    key = ("category", deduction.category) if deduction.category else ("rule", deduction.rule or "")
    return [one for one in found.get(key, ()) if deduction.role is None or one.role == deduction.role]


def _cost(deduction: Deduction, findings: Iterable[Finding]) -> float:
    cost = sum(deduction.points * finding.confidence for finding in findings)
    return cost if deduction.at_most is None else min(cost, deduction.at_most)
