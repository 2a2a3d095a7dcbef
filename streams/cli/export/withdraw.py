"""`callstream export withdraw`."""

from streams.cli.console.options import JsonOption
from streams.cli.export.person import ExportArgument, UrlOption, api, path_of, print_export


def withdraw_export(export_id: ExportArgument, as_json: JsonOption = False, url: UrlOption = "") -> None:
    """Take back a request of yours."""
    print_export(api(url).post(path_of(export_id, "/withdraw")), as_json=as_json)
