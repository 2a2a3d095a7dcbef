"""`callstream roles apply`."""

from typing import Annotated

import typer

from processors.clickhouse.grants import own_databases, sql_statements
from streams.cli.command_settings import command_settings
from streams.cli.roles.users import UsersOption, read_users


def apply(
    users: UsersOption = None,
    databases_only: Annotated[
        bool,
        typer.Option(
            "--databases-only",
            help="Make the databases that users write to, and nothing else: where users stand in files.",
        ),
    ] = False,
) -> None:
    """Run the statements of `roles sql` on the server of CALLSTREAM_CLICKHOUSE_URL, after `callstream migrate`.

    Give it an account with access management. Databases that users write to (`own_database: true`) are made; which
    settings these users may not change is asked of the server, so run it again after an upgrade of the server. Where
    users stand in files, as those of the embedded engine do, --databases-only makes the databases alone.
    """
    from streams.adapters.clickhouse.connection import connect
    from streams.adapters.clickhouse.own_databases import make_own_databases
    from streams.adapters.clickhouse.statements import define, read_rows

    settings = command_settings()
    roles, people, database = read_users(users, None)
    cluster = settings.clickhouse_cluster
    client = connect(settings.clickhouse_url.get_secret_value())
    try:
        names = own_databases(people, database)
        make_own_databases(client, names, cluster)
        typer.echo(f"databases that users write to: {', '.join(names) or 'none'}")
        if databases_only:
            return
        known = [str(row[0]) for row in read_rows(client, "its settings", "SELECT name FROM system.settings")]
        statements = sql_statements(roles, people, database, cluster or None, known)
        for number, statement in enumerate(statements, start=1):
            define(client, f"statement {number} of `callstream roles sql`", statement)
        typer.echo(f"ran {len(statements)} statements for {len(people)} users")
    finally:
        client.close()
