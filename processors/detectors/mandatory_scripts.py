"""What must be said: the recording notice, risk warnings, how to unsubscribe (R15, R40, R70)."""

from processors.detectors import DetectorContext
from processors.rule_detector import ConversationRulesDetector


def detector(context: DetectorContext) -> ConversationRulesDetector:
    """With the rules of the judge."""
    return ConversationRulesDetector("mandatory_scripts", context.rulebooks)
