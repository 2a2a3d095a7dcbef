"""`CallAnalysis` v1: the judgement of one call under one version of the analysis."""

from typing import Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from schemas.call_ended import CallEnded, Role
from schemas.finding import Finding
from schemas.message import Identifier, Message, Record, ShortText, Slug, TenantId, UtcDatetime
from schemas.outcome import Outcome
from schemas.transcript import AudioFacts, EngineIdentity

MeasureValue = int | float | bool | None


class SkippedAnalysis(Record):
    """A measure that could not be taken on this call, and why. It is null in `measures`, never 0."""

    measure: Slug
    reason: Slug


class TopicMention(Record):
    """A demand of the taxonomy, with the words that show it."""

    topic_id: str
    name: str
    role: Role
    quote: str
    confidence: float = Field(ge=0, le=1)


class Risk(Record):
    """How urgently a person should look at the call, and why."""

    level: Literal["low", "medium", "high"]
    score: float
    reasons: tuple[str, ...] = ()


class CallAnalysis(Message):
    """Everything that is known of a call after `judge`: one message per call and analysis version.

    `analysis_version` rises with each change of the analysis itself; rows of a lower version never replace
    rows of a higher one.
    """

    schema_version: Literal[1] = 1
    tenant_id: TenantId
    call_id: Identifier
    call: CallEnded
    analysis_version: int = Field(ge=1, le=1_000_000)
    lexicon_version: str
    outcome: Outcome
    outcome_reason: ShortText
    language: str | None = None
    engine: EngineIdentity
    audio: AudioFacts | None = None
    real_time_factor: float | None = Field(default=None, ge=0)
    measures: dict[Slug, MeasureValue] = Field(default_factory=dict)
    skipped_analysis: tuple[SkippedAnalysis, ...] = ()
    findings: tuple[Finding, ...] = ()
    topics: tuple[TopicMention, ...] = ()
    scorecard: None = None
    risk: Risk | None = None
    transcribed_at: UtcDatetime
    analyzed_at: UtcDatetime

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if (self.tenant_id, self.call_id) != (self.call.tenant_id, self.call.call_id):
            raise PydanticCustomError("not_the_call", "tenant_id and call_id must be those of the call")
        return self
