"""`callstream contracts`: what other programs may rely on, as files."""

from pathlib import Path
from typing import Annotated

import typer

from streams.cli.console.exit_codes import EXIT_PROBLEM


def contracts(
    out: Annotated[Path, typer.Option(help="Folder to write to; by default the current one.")] = Path(),
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing, and end with 1 if a file is out of date.")
    ] = False,
) -> None:
    """Write the schemas of all messages to docs/contracts/.

    These are one JSON Schema per message, the AsyncAPI document of all topics and the OpenAPI document of `serve`.
    """
    from schemas.contracts import contracts_text
    from streams.serve.openapi import OPENAPI_FILE, openapi_text
    from streams.topology import operations

    stale = False
    for name, text in (contracts_text(operations()) | {OPENAPI_FILE: openapi_text()}).items():
        path = out / name
        current = path.is_file() and path.read_text(encoding="utf-8") == text
        if check:
            stale = stale or not current
            typer.echo(f"{path}: {'up to date' if current else 'out of date'}")
        elif not current:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            typer.echo(f"wrote {path}")
    raise typer.Exit(EXIT_PROBLEM if stale else 0)
