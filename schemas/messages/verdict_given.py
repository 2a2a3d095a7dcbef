"""`VerdictGiven` v1: what a person says of a call, of a finding, or of a violation that nobody found."""

from hashlib import sha256
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from schemas.messages.message import Identifier, Message, PastDatetime, Slug, TenantId

VerdictAbout = Literal["call", "finding", "missed"]
"""What is judged: the call as a whole, one finding or suspicion, or a violation that nothing has found."""

VerdictAnswer = Literal["yes", "no", "withdrawn"]
"""`yes`: the call was worth hearing, the finding is right, the violation was missed. `withdrawn`: nothing any more."""

MAX_QUOTE, MAX_NOTE = 500, 500
"""Characters."""

Version = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:+@-]{0,127}$")]

_NEEDED: dict[VerdictAbout, tuple[str, ...]] = {
    "call": (),
    "finding": ("finding_id", "detector", "rule_id", "rule_version"),
    "missed": ("kind", "quote"),
}
_ALLOWED: dict[VerdictAbout, frozenset[str]] = {
    "call": frozenset(("detector", "rule_version", "score")),
    "finding": frozenset(("finding_id", "detector", "rule_id", "rule_version", "start_ms")),
    "missed": frozenset(("kind", "quote", "segment_id")),
}


class VerdictGiven(Message):
    """One verdict by one person at one moment.

    Of the verdicts of one person on the same thing the newest counts, by `given_at`; of two at the same moment always
    the same one, in whatever order they arrive. A finding is named with its rule and version, because its id changes
    when a call is judged again, and precision is asked for each version.
    """

    schema_version: Literal[1] = 1
    tenant_id: TenantId
    call_id: Identifier
    about: VerdictAbout
    answer: VerdictAnswer
    given_by: Identifier = Field(description="the inspector: an account or a number, not a name")
    given_at: PastDatetime
    finding_id: Identifier | None = Field(default=None, description="of a finding: its id in findings or suspicions")
    detector: Slug | None = Field(default=None, description="who found it, such as reading or sensitive_words")
    rule_id: Identifier | None = Field(default=None, description="rule that found it; of a suspicion suspected_KIND")
    rule_version: Version | None = Field(
        default=None, description="version of the rule, or digest of the reading heads"
    )
    kind: Slug | None = Field(
        default=None, description="of a missed violation: its kind, such as false_promise, rude or privacy"
    )
    quote: str | None = Field(
        default=None, min_length=1, max_length=MAX_QUOTE, description="of a missed violation: the masked words"
    )
    segment_id: int | None = Field(
        default=None, ge=0, le=2**32 - 1, description="of a missed violation: the segment that it stands in, if known"
    )
    start_ms: int | None = Field(
        default=None,
        ge=0,
        le=2**63 - 1,
        description="of a finding: its start in the recording; by it a suspicion is found again after other heads",
    )
    score: float | None = Field(
        default=None,
        ge=0,
        le=100,
        allow_inf_nan=False,
        description="of a call as a whole: how good it was, 0 to 100, as the person scores it",
    )
    note: str | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_NOTE,
        description="why; without personal data, and masked when stored",
    )

    @model_validator(mode="after")
    def _says_what_it_judges(self) -> Self:
        given = {name for names in _ALLOWED.values() for name in names if getattr(self, name) is not None}
        if given - _ALLOWED[self.about] or not given.issuperset(_NEEDED[self.about]):
            raise PydanticCustomError(
                "names_another_thing",
                "a verdict about a finding has finding_id, detector, rule_id and rule_version, one about a missed "
                "violation kind and quote, one about a call none of these but detector and rule_version; a score is of "
                "a call",
            )
        if self.answer == "withdrawn" and self.score is not None:
            raise PydanticCustomError("withdrawn_with_score", "a verdict that is withdrawn has no score")
        if self.about == "missed" and self.answer == "no":
            raise PydanticCustomError("missed_and_not", "a missed violation is there, or the verdict is withdrawn")
        return self

    @property
    def thing(self) -> str:
        """What of the call is judged: the same for each verdict on the same thing."""
        if self.about == "finding":
            return self.finding_id or ""
        if self.about == "missed":
            return sha256(f"{self.kind}\n{self.segment_id}\n{self.quote}".encode()).hexdigest()[:32]
        return ""
