"""`callstream dead-letters discard`."""

from typing import Annotated

import typer

from streams.cli.command_settings import command_settings
from streams.cli.console.options import JsonOption
from streams.cli.console.output import print_json
from streams.cli.dead_letters.options import (
    LetterCallOption,
    LetterErrorOption,
    LetterFromOption,
    LetterIds,
    LetterLastOption,
    LetterStateOption,
    LetterStepOption,
    LetterTenantOption,
    LetterToOption,
    LetterTopicOption,
    checked_reason,
    enter_letters,
    letter_filter,
    permitted,
)

DISCARDED = "dead_letters_discarded"


def discard(
    letters: LetterIds = None,
    reason: Annotated[str | None, typer.Option(help="Why, as a word: sent_by_a_test, duplicate …")] = None,
    tenant: LetterTenantOption = None,
    step: LetterStepOption = None,
    error: LetterErrorOption = None,
    topic: LetterTopicOption = None,
    call: LetterCallOption = None,
    since: LetterFromOption = None,
    until: LetterToOption = None,
    last: LetterLastOption = None,
    state: LetterStateOption = None,
    most: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="At most so many letters, the oldest of each partition first.")
    ] = 500,
    as_json: JsonOption = False,
) -> None:
    """Give refused messages up, with a reason.

    The letters stay and can be counted; a call that was refused stays refused in every count of completeness. A message
    lies in its topic until its time is over; until then `retry` with the id of its letter takes it up again.
    """
    from streams.dead_letters.desk import Handler, open_desk
    from streams.ports import SystemClock

    settings, clock = command_settings(), SystemClock()
    why = checked_reason(reason, needed=True)
    wanted = letter_filter(
        ids=letters,
        tenant=tenant,
        step=step,
        error=error,
        topic=topic,
        call=call,
        since=since,
        until=until,
        last=last,
        states=state,
    )
    if not (letters or step or error or topic or call or since or last):
        raise typer.BadParameter("name letters, or say which by an option besides --tenant", param_hint="LETTER…")
    who = permitted(settings, wanted.tenant_id, DISCARDED)
    with open_desk(settings, clock) as desk:
        there = desk.letters.count(wanted)
        enter_letters(settings, who, DISCARDED, wanted, letters=min(there, most), reason=why)
        done = desk.discard(desk.chosen(wanted), Handler(who.actor.actor_id, why), most=most)
        enter_letters(settings, who, DISCARDED, wanted, letters=done, result="done", reason=why)
    if as_json:
        print_json({"discarded": done})
    else:
        typer.echo(f"{done} letter(s) discarded")
