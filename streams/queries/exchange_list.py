"""What the exchange's list says of calls, for whoever only looks: where it does not answer, all else is still shown."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from processors.custody.holds import CustomerScope
from processors.custody.listed_call import ListedCall
from schemas.errors import OperatorError, RetryableError
from streams.adapters.register.holds import RegisterCaseList
from streams.ports import CallKey


class ExchangeList(Protocol):
    """`streams.adapters.clickhouse.listed_calls.ListedCalls`."""

    def among(self, calls: Collection[CallKey]) -> Mapping[CallKey, ListedCall]: ...

    def of_customers(self, tenant_id: str, customers: Collection[CustomerScope]) -> frozenset[str]: ...

    def close(self) -> None: ...


@dataclass
class ListIfItAnswers:
    """The list; where it did not answer once it is not asked again, and `problem` says why."""

    calls: ExchangeList
    problem: str = ""

    def among(self, calls: Collection[CallKey]) -> Mapping[CallKey, ListedCall]:
        """Those of these calls that it has; none where it does not answer."""
        if not self.problem:
            try:
                return self.calls.among(calls)
            except (OperatorError, RetryableError) as error:
                self.problem = str(error)
        return {}

    def of_customers(self, tenant_id: str, customers: Collection[CustomerScope]) -> frozenset[str] | None:
        """The calls that it says to be of these customers; None where it does not answer."""
        if not self.problem:
            try:
                return self.calls.of_customers(tenant_id, customers)
            except (OperatorError, RetryableError) as error:
                self.problem = str(error)
        return None

    def close(self) -> None:
        """Lets go of the connection."""
        self.calls.close()


@dataclass(frozen=True)
class HeldOfCustomers:
    """The calls of customers that a case holds, as they are known now: by the keys of their own events, and by the
    exchange's list alone (None where that did not answer, and `problem` says why)."""

    by_event: frozenset[str]
    by_list_alone: frozenset[str] | None
    problem: str = ""


def held_of_customers(
    cases: RegisterCaseList, listed: ListIfItAnswers, tenant_id: str, customers: Collection[CustomerScope]
) -> HeldOfCustomers:
    """Raises as `Register.transaction`. The list is not asked where there are no customers."""
    if not customers:
        return HeldOfCustomers(frozenset(), frozenset())
    by_event, by_list = cases.theirs(tenant_id, customers), listed.of_customers(tenant_id, customers)
    return HeldOfCustomers(by_event, None if by_list is None else by_list - by_event, listed.problem)
