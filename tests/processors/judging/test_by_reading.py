"""Measures of which rules know nothing have what is read, and nothing that costs points rests on it."""

import pytest

from processors.clickhouse.rows import CALLS, rows_for_analysis
from processors.judging.by_reading import with_read_measures
from schemas.messages.call_analysis import CallAnalysis, MeasureValue, TopicMention
from tests.processors.transcripts import NOW, Line, said
from tests.support.shipped_rules import shipped_judge

IDENTITY, THREAT = "identity_verified_before_disclosure", "complaint_threat"
JUDGED = shipped_judge().judge(said(("agent", "您好，请讲"), ("customer", "我问一下几点关门")), NOW)


def read(**measures: MeasureValue) -> CallAnalysis:
    return with_read_measures(JUDGED.model_copy(update={"measures": JUDGED.measures | measures, "read_measures": ()}))


@pytest.mark.parametrize(
    ("by_rules", "threatens", "value"),
    [
        pytest.param(False, True, True, id="rules find none"),
        pytest.param(False, False, False, id="nor does reading"),
        pytest.param(True, False, True, id="rules are certain"),
        pytest.param(None, True, None, id="nobody knows who speaks"),
        pytest.param(False, None, False, id="not read"),
    ],
)
def test_a_threat_is_what_either_finds(by_rules: bool | None, threatens: bool | None, value: bool | None) -> None:
    analysis = read(complaint_threat=by_rules, reading_threatens=threatens)
    assert analysis.measures[THREAT] is value
    assert (THREAT in analysis.read_measures) is (value is not by_rules)


@pytest.mark.parametrize(
    ("by_rules", "as_read", "value"),
    [
        pytest.param(None, False, False, id="no rule was asked"),
        pytest.param(None, True, True, id="and it was kept"),
        pytest.param(False, True, False, id="a rule was"),
        pytest.param(None, None, None, id="nothing is told"),
    ],
)
def test_identity_is_what_rules_know_else_what_is_read(
    by_rules: bool | None, as_read: bool | None, value: bool | None
) -> None:
    analysis = read(**{IDENTITY: by_rules, "reading_identity_verified": as_read})
    assert analysis.measures[IDENTITY] is value
    if by_rules is None:
        assert (IDENTITY in {one.measure for one in analysis.skipped_analysis}) is (value is None)


@pytest.mark.parametrize(
    ("by_rules", "warns", "topic", "direction", "value"),
    [
        pytest.param(None, False, "wealth_inquiry", "outbound", False, id="sold without a warning"),
        pytest.param(None, True, "wealth_inquiry", "outbound", None, id="there may be one"),
        pytest.param(None, None, "wealth_inquiry", "outbound", None, id="not read"),
        pytest.param(None, False, "fund", "inbound", None, id="the customer calls"),
        pytest.param(None, False, "loan_apply", "outbound", None, id="no investment"),
        pytest.param(True, False, "securities", "outbound", True, id="rules know of one"),
    ],
)
def test_who_calls_about_investments_warns_of_loss(
    by_rules: bool | None, warns: bool | None, topic: str, direction: str, value: bool | None
) -> None:
    call = JUDGED.call.model_copy(update={"industry": "finance", "direction": direction})
    mention = TopicMention(topic_id=f"finance.{topic}", name="x", role="customer", quote="x", confidence=1)
    measures: dict[str, MeasureValue] = {"risk_warning": by_rules, "reading_warns_of_loss": warns}
    analysis = with_read_measures(
        JUDGED.model_copy(update={"call": call, "topics": (mention,), "measures": measures, "read_measures": ()})
    )
    assert analysis.measures["risk_warning"] is value
    assert ("risk_warning" in analysis.read_measures) is (value is not by_rules)


def test_in_tables_what_accuses_an_agent_is_what_rules_know() -> None:
    analysis = read(**{IDENTITY: None, "reading_identity_verified": False, THREAT: False, "reading_threatens": True})
    (row,) = rows_for_analysis(analysis)[CALLS]
    measures, skipped = row["measures"], row["skipped.measure"]
    assert isinstance(measures, dict)
    assert isinstance(skipped, list)
    assert (measures[IDENTITY], measures["reading_identity_verified"], measures[THREAT]) == (None, 0, 1)
    reasons = row["skipped.reason"]
    assert isinstance(reasons, list)
    assert dict(zip(skipped, reasons, strict=True))[IDENTITY] == "read"


def test_nothing_costs_points_or_is_certain_because_it_was_read() -> None:
    """A threat in words that no rule knows: the customer wants to be heard by those above, in writing."""
    lines: tuple[Line, ...] = (
        ("agent", "您好，请讲"),
        ("customer", "我那个钱拖了俩月了，你们推来推去的"),
        ("agent", "系统里就是这样写的"),
        ("customer", "行，我也不跟你废话，明天我就把材料寄到市里头管你们的那个部门，让他们来跟你们说"),
        ("agent", "您随意"),
        ("customer", "我说到做到，你们等着接他们的电话吧"),
    )
    analysis = shipped_judge().judge(said(*lines), NOW)
    assert THREAT in analysis.read_measures
    assert analysis.measures[THREAT] is True
    assert analysis.risk is not None
    assert "complaint_threat" not in {part.part for part in analysis.risk.parts}
    assert analysis.selection is not None
    assert "complaint_threat" not in {trigger.name for trigger in analysis.selection.certain}
    assert analysis.scorecard is not None
    (item,) = (item for item in analysis.scorecard.items if item.item_id == "no_complaint_threat")
    assert item.points == item.max_points
