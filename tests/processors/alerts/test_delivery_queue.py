"""What a subscriber is sent, and when: filters, quiet hours, intervals, storms, retries — and that nothing is lost."""

import random
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.alerts.delivery_queue import Answer, DeliveryQueue, RetrySchedule, wants
from processors.alerts.rendering import MAX_GROUPED
from schemas.messages.alert import Alert
from schemas.messages.alert_delivery import FINAL_OUTCOMES, AlertDelivery
from tests.support.alerts import NOW, a_subscription, an_alert

TAKEN = Answer("accepted", status_code=200)
DOWN = Answer("later", error_class="ConnectionRefusedError")
SCHEDULE = RetrySchedule(first_s=2, longest_s=900, give_up_s=24 * 3_600)


class Longest(random.Random):
    """No luck with the jitter: every pause is as long as it may be."""

    def uniform(self, a: float, b: float) -> float:  # noqa: ARG002 - as in the base class
        return b


class Desk:
    """A mailbox with a clock and an answering machine."""

    def __init__(self, per_minute: int | None = None, rng: random.Random | None = None, **subscription: Any) -> None:
        self.now = NOW
        self.queue = DeliveryQueue(a_subscription(**subscription), SCHEDULE, per_minute, rng or Longest())
        self.lines: list[AlertDelivery] = []
        self.sent: list[tuple[str, ...]] = []
        self.answer = TAKEN
        self._offset = 0

    def arrive(self, *alerts: Alert) -> None:
        for alert in alerts:
            self.lines += self.queue.arrive(alert, (0, self._offset), self.now)
            self._offset += 1

    def send_all(self) -> None:
        """Whatever is due now."""
        while True:
            delivery, lines = self.queue.next_delivery(self.now)
            self.lines += lines
            if delivery is None:
                return
            self.sent.append(tuple(alert.alert_id for alert, _place in delivery.entries))
            self.lines += self.queue.settle(delivery, self.answer, self.now)

    def wait(self, **by: float) -> None:
        self.now += timedelta(**by)
        self.send_all()

    def wait_until_awake(self) -> None:
        wake_at = self.queue.wake_at()
        assert wake_at is not None
        self.now = max(self.now, wake_at)
        self.send_all()

    def outcomes(self) -> list[tuple[str, str | None]]:
        return [(line.outcome, line.reason) for line in self.lines]


SELECTED = {"severity": "info", "triggers": ["duration_anomaly", "sensitive_word"], "rule_id": "selected"}


