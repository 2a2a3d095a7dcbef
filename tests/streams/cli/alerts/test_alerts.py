"""`callstream alerts`: shows who hears of what, checks the file, tries a subscriber — and tells no secret."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from standardwebhooks import Webhook
from typer.testing import CliRunner, Result

from processors.alerts.delivery_queue import Answer
from schemas.config.subscription import SubscriptionsError
from schemas.errors import OperatorError
from streams.cli.alerts import alerts_app
from streams.cli.alerts.subscriptions import NoSubscriptionError
from streams.cli.alerts.test import sentence_of
from tests.support.alerts import SECRET
from tests.support.receiver import DROP, Receiver, Reply, running_receiver

RECIPIENT = "boss@example.com"
HUSH = "hush-hush"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with running_receiver() as running:
        yield running


@pytest.fixture
def file(tmp_path: Path, receiver: Receiver) -> Path:
    webhook = {"url": f"{receiver.url()}?key={HUSH}", "secrets": [SECRET], "allow_private": True}
    smtp = {"host": "mail.example.com", "user": "qa", "password": HUSH}
    subscriptions: list[dict[str, Any]] = [
        {"name": "desk", "tenant": "acme", "channel": {"webhook": webhook}},
        {
            "name": "mail",
            "tenant": "*",
            "min_severity": "critical",
            "categories": ["forbidden_promise"],
            "rules": ["finance.*"],
            "quiet_hours": {"from": "22:00", "to": "07:00"},
            "channel": {"email": {"smtp": smtp, "from": "qa@example.com", "to": [RECIPIENT]}},
        },
        {"name": "topic", "tenant": "*", "channel": {"kafka": {"topic": "risk.alerts"}}},
    ]
    path = tmp_path / "subscriptions.yaml"
    path.write_text(yaml.safe_dump({"subscriptions": subscriptions}), encoding="utf-8")
    return path


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(alerts_app, [str(argument) for argument in arguments])


@pytest.mark.loopback
class TestList:
    def test_it_shows_who_hears_of_what_and_no_secret(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("COLUMNS", "200")
        shown = run("list", "--file", file)
        assert shown.exit_code == 0
        for expected in ("desk", "127.0.0.1", "mail.example.com, 1 recipient(s)", "22:00-07:00", "risk.alerts"):
            assert expected in shown.stdout
        assert [secret for secret in (HUSH, SECRET, RECIPIENT) if secret in shown.stdout] == []

    def test_the_same_for_programs(self, file: Path) -> None:
        rows = json.loads(run("list", "--json", "--file", file).stdout)
        assert [row["name"] for row in rows] == ["desk", "mail", "topic"]
        assert rows[1]["only"] == "forbidden_promise, finance.*"

    def test_the_setting_names_the_file(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CALLSTREAM_SUBSCRIPTIONS_FILE", str(file))
        assert len(json.loads(run("list", "--json").stdout)) == 3

    def test_without_a_file_it_says_how_to_name_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("CALLSTREAM_SUBSCRIPTIONS_FILE", raising=False)
        failed = run("list")
        assert isinstance(failed.exception, NoSubscriptionError)
        assert "CALLSTREAM_SUBSCRIPTIONS_FILE" in str(failed.exception)


@pytest.mark.loopback
class TestCheck:
    def test_a_file_that_is_right(self, file: Path) -> None:
        checked = run("check", "--file", file)
        assert (checked.exit_code, checked.stdout) == (0, "3 subscription(s), no problems\n")

    @pytest.mark.names
    def test_a_file_that_is_wrong_and_one_that_leads_to_the_metadata(self, file: Path) -> None:
        text = file.read_text(encoding="utf-8")
        file.write_text(text.replace("127.0.0.1", "169.254.169.254").replace("critical", HUSH), encoding="utf-8")
        failed = run("check", "--file", file)
        assert isinstance(failed.exception, SubscriptionsError)
        assert isinstance(failed.exception, OperatorError)
        assert len(failed.exception.problems) == 2
        assert HUSH not in str(failed.exception)


@pytest.mark.loopback
class TestTest:
    def test_a_test_alert_arrives_signed_and_says_what_it_is(self, file: Path, receiver: Receiver) -> None:
        done = run("test", "desk", "--file", file)
        assert done.exit_code == 0
        assert done.stdout.startswith("desk (webhook, 127.0.0.1): accepted (200) in ")
        (request,) = receiver.requests
        body = Webhook(SECRET).verify(request.body, dict(request.headers))
        assert (body["type"], body["data"]["kind"], body["data"]["tenant_id"]) == ("alert.test", "test", "acme")

    def test_two_tests_have_two_ids(self, file: Path, receiver: Receiver) -> None:
        for _ in range(2):
            run("test", "desk", "--file", file)
        assert len(set(receiver.ids)) == 2

    @pytest.mark.parametrize(
        ("reply", "sentence"),
        [
            (Reply(503, {"Retry-After": "30"}), "not accepted; an alert would be sent again (503, Retry-After 30 s)"),
            (Reply(404), "refused; an alert would be given up (404)"),
            (Reply(410), "refused for good (410)"),
            (DROP, "not accepted; an alert would be sent again ("),
        ],
    )
    def test_what_was_answered_is_shown_and_is_the_exit_code(
        self, file: Path, receiver: Receiver, reply: Reply, sentence: str
    ) -> None:
        receiver.script(reply)
        done = run("test", "desk", "--file", file)
        assert done.exit_code == 1
        assert sentence in done.stdout
        assert len(receiver.requests) == 1
        assert HUSH not in done.stdout

    def test_a_name_that_does_not_exist(self, file: Path) -> None:
        failed = run("test", "nobody", "--file", file)
        assert isinstance(failed.exception, NoSubscriptionError)


def test_an_answer_without_any_code_is_a_sentence_too() -> None:
    assert sentence_of(Answer("accepted", latency_ms=3)) == "accepted (no code) in 3 ms"
