"""`TranscriptReceived` v1: what was said in a call, recognised or written down elsewhere, before masking."""

from datetime import timedelta
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BeforeValidator, ConfigDict, Field, StringConstraints, field_validator, model_validator
from pydantic_core import PydanticCustomError

from schemas.messages.call_ended import LONGEST_CALL, CallFacts, Role
from schemas.messages.message import Message, Record, ShortText
from schemas.messages.said_text import said_text

MAX_UTTERANCES = 5_000
MAX_UTTERANCE_LETTERS = 1_000
MAX_LETTERS = 200_000
"""Of a call: eleven hours of speech without a pause. The worst text of that length (5,000 other names) takes twenty
seconds to mask, in which others of its partition wait."""
_LONGEST_CALL_MS = LONGEST_CALL // timedelta(milliseconds=1)

Milliseconds = Annotated[int, Field(ge=0, le=_LONGEST_CALL_MS)]


def _said(value: object) -> object:
    """Whoever masks or prints a text never meets what nobody says; one that holds nothing else is empty."""
    return said_text(value) if isinstance(value, str) else value


class ReceivedUtterance(Record):
    """What one speaker says in one go, in clear. Times are milliseconds from the start of the call; both or neither."""

    role: Role
    text: Annotated[
        str,
        StringConstraints(min_length=1, max_length=MAX_UTTERANCE_LETTERS, strip_whitespace=True),
        BeforeValidator(_said),
    ] = Field(repr=False)
    start_ms: Milliseconds | None = None
    end_ms: Milliseconds | None = Field(default=None, description="exclusive; not before start_ms")

    @model_validator(mode="after")
    def _has_both_times_or_none(self) -> Self:
        if (self.start_ms is None) != (self.end_ms is None):
            raise PydanticCustomError("one_time_without_the_other", "start_ms and end_ms belong together")
        if self.start_ms is not None and self.end_ms is not None and self.end_ms < self.start_ms:
            raise PydanticCustomError("ends_before_start", "end_ms is before start_ms")
        return self


def _is_empty(value: object) -> bool:
    return not value


class SealedTranscript(Record):
    """Where the utterances lie sealed in the object store; tenant, call and day are those of the message."""

    version: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")] = Field(
        description="of the sealed object: no two messages have the same"
    )


class TranscriptReceived(Message):
    """A call as text, from a recogniser or a chat system that is not ours.

    What was said lies sealed in the object store (`sealed`), or stands here in clear (`utterances`): one of both.
    Utterances stand in the order in which they were begun, all of them with times or none.
    """

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["utterances"]}, {"required": ["sealed"]}]},
    )

    max_bytes: ClassVar[int] = 2 * 1024 * 1024

    schema_version: Literal[1] = 1
    call: CallFacts
    utterances: tuple[ReceivedUtterance, ...] = Field(
        default=(), min_length=1, max_length=MAX_UTTERANCES, exclude_if=_is_empty, description="in place of `sealed`"
    )
    sealed: SealedTranscript | None = Field(default=None, exclude_if=_is_empty, description="in place of `utterances`")
    language: Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}$")] = Field(
        default="zh", description="ISO 639-1 (yue for Cantonese)"
    )
    recogniser: ShortText | None = Field(
        default=None, description="what made the text, such as a product and its model"
    )
    separate_channels: bool = Field(
        default=False,
        description="each side was recognised on a channel of its own, so that utterances overlap where both speak at "
        "once; else interruptions are not measured",
    )

    @property
    def tenant_id(self) -> str:
        """Whose call it is."""
        return self.call.tenant_id

    @property
    def call_id(self) -> str:
        """The id of the call in the telephony system."""
        return self.call.call_id

    @property
    def has_times(self) -> bool:
        """Whether it is known when what was said. Only of a message that is not sealed."""
        return self.utterances[0].start_ms is not None

    @field_validator("utterances")
    @classmethod
    def _are_in_order(cls, utterances: tuple[ReceivedUtterance, ...]) -> tuple[ReceivedUtterance, ...]:
        """The kind of error has the number of the utterance, counted from 0, because that is no value."""
        if sum(len(utterance.text) for utterance in utterances) > MAX_LETTERS:
            raise _wrong("more_letters_than_a_call_has")
        before_ms = 0
        for number, utterance in enumerate(utterances):
            if (utterance.start_ms is None) != (utterances[0].start_ms is None):
                raise _wrong(f"utterance_{number}_times_for_all_or_none")
            if utterance.start_ms is not None and utterance.start_ms < before_ms:
                raise _wrong(f"utterance_{number}_begins_before_the_one_before")
            before_ms = utterance.start_ms or 0
        return utterances

    @model_validator(mode="after")
    def _is_sealed_or_in_clear(self) -> Self:
        if self.sealed is None and not self.utterances:
            raise _wrong("neither_utterances_nor_sealed")
        if self.sealed is not None and self.utterances:
            raise _wrong("utterances_beside_sealed")
        return self


def _wrong(kind: str) -> PydanticCustomError:
    return PydanticCustomError(kind, "the utterances do not fit each other")
