"""`callstream config`: every setting and where its value came from."""

from typing import Annotated

import typer
from pydantic import SecretStr
from rich.table import Table

from streams.cli.command_settings import load_command_settings
from streams.cli.console.options import JsonOption
from streams.cli.console.output import console, print_json
from streams.cli.pages.settings import settings_markdown
from streams.settings import PREFIX, setting_fields


def config(
    as_json: JsonOption = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the page docs/settings.md.")] = False,
) -> None:
    """Show every setting, its value and where that came from.

    Secrets are hidden.
    """
    if markdown:
        typer.echo(settings_markdown(), nl=False)
        return
    loaded = load_command_settings()
    rows = [
        (name, _shown(value), loaded.origin[name], setting_fields()[name].description or "")
        for name, value in loaded.settings.values().items()
    ]
    if as_json:
        print_json({name: {"value": value, "origin": origin} for name, value, origin, _ in rows})
        return
    table = Table("variable", "value", "from", "meaning")
    for name, value, origin, meaning in rows:
        table.add_row(PREFIX + name.upper(), value, origin, meaning)
    console().print(table)


def _shown(value: object) -> str:
    if isinstance(value, SecretStr):
        return "********" if value.get_secret_value() else ""
    return "" if value is None else str(value)
