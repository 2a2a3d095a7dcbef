"""The users and the database that the commands of `callstream roles` are about."""

from pathlib import Path
from typing import Annotated

import typer

from schemas.config.roles import RolesFile, User, load_roles, load_users
from streams.cli.command_settings import command_settings

UsersOption = Annotated[
    Path | None,
    typer.Option("--users", help="YAML file of users; by default the one in CALLSTREAM_CLICKHOUSE_USERS_FILE."),
]
DatabaseOption = Annotated[
    str | None, typer.Option(help="Database of the tables; by default the one in CALLSTREAM_CLICKHOUSE_URL.")
]


def read_users(users: Path | None, database: str | None) -> tuple[RolesFile, tuple[User, ...], str]:
    """Roles, users and database. Raises `RolesFileError` and `UsersFileError`."""
    from streams.adapters.clickhouse.connection import ClickHouseAddress

    settings = command_settings()
    roles = load_roles()
    address = ClickHouseAddress.parse(settings.clickhouse_url.get_secret_value())
    return roles, load_users(users or settings.clickhouse_users_file, roles), database or address.database
