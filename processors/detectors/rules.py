"""Rules that fit none of the other sections of a pack."""

from processors.detectors.base.contract import DetectorContext
from processors.detectors.base.rule_detector import RuleDetector, conversation_rules
from processors.detectors.threats import doubt_of


def detector(context: DetectorContext) -> RuleDetector:
    """The detector, with the rules in force. Raises `ReadingWeightsError`."""
    return conversation_rules("rules", context.rulebooks, doubt=doubt_of(context))
