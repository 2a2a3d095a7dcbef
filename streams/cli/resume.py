"""`callstream resume`: the end of a pause."""

import typer

from streams.cli.command_settings import command_settings
from streams.cli.console.exit_codes import EXIT_PROBLEM
from streams.cli.pause import PausedTenantOption, StageArgument, require_stage


def resume(stage: StageArgument, tenant: PausedTenantOption = None) -> None:
    """Let a stage that is paused or drained work again, for all tenants or for the one that was paused.

    Its workers begin within seconds where they wait; one that ended and that no supervisor starts, you start. Tenants
    that are paused by themselves stay so. Ends with 1 where it was not paused.
    """
    from streams.adapters.register.pauses import RegisterPauses
    from streams.adapters.register.register import Register
    from streams.cli.console.access import require_permission
    from streams.cli.console.audit import act_entry
    from streams.ports import SystemClock
    from streams.wiring import audit_log_of

    require_stage(stage, tenant)
    settings, clock = command_settings(), SystemClock()
    who = require_permission(settings, "administer", tenant, entered_as="stage_resumed")
    register = Register.of(settings)
    try:
        register.check()
        ended = RegisterPauses(register).resume(
            stage,
            tenant or "",
            audit_log_of(register, clock),
            act_entry("stage_resumed", tenant, who, object_kind="stage", object_id=stage),
        )
    finally:
        register.close()
    of_tenant = f" for {tenant}" if tenant else ""
    if ended is None:
        typer.echo(
            f"{stage} was not paused{of_tenant}: nothing was changed (`callstream status` shows pauses)", err=True
        )
        raise typer.Exit(EXIT_PROBLEM)
    how = "paused" if ended.kind == "pause" else "drained"
    typer.echo(f"{stage} works again{of_tenant}; it had been {how} since {ended.since:%Y-%m-%d %H:%M:%S} UTC")
