"""What subscribers read: alerts, one by one or grouped, as JSON for programs and as text for people."""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from processors.alerts.raising import gravest
from schemas.config.console_url import ConsoleUrl
from schemas.messages.alert import Alert
from schemas.messages.finding import Severity

MAX_GROUPED = 200
"""As many alerts one grouped message stands for; all their ids are in it."""

_MAX_QUOTE = 300
_CHINA = timezone(timedelta(hours=8))
_SEVERITY_NAMES: dict[Severity, str] = {
    "info": "提示",
    "low": "低",
    "medium": "中",
    "high": "高",
    "critical": "严重",
}
_AS_TEXT = str.maketrans({"<": "＜", ">": "＞", "[": "［", "]": "］", "`": "'", "*": "＊", "@": "＠", "#": "＃"})
"""What Markdown of a group robot could take for a link, a mention or a format is written full width."""


@dataclass(frozen=True)
class Notice:
    """One message: an alert, or those of a storm, oldest first. `notice_id` is the same on every try."""

    notice_id: str
    alerts: tuple[Alert, ...]

    @classmethod
    def of_one(cls, alert: Alert) -> "Notice":
        """A single alert goes under its own id."""
        return cls(alert.alert_id, (alert,))

    @classmethod
    def of_storm(cls, subscriber: str, alerts: tuple[Alert, ...]) -> "Notice":
        """The alerts of one cause as one message."""
        ids = "/".join(sorted(alert.alert_id for alert in alerts))
        return cls(str(uuid5(NAMESPACE_URL, f"callstream:storm/{subscriber}/{ids}")), alerts)

    @property
    def first(self) -> Alert:
        """The alert that stands for all."""
        return self.alerts[0]

    @property
    def is_storm(self) -> bool:
        """Whether it stands for several alerts and has an id of its own."""
        return self.notice_id != self.first.alert_id

    @property
    def severity(self) -> Severity:
        """The gravest of its alerts."""
        return gravest(alert.severity for alert in self.alerts)

    @property
    def type(self) -> str:
        """The event type in the body of a webhook."""
        return "alert.grouped" if self.is_storm else "alert.test" if self.first.kind == "test" else "alert.raised"


def link_of(alert: Alert, console_url: str) -> str | None:
    """To the moment in the recording; None without a console or a call."""
    if alert.call_id is None:
        return None
    return ConsoleUrl(console_url).link(alert.tenant_id, alert.call_id, alert.start_ms) or None


def body_of(notice: Notice, console_url: str = "") -> bytes:
    """`{"type", "timestamp", "data"}` as UTF-8 JSON: the same bytes on every try.

    `data` of a single alert are the fields of `Alert` and `link`; of a storm `group_id`, what the alerts have in
    common, `count`, `alert_ids` and the `first` of them.
    """
    first = {**notice.first.model_dump(mode="json"), "link": link_of(notice.first, console_url)}
    data: dict[str, Any] = first
    if notice.is_storm:
        data = {
            "group_id": notice.notice_id,
            "tenant_id": notice.first.tenant_id,
            "rule_id": notice.first.rule_id,
            "category": notice.first.category,
            "severity": notice.severity,
            "count": len(notice.alerts),
            "alert_ids": [alert.alert_id for alert in notice.alerts],
            "first_raised_at": first["raised_at"],
            "last_raised_at": notice.alerts[-1].model_dump(mode="json")["raised_at"],
            "first": first,
        }
    body = {"type": notice.type, "timestamp": first["raised_at"], "data": data}
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def subject_of(notice: Notice) -> str:
    """One line without anything that was said: it appears in headers and on lock screens."""
    count = f"{len(notice.alerts)} 条：" if notice.is_storm else ""
    return one_line(f"【{_SEVERITY_NAMES[notice.severity]}】{count}{notice.first.title}")


def lines_of(notice: Notice) -> list[tuple[str, str]]:
    """The facts for people as pairs of name and text, each text on one line; empty ones are left out."""
    alert = notice.first
    at = "" if alert.start_ms is None else f" 第 {alert.start_ms / 1000:.1f} 秒"
    hits = f"（共 {alert.hits} 次）" if alert.hits > 1 else ""
    pairs = [
        ("级别", _SEVERITY_NAMES[notice.severity]),
        ("合并告警", f"{len(notice.alerts)} 条，首条如下" if notice.is_storm else ""),
        ("租户", alert.tenant_id),
        ("通话", f"{alert.call_id}{at}" if alert.call_id else ""),
        ("坐席", " / ".join(filter(None, (alert.agent_id, alert.agent_team)))),
        ("主题", f"{alert.topic_id}，{alert.calls_count} 通" if alert.topic_id else ""),
        ("规则", f"{alert.rule_id}（版本 {alert.rule_version}）{hits}"),
        ("原话", f"{alert.quote[:_MAX_QUOTE]}{'…' if len(alert.quote) > _MAX_QUOTE else ''}"),
        ("风险原因", "；".join(alert.risk_reasons)),
        ("建议", alert.advice),
        ("时间", _show_moment(alert.happened_at)),
        ("告警编号", notice.notice_id),
    ]
    return [(name, one_line(text)) for name, text in pairs if text]


def text_of(notice: Notice, console_url: str = "") -> str:
    """The notice as plain text, for e-mail."""
    lines = [subject_of(notice), "", *(f"{name}：{text}" for name, text in lines_of(notice))]
    link = link_of(notice.first, console_url)
    return "\n".join([*lines, *([f"录音：{link}"] if link else []), ""])


def markdown_of(notice: Notice, console_url: str = "", max_bytes: int = 4_000) -> str:
    """The notice as Markdown, for group robots; quotes are cut first if it would exceed `max_bytes`."""
    lines = [f"**{name}**：{text.translate(_AS_TEXT)}" for name, text in lines_of(notice)]
    link = link_of(notice.first, console_url)
    end = f"\n\n[打开录音]({link})" if link else ""
    head = f"### {subject_of(notice).translate(_AS_TEXT)}\n\n"
    room = max_bytes - len((head + end).encode())
    return head + shorten("\n\n".join(lines), room) + end


def shorten(text: str, max_bytes: int) -> str:
    """The text cut to at most this many bytes of UTF-8, never inside a character."""
    return text.encode()[: max(max_bytes, 0)].decode(errors="ignore")


def one_line(text: str) -> str:
    """Without line breaks and other control characters."""
    return "".join(character if character.isprintable() else " " for character in text)


def _show_moment(moment: datetime) -> str:
    return f"{moment.astimezone(_CHINA):%Y-%m-%d %H:%M:%S}（北京时间）"
