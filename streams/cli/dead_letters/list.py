"""`callstream dead-letters list`."""

from typing import Annotated

import typer
from rich.table import Table

from processors.dead_letters.again import StoredLetter
from streams.cli.command_settings import command_settings
from streams.cli.console.options import JsonOption
from streams.cli.console.output import console, print_json
from streams.cli.dead_letters.options import (
    LetterCallOption,
    LetterErrorOption,
    LetterFromOption,
    LetterLastOption,
    LetterStateOption,
    LetterStepOption,
    LetterTenantOption,
    LetterToOption,
    LetterTopicOption,
    enter_letters,
    letter_filter,
    permitted,
)

LISTED = "dead_letters_listed"


def list_letters(
    tenant: LetterTenantOption = None,
    step: LetterStepOption = None,
    error: LetterErrorOption = None,
    topic: LetterTopicOption = None,
    call: LetterCallOption = None,
    since: LetterFromOption = None,
    until: LetterToOption = None,
    last: LetterLastOption = None,
    state: LetterStateOption = None,
    most: Annotated[int, typer.Option(min=1, max=10_000, help="Letters that are shown, the newest first.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """List messages that were refused: by kind, and the newest one by one.

    A letter is open until its message is published again, its call is analysed after all, or somebody discards it. It
    needs a role that looks after the messages of the tenant, or, without --tenant, of all (docs/people.md).
    """
    from streams.dead_letters.desk import open_desk
    from streams.ports import SystemClock

    settings = command_settings()
    wanted = letter_filter(
        ids=None,
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
    who = permitted(settings, wanted.tenant_id, LISTED)
    with open_desk(settings, SystemClock()) as desk:
        kinds, letters = desk.letters.kinds(wanted), desk.listed(wanted, most)
        enter_letters(settings, who, LISTED, wanted, letters=len(letters))
    if as_json:
        print_json({"kinds": [vars(kind) for kind in kinds], "letters": [letter_facts(each) for each in letters]})
        return
    table = Table("step", "error", "topic", "state", "letters", title="kinds")
    for kind in kinds:
        table.add_row(kind.step, kind.exception_class, kind.source_topic, kind.state, str(kind.letters))
    console().print(table)
    table = Table("letter", "refused", "step", "error", "message", "tenant", "call", "state", "retries")
    for each in letters:
        letter = each.letter
        table.add_row(
            letter.dead_letter_id,
            f"{letter.failed_at:%Y-%m-%d %H:%M:%S}",
            letter.step,
            letter.exception_class,
            each.position,
            letter.tenant_id or "",
            letter.call_id or "",
            each.state,
            str(letter.retries),
        )
    console().print(table)


def letter_facts(stored: StoredLetter) -> dict[str, object]:
    """A letter, as JSON has it."""
    letter = stored.letter
    return {
        "dead_letter_id": letter.dead_letter_id,
        "state": stored.state,
        "step": letter.step,
        "exception_class": letter.exception_class,
        "problems": list(letter.problems),
        "message": stored.position,
        "tenant_id": letter.tenant_id,
        "call_id": letter.call_id,
        "value_bytes": letter.value_bytes,
        "failed_at": letter.failed_at.isoformat(timespec="milliseconds"),
        "retries": letter.retries,
        "retry_of": letter.retry_of,
        "origin": letter.origin,
        "handling": letter.handling,
        "handled_at": letter.handled_at and letter.handled_at.isoformat(timespec="milliseconds"),
        "handled_by": letter.handled_by,
        "handled_reason": letter.handled_reason,
    }
