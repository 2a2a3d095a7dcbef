"""What changes in the register must not be without: an entry of the audit log in the same transaction."""

from typing import Protocol

from processors.custody.audit_entry import AuditEntry, AuditLog
from streams.adapters.register.register import Transaction


class EntryWithin(Protocol):
    """The audit log as changes use it. The register's is `streams.adapters.register.audit_log.RegisterAuditLog`."""

    def append_within(self, transaction: Transaction, entry: AuditEntry, /) -> object:
        """Durable together with the transaction. What it returns is nobody's here."""
        ...


class EntryWithinOrBefore(EntryWithin, AuditLog, Protocol):
    """The same with entries of their own, for what is refused."""
