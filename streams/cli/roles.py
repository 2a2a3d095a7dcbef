"""`callstream roles`: who may see what in ClickHouse, and the statements and files that make it so (docs/roles.md)."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from processors.clickhouse.grants import access_of, sql_statements
from processors.clickhouse.grants import users_xml as users_xml_of
from schemas.config.roles import RolesFile, RowScope, User, load_roles, load_users
from streams.cli.command_settings import command_settings

PLAIN_WIDTH = 160
ROWS: Mapping[RowScope, str] = {"agent": "own calls", "team": "own teams", "tenant": "own tenants", "all": "all"}

roles_app = typer.Typer(help="Who may see what in ClickHouse (docs/roles.md).", no_args_is_help=True)

UsersOption = Annotated[
    Path | None,
    typer.Option("--users", help="YAML file of users; by default that of CALLSTREAM_CLICKHOUSE_USERS_FILE."),
]
DatabaseOption = Annotated[
    str | None, typer.Option(help="Database of the tables; by default that of CALLSTREAM_CLICKHOUSE_URL.")
]


def _read(users: Path | None, database: str | None) -> tuple[RolesFile, tuple[User, ...], str]:
    """Roles, users and database. Raises `RolesFileError` and `UsersFileError`."""
    from streams.adapters.clickhouse.connection import ClickHouseAddress

    settings = command_settings()
    roles = load_roles()
    address = ClickHouseAddress.parse(settings.clickhouse_url.get_secret_value())
    return roles, load_users(users or settings.clickhouse_users_file, roles), database or address.database


@roles_app.command()
def sql(
    users: UsersOption = None,
    database: DatabaseOption = None,
    cluster: Annotated[str | None, typer.Option(help="Cluster of the server, for ON CLUSTER.")] = None,
) -> None:
    """Statements for a ClickHouse server: profiles, quotas, roles, row policies, grants, users. They can be run again.

    Run them as a user with access management, after `callstream migrate`. They hold hashes of passwords.
    """
    for statement in sql_statements(*_read(users, database), cluster):
        sys.stdout.write(f"{statement};\n")


@roles_app.command(name="users-xml")
def users_xml(users: UsersOption = None, database: DatabaseOption = None) -> None:
    """The same as a file for the folder users.d of a server. It holds hashes of passwords."""
    sys.stdout.write(users_xml_of(*_read(users, database)))


@roles_app.command()
def show(
    users: UsersOption = None,
    database: DatabaseOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of tables.")] = False,
) -> None:
    """What each role may read of each view, and which rows the users of the file see."""
    roles, people, name = _read(users, database)
    if as_json:
        sys.stdout.write(json.dumps(_as_json(roles, people, name), ensure_ascii=False, indent=2) + "\n")
        return
    console = Console() if sys.stdout.isatty() else Console(width=PLAIN_WIDTH)
    shown = [role for role, definition in roles.roles.items() if definition.of_people]
    table = Table("view", *shown)
    for view in roles.views:
        table.add_row(view, *(_permission(roles, view, role) for role in shown))
    table.add_row(f"{len(roles.storage)} tables below", *["–"] * len(shown))
    console.print(table)
    for role, definition in roles.roles.items():
        own = "" if definition.of_people else f" ({'; '.join(definition.grants)})".format(database=name)
        console.print(f"{role}: {definition.purpose}{own}", markup=False, highlight=False)
    for user in people:
        filters = sorted(set(access_of(user, roles, name).filters.values()), key=len)
        filters = [each for each in filters if each != "1"] or filters  # views whose rows are nobody's say nothing
        console.print(f"{user.name}, {user.role}: {' | '.join(filters)}", markup=False, highlight=False, soft_wrap=True)


def _permission(roles: RolesFile, view: str, role: str) -> str:
    definition = roles.views[view]
    if role not in definition.may:
        return "–"
    missing = [group for group in definition.columns if group not in definition.may[role].columns]
    rows = {"agent": "own calls", "team": "own teams", "tenant": "own tenants", "all": "all"}[
        roles.rows_for(view, role)
    ]
    return rows + (f", without {', '.join(missing)}" if missing else "")


def _as_json(roles: RolesFile, people: tuple[User, ...], database: str) -> dict[str, Any]:
    return {
        "roles": {
            name: {
                "purpose": role.purpose,
                "purpose_zh": role.purpose_zh,
                "limits": role.limits.model_dump() if role.limits else None,
                "grants": [grant.format(database=database) for grant in role.grants],
                "views": {
                    view: {"rows": roles.rows_for(view, name), "columns": definition.columns_for(name)}
                    for view, definition in roles.views.items()
                    if name in definition.may
                },
            }
            for name, role in roles.roles.items()
        },
        "users": {
            user.name: {"role": user.role, "filters": dict(access_of(user, roles, database).filters)} for user in people
        },
    }
