"""`Finding`: the one result type of all detectors."""

from typing import Literal, get_args

from pydantic import Field, model_validator

from schemas.messages.call_ended import Role
from schemas.messages.classes import FindingSource, Nature, nature_of, source_of
from schemas.messages.message import Record, Slug

Severity = Literal["info", "low", "medium", "high", "critical"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)
"""The mildest first."""


class Finding(Record):
    """Something that a detector found in a call, with its evidence.

    `quote` is the sentence around the hit as it stands in the transcript, `matched` the hit itself;
    `attributes` may hold `segment_id`, `match_start`, `match_end` (character offsets of the hit in the text of
    that segment), `may_alert` (true of a suspicion that alerts although its severity is `info`) and whatever else the
    detector documents.
    """

    finding_id: str = Field(
        description="uuid5 of call, detector, rule, rule version and place: the same on every delivery"
    )
    detector: Slug
    rule_id: str
    rule_version: str
    category: Slug
    role: Role
    start_ms: int = Field(ge=0)
    end_ms: int = Field(ge=0)
    quote: str = ""
    matched: str = ""
    severity: Severity
    score_delta: float = 0
    confidence: float = Field(default=1, ge=0, le=1)
    attributes: dict[str, str | int | float | bool] = Field(default_factory=dict)
    nature: Nature = Field(
        default="violation",
        description="violation: the agent did wrong; omission: did not do what must be done; customer: what the "
        "customer says or feels; interaction: between the two; call: length and recording; act: something was said or "
        "done, without blame. By the category, where it is not told",
    )
    source: FindingSource = Field(
        default="rule",
        description="which way of looking found it; what reading, second_reader and hook find nobody has confirmed. By "
        "the detector, where it is not told",
    )

    @model_validator(mode="before")
    @classmethod
    def _is_classed(cls, content: object) -> object:
        """Findings of release 0.12 or before do not tell what they are."""
        if not isinstance(content, dict):
            return content
        told = dict(content)
        attributes = told.get("attributes")
        further = attributes if isinstance(attributes, dict) else {}
        if "nature" not in told:
            category, role, severity, detector = (
                str(told.get(name)) for name in ("category", "role", "severity", "detector")
            )
            told["nature"] = nature_of(category, role, severity, detector, further.get("state"))
        if "source" not in told:
            told["source"] = source_of(str(told.get("detector")), further.get("source"))
        return told

    @property
    def may_alert(self) -> bool:
        """Whether it is a suspicion that alerts: nine of ten such were right (`callstream learn alerts`)."""
        return self.attributes.get("may_alert") is True