class TestFilters:
    @pytest.mark.parametrize(
        ("subscription", "alert", "wanted"),
        [
            pytest.param({}, {}, True, id="everything"),
            pytest.param({"tenant": "acme"}, {}, True, id="its tenant"),
            pytest.param({"tenant": "other"}, {}, False, id="another tenant"),
            pytest.param({"min_severity": "critical"}, {}, False, id="too mild"),
            pytest.param({"min_severity": "critical"}, {"severity": "critical"}, True, id="grave enough"),
            pytest.param({"categories": ["threat"]}, {}, False, id="another category"),
            pytest.param({"categories": ["threat", "forbidden_promise"]}, {}, True, id="one of the categories"),
            pytest.param({"teams": ["华南"]}, {}, False, id="another team"),
            pytest.param({"teams": ["华东一组"]}, {}, True, id="its team"),
            pytest.param({"teams": ["华东一组"]}, {"agent_team": None}, False, id="a team is asked for, none is known"),
            pytest.param({"rules": ["finance.no_loss"]}, {}, True, id="its rule"),
            pytest.param({"rules": ["finance.*"]}, {}, True, id="a family of rules"),
            pytest.param({"rules": ["education.*"]}, {}, False, id="another family"),
            pytest.param({"rules": ["finance.no"]}, {}, False, id="no family without a star"),
            pytest.param({"kinds": ["surge"]}, {}, False, id="another kind"),
            pytest.param({"kinds": ["call"]}, {}, True, id="its kind"),
            pytest.param({"min_severity": "info"}, SELECTED, False, id="selected, but only alerts are asked for"),
            pytest.param({"min_severity": "info", "kinds": ["call"]}, SELECTED, False, id="selected, by kind"),
            pytest.param({"min_severity": "info", "rules": ["selected"]}, SELECTED, False, id="selected, by rule"),
            pytest.param({"on": "selected"}, SELECTED, True, id="selected calls are asked for, however mild"),
            pytest.param({"on": "selected"}, {}, False, id="an alert, but only selected calls are asked for"),
            pytest.param({"on": "selected", "tenant": "other"}, SELECTED, False, id="selected, of another tenant"),
            pytest.param({"on": "selected", "teams": ["华南"]}, SELECTED, False, id="selected, of another team"),
            pytest.param({"on": "selected", "triggers": ["safety"]}, SELECTED, False, id="by another trigger"),
            pytest.param(
                {"on": "selected", "triggers": ["safety", "duration_anomaly"]}, SELECTED, True, id="by one of them"
            ),
        ],
    )
    def test_a_subscriber_hears_of_what_it_asked_for(
        self, subscription: dict[str, Any], alert: dict[str, Any], wanted: bool
    ) -> None:
        assert wants(a_subscription(**subscription), an_alert(**alert)) is wanted

    def test_what_is_not_for_it_is_finished_without_a_line(self) -> None:
        desk = Desk(tenant="other")
        desk.arrive(an_alert())
        assert (desk.queue.take_finished(), desk.lines, len(desk.queue)) == ([(0, 0)], [], 0)


class TestRepeats:
    def test_an_alert_that_comes_again_is_not_sent_again(self) -> None:
        desk = Desk()
        desk.arrive(an_alert())
        desk.send_all()
        desk.arrive(an_alert())
        desk.send_all()
        assert len(desk.sent) == 1
        assert desk.outcomes() == [("delivered", None), ("suppressed", "repeat")]
        assert desk.queue.take_finished() == [(0, 0), (0, 1)]

    def test_nor_while_the_first_still_waits(self) -> None:
        desk = Desk()
        desk.arrive(an_alert(), an_alert())
        desk.send_all()
        assert desk.outcomes() == [("suppressed", "repeat"), ("delivered", None)]

    def test_one_that_was_given_up_has_another_chance(self) -> None:
        desk = Desk()
        desk.answer = Answer("refused", status_code=400)
        desk.arrive(an_alert())
        desk.send_all()
        desk.answer = TAKEN
        desk.arrive(an_alert())
        desk.send_all()
        assert desk.outcomes() == [("gave_up", "refused"), ("delivered", None)]

    def test_it_remembers_no_more_than_it_should(self) -> None:
        desk = Desk()
        desk.queue.max_remembered = 5
        desk.arrive(*(an_alert(number) for number in range(6)))
        desk.send_all()
        desk.arrive(an_alert(0), an_alert(5))
        desk.send_all()
        assert desk.outcomes()[6:] == [("suppressed", "repeat"), ("delivered", None)]


