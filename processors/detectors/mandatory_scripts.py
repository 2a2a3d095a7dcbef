"""What must be said: the recording notice, risk warnings, how to unsubscribe (R15, R40, R70)."""

from processors.detectors.base.contract import DetectorContext
from processors.detectors.base.rule_detector import RuleDetector, conversation_rules


def detector(context: DetectorContext) -> RuleDetector:
    """The detector, with the rules in force."""
    return conversation_rules("mandatory_scripts", context.rulebooks)
