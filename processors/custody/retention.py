"""How long one recording is kept: what was decided, by whom, and what is due when (R16–R19, R81, R82, R94). Pure.

What is decided is only ever added to: of all terms that were found for a call the one that ends last holds, in whatever
order they come, under whichever version of the policy. So a call that is judged again, and a policy that has become
shorter, shorten nothing. Days are UTC days; a recording is kept through the whole of its last one.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from functools import reduce
from typing import Literal

from schemas.config.retention import AtEnd, RetentionClass, RetentionPolicy
from schemas.messages.call_ended import CallFacts

DecidedBy = Literal["capture", "judged", "event", "person"]
"""By the event of the call, by what was said, by a later event such as the end of a contract, by a person."""

DueAction = Literal["archive", "delete"]
DueReason = Literal["retention_over", "archive_over", "misdial"]
"""Why a recording is due, as a word for the tombstone."""

TOO_SHORT = "too_short"
"""The outcome of a call that may be a misdial."""


@dataclass(frozen=True)
class RetentionTerm:
    """How long a recording is kept by one class, and what becomes of it then.

    `starts_at` is the end of the call or the later event; `ends_on` the first day on which it need not be kept.
    `archive_days` is 0 where it is deleted at once. `floor_on` is the first day on which the law does not ask for it.
    """

    retention_class: str
    days: int
    starts_at: datetime
    ends_on: date
    floor_on: date
    policy_version: int
    decided_by: DecidedBy
    archive_days: int = 0


@dataclass(frozen=True)
class Waiting:
    """A class whose days count from an event that has not come when it is found. `until_on`: at most so long."""

    retention_class: str
    days: int
    event: str
    policy_version: int
    until_on: date | None = None
    archive_days: int = 0


@dataclass(frozen=True)
class Retention:
    """What is known of one call. `term` is the one that ends last of those whose beginning is known.

    `is_misdial` is None until the call is judged; one judgement that says no outweighs all that say yes, and `early_on`
    is the day from which a misdial may go.
    """

    term: RetentionTerm | None = None
    waiting: tuple[Waiting, ...] = ()
    came: Mapping[str, datetime] = field(default_factory=dict)
    is_misdial: bool | None = None
    early_on: date | None = None
    archived_on: date | None = None


UNDECIDED = Retention()


@dataclass(frozen=True)
class Keep:
    """These terms and waiting classes were found. `is_misdial` is None where that cannot be told from what is known."""

    terms: tuple[RetentionTerm, ...]
    waiting: tuple[Waiting, ...] = ()
    is_misdial: bool | None = None
    early_on: date | None = None


@dataclass(frozen=True)
class EventCame:
    """What classes wait for has come, at this time: a contract has ended. Told again with a later time, that holds."""

    event: str
    at: datetime


@dataclass(frozen=True)
class PutInArchive:
    """The recording lies in the archive, and not where it lay, from this day on."""

    on: date


RetentionCommand = Keep | EventCame | PutInArchive


@dataclass(frozen=True)
class TermWasSet:
    """From now on this term holds."""

    term: RetentionTerm


@dataclass(frozen=True)
class WaitingWasAdded:
    """A class waits for its event; in place of one of the same event that keeps less."""

    waiting: Waiting


@dataclass(frozen=True)
class EventWasNoted:
    """When the event came."""

    event: str
    at: datetime


@dataclass(frozen=True)
class MisdialWasFound:
    """It may go on that day."""

    early_on: date


@dataclass(frozen=True)
class MisdialWasDenied:
    """It is no misdial, for good."""


@dataclass(frozen=True)
class WasArchived:
    """It lies in the archive."""

    on: date


RetentionEvent = TermWasSet | WaitingWasAdded | EventWasNoted | MisdialWasFound | MisdialWasDenied | WasArchived


@dataclass(frozen=True)
class Due:
    """What is to be done with a recording, from which day on, by which class under which version of the policy."""

    on: date
    action: DueAction
    reason: DueReason
    retention_class: str
    policy_version: int


def decide(command: RetentionCommand, state: Retention) -> tuple[RetentionEvent, ...]:
    """What happens; nothing where the command changes nothing, so that it may be given again."""
    match command:
        case Keep(terms, waiting, is_misdial, early_on):
            return tuple(_kept(state, terms, waiting, is_misdial, early_on))
        case EventCame(event, at):
            known = state.came.get(event)
            return () if known is not None and at <= known else (EventWasNoted(event, at),)
        case PutInArchive(on):
            return () if state.archived_on is not None else (WasArchived(on),)


def _kept(
    state: Retention,
    terms: Iterable[RetentionTerm],
    waiting: Iterable[Waiting],
    is_misdial: bool | None,
    early_on: date | None,
) -> Iterable[RetentionEvent]:
    held = reduce(_longer, terms, state.term)
    if held is not None and held != state.term:
        yield TermWasSet(held)
    known = {one.event: one for one in state.waiting}
    for each in waiting:
        longest = _longest_waiting(known.get(each.event), each)
        if longest != known.get(each.event):
            known[each.event] = longest
            yield WaitingWasAdded(longest)
    if is_misdial is False and state.is_misdial is not False:
        yield MisdialWasDenied()
    if is_misdial and early_on is not None and state.is_misdial is not False:
        later = max(early_on, state.early_on or early_on)
        if later != state.early_on:
            yield MisdialWasFound(later)


def _longer(one: RetentionTerm | None, other: RetentionTerm) -> RetentionTerm:
    """The one that ends last; of two that end together the first, with the longer floor and time in the archive."""
    if one is None:
        return other
    longer = other if other.ends_on > one.ends_on else one
    floor_on = max(one.floor_on, other.floor_on)
    archive_days = longer.archive_days if one.ends_on != other.ends_on else max(one.archive_days, other.archive_days)
    return replace(longer, floor_on=floor_on, archive_days=archive_days)


def _longest_waiting(one: Waiting | None, other: Waiting) -> Waiting:
    """What keeps as long as both: two classes that wait for the same event."""
    if one is None:
        return other
    longer = other if other.days > one.days else one
    until_on = None if one.until_on is None or other.until_on is None else max(one.until_on, other.until_on)
    return replace(longer, until_on=until_on, archive_days=max(one.archive_days, other.archive_days))


def evolve(state: Retention, event: RetentionEvent) -> Retention:
    """The state after an event that `decide` gave in that state."""
    match event:
        case TermWasSet(term):
            return replace(state, term=term)
        case WaitingWasAdded(waiting):
            others = [one for one in state.waiting if one.event != waiting.event]
            return replace(state, waiting=tuple(sorted((*others, waiting), key=lambda one: one.event)))
        case EventWasNoted(name, at):
            return replace(state, came={**state.came, name: at})
        case MisdialWasFound(on):
            return replace(state, is_misdial=True, early_on=on)
        case MisdialWasDenied():
            return replace(state, is_misdial=False, early_on=None)
        case WasArchived(on):
            return replace(state, archived_on=on)


def after(state: Retention, command: RetentionCommand) -> Retention:
    """The state after a command."""
    return reduce(evolve, decide(command, state), state)


def holding_term(state: Retention, ended_at: datetime) -> RetentionTerm | None:
    """The term that ends last, those among them whose event has come; None where nothing was decided.

    `ended_at` is the end of the call: an event that came before it counts from there.
    """
    found = state.term
    for one in state.waiting:
        if (came := state.came.get(one.event)) is not None:
            starts_at = max(came, ended_at)
            ends_on = first_day_after(starts_at, one.days)
            term = RetentionTerm(
                one.retention_class,
                one.days,
                starts_at,
                ends_on,
                ends_on,
                one.policy_version,
                "event",
                one.archive_days,
            )
            found = _longer(found, term)
    return found


def open_classes(state: Retention) -> tuple[Waiting, ...]:
    """The classes whose event has not come."""
    return tuple(one for one in state.waiting if one.event not in state.came)


def due(state: Retention, ended_at: datetime) -> Due | None:
    """What is to be done, and from when on; None where nothing is: nothing was decided, or an event has to come.

    A misdial goes early unless a class waits for an event. Whether a hold forbids it is asked when it is done.
    """
    term = holding_term(state, ended_at)
    if term is None:
        return None
    still_open = open_classes(state)
    if any(one.until_on is None for one in still_open):
        return None
    if state.is_misdial and state.early_on is not None and not state.waiting:
        return _due(min(state.early_on, term.ends_on), "delete", "misdial", term)
    ends_on, archive_days, by = term.ends_on, term.archive_days, term
    for one in still_open:
        if one.until_on is not None and one.until_on > ends_on:
            ends_on, archive_days = one.until_on, one.archive_days
            by = replace(term, retention_class=one.retention_class, policy_version=one.policy_version)
    if state.archived_on is not None:
        return _due(max(ends_on, state.archived_on) + timedelta(days=archive_days), "delete", "archive_over", by)
    if archive_days:
        return _due(ends_on, "archive", "retention_over", by)
    return _due(ends_on, "delete", "retention_over", by)


def floor_on(state: Retention, ended_at: datetime) -> date | None:
    """The first day on which no law asks for the recording any more; None where a class waits for an event.

    What waits is kept by law until its event comes; so is what was decided by an event. `date.min` where nothing was
    decided.
    """
    still_open = open_classes(state)
    if any(one.until_on is None for one in still_open):
        return None
    term = holding_term(state, ended_at)
    return max([date.min if term is None else term.floor_on, *(one.until_on for one in still_open if one.until_on)])


def _due(on: date, action: DueAction, reason: DueReason, term: RetentionTerm) -> Due:
    return Due(on, action, reason, term.retention_class, term.policy_version)


def first_day_after(starts_at: datetime, days: int) -> date:
    """The first UTC day that lies whole behind `days` days from then."""
    return (starts_at.astimezone(UTC) + timedelta(days=days)).date() + timedelta(days=1)


def terms_of(
    classes: Iterable[RetentionClass], policy_version: int, ended_at: datetime, decided_by: DecidedBy
) -> tuple[tuple[RetentionTerm, ...], tuple[Waiting, ...]]:
    """What these classes mean for a call that ended then."""
    terms, waiting = [], []
    for one in classes:
        archive_days = _archive_days(one.at_end, one.archive_days)
        if one.event is not None:
            until_on = None if one.at_most_days is None else first_day_after(ended_at, one.at_most_days)
            waiting.append(Waiting(one.id, one.days, one.event, policy_version, until_on, archive_days))
        days = one.days if one.event is None else one.floor_days
        ends_on, floor_on = first_day_after(ended_at, days), first_day_after(ended_at, one.floor_days)
        terms.append(RetentionTerm(one.id, days, ended_at, ends_on, floor_on, policy_version, decided_by, archive_days))
    return tuple(terms), tuple(waiting)


def _archive_days(at_end: AtEnd, archive_days: int | None) -> int:
    return archive_days or 0 if at_end == "archive" else 0


def may_go_early(policy: RetentionPolicy, call: CallFacts, outcome: str, duration_ms: int | None) -> date | None:
    """From which day on the recording of a misdial may go (R94); None for a call that is none.

    Both must be shorter than the policy says: the recording, and the call as the exchange saw it. A minute of which
    three seconds were recorded is no misdial.
    """
    if policy.early is None or outcome != TOO_SHORT or duration_ms is None:
        return None
    limit = timedelta(seconds=policy.early.shorter_than_s)
    if timedelta(milliseconds=duration_ms) >= limit or call.ended_at - call.started_at >= limit:
        return None
    return first_day_after(call.ended_at, policy.early.days)
