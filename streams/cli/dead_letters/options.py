"""Which letters a command is about, who runs it, and the entry in the audit log."""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC
from typing import TYPE_CHECKING, Annotated

import typer

from processors.custody.audit_entry import AuditEntry, AuditResult
from processors.dead_letters.again import LETTER_STATES
from schemas.messages.recording_accessed import ALL_TENANTS
from streams.cli.console.access import PermittedCommand, require_permission
from streams.cli.console.audit import enter
from streams.cli.console.times import parse_moment, parse_span
from streams.ports import SystemClock
from streams.settings import Settings

if TYPE_CHECKING:
    from streams.adapters.clickhouse.dead_letters import LetterFilter

MOST_IDS = 1_000
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_WORD = re.compile(r"[a-z][a-z0-9_]{0,63}")
_CLASS = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,127}")
_TOPIC = re.compile(r"[a-z0-9._]{1,128}")
_TENANT = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_CALL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}")

LetterIds = Annotated[
    list[str] | None, typer.Argument(help="Ids of letters, as `dead-letters list` shows them; without any, by options.")
]
LetterTenantOption = Annotated[str | None, typer.Option(help="Letters about calls of this tenant alone.")]
LetterStepOption = Annotated[str | None, typer.Option(help="Stage that refused the message: listen, receive, judge …")]
LetterErrorOption = Annotated[str | None, typer.Option("--error", help="Class of the error: InvalidMessageError …")]
LetterTopicOption = Annotated[str | None, typer.Option(help="Topic of the message: calls.ended.v1 …")]
LetterCallOption = Annotated[str | None, typer.Option(help="Call that the message is about.")]
LetterFromOption = Annotated[
    str | None, typer.Option("--from", help="Refused at this time or later: 2026-01-01 (UTC), 2026-01-01T08:00+08:00.")
]
LetterToOption = Annotated[str | None, typer.Option("--to", help="Refused before this time.")]
LetterLastOption = Annotated[str | None, typer.Option(help="Refused in the last 12h, 7d, 4w; instead of --from.")]
LetterStateOption = Annotated[
    list[str] | None,
    typer.Option(
        help="State: open, retried, resolved, discarded, purged or all; can be repeated. By default open.",
    ),
]


def letter_filter(
    *,
    ids: Iterable[str] | None,
    tenant: str | None,
    step: str | None,
    error: str | None,
    topic: str | None,
    call: str | None,
    since: str | None,
    until: str | None,
    last: str | None,
    states: Iterable[str] | None,
    usual: tuple[str, ...] = ("open",),
) -> "LetterFilter":
    """What the options say. Raises `typer.BadParameter`, without repeating what may be anything."""
    from streams.adapters.clickhouse.dead_letters import LetterFilter

    named = tuple(dict.fromkeys(ids or ()))
    if len(named) > MOST_IDS:
        raise typer.BadParameter(f"name at most {MOST_IDS}, or say which by options", param_hint="LETTER…")
    for each in named:
        _check(_ID, each, "LETTER…", "an id is 36 characters, as `callstream dead-letters list` shows it")
    if since and last:
        raise typer.BadParameter("give either --from or --last, not both", param_hint="--last")
    now = SystemClock().now()
    begin = now - parse_span(last, "--last") if last else since and parse_moment(since, "--from", UTC)
    end = until and parse_moment(until, "--to", UTC)
    if begin and end and end <= begin:
        raise typer.BadParameter("it is not after the beginning", param_hint="--to")
    wanted = tuple(dict.fromkeys(states or ()))
    if unknown := [each for each in wanted if each not in (*LETTER_STATES, "all")]:
        raise typer.BadParameter(
            f"{len(unknown)} of these is none: {', '.join(LETTER_STATES)}, all", param_hint="--state"
        )
    chosen = tuple(each for each in LETTER_STATES if each in wanted) if wanted else () if named else usual
    return LetterFilter(
        tenant_id=_check(_TENANT, tenant, "--tenant", "a-z, 0-9, _ and -, beginning with a letter"),
        step=_check(_WORD, step, "--step", "the name of a stage, such as listen"),
        exception_class=_check(_CLASS, error, "--error", "the name of a class, such as InvalidMessageError"),
        source_topic=_check(_TOPIC, topic, "--topic", "the name of a topic, such as calls.ended.v1"),
        call_id=_check(_CALL, call, "--call", "the id of a call"),
        since=begin or None,
        until=end or None,
        states=() if "all" in wanted else chosen,  # type: ignore[arg-type] # they are among LETTER_STATES
        ids=named,
    )


def checked_reason(reason: str | None, *, needed: bool) -> str | None:
    """Raises `typer.BadParameter`."""
    if reason is None and not needed:
        return None
    return _check(_WORD, reason or "", "--reason", "say why, in a word: a-z, 0-9 and _, beginning with a letter")


def _check(form: re.Pattern[str], text: str | None, option: str, what: str) -> str | None:
    if text is not None and not form.fullmatch(text):
        raise typer.BadParameter(what, param_hint=option)
    return text


def permitted(settings: Settings, tenant: str | None, entered_as: str) -> PermittedCommand:
    """Whoever runs the command may look after the letters of the tenant, or of all. Raises as `require_permission`."""
    return require_permission(settings, "operate", tenant, entered_as=entered_as)


def enter_letters(
    settings: Settings,
    who: PermittedCommand,
    action: str,
    wanted: "LetterFilter",
    *,
    letters: int,
    result: AuditResult = "allowed",
    reason: str | None = None,
    details: Mapping[str, str | int] | None = None,
) -> None:
    """Before it is done, and with `done` afterwards: who, by which filter, how many. Raises as `enter`."""
    enter(
        settings,
        AuditEntry(
            at=SystemClock().now(),
            actor=who.actor.actor_id,
            role=who.role,
            action=action,
            tenant_id=wanted.tenant_id or ALL_TENANTS,
            result=result,
            client="cli",
            purpose=reason,
            object_kind="dead_letter" if len(wanted.ids) == 1 else None,
            object_id=wanted.ids[0] if len(wanted.ids) == 1 else None,
            details={**wanted.described(), "letters": letters, **(details or {})},
        ),
    )
