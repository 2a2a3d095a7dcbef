"""`Transcript` v1: what was said, by whom and when — or why the recording could not be heard."""

from typing import Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from schemas.messages.call_ended import CallEnded, Role
from schemas.messages.emotion import EmotionGap, SegmentEmotion
from schemas.messages.interval import Interval as Interval
from schemas.messages.message import Identifier, Message, Record, ShortText, TenantId, UtcDatetime
from schemas.messages.outcome import Outcome
from schemas.messages.pii import PiiSpan
from schemas.messages.sound import CallSound


class Word(Interval):
    """One word (for Chinese, what the recogniser takes for one) with its confidence, 0–1."""

    text: str
    confidence: float = Field(ge=0, le=1)


class Segment(Interval):
    """One stretch of speech of one speaker."""

    segment_id: int = Field(ge=0, description="position in the order of start_ms, from 0")
    channel: int = Field(ge=0)
    role: Role
    text: str
    heard_text: str | None = Field(
        default=None,
        description="what the recogniser wrote, masked like `text`; null where no character of `text` was put in the "
        "place of another of the same sound",
    )
    words: tuple[Word, ...] = ()
    confidence: float = Field(
        ge=0, le=1, description="mean confidence of the words; of the segment where there are none"
    )
    emotion: SegmentEmotion | None = Field(
        default=None, description="how agitated the speaker is; null: see emotion_gap"
    )
    emotion_gap: EmotionGap | None = Field(
        default=None,
        description="why there is no emotion; null in transcripts that predate emotion or were made elsewhere",
    )

    @model_validator(mode="after")
    def _has_no_gap_beside_an_emotion(self) -> Self:
        if self.emotion is not None and self.emotion_gap is not None:
            raise PydanticCustomError("gap_beside_emotion", "a segment with an emotion has no gap")
        return self


class Rejected(Interval):
    """Text that the recogniser produced but that is not trusted, with the reason."""

    channel: int = Field(ge=0)
    role: Role
    text: str
    reason: Literal["no_speech", "repetition", "known_phantom", "low_confidence"]


RECEIVED = "received"
"""The name of the engine of transcripts that were made elsewhere. Its settings say `times` (`told` or `none`) and
`separate_channels`."""


class EngineIdentity(Record):
    """Which recogniser wrote a transcript. Two transcripts with equal identity and audio are interchangeable."""

    name: str
    version: str
    model: str
    settings: dict[str, str | int | float | bool | None] = Field(default_factory=dict)

    def hears_like(self, other: "EngineIdentity") -> bool:
        """Whether what one has heard need not be heard again by the other.

        Device and batch size stand in the identity so that a difference can be explained; it is of the order of
        rounding, and workers with and without a GPU would hear each other's calls again for ever.
        """
        return self._without_machine() == other._without_machine()

    @property
    def is_received(self) -> bool:
        """Whether the words were recognised or written down elsewhere (`transcripts.received.v1`), not heard here."""
        return self.name == RECEIVED

    @property
    def knows_times(self) -> bool:
        """Whether it is known when what was said; otherwise the times of segments only keep them in order."""
        return not (self.is_received and self.settings.get("times") == "none")

    @property
    def tells_overlaps(self) -> bool:
        """Whether it would show if both sides spoke at once, as far as that depends on who wrote the transcript."""
        return not self.is_received or self.settings.get("separate_channels") is True

    def _without_machine(self) -> "EngineIdentity":
        settings = {name: value for name, value in self.settings.items() if name not in ("device", "batch_size")}
        return self.model_copy(update={"settings": settings})


class AudioFacts(Record):
    """What decoding showed about the file: container, codec, channels, length, damage."""

    container: str
    codec: str
    sample_rate_hz: int = Field(ge=1)
    channels: int = Field(ge=1)
    duration_ms: int = Field(ge=0)
    identical_channels: bool = False
    truncated: bool = Field(
        default=False, description="the file ends before it should, or parts of it could not be decoded"
    )


class Transcript(Message):
    """The result of `listen` for one call.

    `outcome` is null when the recording was heard; otherwise it is the terminal outcome of the call and
    `segments` is empty, except where somebody asked to hear one that is `too_short`. `call` is the event itself,
    so that no later stage needs another source.
    """

    schema_version: Literal[1] = 1
    tenant_id: TenantId
    call_id: Identifier
    call: CallEnded
    outcome: Outcome | None = None
    outcome_reason: ShortText | None = None
    error_class: ShortText | None = Field(default=None, description="the exception that a recording brought out")
    language: str | None = Field(default=None, description="detected language, ISO 639-1 (yue for Cantonese)")
    language_confidence: float | None = Field(default=None, ge=0, le=1)
    engine: EngineIdentity
    audio: AudioFacts | None = None
    segments: tuple[Segment, ...] = ()
    rejected: tuple[Rejected, ...] = ()
    speech: dict[Role, tuple[Interval, ...]] = Field(default_factory=dict, description="speech intervals per role")
    roles_inferred: bool = Field(
        default=False, description="the event did not say who speaks on which channel; inferred from what was said"
    )
    roles_doubtful: bool = Field(
        default=False,
        description="what was said contradicts the roles that the event told, or they were inferred by nothing but who "
        "spoke first",
    )
    sound: CallSound | None = None
    pii: tuple[PiiSpan, ...] = Field(
        default=(), description="where personal data was said; texts and words have a placeholder instead"
    )
    real_time_factor: float | None = Field(
        default=None, ge=0, description="seconds of work (decoding, VAD, recognition) per second of recording"
    )
    transcribed_at: UtcDatetime

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if (self.tenant_id, self.call_id) != (self.call.tenant_id, self.call.call_id):
            raise PydanticCustomError("not_the_call", "tenant_id and call_id must be those of the call")
        if (self.outcome is None) != (self.outcome_reason is None):
            raise PydanticCustomError("outcome_without_reason", "an outcome needs a reason, and a reason an outcome")
        if self.outcome not in (None, "too_short") and self.segments:
            raise PydanticCustomError("segments_without_hearing", "a call that was not heard has no segments")
        return self
