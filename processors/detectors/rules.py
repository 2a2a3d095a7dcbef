"""Rules that fit none of the other sections of a pack."""

from processors.detectors import DetectorContext
from processors.rule_detector import ConversationRulesDetector


def detector(context: DetectorContext) -> ConversationRulesDetector:
    """With the rules of the judge."""
    return ConversationRulesDetector("rules", context.rulebooks)
