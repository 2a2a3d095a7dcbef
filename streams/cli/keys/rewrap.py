"""`callstream keys rewrap`."""

import typer

from processors.custody.ports import Purpose
from streams.cli.console.output import end_with_problems
from streams.cli.keys.rotating import PurposeOption, meant, rotating


def rewrap_keys(purpose: PurposeOption = None) -> None:
    """Wrap anew what former versions have wrapped, while calls flow.

    Only the keys of days are wrapped anew, of which there are few: no call and no recording is touched. It may be
    stopped at any time and run again.
    """
    purposes = meant(purpose)
    refused: dict[Purpose, int] = {}
    with rotating(purposes) as rotation:
        for each in purposes:
            result = rotation.rewrap(each, lambda done, each=each: typer.echo(f"{each}: {done} …", err=True))  # type: ignore[misc] # a default binds the loop's variable
            typer.echo(f"{each}: {result.done} keys of days wrapped anew")
            if result.refused:
                refused[each] = result.refused
    if refused:
        end_with_problems(
            f"{each}: {count} keys of days do not open: their rows in the register were changed; put them back from a "
            "backup, and run this again"
            for each, count in refused.items()
        )
