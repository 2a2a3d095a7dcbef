"""What customers call for: the ranking (R61, R62), and by who they are (R63)."""

from dataclasses import replace

import pytest

from processors.kpi.demands import CustomerDemandCount, DemandCount, DemandExample, by_customers, ranking
from processors.kpi.statistics import wilson

REFUND = DemandCount(
    "acme",
    "orders",
    "refund",
    "退款流程复杂",
    30,
    10,
    25,
    6,
    12,
    1,
    (DemandExample("c1", "退款太麻烦", 0.9), DemandExample("c2", "不退", 0.5)),
)
DELAY = DemandCount("acme", "orders", "delay", "物流延迟", 12, 0, 0, 0, 0, 0, (DemandExample("c3", "还没到", 0.7),))
OF_BILLS = replace(
    REFUND,
    inquiry_type="bills",
    calls=10,
    agitated=5,
    agitation_known=5,
    examples=(DemandExample("c4", "钱没到", 0.8),),
)
TOTALS = {("acme", "orders"): 100, ("acme", "bills"): 50, ("bolt", None): 7}


def test_demands_of_most_calls_come_first_and_inquiry_types_are_added_up() -> None:
    found = ranking([DELAY, REFUND, OF_BILLS], TOTALS, [], {})
    assert [(each.topic_id, each.calls, each.inquiry_type) for each in found] == [
        ("refund", 40, None),
        ("delay", 12, None),
    ]
    refund, delay = found
    assert (refund.share.n, refund.share.value) == (150, 40 / 150)
    assert (refund.share.low, refund.share.high) == wilson(40, 150)
    assert (refund.agitated.value, refund.agitated.n) == (15 / 30, 30)
    assert (refund.unresolved.value, refund.unresolved.n) == (12 / 24, 24)
    assert (delay.agitated.value, delay.unresolved.n) == (None, 0)


def test_the_share_of_the_unresolved_is_withheld_while_many_are_pending() -> None:
    (found,) = ranking([replace(REFUND, unresolved=6, resolution_known=12, resolution_pending=2)], TOTALS, [], {})
    assert (found.unresolved.value, found.unresolved.n, found.unresolved.pending) == (None, 12, 2)


def test_the_surest_words_of_all_inquiry_types_are_the_examples() -> None:
    found = ranking(
        [REFUND, replace(OF_BILLS, examples=(*OF_BILLS.examples, DemandExample("c5", "退费", 0.6)))], TOTALS, [], {}
    )
    assert [each.call_id for each in found[0].examples] == ["c1", "c4", "c5"]


def test_inquiry_types_can_be_ranked_each_for_itself() -> None:
    found = ranking([DELAY, REFUND, OF_BILLS], TOTALS, [], {}, by_inquiry_type=True)
    assert [(each.inquiry_type, each.topic_id, each.share.n) for each in found] == [
        ("bills", "refund", 50),
        ("orders", "refund", 100),
        ("orders", "delay", 100),
    ]


@pytest.mark.parametrize(
    ("before", "totals", "clear"),
    [
        pytest.param([replace(REFUND, calls=10)], {("acme", "orders"): 200}, True, id="far more than before"),
        pytest.param([replace(REFUND, calls=29)], {("acme", "orders"): 100}, False, id="as before"),
        pytest.param([], {("acme", "orders"): 100}, True, id="new"),
        pytest.param([], {}, None, id="nothing is known of the time before"),
    ],
)
def test_a_demand_is_compared_with_the_time_before(
    before: list[DemandCount], totals: dict[tuple[str, str | None], int], clear: bool | None
) -> None:
    (found,) = ranking([REFUND], {("acme", "orders"): 100}, before, totals)
    assert (found.change.is_clear if found.change else None) is clear


def test_what_is_clearly_of_some_customers_comes_first() -> None:
    def count(topic: str, calls: int, of_others: int) -> CustomerDemandCount:
        return CustomerDemandCount("acme", "value_tier", "gold", topic, topic, calls, 100, of_others, 1_000)

    found = by_customers([count("alike", 21, 200), count("theirs", 60, 200), count("others", 2, 500)])
    assert [(each.count.topic_id, each.is_clear) for each in found] == [
        ("theirs", True),
        ("others", True),
        ("alike", False),
    ]
    first = found[0]
    assert first.change is not None
    assert (first.share.value, first.others.value) == (0.6, 0.2)
    assert first.change.value == pytest.approx(0.4)


def test_customers_whom_nobody_is_left_to_be_compared_with_differ_from_nobody() -> None:
    (found,) = by_customers([CustomerDemandCount("acme", "tag", "vip", "refund", "退款", 5, 10, 0, 0)])
    assert (found.change, found.is_clear) == (None, False)
