"""Threats of customers: what a rule finds, and reading doubts, is only noted."""

import pytest

from processors.alerts.raising import alerts_of
from processors.detectors.base.contract import DetectorContext
from processors.detectors.reading import ReadingSettings
from processors.detectors.threats import DOUBTED_BELOW, detector
from processors.judging.pipeline import Judge, JudgeSettings
from processors.rules.rulebook import Rulebooks
from schemas.messages.transcript import Transcript
from tests.processors.detectors.results import found, measured
from tests.processors.rules.rule_packs import pack_of
from tests.processors.transcripts import NOW, said
from tests.support.shipped_rules import shipped_judge, shipped_rules

SHIPPED = detector(DetectorContext(shipped_rules()))
JOKED = said(
    ("agent", "您好，售后服务，请问有什么可以帮您？"),
    ("customer", "我问下这个裤子瘦一码能换吗？"),
    ("agent", "可以的，七天内吊牌在就能换，运费我们出。"),
    ("customer", "行行，谢谢啊，你要给我换错了我可上消协告你去啊哈哈哈"),
    ("agent", "哈哈您放心，我给您备注好了，再见。"),
    ("customer", "好嘞，再见。"),
    industry="ecommerce",
)
THREATENED = said(
    ("agent", "您好，售后服务，请问有什么可以帮您？"),
    ("customer", "都半个月了钱还没退，你们是不是骗子？"),
    ("agent", "财务还在处理，您再等等吧。"),
    ("customer", "等什么等！我明天就去消协投诉你们，我还要打12315！"),
    industry="ecommerce",
)
SELF_HARM = said(
    ("agent", "您好，请问有什么可以帮您？"),
    ("customer", "我想问下我的快递到哪了。"),
    ("agent", "已经在派送了。"),
    ("customer", "好的，今天不送来我就死给你们看，哈哈开玩笑的，谢谢。"),
    industry="ecommerce",
)


def test_a_threat_that_is_read_nowhere_in_the_call_is_only_noted() -> None:
    (finding,) = found(SHIPPED, JOKED)
    assert (finding.category, finding.severity, finding.score_delta) == ("complaint_threat", "info", 0)
    assert finding.matched == "消协"
    assert 0 <= float(finding.attributes["doubted"]) < DOUBTED_BELOW
    assert measured(SHIPPED, JOKED)["complaint_threat"] is False


def test_it_costs_nothing_alerts_nobody_and_selects_nothing() -> None:
    judge = shipped_judge()
    analysis = judge.judge(JOKED, NOW)
    assert analysis.risk is not None
    assert not any(part.part == "complaint_threat" for part in analysis.risk.parts)
    assert analysis.selection is not None
    assert not any(one.name == "complaint_threat" for one in analysis.selection.triggers)
    alerts = alerts_of(analysis, judge.category_names(analysis), "low")
    assert not any(alert.category == "complaint_threat" for alert in alerts)


def test_it_is_no_occasion_for_rules_on_how_complaints_are_taken_up() -> None:
    measures = shipped_judge().judge(JOKED, NOW).measures
    assert measures["soothed_upset_customer"] is None
    assert measures["complaint_accepted"] is None


@pytest.mark.parametrize(
    ("when", "value"),
    [
        pytest.param({"by": "customer", "say": ["上消协"]}, None, id="the words that are doubted"),
        pytest.param({"by": "customer", "say": ["告你去"]}, False, id="words beside them"),
        pytest.param({"any_of": [{"by": "customer", "say": ["消协", "换错了"]}]}, False, id="either"),
        pytest.param({"all_of": [{"by": "customer", "say": ["消协"]}, {"say": ["换错了"]}]}, None, id="both"),
        pytest.param({"none_of": [{"by": "customer", "say": ["消协"]}]}, False, id="that nobody threatens"),
    ],
)
def test_only_the_doubted_words_are_no_occasion(when: dict[str, object], value: bool | None) -> None:
    threat = {"find": {"say": ["消协"]}, "doubtable": True, "match": ["我去消协"], "measure": "complaint_threat"}
    accepts = {"when": when, "find": {"say": ["升级处理"]}, "finding": "missing", "measure": "accepted"}
    packs = [
        pack_of(
            threats=[{"id": "own", "name": "消协", "advice": "请记录", "no_match": ["您好"]} | threat],
            rules=[
                {"id": "accepts", "name": "受理", "category": "handling", "advice": "请受理", "match": ["升级处理"]}
                | {"no_match": ["您好"]}
                | accepts
            ],
        )
    ]
    judge = Judge(JudgeSettings(), rulebooks=Rulebooks(packs))
    analysis = judge.judge(JOKED, NOW)
    assert [one.rule_id for one in analysis.findings if "doubted" in one.attributes] == ["own.own"]
    assert analysis.measures["accepted"] is value


def test_a_threat_that_is_read_too_is_an_occasion() -> None:
    measures = shipped_judge().judge(THREATENED, NOW).measures
    assert measures["complaint_accepted"] is False
    assert measures["soothed_upset_customer"] is False


def test_a_threat_that_is_read_too_counts_as_before() -> None:
    findings = found(SHIPPED, THREATENED)
    assert {one.severity for one in findings} == {"high"}
    assert not any("doubted" in one.attributes for one in findings)
    assert measured(SHIPPED, THREATENED)["complaint_threat"] is True


@pytest.mark.parametrize("threat", ["我要找媒体曝光你们", "那好吧，我只能去12345了", "我会打银保监会电话的"])
def test_short_calls_are_not_doubted(threat: str) -> None:
    short = said(("agent", "您好，请问有什么可以帮您"), ("customer", threat), ("agent", "好的，再见"))
    assert {one.severity for one in found(SHIPPED, short)} == {"high"}


def test_what_is_said_of_violence_or_self_harm_is_never_doubted() -> None:
    assert [(one.rule_id, one.severity) for one in found(SHIPPED, SELF_HARM)] == [("general.scene", "high")]


def test_a_rule_of_ones_own_is_not_doubted_unless_it_says_so() -> None:
    rule = {
        "id": "own",
        "name": "消协",
        "advice": "请记录",
        "measure": "complaint_threat",
        "find": {"say": ["消协"]},
        "match": ["我去消协"],
        "no_match": ["您好"],
    }
    for doubtable, severity in ((False, "high"), (True, "info")):
        rules = Rulebooks([pack_of(threats=[rule | {"doubtable": doubtable}])])
        (finding,) = found(detector(DetectorContext(rules)), JOKED)
        assert finding.severity == severity


def test_nothing_is_doubted_where_reading_is_switched_off() -> None:
    off = Judge(JudgeSettings(parts=(ReadingSettings(reading=False),)), rulebooks=shipped_rules())
    (finding,) = (one for one in off.judge(JOKED, NOW).findings if one.category == "complaint_threat")
    assert finding.severity == "high"


@pytest.mark.parametrize(
    ("text", "is_found"),
    [
        ("我现在就打三幺五", True),
        ("我要打三一五一下", True),
        ("后面是零九二三幺五", False),
        ("单号三幺五八二", False),
        ("我打一二三一五投诉去", True),
    ],
)
def test_a_number_that_is_read_out_is_not_found_inside_a_longer_one(text: str, is_found: bool) -> None:
    off = detector(DetectorContext(shipped_rules(), (ReadingSettings(reading=False),)))
    assert bool(found(off, _customer(text))) is is_found


def _customer(text: str) -> Transcript:
    return said(("agent", "请讲"), ("customer", text))
