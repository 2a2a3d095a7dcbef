"""Where commands ask for holds and tell events of retention: as whoever runs them, in the register."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from streams.adapters.register.holds import HoldOutcome, RegisterCaseList
from streams.cli.command_settings import command_settings
from streams.queries.exchange_list import HeldOfCustomers, ListIfItAnswers, held_of_customers
from streams.settings import Settings
from streams.stages.holding import Asking, Holding


@dataclass(frozen=True)
class Desk:
    """The settings of the command, who runs it, and what they may ask for."""

    settings: Settings
    holding: Holding
    asking: Asking
    cases: RegisterCaseList
    listed: ListIfItAnswers

    def held_of(self, tenant_id: str, outcome: HoldOutcome) -> HeldOfCustomers:
        """The calls that a case holds of its customers, as they are known now. Raises as `Register.transaction`."""
        return held_of_customers(self.cases, self.listed, tenant_id, outcome.case.scope.customers)


@contextmanager
def open_desk(ticket: str | None = None) -> Iterator[Desk]:
    """Raises `RegisterSchemaError` and as `Register.transaction`."""
    from streams.adapters.register.holds import RegisterCases
    from streams.adapters.register.register import Register
    from streams.adapters.register.retentions import RegisterRetentions
    from streams.adapters.register.tombstones import (  # type: ignore[import-untyped, import-not-found, unused-ignore]
        RegisterTombstones,
    )
    from streams.cli.console.access import commanding  # type: ignore[attr-defined, unused-ignore]
    from streams.ports import SystemClock
    from streams.purging import listed_from
    from streams.wiring import audit_log_of  # type: ignore[attr-defined, unused-ignore]

    settings, clock = command_settings(), SystemClock()
    register, listed = Register.of(settings), ListIfItAnswers(listed_from(settings))
    try:
        register.check()
        audit = audit_log_of(register, clock)
        cases = RegisterCases(register, clock, audit, RegisterTombstones(register, clock).gone)
        who = commanding(settings, register)
        holding = Holding(cases, RegisterRetentions(register, clock), audit, clock)
        asking = Asking(who.actor, "cli", ticket, who.operator)
        yield Desk(settings, holding, asking, RegisterCaseList(register), listed)
    finally:
        listed.close()
        register.close()
