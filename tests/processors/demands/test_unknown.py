"""Calls that no topic covers, grouped."""

from datetime import UTC, datetime

import pytest

from processors.demands.opening_space import OpeningSpace, group_by_average
from processors.demands.typical_words import count_words, typical_words
from processors.demands.unknown import OpenCall, SaidByCustomer, UnknownDemands

AT = datetime(2026, 3, 31, tzinfo=UTC)
GIFTS = (
    "我买的数字藏品想转赠给我朋友，怎么转不出去",
    "数字藏品转赠的按钮是灰的，点不了",
    "数字藏品能转赠给家里人吗",
    "我想问一下数字藏品转赠要等多久",
    "我把数字藏品转赠错人了能撤回来吗",
)
PARKING = (
    "你们营业厅门口停车要不要收费",
    "营业厅停车场收费太贵了，能不能免停车费",
    "去营业厅办事停车收费吗，有没有停车券",
    "上次营业厅停车收费收了我二十块",
)
ALONE = ("老板在不在", "天冷了注意身体", "打错了不好意思")
BACKGROUND = (
    *(f"我要查一下{month}月的话费账单怎么多了" for month in "一二三四五六七八九"),
    *("宽带坏了上不了网", "宽带装了没有信号", "我要办一张新卡", "新卡怎么激活"),
)


def calls(*said: str, name: str = "c") -> list[OpenCall]:
    return [
        OpenCall(f"{name}{number}", AT, (SaidByCustomer("喂你好", 300, 900), SaidByCustomer(text, 2_000, 5_000)))
        for number, text in enumerate(said)
    ]


WEEK = calls(*GIFTS, *PARKING, *ALONE)


def grouped(order: int = 1) -> UnknownDemands:
    demands = UnknownDemands(WEEK[::order], calls(*BACKGROUND, name="b"))
    demands.tell(WEEK[:4])
    demands.tell(WEEK[4:])
    return demands


def test_calls_that_ask_for_the_same_are_one_group_the_larger_first() -> None:
    gifts, parking = grouped().groups_found(100, 100)
    assert (set(gifts.members), set(parking.members)) == ({f"c{n}" for n in range(5)}, {f"c{n}" for n in range(5, 9)})
    assert (gifts.calls, gifts.share.value) == (5, 0.05)


def test_it_is_named_by_what_is_said_in_it_and_shown_where_it_is_said() -> None:
    gifts, parking = grouped().groups_found(100, 100)
    assert any("数字藏品" in word for word in gifts.words)
    assert all("数字藏品" not in word for word in parking.words)
    assert {(quote.start_ms, quote.end_ms) for quote in gifts.quotes} == {(2_000, 5_000)}, "not the greeting"
    assert {quote.text for quote in gifts.quotes} == set(GIFTS)
    assert gifts.phrases
    assert all(any(phrase in text for text in GIFTS) for phrase in gifts.phrases)


def test_the_same_calls_in_another_order_give_the_same_groups() -> None:
    first, second = (
        {(one.cluster, frozenset(one.members)) for one in grouped(order).groups_found(100, 100)} for order in (1, -1)
    )
    assert first == second


@pytest.mark.parametrize(
    ("before", "analysed", "trend"),
    [
        pytest.param((), 100, "new", id="nobody asked for it the week before"),
        pytest.param(GIFTS, 100, "known", id="as many"),
        pytest.param(GIFTS[:1], 100_000, "grows", id="so many more calls of which one asked"),
    ],
)
def test_what_became_of_it_since_the_week_before(before: tuple[str, ...], analysed: int, trend: str) -> None:
    demands = grouped()
    demands.tell_before(calls(*before, name="before"))
    gifts = demands.groups_found(100, analysed)[0]
    assert (gifts.calls_before, gifts.trend) == (len(before), trend)


@pytest.mark.parametrize(
    "sample",
    [
        pytest.param([], id="nothing"),
        pytest.param(calls("我要退货"), id="one call"),
        pytest.param(calls("", "……", ""), id="nothing with letters"),
        pytest.param(calls(*ALONE), id="nothing in common"),
    ],
)
def test_where_nothing_is_alike_there_is_no_group(sample: list[OpenCall]) -> None:
    demands = UnknownDemands(sample, [])
    demands.tell(sample)
    assert demands.groups_found(10, 10) == []


def test_the_same_opening_lies_at_the_same_point_whether_learned_from_or_not() -> None:
    space = OpeningSpace([*GIFTS, *PARKING])
    together, alone = space.place([*GIFTS, *PARKING])[2], space.place([GIFTS[2]])[0]
    assert together == pytest.approx(alone, abs=1e-5)
    assert float(alone @ alone) == pytest.approx(1)


def test_groups_are_joined_by_the_mean_and_not_by_one_pair() -> None:
    points = OpeningSpace([*GIFTS, *PARKING]).place([*GIFTS, *PARKING])
    assert group_by_average(points, -1) == [list(range(9))]
    assert group_by_average(points, 1.1) == [[number] for number in range(9)]


def test_a_word_that_one_call_repeats_is_not_typical() -> None:
    inside = [("转赠藏品",), ("转赠藏品",), ("转赠藏品", "红烧肉" * 30)]
    words = typical_words(count_words(inside), 3, count_words([("查话费",)] * 9), 9, 8)
    assert words[0] == "转赠藏品"
    assert not any("红烧" in word for word in words)
