"""The claims that ship are examples of nobody's products: strangers are not held to them."""

import pytest

from processors.alerts.raising import alerts_of
from processors.judging.pipeline import Judge, JudgeSettings
from schemas.config.tenants import Tenants
from tests.processors.transcripts import NOW, said
from tests.support.shipped_rules import shipped_judge, shipped_rules

SAID = [
    pytest.param("finance", "这款产品年化收益百分之五点五", id="a_return_of_5.5_percent"),
    pytest.param("ecommerce", "我们现在有活动，满三百减四十", id="a_reduction"),
]


@pytest.mark.parametrize(("industry", "text"), SAID)
def test_what_a_stranger_says_of_products_alerts_nobody_and_is_said_to_have_no_entry(industry: str, text: str) -> None:
    analysis = shipped_judge().judge(said(("agent", text), industry=industry), NOW)
    (finding,) = (one for one in analysis.findings if one.detector == "claims")
    assert (finding.category, finding.severity) == ("claim_without_entry", "info")
    assert analysis.measures["claims_checked"] is None
    assert not [alert for alert in alerts_of(analysis, {}) if alert.category.startswith("claim_")]
    assert analysis.risk is not None
    assert "false_claim" in analysis.risk.unmeasured


@pytest.mark.parametrize(("industry", "text"), SAID)
def test_who_adopts_them_is_held_to_them(industry: str, text: str) -> None:
    judge = Judge(JudgeSettings(tenants=Tenants(version=1, claims=(industry,))), rulebooks=shipped_rules())
    analysis = judge.judge(said(("agent", text), industry=industry), NOW)
    (finding,) = (one for one in analysis.findings if one.detector == "claims")
    assert (finding.category, analysis.measures["claims_contradicted"]) == ("claim_contradicted", 1)


def test_every_pack_that_ships_claims_says_that_they_are_examples() -> None:
    assert [pack.pack for pack in shipped_rules().packs if pack.claims and not pack.example_claims] == []
