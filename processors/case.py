"""A call as it comes before the detectors: what was said, and what is known from outside of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from schemas.call_analysis import MeasureValue
from schemas.transcript import Transcript


@dataclass(frozen=True)
class DurationBaseline:
    """How long calls of the same tenant, queue and inquiry type last: of ln(duration in ms) over a sliding window.

    `mad` is the median absolute deviation from `median`, not scaled; `calls` is how many calls stand behind both.
    """

    median: float
    mad: float
    calls: int


@dataclass(frozen=True)
class EarlierContact:
    """A call with the same customer before this one; misdials are none."""

    call_id: str
    ended_at: datetime
    topic_ids: tuple[str, ...] = ()
    direction: Literal["inbound", "outbound"] = "inbound"


@dataclass(frozen=True)
class Background:
    """What is known of a call from other calls, as of when it is judged.

    `baseline` is null until there is one; `contacts` is null where earlier calls could not be looked up, and empty
    where there were none. Neither is an error: detectors say what they could not measure.
    """

    baseline: DurationBaseline | None = None
    contacts: tuple[EarlierContact, ...] | None = None


NO_BACKGROUND = Background()


@dataclass(frozen=True)
class Case:
    """What a detector is shown. `measures` are those of the detectors that went before, for those that read them."""

    transcript: Transcript
    background: Background = NO_BACKGROUND
    measures: Mapping[str, MeasureValue] = field(default_factory=dict)
