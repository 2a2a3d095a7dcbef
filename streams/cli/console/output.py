"""What commands print: tables and lines for people, JSON for programs, problems on standard error."""

import json
import os
import sys
from collections.abc import Iterable
from typing import Any, NoReturn

import typer
from rich.console import Console

from streams.cli.console.exit_codes import EXIT_PROBLEM

PLAIN_WIDTH_COLUMNS = 180
"""Width of what is printed to a file or a pipe, unless `COLUMNS` says otherwise."""


def console(*, soft_wrap: bool = False) -> Console:
    """Standard output for people.

    What is printed comes from callers, telephone systems and files: it is never read as markup, so that a team may be
    called "[/x]" and a queue ":fire:".
    """
    plain = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    width = PLAIN_WIDTH_COLUMNS if plain else None
    return Console(markup=False, emoji=False, soft_wrap=soft_wrap, width=width)


def print_json(value: Any) -> None:
    """For programs; Chinese stays readable."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2))


def print_json_line(value: Any) -> None:
    """The same on one line, for programs that read several."""
    typer.echo(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def end_with_problems(problems: Iterable[str]) -> NoReturn:
    """A line each on standard error; the command ends with 1."""
    for problem in problems:
        typer.echo(problem, err=True)
    raise typer.Exit(EXIT_PROBLEM)
