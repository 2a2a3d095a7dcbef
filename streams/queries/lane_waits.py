"""How much waits in each lane of `listen`, and when it will have been heard at the rate of now."""

from collections.abc import Mapping
from dataclasses import dataclass

from schemas.messages.topics import Lane
from streams.adapters.kafka.audio_lag import AudioWaiting


@dataclass(frozen=True)
class LaneWait:
    """Of one lane. `is_estimate`: not every event that waits was read, the rest counts as their mean.

    `heard_in_s`: when all that waits now will have been heard; null where nothing was heard lately.
    """

    lane: Lane
    calls: int
    audio_s: float
    is_estimate: bool
    heard_in_s: float | None


def lane_waits(
    waiting: Mapping[Lane, AudioWaiting], weights: Mapping[str, float], calls_per_minute: float
) -> list[LaneWait]:
    """`calls_per_minute` is what the pipeline does now, all lanes together; of calls as long as those that wait."""
    calls = sum(each.messages for each in waiting.values())
    audio_s = sum(each.audio_s for each in waiting.values())
    rate = calls_per_minute / 60 * audio_s / calls if calls else 0.0
    heard_in_s = heard_in({lane: each.audio_s for lane, each in waiting.items()}, weights, rate)
    return [
        LaneWait(lane, each.messages, round(each.audio_s, 1), each.is_estimate, heard_in_s[lane])
        for lane, each in waiting.items()
    ]


def heard_in(audio_s: Mapping[str, float], weights: Mapping[str, float], rate: float) -> dict[str, float | None]:
    """Lane → seconds until its audio has been heard, when `rate` seconds of audio are heard in a second.

    Lanes share by weight while they wait; what one leaves over, the others have. None where nothing is heard.
    """
    left = {lane: seconds for lane, seconds in audio_s.items() if seconds > 0}
    found: dict[str, float | None] = dict.fromkeys(audio_s, 0.0)
    if rate <= 0:
        return found | dict.fromkeys(left)
    now_s = 0.0
    while left:
        together = sum(weights[lane] for lane in left)
        rates = {lane: rate * weights[lane] / together for lane in left}
        first = min(left, key=lambda lane: left[lane] / rates[lane])
        lasts_s = left[first] / rates[first]
        now_s += lasts_s
        found[first] = round(now_s, 1)
        left = {lane: max(seconds - rates[lane] * lasts_s, 0) for lane, seconds in left.items() if lane != first}
    return found
