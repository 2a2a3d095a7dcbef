"""Heads adapted to a house: what is learned, what stays as it is, and what a folder of them says."""

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from processors.reading.adapting import LEAST_POSITIVE, LabelledCall, adapt, read_labels
from processors.reading.calibrating import calibrate
from processors.reading.call_reader import CallReader
from processors.reading.features import Said
from processors.reading.figures import (
    Value,
    average_precision,
    best_threshold,
    difference,
    f1_at,
    figures,
    threshold_at,
)
from processors.reading.heads import ReadingWeightsError, load_heads
from processors.reading.labels import LabelledDataError
from processors.reading.learned import compare, frozen_calls, learn, load_learned, save_learned, split_calls

ORDERS = ("手机", "洗衣机", "电饭煲", "课程", "保险", "机票", "套餐", "药", "窗帘", "耳机")
SHIPPED = CallReader.load()


def call(number: int, *, about_wechat: bool, worth_hearing: bool | None, agent: str | None = None) -> LabelledCall:
    """A harmless call, in which the agent offers a contact of the house or does not."""
    order = ORDERS[number % len(ORDERS)]
    offer = "您加一下我们官方企业微信后面好联系" if about_wechat else f"您的{order}已经登记好了"
    said = (
        *(Said("agent", "您好请讲"), Said("customer", f"我问一下我的{order}第{number}单")),
        *(Said("agent", offer), Said("customer", "好的谢谢")),
    )
    violations = (False, about_wechat if worth_hearing is not None else None)
    return LabelledCall(f"c{number:03}", agent or f"a{number % 12}", float(number), said, worth_hearing, violations)


HOUSE = [call(number, about_wechat=number % 3 == 0, worth_hearing=number % 3 == 0) for number in range(120)]


def test_a_convention_of_the_house_is_learned_and_holds_in_calls_that_were_not_seen() -> None:
    adapted = adapt(SHIPPED, HOUSE[:80])
    (head, *_) = compare(SHIPPED, adapted.reader, HOUSE[80:])
    assert head.head == "select"
    assert head.after.average_precision.value == 1
    assert head.after.f1.value > 0.9
    assert not head.is_worse
    assert adapted.reader.customer is SHIPPED.customer
    assert SHIPPED.heard_offset is not None
    assert adapted.reader.heard_offset is None, "its threshold was found on calls of the house, as they are heard there"
    untouched = [name for name in SHIPPED.agent.names if name != "violation"]
    before, after = (reader.read(HOUSE[0].said).utterances[2] for reader in (SHIPPED, adapted.reader))
    assert before is not None
    assert after is not None
    assert {name: after.probabilities[name] for name in untouched} == {
        name: pytest.approx(before.probabilities[name], abs=1e-5) for name in untouched
    }


def test_labels_without_sense_change_nothing_much() -> None:
    chance = random.Random(3)
    calls = [replace(one, worth_hearing=chance.random() < 0.5, violations=(None, None)) for one in HOUSE]
    report = adapt(SHIPPED, calls).reports[0]
    assert report.penalty is None or report.penalty >= 3, "at most the share of calls is learned"


def test_a_head_of_which_there_are_few_examples_stays_as_it_is() -> None:
    few = [
        replace(one, worth_hearing=number < LEAST_POSITIVE - 1, violations=(None, None))
        for number, one in enumerate(HOUSE)
    ]
    adapted = adapt(SHIPPED, few)
    assert [report.penalty for report in adapted.reports] == [None, None]
    assert adapted.reader.version == SHIPPED.version


def test_adapting_is_repeatable_in_whatever_order_calls_come() -> None:
    assert adapt(SHIPPED, HOUSE[:60]).reader.version == adapt(SHIPPED, HOUSE[:60][::-1]).reader.version


def test_a_folder_of_adapted_heads_reads_as_they_did(tmp_path: Path) -> None:
    adapted, record = learn(SHIPPED, HOUSE, "acme", "time", 0.3)
    save_learned(tmp_path / "model", adapted.reader, record)
    loaded = CallReader.load(tmp_path / "model")
    assert loaded.read(HOUSE[0].said).probabilities == pytest.approx(
        adapted.reader.read(HOUSE[0].said).probabilities, abs=1e-6
    )
    assert load_learned(tmp_path / "model") == record
    (tmp_path / "model" / "learned.json").write_text("{}")
    with pytest.raises(LabelledDataError, match=r"learned\.json cannot be read"):
        load_learned(tmp_path / "model")


def test_weights_of_a_width_that_is_not_known_are_refused(tmp_path: Path) -> None:
    with np.load(Path("processors/reading/weights/call.npz")) as arrays:
        kept = dict(arrays)
    kept["about"] = np.array(str(kept["about"]).replace('"format": 1', '"format": 3'))
    np.savez_compressed(tmp_path / "call.npz", **kept)
    with pytest.raises(ReadingWeightsError, match="another version"):
        load_heads(tmp_path / "call.npz", SHIPPED.call.names, SHIPPED.call.weights.shape[1])