class TestRetries:
    def test_pauses_double_up_to_the_longest_and_it_gives_up_after_a_day(self) -> None:
        desk = Desk()
        desk.answer = DOWN
        desk.arrive(an_alert())
        desk.send_all()
        while len(desk.queue):
            desk.wait_until_awake()
        pauses = [(line.next_try_at - line.at).total_seconds() for line in desk.lines if line.next_try_at]
        assert pauses[:11] == [2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]
        assert desk.outcomes()[-1] == ("gave_up", "too_old")
        assert {outcome for outcome, _ in desk.outcomes()[:-1]} == {"failed"}
        assert timedelta(hours=23.7) < desk.lines[-1].at - NOW <= timedelta(hours=24)
        assert [line.attempt for line in desk.lines] == list(range(1, len(desk.lines) + 1))
        assert desk.queue.take_finished() == [(0, 0)]

    def test_a_pause_is_anything_up_to_its_longest(self) -> None:
        rng = random.Random(7)
        pauses_s = [SCHEDULE.pause(5, rng).total_seconds() for _ in range(500)]
        assert min(pauses_s) < 2
        assert 30 < max(pauses_s) <= 32

    def test_retry_after_holds_everything_back_for_so_long(self) -> None:
        desk = Desk()
        desk.answer = Answer("later", status_code=429, retry_after_s=3_600)
        desk.arrive(an_alert(1), an_alert(2))
        desk.send_all()
        assert desk.lines[0].next_try_at == NOW + timedelta(hours=1)
        desk.answer = TAKEN
        desk.wait(minutes=59)
        assert len(desk.sent) == 1
        desk.wait(minutes=1)
        assert len(desk.sent) == 3
        assert Counter(desk.outcomes()) == {("failed", None): 1, ("delivered", None): 2}

    def test_a_subscriber_that_is_down_is_asked_once_for_all_that_waits(self) -> None:
        desk = Desk()
        desk.answer = DOWN
        desk.arrive(*(an_alert(number) for number in range(50)))
        for _ in range(8):
            desk.wait_until_awake()
        assert len(desk.sent) == 8
        assert desk.now - NOW == timedelta(seconds=2 + 4 + 8 + 16 + 32 + 64 + 128)

    def test_when_it_is_back_it_gets_all_that_waited(self) -> None:
        desk = Desk()
        desk.answer = DOWN
        desk.arrive(*(an_alert(number) for number in range(50)))
        for _ in range(10):
            desk.wait_until_awake()
        desk.answer = TAKEN
        desk.wait(minutes=15)
        desk.wait(minutes=15)
        assert len(desk.queue) == 0
        delivered = [line.alert_id for line in desk.lines if line.outcome == "delivered"]
        assert sorted(delivered) == sorted(an_alert(number).alert_id for number in range(50))

    def test_an_alert_that_always_fails_holds_up_none_of_the_others(self) -> None:
        desk = Desk()
        poison = an_alert(0)
        desk.arrive(poison)
        others = [an_alert(number) for number in range(1, 30)]
        for other in others:
            desk.arrive(other)
        for _ in range(40):
            delivery, lines = desk.queue.next_delivery(desk.now)
            desk.lines += lines
            if delivery is None:
                wake_at = desk.queue.wake_at()
                assert wake_at is not None
                desk.now = wake_at
                continue
            failed = delivery.entries[0][0] == poison
            desk.lines += desk.queue.settle(delivery, Answer("later", 500) if failed else TAKEN, desk.now)
        delivered = {line.alert_id for line in desk.lines if line.outcome == "delivered"}
        assert delivered == {other.alert_id for other in others}
        assert desk.now - NOW < timedelta(minutes=10)

    def test_what_is_refused_is_given_up_at_once(self) -> None:
        desk = Desk()
        desk.answer = Answer("refused", status_code=400)
        desk.arrive(an_alert())
        desk.send_all()
        (line,) = desk.lines
        assert (line.outcome, line.reason, line.status_code, line.attempt) == ("gave_up", "refused", 400, 1)

    def test_after_gone_nothing_is_sent_and_everything_is_recorded(self) -> None:
        desk = Desk()
        desk.answer = Answer("gone", status_code=410)
        desk.arrive(an_alert(1), an_alert(2), an_alert(3))
        desk.send_all()
        assert len(desk.sent) == 1
        assert desk.outcomes() == [("gave_up", "gone"), *[("gave_up", "subscriber_gone")] * 2]

    def test_an_alert_that_is_read_too_late_is_given_up_without_an_attempt(self) -> None:
        desk = Desk()
        desk.arrive(an_alert(raised_at=NOW - timedelta(hours=24)))
        desk.send_all()
        (line,) = desk.lines
        assert (line.outcome, line.reason, line.attempt, desk.sent) == ("gave_up", "too_old", 0, [])


