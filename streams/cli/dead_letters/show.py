"""`callstream dead-letters show`."""

from typing import Annotated

import typer

from processors.dead_letters.again import advice_of
from streams.cli.command_settings import command_settings
from streams.cli.console.options import JsonOption
from streams.cli.console.output import print_json
from streams.cli.dead_letters.list import letter_facts
from streams.cli.dead_letters.options import LetterTenantOption, enter_letters, letter_filter, permitted

VIEWED = "dead_letter_viewed"


def show(
    letter: Annotated[str, typer.Argument(help="Id of the letter.")],
    tenant: LetterTenantOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a letter, and the message that was refused, masked.

    Of the message its form is shown, and the values that tell nothing of a person; of everything else how long it is,
    also of names of fields that the schema does not have. Each time is an entry of the audit log.
    """
    from streams.dead_letters.desk import open_desk
    from streams.ports import SystemClock

    settings = command_settings()
    wanted = letter_filter(
        ids=[letter],
        tenant=tenant,
        step=None,
        error=None,
        topic=None,
        call=None,
        since=None,
        until=None,
        last=None,
        states=None,
    )
    who = permitted(settings, wanted.tenant_id, VIEWED)
    with open_desk(settings, SystemClock()) as desk:
        stored = desk.one(letter, wanted.tenant_id)
        enter_letters(settings, who, VIEWED, wanted, letters=1)
        hindrance, lines = desk.shown(stored)
    advice = hindrance and advice_of(hindrance, stored.letter.source_topic)
    if as_json:
        print_json({**letter_facts(stored), "not_shown": hindrance, "advice": advice, "masked": list(lines)})
        return
    for name, value in letter_facts(stored).items():
        if value not in (None, []):
            typer.echo(f"{name}: {'; '.join(value) if isinstance(value, list) else value}")
    typer.echo("")
    for line in lines:
        typer.echo(f"  {line}")
    if advice:
        typer.echo(f"  {hindrance}: {advice}")