def test_by_time_the_newest_calls_are_frozen() -> None:
    kept, frozen = split_calls(HOUSE, "time", 0.25)
    assert len(frozen) == 30
    assert max(one.moment for one in kept) < min(one.moment for one in frozen)


def test_by_agent_no_agent_is_on_both_sides() -> None:
    kept, frozen = split_calls(HOUSE, "agent", 0.25)
    assert {one.agent_id for one in kept}.isdisjoint(one.agent_id for one in frozen)
    assert 30 <= len(frozen) <= 40
    assert len(kept) + len(frozen) == len(HOUSE)


@pytest.mark.parametrize(
    ("calls", "split", "sentence"),
    [
        pytest.param(HOUSE[:39], "time", "39 labelled call", id="too few"),
        pytest.param([replace(one, agent_id="a") for one in HOUSE], "agent", "one agent alone", id="one agent"),
        pytest.param(
            [replace(one, agent_id=one.call_id) for one in HOUSE],
            "agent",
            "120 of 120 calls say no agent_id.* --split time",
            id="no agents",
        ),
    ],
)
def test_what_cannot_be_split_is_said(calls: list[LabelledCall], split: str, sentence: str) -> None:
    with pytest.raises(LabelledDataError, match=sentence):
        split_calls(calls, "agent" if split == "agent" else "time", 0.3)


def test_calls_that_one_of_two_models_has_learned_from_judge_neither() -> None:
    _, early = learn(SHIPPED, HOUSE[:80], "acme", "time", 0.5)
    _, late = learn(SHIPPED, HOUSE, "acme", "time", 0.5)
    both = {one.call_id for one in frozen_calls(HOUSE, early, late)}
    assert both == {one.call_id for one in HOUSE[60:]}, "40 to 59 are frozen for the first, and the second knows them"


# --- figures


TRUTH = np.array([True, True, False, True, False])
READ = np.array([0.9, 0.8, 0.6, 0.4, 0.2])


def test_average_precision_is_that_of_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    chance = np.random.default_rng(5)
    for _ in range(20):
        truth, read = chance.random(40) < 0.3, np.round(chance.random(40), 1)
        truth[0] = True
        assert average_precision(truth, read) == pytest.approx(metrics.average_precision_score(truth, read))
        precision, _recall, limits = metrics.precision_recall_curve(truth, read)
        kept = [limit for value, limit in zip(precision[:-1], limits, strict=True) if value >= 0.5]
        assert threshold_at(truth, read, 0.5) == min(kept, default=1.0)


def test_figures_of_a_worked_example() -> None:
    found = figures(TRUTH, READ, 0.5)
    assert [found.precision.value, found.recall.value] == pytest.approx([2 / 3, 2 / 3])
    assert found.average_precision.value == pytest.approx((1 + 1 + 3 / 4) / 3)
    assert best_threshold(TRUTH, READ) == 0.4
    assert found.f1.low <= found.f1.value <= found.f1.high


def test_a_difference_of_the_same_readings_is_none_and_of_worse_ones_negative() -> None:
    same = difference(TRUTH, (READ, average_precision), (READ, average_precision))
    assert (same.value, same.low, same.high) == (0, 0, 0)
    assert difference(TRUTH, (READ, f1_at(0.5)), (1 - READ, f1_at(0.5))).value < 0


def test_only_what_is_labelled_is_compared() -> None:
    known = read_labels(SHIPPED, [call(1, about_wechat=True, worth_hearing=None), HOUSE[0]])
    assert len(known["select"][0]) == 1
    assert len(known["violation"][0]) == 3


@pytest.mark.parametrize("expected", [0.05, 0.3, 0.9])
def test_a_calibrated_threshold_suspects_in_no_more_calls_than_expected(expected: float) -> None:
    found = calibrate(SHIPPED, HOUSE, expected)
    assert found.share.value <= expected
    assert found.share.low <= found.share.value <= found.share.high


def test_a_model_is_worse_where_f1_falls_or_average_precision_falls_beyond_doubt() -> None:
    (head, *_) = compare(SHIPPED, SHIPPED, HOUSE)

    def worse(f1: float, average_precision: float, high: float) -> bool:
        return replace(head, f1=Value(f1, f1, f1), average_precision=Value(average_precision, -1, high)).is_worse

    assert not head.is_worse
    assert worse(-0.01, 0.1, 0.2)
    assert worse(0.1, -0.02, -0.01)
    assert worse(0, -0.001, 0.01)
    assert not worse(0.04, -0.001, 0.01)