class TestPace:
    def test_a_robot_gets_no_more_than_its_messages_a_minute(self) -> None:
        desk = Desk(per_minute=20)
        desk.arrive(*(an_alert(number) for number in range(45)))
        desk.send_all()
        assert len(desk.sent) == 20
        desk.wait(seconds=59)
        assert len(desk.sent) == 20
        desk.wait(seconds=1)
        assert len(desk.sent) == 40
        desk.wait_until_awake()
        assert len(desk.sent) == 45

    def test_attempts_that_failed_count_too(self) -> None:
        desk = Desk(per_minute=1)
        desk.answer = DOWN
        desk.arrive(an_alert())
        desk.send_all()
        desk.answer = TAKEN
        desk.wait(seconds=30)
        assert len(desk.sent) == 1
        desk.wait(seconds=30)
        assert len(desk.sent) == 2


QUIET = {"from": "22:00", "to": "07:00", "timezone": "Asia/Shanghai"}


def at(hour: int, minute: int = 0, day: int = 2) -> datetime:
    """That time in Shanghai."""
    return datetime(2026, 3, day, hour, minute, tzinfo=UTC) - timedelta(hours=8)


class TestQuietHours:
    @pytest.mark.parametrize(
        ("now", "sent_at"),
        [
            pytest.param(at(21, 59), at(21, 59), id="just before"),
            pytest.param(at(22, 0), at(7, day=3), id="as they begin"),
            pytest.param(at(23, 59), at(7, day=3), id="before midnight"),
            pytest.param(at(0, 1), at(7), id="after midnight"),
            pytest.param(at(6, 59), at(7), id="just before they end"),
            pytest.param(at(7, 0), at(7, 0), id="as they end"),
        ],
    )
    def test_an_alert_waits_until_they_end(self, now: datetime, sent_at: datetime) -> None:
        desk = Desk(quiet_hours=QUIET)
        desk.now = now
        desk.arrive(an_alert(raised_at=now))
        desk.send_all()
        if now != sent_at:
            (line,) = desk.lines
            assert (line.outcome, line.reason, line.next_try_at) == ("deferred", "quiet_hours", sent_at)
            desk.now = sent_at - timedelta(seconds=1)
            desk.send_all()
            assert desk.sent == []
            desk.wait_until_awake()
        assert (len(desk.sent), desk.now) == (1, sent_at)
        assert desk.outcomes()[-1] == ("delivered", None)

    def test_hours_within_a_day_end_on_the_same_day(self) -> None:
        desk = Desk(quiet_hours={"from": "12:00", "to": "13:30"})
        desk.now = at(12, 30)
        desk.arrive(an_alert(raised_at=desk.now))
        desk.send_all()
        assert desk.lines[0].next_try_at == at(13, 30)

    def test_what_is_critical_does_not_wait_unless_it_is_told_to(self) -> None:
        for except_severity, sent in ((["critical"], 1), ([], 0)):
            desk = Desk(quiet_hours=QUIET | {"except_severity": except_severity})
            desk.now = at(23)
            desk.arrive(an_alert(severity="critical", raised_at=desk.now))
            desk.send_all()
            assert len(desk.sent) == sent

    def test_a_deferred_alert_does_not_hold_up_a_critical_one(self) -> None:
        desk = Desk(quiet_hours=QUIET)
        desk.now = at(23)
        desk.arrive(an_alert(1, raised_at=desk.now), an_alert(2, severity="critical", raised_at=desk.now))
        desk.send_all()
        assert desk.sent == [(an_alert(2).alert_id,)]
        assert desk.queue.take_finished() == [(0, 1)]

    def test_a_retry_that_falls_into_them_waits_too(self) -> None:
        desk = Desk(quiet_hours=QUIET)
        desk.now = at(21, 59)
        desk.answer = Answer("later", status_code=503, retry_after_s=120)
        desk.arrive(an_alert(raised_at=desk.now))
        desk.send_all()
        desk.answer = TAKEN
        desk.wait_until_awake()
        assert desk.outcomes() == [("failed", None), ("deferred", "quiet_hours")]
        desk.wait_until_awake()
        assert (desk.now, desk.outcomes()[-1]) == (at(7, day=3), ("delivered", None))

    def test_where_clocks_are_put_back_they_end_once(self) -> None:
        # Berlin, 25 October 2026: 02:30 comes twice.
        quiet = {"from": "01:00", "to": "02:30", "timezone": "Europe/Berlin"}
        desk = Desk(quiet_hours=quiet)
        desk.now = datetime(2026, 10, 24, 23, 30, tzinfo=UTC)
        desk.arrive(an_alert(raised_at=desk.now))
        for _ in range(5):
            desk.send_all()
            if not len(desk.queue):
                break
            desk.wait_until_awake()
        assert len(desk.sent) == 1
        assert desk.now <= datetime(2026, 10, 25, 1, 30, tzinfo=UTC)


