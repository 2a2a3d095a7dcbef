"""`CallEnded` v1: a call is over and its recording is in the object store."""

from datetime import date, timedelta
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from schemas.messages.interval import Interval
from schemas.messages.message import Identifier, Message, PastDatetime, Record, Sha256, ShortText, Slug, TenantId

DisconnectedBy = Literal["agent", "customer", "system", "transfer"]
"""Who ended a call, or the leg of it: `transfer` where it was handed on."""

Role = Literal["agent", "customer", "unknown"]
"""Who speaks. A voice bot speaks as `agent` (`handled_by` says that it is one)."""


LONGEST_CALL = timedelta(days=7)

LONGEST_CALL_MS = LONGEST_CALL // timedelta(milliseconds=1)

HOLD_MORE_MOST = timedelta(minutes=1)
"""So much more than the whole call may an exchange count as hold, which rounds, or counts by another clock."""

SCALE_END = 1_000_000
"""Scales of ratings end here: the difference of two larger numbers may be more than any number holds."""


class Agent(Record):
    """The person or bot that handled the call."""

    id: Identifier
    team: ShortText | None = None
    hired_on: date | None = None
    seniority: Literal["new", "regular", "senior"] | None = None


class Customer(Record):
    """The other side, without its phone number."""

    key: Sha256 | None = Field(
        default=None,
        description="HMAC-SHA-256 of the normalised phone number (R30); null when the number was withheld",
    )
    key_version: int | None = Field(
        default=None,
        ge=0,
        le=1_000_000,
        description="version of the secret that the key was made with; null is 0, from before there were versions",
    )
    number_last4: Annotated[str, StringConstraints(pattern=r"^[0-9]{4}$")] | None = Field(
        default=None, description="last digits of the number, where the tenant's policy keeps them (R30)"
    )
    tags: tuple[ShortText, ...] = Field(default=(), max_length=64)
    value_tier: ShortText | None = None


class AudioEncryption(Record):
    """How the recording is encrypted at rest."""

    algorithm: ShortText
    key_id: Identifier
    parameters: dict[ShortText, ShortText] = Field(default_factory=dict, max_length=16)


class SpeakerSegment(Interval):
    """Who speaks in a stretch of the recording, as the telephony side knows it."""

    start_ms: int = Field(ge=0, le=LONGEST_CALL_MS)
    end_ms: int = Field(ge=0, le=LONGEST_CALL_MS)
    role: Role


class Audio(Record):
    """Where the recording lies and what it must be.

    `container`, `codec`, `sample_rate_hz` and `channels` are what the telephony side says; `listen` trusts the
    file and records what it found.
    """

    uri: Annotated[str, StringConstraints(pattern=r"^s3://[a-z0-9][a-z0-9.-]{1,62}/[^\x00-\x1f\x7f]{1,900}$")]
    sha256: Sha256
    bytes: int = Field(ge=0, le=2**63 - 1)
    container: Slug | None = None
    codec: Slug | None = None
    sample_rate_hz: int | None = Field(default=None, ge=1, le=768_000)
    channels: int | None = Field(default=None, ge=1, le=64)
    channel_roles: tuple[Role, ...] | None = Field(
        default=None, max_length=64, description="role of each channel, in the order of the channels in the file"
    )
    speaker_segments: tuple[SpeakerSegment, ...] | None = Field(
        default=None,
        max_length=10_000,
        description="who speaks when, in a recording with one channel; ignored if the channels tell",
    )
    encryption: AudioEncryption | None = None


class Csat(Record):
    """What the customer answered after the call."""

    score: float = Field(ge=-SCALE_END, le=SCALE_END)
    scale_min: float = Field(default=1, ge=-SCALE_END, le=SCALE_END)
    scale_max: float = Field(default=5, ge=-SCALE_END, le=SCALE_END)

    @model_validator(mode="after")
    def _score_is_on_the_scale(self) -> Self:
        if not self.scale_min <= self.score <= self.scale_max or self.scale_min == self.scale_max:
            raise PydanticCustomError("score_off_scale", "score must lie on the scale")
        return self


class CallFacts(Record):
    """What is known of a call when it is over, its recording apart (R6–R8)."""

    tenant_id: TenantId
    call_id: Identifier
    direction: Literal["inbound", "outbound"]
    handled_by: Literal["human", "bot"] = "human"
    started_at: PastDatetime
    ended_at: PastDatetime = Field(description="at most 7 days after started_at, and a day from now")
    agent: Agent
    customer: Customer = Customer()
    queue: ShortText | None = None
    inquiry_type: ShortText | None = None
    industry: Slug = "general"
    course_type: Slug | None = None
    order_id: ShortText | None = None
    order_status: ShortText | None = None
    crm: dict[ShortText, ShortText] = Field(
        default_factory=dict, max_length=64, description="free references into other systems"
    )
    recording_notice_played: bool | None = Field(
        default=None, description="the telephony side played the recording notice before recording began (R15)"
    )
    language_hint: Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$")] | None = None
    csat: Csat | None = None
    legal_hold: bool = False
    initial_call_id: Identifier | None = Field(
        default=None, description="the first call of the contact that this one belongs to; its own id where it is that"
    )
    previous_call_id: Identifier | None = Field(
        default=None, description="the call that this one continues: it was transferred from there, or calls back"
    )
    related_call_ids: tuple[Identifier, ...] = Field(
        default=(), max_length=64, description="other calls that have to do with it; they make no chain"
    )
    transferred_to: Identifier | None = Field(
        default=None,
        description="the call that this one was handed on to; null where it ended here, or its other end is unknown "
        "(then disconnected_by says transfer)",
    )
    hold_ms: int | None = Field(
        default=None,
        ge=0,
        le=LONGEST_CALL_MS,
        description="how long the customer was on hold, all holds together; at most a minute more than the call lasted",
    )
    queue_wait_ms: int | None = Field(
        default=None,
        ge=0,
        le=LONGEST_CALL_MS,
        description="how long the customer waited in the queue before somebody answered; not part of the call",
    )
    after_call_work_ms: int | None = Field(
        default=None, ge=0, le=LONGEST_CALL_MS, description="how long the agent worked on it after it had ended"
    )
    disconnected_by: DisconnectedBy | None = Field(
        default=None, description="who ended it; transfer where it was handed on"
    )

    @model_validator(mode="after")
    def _ends_after_it_starts(self) -> Self:
        if self.ended_at < self.started_at:
            raise PydanticCustomError("ended_before_started", "ended_at is before started_at")
        if self.ended_at - self.started_at > LONGEST_CALL:
            raise PydanticCustomError("call_too_long", "ended_at is more than 7 days after started_at")
        hold = timedelta(milliseconds=self.hold_ms or 0)
        if hold > self.ended_at - self.started_at + HOLD_MORE_MOST:
            raise PydanticCustomError("hold_too_long", "hold_ms is more than the call lasted")
        return self


class CallEnded(CallFacts, Message):
    """A call has ended and its recording is durable in the object store (R6–R8)."""

    max_bytes: ClassVar[int] = 512 * 1024

    schema_version: Literal[1] = 1
    audio: Audio
