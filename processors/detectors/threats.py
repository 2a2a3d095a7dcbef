"""What customers threaten: a complaint, a regulator, a court, the press."""

from processors.detectors.base.contract import DetectorContext
from processors.detectors.base.rule_detector import RuleDetector, conversation_rules
from processors.detectors.reading import reading_of
from processors.judging.call_context import CallContext

DOUBTED_BELOW = 0.1
"""Of 25 calls with a threat by rules that reading finds less likely than this, in five parts of text from which neither
rules nor heads were made, one holds a threat; of 130 others, 110 (docs/accuracy.md)."""


def detector(context: DetectorContext) -> RuleDetector:
    """The detector, with the rules in force, doubted where reading finds no threat at all in a call.

    Raises `ReadingWeightsError`.
    """
    reading = reading_of(context)

    def doubt(call: CallContext) -> float | None:
        read = reading.of(call)
        probability = None if read is None else read.reading.probabilities["threat"]
        return probability if probability is not None and probability < DOUBTED_BELOW else None

    return conversation_rules("threats", context.rulebooks, doubt=doubt)