class TestMinimumInterval:
    def test_alerts_of_a_rule_and_tenant_within_it_are_suppressed_and_recorded(self) -> None:
        desk = Desk(min_interval_s=600)
        desk.arrive(an_alert(1), an_alert(2))
        desk.send_all()
        desk.wait(seconds=599)
        desk.arrive(an_alert(3, raised_at=desk.now))
        desk.send_all()
        desk.wait(seconds=1)
        desk.arrive(an_alert(4, raised_at=desk.now))
        desk.send_all()
        assert desk.sent == [(an_alert(1).alert_id,), (an_alert(4).alert_id,)]
        assert desk.outcomes() == [
            ("delivered", None),
            ("suppressed", "min_interval"),
            ("suppressed", "min_interval"),
            ("delivered", None),
        ]

    def test_another_rule_or_tenant_has_an_interval_of_its_own(self) -> None:
        desk = Desk(min_interval_s=600)
        desk.arrive(an_alert(1), an_alert(2, rule_id="finance.no_risk"), an_alert(3, tenant_id="other"))
        desk.send_all()
        assert len(desk.sent) == 3

    def test_an_attempt_that_failed_begins_no_interval(self) -> None:
        desk = Desk(min_interval_s=600)
        desk.answer = Answer("refused", status_code=400)
        desk.arrive(an_alert(1))
        desk.send_all()
        desk.answer = TAKEN
        desk.arrive(an_alert(2))
        desk.send_all()
        assert desk.outcomes() == [("gave_up", "refused"), ("delivered", None)]


class TestAClockThatIsSetBack:
    def test_what_was_sent_before_suppresses_nothing(self) -> None:
        desk = Desk()
        desk.arrive(an_alert(1))
        desk.send_all()
        desk.wait(hours=-1)
        desk.arrive(an_alert(2))
        desk.send_all()
        assert desk.outcomes() == [("delivered", None), ("delivered", None)]

    def test_an_interval_that_is_wanted_lasts_as_long_as_it_should(self) -> None:
        desk = Desk(min_interval_s=600)
        desk.arrive(an_alert(1))
        desk.send_all()
        desk.wait(hours=-1)
        desk.wait(seconds=599)
        desk.arrive(an_alert(2))
        desk.send_all()
        desk.wait(seconds=1)
        desk.arrive(an_alert(3))
        desk.send_all()
        assert desk.outcomes() == [("delivered", None), ("suppressed", "min_interval"), ("delivered", None)]

    def test_pauses_do_not_grow_by_as_much(self) -> None:
        desk = Desk()
        desk.answer = Answer("later")
        desk.arrive(an_alert(1))
        desk.send_all()
        desk.wait(hours=-1)
        wake_at = desk.queue.wake_at()
        assert wake_at is not None
        assert wake_at - desk.now <= timedelta(seconds=SCHEDULE.longest_s)

    def test_a_channel_that_takes_so_many_a_minute_takes_as_many_in_the_next(self) -> None:
        desk = Desk(per_minute=1)
        desk.arrive(an_alert(1), an_alert(2))
        desk.send_all()
        desk.wait(hours=-1)
        desk.wait(seconds=60)
        assert desk.sent == [(an_alert(1).alert_id,), (an_alert(2).alert_id,)]


