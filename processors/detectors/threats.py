"""What customers threaten: a complaint, a regulator, a court, the press."""

from processors.detectors.base.contract import DetectorContext
from processors.detectors.base.rule_detector import Doubt, RuleDetector, conversation_rules
from processors.detectors.reading import ReadCall, reading_of
from processors.judging.call_context import CallContext

DOUBTED_BELOW, SENTENCES_BELOW = 0.1, 0.2
"""Of 23 calls with a threat by rules that reading finds less likely than this in the call, and in every sentence of the
customer, in five parts of text from which neither rules nor heads were made, one holds a threat; of 132 others, 110
(docs/accuracy.md)."""
FEWEST_UTTERANCES = 6
"""Calls of fewer are not doubted: the heads have not learned from such, and find too little in them."""


def detector(context: DetectorContext) -> RuleDetector:
    """The detector, with the rules in force, doubted where reading finds no threat at all in a call.

    Raises `ReadingWeightsError`.
    """
    return conversation_rules("threats", context.rulebooks, doubt=doubt_of(context))


def doubt_of(context: DetectorContext) -> Doubt:
    """How threats are doubted; for all detectors whose rules may have one for their occasion. Raises
    `ReadingWeightsError`."""
    reading = reading_of(context)

    def doubt(call: CallContext) -> float | None:
        read = reading.of(call)
        return None if read is None else _doubt(read)

    return doubt


def _doubt(read: ReadCall) -> float | None:
    """How likely a threat is in the call, where it is unlikely there and in each of its sentences."""
    utterances = [one for one in read.reading.utterances if one is not None]
    likeliest = max((one.probabilities["threat"] for one in utterances if one.role == "customer"), default=0.0)
    of_call = read.reading.probabilities["threat"]
    is_unlikely = of_call < DOUBTED_BELOW and likeliest < SENTENCES_BELOW
    return of_call if is_unlikely and len(utterances) >= FEWEST_UTTERANCES else None
