"""Alerts of a judged call: one for each rule and version, the same ids however often it is judged."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from processors.alerts.raising import RISK_RULE, SELECTION_RULE, alerts_of, at_least
from processors.rules.rulebook import Rulebooks
from schemas.config.rule_pack import load_rule_packs
from schemas.messages.alert import Alert
from schemas.messages.call_analysis import CallAnalysis, Risk, Selection, Trigger
from schemas.messages.finding import SEVERITIES, Finding, Severity
from schemas.messages.transcript import EngineIdentity
from tests.processors.rules.rule_packs import pack_of
from tests.processors.transcripts import said
from tests.support.shipped_rules import shipped_judge

NOW = datetime(2026, 3, 2, 10, 15, tzinfo=UTC)
JUDGE = shipped_judge()
JUDGED = JUDGE.judge(said(("agent", "您好"), industry="finance"), NOW).model_copy(update={"selection": None})
NAMES = JUDGE.category_names(JUDGED)


def a_finding(rule_id: str = "finance.no_loss", **changes: Any) -> Finding:
    facts = {
        "finding_id": f"{rule_id}/{changes.get('start_ms', 1_000)}",
        "detector": "sensitive_words",
        "rule_id": rule_id,
        "rule_version": "1",
        "category": "forbidden_promise",
        "role": "agent",
        "start_ms": 1_000,
        "end_ms": 2_000,
        "quote": "这款产品绝对不会亏损",
        "matched": "绝对不会亏损",
        "severity": "high",
        "attributes": {"advice": "请说明可能的亏损"},
    }
    return Finding.model_validate(facts | changes)


def with_findings(*findings: Finding, **changes: Any) -> CallAnalysis:
    return JUDGED.model_copy(update={"findings": findings, **changes})


def ids(alerts: Sequence[Alert]) -> list[str]:
    return [alert.alert_id for alert in alerts]


def test_nothing_on_the_side_of_the_agent_alerts_where_the_sides_may_be_exchanged() -> None:
    threat = a_finding("general.complaint", role="customer")
    analysis = with_findings(a_finding(), threat, roles_doubtful=True)
    assert [alert.rule_id for alert in alerts_of(analysis, NAMES)] == ["general.complaint"]


def test_an_alert_carries_the_evidence() -> None:
    analysis = with_findings(a_finding())
    (alert,) = alerts_of(analysis, NAMES)
    call = analysis.call
    assert (alert.tenant_id, alert.call_id, alert.agent_id, alert.agent_team, alert.queue) == (
        call.tenant_id,
        call.call_id,
        call.agent.id,
        call.agent.team,
        call.queue,
    )
    assert (alert.kind, alert.rule_id, alert.rule_version, alert.severity, alert.role) == (
        "call",
        "finance.no_loss",
        "1",
        "high",
        "agent",
    )
    assert (alert.quote, alert.matched, alert.start_ms, alert.end_ms, alert.hits) == (
        "这款产品绝对不会亏损",
        "绝对不会亏损",
        1_000,
        2_000,
        1,
    )
    assert (alert.advice, alert.title) == ("请说明可能的亏损", "坐席违规承诺（finance.no_loss）")
    assert (alert.happened_at, alert.raised_at) == (call.ended_at, NOW)


def test_several_hits_of_a_rule_are_one_alert_with_the_first_quote_and_the_gravest_severity() -> None:
    later = a_finding(start_ms=9_000, end_ms=9_500, quote="later", severity="critical")
    (alert,) = alerts_of(with_findings(later, a_finding(start_ms=500, quote="first")), NAMES)
    assert (alert.hits, alert.quote, alert.start_ms, alert.severity) == (2, "first", 500, "critical")


def test_another_rule_or_version_is_another_alert() -> None:
    alerts = alerts_of(with_findings(a_finding(), a_finding("finance.no_risk"), a_finding(rule_version="2")), NAMES)
    assert len(set(ids(alerts))) == 3


@pytest.mark.parametrize("threshold", SEVERITIES)
@pytest.mark.parametrize("severity", SEVERITIES)
def test_only_what_is_grave_enough_raises_an_alert(severity: Severity, threshold: Severity) -> None:
    raised = alerts_of(with_findings(a_finding(severity=severity)), NAMES, threshold)
    assert bool(raised) is (SEVERITIES.index(severity) >= SEVERITIES.index(threshold)) is at_least(severity, threshold)


def test_a_milder_hit_of_the_same_rule_is_not_counted() -> None:
    (alert,) = alerts_of(with_findings(a_finding(), a_finding(start_ms=5_000, end_ms=6_000, severity="low")), NAMES)
    assert alert.hits == 1


@pytest.mark.parametrize(("level", "raised"), [("high", [RISK_RULE]), ("medium", []), ("low", [])])
def test_a_call_of_high_risk_raises_an_alert_of_its_own(level: str, raised: list[str]) -> None:
    risk = Risk.model_validate({"level": level, "score": 80, "reasons": ("agitated customer",)})
    alerts = alerts_of(with_findings(risk=risk), NAMES)
    assert [alert.rule_id for alert in alerts] == raised
    for alert in alerts:
        assert (alert.rule_version, alert.severity, alert.category) == (str(JUDGED.analysis_version), "high", "risk")
        assert (alert.risk_level, alert.risk_reasons, alert.quote) == ("high", ("agitated customer",), "")


def selected_by(*names: str) -> Selection:
    triggers = tuple(Trigger.model_validate({"name": name, "reason": REASONS[name]}) for name in names)
    return Selection(selected=bool(names), triggers=triggers, rules_version=3)


REASONS = {"duration_anomaly": "通话时长异常", "reading": "语义研读建议复核", "sensitive_word": "坐席敏感词 2 处"}


@pytest.mark.parametrize(
    ("selection", "triggers"),
    [
        pytest.param(None, None, id="not known"),
        pytest.param(selected_by(), None, id="not selected"),
        pytest.param(selected_by("reading"), None, id="reading selects and alerts nobody"),
        pytest.param(selected_by("duration_anomaly"), ("duration_anomaly",), id="whatever its risk"),
        pytest.param(selected_by("reading", "sensitive_word"), ("sensitive_word",), id="without what reading suspects"),
    ],
)
def test_a_selected_call_is_told_of_without_a_severity(
    selection: Selection | None, triggers: tuple[str, ...] | None
) -> None:
    alerts = [alert for alert in alerts_of(with_findings(selection=selection), NAMES) if alert.triggers]
    assert [alert.triggers for alert in alerts] == ([] if triggers is None else [triggers])
    for alert in alerts:
        assert (alert.rule_id, alert.rule_version, alert.category) == (SELECTION_RULE, "3", "selected")
        assert (alert.kind, alert.severity, alert.quote) == ("call", "info", "")
        assert alert.title == f"入选复核：{REASONS[alert.triggers[0]]}（selected）"


def test_all_other_alerts_are_what_they_were_without_selection() -> None:
    risk = Risk(level="high", score=80)
    without = alerts_of(with_findings(a_finding(), risk=risk, selection=None), NAMES)
    selected = alerts_of(with_findings(a_finding(), risk=risk, selection=selected_by("sensitive_word")), NAMES)
    assert without == tuple(alert for alert in selected if not alert.triggers)
    assert len(selected) == len(without) + 1


def test_a_call_that_is_judged_again_gives_the_same_ids() -> None:
    risk = Risk(level="high", score=80)
    first = with_findings(a_finding(), a_finding("finance.no_risk"), risk=risk)
    again = first.model_copy(update={"analyzed_at": NOW + timedelta(days=3), "findings": first.findings[::-1]})
    assert sorted(ids(alerts_of(first, NAMES))) == sorted(ids(alerts_of(again, NAMES)))


def test_the_same_call_id_of_another_tenant_gives_other_ids() -> None:
    other = JUDGED.call.model_copy(update={"tenant_id": "other"})
    mine = alerts_of(with_findings(a_finding()), NAMES)
    theirs = alerts_of(with_findings(a_finding(), tenant_id="other", call=other), NAMES)
    assert set(ids(mine)).isdisjoint(ids(theirs))


def test_what_a_real_judgement_finds_becomes_alerts() -> None:
    analysis = JUDGE.judge(said(("agent", "这款产品绝对不会亏损"), industry="finance"), NOW)
    (alert,) = (alert for alert in alerts_of(analysis, NAMES) if alert.rule_id == "finance.no_loss")
    assert alert.hits == 1
    assert alert.advice


def test_an_alert_of_a_call_without_times_points_to_no_moment() -> None:
    settings: dict[str, str | int | float | bool | None] = {"times": "none"}
    received = EngineIdentity(name="received", version="1", model="unknown", settings=settings)
    (alert,) = alerts_of(with_findings(a_finding(), engine=received), NAMES)
    (heard,) = alerts_of(with_findings(a_finding()), NAMES)
    assert (alert.start_ms, alert.end_ms) == (None, None)
    assert alert == heard.model_copy(update={"start_ms": None, "end_ms": None})


def test_a_title_names_nothing_that_was_said() -> None:
    (alert,) = alerts_of(with_findings(a_finding(category="brand_new")), NAMES)
    assert alert.title == "坐席规则命中（finance.no_loss）"


def test_every_category_of_the_shipped_packs_has_a_name_in_them() -> None:
    for pack in load_rule_packs():
        names = JUDGE.rulebooks.category_names("example", "zh", pack.industry)
        used = {category for _, entry in pack.entries() if (category := getattr(entry, "category", None))}
        assert used - names.keys() == set(), pack.pack


def test_a_tenant_names_categories_of_its_own_and_shipped_ones_anew() -> None:
    own = pack_of(tenant="acme", categories={"slogan": "企业口号", "missing_script": "话术漏说"})
    rulebooks = Rulebooks((*load_rule_packs(), own))
    names = rulebooks.category_names("acme", "zh", "finance")
    assert (names["slogan"], names["missing_script"]) == ("企业口号", "话术漏说")
    assert names["forbidden_promise"] == "违规承诺"
    assert "slogan" not in rulebooks.category_names("bolt", "zh", "finance")
    (alert,) = alerts_of(with_findings(a_finding(category="slogan", attributes={"name": "开场口号"})), names)
    assert alert.title == "坐席企业口号：开场口号（finance.no_loss）"


def test_a_call_in_a_language_without_rules_has_the_chinese_names() -> None:
    assert JUDGE.rulebooks.category_names("acme", "en", "finance") == NAMES
    assert JUDGE.rulebooks.category_names("acme", None, "finance") == NAMES


def test_a_pack_that_takes_the_place_of_another_need_not_repeat_its_names() -> None:
    shipped = pack_of(categories={"privacy": "侵犯隐私", "slogan": "企业口号"})
    rulebooks = Rulebooks((shipped, pack_of(tenant="acme", categories={"privacy": "隐私"})))
    assert rulebooks.category_names("acme", "zh", "finance") == {"privacy": "隐私", "slogan": "企业口号"}
