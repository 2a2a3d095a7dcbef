"""Who may do what with which call: `authorize`, the one place that answers it (R21–R23, R91). Pure.

What a role may do stands in `roles.yaml`; which role a person has, where, in the register. Here both are given.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from schemas.config.roles import ACTIONS as ACTIONS
from schemas.config.roles import ALL_TENANTS
from schemas.config.roles import Action as Action

EVERY_TENANT = ALL_TENANTS
"""The tenant of a grant that holds in all of them."""

Masking = Literal["masked", "unmasked"]
"""Whether personal data is hidden in what is shown, and muted in what is played."""


@dataclass(frozen=True)
class Grant:
    """A role that somebody has: where it holds, and what it allows there.

    `teams` narrows it to calls of those teams, `agent_id` to the calls of one agent; None narrows nothing. `fields` are
    the groups of columns of a call that the role is shown (`roles.yaml`). `granted_by` is the account that gave it;
    None where that was none.
    """

    role: str
    tenant_id: str
    actions: frozenset[Action]
    teams: frozenset[str] | None = None
    agent_id: str | None = None
    fields: frozenset[str] = frozenset()
    granted_by: str | None = None


@dataclass(frozen=True)
class Actor:
    """Who asks: a person's account, or an API token that is a part of one. Without grants nothing is allowed."""

    actor_id: str
    grants: tuple[Grant, ...]


@dataclass(frozen=True)
class Target:
    """What it is about: a call, or without `call_id` all calls of a tenant, or those of the agent or the team that it
    names. The tenant `*` is all of them at once.
    """

    tenant_id: str
    call_id: str | None = None
    agent_id: str | None = None
    agent_team: str | None = None


@dataclass(frozen=True)
class Decision:
    """The answer. `reason` is a word for the log: `granted`, or why not: `other_tenant`, `other_team`, `other_agent`,
    `not_granted`. `role` is the one by which it is allowed, or that was looked at; empty where there is none. `fields`
    are the groups of columns that may be shown, of every role by which it is allowed.

    What is refused with `reason` other than `not_granted` is answered as if the call did not exist: `hides` says so.
    """

    allowed: bool
    reason: str
    role: str = ""
    masking: Masking = "masked"
    fields: frozenset[str] = frozenset()

    @property
    def hides(self) -> bool:
        """Whether even that the call exists must not be told."""
        return not self.allowed and self.reason != "not_granted"


@dataclass(frozen=True)
class Reach:
    """Which calls of one tenant an actor may do something to: all of them, or those of some teams and some agents."""

    whole_tenant: bool = False
    teams: frozenset[str] = frozenset()
    agents: frozenset[str] = frozenset()

    @property
    def is_nothing(self) -> bool:
        """Whether there is no call that the actor could reach."""
        return not (self.whole_tenant or self.teams or self.agents)

    def has(self, agent_id: str, agent_team: str | None) -> bool:
        """Whether the call of this agent and team is one of them."""
        return self.whole_tenant or agent_team in self.teams or agent_id in self.agents


def authorize(actor: Actor, action: Action, target: Target) -> Decision:
    """Whether `actor` may do `action` to `target`. What no grant allows is refused.

    A call whose agent or team is not known is inside no grant that is narrowed to one, and neither is what concerns a
    tenant as a whole: who may search within a team asks for that team (`reach_of` says which those are).
    """
    refused = Decision(allowed=False, reason="other_tenant")
    allowing = []
    for grant in actor.grants:
        outside = _outside(grant, target)
        if outside is None and action in grant.actions:
            allowing.append(grant)
        else:
            refused = _nearer(refused, Decision(allowed=False, reason=outside or "not_granted", role=grant.role))
    if not allowing:
        return refused
    return Decision(
        allowed=True,
        reason="granted",
        role=allowing[0].role,
        masking=_masking(actor.grants, target),
        fields=frozenset().union(*(grant.fields for grant in allowing)),
    )


def reach_of(actor: Actor, action: Action, tenant_id: str, field: str | None = None) -> Reach:
    """The calls of the tenant to which `authorize` allows the action, for a search that has to be narrowed to them;
    with `field` by grants alone that show this group of columns.
    """
    teams: set[str] = set()
    agents: set[str] = set()
    for grant in actor.grants:
        if action not in grant.actions or (field is not None and field not in grant.fields):
            continue
        if _outside(grant, Target(tenant_id)) is None:
            return Reach(whole_tenant=True)
        if grant.tenant_id == tenant_id and grant.agent_id is None:
            teams |= grant.teams or frozenset()
        elif grant.tenant_id == tenant_id and grant.teams is None and grant.agent_id:
            agents.add(grant.agent_id)
    return Reach(teams=frozenset(filter(None, teams)), agents=frozenset(agents))


def _outside(grant: Grant, target: Target) -> str | None:
    """Why the target is none of the grant's; None where it is one."""
    if grant.tenant_id not in (target.tenant_id, EVERY_TENANT):
        return "other_tenant"
    is_narrowed = grant.agent_id is not None or grant.teams is not None
    if is_narrowed and grant.tenant_id == EVERY_TENANT:
        return "other_tenant"  # numbers of agents and names of teams are a tenant's own
    if grant.agent_id is not None and (not grant.agent_id or grant.agent_id != target.agent_id):
        return "other_agent"
    if grant.teams is not None and (not target.agent_team or target.agent_team not in grant.teams):
        return "other_team"
    return None


def _masking(grants: Iterable[Grant], target: Target) -> Masking:
    unmasked = any("listen_unmasked" in grant.actions and _outside(grant, target) is None for grant in grants)
    return "unmasked" if unmasked else "masked"


_NEARNESS = ("other_tenant", "other_agent", "other_team", "not_granted")


def _nearer(one: Decision, other: Decision) -> Decision:
    """The refusal that comes nearer to being allowed: it is the one to tell of."""
    return other if _NEARNESS.index(other.reason) > _NEARNESS.index(one.reason) else one
