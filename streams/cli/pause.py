"""`callstream pause`: a stage does nothing, or nothing for a tenant, until somebody resumes it."""

from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.command_settings import command_settings
from streams.cli.console.exit_codes import EXIT_PROBLEM
from streams.topology import WORKER_NAMES, WORKERS

if TYPE_CHECKING:
    from streams.runtime.pauses import PauseKind

StageArgument = Annotated[str, typer.Argument(metavar="STAGE", help=f"One of {', '.join(WORKER_NAMES)}.")]
WhyOption = Annotated[
    str, typer.Option("--why", help="One line for whoever finds it: a reason or a ticket, nothing of a customer.")
]
PausedTenantOption = Annotated[str | None, typer.Option("--tenant", help="Do nothing for this tenant alone.")]
WaitOption = Annotated[
    float | None,
    typer.Option(
        "--wait-s", min=0, help="So long to wait until its workers stand still; by default finish_within_s and 30 s."
    ),
]
MOST_WHY = 256


def pause(stage: StageArgument, why: WhyOption, tenant: PausedTenantOption = None, wait_s: WaitOption = None) -> None:
    """Have the workers of a stage stand still, on every machine, until `callstream resume`.

    What they are at is finished within finish_within_s, or handed back; then they leave their consumer groups and wait,
    also after a restart. What would have been read waits in Kafka, and what is asked over HTTP is not answered. With
    --tenant (listen alone) the calls of that tenant wait, and those of others go on. Ends with 1 where workers have not
    come to stand still in time.
    """
    hold_up(stage, "pause", why, tenant, wait_s)


def require_stage(stage: str, tenant: str | None) -> None:
    """Raises `BadParameter` for what cannot stand still."""
    if stage not in WORKER_NAMES:
        raise typer.BadParameter(f"{stage} is not a worker: {', '.join(WORKER_NAMES)}", param_hint="STAGE")
    if tenant is None:
        return
    apart = [each.name for each in WORKERS if each.pauses_tenants]
    if stage not in apart:
        raise typer.BadParameter(
            f"{stage} cannot stand still for one tenant: calls of all tenants lie behind one another where it reads. "
            f"Pause the tenant at {' or '.join(apart)}, or the whole stage",
            param_hint="--tenant",
        )
    from pydantic import TypeAdapter, ValidationError

    from schemas.messages.message import TenantId

    try:
        TypeAdapter(TenantId).validate_python(tenant)
    except ValidationError:
        raise typer.BadParameter("this is no id of a tenant", param_hint="--tenant") from None


def hold_up(stage: str, kind: "PauseKind", why: str, tenant: str | None, wait_s: float | None) -> None:
    """Enter the pause, wait until it shows, and say what became of it."""
    from streams.adapters.register.pauses import RegisterPauses
    from streams.adapters.register.register import Register
    from streams.cli.console.access import require_permission
    from streams.cli.console.audit import act_entry
    from streams.ports import SystemClock
    from streams.queries.standing_still import wait_until_still
    from streams.runtime.pauses import Pause
    from streams.wiring import audit_log_of

    require_stage(stage, tenant)
    if not why.strip() or len(why) > MOST_WHY or not why.isprintable():
        raise typer.BadParameter(f"one line of 1 to {MOST_WHY} characters", param_hint="--why")
    settings, clock = command_settings(), SystemClock()
    action = "stage_paused" if kind == "pause" else "stage_drained"
    who = require_permission(settings, "administer", tenant, entered_as=action)
    register = Register.of(settings)
    try:
        register.check()
        RegisterPauses(register).pause(
            Pause(stage, tenant or "", kind, why, who.actor.actor_id, clock.now()),
            audit_log_of(register, clock),
            act_entry(action, tenant, who, object_kind="stage", object_id=stage, personal={"why": why}),
        )
    finally:
        register.close()
    end = f"callstream resume {stage}" + (f" --tenant {tenant}" if tenant else "")
    if tenant is not None:
        typer.echo(f"{stage} begins no more calls of {tenant}; those under way are finished. `{end}` ends it")
        return
    typer.echo(f"{stage} is {'paused' if kind == 'pause' else 'drained'} until `{end}`")
    at_work = wait_until_still(settings, stage, settings.finish_within_s + 30 if wait_s is None else wait_s)
    for sentence in at_work:
        typer.echo(f"not yet: {sentence}", err=True)
    if at_work:
        raise typer.Exit(EXIT_PROBLEM)
    typer.echo("its workers stand still")
