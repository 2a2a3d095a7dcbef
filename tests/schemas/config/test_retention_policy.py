"""Retention classes: the shipped ones keep what is demanded, and what does not hold is refused."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from schemas.config.retention import (
    RETENTION_FILE,
    RetentionClass,
    RetentionPolicyError,
    TenantPolicies,
    read_retention_policy,
)
from schemas.config.tenants import TenantEntry, Tenants
from tests.schemas.config.yaml_change import changed, line_of, problems_of


def test_the_shipped_classes_keep_as_long_as_is_demanded() -> None:
    days = {one.id: one.days for one in read_retention_policy().classes}
    assert days["general"] >= 180, "R17"
    assert days["finance"] >= 365, "R18"
    assert days["medical"] >= 365, "R18"
    assert days["education"] >= 365, "R81"
    assert days["education_refund_3y"] >= 3 * 365, "R82"


@pytest.mark.parametrize(
    ("old", "new", "at", "where", "what"),
    [
        pytest.param(
            "days: 180 ",
            "days: 90 ",
            "days: 90",
            "class general, field classes.0.days",
            "input should be greater than or equal to 180",
            id="shorter than six months (R17)",
        ),
        pytest.param("id: medical", "id: finance", "", "", "class finance occurs twice", id="a class twice"),
        pytest.param(
            "days: 180     # R17: six months",
            "days: 180\n    when: {industries: [ecommerce]}",
            "",
            "",
            "one class must be without when and about, for the calls that fit no other",
            id="calls without a class",
        ),
        pytest.param(
            "industries: [medical]",
            "industry: [medical]",
            "industry: [medical]",
            "class medical, field classes.4.when.industry",
            "extra inputs are not permitted",
            id="a slip of the pen",
        ),
        pytest.param(
            "when: {industries: [medical]}",
            "about: {}",
            "about: {}",
            "class medical, field classes.4.about",
            "about needs inquiry_types, topics or phrases",
            id="about nothing",
        ),
    ],
)
def test_a_policy_is_refused_with_file_line_class_and_field(
    old: str, new: str, at: str, where: str, what: str, tmp_path: Path
) -> None:
    file = changed(RETENTION_FILE, tmp_path, old, new)
    with pytest.raises(RetentionPolicyError) as refused:
        read_retention_policy(file)
    place = f"{line_of(file, at)}: {where}: " if at else "1: "
    assert problems_of(refused) == (f"retention.yaml:{place}{what}",)


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        pytest.param(
            "days: 1825    # R18: the upper end",
            "days: 200    #",
            "class finance: 200 days are fewer than the floor of 365 days for the industry finance",
            id="finance for less than a year",
        ),
        pytest.param(
            "when: {industries: [medical]}",
            "when: {industries: [medicine]}",
            "no class keeps every call of the industry medical for the floor of 365 days",
            id="an industry without a class",
        ),
        pytest.param(
            "when: {industries: [medical]}",
            "when: {industries: [medical], tenants: [acme]}",
            "no class keeps every call of the industry medical for the floor of 365 days",
            id="a class for one tenant alone",
        ),
        pytest.param(
            "        - 退费\n",
            "",
            "no class keeps calls of the industry education about 退费 (inquiry type, or said) for the floor",
            id="refunds that are only looked for by inquiry type",
        ),
    ],
)
def test_no_file_goes_below_a_floor(old: str, new: str, what: str, tmp_path: Path) -> None:
    file = changed(RETENTION_FILE, tmp_path, old, new)
    with pytest.raises(RetentionPolicyError) as refused:
        read_retention_policy(file)
    assert any(what in problem for problem in refused.value.problems), refused.value.problems


class TestDaysOfATenant:
    def policies(self, **days: int) -> TenantPolicies:
        tenants = Tenants(version=1, tenants=(TenantEntry(id="acme", retention_days=days),))
        return TenantPolicies(read_retention_policy(), tenants)

    def test_they_hold_for_its_calls_alone(self) -> None:
        policies = self.policies(finance=3650, general=200)
        days = {one.id: one.days for one in policies.of("acme").classes}
        assert (days["finance"], days["general"], days["medical"]) == (3650, 200, 1825)
        assert policies.of("other") == read_retention_policy()

    def test_they_may_be_fewer_than_those_of_the_file_and_not_fewer_than_the_floor(self) -> None:
        assert {one.id: one.days for one in self.policies(finance=365).of("acme").classes}["finance"] == 365
        with pytest.raises(RetentionPolicyError) as refused:
            self.policies(finance=364, education_refund_3y=400)
        assert set(refused.value.problems) == {
            f"tenant acme, field retention_days: {problem}"
            for problem in (
                "class finance: 364 days are fewer than the floor of 365 days for the industry finance",
                "class education_refund_3y: 400 days are fewer than the floor of 1095 days for the industry education",
                "no class keeps every call of the industry finance for the floor of 365 days",
                *(
                    f"no class keeps calls of the industry education about {text} (inquiry type, or said) for "
                    "the floor of 1095 days"
                    for text in ("退费", "报名")
                ),
            )
        }

    def test_a_class_that_is_not_there_is_named(self) -> None:
        with pytest.raises(RetentionPolicyError, match="there is no class insurance in the retention file"):
            self.policies(insurance=3650)


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"starts": "event"}, id="an event without a name"),
        pytest.param({"event": "contract_ended"}, id="an event that is not waited for"),
        pytest.param({"at_most_days": 400}, id="a bound without an event"),
        pytest.param({"starts": "event", "event": "e", "at_most_days": 200}, id="a bound below its days"),
        pytest.param({"at_end": "archive"}, id="an archive for nobody knows how long"),
        pytest.param({"archive_days": 9}, id="an archive that is not wanted"),
    ],
)
def test_what_belongs_together_is_given_together(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        RetentionClass.model_validate({"id": "c", "name": "n", "days": 365, **fields})
