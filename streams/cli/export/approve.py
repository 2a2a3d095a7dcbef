"""`callstream export approve`."""

from typing import Annotated

import typer

from streams.cli.console.options import JsonOption
from streams.cli.export.person import ExportArgument, UrlOption, api, path_of, print_export


def approve_export(
    export_id: ExportArgument,
    set_sha256: Annotated[
        str, typer.Option("--set", help="Digest of the set that you agree to, as `callstream export show` prints it.")
    ],
    as_json: JsonOption = False,
    url: UrlOption = "",
) -> None:
    """Agree to hand out exactly this set. Never your own request."""
    print_export(api(url).post(path_of(export_id, "/approve"), {"set_sha256": set_sha256}), as_json=as_json)
