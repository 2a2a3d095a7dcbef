"""`callstream migrate`: tables and views of ClickHouse, and the tables of the register."""

from typing import Annotated

import typer

from streams.cli.command_settings import command_settings


def migrate(
    show: Annotated[
        bool, typer.Option("--print", help="Print the SQL that would run on ClickHouse; run nothing.")
    ] = False,
    cluster: Annotated[
        str | None,
        typer.Option(help="With --print: the SQL for this cluster; by default for the one in clickhouse_cluster."),
    ] = None,
) -> None:
    """Bring the tables of the register, and the tables and views of ClickHouse, up to date.

    Runs the migrations that are missing, and creates every view of ClickHouse anew, those of KPIs from their registry.
    """
    from streams.adapters.clickhouse import migrate as database
    from streams.adapters.register.migrate import migrate_register
    from streams.adapters.register.register import Register
    from streams.wiring import prepare_keys

    if cluster is not None and not show:
        raise typer.BadParameter("set CALLSTREAM_CLICKHOUSE_CLUSTER to migrate a cluster", param_hint="--cluster")
    settings = command_settings()
    url = settings.clickhouse_url.get_secret_value()
    name = settings.clickhouse_cluster if cluster is None else cluster
    views = database.views_of(settings)
    if show:
        typer.echo(database.planned_sql(url, views, name), nl=False)
        return
    register = Register.of(settings)
    for revision in migrate_register(register):
        typer.echo(f"applied {revision} to the register")
    register.close()
    prepare_keys(settings)
    for migration in database.migrate(url, cluster=name, views=views):
        typer.echo(f"applied {migration.name}")
    typer.echo(f"made {len(views)} views")
    packs = database.rule_packs_of(settings)
    typer.echo(f"wrote what {database.write_rules(url, packs)} rules of {len(packs)} packs are called")
