"""`callstream api-keys rotate`."""

from datetime import timedelta
from typing import Annotated

import typer

from streams.cli.api_keys.fresh_key import DaysOption, lifetime, registered_keys, show_once
from streams.cli.console.access import account


def rotate(
    key_id: Annotated[str, typer.Argument(help="Id of the key, as `api-keys list` shows it.")],
    overlap_hours: Annotated[
        int, typer.Option(min=0, max=720, help="Hours that the former key may be used beside the new one.")
    ] = 24,
    days: DaysOption = 365,
) -> None:
    """Make a key in the place of another, of the same tenant and scopes, and show it, this once.

    The former key ends after the overlap.
    """
    from streams.ports import SystemClock

    lasts = lifetime(days)
    ends = None if lasts is None else SystemClock().now() + lasts
    show_once(registered_keys().rotate(key_id, timedelta(hours=overlap_hours), ends, actor=account()))
