"""Who may do what with which call: the whole matrix, and whatever grants anybody may have."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.custody.authorization import (
    ACTIONS,
    EVERY_TENANT,
    Action,
    Actor,
    Decision,
    Grant,
    Reach,
    Target,
    authorize,
    reach_of,
)
from schemas.config.roles import load_roles
from tests.support.cases import every_case

TENANTS, TEAMS, AGENTS = ("acme", "other"), ("sales", "care"), ("1001", "1002")

actions = st.sampled_from(ACTIONS)
grants = st.builds(
    Grant,
    role=st.sampled_from(("one", "two")),
    tenant_id=st.sampled_from((*TENANTS, EVERY_TENANT)),
    actions=st.frozensets(actions, max_size=4),
    teams=st.none() | st.frozensets(st.sampled_from((*TEAMS, "")), max_size=2),
    agent_id=st.none() | st.sampled_from((*AGENTS, "")),
    fields=st.frozensets(st.sampled_from(("facts", "customer")), max_size=2),
)
actors = st.builds(Actor, st.just("li_na"), st.lists(grants, max_size=4).map(tuple))
calls = st.builds(
    Target,
    tenant_id=st.sampled_from(TENANTS),
    call_id=st.none() | st.just("c1"),
    agent_id=st.none() | st.sampled_from((*AGENTS, "")),
    agent_team=st.none() | st.sampled_from((*TEAMS, "")),
)
targets = calls | st.just(Target(EVERY_TENANT))


def lets(grant: Grant, action: Action, target: Target) -> bool:
    """The same, written down once more in other words."""
    if action not in grant.actions:
        return False
    if grant.teams is None and grant.agent_id is None:
        return grant.tenant_id in (EVERY_TENANT, target.tenant_id)
    in_team = grant.teams is None or (bool(target.agent_team) and target.agent_team in grant.teams)
    own = grant.agent_id is None or (bool(target.agent_id) and target.agent_id == grant.agent_id)
    return grant.tenant_id == target.tenant_id and target.tenant_id != EVERY_TENANT and in_team and own


@given(actors, actions, targets)
def test_it_is_allowed_where_one_grant_lets_it_and_not_otherwise(actor: Actor, action: Action, target: Target) -> None:
    letting = [grant for grant in actor.grants if lets(grant, action, target)]
    decision = authorize(actor, action, target)
    assert decision.allowed is bool(letting)
    assert (decision.reason == "granted") is decision.allowed
    if letting:
        assert decision.role in {grant.role for grant in letting}
        assert decision.fields == frozenset().union(*(grant.fields for grant in letting))
        unmasked = any(lets(grant, "listen_unmasked", target) for grant in actor.grants)
        assert decision.masking == ("unmasked" if unmasked else "masked")
    else:
        assert (decision.masking, decision.fields) == ("masked", frozenset())


@given(actors, grants, actions, targets)
def test_another_grant_takes_nothing_away_and_gives_its_own_actions_alone(
    actor: Actor, more: Grant, action: Action, target: Target
) -> None:
    before = authorize(actor, action, target)
    after = authorize(replace(actor, grants=(*actor.grants, more)), action, target)
    assert after.allowed >= before.allowed
    if after.allowed and not before.allowed:
        assert lets(more, action, target)


@given(actors, actions, targets)
def test_the_order_of_grants_decides_nothing_but_the_role_that_is_told(
    actor: Actor, action: Action, target: Target
) -> None:
    turned = authorize(replace(actor, grants=actor.grants[::-1]), action, target)
    assert replace(turned, role="") == replace(authorize(actor, action, target), role="")


@given(actors, actions, calls)
def test_what_is_refused_is_told_only_to_whom_another_action_there_is_granted(
    actor: Actor, action: Action, target: Target
) -> None:
    decision = authorize(actor, action, target)
    inside = any(lets(replace(grant, actions=frozenset(ACTIONS)), action, target) for grant in actor.grants)
    if not decision.allowed:
        assert decision.hides is not inside


@given(actors, actions, st.sampled_from(TENANTS))
def test_a_search_reaches_what_authorize_allows_call_by_call(actor: Actor, action: Action, tenant_id: str) -> None:
    reach = reach_of(actor, action, tenant_id)
    assert reach.whole_tenant is authorize(actor, action, Target(tenant_id)).allowed
    for team in TEAMS:
        if team in reach.teams:
            assert authorize(actor, action, Target(tenant_id, "c1", None, team)).allowed
            assert authorize(actor, action, Target(tenant_id, None, None, team)).allowed
    for agent in reach.agents:
        assert authorize(actor, action, Target(tenant_id, "c1", agent, None)).allowed
    if reach.is_nothing:
        narrow = any(grant.teams is not None and grant.agent_id is not None for grant in actor.grants)
        assert narrow or not authorize(actor, action, Target(tenant_id, "c1", None, "sales")).allowed


def test_without_a_grant_nothing_is_allowed_and_nothing_told() -> None:
    for action in ACTIONS:
        assert authorize(Actor("nobody", ()), action, Target("acme", "c1")) == Decision(False, "other_tenant")
    assert reach_of(Actor("nobody", ()), "listen", "acme") == Reach()


def test_a_grant_for_a_team_is_none_for_the_tenant() -> None:
    """Else whoever may export within a team could export the tenant."""
    everything = Grant("inspector", "acme", frozenset(ACTIONS), teams=frozenset({"sales"}))
    for action in ACTIONS:
        assert authorize(Actor("li_na", (everything,)), action, Target("acme")).reason == "other_team"
        assert authorize(Actor("li_na", (everything,)), action, Target("acme", agent_team="sales")).allowed


EXPECTED: dict[str, tuple[str, frozenset[str]]] = {
    "bi_analyst": ("tenant", frozenset({"see_text"})),
    "inspector": ("team", frozenset({"see_text", "listen", "review"})),
    "agent": ("agent", frozenset({"see_text", "listen"})),
    "auditor": ("tenant", frozenset({"audit"})),
    "administrator": ("tenant", frozenset({"export", "hold", "release", "delete", "administer", "audit"})),
    "approver": ("tenant", frozenset({"approve", "hold", "release"})),
    "privacy_officer": ("tenant", frozenset({"see_text", "listen", "listen_unmasked"})),
    "data_engineer": ("tenant", frozenset({"operate"})),
}
"""Written down once more, so that a change of roles.yaml is one of this table, too."""


def test_every_action_as_every_shipped_role_on_every_kind_of_call() -> None:
    roles = load_roles().of_people
    assert roles.keys() == EXPECTED.keys()
    own = Target("acme", "c1", "1001", "sales")
    kinds = {
        "own": own,
        "of the team": replace(own, agent_id="1002"),
        "of another team": replace(own, agent_id="1003", agent_team="care"),
        "of nobody": Target("acme", "c1"),
        "of another tenant": replace(own, tenant_id="other"),
        "the tenant": Target("acme"),
        "every tenant": Target(EVERY_TENANT),
    }
    seen = {
        "tenant": {"own", "of the team", "of another team", "of nobody", "the tenant"},
        "team": {"own", "of the team"},
        "agent": {"own"},
    }
    with every_case() as cases:
        for name, (rows, granted) in EXPECTED.items():
            grant = Grant(
                name,
                "acme",
                roles[name].actions,
                teams=frozenset({"sales"}) if rows == "team" else None,
                agent_id="1001" if rows == "agent" else None,
            )
            for action in ACTIONS:
                for kind, target in kinds.items():
                    with cases.case(name, action, kind):
                        decision = authorize(Actor("li_na", (grant,)), action, target)
                        assert decision.allowed is (action in granted and kind in seen[rows])
                        assert decision.hides is (kind not in seen[rows])
        assert cases.tried == len(EXPECTED) * len(ACTIONS) * len(kinds)


@pytest.mark.parametrize("name", EXPECTED)
def test_nobody_who_is_granted_roles_by_others_alone_may_do_everything(name: str) -> None:
    """Who gives roles does not hear; who asks for exports does not approve them."""
    actions = load_roles().of_people[name].actions
    assert not {"administer", "listen"} <= actions
    assert not {"export", "approve"} <= actions
