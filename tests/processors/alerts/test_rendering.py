"""What programs and people read of an alert."""

import json
from typing import Any

import pytest

from processors.alerts.rendering import Notice, body_of, lines_of, link_of, markdown_of, shorten, subject_of, text_of
from schemas.messages.alert import Alert
from tests.support.alerts import QUOTE, an_alert

CONSOLE = "https://console.example.com/qa/"


def a_storm(count: int = 4) -> Notice:
    return Notice.of_storm("desk", tuple(an_alert(number) for number in range(count)))


def decoded(notice: Notice, console_url: str = "") -> dict[str, Any]:
    body: dict[str, Any] = json.loads(body_of(notice, console_url))
    return body


class TestLinks:
    def test_a_link_leads_to_the_moment(self) -> None:
        assert link_of(an_alert(), CONSOLE) == "https://console.example.com/qa/calls/acme/c-1?t=10400"

    def test_without_a_moment_to_the_call_and_without_console_or_call_nowhere(self) -> None:
        assert link_of(an_alert(start_ms=None, end_ms=None), CONSOLE) == "https://console.example.com/qa/calls/acme/c-1"
        assert link_of(an_alert(), "") is None
        surge = an_alert(kind="surge", call_id=None, topic_id="refund", calls_count=40)
        assert link_of(surge, CONSOLE) is None


class TestBody:
    def test_a_single_alert_is_all_of_its_fields_and_the_link(self) -> None:
        body = decoded(Notice.of_one(an_alert()), CONSOLE)
        assert (body["type"], body["timestamp"]) == ("alert.raised", "2026-03-02T10:15:00Z")
        link = body["data"].pop("link")
        assert link == link_of(an_alert(), CONSOLE)
        assert Alert.model_validate_json(json.dumps(body["data"])) == an_alert()

    def test_a_storm_names_every_alert(self) -> None:
        body = decoded(a_storm())
        assert body["type"] == "alert.grouped"
        data = body["data"]
        assert (data["count"], data["rule_id"], data["tenant_id"]) == (4, "finance.no_loss", "acme")
        assert data["alert_ids"] == [an_alert(number).alert_id for number in range(4)]
        assert data["first"]["quote"] == QUOTE
        assert data["group_id"] not in data["alert_ids"]

    def test_a_storm_is_as_grave_as_the_gravest_in_it(self) -> None:
        notice = Notice.of_storm("desk", (an_alert(1), an_alert(2, severity="critical")))
        assert decoded(notice)["data"]["severity"] == "critical"

    def test_the_id_of_a_storm_is_made_of_its_alerts_and_the_subscriber(self) -> None:
        assert a_storm().notice_id == a_storm().notice_id
        assert a_storm(3).notice_id != a_storm(4).notice_id
        assert Notice.of_storm("other", a_storm().alerts).notice_id != a_storm().notice_id

    def test_a_test_says_so(self) -> None:
        assert decoded(Notice.of_one(an_alert(kind="test", call_id=None)))["type"] == "alert.test"

    def test_the_bytes_are_the_same_on_every_try(self) -> None:
        assert body_of(Notice.of_one(an_alert())) == body_of(Notice.of_one(an_alert()))


class TestText:
    def test_people_read_what_happened_where_and_what_to_do(self) -> None:
        text = text_of(Notice.of_one(an_alert(hits=3)), CONSOLE)
        for expected in (
            QUOTE,
            "c-1 第 10.4 秒",
            "A1 / 华东一组",
            "共 3 次",
            "请说明可能出现的亏损",
            "18:14:00（北京时间）",
        ):
            assert expected in text
        assert "https://console.example.com/qa/calls/acme/c-1?t=10400" in text

    def test_a_subject_holds_nothing_that_was_said(self) -> None:
        assert subject_of(Notice.of_one(an_alert())) == "【高】坐席违规承诺（finance.no_loss）"
        assert subject_of(a_storm()) == "【高】4 条：坐席违规承诺（finance.no_loss）"

    def test_no_fact_breaks_its_line(self) -> None:
        alert = an_alert(quote="a\r\nBcc: x@example.com\u2028b\x00", agent_team="队\n伍", title="标题\n二")
        for _name, text in lines_of(Notice.of_one(alert)):
            assert text.isprintable()
        assert "\n" not in subject_of(Notice.of_one(alert))

    def test_markdown_cannot_be_smuggled_in(self) -> None:
        alert = an_alert(quote="[点我](https://evil.example) <@all> @所有人 **粗** `x` # 题")
        text = markdown_of(Notice.of_one(alert))
        assert "](" not in text
        assert "<@" not in text
        assert "@所有人" not in text
        assert "点我" in text

    @pytest.mark.parametrize("max_bytes", [400, 1_000, 4_096])
    def test_markdown_keeps_to_its_length_and_its_link(self, max_bytes: int) -> None:
        alert = an_alert(quote="亏" * 5_000, advice="请" * 400)
        text = markdown_of(Notice.of_one(alert), CONSOLE, max_bytes)
        assert len(text.encode()) <= max_bytes
        assert text.endswith("(https://console.example.com/qa/calls/acme/c-1?t=10400)")

    def test_cutting_halves_no_character(self) -> None:
        assert [shorten("亏损", most) for most in (0, 2, 3, 5, 6, 9)] == ["", "", "亏", "亏", "亏损", "亏损"]
