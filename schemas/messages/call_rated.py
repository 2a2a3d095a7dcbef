"""`CallRated` v1: what becomes known only after a call: survey answers, order status, CRM data."""

from typing import Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from schemas.messages.call_ended import Csat
from schemas.messages.message import Identifier, Message, PastDatetime, ShortText, Slug, TenantId


class CallRated(Message):
    """One statement about a call, by one source at one moment (R44, R45, R63, R80).

    A call may have any number of them, in any order, before its own event or long after it. Of each field the newest
    statement that has it counts, by `rated_at`.
    """

    schema_version: Literal[1] = 1
    tenant_id: TenantId
    call_id: Identifier
    rated_at: PastDatetime = Field(description="when the customer answered, or when the other system knew it")
    source: Slug = Field(description="who says so, such as sms_survey, ivr_survey, crm, orders")
    csat: Csat | None = None
    resolved: bool | None = Field(
        default=None, description="explicit answer whether the matter is settled; it overrides what later calls show"
    )
    order_status: ShortText | None = None
    customer_value_tier: ShortText | None = None
    customer_tags: tuple[ShortText, ...] | None = Field(
        default=None, max_length=64, description="all tags of the customer; they replace earlier ones"
    )

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        told = (self.csat, self.resolved, self.order_status, self.customer_value_tier, self.customer_tags)
        if all(value is None for value in told):
            raise PydanticCustomError(
                "says_nothing", "one of csat, resolved, order_status, customer_value_tier, customer_tags must be there"
            )
        return self
