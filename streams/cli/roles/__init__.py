"""`callstream roles`: who may see what in ClickHouse, and the statements and files that make it so (docs/roles.md)."""

import typer

from streams.cli.roles.apply import apply
from streams.cli.roles.show import show_roles
from streams.cli.roles.sql import print_sql
from streams.cli.roles.users_xml import print_users_xml

roles_app = typer.Typer(help="Set up who may see what in ClickHouse (docs/roles.md).", no_args_is_help=True)
roles_app.command("apply")(apply)
roles_app.command("sql")(print_sql)
roles_app.command("users-xml")(print_users_xml)
roles_app.command("show")(show_roles)
