"""What customers threaten with: a complaint, a regulator, a court, the press."""

from processors.detectors.base.contract import DetectorContext
from processors.detectors.base.rule_detector import RuleDetector, conversation_rules


def detector(context: DetectorContext) -> RuleDetector:
    """With the rules of the judge."""
    return conversation_rules("threats", context.rulebooks)
