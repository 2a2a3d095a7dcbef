"""What customers threaten with: a complaint, a regulator, a court, the press."""

from processors.detectors import DetectorContext
from processors.rule_detector import ConversationRulesDetector


def detector(context: DetectorContext) -> ConversationRulesDetector:
    """With the rules of the judge."""
    return ConversationRulesDetector("threats", context.rulebooks)
