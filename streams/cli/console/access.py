"""Who runs a command, whether they may, and entries in the audit log for what it shows or writes of calls (R36).

A command speaks for the account of the register that its account of the machine is linked to (`callstream user add
--os-user`). Whoever owns the data directory is its operator besides: they can read and write everything there anyway,
so nothing is kept from them, and each use stands in the audit log under the role `operator`.
"""

import os
import pwd
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from processors.custody.authorization import EVERY_TENANT, Action, Actor, Decision, Reach, Target, authorize, reach_of
from schemas.errors import OperatorError
from schemas.messages.recording_accessed import AccessAction
from streams.settings import Settings

if TYPE_CHECKING:
    from streams.adapters.register.register import Register

ROLE = "pipeline_writer"
"""By whose account commands ask ClickHouse."""

ACTION_OF: Mapping[AccessAction, Action] = {"searched": "see_text", "exported": "export"}
"""What a command needs to be allowed for what it enters."""


class NotAllowedError(OperatorError):
    """Whoever runs the command may not do this; the refusal stands in the audit log."""

    exit_code = 1


@dataclass(frozen=True)
class Commanding:
    """Who runs a command: for whom it speaks, and as whom where the data directory is theirs."""

    actor: Actor
    operator: Actor | None = None

    def decide(self, action: Action, target: Target) -> tuple[Actor, Decision]:
        """By which of the two it is allowed, the account first; or why it is not."""
        decision = authorize(self.actor, action, target)
        if decision.allowed or self.operator is None:
            return self.actor, decision
        return self.operator, authorize(self.operator, action, target)

    def reach(self, action: Action, tenant_id: str, field: str | None = None) -> tuple[Actor, Reach]:
        """Which calls of the tenant, by grants that show the `field`, and by which of the two."""
        reach = reach_of(self.actor, action, tenant_id, field)
        if self.operator is None or not reach.is_nothing:
            return self.actor, reach
        return self.operator, reach_of(self.operator, action, tenant_id, field)


@dataclass(frozen=True)
class PermittedCommand:
    """Who does it, for the log, and in which role."""

    actor: Actor
    role: str


def account() -> str:
    """The account that asks, as the kernel has it, whatever LOGNAME and USER say; in a form that the log takes."""
    number = os.getuid()
    try:
        name = pwd.getpwuid(number).pw_name
    except KeyError:
        name = f"uid-{number}"
    written = re.sub(r"[^A-Za-z0-9._:@-]", "_", name)[:128]
    return written if written[:1].isalnum() else f"uid-{number}"


def commanding(settings: Settings, register: "Register | None" = None) -> Commanding:
    """Who runs this command. Raises what `Register.transaction` does."""
    from processors.custody.accounts import actor_of, operator_of
    from schemas.config.roles import load_roles
    from streams.adapters.register.accounts import account_of_os_user
    from streams.adapters.register.errors import RegisterSchemaError
    from streams.adapters.register.register import Register
    from streams.ports import SystemClock

    name = account()
    operator = operator_of(name) if is_operator(settings.data_dir) else None
    nobody = Commanding(Actor(f"os:{name}", ()), operator)
    mine = register or Register.of(settings)
    if mine.file is not None and not mine.file.exists():
        return nobody
    try:
        linked = account_of_os_user(mine, name)
    except RegisterSchemaError:  # it has no tables yet, or is about to be migrated
        return nobody
    finally:
        if register is None:
            mine.close()
    if linked is None:
        return nobody
    return Commanding(actor_of(linked, load_roles().of_people, SystemClock().now()), operator)


def is_operator(data_dir: Path) -> bool:
    """Whether this account of the machine owns the data directory; where there is none yet, the folder that it would be
    made in. root owns everything.
    """
    number = os.getuid()
    for folder in (data_dir, *data_dir.absolute().parents):
        try:
            return number in (0, folder.stat().st_uid)
        except OSError:
            continue
    return number == 0


