"""`RecordingAccessed` v1: somebody searched, read, listened to, exported or deleted calls, or tried to."""

from datetime import datetime
from typing import Annotated, Literal, Self, get_args
from uuid import NAMESPACE_URL, uuid5

from pydantic import Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from schemas.messages.message import Identifier, Message, Slug, TenantId, UtcDatetime

AccessAction = Literal[
    "searched",
    "viewed_call",
    "viewed_transcript",
    "listened",
    "reviewed",
    "exported",
    "approved",
    "deleted",
    "queried",
    "viewed_text",
    "viewed_recording",
    "viewed_waveform",
    "downloaded",
    "asked",
    "export_requested",
    "export_approved",
    "export_refused",
    "export_withdrawn",
]
"""What was done. `approved`: an export that somebody else asked for (R38). `queried`: SQL of an analyst's account.
`asked`: a request over HTTP that was refused before it was known what it is about."""

ACCESS_ACTIONS: tuple[AccessAction, ...] = get_args(AccessAction)

ACTIONS_WITHOUT_CALL: frozenset[AccessAction] = frozenset(ACCESS_ACTIONS) - {
    "viewed_call",
    "viewed_transcript",
    "viewed_text",
    "listened",
    "reviewed",
    "approved",
    "deleted",
}
"""These may be about many calls at once."""

ALL_TENANTS = "*"
"""The tenant of an access that was bound to none."""

Address = Annotated[str, StringConstraints(pattern=r"^[0-9A-Fa-f.:]{2,45}$")]


class RecordingAccessed(Message):
    """One line of the log of access (R36, R92). Who, when, what, of which call, why, from where, and whether it was
    allowed.

    Holds nothing of what was asked or found: filters are named, not told, because their values may be a phone number or
    words of a caller. The reason is a word of a list and a number of a ticket, no sentence.
    """

    schema_version: Literal[1] = 1
    access_id: str = Field(
        pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$",
        description="id of the entry in the audit log, or uuid5 of everything else: the same on every delivery",
    )
    tenant_id: TenantId | Literal["*"] = Field(description="whose recordings; * if no tenant was given")
    user_id: Identifier = Field(description="who did it: the account, not a name")
    user_role: Slug = Field(description="in which role, see roles.yaml")
    action: AccessAction
    call_id: Identifier | None = Field(default=None, description="null where it is about many calls, or none is known")
    filters: tuple[Slug, ...] = Field(
        default=(), max_length=32, description="of a search or an export: the names of its conditions, not their values"
    )
    calls_count: int | None = Field(
        default=None, ge=0, le=2**63 - 1, description="of a search or an export: how many calls it returned"
    )
    reason: Slug | None = Field(default=None, description="why, as a word: complaint, sampling, training, audit …")
    ticket: Identifier | None = Field(default=None, description="the case it was done for")
    client: Slug = Field(description="through what: cli, console, api …")
    address: Address | None = Field(default=None, description="IP address of the request, if known")
    result: Literal["allowed", "refused"]
    refusal: Slug | None = Field(default=None, description="why it was refused")
    accessed_at: UtcDatetime

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.call_id is None and self.action not in ACTIONS_WITHOUT_CALL:
            raise PydanticCustomError("no_call", "only a search, a query or an export may be about no one call")
        if (self.result == "refused") != (self.refusal is not None):
            raise PydanticCustomError("refusal_without_reason", "a refusal, and only that, needs to say why")
        return self

    @classmethod
    def of(
        cls,
        *,
        tenant_id: str,
        user_id: str,
        user_role: str,
        action: AccessAction,
        client: str,
        accessed_at: datetime,
        call_id: str | None = None,
        filters: tuple[str, ...] = (),
        calls_count: int | None = None,
        reason: str | None = None,
        ticket: str | None = None,
        address: str | None = None,
        refusal: str | None = None,
    ) -> Self:
        """The line with its id. Refused where `refusal` says why. Raises `pydantic.ValidationError`."""
        draft = cls(
            access_id="00000000-0000-0000-0000-000000000000",
            tenant_id=tenant_id,
            user_id=user_id,
            user_role=user_role,
            action=action,
            call_id=call_id,
            filters=tuple(sorted(set(filters))),
            calls_count=calls_count,
            reason=reason,
            ticket=ticket,
            client=client,
            address=address,
            result="refused" if refusal else "allowed",
            refusal=refusal,
            accessed_at=accessed_at,
        )
        return draft.model_copy(update={"access_id": str(uuid5(NAMESPACE_URL, draft.fingerprint()))})
