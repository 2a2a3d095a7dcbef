"""`Alert` v1: something that a subscriber must know about, with its evidence: a call, a surge, missing recordings."""

from typing import Literal, Self
from uuid import NAMESPACE_URL, uuid5

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from schemas.messages.call_analysis import TriggerName
from schemas.messages.call_ended import Role
from schemas.messages.finding import Severity
from schemas.messages.message import Identifier, Message, ShortText, Slug, TenantId, UtcDatetime

MAX_CALLS_OF_SURGE = 50
"""As many calls behind a surge, or missing in an hour, are named; `calls_count` says how many there are."""


class Alert(Message):
    """One alert: of a call, at most one for each rule and version; of a surge, one for each topic and hour; of
    recordings that did not come, one for each hour and doubling of their number, and one when all have come.

    With `triggers` it says no more than that a call was selected for review, and is for subscriptions to selected calls
    alone.

    `alert_id` is the same on every delivery, so that a subscriber can drop repeats. Everything in it is masked
    as the transcript is.
    """

    schema_version: Literal[1] = 1
    alert_id: str = Field(
        pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$",
        description="uuid5 of tenant, what it is about, rule and rule version",
    )
    kind: Literal["call", "surge", "missing", "test"]
    tenant_id: TenantId
    rule_id: str = Field(min_length=1, max_length=256)
    rule_version: str = Field(min_length=1, max_length=256)
    category: Slug
    severity: Severity
    title: str = Field(max_length=500, description="what happened, in one sentence")
    advice: str = Field(default="", max_length=500, description="what to do")
    call_id: Identifier | None = None
    agent_id: Identifier | None = None
    agent_team: ShortText | None = None
    queue: ShortText | None = None
    role: Role | None = None
    start_ms: int | None = Field(default=None, ge=0)
    end_ms: int | None = Field(default=None, ge=0)
    quote: str = Field(default="", description="the sentence around the first hit, masked")
    matched: str = ""
    hits: int = Field(default=1, ge=1, description="how often the rule was hit in the call")
    risk_level: Literal["low", "medium", "high"] | None = None
    risk_reasons: tuple[str, ...] = ()
    triggers: tuple[TriggerName, ...] = Field(
        default=(), description="of a call that was selected for review: what selected it; none in any other alert"
    )
    topic_id: str | None = Field(default=None, description="of a surge: the topic")
    calls: tuple[Identifier, ...] = Field(
        default=(),
        max_length=MAX_CALLS_OF_SURGE,
        description="of a surge: calls behind it, newest first; of missing recordings: the first of their calls",
    )
    calls_count: int | None = Field(
        default=None,
        ge=0,
        description="of a surge: how many calls in its window; of missing recordings: how many calls",
    )
    expected_count: float | None = Field(default=None, ge=0, description="of a surge: how many were expected")
    happened_at: UtcDatetime = Field(
        description="end of the call; of a surge the end of its window, of missing recordings the last end of a call"
    )
    raised_at: UtcDatetime

    @model_validator(mode="after")
    def _names_what_it_is_about(self) -> Self:
        if (self.kind == "call") != (self.call_id is not None):
            raise PydanticCustomError("call_of_alert", "an alert of a call, and no other, names its call")
        if (self.kind == "surge") != (self.topic_id is not None):
            raise PydanticCustomError("topic_of_alert", "an alert of a surge, and no other, names its topic")
        if self.triggers and self.kind in ("surge", "missing"):
            raise PydanticCustomError(
                "triggers_of_alert", "only calls are selected for review: nothing else has triggers"
            )
        return self

    @staticmethod
    def id_of(tenant_id: str, about: str, rule_id: str, rule_version: str) -> str:
        """The id of an alert about a call id, about `<topic>/<start of the window>`, or about an hour."""
        return str(uuid5(NAMESPACE_URL, f"callstream:alert/{tenant_id}/{about}/{rule_id}/{rule_version}"))
