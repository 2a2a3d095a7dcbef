"""Searches that people keep: `callstream search --save NAME`, `--saved`, `--list-saved` and `--forget`.

What is kept are options as they were given, so `--last 7d` means the last seven days of whenever it is used. All
options that `search` has are criteria, but those of `NO_CRITERIA`.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from processors.pii.digit_kinds import kind_unasked
from processors.pii.digit_runs import digit_runs
from processors.pii.match import fold
from schemas.errors import OperatorError
from streams.settings import Settings

if TYPE_CHECKING:
    from streams.adapters.register.saved_searches import Criteria, RegisterSavedSearches

NO_CRITERIA = frozenset(
    {
        *("limit", "cursor", "reason", "ticket", "as_json", "csv", "xlsx", "lang"),
        *("save", "_saved", "_list_saved", "_forget"),
    }
)
"""Options that say how a search is shown and why it is made, not what it looks for."""
CUSTOMERS = {"phone": "--phone", "order": "--order"}
"""Options that tell one customer apart: they are given anew each time."""
_NAME = re.compile(r"[^\s\x00-\x1f][^\x00-\x1f]{0,62}[^\s\x00-\x1f]|[^\s\x00-\x1f]")


class SavedSearchError(OperatorError):
    """The search cannot be kept or found; the text says why."""

    exit_code = 2


def criteria_to_keep(context: typer.Context, name: str) -> "Criteria":
    """What the command was asked for, as it was given, to be kept under the name.

    Raises `SavedSearchError` for a name that cannot be, and for what tells a customer apart.
    """
    if _NAME.fullmatch(name) is None:
        raise SavedSearchError("--save: a name has 1 to 64 characters, none of them a line break or tab")
    given = {option: value for option, value in context.params.items() if _is_given(value)}
    for option, written in CUSTOMERS.items():
        if option in given:
            raise SavedSearchError(f"--save: {written} tells a customer apart and is not kept; give it beside --saved")
    criteria = {option: value for option, value in given.items() if option not in NO_CRITERIA}
    texts = (text for value in criteria.values() for text in (value if isinstance(value, list) else [value]))
    if any(_is_personal(text) for text in texts):
        raise SavedSearchError(
            "--save: a number in it looks like that of a phone, a card or an identity document, which is not kept; "
            "give it beside --saved"
        )
    return criteria


def keep_search(settings: Settings, name: str, criteria: "Criteria") -> None:
    """Keep the criteria under the name. Raises `SavedSearchError`, and as `Register.transaction`."""
    with _searches(settings) as searches:
        if not searches.keep(name, criteria):
            raise SavedSearchError("--save: there are too many already; remove some with --forget NAME")
    typer.echo(f"kept for --saved {name}", err=True)


def recall_search(context: typer.Context, name: str | None) -> str | None:
    """Callback of `--saved`: what was kept stands where nothing is given. Raises `SavedSearchError`."""
    if name is None or context.resilient_parsing:
        return name
    from streams.cli.command_settings import command_settings

    with _searches(command_settings()) as searches:
        found = next((each for each in searches.every() if each.name == name), None)
    if found is None:
        raise SavedSearchError(f"--saved: this account has kept no search {name!r}: see --list-saved")
    known = {parameter.name for parameter in context.command.params} - NO_CRITERIA - CUSTOMERS.keys()
    if unknown := sorted(found.criteria.keys() - known):
        raise SavedSearchError(
            f"--saved: {name!r} was kept by another release: it has {unknown[0]}, which is no option"
        )
    context.default_map = dict(found.criteria)
    return name


def list_saved(context: typer.Context, wanted: bool) -> None:
    """Callback of `--list-saved`: names and criteria on standard output, and the end."""
    if not wanted or context.resilient_parsing:
        return
    from streams.cli.command_settings import command_settings

    options = {parameter.name or "": parameter.opts[0] for parameter in context.command.params}
    with _searches(command_settings()) as searches:
        for each in searches.every():
            typer.echo(f"{each.name}: {' '.join(_written(options, each.criteria))}")
    raise typer.Exit


def forget_saved(context: typer.Context, name: str | None) -> None:
    """Callback of `--forget`: removes it, and the end. Raises `SavedSearchError`."""
    if name is None or context.resilient_parsing:
        return
    from streams.cli.command_settings import command_settings

    with _searches(command_settings()) as searches:
        if not searches.forget(name):
            raise SavedSearchError(f"--forget: this account has kept no search {name!r}: see --list-saved")
    raise typer.Exit


def _is_given(value: object) -> bool:
    return value is not None and value is not False and value != [] and value != ()


def _is_personal(value: object) -> bool:
    if not isinstance(value, str):
        return False
    return any(kind_unasked(run.digits, other_number_asked=False) is not None for run in digit_runs(fold(value)))


def _written(options: dict[str, str], criteria: "Criteria") -> Iterator[str]:
    for name, value in criteria.items():
        option = options.get(name, name)
        for each in value if isinstance(value, list) else [value]:
            if option.startswith("--"):
                yield option
            if each is not True:
                yield repr(each) if isinstance(each, str) and not each.isalnum() else str(each)


@contextmanager
def _searches(settings: Settings) -> "Iterator[RegisterSavedSearches]":
    """Those of whoever runs the command."""
    from streams.adapters.register.register import Register
    from streams.adapters.register.saved_searches import RegisterSavedSearches
    from streams.cli.console.access import commanding
    from streams.ports import SystemClock

    register = Register.of(settings)
    try:
        who = commanding(settings, register).actor
        yield RegisterSavedSearches(register, who.actor_id, SystemClock())
    finally:
        register.close()
