"""When an alert about missing recordings is news."""

from datetime import UTC, datetime

import pytest

from processors.telephony.missing import HourOfMissing, alert_of, news

HOUR = datetime(2026, 3, 23, 4, tzinfo=UTC)


def hour(missing: int, ever: int | None = None, tenant: str = "acme") -> HourOfMissing:
    return HourOfMissing(tenant, HOUR, missing, missing if ever is None else ever, HOUR)


def ids(*hours: HourOfMissing) -> set[str]:
    return {alert_id for each in hours if (alert_id := each.alert_id()) is not None}


@pytest.mark.parametrize(
    ("now", "told", "is_news"),
    [
        pytest.param(hour(1), [], True, id="the first call"),
        pytest.param(hour(3), [hour(2)], False, id="not twice as many"),
        pytest.param(hour(4), [hour(3)], True, id="twice as many"),
        pytest.param(hour(1, ever=5), [hour(5)], False, id="most have come, some have not"),
        pytest.param(hour(0, ever=5), [hour(5)], True, id="all have come"),
        pytest.param(hour(0, ever=5), [hour(1)], True, id="all have come, of which more were missing than was told"),
        pytest.param(hour(0, ever=5), [hour(0, ever=5), hour(5)], False, id="told that all have come"),
        pytest.param(hour(0, ever=5), [], False, id="all have come before anybody was told"),
        pytest.param(hour(1), [hour(1, tenant="other")], True, id="the alert of another tenant"),
    ],
)
def test_an_alert_is_told_once_again_at_each_doubling_and_at_the_end(
    now: HourOfMissing, told: list[HourOfMissing], is_news: bool
) -> None:
    assert news([now], ids(*told)) == ([now] if is_news else [])


def test_however_many_calls_an_hour_misses_few_alerts_are_raised() -> None:
    raised: set[str] = set()
    for missing in range(1, 100_001, 7):
        raised |= ids(*news([hour(missing)], raised))
    assert len(raised) <= 17


def test_an_alert_names_the_first_calls_and_says_how_many_there_are() -> None:
    alert = alert_of(hour(70), [f"c{n}" for n in range(70)], HOUR)
    assert (alert.kind, alert.calls_count, len(alert.calls), alert.call_id) == ("missing", 70, 50, None)
    assert "70" in alert.title
