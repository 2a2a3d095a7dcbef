"""Who could act as somebody else's account, so that two accounts may be one person (R38). Pure.

Whoever made an account, gave it its password, or may have one of its tokens can sign in as it, and so can whoever can
sign in as these. Somebody to whom an OpenID provider attests is made by nobody here, unless their account was.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Literal, Protocol

from processors.custody.accounts import Account
from processors.custody.authorization import Action, Actor, Target, authorize

Tie = Literal["made_by_requester", "made_requester", "granted_by_requester", "made_by_approver", "one_maker"]
"""Why an approval is nobody else's: the requester can act as the approver; the approver as the requester; the requester
gave the right to approve; an approver from before and this one can act as each other; one person can act as both."""

_OS = "os:"
"""Begins the name of whoever runs commands without an account of the register."""


class KnowsMakers(Protocol):
    """Accounts by their names, whatever their states. Every method may raise `RetryableError` and `OperatorError`."""

    def find(self, account_id: str) -> Account | None:
        """The account of that name."""
        ...

    def find_by_os_user(self, os_user: str) -> Account | None:
        """The account for which commands of that account of the operating system speak."""
        ...


def who_can_act_as(
    account_id: str, known: KnowsMakers, now: datetime, *, on_the_machine: bool = True
) -> frozenset[str]:
    """The account itself, and every account that could act as it, through whatever chain; and, unless not asked for,
    who could on the machine, as `os:` names and the accounts that are linked to them. The account that the operator
    made for themselves is of the machine, too.

    Raises what `known` does.
    """
    found: set[str] = {account_id}
    looked_at: set[str] = set()
    todo = [account_id]
    while todo:
        name = todo.pop()
        if name in looked_at:
            continue
        looked_at.add(name)
        if name.startswith(_OS):
            if on_the_machine:
                linked = known.find_by_os_user(name.removeprefix(_OS))
                # One person. Who could sign in as the linked account is not on the machine by that.
                found |= {name} if linked is None else {name, linked.account_id}
        elif (account := known.find(name)) is not None:
            if on_the_machine or not _is_operators(account, account_id):
                found.add(name)
            todo += _hands_on(account, now)
    return frozenset(found)


def _is_operators(account: Account, asked_about: str) -> bool:
    """Whether the operator made it for themselves; the account that is asked about is always somebody."""
    own = account.os_user is not None and account.made_by == f"{_OS}{account.os_user}"
    return own and account.account_id != asked_about


def _hands_on(account: Account, now: datetime) -> Iterator[str]:
    yield account.made_by
    if account.password_by is not None:
        yield account.password_by
    yield from (token.held_by for token in account.tokens if token.held_by is not None and token.holds(now))


def tie_to_requester(
    approver: Actor,
    requester: str,
    targets: tuple[Target, ...],
    known: KnowsMakers,
    now: datetime,
    *,
    makers_apart: bool,
) -> Tie | None:
    """Why the approver is not somebody else than the requester; None where they are two people, as far as is known.

    `targets` are what is approved. A right that only the requester gave, or somebody as whom the requester can act, is
    none; one that others gave besides is. With `makers_apart` no third account may be able to act as both, either;
    whoever does it on the machine is the operator, from whom nothing is kept (nor from their own account). Raises
    what `known` does.
    """
    of_approver = who_can_act_as(approver.actor_id, known, now)
    of_requester = who_can_act_as(requester, known, now)
    if requester in of_approver:
        return "made_by_requester"
    if approver.actor_id in of_requester:
        return "made_requester"
    others = Actor(
        approver.actor_id,
        tuple(
            grant
            for grant in approver.grants
            if grant.granted_by is None or requester not in who_can_act_as(grant.granted_by, known, now)
        ),
    )
    action: Action = "approve"
    if not all(authorize(others, action, target).allowed for target in targets):
        return "granted_by_requester"
    if not makers_apart:
        return None
    both = (who_can_act_as(each, known, now, on_the_machine=False) for each in (approver.actor_id, requester))
    return "one_maker" if frozenset.intersection(*both) else None


def can_act_as_each_other(one: str, other: str, known: KnowsMakers, now: datetime) -> bool:
    """Whether either account can act as the other. Raises what `known` does."""
    return one in who_can_act_as(other, known, now) or other in who_can_act_as(one, known, now)
