"""Heads learn what is in their dialogues, read parts that they have not seen, and are made the same twice."""

import random
from dataclasses import replace

import numpy as np
import pytest

from processors.reading.features import utterance_rows
from processors.reading.figures import threshold_at
from training.dialogues import Dialogue, Mark, Turn
from training.heads import examples_of, figures, misheard, train, twins_among, utterance_heads

pytest.importorskip("sklearn")

ORDERS = ("手机", "洗衣机", "电饭煲", "课程", "保险", "机票", "套餐", "药", "窗帘", "耳机")


def dialogue(number: int, part: str, *, bad: bool) -> Dialogue:
    order = ORDERS[number % len(ORDERS)]
    wrong = Turn("agent", "你爱买不买，滚", violations=(Mark("rude", "high", "滚"),))
    kind = Turn("agent", f"好的，{order}我帮您查一下")
    angry = Turn("customer", "气死我了，我要投诉到消协", upset=True, threat=True)
    calm = Turn("customer", "好的谢谢")
    turns = (
        Turn("agent", "您好请讲", acts=frozenset(("greet",))),
        Turn("customer", f"我问一下我的{order}"),
        wrong if bad else kind,
        angry if bad else calm,
    )
    flags = frozenset(("upset", "threat")) if bad else frozenset[str]()
    return Dialogue(f"{part}-{number}", part, "general", "inbound", select=bad, flags=flags, turns=turns)


DIALOGUES = [dialogue(number, part, bad=number % 2 == 0) for part in ("one", "two", "three") for number in range(12)]


def test_what_was_learned_is_found_in_a_part_that_was_not_seen() -> None:
    reader = train(examples_of([one for one in DIALOGUES if one.part != "three"], copies=0))
    unseen = examples_of([one for one in DIALOGUES if one.part == "three"], copies=0)
    found = {one.head: one for one in figures(reader, unseen)}
    assert found["call select"].average_precision == 1
    assert found["agent violation"].average_precision == 1
    assert found["customer threat"].average_precision == 1
    assert found["agent greet"].examples == 12


def test_training_is_repeatable() -> None:
    some = [one for one in DIALOGUES if one.id.endswith(("-0", "-1", "-2", "-3"))]
    assert train(examples_of(some, copies=1)).version == train(examples_of(some, copies=1)).version


def test_twins_teach_what_sets_them_apart() -> None:
    """Each sentence is said as often in harmless calls as in bad ones, except that of the twins, which differ in it."""
    worse, better = "我帮您点掉了", "您自己点掉"
    calls = []
    for number in range(20):
        calls.append(dialogue(number, f"part {number % 4}", bad=False))
        turn = Turn("agent", f"{ORDERS[number % 10]}的协议{better}就行")
        calls[-1] = replace(calls[-1], turns=(*calls[-1].turns[:2], turn, *calls[-1].turns[3:]))
        bad = replace(
            turn, text=f"{ORDERS[number % 10]}的协议{worse}就行", violations=(Mark("no_permission", "high", worse),)
        )
        twin = replace(calls[-1], id=f"twin {number}", twin_of=calls[-1].id)
        calls.append(replace(twin, turns=(*twin.turns[:2], bad, *twin.turns[3:])))
    examples = examples_of(calls, copies=1)
    pairs = twins_among(examples)
    assert len(pairs) == 2 * 20 * 2, "two copies, and two turns of the agent in each of twenty pairs"
    labels = np.concatenate([one.agent["violation"] for one in examples])
    first, second = labels[pairs[:, 0]], labels[pairs[:, 1]]
    assert (first != second).sum() == 2 * 20
    heads = utterance_heads(examples, "agent")
    read = [heads.log_odds(utterance_rows(one.said, "agent", heads.idf))[:, 0] for one in examples]
    odds = np.concatenate(read)[pairs]
    apart = odds[:, 0] - odds[:, 1]
    assert (apart[first & ~second] > 1).all()


def test_twins_of_another_length_are_no_pair() -> None:
    one = dialogue(1, "one", bad=True)
    longer = replace(one, id="twin", twin_of=one.id, turns=(*one.turns, Turn("agent", "再见")))
    assert len(twins_among(examples_of([one, longer], copies=0))) == 0
    assert len(twins_among(examples_of([longer], copies=0))) == 0


def test_a_copy_is_written_with_characters_of_the_same_sound() -> None:
    text = "您好请问我的快递什么时候能到我已经等了五天" * 20
    heard = misheard(text, random.Random(1))
    changed = sum(a != b for a, b in zip(text, heard, strict=True))
    assert 0.02 < changed / len(text) < 0.1


@pytest.mark.parametrize(("precision", "expected"), [(1.0, 0.8), (0.7, 0.4), (0.1, 0.2)])
def test_the_threshold_is_the_lowest_that_keeps_the_precision(precision: float, expected: float) -> None:
    truth = np.array([True, True, False, True, False])
    assert threshold_at(truth, np.array([0.9, 0.8, 0.6, 0.4, 0.2]), precision) == expected


def test_where_no_threshold_keeps_it_nothing_is_believed() -> None:
    assert threshold_at(np.array([False, True]), np.array([0.9, 0.1]), 0.9) == 1.0
