"""Who may do what with which call: `authorize`, the one place that answers it (R21–R23, R91). Pure.

What a role may do stands in `roles.yaml`; which role a person has, where, in the register. Here both are given.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

Action = Literal[
    "see_text",
    "listen",
    "listen_unmasked",
    "export",
    "approve",
    "hold",
    "release",
    "delete",
    "review",
    "administer",
]
"""What may be granted, each apart from the others (R91)."""

ACTIONS: tuple[Action, ...] = get_args(Action)

EVERY_TENANT = "*"
"""The tenant of a grant that holds in all of them."""

Masking = Literal["masked", "unmasked"]
"""Whether personal data is hidden in what is shown, and muted in what is played."""


@dataclass(frozen=True)
class Grant:
    """A role that somebody has: where it holds, and what it allows there.

    `teams` narrows it to calls of those teams, `agent_id` to the calls of one agent; None narrows nothing.
    """

    role: str
    tenant_id: str
    actions: frozenset[Action]
    teams: frozenset[str] | None = None
    agent_id: str | None = None


@dataclass(frozen=True)
class Actor:
    """Who asks: a person's account, or an API token that is a part of one. Without grants nothing is allowed."""

    actor_id: str
    grants: tuple[Grant, ...]


@dataclass(frozen=True)
class Target:
    """What it is about. Where no single call is meant `call_id`, `agent_id` and `agent_team` are None."""

    tenant_id: str
    call_id: str | None = None
    agent_id: str | None = None
    agent_team: str | None = None


@dataclass(frozen=True)
class Decision:
    """The answer. `reason` is a word for the log: `granted`, or why not: `other_tenant`, `other_team`, `other_agent`,
    `not_granted`. `role` is the one by which it is allowed, or that was looked at; empty where there is none.

    What is refused with `reason` other than `not_granted` is answered as if the call did not exist: `hides` says so.
    """

    allowed: bool
    reason: str
    role: str = ""
    masking: Masking = "masked"

    @property
    def hides(self) -> bool:
        """Whether even that the call exists must not be told."""
        return not self.allowed and self.reason != "not_granted"


def authorize(actor: Actor, action: Action, target: Target) -> Decision:
    """Whether `actor` may do `action` to `target`. What no grant allows is refused.

    A call whose agent or team is not known is inside no grant that is narrowed to one.
    """
    refused = Decision(allowed=False, reason="other_tenant")
    for grant in actor.grants:
        outside = _outside(grant, target)
        if outside is not None:
            refused = _nearer(refused, Decision(allowed=False, reason=outside, role=grant.role))
        elif action in grant.actions:
            return Decision(allowed=True, reason="granted", role=grant.role, masking=_masking(actor.grants, target))
        else:
            refused = _nearer(refused, Decision(allowed=False, reason="not_granted", role=grant.role))
    return refused


def _outside(grant: Grant, target: Target) -> str | None:
    """Why the target is none of the grant's; None where it is one."""
    if grant.tenant_id not in (target.tenant_id, EVERY_TENANT):
        return "other_tenant"
    if target.call_id is None and (grant.teams is not None or grant.agent_id is not None):
        return None if grant.tenant_id == target.tenant_id else "other_tenant"
    if grant.agent_id is not None and grant.agent_id != target.agent_id:
        return "other_agent"
    if grant.teams is not None and target.agent_team not in grant.teams:
        return "other_team"
    return None


def _masking(grants: Iterable[Grant], target: Target) -> Masking:
    unmasked = any("listen_unmasked" in grant.actions and _outside(grant, target) is None for grant in grants)
    return "unmasked" if unmasked else "masked"


_NEARNESS = ("other_tenant", "other_agent", "other_team", "not_granted")


def _nearer(one: Decision, other: Decision) -> Decision:
    """The refusal that comes nearer to being allowed: it is the one to tell of."""
    return other if _NEARNESS.index(other.reason) > _NEARNESS.index(one.reason) else one
