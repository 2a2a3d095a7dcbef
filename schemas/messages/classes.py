"""What kind of thing a finding is, and which of our ways of looking found it."""

from collections.abc import Mapping
from typing import Literal, get_args

Nature = Literal["violation", "omission", "customer", "interaction", "call", "act"]
FindingSource = Literal["rule", "reading", "second_reader", "hook", "measure"]

NATURES: Mapping[Nature, frozenset[str]] = {
    "omission": frozenset(
        (
            "checklist_incomplete",
            "complaint_handling",
            "etiquette",
            "incomplete_notice",
            "mandatory_script",
            "missing_script",
            "procedure_broken",
            "refund_handling",
            "safety",
            "slow_response",
            "soothing",
            "suitability",
        )
    ),
    "customer": frozenset(
        ("complaint_threat", "customer_agitated", "escalation", "negative_run", "regulator_threat", "review_threat")
    ),
    "interaction": frozenset(("excused_silence", "interruption", "unexcused_silence")),
    "call": frozenset(("duration_anomaly", "recording_quality", "repeated_contact")),
    "act": frozenset(("claim_without_entry", "script_found", "soothing_found")),
}
"""Categories that are no violation. Any other is one; of the customer it is what he says, and of severity `info` an
act."""

MEASURED = frozenset(
    (
        "agitation",
        "duration_anomaly",
        "emotion_coping",
        "interruptions",
        "recording_quality",
        "repeated_contact",
        "silence",
    )
)
"""Detectors that find by what they measure."""

SUSPICIONS = ("suspected_", "second_reader_")
"""Categories that begin so are a guess at what somebody said: a violation, or what a customer says."""


OF_DUTIES = frozenset(("checklists", "procedures"))
"""Detectors of what an agent must do; so is a finding whose attribute `state` is `missing`."""


def nature_of(category: str, role: str, severity: str, detector: str = "", state: object = None) -> Nature:
    """`violation`: the agent did wrong; `omission`: did not do what must be done; `customer`: what the customer says or
    feels; `interaction`: between the two; `call`: length and recording; `act`: something was said or done, without
    blame."""
    if state == "missing" or detector in OF_DUTIES:
        return "omission"
    for nature, categories in NATURES.items():
        if category in categories:
            return nature
    if role == "customer":
        return "customer"
    return "act" if severity == "info" and not category.startswith(SUSPICIONS) else "violation"


def source_of(detector: str, told: object) -> FindingSource:
    """`told` is the attribute `source` of the finding, if it has one: whoever found it in another way than its detector
    usually does says so there."""
    if told in get_args(FindingSource):
        return told  # type: ignore[return-value]
    if detector in ("like", "reading"):
        return "reading"
    if detector == "second_reader":
        return "second_reader"
    return "measure" if detector in MEASURED else "rule"


def nature_in_sql(category: str, role: str, severity: str, detector: str, attributes: str) -> str:
    """`nature_of` as an expression of ClickHouse, of these columns."""
    duties = ", ".join(repr(one) for one in sorted(OF_DUTIES))
    is_missing = f"{attributes}['state'] = 'missing' OR {detector} IN ({duties}), 'omission'"
    listed = ", ".join(
        f"{category} IN ({', '.join(repr(one) for one in sorted(categories))}), '{nature}'"
        for nature, categories in NATURES.items()
    )
    is_guess = " OR ".join(f"startsWith({category}, '{prefix}')" for prefix in SUSPICIONS)
    rest = f"{role} = 'customer', 'customer', {severity} = 'info' AND NOT ({is_guess}), 'act', 'violation'"
    return f"multiIf({is_missing}, {listed}, {rest})"


def source_in_sql(detector: str, attributes: str) -> str:
    """`source_of` as an expression of ClickHouse, of these columns."""
    told = f"{attributes}['source']"
    sources = ", ".join(repr(one) for one in get_args(FindingSource))
    measured = ", ".join(repr(one) for one in sorted(MEASURED))
    return (
        f"multiIf({told} IN ({sources}), {told}, {detector} IN ('like', 'reading'), 'reading', "
        f"{detector} = 'second_reader', 'second_reader', {detector} IN ({measured}), 'measure', 'rule')"
    )
