"""How long the call was, and whether that is within the tenant's band (R42)."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Self

from pydantic import Field, model_validator

from processors.detectors.base.contract import DetectorContext, Measure, NotMeasured
from processors.judging.call_context import CallContext
from schemas.config.settings_part import SettingsPart
from schemas.config.tenants import ALL_ALIKE, Tenants
from schemas.messages.call_ended import CallEnded


class DurationSettings(SettingsPart):
    """The quality band of call duration; both ends belong to it."""

    duration_band_min_s: int = Field(
        default=180,
        ge=0,
        description="lower end of the quality band of call duration (R42), where tenants_file has no other",
    )
    duration_band_max_s: int = Field(
        default=480,
        ge=1,
        description="upper end of the quality band of call duration (R42), where tenants_file has no other",
    )

    @model_validator(mode="after")
    def _has_width(self) -> Self:
        if self.duration_band_min_s >= self.duration_band_max_s:
            raise ValueError("duration_band_min_s must be less than duration_band_max_s")
        return self


@dataclass(frozen=True)
class DurationDetector:
    """`duration_ms` of the recording as decoded, and `duration_in_band`: both ends belong to the band.

    The band is that of the tenant, else of the industry of the call, else of all.

    The length of a recording that was decoded but not heard is known (a misdial has one); whether it is in the band
    is not asked of such a call, or every misdial would count as too short a conversation.
    """

    name: ClassVar[str] = "duration"
    measures: ClassVar[tuple[str, ...]] = ("duration_ms", "duration_in_band")
    needs_speech: ClassVar[bool] = False
    reads_measures: ClassVar[bool] = False

    band_min_ms: int
    band_max_ms: int
    tenants: Tenants = ALL_ALIKE

    def process(self, context: CallContext) -> Iterator[Measure | NotMeasured]:
        transcript = context.transcript
        if transcript.audio is None:
            reason = transcript.outcome or "duration_unknown"
            yield NotMeasured("duration_ms", reason)
            yield NotMeasured("duration_in_band", reason)
            return
        duration_ms = transcript.audio.duration_ms
        yield Measure("duration_ms", duration_ms)
        if transcript.outcome is not None:
            yield NotMeasured("duration_in_band", transcript.outcome)
        else:
            yield Measure("duration_in_band", self._is_in_band(duration_ms, transcript.call))

    def _is_in_band(self, duration_ms: int, call: CallEnded) -> bool:
        own = self.tenants.duration_band(call.tenant_id, call.industry)
        if own is not None:
            return own.min_s * 1000 <= duration_ms <= own.max_s * 1000
        return self.band_min_ms <= duration_ms <= self.band_max_ms


def detector(context: DetectorContext) -> DurationDetector:
    """The detector, with the duration band of the settings, and those of tenants and industries."""
    band = context.part(DurationSettings)
    return DurationDetector(band.duration_band_min_s * 1000, band.duration_band_max_s * 1000, context.tenants)
