"""Which calls of a customer count as earlier contacts: those that ended within seven days before another ended."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, Self

from schemas.messages.call_analysis import CallAnalysis
from schemas.messages.call_ended import CallEnded

CONTACT_WINDOW = timedelta(days=7)


@dataclass(frozen=True)
class EarlierContact:
    """An earlier call with the same customer; misdials do not count."""

    call_id: str
    ended_at: datetime
    topic_ids: tuple[str, ...] = ()
    direction: Literal["inbound", "outbound"] = "inbound"

    @classmethod
    def of(cls, analysis: CallAnalysis) -> Self:
        """A judged call as a contact; its topics in alphabetical order."""
        call = analysis.call
        return cls(call.call_id, call.ended_at, tuple(sorted({t.topic_id for t in analysis.topics})), call.direction)


def is_contact_before(call: CallEnded, call_id: str, ended_at: datetime) -> bool:
    """Whether a call with the same customer ended within the window before this one ended, and is not this one."""
    return call_id != call.call_id and call.ended_at - CONTACT_WINDOW <= ended_at < call.ended_at


def contacts_before(call: CallEnded, analyses: Iterable[CallAnalysis]) -> tuple[EarlierContact, ...] | None:
    """The earlier contacts among judged calls of any customer, the newest first; None without a customer key.

    `streams.adapters.clickhouse.history` asks ClickHouse for the same.
    """
    if call.customer.key is None:
        return None
    found = [
        EarlierContact.of(analysis)
        for analysis in analyses
        if analysis.tenant_id == call.tenant_id
        and analysis.call.customer.key == call.customer.key
        and analysis.outcome != "too_short"
        and is_contact_before(call, analysis.call_id, analysis.call.ended_at)
    ]
    return tuple(sorted(found, key=lambda contact: (contact.ended_at, contact.call_id), reverse=True))
