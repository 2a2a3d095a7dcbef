"""How much each side speaks, how fast, and how soon the agent answers."""

from collections.abc import Iterable, Iterator, Sequence
from math import ceil
from statistics import median
from typing import ClassVar

from processors.detectors.base.contract import DetectorContext, Measure, NotMeasured, ResponseDelays, Result
from processors.detectors.base.sides import of_sides
from processors.judging.call_context import CallContext
from processors.listening.intervals import common_ms, length_ms
from processors.text.conversation import Conversation, speech_of
from processors.text.speech_rate import characters_per_minute
from schemas.messages.call_analysis import MAX_RESPONSES
from schemas.messages.call_ended import Role
from schemas.messages.interval import Interval
from schemas.messages.transcript import Transcript

NO_RESPONSES = "no_responses"


class TalkDetector:
    """Talk share, speech rates and response delays; not measured where the sides are not told apart, nor without times
    (`no_times`).

    `agent_talk_share`: speech of the agent ÷ speech of both, overlaps counted for both; 0…1.

    `…_speech_rate_cpm`: Chinese characters, digits and words of other scripts per minute of own speech that was
    understood (as Aliyun counts); null for a side without any (`no_agent_speech`, `no_customer_speech`).

    `response_delay_median_ms`, `response_delay_p90_ms` (nearest rank): from the end of what the customer said to the
    start of the agent's next turn. Turns that begin before the customer has ended answer nothing and are left out, as
    are back-channels; null when no turn is left (`no_responses`). Each of them is kept, too (`response_delays_ms`).
    """

    name: ClassVar[str] = "talk"
    measures: ClassVar[tuple[str, ...]] = (
        "agent_talk_share",
        "agent_speech_rate_cpm",
        "customer_speech_rate_cpm",
        "response_delay_median_ms",
        "response_delay_p90_ms",
    )
    needs_speech: ClassVar[bool] = True
    reads_measures: ClassVar[bool] = False

    def process(self, context: CallContext) -> Iterable[Result]:
        transcript = context.transcript
        if context.why_not_timed is not None:
            return [NotMeasured(measure, context.why_not_timed) for measure in self.measures]
        agent, customer = speech_of(transcript, "agent"), speech_of(transcript, "customer")
        measured = [
            _talk_share(length_ms(agent), length_ms(customer)),
            _speech_rate(transcript, "agent", agent),
            _speech_rate(transcript, "customer", customer),
            *_response_delays(context.conversation),
        ]
        return of_sides(context, measured)


def _talk_share(agent_ms: int, customer_ms: int) -> Measure | NotMeasured:
    if agent_ms + customer_ms == 0:
        return NotMeasured("agent_talk_share", "no_speech")
    return Measure("agent_talk_share", round(agent_ms / (agent_ms + customer_ms), 4))


def _speech_rate(transcript: Transcript, role: Role, speech: Sequence[Interval]) -> Measure | NotMeasured:
    name = f"{role}_speech_rate_cpm"
    rate = _rate_as_heard(transcript, role) or _rate_as_written(transcript, role, speech)
    return NotMeasured(name, f"no_{role}_speech") if rate is None else Measure(name, rate)


def _rate_as_heard(transcript: Transcript, role: Role) -> float | None:
    """As `listen` counted, before numbers and names were masked; None where it could not tell the sides apart."""
    channels = transcript.sound.channels if transcript.sound else ()
    rates = [channel.characters_per_minute for channel in channels if channel.role == role]
    return rates[0] if len(rates) == 1 else None


def _rate_as_written(transcript: Transcript, role: Role, speech: Sequence[Interval]) -> float | None:
    """From the segments, those left out in which a placeholder stands for more than it says."""
    masked = {span.segment_id for span in transcript.pii}
    own = [each for each in transcript.segments if each.role == role and each.segment_id not in masked]
    return characters_per_minute([each.text for each in own], common_ms(speech, own))


def _response_delays(found: Conversation) -> Iterator[Result]:
    gaps_ms = [turn.gap_ms for turn in found.turns_of("agent")]
    delays_ms = [gap_ms for gap_ms in gaps_ms if gap_ms is not None and gap_ms >= 0]
    if delays_ms:
        yield Measure("response_delay_median_ms", round(median(delays_ms)))
        yield Measure("response_delay_p90_ms", sorted(delays_ms)[ceil(0.9 * len(delays_ms)) - 1])
        yield ResponseDelays(tuple(delays_ms[:MAX_RESPONSES]))
    else:
        yield NotMeasured("response_delay_median_ms", NO_RESPONSES)
        yield NotMeasured("response_delay_p90_ms", NO_RESPONSES)


def detector(_context: DetectorContext) -> TalkDetector:
    """The detector; it needs nothing from the context."""
    return TalkDetector()
