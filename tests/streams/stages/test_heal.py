"""`heal`: calls that were judged while nothing was known of others, and what comes of them later."""

import threading
from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta

import pytest

from processors.judging.call_context import Background
from processors.judging.earlier_contacts import EarlierContact
from processors.judging.pipeline import Judge
from schemas.errors import RetryableError
from schemas.messages.call_analysis import CallAnalysis
from schemas.messages.call_ended import CallEnded
from schemas.messages.records import ConsumerRecord
from schemas.messages.topics import ALERTS_RAISED, CALLS_ANALYZED, CALLS_REANALYZED
from schemas.messages.transcript import Transcript
from streams.ports import CallKey
from streams.stages.heal import MOST_TRIES, Heal
from tests.processors.transcripts import said
from tests.support.judged_calls import CUSTOMER, NOW, FixedClock, an_event
from tests.support.shipped_rules import shipped_judge

WRITTEN = datetime(2026, 4, 1, tzinfo=UTC)
CALL = an_event("this", NOW, customer=CUSTOMER)
TRANSCRIPT = said(("customer", "我的快递还没到")).model_copy(
    update={"tenant_id": CALL.tenant_id, "call_id": CALL.call_id, "call": CALL}
)
UNKNOWN = Background(None, None, baseline_known=False)
BEFORE = Background(None, (EarlierContact("earlier", NOW - timedelta(days=1), (), "inbound"),))


def judged(background: Background) -> CallAnalysis:
    return shipped_judge().judge(TRANSCRIPT, NOW, background)


def record(analysis: CallAnalysis) -> ConsumerRecord:
    return ConsumerRecord(CALLS_ANALYZED.name, 0, 7, b"acme/this", analysis.encode(), WRITTEN)


class House:
    """What surrounds the stage."""

    def __init__(self) -> None:
        self.background_now = BEFORE
        self.clickhouse_answers = True
        self.stored = WRITTEN + timedelta(seconds=1)
        self.transcript: Transcript | None = TRANSCRIPT
        self.destroyed = False
        self.judges = 0
        self.heal = Heal(
            self,
            self.made_judge,
            self,
            self.ask,
            lambda _now: self.stored,
            FixedClock(),
            threading.Event(),
            alert_min_severity="info",
            most_per_s=1_000,
            tombstones=self,
        )

    def made_judge(self) -> Callable[[], Judge]:
        self.judges += 1
        return shipped_judge

    def load(self, _tenant: str, _call: str) -> Transcript | None:
        return self.transcript

    def background(self, _call: CallEnded) -> Background:
        return self.background_now

    def among(self, calls: Collection[CallKey]) -> frozenset[CallKey]:
        return frozenset(calls) if self.destroyed else frozenset()

    def ask(self) -> None:
        if not self.clickhouse_answers:
            raise RetryableError("ClickHouse did not answer")


def test_a_call_that_lacks_nothing_is_passed_over_without_a_judge() -> None:
    house = House()
    for background in (BEFORE, Background(None, ())):
        assert house.heal.work([record(judged(background))]) == []
    no_value = ConsumerRecord(CALLS_ANALYZED.name, 0, 8, b"k", None, WRITTEN)
    no_judgement = ConsumerRecord(CALLS_ANALYZED.name, 0, 9, b"k", b'{"history_unknown": 1', WRITTEN)
    assert house.heal.work([no_value, no_judgement]) == []
    assert house.judges == 0


def test_it_becomes_what_it_would_have_been_and_only_new_alerts_are_raised() -> None:
    house = House()
    blind, seeing = judged(UNKNOWN), judged(BEFORE)
    (again, *alerts) = house.heal.work([record(blind)])
    assert again.topic == CALLS_REANALYZED.name
    assert CALLS_REANALYZED.decode(again.value) == seeing
    assert {finding.rule_id for finding in seeing.findings} - {finding.rule_id for finding in blind.findings} == {
        "repeated_contact"
    }
    rules = [ALERTS_RAISED.decode(alert.value).rule_id for alert in alerts]
    assert "repeated_contact" in rules
    before = {finding.rule_id for finding in blind.findings}
    assert before, "it alerted of something before"
    assert not before & set(rules)
    assert [one.value for one in house.heal.work([record(blind)])] == [again.value, *(one.value for one in alerts)], (
        "once more is the same"
    )
    assert house.judges == 1


def test_it_waits_for_clickhouse_and_for_what_was_judged_before() -> None:
    house = House()
    house.stored = WRITTEN
    with pytest.raises(RetryableError, match="not in ClickHouse yet"):
        house.heal.work([record(judged(UNKNOWN))])
    house.stored = WRITTEN + timedelta(seconds=1)
    house.background_now, house.clickhouse_answers = UNKNOWN, False
    for _ in range(3 * MOST_TRIES):
        with pytest.raises(RetryableError, match="did not answer"):
            house.heal.work([record(judged(UNKNOWN))])
    house.clickhouse_answers, house.background_now = True, BEFORE
    assert len(house.heal.work([record(judged(UNKNOWN))])) >= 1


def test_one_about_which_nothing_can_be_had_does_not_hold_up_the_others() -> None:
    house = House()
    house.background_now = UNKNOWN
    for _ in range(MOST_TRIES - 1):
        with pytest.raises(RetryableError, match="does not tell"):
            house.heal.work([record(judged(UNKNOWN))])
    assert house.heal.work([record(judged(UNKNOWN))]) == []


def test_what_was_destroyed_or_has_no_transcript_stays_as_it_is() -> None:
    house = House()
    house.transcript = None
    assert house.heal.work([record(judged(UNKNOWN))]) == []
    house = House()
    house.destroyed = True
    assert house.heal.work([record(judged(UNKNOWN))]) == []


def test_where_contacts_are_not_looked_for_their_lack_is_none() -> None:
    house = House()
    house.heal.looks_for_contacts = False
    assert house.heal.work([record(judged(Background(None, None)))]) == []
    house.background_now = Background(None, None)
    assert len(house.heal.work([record(judged(UNKNOWN))])) >= 1, "a baseline is looked for all the same"
