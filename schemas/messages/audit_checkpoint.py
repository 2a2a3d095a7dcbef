"""`AuditCheckpoint` v1: what was signed of the audit log, where whoever can write the register cannot write."""

from typing import Literal

from pydantic import Field

from schemas.messages.message import Message, Sha256, UtcDatetime


class AuditCheckpoint(Message):
    """A signed checkpoint of the audit log: how many entries, and the root of their tree. Nothing of an entry."""

    schema_version: Literal[1] = 1
    origin: str = Field(min_length=1, max_length=128, pattern=r"^[^\s+]+$", description="which log")
    size: int = Field(ge=0, le=2**63 - 1, description="how many entries it was signed over")
    root: Sha256 = Field(description="root of their tree (RFC 6962)")
    note: str = Field(
        min_length=1,
        max_length=2_048,
        description="the signed note (C2SP tlog-checkpoint, Ed25519): `callstream audit verify --checkpoint` takes it",
    )
    signed_at: UtcDatetime
