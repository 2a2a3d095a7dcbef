"""What is answered in JSON: a waveform, a transcript."""

from typing import Literal

from pydantic import BaseModel, Field

from processors.custody.authorization import Masking
from schemas.messages.call_ended import Role
from schemas.messages.pii import PiiSpan
from schemas.messages.transcript import Transcript, Word
from streams.listening import ShownPeaks


class PeaksAnswer(BaseModel):
    """A waveform as the JSON of BBC audiowaveform (version 2)."""

    version: Literal[2] = 2
    channels: int
    sample_rate: int = Field(description="Hz")
    samples_per_pixel: int
    bits: Literal[8] = 8
    length: int = Field(description="stretches")
    data: list[int] = Field(description="of each stretch and channel the least and the greatest sample, -128 to 127")
    masking: Masking

    @classmethod
    def of(cls, shown: ShownPeaks) -> "PeaksAnswer":
        """What may be shown."""
        peaks = shown.peaks
        return cls(
            channels=peaks.pairs.shape[1],
            sample_rate=peaks.rate_hz,
            samples_per_pixel=peaks.samples_per_peak,
            length=len(peaks.pairs),
            data=peaks.pairs.reshape(-1).tolist(),
            masking=shown.masking,
        )


class SegmentAnswer(BaseModel):
    """One stretch of speech of one speaker."""

    segment_id: int
    channel: int
    role: Role
    start_ms: int
    end_ms: int
    text: str
    words: tuple[Word, ...]


class TranscriptAnswer(BaseModel):
    """What was said in a call, masked. `outcome` is null where it was heard, else there are no segments."""

    tenant_id: str
    call_id: str
    outcome: str | None
    outcome_reason: str | None
    language: str | None
    times_known: bool = Field(description="whether it is known when what was said; else times keep the order alone")
    segments: list[SegmentAnswer]
    pii: tuple[PiiSpan, ...] = Field(description="where personal data was said")

    @classmethod
    def of(cls, transcript: Transcript) -> "TranscriptAnswer":
        """What may be shown of it: nothing that was not believed."""
        return cls(
            tenant_id=transcript.tenant_id,
            call_id=transcript.call_id,
            outcome=transcript.outcome,
            outcome_reason=transcript.outcome_reason,
            language=transcript.language,
            times_known=transcript.engine.knows_times,
            segments=[SegmentAnswer.model_validate(each, from_attributes=True) for each in transcript.segments],
            pii=transcript.pii,
        )
