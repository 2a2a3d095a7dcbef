"""`callstream rules diff`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from schemas.config.rule_pack import SECTIONS, RulePack, RulePackError, read_rule_pack
from streams.cli.console.exit_codes import EXIT_PROBLEM
from streams.cli.console.output import end_with_problems


def diff_packs(
    old: Annotated[Path, typer.Argument(help="Rule pack to compare with.")],
    new: Annotated[Path, typer.Argument(help="Rule pack to compare.")],
) -> None:
    """Compare two packs.

    Lists the rules and conditions that were added (+), removed (-) and changed (~). Ends with 1 if there are any.
    """
    try:
        before, after = read_rule_pack(old), read_rule_pack(new)
    except RulePackError as error:
        end_with_problems(error.problems)
    lines = list(_differences(before, after))
    for line in lines:
        typer.echo(line)
    typer.echo(f"{before.label} → {after.label}: {len(lines)} difference(s)")
    raise typer.Exit(EXIT_PROBLEM if lines else 0)


def _differences(before: RulePack, after: RulePack) -> Iterator[str]:
    for name in sorted({*before.conditions, *after.conditions}):
        if before.conditions.get(name) != after.conditions.get(name):
            yield f"{_sign(name in before.conditions, name in after.conditions)} condition {name}"
    for section in SECTIONS:
        old: dict[str, Any] = {entry.id: entry for entry in getattr(before, section)}
        new: dict[str, Any] = {entry.id: entry for entry in getattr(after, section)}
        for entry_id in sorted({*old, *new}):
            if old.get(entry_id) == new.get(entry_id):
                continue
            fields = ""
            if entry_id in old and entry_id in new:
                names = type(new[entry_id]).model_fields
                changed = [n for n in names if getattr(old[entry_id], n) != getattr(new[entry_id], n)]
                fields = f": {', '.join(changed)}"
            yield f"{_sign(entry_id in old, entry_id in new)} {section} {entry_id}{fields}"


def _sign(was: bool, is_: bool) -> str:
    return "~" if was and is_ else "+" if is_ else "-"
