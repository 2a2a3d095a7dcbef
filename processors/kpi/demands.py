"""What customers call for: ranked (R61, R62), and by who the customers are (R63). Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from processors.kpi.statistics import FALSE_DISCOVERIES, Difference, Estimate, Sums, difference, q_values, wilson

EXAMPLES = 3
"""Quotes that are shown of a demand."""


@dataclass(frozen=True)
class DemandExample:
    """The words that show a demand in a call, and how sure that is."""

    call_id: str
    quote: str
    confidence: float


@dataclass(frozen=True)
class DemandCount:
    """Calls about a topic within one inquiry type, as the view `demands` counts them."""

    tenant_id: str
    inquiry_type: str | None
    topic_id: str
    name: str
    calls: int
    agitated: int
    agitation_known: int
    unresolved: int
    resolution_known: int
    resolution_pending: int
    examples: tuple[DemandExample, ...]


@dataclass(frozen=True)
class Demand:
    """A topic in the ranking. `share` is of all analysed calls; `change` is against the time before.

    `q_value` is that of the change, over all topics of the tenant that were ranked; null where no time was before.
    """

    tenant_id: str
    inquiry_type: str | None
    topic_id: str
    name: str
    calls: int
    share: Estimate
    change: Difference | None
    agitated: Estimate
    unresolved: Estimate
    examples: tuple[DemandExample, ...]
    q_value: float | None = None

    @property
    def is_clear(self) -> bool:
        """The change is not to be explained by chance, for all that so many topics were looked at."""
        return self.q_value is not None and self.q_value <= FALSE_DISCOVERIES


@dataclass(frozen=True)
class CustomerDemandCount:
    """Calls about a topic of customers with a value tier or a tag, and of all others."""

    tenant_id: str
    attribute: str
    customers: str
    topic_id: str
    name: str
    calls: int
    calls_of_customers: int
    calls_of_others_about_it: int
    calls_of_others: int


@dataclass(frozen=True)
class CustomerDemand:
    """How much more, or less, of the calls of these customers are about a topic than of all others' calls.

    `q_value` is over all kinds of customers and topics of the tenant; null where nothing can be compared.
    """

    count: CustomerDemandCount
    share: Estimate
    others: Estimate
    change: Difference | None
    q_value: float | None = None

    @property
    def is_clear(self) -> bool:
        """The difference is not to be explained by chance, for all that so many were looked at."""
        return self.q_value is not None and self.q_value <= FALSE_DISCOVERIES


def share_of(successes: int, n: int, pending: int = 0) -> Estimate:
    """A share with its interval; withheld, as a KPI is, while more than a tenth of the calls are pending."""
    if n <= 0 or not Sums(n, pending=pending).is_decided:
        return Estimate(max(n, 0), pending=pending)
    low, high = wilson(successes, n)
    return Estimate(n, successes / n, low, high, pending)


Totals = Mapping[tuple[str, str | None], int]
"""Analysed calls by tenant and inquiry type."""


def ranking(
    counts: Iterable[DemandCount],
    totals: Totals,
    before: Iterable[DemandCount],
    totals_before: Totals,
    *,
    by_inquiry_type: bool = False,
) -> list[Demand]:
    """The demands of each tenant (and inquiry type), those of most calls first."""
    former = _merged(before, by_inquiry_type=by_inquiry_type)
    all_calls, former_calls = (_totals(each, by_inquiry_type=by_inquiry_type) for each in (totals, totals_before))
    demands = []
    for key, count in _merged(counts, by_inquiry_type=by_inquiry_type).items():
        group = key[:2]
        share = share_of(count.calls, all_calls.get(group, 0))
        earlier = former.get(key)
        share_before = share_of(earlier.calls if earlier else 0, former_calls.get(group, 0))
        demands.append(
            Demand(
                count.tenant_id,
                count.inquiry_type,
                count.topic_id,
                count.name,
                count.calls,
                share,
                difference(share, share_before),
                share_of(count.agitated, count.agitation_known),
                share_of(count.unresolved, count.resolution_known, count.resolution_pending),
                count.examples[:EXAMPLES],
            )
        )
    found = _q_values((each.tenant_id, each.change) for each in demands)
    return sorted(
        (replace(each, q_value=q_value) for each, q_value in zip(demands, found, strict=True)),
        key=lambda each: (each.tenant_id, each.inquiry_type or "", -each.calls, each.topic_id),
    )


def _q_values(changes: Iterable[tuple[str, Difference | None]]) -> list[float | None]:
    """Of each tenant's changes by themselves, in the order in which they are given."""
    given = list(changes)
    found: list[float | None] = [None] * len(given)
    for tenant in {tenant_id for tenant_id, _ in given}:
        compared = [(n, change) for n, (tenant_id, change) in enumerate(given) if tenant_id == tenant and change]
        for (place, _), q_value in zip(compared, q_values([change.chance for _, change in compared]), strict=True):
            found[place] = q_value
    return found


def _merged(counts: Iterable[DemandCount], *, by_inquiry_type: bool) -> dict[tuple[str, str | None, str], DemandCount]:
    """A call has one inquiry type, so counts of several may be added."""
    merged: dict[tuple[str, str | None, str], DemandCount] = {}
    for count in counts:
        inquiry_type = count.inquiry_type if by_inquiry_type else None
        key = (count.tenant_id, inquiry_type, count.topic_id)
        other = merged.get(key)
        if other is None:
            other = DemandCount(count.tenant_id, inquiry_type, count.topic_id, count.name, 0, 0, 0, 0, 0, 0, ())
        merged[key] = DemandCount(
            count.tenant_id,
            inquiry_type,
            count.topic_id,
            other.name,
            other.calls + count.calls,
            other.agitated + count.agitated,
            other.agitation_known + count.agitation_known,
            other.unresolved + count.unresolved,
            other.resolution_known + count.resolution_known,
            other.resolution_pending + count.resolution_pending,
            _surest_first((*other.examples, *count.examples)),
        )
    return merged


def _surest_first(examples: Iterable[DemandExample]) -> tuple[DemandExample, ...]:
    return tuple(sorted(examples, key=lambda each: (-each.confidence, each.call_id)))


def _totals(totals: Totals, *, by_inquiry_type: bool) -> dict[tuple[str, str | None], int]:
    summed: dict[tuple[str, str | None], int] = {}
    for (tenant_id, inquiry_type), calls in totals.items():
        key = (tenant_id, inquiry_type if by_inquiry_type else None)
        summed[key] = summed.get(key, 0) + calls
    return summed


def by_customers(counts: Iterable[CustomerDemandCount]) -> list[CustomerDemand]:
    """Topics of each kind of customers: those that are clearly theirs first, then by the difference."""
    found = []
    for count in counts:
        share = share_of(count.calls, count.calls_of_customers)
        others = share_of(count.calls_of_others_about_it, count.calls_of_others)
        found.append(CustomerDemand(count, share, others, difference(share, others)))
    q_values_found = _q_values((each.count.tenant_id, each.change) for each in found)
    return sorted(
        (replace(each, q_value=q_value) for each, q_value in zip(found, q_values_found, strict=True)),
        key=lambda each: (
            each.count.tenant_id,
            each.count.attribute,
            each.count.customers,
            not each.is_clear,
            -(each.change.value if each.change else 0.0),
            each.count.topic_id,
        ),
    )
