"""`CallAnalysis` v1: the judgement of one call under one version of the analysis."""

from typing import Annotated, Literal, Self, get_args

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from schemas.messages.call_ended import CallEnded, Role
from schemas.messages.finding import Finding
from schemas.messages.message import Identifier, Message, Record, ShortText, Slug, TenantId, UtcDatetime
from schemas.messages.outcome import Outcome
from schemas.messages.transcript import AudioFacts, EngineIdentity

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
    model: ShortText | None = Field(default=None, description="version of the heads that read it; null: by its phrases")


class RiskPart(Record):
    """One part of the risk score. `score` of the risk is the sum of `points` over its parts."""

    part: Slug
    points: float = Field(gt=0)
    reason: str = Field(description="why, in words: rules, counts and measures, never what was said")


RiskLevel = Literal["low", "medium", "high"]


class Risk(Record):
    """How urgently a person should look at the call, and why. `reasons` are those of the parts, without a quote."""

    level: RiskLevel
    score: float = Field(ge=0, description="0 or more, the sum of the points of the parts")
    reasons: tuple[str, ...] = ()
    parts: tuple[RiskPart, ...] = Field(default=(), description="the heaviest first")
    unmeasured: tuple[Slug, ...] = Field(
        default=(), description="parts that could not be looked for on this call; unknown, not 0"
    )
    rules_version: int | None = Field(default=None, ge=1, description="version of the rules that it was computed by")


TriggerName = Literal[
    "complaint_threat",
    "customer_agitated",
    "customer_upset",
    "duration_anomaly",
    "like",
    "mandatory_script",
    "reading",
    "safety",
    "sensitive_word",
    "suspected_violation",
]
"""What can select a call. A closed list: `schemas/config/selection.yaml` says when each of them does."""

TRIGGER_NAMES: tuple[TriggerName, ...] = get_args(TriggerName)

SUSPECTING: tuple[TriggerName, ...] = ("customer_upset", "like", "reading", "suspected_violation")
"""Triggers that rest on a suspicion: they select, but raise no alert, enter no KPI and are not shown to agents."""


class Trigger(Record):
    """One thing that selected the call by itself, and the findings or the measure that pulled it."""

    name: Slug = Field(description="one of those of selection.yaml; a newer release may have others")
    reason: str = Field(description="why, in words: counts and measures, never what was said")
    finding_ids: tuple[str, ...] = Field(default=(), description="findings that pulled it, in the order of the call")
    measure: Slug | None = Field(default=None, description="measure that pulled it")
    value: MeasureValue = Field(default=None, description="value of that measure")


class Selection(Record):
    """Whether a person should review the call (R49), which is not how grave or urgent it is: that is its risk."""

    selected: bool = Field(description="true where there is a trigger")
    triggers: tuple[Trigger, ...] = Field(default=(), description="in the order of their names, each once")
    rules_version: int | None = Field(default=None, ge=1, description="version of the rules that it was selected by")

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        names = [trigger.name for trigger in self.triggers]
        if self.selected != bool(names):
            raise PydanticCustomError("selected_by_nothing", "a call is selected where there is a trigger, else not")
        if names != sorted(set(names)):
            raise PydanticCustomError("triggers_in_order", "triggers must be in the order of their names, each once")
        return self

    @property
    def certain(self) -> tuple[Trigger, ...]:
        """The triggers that do not rest on a suspicion; of one that this release does not know nobody can say that."""
        certain = set(TRIGGER_NAMES) - set(SUSPECTING)
        return tuple(trigger for trigger in self.triggers if trigger.name in certain)


ScoreGroup = Literal["compliance", "communication", "resolution", "experience"]


class Evidence(Record):
    """What an item of the scorecard is based on: the finding, or the measure with its value, and the words if any."""

    finding_id: str | None = None
    measure: Slug | None = None
    value: MeasureValue = None
    start_ms: int | None = Field(default=None, ge=0)
    quote: str = ""


class ScoreItem(Record):
    """One item of the form: points reached of points possible. Null where it is not measurable on this call; then it
    leaves the denominator, and `reason` says why."""

    item_id: Slug
    name: str
    group: ScoreGroup
    points: float | None = Field(ge=0)
    max_points: float = Field(gt=0)
    reason: Slug | None = None
    evidence: tuple[Evidence, ...] = ()


class Scorecard(Record):
    """The score of a call by a versioned form (R57): compliance 30, communication 30, resolution 20, experience 20.

    `score` is 0–100 over the items that are measurable: each group counts with its weight, a group without any
    measurable item leaves the denominator. Null when nothing is measurable.
    """

    form_id: str
    form_version: int = Field(ge=1)
    score: float | None = Field(ge=0, le=100)
    groups: dict[ScoreGroup, float | None] = Field(description="0–100 for each group; null: nothing measurable")
    items: tuple[ScoreItem, ...] = ()


MAX_RESPONSES = 10_000
"""Answers of a call whose delays are kept; no conversation has so many."""


class CallAnalysis(Message):
    """Everything that is known of a call after `judge`: one message per call and analysis version.

    `analysis_version` rises with each minor release from 0.10.0 on, because each judges otherwise; of one transcript, a
    row of a lower version never replaces one of a higher.
    """

    schema_version: Literal[1] = 1
    tenant_id: TenantId
    call_id: Identifier
    call: CallEnded
    analysis_version: int = Field(ge=1, le=1_000_000)
    lexicon_version: str = Field(description="versions of the rule packs that apply, with a digest of their content")
    outcome: Outcome
    outcome_reason: ShortText
    language: str | None = None
    engine: EngineIdentity
    audio: AudioFacts | None = None
    real_time_factor: float | None = Field(default=None, ge=0)
    roles_doubtful: bool = Field(
        default=False,
        description="agent and customer may be exchanged: what is measured of either side is null, and what is found "
        "on the side of the agent raises no alert",
    )
    measures: dict[Slug, MeasureValue] = Field(default_factory=dict)
    read_measures: tuple[Slug, ...] = Field(
        default=(),
        description="names of the measures of which rules know or find nothing, and whose value is what the reading "
        "heads think: no points, risk or certain trigger rests on them",
    )
    response_delays_ms: tuple[Annotated[int, Field(ge=0)], ...] = Field(
        default=(),
        max_length=MAX_RESPONSES,
        description="how long each answer of the agent took, in the order of the call; none where the measures of "
        "response delay are null, and in analyses by release 0.2 or before",
    )
    skipped_analysis: tuple[SkippedAnalysis, ...] = ()
    findings: tuple[Finding, ...] = ()
    topics: tuple[TopicMention, ...] = ()
    scorecard: Scorecard | None = None
    risk: Risk | None = None
    selection: Selection | None = Field(
        default=None, description="null: not known, because the call was not heard, or judged by release 0.3 or before"
    )
    retention_class: Slug | None = Field(
        default=None, description="class by which the recording must be kept; decided by content, longest wins (R82)"
    )
    retention_days: int | None = Field(default=None, ge=1, description="how long that is, at least")
    retention_classes: tuple[Slug, ...] = Field(
        default=(),
        max_length=500,
        description="every class of the retention file that fits; none in analyses by release 0.4 or before",
    )
    transcribed_at: UtcDatetime
    analyzed_at: UtcDatetime

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if (self.tenant_id, self.call_id) != (self.call.tenant_id, self.call.call_id):
            raise PydanticCustomError("not_the_call", "tenant_id and call_id must be those of the call")
        return self
