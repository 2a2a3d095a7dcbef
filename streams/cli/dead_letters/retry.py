"""`callstream dead-letters retry`."""

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from processors.dead_letters.again import advice_of
from streams.cli.command_settings import command_settings
from streams.cli.console.exit_codes import EXIT_PROBLEM
from streams.cli.console.interrupt import sigterm_as_interrupt
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

if TYPE_CHECKING:
    from processors.dead_letters.difference import LettersDifference
    from streams.dead_letters.desk import RetryReport

TRIED, RETRIED = "dead_letters_tried", "dead_letters_retried"
NAMED = 20
MOST = 1_000_000


def retry(
    letters: LetterIds = None,
    tenant: LetterTenantOption = None,
    step: LetterStepOption = None,
    error: LetterErrorOption = None,
    topic: LetterTopicOption = None,
    call: LetterCallOption = None,
    since: LetterFromOption = None,
    until: LetterToOption = None,
    last: LetterLastOption = None,
    state: LetterStateOption = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Process the messages in memory, write nothing, and show what would change."),
    ] = False,
    most: Annotated[
        int, typer.Option(min=1, max=MOST, help="At most so many letters, the oldest of each partition first.")
    ] = 500,
    again_anyway: Annotated[
        bool,
        typer.Option("--again-anyway", help="Also those that were refused after every retry so far."),
    ] = False,
    reason: Annotated[str | None, typer.Option(help="Why, as a word: upgraded, corrected …")] = None,
    as_json: JsonOption = False,
) -> None:
    """Publish refused messages again, to the topics that they came from.

    Only letters that are open, unless --state says otherwise or letters are named. A message that is refused again has
    a new letter, which counts the retries; from dead_letter_retries on it needs --again-anyway. A command that was
    ended is run again: it goes on with what is still open. Messages of calls that were destroyed are never published.

    --dry-run hears, masks and judges as the workers of this release would, with the rules in force: a recording takes
    the time that hearing it takes.
    """
    from streams.dead_letters.desk import Handler, open_desk
    from streams.dead_letters.trying import trying
    from streams.ports import SystemClock

    settings, clock = command_settings(), SystemClock()
    why = checked_reason(reason, needed=False)
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
    action = TRIED if dry_run else RETRIED
    who = permitted(settings, wanted.tenant_id, action)
    with sigterm_as_interrupt(), open_desk(settings, clock) as desk:
        there = desk.letters.count(wanted)
        enter_letters(settings, who, action, wanted, letters=min(there, most), reason=why)
        chosen = desk.chosen(wanted)
        if dry_run:
            with trying(settings, clock) as tries:
                difference = desk.difference(chosen, tries, most=most, again_anyway=again_anyway, progress=_progress)
            _print_difference(difference, as_json=as_json)
            return
        by = Handler(who.actor.actor_id, why)
        report = desk.retry(chosen, by, most=most, again_anyway=again_anyway, progress=_progress)
        hindered = sum(report.hindered.values())
        counts = {"published": report.published, "hindered": hindered}
        enter_letters(settings, who, action, wanted, letters=report.letters, result="done", reason=why, details=counts)
        left = there - report.letters - hindered if report.letters == most else 0
    _print_report(report, left, as_json=as_json)
    if report.hindered:
        raise typer.Exit(EXIT_PROBLEM)


def _progress(done: int) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{done} letters ")


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{what} × {count}" for what, count in sorted(counts.items(), key=lambda one: (-one[1], one[0])))


def _print_difference(difference: "LettersDifference", *, as_json: bool) -> None:
    if as_json:
        print_json({"dry_run": True, **difference.as_json()})
        return
    typer.echo(f"{difference.letters} letter(s): {difference.sentence()}")
    if difference.outcomes:
        typer.echo(f"  outcomes: {_counted(difference.outcomes)}")
    if difference.accepted:
        typer.echo(f"  accepted, and of no consequence for a judgement: {difference.accepted}")
    if difference.refused_again:
        typer.echo(f"  refused again: {_counted(difference.refused_again)}")
    if difference.untried:
        typer.echo(f"  not tried: {_counted(difference.untried)}")
    if difference.hindered:
        typer.echo(f"  not published: {_counted(difference.hindered)}")


def _print_report(report: "RetryReport", left: int, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "letters": report.letters,
                "published": report.published,
                "remade": report.remade,
                "hindered": dict(report.hindered),
                "left": max(left, 0),
                "not_published": [
                    {"dead_letter_id": stored.letter.dead_letter_id, "message": stored.position, "why": why}
                    for stored, why in report.named
                ],
            }
        )
        return
    typer.echo(f"{report.letters} letter(s): {report.published} message(s) published again")
    if report.remade:
        typer.echo(f"  {report.remade} of them from the object store, because Kafka keeps them no more")
    for why, count in report.hindered.most_common():
        typer.echo(f"  not published, {why}: {count}", err=True)
    for stored, why in report.named[:NAMED]:
        typer.echo(f"  {stored.letter.dead_letter_id} {advice_of(why, stored.letter.source_topic)}", err=True)
    if len(report.named) > NAMED:
        typer.echo(f"  and {sum(report.hindered.values()) - NAMED} more; --json names them", err=True)
    if left > 0:
        typer.echo(f"{left} more letter(s) fit: run it again, or give --most")