def require_permission(
    settings: Settings, action: Action, tenant: str | None, *, entered_as: str = "", call: Target | None = None
) -> PermittedCommand:
    """Whoever runs the command may do this to the tenant, to all of them where none is named, or to the call.

    Raises `NotAllowedError` once the refusal is entered, and as `commanding`.
    """
    target = call or Target(tenant or EVERY_TENANT)
    actor, decision = commanding(settings).decide(action, target)
    if not decision.allowed:
        refuse(settings, actor, decision, target, entered_as or action)
    return PermittedCommand(actor, decision.role)


def require_reach(
    settings: Settings, action: Action, tenants: Iterable[str], *, entered_as: str, field: str | None = None
) -> tuple[PermittedCommand, dict[str, Reach]]:
    """Which calls of each tenant whoever runs the command may do this to, where `field` is given by a role that is
    shown this group of columns. Raises as `require_permission`.
    """
    who, reaches = commanding(settings), {}
    by, role = who.actor, ""
    for tenant in tenants:
        actor, reach = who.reach(action, tenant, field)
        if reach.is_nothing and field is not None and not reach_of(actor, action, tenant).is_nothing:
            hidden = Decision(allowed=False, reason=f"no_{field}", role=_role_in(actor, action, tenant))
            refuse(settings, actor, hidden, Target(tenant), entered_as)
        if reach.is_nothing:
            refuse(settings, actor, authorize(actor, action, Target(tenant)), Target(tenant), entered_as)
        if actor == who.operator:
            by = actor
        reaches[tenant] = reach
        role = role or _role_in(actor, action, tenant)
    if by == who.operator:
        from processors.custody.accounts import OPERATOR

        role = OPERATOR
    return PermittedCommand(by, role), reaches


def _role_in(actor: Actor, action: Action, tenant: str) -> str:
    """The first role that allows the action in the tenant."""
    return next(
        grant.role for grant in actor.grants if action in grant.actions and grant.tenant_id in (tenant, EVERY_TENANT)
    )


def refuse(settings: Settings, actor: Actor, decision: Decision, target: Target, entered_as: str) -> None:
    """Enter that it is refused, and raise `NotAllowedError`."""
    from processors.custody.audit_entry import AuditEntry
    from streams.adapters.register.register import Register
    from streams.ports import SystemClock
    from streams.wiring import audit_log_of

    clock, register = SystemClock(), Register.of(settings)
    try:
        audit_log_of(register, clock).append(
            AuditEntry(
                at=clock.now(),
                actor=actor.actor_id,
                role=decision.role or "none",
                action=entered_as,
                tenant_id=target.tenant_id,
                result="refused",
                client="cli",
                call_id=target.call_id,
                refusal=decision.reason,
            )
        )
    finally:
        register.close()
    where = "every tenant" if target.tenant_id == EVERY_TENANT else f"tenant {target.tenant_id}"
    if decision.reason == "no_customer":
        raise NotAllowedError(
            f"{actor.actor_id} may not search by what tells a customer apart (--phone, --order) in {where}: it needs a "
            "role that sees who the customer is, such as inspector or privacy_officer (docs/people.md)"
        )
    if decision.reason == "no_suspicion":
        raise NotAllowedError(
            f"{actor.actor_id} may not search by triggers that rest on suspicions (like, reading) in {where}: "
            "it needs a role that sees suspicions, such as inspector (docs/people.md)"
        )
    raise NotAllowedError(
        f"{actor.actor_id} may not do that in {where}: it needs a role that allows it (docs/people.md), or a --tenant, "
        "--team or --agent for which there is one"
    )


def log_command(
    settings: Settings,
    action: AccessAction,
    tenant: str | None,
    filters: tuple[str, ...],
    calls_count: int | None = None,
) -> None:
    """An entry in the audit log for what a command is about to show of many calls; of every tenant where none was
    asked for.

    Raises `NotAllowedError` where whoever runs it may not, and `RetryableError` and `OperatorError` when the register
    does not take it: then nothing may be shown.
    """
    from streams.cli.console.audit import access_entry, enter

    allowed = require_permission(settings, ACTION_OF[action], tenant, entered_as=action)
    enter(settings, access_entry(action, tenant, filters, calls_count, who=allowed))
