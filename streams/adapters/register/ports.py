"""What changes in the register must not be without: an entry of the audit log in the same transaction."""

from typing import Protocol

from processors.custody.audit_entry import AuditEntry
from streams.adapters.register.register import Transaction


class AuditWithin(Protocol):
    """The audit log as changes use it. The register's is `streams.adapters.register.audit_log.RegisterAuditLog`."""

    def append(self, entry: AuditEntry) -> None:
        """Durable when this returns. Raises `RetryableError` and `OperatorError`: then nothing may be done."""
        ...

    def append_within(self, transaction: Transaction, entry: AuditEntry) -> object:
        """Durable together with the transaction. What it returns is nobody's here."""
        ...
