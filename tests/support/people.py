"""People for tests: an audit log in memory, whose calls are whose, and accounts with their sessions and tokens."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from processors.custody.accounts import Account, actor_of, operator_of
from processors.custody.audit_entry import AuditEntry
from processors.custody.authorization import Action, Actor
from schemas.config.roles import load_roles
from schemas.errors import RetryableError
from streams.adapters.passwords import Passwords
from streams.adapters.register.accounts import RegisterAccounts
from streams.adapters.register.register import Register, Transaction
from streams.adapters.register.sessions import RegisterSessions
from streams.ports import CallOwner, Clock
from streams.serve.people import PeopleServed, Provider

ROLES = load_roles().of_people
OPERATOR = operator_of("root")
PASSWORD = "correct horse battery"


class MemoryAuditLog:
    """The audit log in memory, which may be down. What a transaction that is undone entered is not told apart."""

    def __init__(self) -> None:
        self.entries: list[AuditEntry] = []
        self.down = False

    def append(self, entry: AuditEntry) -> None:
        if self.down:
            raise RetryableError("the register does not answer")
        self.entries.append(entry)

    def append_within(self, transaction: Transaction, entry: AuditEntry) -> None:
        assert transaction.connection is not None
        self.append(entry)

    def of(self, action: str, result: str | None = None) -> list[AuditEntry]:
        return [each for each in self.entries if each.action == action and result in (None, each.result)]


@dataclass
class KnownOwners:
    """Whose calls are whose."""

    of: dict[tuple[str, str], CallOwner] = field(default_factory=dict)
    down: bool = False

    def owner(self, tenant_id: str, call_id: str) -> CallOwner | None:
        if self.down:
            raise RetryableError("ClickHouse does not answer")
        return self.of.get((tenant_id, call_id))


@dataclass
class Town:
    """Accounts in a register, and what is asked of them in tests."""

    register: Register
    clock: Clock
    audit_log: MemoryAuditLog = field(default_factory=MemoryAuditLog)
    owners: KnownOwners = field(default_factory=KnownOwners)

    def __post_init__(self) -> None:
        self.accounts = RegisterAccounts(self.register, self.clock, ROLES, self.audit_log, client="api")
        self.sessions = RegisterSessions(self.register, self.clock)
        self.passwords = Passwords()

    def served(self, provider: Provider | None = None, **more: object) -> PeopleServed:
        return PeopleServed(
            self.accounts,
            self.sessions,
            self.passwords,
            ROLES,
            self.audit_log,
            provider,
            **more,  # type: ignore[arg-type]
        )

    def person(
        self,
        account_id: str,
        role: str | None = None,
        tenant_id: str = "acme",
        *,
        teams: Collection[str] | None = None,
        agent_id: str | None = None,
        ends_at: datetime | None = None,
        password: str | None = None,
    ) -> Account:
        """An account with this role; where there is one, it has the role as well."""
        if self.accounts.find(account_id) is None:
            kept = None if password is None else self.passwords.hash(password)
            self.accounts.add(OPERATOR, account_id, tenant_id, password_hash=kept)
        if role is not None:
            self.accounts.give(OPERATOR, account_id, role, tenant_id, teams=teams, agent_id=agent_id, ends_at=ends_at)
        found = self.accounts.find(account_id)
        assert found is not None
        return found

    def actor(self, account_id: str) -> Actor:
        """The account as it asks."""
        account = self.accounts.find(account_id)
        assert account is not None
        return actor_of(account, ROLES, self.clock.now())

    def token(self, account_id: str, *scopes: Action, days: int = 30) -> str:
        """A token of the account."""
        return self.accounts.issue_token(OPERATOR, account_id, "test", scopes, timedelta(days=days)).text

    def session(self, account_id: str) -> str:
        """What the cookie of an open session holds."""
        account = self.accounts.find(account_id)
        assert account is not None
        return self.sessions.open(account_id, account.generation)
