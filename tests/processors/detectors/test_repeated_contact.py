from datetime import timedelta
from typing import Any

import pytest

from processors.detectors.base.contract import Measure, NotMeasured
from processors.detectors.repeated_contact import RepeatedContactDetector
from processors.judging.call_context import Background, CallContext
from processors.judging.earlier_contacts import EarlierContact
from processors.judging.pipeline import Judge, JudgeSettings
from schemas.messages.call_ended import Customer
from schemas.messages.finding import Finding
from schemas.messages.outcome import Outcome
from schemas.messages.transcript import Transcript
from tests.processors.transcripts import NOW, not_heard, said
from tests.support.shipped_rules import shipped_rules

DETECTOR = RepeatedContactDetector()
KNOWN = Customer(key="a" * 64)
DAY = timedelta(days=1)


def of_customer(transcript: Transcript, **changes: Any) -> Transcript:
    call = transcript.call.model_copy(update={"customer": KNOWN} | changes)
    return transcript.model_copy(update={"call": call})


CALL = of_customer(said(("customer", "我的快递还没到")))
ENDED_AT = CALL.call.ended_at


def earlier(before: timedelta, call_id: str = "c-0", **more: Any) -> EarlierContact:
    return EarlierContact(call_id, ENDED_AT - before, **more)


def results(transcript: Transcript, *contacts: EarlierContact) -> list[object]:
    return list(DETECTOR.process(CallContext(transcript, Background(contacts=contacts))))


def counted(transcript: Transcript, *contacts: EarlierContact) -> int:
    found = results(transcript, *contacts)
    (count,) = (r.value for r in found if isinstance(r, Measure) and r.name == "contacts_before_7d")
    assert isinstance(count, int)
    assert Measure("repeated_contact", count > 0) in found
    assert len([result for result in found if isinstance(result, Finding)]) == (count > 0)
    return count


@pytest.mark.parametrize(
    ("contacts", "count"),
    [
        pytest.param((), 0, id="never before"),
        pytest.param((earlier(DAY),), 1, id="yesterday"),
        pytest.param((earlier(DAY, "c-8"), earlier(3 * DAY, "c-9")), 2, id="twice"),
        pytest.param((earlier(7 * DAY),), 1, id="seven days before, to the millisecond"),
        pytest.param((earlier(7 * DAY + timedelta(milliseconds=1)),), 0, id="longer ago"),
        pytest.param((earlier(timedelta(milliseconds=1)),), 1, id="ended while this call went on: a transfer"),
        pytest.param((earlier(timedelta(0)),), 0, id="ended together with it: neither was before"),
        pytest.param((earlier(-DAY),), 0, id="a call after it"),
        pytest.param((earlier(DAY, CALL.call_id),), 0, id="the call itself"),
        pytest.param((earlier(DAY, direction="outbound"),), 0, id="the agent had called"),
    ],
)
def test_calls_by_the_same_customer_in_the_seven_days_before_count(
    contacts: tuple[EarlierContact, ...], count: int
) -> None:
    assert counted(CALL, *contacts) == count


@pytest.mark.parametrize(
    ("transcript", "background", "reason"),
    [
        pytest.param(said(("customer", "您好")), Background(contacts=()), "customer_unknown", id="number withheld"),
        pytest.param(CALL, Background(contacts=None), "history_unknown", id="could not be looked up"),
        pytest.param(
            of_customer(CALL, direction="outbound"),
            Background(contacts=(earlier(DAY),)),
            "outbound_call",
            id="outbound",
        ),
        pytest.param(
            of_customer(not_heard("too_short", duration_ms=2_000)), Background(contacts=()), "too_short", id="a misdial"
        ),
    ],
)
def test_what_cannot_be_known_is_null_with_a_reason(
    transcript: Transcript, background: Background, reason: str
) -> None:
    assert list(DETECTOR.process(CallContext(transcript, background))) == [
        NotMeasured("repeated_contact", reason),
        NotMeasured("contacts_before_7d", reason),
    ]


@pytest.mark.parametrize("outcome", ["bad_audio", "no_audio", "unsupported"])
def test_a_call_that_could_not_be_heard_is_a_contact_all_the_same(outcome: Outcome) -> None:
    transcript = of_customer(not_heard(outcome, duration_ms=None))
    contact = EarlierContact("c-0", transcript.call.ended_at - DAY)
    analysis = Judge(JudgeSettings(), [DETECTOR], rulebooks=shipped_rules()).judge(
        transcript, NOW, Background(contacts=(contact,))
    )
    assert analysis.measures == {"repeated_contact": True, "contacts_before_7d": 1}


def test_the_finding_names_the_last_call_and_what_the_earlier_ones_were_about() -> None:
    contacts = (
        earlier(2 * DAY, "c-8", topic_ids=("refund", "logistics_delay")),
        earlier(DAY, "c-9", topic_ids=("logistics_delay",)),
        earlier(3 * DAY, "c-7"),
        earlier(9 * DAY, "c-6", topic_ids=("invoice",)),
    )
    (finding,) = (result for result in results(CALL, *contacts) if isinstance(result, Finding))
    assert (finding.category, finding.severity, finding.score_delta) == ("repeated_contact", "info", 0)
    assert finding.attributes == {
        "contacts": 3,
        "last_call_id": "c-9",
        "last_ended_at": (ENDED_AT - DAY).isoformat(),
        "topic_ids": "logistics_delay,refund",
    }
    again = results(CALL, *reversed(contacts))
    assert finding in again


def test_topics_that_are_not_known_are_not_named() -> None:
    (finding,) = (result for result in results(CALL, earlier(DAY)) if isinstance(result, Finding))
    assert "topic_ids" not in finding.attributes
