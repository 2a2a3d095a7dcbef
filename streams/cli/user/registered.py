"""The accounts of the register, and by whom a command changes them."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from processors.custody.accounts import Account, AccountError, HeldGrant, check_password, operator_of
from processors.custody.authorization import EVERY_TENANT, Actor, Target, authorize, reach_of
from streams.cli.console.access import Commanding, account, commanding

if TYPE_CHECKING:
    from streams.adapters.register.accounts import RegisterAccounts
    from streams.ports import Clock

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of the account.")]
PasswordFileOption = Annotated[
    Path | None,
    typer.Option("--password-file", help="File that holds the password, or - to read it from standard input."),
]


@dataclass(frozen=True)
class Registered:
    """The accounts, and who runs the command."""

    accounts: "RegisterAccounts"
    who: Commanding
    clock: "Clock"

    def by(self, tenant_id: str) -> Actor:
        """As whom to administer the tenant: as the account of whoever runs the command where that may, else as the
        operator."""
        return self.who.decide("administer", Target(tenant_id))[0]

    def over(self, found: Account) -> Actor:
        """As whom to change the account: as itself or its administrator where it is one, else as the operator."""
        tenants = {found.home, *(grant.tenant_id for grant in found.grants if grant.holds(self.clock.now()))}
        own = self.who.actor
        if own.actor_id == found.account_id or self.who.operator is None:
            return own
        return own if all(authorize(own, "administer", Target(each)).allowed for each in tenants) else self.who.operator

    def find(self, name: str) -> Account:
        """Raises `AccountError` for one that there is not, or that is none of those who ask."""
        found = self.accounts.find(name)
        if found is None or not self.may_know(found):
            raise AccountError(f"there is no account {name}: `callstream user list` shows all")
        return found

    def may_know(self, found: Account) -> bool:
        """Whether whoever asks administers a tenant that the account has to do with, or is it."""
        if self.who.operator is not None or self.who.actor.actor_id == found.account_id:
            return True
        tenants = {found.home, *(grant.tenant_id for grant in found.grants)}
        return any(reach_of(self.who.actor, "administer", each).whole_tenant for each in tenants)

    def bootstrap(self) -> Actor | None:
        """Who may add the first administrator: whoever can write into a register in which nobody has a role."""
        return operator_of(account()) if self.accounts.is_new() else None


@contextmanager
def registered() -> Iterator[Registered]:
    """The accounts in the register of the settings. Raises what its check says."""
    from schemas.config.roles import load_roles
    from streams.adapters.register.accounts import RegisterAccounts
    from streams.adapters.register.register import Register
    from streams.cli.command_settings import command_settings
    from streams.ports import SystemClock
    from streams.wiring import audit_log_of, require_register

    settings, clock = command_settings(), SystemClock()
    register = Register.of(settings)
    try:
        require_register(register)
        accounts = RegisterAccounts(register, clock, load_roles().of_people, audit_log_of(register, clock))
        yield Registered(accounts, commanding(settings, register), clock)
    finally:
        register.close()


def read_password(file: Path | None, name: str) -> str:
    """One that is not easily guessed, from the file, standard input, or asked for twice. Raises `AccountError`."""
    if file is None:
        if not sys.stdin.isatty():
            raise AccountError("nobody is there to be asked for a password: give --password-file")
        given = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    elif str(file) == "-":
        given = sys.stdin.readline()
    else:
        try:
            given = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise AccountError(f"--password-file cannot be read: {type(error).__name__}") from None
    return check_password(given.strip("\r\n"), name)


def hashed(file: Path | None, name: str) -> str:
    """What is kept of it. Raises as `read_password`."""
    from streams.adapters.passwords import Passwords

    return Passwords().hash(read_password(file, name))


def scope_of(grant: HeldGrant) -> str:
    """Where it holds, for people."""
    where = "every tenant" if grant.tenant_id == EVERY_TENANT else grant.tenant_id
    teams = "" if grant.teams is None else f", teams {', '.join(sorted(grant.teams))}"
    return f"{where}{teams}{'' if grant.agent_id is None else f', agent {grant.agent_id}'}"


def ways_in(found: Account) -> Sequence[str]:
    """How somebody signs in as this account."""
    ways = {
        "password": found.password_hash is not None,
        "oidc": found.oidc is not None,
        f"os:{found.os_user}": found.os_user is not None,
    }
    return [way for way, there_is in ways.items() if there_is]


def written(moment: datetime | None) -> str | None:
    """As JSON has it."""
    return None if moment is None else moment.isoformat(timespec="seconds")


def grant_as_json(grant: HeldGrant, now: datetime) -> dict[str, object]:
    """A grant as `show` prints it."""
    return {
        "grant_id": grant.grant_id,
        "role": grant.role,
        "tenant_id": grant.tenant_id,
        "teams": None if grant.teams is None else sorted(grant.teams),
        "agent_id": grant.agent_id,
        "state": "revoked" if grant.revoked_at else "holds" if grant.holds(now) else "ended",
        "granted_at": written(grant.granted_at),
        "granted_by": grant.granted_by,
        "ends_at": written(grant.ends_at),
    }