GROUPING = {"more_than": 3, "within_s": 300}


class TestStorms:
    def test_what_goes_beyond_becomes_one_message_with_all_ids(self) -> None:
        desk = Desk(grouping=GROUPING)
        storm = [an_alert(number) for number in range(10)]
        desk.arrive(*storm)
        desk.send_all()
        assert desk.sent == [(alert.alert_id,) for alert in storm[:3]]
        assert len(desk.queue) == 7
        desk.wait(seconds=299)
        assert len(desk.sent) == 3
        desk.wait(seconds=1)
        assert desk.sent[3:] == [tuple(alert.alert_id for alert in storm[3:])]
        grouped = [line for line in desk.lines if line.outcome == "grouped"]
        assert {line.alert_id for line in grouped} == {alert.alert_id for alert in storm[3:]}
        assert len({line.group_id for line in grouped}) == 1
        assert grouped[0].group_id not in {None, *(alert.alert_id for alert in storm)}
        assert len(desk.queue.take_finished()) == 10

    def test_causes_are_apart(self) -> None:
        desk = Desk(grouping=GROUPING)
        desk.arrive(*(an_alert(number) for number in range(4)))
        desk.arrive(*(an_alert(number, rule_id="finance.no_risk") for number in range(3)))
        desk.arrive(*(an_alert(number, tenant_id="other") for number in range(3)))
        desk.send_all()
        assert len(desk.sent) == 9

    def test_few_alerts_are_sent_one_by_one(self) -> None:
        desk = Desk(grouping=GROUPING)
        for number in range(12):
            desk.arrive(an_alert(number, raised_at=desk.now))
            desk.wait(seconds=101)
        assert len(desk.sent) == 12

    def test_a_storm_of_one_is_a_single_alert(self) -> None:
        desk = Desk(grouping=GROUPING)
        desk.arrive(*(an_alert(number) for number in range(4)))
        desk.send_all()
        desk.wait(seconds=300)
        assert desk.outcomes()[-1] == ("delivered", None)
        assert desk.lines[-1].group_id is None

    def test_a_storm_goes_on_in_another_message(self) -> None:
        desk = Desk(grouping=GROUPING)
        number = 0
        for _ in range(12):
            for _ in range(5):
                desk.arrive(an_alert(number, raised_at=desk.now))
                number += 1
            desk.wait(seconds=60)
        desk.wait(seconds=300)
        assert len(desk.queue) == 0
        assert Counter(line.alert_id for line in desk.lines) == {an_alert(n).alert_id: 1 for n in range(number)}
        assert 3 < len(desk.sent) < 14

    def test_a_large_storm_is_cut_so_that_every_id_is_named(self) -> None:
        desk = Desk(grouping=GROUPING)
        desk.arrive(*(an_alert(number) for number in range(3 + MAX_GROUPED + 5)))
        desk.send_all()
        desk.send_all()
        assert [len(ids) for ids in desk.sent] == [1, 1, 1, MAX_GROUPED]
        desk.wait(seconds=300)
        assert len(desk.sent[-1]) == 5

    def test_a_storm_that_fails_is_sent_again_as_it_was(self) -> None:
        desk = Desk(grouping=GROUPING)
        desk.arrive(*(an_alert(number) for number in range(6)))
        desk.send_all()
        desk.answer = DOWN
        desk.wait(seconds=300)
        desk.answer = TAKEN
        desk.arrive(an_alert(77, raised_at=desk.now))
        desk.wait(seconds=60)
        storms = [ids for ids in desk.sent if len(ids) == 3]
        assert len(storms) == 2
        assert storms[0] == storms[1]
        failed, grouped = (
            {line.group_id for line in desk.lines if line.outcome == outcome} for outcome in ("failed", "grouped")
        )
        assert failed == grouped
        assert len(failed) == 1


