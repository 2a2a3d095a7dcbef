"""Rules that fit none of the other sections of a pack."""

from processors.detectors.base.contract import DetectorContext
from processors.detectors.base.rule_detector import RuleDetector, conversation_rules


def detector(context: DetectorContext) -> RuleDetector:
    """With the rules of the judge."""
    return conversation_rules("rules", context.rulebooks)
