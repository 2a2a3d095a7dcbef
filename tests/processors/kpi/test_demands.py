"""What customers call for: the ranking (R61, R62), and by who they are (R63)."""

from dataclasses import replace

import numpy as np
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


def test_of_many_topics_only_what_chance_does_not_explain_has_changed() -> None:
    """Thirty topics as before, which chance moves, and one that is mentioned twice as often."""
    numbers = np.random.default_rng(6)
    topics = [replace(REFUND, topic_id=f"topic{number}") for number in range(30)]
    now, before = ([replace(each, calls=int(numbers.binomial(1_000, 0.05))) for each in topics] for _ in range(2))
    more = replace(REFUND, topic_id="more", calls=100)
    found = ranking(
        [*now, more], {("acme", "orders"): 1_000}, [*before, replace(more, calls=50)], {("acme", "orders"): 1_000}
    )
    assert sum(each.change is not None and each.change.is_clear for each in found) > 1
    assert [each.topic_id for each in found if each.is_clear] == ["more"]
    assert found[0].q_value is not None
    assert found[0].change is not None
    assert found[0].q_value == pytest.approx(31 * found[0].change.chance)


def test_customers_who_are_like_all_others_have_no_demands_of_their_own() -> None:
    """In 60 worlds of 40 comparisons each: any finding in about one of twenty."""
    numbers = np.random.default_rng(8)
    false = 0
    for _ in range(60):
        counts = [
            CustomerDemandCount(
                "acme",
                "tag",
                f"tag{tag}",
                f"t{topic}",
                "",
                int(numbers.binomial(300, 0.1)),
                300,
                int(numbers.binomial(3_000, 0.1)),
                3_000,
            )
            for tag in range(4)
            for topic in range(10)
        ]
        false += any(each.is_clear for each in by_customers(counts))
    assert false / 60 <= 0.05


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
