"""Whether the customer had to call again (R44): another call by the same customer within the seven days before."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from processors.detectors.base.contract import DetectorContext, Measure, NotMeasured, Result
from processors.detectors.base.findings import finding_id
from processors.judging.call_context import CallContext
from processors.judging.earlier_contacts import EarlierContact, is_contact_before
from schemas.messages.finding import Finding
from schemas.messages.transcript import Transcript

OUTBOUND_CALL = "outbound_call"
CUSTOMER_UNKNOWN = "customer_unknown"
HISTORY_UNKNOWN = "history_unknown"


@dataclass(frozen=True)
class RepeatedContactDetector:
    """`contacts_before_7d`, the calls by the same customer that ended within the seven days before this one ended, and
    `repeated_contact`: whether there was any.

    Customers repeat themselves by calling: neither is measured on an `outbound_call`, and earlier outbound calls do not
    count. A misdial is no contact. Without a customer key it is `customer_unknown`; where earlier calls could not be
    looked up, `history_unknown`. A call of which nothing was heard is still a contact, and is asked.

    The finding (severity `info`: what follows from it is for rules and scores to say) names the evidence. `attributes`:
    `contacts`; `last_call_id`; `last_ended_at` (UTC, ISO 8601); `topic_ids`, what the earlier calls were about, where
    known, with commas between.
    """

    name: ClassVar[str] = "repeated_contact"
    measures: ClassVar[tuple[str, ...]] = ("repeated_contact", "contacts_before_7d")
    needs_speech: ClassVar[bool] = False
    reads_measures: ClassVar[bool] = False

    rule_version: ClassVar[str] = "1"

    def process(self, context: CallContext) -> Iterator[Result]:
        reason = _not_measurable(context)
        if reason is not None or context.background.contacts is None:
            yield NotMeasured("repeated_contact", reason or HISTORY_UNKNOWN)
            yield NotMeasured("contacts_before_7d", reason or HISTORY_UNKNOWN)
            return
        call = context.transcript.call
        contacts = [
            contact
            for contact in context.background.contacts
            if contact.direction == "inbound" and is_contact_before(call, contact.call_id, contact.ended_at)
        ]
        yield Measure("repeated_contact", bool(contacts))
        yield Measure("contacts_before_7d", len(contacts))
        if contacts:
            yield self._finding(context.transcript, contacts)

    def _finding(self, transcript: Transcript, contacts: Sequence[EarlierContact]) -> Finding:
        last = max(contacts, key=lambda contact: (contact.ended_at, contact.call_id))
        attributes: dict[str, str | int | float | bool] = {
            "contacts": len(contacts),
            "last_call_id": last.call_id,
            "last_ended_at": last.ended_at.isoformat(),
        }
        topic_ids = sorted({topic_id for contact in contacts for topic_id in contact.topic_ids})
        if topic_ids:
            attributes["topic_ids"] = ",".join(topic_ids)
        return Finding(
            finding_id=finding_id(transcript, self.name, self.name, self.rule_version, None),
            detector=self.name,
            rule_id=self.name,
            rule_version=self.rule_version,
            category="repeated_contact",
            role="customer",
            start_ms=0,
            end_ms=0,
            severity="info",
            attributes=attributes,
        )


def _not_measurable(context: CallContext) -> str | None:
    call = context.transcript.call
    if context.transcript.outcome == "too_short":
        return context.transcript.outcome
    if call.direction == "outbound":
        return OUTBOUND_CALL
    return CUSTOMER_UNKNOWN if call.customer.key is None else None


def detector(_context: DetectorContext) -> RepeatedContactDetector:
    """The detector; it needs nothing from the context."""
    return RepeatedContactDetector()
