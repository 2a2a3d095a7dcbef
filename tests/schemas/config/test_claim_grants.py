"""What an OpenID provider's groups grant, as people write it."""

from pathlib import Path

import pytest

from schemas.config.claim_grants import NO_CLAIM_GRANTS, ClaimGrantsError, load_claim_grants
from schemas.config.roles import load_roles
from tests.support.cases import every_case

ROLES = load_roles().of_people
EXAMPLE = Path(__file__).parents[3] / "deploy" / "people" / "oidc_grants.example.yaml"


def test_the_example_has_every_role_of_people() -> None:
    assert {grant.role for grant in load_claim_grants(EXAMPLE, ROLES).grants} == set(ROLES)


def test_without_a_file_nothing_is_granted() -> None:
    assert load_claim_grants(None, ROLES) == NO_CLAIM_GRANTS


def test_what_does_not_fit_is_refused_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "grants.yaml"
    with every_case() as cases:
        for name, grant, sentence in (
            ("no such role", "{group: g, role: king, tenant: acme}", "no role king"),
            ("a role of work", "{group: g, role: admin, tenant: acme}", "no role admin"),
            ("an inspector of no team", "{group: g, role: inspector, tenant: acme}", "needs teams"),
            ("an agent without number", "{group: g, role: agent, tenant: acme}", "needs agent"),
            (
                "an administrator of a team, who would be one of all",
                "{group: g, role: administrator, tenant: acme, teams_claim: teams}",
                "does not look at teams",
            ),
            ("teams twice", "{group: g, role: inspector, tenant: acme, teams: [a], teams_claim: t}", "teams or"),
            ("agent twice", "{group: g, role: agent, tenant: acme, agent: '7', agent_claim: n}", "agent or"),
            ("all tenants", "{group: g, role: approver, tenant: '*'}", "tenant"),
            ("a claim that is none", "{group: g, role: agent, tenant: acme, agent_claim: 'a b'}", "agent_claim"),
            ("a field more", "{group: g, role: approver, tenant: acme, all: true}", "all"),
        ):
            file.write_text(f"version: 1\ngrants:\n- {grant}\n", encoding="utf-8")
            with cases.case(name), pytest.raises(ClaimGrantsError, match=sentence) as refused:
                load_claim_grants(file, ROLES)
            with cases.case(name, "its line"):
                assert f"{file}:3" in str(refused.value)
