"""`callstream export request`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from processors.custody.exports import CONTENTS
from streams.cli.console.options import JsonOption
from streams.cli.console.times import parse_day
from streams.cli.export.person import UrlOption, api, print_export


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
    print_export(api(url).post("/v1/exports", body), as_json=as_json)


def _lines(file: Path | None) -> list[str]:
    if file is None:
        return []
    try:
        return [line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"{file} cannot be read: {type(error).__name__}", param_hint="--calls") from None
