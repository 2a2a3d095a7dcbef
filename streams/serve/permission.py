"""Who may do what over HTTP: the dependency `require(action)` of every route that shows, plays, exports or changes.

    @app.get("/v1/recordings/{call_id}/audio")
    async def audio(permitted: Annotated[Permitted, Depends(require("listen"))]) -> Response: ...

It finds out who asks and whose call it is, asks `authorize`, and enters every refusal in the audit log before it
answers: 404 where not even that the call exists may be told, else 403. What is allowed is entered by who does it.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol

from processors.custody.audit_entry import AuditEntry, AuditLog, AuditResult
from processors.custody.authorization import EVERY_TENANT, Action, Actor, Decision, Target, authorize
from streams.ports import Clock
from streams.serve.authentication import answered
from streams.serve.limits import TenantLimits
from streams.serve.ports import KnowsOwners
from streams.serve.problems import RefusedError, entered, not_found, unprocessable
from streams.serve.requests import CallIdInPath, TenantInQuery

if TYPE_CHECKING:
    from starlette.requests import Request

log = logging.getLogger(__name__)

CLIENT = "api"

ENTERED_AS: dict[Action, str] = {
    "see_text": "viewed_text",
    "listen": "listened",
    "listen_unmasked": "listened",
    "export": "export_requested",
    "approve": "export_approved",
    "hold": "hold_opened",
    "release": "hold_released",
    "delete": "purged",
    "review": "reviewed",
    "administer": "administered",
    "audit": "searched",
    "operate": "dead_letters_listed",
}
"""Action → the word of the audit log for having done it, or having tried to."""

ASKED = "asked"
OF_A_CALL: frozenset[Action] = frozenset({"see_text", "listen", "listen_unmasked", "review"})
"""Done to one call: refused for a tenant as a whole, it is entered as having been asked for."""

NO_ROLE = "none"
"""In the audit log: who asks has no role there."""


class Authenticates(Protocol):
    """`streams.serve.authentication.Authentication`."""

    async def actor_of(self, request: "Request") -> Actor:
        """Raises `RefusedError`: 401 where nobody known asks, 403 where a form of another site may have sent it."""
        ...


@dataclass(frozen=True)
class Permitted:
    """Who asks, for what, and why it is allowed. `address` is of a person: in an entry it is `personal`."""

    actor: Actor
    target: Target
    decision: Decision
    client: str = CLIENT
    address: str | None = None
    personal: dict[str, str] = field(default_factory=dict)
    """What an entry about this request has of a person: the address."""


class Permission:
    """For the thread of the event loop alone; what blocks runs in `pool`."""

    def __init__(
        self,
        authentication: Authenticates,
        owners: KnowsOwners,
        audit_log: AuditLog,
        clock: Clock,
        pool: Executor,
        limits: TenantLimits,
    ) -> None:
        self._authentication = authentication
        self._owners = owners
        self._audit_log = audit_log
        self._clock = clock
        self._pool = pool
        self._limits = limits

    async def permit(
        self, request: "Request", action: Action, call_id: str | None = None, tenant_id: str | None = None
    ) -> Permitted:
        """Whoever asks may do this to the call, or without one to the tenant. Without `tenant_id` it is the only one
        in which the actor has a role.

        Raises `RefusedError`: 401; 403 and 404 once the refusal is entered; 422 where the tenant has to be named; 429;
        503 where the register or the database does not answer, and then nothing may be shown either.
        """
        actor = await self._authentication.actor_of(request)
        request.state.key_id = actor.actor_id
        self._limits.request(f"account {actor.actor_id}")
        return await self.permit_actor(request, actor, action, call_id, tenant_id)

    async def enter(self, permitted: Permitted, action: str) -> None:
        """Enter what is allowed, before it is shown. Raises `RefusedError` (503): then it may not be."""
        await self._append(permitted, action, "allowed", None)

    async def enter_refusal(self, permitted: Permitted, action: str, reason: str) -> None:
        """Enter that what was allowed is refused all the same. Raises `RefusedError` (503)."""
        await self._append(permitted, action, "refused", reason)

    async def permit_actor(
        self,
        request: "Request",
        actor: Actor,
        action: Action,
        call_id: str | None = None,
        tenant_id: str | None = None,
    ) -> Permitted:
        """As `permit`, for an actor that is known already."""
        address = request.client.host if request.client else None
        personal = {} if address is None else {"address": address}
        asked = ASKED if call_id is None and action in OF_A_CALL else ENTERED_AS[action]
        if not actor.grants:
            nothing = Decision(allowed=False, reason="no_role")
            nowhere = Permitted(actor, Target(EVERY_TENANT, call_id), nothing, address=address, personal=personal)
            await self._append(nowhere, asked, "refused", nothing.reason)
            raise entered(
                RefusedError(HTTPStatus.FORBIDDEN, "no_role", "This account has no role: ask an administrator.")
            )
        target = await self._target(call_id, tenant_id or only_tenant(actor))
        decision = authorize(actor, action, target)
        permitted = Permitted(actor, target, decision, address=address, personal=personal)
        if not decision.allowed:
            await self._append(permitted, asked, "refused", decision.reason)
            raise entered(refusal_of(decision))
        return permitted

    async def _target(self, call_id: str | None, tenant_id: str) -> Target:
        """A call that does not exist takes the same way as one of somebody else."""
        if call_id is None:
            return Target(tenant_id)
        owner = await self._answered(self._owners.owner, "the database", tenant_id, call_id)
        if owner is None:
            return Target(tenant_id, call_id)
        return Target(tenant_id, call_id, owner.agent_id, owner.agent_team)

    async def _append(self, permitted: Permitted, action: str, result: AuditResult, refusal: str | None) -> None:
        entry = AuditEntry(
            at=self._clock.now(),
            actor=permitted.actor.actor_id,
            role=permitted.decision.role or NO_ROLE,
            action=action,
            tenant_id=permitted.target.tenant_id,
            result=result,
            client=permitted.client,
            call_id=permitted.target.call_id,
            refusal=refusal,
            personal=permitted.personal,
        )
        await self._answered(self._audit_log.append, "the audit log", entry)

    async def _answered(self, ask: Callable[..., Any], what: str, *arguments: object) -> Any:
        return await answered(asyncio.get_running_loop().run_in_executor(self._pool, ask, *arguments), what)


def only_tenant(actor: Actor) -> str:
    """The tenant in which the actor has roles, `*` for somebody without any, whose refusal is entered as all are.

    Raises `RefusedError` (422) where there are several.
    """
    tenants = {grant.tenant_id for grant in actor.grants}
    if len(tenants) == 1 and EVERY_TENANT not in tenants:
        return tenants.pop()
    if not tenants:
        return EVERY_TENANT
    raise unprocessable("tenant", "Say which tenant: ?tenant=…", ["tenant: missing"])


def refusal_of(decision: Decision) -> RefusedError:
    """How a refusal is answered."""
    if decision.hides:
        return not_found()
    return RefusedError(HTTPStatus.FORBIDDEN, "not_granted", "No role that you have there allows this.")


def require(action: Action) -> Callable[..., Coroutine[Any, Any, Permitted]]:
    """The dependency of a route with `{call_id}` in its path, and `?tenant=` where the actor has several."""
    from fastapi import Request

    async def required(request: Request, call_id: CallIdInPath, tenant: TenantInQuery = None) -> Permitted:
        permission: Permission = request.app.state.permission
        return await permission.permit(request, action, call_id, tenant)

    return required


def require_of_tenant(action: Action) -> Callable[..., Coroutine[Any, Any, Permitted]]:
    """The dependency of a route that is about a tenant as a whole."""
    from fastapi import Request

    async def required(request: Request, tenant: TenantInQuery = None) -> Permitted:
        permission: Permission = request.app.state.permission
        return await permission.permit(request, action, None, tenant)

    return required
