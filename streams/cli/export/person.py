"""What the commands of exports share: `serve` as a person, and how an export is printed."""

import re
from typing import Annotated, Any

import typer

from streams.cli.command_settings import command_settings
from streams.cli.console.output import console, print_json
from streams.cli.console.served import ServeApi

ExportArgument = Annotated[str, typer.Argument(help="Id of the export.", metavar="EXPORT")]
UrlOption = Annotated[str, typer.Option(help="Where `serve` or `play` listens; by default where the settings say.")]

_ID = re.compile(r"[a-z0-9]{1,32}")


def api(url: str = "") -> ServeApi:
    """`serve`, as the person of CALLSTREAM_PERSON_TOKEN."""
    from streams.ports import SystemClock

    return ServeApi(command_settings(), SystemClock().now(), url)


def path_of(export_id: str, action: str = "") -> str:
    """Raises `BadParameter` for what is no id."""
    if not _ID.fullmatch(export_id):
        raise typer.BadParameter("that is no id of an export: `callstream export list` shows them")
    return f"/v1/exports/{export_id}{action}"


def print_export(export: dict[str, Any], *, as_json: bool) -> None:
    """An export as `serve` tells it, for people or for programs."""
    if as_json:
        print_json(export)
        return
    out = console(soft_wrap=True)
    ended = f" ({export['state_reason']})" if export["state_reason"] else ""
    out.print(f"{export['export_id']}: {export['state']}{ended}")
    out.print(f"  {export['calls_count']} calls of {export['tenant_id']}, {', '.join(export['contents'])}")
    out.print(f"  for {export['recipient']}: {export['reason']} {export['ticket'] or ''}".rstrip())
    out.print(f"  asked for by {export['requested_by']} at {export['requested_at']}, until {export['request_until']}")
    for each in export["approvals"]:
        out.print(f"  approved by {each['account']} at {each['at']}")
    if export["grant_until"]:
        left = export["downloads_allowed"] - export["downloads"]
        out.print(f"  {left} downloads left until {export['grant_until']}")
    out.print(f"  set {export['set_sha256']}")
    for call in export["calls"] or ():
        out.print(f"    {call['call_id']}")
