"""`FactReceived` v1: what another system knows of an order, a customer, an agent, a course … as of a moment."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from schemas.messages.message import Message, PastDatetime, ShortText, Slug, TenantId

FactField = Annotated[str, StringConstraints(min_length=1, max_length=64, strip_whitespace=True)]
"""The name of a field: of any letters, as a column of a table of one's own is called."""

FactValue = Annotated[str, StringConstraints(min_length=1, max_length=256, strip_whitespace=True)]


class FactReceived(Message):
    """What holds of one thing from one moment on, until the next such message about it (R73, R75, R80, R87).

    It is whole: a field that a later message leaves out holds no more. Of two with the same tenant, entity, key and
    moment the one that was written to the topic last counts, so what was wrong is corrected by sending it again.
    """

    schema_version: Literal[1] = 1
    tenant_id: TenantId
    entity: Slug = Field(
        description="what it is about. Joined to calls are order (by order_id), customer and credit (by customer.key), "
        "agent (by agent.id), queue, course (by crm.course_id) and call (by call_id)"
    )
    key: ShortText = Field(description="which one: its id, as the events of calls have it")
    valid_from: PastDatetime = Field(description="since when it holds")
    fields: dict[FactField, FactValue] = Field(
        max_length=64, description="what holds; times as 2026-03-02T10:15:00+08:00; without any, nothing does any more"
    )
    source: Slug = Field(description="who says so, such as orders, crm, credit, school")