class TestTakenAwayPartitions:
    def test_what_waits_there_is_dropped_without_a_word(self) -> None:
        desk = Desk(grouping={"more_than": 1, "within_s": 300})
        for partition in (0, 1):
            for offset in range(3):
                alert = an_alert(partition * 10 + offset)
                desk.lines += desk.queue.arrive(alert, (partition, offset), desk.now)
        desk.send_all()
        desk.queue.drop({0})
        desk.wait(seconds=300)
        assert desk.sent[1:] == [tuple(an_alert(10 + offset).alert_id for offset in range(3))]
        assert {place[0] for place in desk.queue.take_finished()} == {1}
        desk.arrive(an_alert(2))
        desk.send_all()
        assert len(desk.queue) + len(desk.queue.take_finished()) == 1, "it is known no more"


@dataclass(frozen=True)
class Step:
    """What happens next: perhaps an alert comes, then time passes, and whoever is called answers so."""

    alert: dict[str, Any] | None
    partition: int
    answer: Answer
    wait_s: int


STEPS = st.builds(
    Step,
    alert=st.none()
    | st.fixed_dictionaries(
        {
            "rule_id": st.sampled_from(["finance.no_loss", "finance.no_risk"]),
            "severity": st.sampled_from(["medium", "high", "critical"]),
            "hours_ago": st.sampled_from([0, 0, 0, 23, 25]),
        }
    ),
    partition=st.integers(0, 2),
    answer=st.sampled_from([TAKEN, TAKEN, DOWN, Answer("refused", 400), Answer("later", 429, None, 900)]),
    wait_s=st.sampled_from([0, 1, 60, 3_600]),
)


@given(
    steps=st.lists(STEPS, max_size=120),
    quiet_hours=st.sampled_from([None, QUIET, {"from": "12:00", "to": "11:00", "except_severity": []}]),
    min_interval_s=st.sampled_from([0, 600, 86_400]),
    grouping=st.sampled_from([None, GROUPING, {"more_than": 1, "within_s": 3_600}]),
    per_minute=st.sampled_from([None, 20]),
    last_answer=st.sampled_from([TAKEN, DOWN]),
    jitter=st.integers(0, 2**32),
)
def test_whatever_happens_every_alert_ends_once_with_a_line_and_every_place_is_finished(
    steps: list[Step],
    quiet_hours: dict[str, Any] | None,
    min_interval_s: int,
    grouping: dict[str, Any] | None,
    per_minute: int | None,
    last_answer: Answer,
    jitter: int,
) -> None:
    desk = Desk(
        rng=random.Random(jitter),
        per_minute=per_minute,
        quiet_hours=quiet_hours,
        min_interval_s=min_interval_s,
        grouping=grouping,
    )
    places: set[tuple[int, int]] = set()
    wanted: list[Alert] = []
    for number, step in enumerate(steps):
        if step.alert is not None:
            facts = dict(step.alert)
            alert = an_alert(number, raised_at=desk.now - timedelta(hours=facts.pop("hours_ago")), **facts)
            place = (step.partition, number)
            places.add(place)
            desk.lines += desk.queue.arrive(alert, place, desk.now)
            if wants(desk.queue.subscription, alert):
                wanted.append(alert)
        desk.answer = step.answer
        desk.wait(seconds=step.wait_s)
    desk.answer = last_answer
    for _ in range(50_000):
        if not len(desk.queue):
            break
        desk.wait_until_awake()
    ends = Counter(line.alert_id for line in desk.lines if line.outcome in FINAL_OUTCOMES)
    assert ends == {alert.alert_id: 1 for alert in wanted}
    finished = desk.queue.take_finished()
    assert sorted(finished) == sorted(places)
    for line in desk.lines:
        assert (line.next_try_at is None) is (line.outcome in FINAL_OUTCOMES)
        assert line.next_try_at is None or line.next_try_at > line.at
