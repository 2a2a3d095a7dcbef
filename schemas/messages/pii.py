"""`PiiSpan`: where personal data was said, without what was said."""

from typing import Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from schemas.messages.call_ended import Role
from schemas.messages.message import Record

PiiKind = Literal["bank_card", "resident_id", "mobile", "fixed_phone", "email", "plate", "passport", "address", "name"]

SecretKind = Literal["account", "password", "code"]


class PiiSpan(Record):
    """One masked stretch of one segment.

    `start_char` and `end_char` (exclusive) are the place of `placeholder` in the *masked* text of the segment;
    `start_ms` and `end_ms` cover every word that held a part of it, so that the same stretch of sound can be muted.
    Something said over several turns has one span in each.
    """

    kind: PiiKind
    segment_id: int = Field(ge=0)
    role: Role
    start_ms: int = Field(ge=0)
    end_ms: int = Field(ge=0)
    start_char: int = Field(ge=0)
    end_char: int = Field(ge=0)
    confidence: float = Field(ge=0, le=1, description="1 is certain; a checksum that holds raises it")
    secret: SecretKind | None = Field(
        default=None,
        description="what it is where `kind` has no word for it; `kind` is then bank_card, which earlier releases know",
    )
    placeholder: str = Field(description="what replaces it in the text, such as [银行卡] or, by policy, [银行卡:7890]")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.end_ms < self.start_ms:
            raise PydanticCustomError("ends_before_start", "end_ms is before start_ms")
        if self.end_char - self.start_char != len(self.placeholder):
            raise PydanticCustomError("not_the_placeholder", "start_char and end_char must enclose the placeholder")
        return self
