"""`callstream export show`."""

from streams.cli.console.options import JsonOption
from streams.cli.export.person import ExportArgument, UrlOption, api, path_of, print_export


def show_export(export_id: ExportArgument, as_json: JsonOption = False, url: UrlOption = "") -> None:
    """Show an export with its exact set, and the digest that an approval names."""
    print_export(api(url).get(path_of(export_id)), as_json=as_json)
