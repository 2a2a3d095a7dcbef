"""`callstream roles users-xml`."""

import typer

from processors.clickhouse.grants import users_xml
from streams.cli.command_settings import command_settings
from streams.cli.roles.users import DatabaseOption, UsersOption, read_users


def print_users_xml(users: UsersOption = None, database: DatabaseOption = None) -> None:
    """Print the same as a file for users.d of a ClickHouse server.

    The file contains password hashes.
    """
    on_cluster = bool(command_settings().clickhouse_cluster)
    typer.echo(users_xml(*read_users(users, database), on_cluster=on_cluster), nl=False)
