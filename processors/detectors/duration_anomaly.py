"""Calls that are much shorter or longer than others of their kind (R42, R49)."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import exp, log
from typing import ClassVar, Self

from pydantic import Field, model_validator

from processors.detectors.base.contract import DetectorContext, Measure, NotMeasured, Result
from processors.detectors.base.findings import finding_id
from processors.judging.call_context import CallContext, DurationBaseline
from schemas.config.settings_part import SettingsPart
from schemas.messages.finding import Finding

SIGMA_OF_MAD = 0.6745
"""Of a normal distribution, MAD / standard deviation: the third quartile of the standard normal."""

ANOMALY_AT = 3.5
"""Modified z-scores of this size are outliers: Iglewicz and Hoaglin, How to Detect and Handle Outliers (ASQC, 1993)."""

SMALLEST_MAD = 0.1
"""Of ln(ms). A group of nearly equal durations would otherwise make an anomaly of a second more: with this floor a
call within a factor of 1.68 of the median never is one."""

NO_BASELINE = "no_baseline"
BASELINE_UNKNOWN = "baseline_unknown"
"""Whether there is one could not be asked; the call is judged again once it can be (`heal`)."""


class DurationAnomalySettings(SettingsPart):
    """A duration is an anomaly by its baseline where that rests on `baseline_min_calls` or more, else where it lies
    outside of the fallback range.
    """

    duration_fallback_min_s: int = Field(
        default=10, ge=0, description="shorter calls are anomalies as long as their group has no baseline"
    )
    duration_fallback_max_s: int = Field(
        default=3_600, ge=1, description="longer calls are anomalies as long as their group has no baseline"
    )
    baseline_min_calls: int = Field(
        default=50, ge=2, description="calls of the same tenant, queue and inquiry type needed for a baseline"
    )

    @model_validator(mode="after")
    def _fallback_has_width(self) -> Self:
        if self.duration_fallback_min_s >= self.duration_fallback_max_s:
            raise ValueError("duration_fallback_min_s must be less than duration_fallback_max_s")
        return self


@dataclass(frozen=True)
class DurationAnomalyDetector:
    """`duration_deviation`, the modified z-score 0.6745 · (ln d − median) / MAD of the call among calls of the same
    tenant, queue and inquiry type, and `duration_anomaly`: whether it reaches 3.5 in either direction.

    Durations are skewed, their logarithms nearly normal; hence ln. Where fewer than `baseline_min_calls` stand behind
    the baseline, the deviation is not measured (`no_baseline`) and the fixed fallback range decides; both of its ends
    belong to it. The one finding has no words; `attributes`: `basis` (`baseline` or `fallback`), `duration_ms`,
    `expected_min_ms`, `expected_max_ms`, and of a baseline `deviation` and `baseline_calls`.
    """

    name: ClassVar[str] = "duration_anomaly"
    measures: ClassVar[tuple[str, ...]] = ("duration_anomaly", "duration_deviation")
    needs_speech: ClassVar[bool] = True
    reads_measures: ClassVar[bool] = False

    rule_version: ClassVar[str] = "1"

    fallback_min_ms: int
    fallback_max_ms: int
    baseline_min_calls: int

    def process(self, context: CallContext) -> Iterator[Result]:
        audio = context.transcript.audio
        if audio is None:
            yield NotMeasured("duration_anomaly", "duration_unknown")
            yield NotMeasured("duration_deviation", "duration_unknown")
            return
        baseline = context.background.baseline
        attributes: dict[str, str | int | float | bool] = {"duration_ms": audio.duration_ms}
        if baseline is None or baseline.calls < self.baseline_min_calls:
            is_anomaly = not self.fallback_min_ms <= audio.duration_ms <= self.fallback_max_ms
            reason = NO_BASELINE if context.background.baseline_known else BASELINE_UNKNOWN
            yield NotMeasured("duration_deviation", reason)
            attributes |= {
                "basis": "fallback",
                "expected_min_ms": self.fallback_min_ms,
                "expected_max_ms": self.fallback_max_ms,
            }
        else:
            deviation = deviation_of(audio.duration_ms, baseline)
            is_anomaly = abs(deviation) >= ANOMALY_AT
            yield Measure("duration_deviation", deviation)
            expected_min_ms, expected_max_ms = expected_range_ms(baseline)
            attributes |= {
                "basis": "baseline",
                "expected_min_ms": expected_min_ms,
                "expected_max_ms": expected_max_ms,
                "deviation": deviation,
                "baseline_calls": baseline.calls,
            }
        yield Measure("duration_anomaly", is_anomaly)
        if is_anomaly:
            yield self._finding(context, audio.duration_ms, attributes)

    def _finding(
        self, context: CallContext, duration_ms: int, attributes: dict[str, str | int | float | bool]
    ) -> Finding:
        return Finding(
            finding_id=finding_id(context.transcript, self.name, self.name, self.rule_version, None),
            detector=self.name,
            rule_id=self.name,
            rule_version=self.rule_version,
            category="duration_anomaly",
            role="unknown",
            start_ms=0,
            end_ms=duration_ms,
            severity="medium",
            attributes=attributes,
        )


def deviation_of(duration_ms: int, baseline: DurationBaseline) -> float:
    """The modified z-score of a duration, with a floor under the MAD; to two digits, as exact as it is meaningful."""
    mad = max(baseline.mad, SMALLEST_MAD)
    return round(SIGMA_OF_MAD * (log(max(duration_ms, 1)) - baseline.median) / mad, 2)


def expected_range_ms(baseline: DurationBaseline) -> tuple[int, int]:
    """The range of durations, in ms, within which a call is not an anomaly."""
    reach = ANOMALY_AT * max(baseline.mad, SMALLEST_MAD) / SIGMA_OF_MAD
    return round(exp(baseline.median - reach)), round(exp(baseline.median + reach))


def detector(context: DetectorContext) -> DurationAnomalyDetector:
    """The detector, with the fallback range of the settings."""
    how = context.part(DurationAnomalySettings)
    return DurationAnomalyDetector(
        how.duration_fallback_min_s * 1000, how.duration_fallback_max_s * 1000, how.baseline_min_calls
    )
