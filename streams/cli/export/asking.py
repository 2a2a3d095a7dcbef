"""`callstream export request`, `list`, `show`, `approve`, `refuse` and `withdraw`: as a person, through `serve`."""

import re
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from processors.custody.exports import CONTENTS
from streams.cli.command_settings import command_settings
from streams.cli.console.options import JsonOption
from streams.cli.console.output import console, print_json
from streams.cli.console.served import ServeApi
from streams.cli.console.times import parse_day

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


def request_export(
    tenant: Annotated[str, typer.Option(help="Whose calls.")],
    recipient: Annotated[str, typer.Option(help="Who gets it; stands in every file of the export.")],
    reason: Annotated[str, typer.Option(help="Why, as a word: complaint, audit, court …")],
    contents: Annotated[
        list[str], typer.Option("--contents", help=f"What of each call, once or several times: {', '.join(CONTENTS)}.")
    ],
    call: Annotated[list[str] | None, typer.Option(help="Id of a call; can be repeated.")] = None,
    calls: Annotated[Path | None, typer.Option(help="File with an id of a call on each line.")] = None,
    day: Annotated[str | None, typer.Option(help="Instead: calls that ended on this day of the tenant.")] = None,
    to: Annotated[str | None, typer.Option(help="Last day, if several; it is included.")] = None,
    ticket: Annotated[str | None, typer.Option(help="The case that it is for.")] = None,
    as_json: JsonOption = False,
    url: UrlOption = "",
) -> None:
    """Ask for an export of exactly these calls (docs/exports.md).

    Somebody else has to approve it; with days, it is the calls that there are now.
    """
    ids = [*(call or []), *_lines(calls)]
    if bool(ids) == (day is not None):
        raise typer.BadParameter("name calls with --call or --calls, or a --day", param_hint="--call")
    body: dict[str, Any] = {
        "tenant_id": tenant,
        "recipient": recipient,
        "reason": reason,
        "contents": contents,
        "ticket": ticket,
    }
    if day is not None:
        first = parse_day(day, "--day")
        body["first_day"] = first.isoformat()
        body["last_day"] = (first if to is None else parse_day(to, "--to")).isoformat()
    else:
        body["call_ids"] = ids
    _show(api(url).post("/v1/exports", body), as_json=as_json)


def _lines(file: Path | None) -> list[str]:
    if file is None:
        return []
    try:
        return [line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"{file} cannot be read: {type(error).__name__}", param_hint="--calls") from None


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


def show_export(export_id: ExportArgument, as_json: JsonOption = False, url: UrlOption = "") -> None:
    """Show an export with its exact set, and the digest that an approval names."""
    _show(api(url).get(path_of(export_id)), as_json=as_json)


def approve_export(
    export_id: ExportArgument,
    set_sha256: Annotated[
        str, typer.Option("--set", help="Digest of the set that you agree to, as `callstream export show` prints it.")
    ],
    as_json: JsonOption = False,
    url: UrlOption = "",
) -> None:
    """Agree to hand out exactly this set. Never your own request."""
    _show(api(url).post(path_of(export_id, "/approve"), {"set_sha256": set_sha256}), as_json=as_json)


def refuse_export(
    export_id: ExportArgument,
    reason: Annotated[str, typer.Option(help="Why, as a word.")] = "not_justified",
    as_json: JsonOption = False,
    url: UrlOption = "",
) -> None:
    """Do not agree; also ends an export that is approved."""
    _show(api(url).post(path_of(export_id, "/refuse"), {"reason": reason}), as_json=as_json)


def withdraw_export(export_id: ExportArgument, as_json: JsonOption = False, url: UrlOption = "") -> None:
    """Take back a request of yours."""
    _show(api(url).post(path_of(export_id, "/withdraw")), as_json=as_json)


def _show(export: dict[str, Any], *, as_json: bool) -> None:
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
