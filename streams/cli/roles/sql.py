"""`callstream roles sql`."""

from typing import Annotated

import typer

from processors.clickhouse.grants import sql_statements
from streams.cli.roles.users import DatabaseOption, UsersOption, read_users


def print_sql(
    users: UsersOption = None,
    database: DatabaseOption = None,
    cluster: Annotated[str | None, typer.Option(help="Cluster of the server, for ON CLUSTER.")] = None,
) -> None:
    """Print the statements that set up a ClickHouse server.

    They create profiles, quotas, roles, row policies, grants and users. Run them as a user with access management,
    after `callstream migrate`; they can be run again. They contain password hashes.
    """
    for statement in sql_statements(*read_users(users, database), cluster):
        typer.echo(f"{statement};")
