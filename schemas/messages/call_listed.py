"""`CallListed` v1: a call as the exchange's own list has it, whether or not its recording has come."""

from typing import Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from schemas.messages.call_ended import LONGEST_CALL
from schemas.messages.message import Identifier, Message, PastDatetime, Sha256, ShortText, TenantId


class CallListed(Message):
    """A row of the list that the exchange keeps of its calls (call detail records, CDR).

    It is what completeness is measured against (R39): a call that is `recorded` must reach us as a recording. Of the
    rows of one call that of the newest list counts; of several in one list (an attempt to reach each of three agents)
    one that is recorded goes before those that are not, in whatever order they arrive.
    """

    schema_version: Literal[1] = 1
    tenant_id: TenantId
    call_id: Identifier = Field(description="the id under which the recording of the call comes")
    recorded: bool = Field(description="by the exchange's list there must be a recording of the call")
    started_at: PastDatetime
    ended_at: PastDatetime = Field(description="at most 7 days after started_at, and a day from now")
    direction: Literal["inbound", "outbound"] | None = None
    handled_by: Literal["human", "bot"] = "human"
    answered: bool | None = None
    agent_id: Identifier | None = None
    queue: ShortText | None = None
    customer_key: Sha256 | None = Field(
        default=None, description="as customer.key of CallEnded; null when the number was withheld"
    )
    listed_at: PastDatetime = Field(description="as of when the exchange says so: when its list was written")

    @model_validator(mode="after")
    def _ends_after_it_starts(self) -> Self:
        if self.ended_at < self.started_at:
            raise PydanticCustomError("ended_before_started", "ended_at is before started_at")
        if self.ended_at - self.started_at > LONGEST_CALL:
            raise PydanticCustomError("call_too_long", "ended_at is more than 7 days after started_at")
        return self
