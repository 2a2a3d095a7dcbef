"""What tests of retention and holds share: an audit log that lists its entries."""

from dataclasses import dataclass, field

from processors.custody.audit_entry import AuditEntry
from streams.adapters.register.register import Transaction


@dataclass
class ListedEntries:
    """`EntryWithinOrBefore` in memory; entries of transactions that were undone stay in it."""

    entries: list[AuditEntry] = field(default_factory=list)

    def append(self, entry: AuditEntry) -> None:
        self.entries.append(entry)

    def append_within(self, transaction: Transaction, entry: AuditEntry) -> None:  # noqa: ARG002 - as the real one
        self.entries.append(entry)
