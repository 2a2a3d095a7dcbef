"""`callstream export refuse`."""

from typing import Annotated

import typer

from streams.cli.console.options import JsonOption
from streams.cli.export.person import ExportArgument, UrlOption, api, path_of, print_export


def refuse_export(
    export_id: ExportArgument,
    reason: Annotated[str, typer.Option(help="Why, as a word.")] = "not_justified",
    as_json: JsonOption = False,
    url: UrlOption = "",
) -> None:
    """Do not agree; also ends an export that is approved."""
    print_export(api(url).post(path_of(export_id, "/refuse"), {"reason": reason}), as_json=as_json)
