"""Alerts about recordings that did not come: one for an hour and tenant, told again when twice as many are missing.

Who is on call at night is helped by one sentence with a number and the first ids, not by an alert of each call: what
loses one recording loses those after it, too. The hour is that in which a call was found to be missing, so that a list
of a whole month, imported at once, is one alert. When all of an hour have come after all, that is told once, with the
same severity: it has to reach whom the alarm has reached.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from schemas.messages.alert import MAX_CALLS_OF_SURGE, Alert

NO_EVENT = "no_event"
"""Reason of `not_received`: the exchange lists the call as recorded, and no event of it has come."""

MISSING_RULE, COMPLETE_RULE = "not_received", "not_received.over"
RULE_VERSION = "1"


@dataclass(frozen=True)
class HourOfMissing:
    """What was found to be missing in an hour, UTC, that begins at `hour`: so many are still, of so many in all."""

    tenant_id: str
    hour: datetime
    missing: int
    ever: int
    last_ended_at: datetime

    def alert_id(self) -> str | None:
        """Of the alert that is due by now, if any is."""
        if self.ever == 0:
            return None
        if self.missing:
            return self._id(MISSING_RULE, self._doublings)
        return self._id(COMPLETE_RULE, self.ever)

    def ids_of_alarms(self) -> list[str]:
        """Of the alerts that may have been raised of the hour before."""
        return [self._id(MISSING_RULE, doublings) for doublings in range(self._doublings + 1)]

    @property
    def _doublings(self) -> int:
        return self.ever.bit_length() - 1

    def _id(self, rule: str, number: int) -> str:
        return Alert.id_of(self.tenant_id, f"{self.hour:%Y-%m-%dT%H:%MZ}/{number}", rule, RULE_VERSION)


def news(hours: Sequence[HourOfMissing], raised: Collection[str]) -> list[HourOfMissing]:
    """The hours of which an alert is due that has not been raised; the end of an alarm only where there was one."""
    return [
        hour
        for hour in hours
        if (alert_id := hour.alert_id()) is not None
        and alert_id not in raised
        and (hour.missing or any(each in raised for each in hour.ids_of_alarms()))
    ]


def alert_of(hour: HourOfMissing, call_ids: Sequence[str], now: datetime) -> Alert:
    """The alert that is due of an hour; `call_ids` are the first of those that are missing."""
    alert_id = hour.alert_id()
    assert alert_id is not None  # noqa: S101 - nobody asks of an hour in which nothing was missing
    if hour.missing:
        title = f"话机系统话单中有 {hour.missing} 通通话未收到录音"
        advice = "检查录音服务器、采集目录或上传接口及网络；录音补到后告警自动解除。所列为其中最早结束的通话"
    else:
        title = f"此前缺失的 {hour.ever} 通通话录音已全部补齐，或经话单更正无需录音"
        advice = "告警解除，无需处理"
    return Alert(
        alert_id=alert_id,
        kind="missing",
        tenant_id=hour.tenant_id,
        rule_id=MISSING_RULE if hour.missing else COMPLETE_RULE,
        rule_version=RULE_VERSION,
        category=MISSING_RULE,
        severity="high",
        title=title,
        advice=advice,
        calls=tuple(call_ids[:MAX_CALLS_OF_SURGE]),
        calls_count=hour.missing if hour.missing else hour.ever,
        happened_at=hour.last_ended_at,
        raised_at=now,
    )
