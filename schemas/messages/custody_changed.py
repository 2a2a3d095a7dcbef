"""`CustodyChanged` v1: something that must be known exactly has changed: a recording was taken in, a key destroyed."""

from datetime import date, datetime
from typing import Annotated, Any, Literal, Self
from uuid import NAMESPACE_URL, uuid5

from pydantic import Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from schemas.messages.message import Identifier, Message, Sha256, Slug, TenantId, UtcDatetime

CustodyKind = Literal[
    "intake_announced",
    "intake_removed",
    "intake_refused",
    "intake_not_received",
    "wrapping_key_prepared",
    "wrapping_key_current",
    "wrapping_key_retiring",
    "wrapping_key_retired",
    "day_keys_rewrapped",
    "call_keys_destroyed",
    "api_key_made",
    "api_key_replaced",
    "api_key_revoked",
    "account_added",
    "account_disabled",
    "account_enabled",
    "password_set",
    "role_granted",
    "role_revoked",
    "token_made",
    "token_revoked",
    "hold_opened",
    "hold_extended",
    "hold_released",
    "retention_event_told",
    "recording_archived",
    "call_blocked",
    "call_buried",
    "call_purged",
    "export_requested",
    "export_approved",
    "export_refused",
    "export_withdrawn",
    "export_expired",
    "export_voided",
    "export_download_begun",
    "export_download_ended",
    "export_closed",
]
"""What has changed.

`intake_announced`: a recording is durable and its call announced; `intake_removed`: one that was never finished was
taken away; `intake_refused`: another recording was offered under the id of a call; `intake_not_received`: the telephony
system knows a call that never came. `hold_…`: a case of a legal hold; `retention_event_told`: what retention waits for
has come, such as the end of a contract; `recording_archived`: a recording lies in the archive and nowhere else.
`call_blocked`: a call is erased for every use, and still kept by a hold or a floor; `call_buried`: its tombstone is
written, and it is being destroyed; `call_purged`: nothing of it is left, and the receipt is signed.
`export_voided`: what would be handed out is not what was approved.
"""

OF_A_CALL: frozenset[CustodyKind] = frozenset(
    {
        "intake_announced",
        "intake_removed",
        "intake_refused",
        "intake_not_received",
        "call_keys_destroyed",
        "recording_archived",
        "call_blocked",
        "call_buried",
        "call_purged",
    }
)

ALL_TENANTS = "*"
"""The tenant of what is of none: a wrapping key is for all."""


class CustodyChanged(Message):
    """One change in the register, written in the same transaction as the change itself and published after it.

    Holds ids and counts alone: no words, no number, no key. A count of `event_id`s is a count of changes, however often
    one is delivered.
    """

    schema_version: Literal[1] = 1
    event_id: str = Field(
        pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$",
        description="uuid5 of everything else: the same on every delivery",
    )
    kind: CustodyKind
    tenant_id: TenantId | Literal["*"] = Field(description="whose; * where it is of no tenant, such as a wrapping key")
    call_id: Identifier | None = Field(default=None, description="null where no single call is meant")
    actor: Identifier = Field(
        description="who did it: the account of a person, an API key's id, or a part of callstream"
    )
    at: UtcDatetime = Field(description="when it changed")
    source: Slug | None = Field(
        default=None, description="of an intake: how it came: http, folder, bucket, cdr, command …"
    )
    reason: Slug | None = Field(default=None, description="why, as a word")
    content_sha256: Sha256 | None = Field(default=None, description="of an intake: SHA-256 of what came, as it came")
    content_bytes: int | None = Field(
        default=None,
        ge=0,
        le=2**63 - 1,
        description="of an intake: its length; of a download of an export: bytes of the files that were handed out",
    )
    capture_ms: int | None = Field(
        default=None,
        ge=0,
        le=2**63 - 1,
        description="of an intake: from its last byte to Kafka's acknowledgement of the event (R11)",
    )
    object_version: Identifier | None = Field(default=None, description="version of the sealed object in the store")
    purpose: Slug | None = Field(default=None, description="of a key: what it opens: audio, transcript, received")
    key_version: Identifier | None = Field(default=None, description="version of the wrapping key")
    day: date | None = Field(
        default=None, ge=date(1970, 1, 1), le=date(2105, 12, 31), description="UTC day by which keys are filed"
    )
    api_key_id: Identifier | None = Field(default=None, description="id of an API key, not the key")
    count: int | None = Field(
        default=None,
        ge=0,
        le=2**63 - 1,
        description="how many keys it was about; of a hold, a later event or an export, how many calls",
    )
    account_id: Identifier | None = Field(default=None, description="of an account: whose it is that changed")
    role: Slug | None = Field(default=None, description="of an account: the role that was given or taken")
    case_id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:@-]{0,159}$")] | None = Field(
        default=None, description="of a hold: the case"
    )
    export_id: Identifier | None = Field(default=None, description="id of an export")

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.kind in OF_A_CALL and (self.call_id is None or self.tenant_id == ALL_TENANTS):
            raise PydanticCustomError("no_call", "a change of a call needs its tenant and id")
        return self

    @classmethod
    def of(cls, kind: CustodyKind, *, tenant_id: str, actor: str, at: datetime, **details: Any) -> Self:
        """The event with its id; `details` are the other fields. Raises `pydantic.ValidationError`."""
        draft = cls(
            event_id="00000000-0000-0000-0000-000000000000",
            kind=kind,
            tenant_id=tenant_id,
            actor=actor,
            at=at,
            **details,
        )
        return draft.model_copy(update={"event_id": str(uuid5(NAMESPACE_URL, draft.fingerprint()))})
