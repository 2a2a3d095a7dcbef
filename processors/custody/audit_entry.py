"""What the audit log says of one thing that was done, or refused (R36, R92). Pure.

Everything that shows, plays, exports, approves, holds, releases or destroys writes an entry before it does, and so does
every refusal. What cannot be entered is not done.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

AuditResult = Literal["allowed", "refused", "done", "failed"]
"""`allowed` is written before something is shown; `done` with a change that is in the same transaction."""


@dataclass(frozen=True)
class AuditEntry:
    """One entry: who, in which role, did what, to what, what for, from where, and what came of it.

    `action` is a word such as `searched`, `viewed_text`, `listened`, `export_requested`, `hold_opened`, `purged`.
    `object_kind` and `object_id` name what is no call: an export, a case, an account. `details` holds numbers, digests
    and words of ours, nothing of a person. `personal` holds what is of one (a customer's key, an address): of each
    value only a salted digest is part of what is signed, so that the value can be erased and the log still verifies.
    """

    at: datetime
    actor: str
    role: str
    action: str
    tenant_id: str
    result: AuditResult
    client: str
    call_id: str | None = None
    object_kind: str | None = None
    object_id: str | None = None
    purpose: str | None = None
    ticket: str | None = None
    refusal: str | None = None
    details: Mapping[str, str | int] = field(default_factory=dict)
    personal: Mapping[str, str] = field(default_factory=dict)


class AuditLog(Protocol):
    """Where entries go. The register's is `streams.adapters.register.audit_log.RegisterAuditLog`, which also has
    `append_within(transaction, entry)` for a change that must not be without its entry."""

    def append(self, entry: AuditEntry) -> None:
        """Durable when this returns. Raises `RetryableError` and `OperatorError`: then nothing may be shown or done."""
        ...
