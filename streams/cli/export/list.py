"""`callstream export list`."""

from typing import Annotated

import typer
from rich.table import Table

from streams.cli.console.options import JsonOption
from streams.cli.console.output import console, print_json
from streams.cli.export.person import UrlOption, api


def list_exports(
    tenant: Annotated[str, typer.Option(help="Whose exports.")], as_json: JsonOption = False, url: UrlOption = ""
) -> None:
    """List your exports, and those that you may decide about."""
    found = api(url).get("/v1/exports", tenant=tenant)
    if as_json:
        print_json(found)
        return
    table = Table("export", "state", "calls", "contents", "for", "asked for by", "reason", box=None, header_style="")
    for each in found["exports"]:
        table.add_row(
            each["export_id"],
            each["state"],
            str(each["calls_count"]),
            " ".join(each["contents"]),
            each["recipient"],
            each["requested_by"],
            each["reason"],
        )
    console().print(table)
