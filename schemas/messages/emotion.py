"""The emotion of a segment: agitation and valence, and whether sound or words or both say so."""

from typing import Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from schemas.messages.message import Record

EmotionSource = Literal["sound", "text", "fused"]
SoundGap = Literal["too_short", "silent", "no_voice"]
"""Why the sound of a segment says nothing of its emotion."""
EmotionGap = Literal["switched_off", "too_short", "silent", "no_voice"]
"""Why a segment has no emotion: nobody asked, or its sound says nothing for this reason and its words say nothing."""


class SegmentEmotion(Record):
    """The emotion of one segment of one speaker.

    `agitated` follows from whatever was there: the sound, the words, or both (`source`). The two parts are kept
    beside it, so that a reader sees why.
    """

    agitated: float = Field(ge=0, le=1, description="probability that the speaker is agitated (angry)")
    valence: float = Field(ge=-1, le=1, description="unpleasant −1, neutral 0, pleasant 1")
    sound_agitated: float | None = Field(default=None, ge=0, le=1, description="the same probability by sound alone")
    text_agitated: float | None = Field(default=None, ge=0, le=1, description="the same probability by words alone")
    source: EmotionSource
    sound_gap: SoundGap | None = Field(default=None, description="why the sound said nothing")

    @model_validator(mode="after")
    def _has_what_it_rests_on(self) -> Self:
        has_sound, has_text = self.source in ("sound", "fused"), self.source in ("text", "fused")
        if (self.sound_agitated is not None, self.text_agitated is not None) != (has_sound, has_text):
            raise PydanticCustomError("source_without_part", "the source must name the parts that are there")
        if has_sound and self.sound_gap is not None:
            raise PydanticCustomError("gap_beside_part", "a sound that was read has no gap")
        return self
