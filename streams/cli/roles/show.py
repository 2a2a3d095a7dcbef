"""`callstream roles show`."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.table import Table

from processors.clickhouse.grants import access_of
from schemas.config.roles import ACTIONS, RolesFile, RowScope, User
from streams.cli.console.options import JsonOption
from streams.cli.console.output import console, print_json
from streams.cli.roles.users import DatabaseOption, UsersOption, read_users

ROWS: Mapping[RowScope, str] = {"agent": "own calls", "team": "own teams", "tenant": "own tenants", "all": "all"}


def show_roles(
    users: UsersOption = None,
    database: DatabaseOption = None,
    actions: Annotated[
        bool, typer.Option("--actions", help="What callstream lets each role do, as in docs/people.md.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what each role may read, and which rows each user sees."""
    roles, people, name = read_users(users, database)
    if actions:
        typer.echo(action_table(roles))
        return
    if as_json:
        print_json(_as_json(roles, people, name))
        return
    shown = [role for role, definition in roles.roles.items() if definition.of_people]
    table = Table("view", *shown)
    for view in roles.views:
        table.add_row(view, *(_permission(roles, view, role) for role in shown))
    table.add_row(f"{len(roles.storage)} tables below", *["–"] * len(shown))
    console().print(table)
    for role, definition in roles.roles.items():
        own = "" if definition.of_people else f" ({'; '.join(definition.grants)})".format(database=name)
        typer.echo(f"{role}: {definition.purpose}{own}")
    for user in people:
        filters = sorted(set(access_of(user, roles, name).filters.values()), key=len)
        filters = [each for each in filters if each != "1"] or filters  # views whose rows are nobody's say nothing
        typer.echo(f"{user.name}, {user.role}: {' | '.join(filters)}")


def action_table(roles: RolesFile) -> str:
    """Role by action, as Markdown: to which calls each is granted."""
    lines = [
        f"| role | 中文 | {' | '.join(f'`{action}`' for action in ACTIONS)} |",
        "|---|---|" + "---|" * len(ACTIONS),
    ]
    for name, role in roles.of_people.items():
        cells = [ROWS[role.rows] if action in role.actions else "–" for action in ACTIONS]
        lines.append(f"| `{name}` | {role.purpose_zh.partition('：')[0]} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _permission(roles: RolesFile, view: str, role: str) -> str:
    definition = roles.views[view]
    if role not in definition.may:
        return "–"
    return ROWS[roles.rows_for(view, role)]


def _as_json(roles: RolesFile, people: tuple[User, ...], database: str) -> dict[str, Any]:
    return {
        "roles": {
            name: {
                "purpose": role.purpose,
                "purpose_zh": role.purpose_zh,
                "limits": role.limits.model_dump() if role.limits else None,
                "grants": [grant.format(database=database) for grant in role.grants],
                "views": {
                    view: {"rows": roles.rows_for(view, name)}
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
