"""Every way to reach a subscriber, against a server that behaves as badly as it can."""

import base64
import hashlib
import hmac
import json
import logging
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from pydantic import BaseModel, SecretStr, TypeAdapter
from standardwebhooks import Webhook

from processors.alerts.delivery_queue import Answer
from processors.alerts.rendering import Notice
from schemas.config.subscription import Subscription
from schemas.errors import RetryableError
from schemas.messages.alert_delivery import ChannelKind
from schemas.messages.records import ProducerRecord
from streams.adapters.channels import channel_kinds, channel_of
from streams.adapters.channels.channel import Channel
from streams.adapters.channels.dingtalk import DingTalkChannel
from streams.adapters.channels.email import EmailChannel
from streams.adapters.channels.feishu import FeishuChannel
from streams.adapters.channels.group_robot import ROBOT_MESSAGES_PER_MINUTE
from streams.adapters.channels.http_sender import HttpLimits
from streams.adapters.channels.kafka import KafkaChannel
from streams.adapters.channels.webhook import WebhookChannel, retry_after_s
from streams.adapters.channels.wecom import WeComChannel
from streams.adapters.memory.broker import MemoryBroker
from streams.embedded.ports import free_port
from streams.ports import PublisherPort, SystemClock
from tests.support.alerts import OTHER_SECRET, QUOTE, SECRET, HandClock, a_subscription, an_alert
from tests.support.mailroom import Mailroom
from tests.support.receiver import DROP, HANG, Receiver, Reply, running_receiver, self_signed

pytestmark = pytest.mark.loopback

CONSOLE = "https://console.example.com"
HUSH = "hush-hush-key"
SOON = HttpLimits(connect_s=1, read_s=0.3, total_s=1)
ALERT = Notice.of_one(an_alert())


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with running_receiver() as running:
        yield running


class Opened:
    """Opens channels, and closes them at the end."""

    def __init__(self) -> None:
        self._channels: list[Channel] = []
        self.broker = MemoryBroker()
        self.publisher: PublisherPort = self.broker

    def __call__(self, subscription: Subscription) -> Channel:
        channel = channel_of(subscription, CONSOLE, lambda: self.publisher, SystemClock(), SOON)
        self._channels.append(channel)
        return channel

    def close(self) -> None:
        for channel in self._channels:
            channel.close()


@pytest.fixture
def opened() -> Iterator[Opened]:
    channels = Opened()
    yield channels
    channels.close()


Says = dict[str, Any]
"""What a subscription says of a channel."""


class ChannelContract:
    """What every channel promises. A subclass says its kind and gives three fixtures.

    `there` and `not_there` are what a subscription says of a subscriber who can be reached, and of one who cannot;
    `arrived` tells the texts that reached the former.
    """

    kind: ClassVar[str]

    def test_an_alert_arrives_once(self, opened: Opened, there: Says, arrived: Callable[[], list[str]]) -> None:
        assert opened(a_subscription({self.kind: there})).send(ALERT).verdict == "accepted"
        (text,) = arrived()
        assert QUOTE in text

    def test_a_second_alert_goes_the_same_way(
        self, opened: Opened, there: Says, arrived: Callable[[], list[str]]
    ) -> None:
        channel = opened(a_subscription({self.kind: there}))
        verdicts = [channel.send(Notice.of_one(an_alert(number))).verdict for number in (1, 2)]
        assert (verdicts, len(arrived())) == (["accepted", "accepted"], 2)

    def test_nobody_there_is_tried_again_and_known_by_the_class_of_the_error(
        self, opened: Opened, not_there: Says
    ) -> None:
        answer = opened(a_subscription({self.kind: not_there})).send(ALERT)
        assert (answer.verdict, answer.status_code) == ("later", None)
        assert answer.error_class
        assert answer.error_class.isidentifier()

    def test_it_may_be_closed_twice_and_without_a_message(self, opened: Opened, there: Says) -> None:
        channel = opened(a_subscription({self.kind: there}))
        channel.close()
        channel.close()

    def test_what_people_are_shown_holds_no_secret_and_nothing_that_was_said(
        self, opened: Opened, there: Says, caplog: pytest.LogCaptureFixture
    ) -> None:
        subscription = a_subscription({self.kind: there})
        with caplog.at_level(logging.DEBUG):
            answer = opened(subscription).send(ALERT)
        shown = f"{subscription.channel.channel.destination}{subscription!r}{answer!r}{caplog.text}"
        secrets = list(secrets_of(subscription.channel.channel))
        assert [each for each in (*secrets, QUOTE[:6]) if each in shown] == []

    def test_its_kind_stands_in_the_record_of_deliveries(self, there: Says) -> None:
        subscription = a_subscription({self.kind: there})
        assert TypeAdapter(ChannelKind).validate_python(subscription.channel.kind) == self.kind


def secrets_of(model: BaseModel) -> Iterator[str]:
    """Every secret that is set in a model, also in models and tuples within it."""
    waiting: list[object] = [model]
    while waiting:
        each = waiting.pop()
        if isinstance(each, SecretStr) and each.get_secret_value():
            yield each.get_secret_value()
        elif isinstance(each, BaseModel):
            waiting += (value for _, value in each)
        elif isinstance(each, tuple):
            waiting += each


def test_every_channel_that_there_is_passes_the_contract() -> None:
    contracts = [*ChannelContract.__subclasses__(), *HttpChannelContract.__subclasses__()]
    under_contract = {contract.kind for contract in contracts if contract is not HttpChannelContract}
    assert set(channel_kinds()) - under_contract == set(), "add a subclass of ChannelContract to this file"


class HttpChannelContract(ChannelContract):
    """The same over HTTP; `more` is what a subscription says besides the URL."""

    more: ClassVar[Says] = {}

    @pytest.fixture
    def there(self, receiver: Receiver) -> Says:
        taken = Reply(body=b'{"errcode":0,"code":0}')
        receiver.script(taken, taken)
        return {"url": receiver.url(f"/hook?key={HUSH}"), "allow_private": True, **self.more}

    @pytest.fixture
    def not_there(self) -> Says:
        return {"url": f"http://127.0.0.1:{free_port()}/", "allow_private": True, **self.more}

    @pytest.fixture
    def arrived(self, receiver: Receiver) -> Callable[[], list[str]]:
        return lambda: [request.body.decode() for request in receiver.requests]


class TestWebhookContract(HttpChannelContract):
    kind = WebhookChannel.kind
    more: ClassVar[Says] = {"secrets": (SECRET,)}


class TestDingTalkContract(HttpChannelContract):
    kind = DingTalkChannel.kind
    more: ClassVar[Says] = {"secret": SECRET}


class TestFeishuContract(HttpChannelContract):
    kind = FeishuChannel.kind
    more: ClassVar[Says] = {"secret": SECRET}


class TestWeComContract(HttpChannelContract):
    kind = WeComChannel.kind


@pytest.mark.names
class TestEmailContract(ChannelContract):
    kind = EmailChannel.kind

    @pytest.fixture
    def there(self, smtp: int) -> Says:
        return mail_by(smtp)

    @pytest.fixture
    def not_there(self) -> Says:
        return mail_by(free_port())

    @pytest.fixture
    def arrived(self, mailroom: "Mailroom") -> Callable[[], list[str]]:
        return lambda: [str(message.get_content()) for message, _ in mailroom.mails]


class Down:
    """Brokers that take nothing."""

    def publish(self, outputs: Iterable[ProducerRecord]) -> None:
        raise RetryableError(f"{len(list(outputs))} not taken")


class TestKafkaContract(ChannelContract):
    kind = KafkaChannel.kind

    @pytest.fixture
    def there(self) -> Says:
        return {"topic": "risk.alerts"}

    @pytest.fixture
    def not_there(self, opened: Opened) -> Says:
        opened.publisher = Down()
        return {"topic": "risk.alerts"}

    @pytest.fixture
    def arrived(self, opened: Opened) -> Callable[[], list[str]]:
        return lambda: [(record.value or b"").decode() for record in opened.broker.records["risk.alerts"]]


def webhook(url: str, *secrets: str) -> Subscription:
    return a_subscription({"webhook": {"url": url, "secrets": secrets or (SECRET,), "allow_private": True}})


def robot(kind: str, url: str, **more: Any) -> Subscription:
    return a_subscription({kind: {"url": url, "allow_private": True, **more}})


class TestWebhook:
    def test_the_reference_implementation_verifies_what_arrives(self, receiver: Receiver, opened: Opened) -> None:
        assert opened(webhook(receiver.url())).send(ALERT) == Answer("accepted", status_code=200)
        (request,) = receiver.requests
        body = Webhook(SECRET).verify(request.body, dict(request.headers))
        assert body["data"]["quote"] == QUOTE
        assert body["data"]["link"] == "https://console.example.com/calls/acme/c-1?t=10400"
        assert request.headers["webhook-id"] == body["data"]["alert_id"] == an_alert().alert_id
        assert request.headers["content-type"] == "application/json; charset=utf-8"

    @pytest.mark.parametrize("secret", [SECRET, OTHER_SECRET])
    def test_while_secrets_rotate_either_verifies(self, receiver: Receiver, opened: Opened, secret: str) -> None:
        opened(webhook(receiver.url(), SECRET, OTHER_SECRET)).send(ALERT)
        Webhook(secret).verify(receiver.requests[0].body, dict(receiver.requests[0].headers))

    def test_a_second_try_has_the_same_id_and_body_and_a_time_of_its_own(
        self, receiver: Receiver, opened: Opened
    ) -> None:
        clock = HandClock()
        channel = channel_of(webhook(receiver.url()), "", lambda: opened.broker, clock, SOON)
        channel.send(ALERT)
        clock.move(minutes=10)
        channel.send(ALERT)
        channel.close()
        first, second = receiver.requests
        assert (first.headers["webhook-id"], first.body) == (second.headers["webhook-id"], second.body)
        times = [int(request.headers["webhook-timestamp"]) for request in (first, second)]
        assert times[1] - times[0] == 600
        assert first.headers["webhook-signature"] != second.headers["webhook-signature"]

    @pytest.mark.parametrize(
        ("status", "verdict"),
        [
            *((status, "accepted") for status in (200, 201, 202, 204)),
            *((status, "later") for status in (301, 302, 307, 408, 425, 429, 500, 502, 503, 504)),
            *((status, "refused") for status in (400, 401, 403, 404, 405, 413, 422)),
            (410, "gone"),
        ],
    )
    def test_what_a_status_means(self, receiver: Receiver, opened: Opened, status: int, verdict: str) -> None:
        receiver.script(Reply(status, {"Location": receiver.url("/elsewhere")}))
        answer = opened(webhook(receiver.url())).send(ALERT)
        assert (answer.verdict, answer.status_code, answer.error_class) == (verdict, status, None)
        assert len(receiver.requests) == 1, "nothing is followed"

    @pytest.mark.parametrize("reply", [HANG, DROP], ids=["hangs", "hangs up"])
    def test_no_answer_is_tried_again_and_known_by_its_class(
        self, receiver: Receiver, opened: Opened, reply: Reply
    ) -> None:
        receiver.script(reply, Reply())
        channel = opened(webhook(receiver.url()))
        answer = channel.send(ALERT)
        assert (answer.verdict, answer.status_code) == ("later", None)
        assert answer.error_class
        assert channel.send(ALERT).verdict == "accepted"
        assert len(set(receiver.ids)) == 1

    def test_retry_after_is_taken_along(self, receiver: Receiver, opened: Opened) -> None:
        receiver.script(Reply(429, {"Retry-After": "120"}))
        assert opened(webhook(receiver.url())).send(ALERT).retry_after_s == 120

    @pytest.mark.parametrize(
        ("header", "seconds"),
        [
            pytest.param("0", 0, id="at once"),
            pytest.param(" 30 ", 30, id="seconds"),
            pytest.param("Mon, 02 Mar 2026 10:16:00 GMT", 60, id="a date"),
            pytest.param("Mon, 02 Mar 2026 09:00:00 GMT", 0, id="a date that is over"),
            pytest.param("Mon, 02 Mar 2026 10:16:00", None, id="a date without zone"),
            pytest.param("-5", None, id="less than nothing"),
            pytest.param("soon", None, id="words"),
            pytest.param("٣", None, id="other digits"),
            pytest.param("9" * 400, 7 * 86_400, id="for ever"),
            pytest.param(None, None, id="not said"),
        ],
    )
    def test_retry_after_in_all_its_forms(self, header: str | None, seconds: float | None) -> None:
        assert retry_after_s(header, datetime(2026, 3, 2, 10, 15, tzinfo=UTC)) == seconds


class TestRobots:
    def test_dingtalk_gets_signed_markdown(self, receiver: Receiver, opened: Opened) -> None:
        receiver.script(Reply(body=b'{"errcode":0,"errmsg":"ok"}'))
        subscription = robot("dingtalk", receiver.url("/robot/send?access_token=t"), secret="SECabc")
        assert opened(subscription).send(ALERT).verdict == "accepted"
        (request,) = receiver.requests
        query = parse_qs(urlsplit(request.path).query, strict_parsing=True)
        (timestamp,), (sign,), (token,) = query["timestamp"], query["sign"], query["access_token"]
        expected = hmac.new(b"SECabc", f"{timestamp}\nSECabc".encode(), hashlib.sha256).digest()
        assert (base64.b64decode(sign), token) == (expected, "t")
        assert abs(int(timestamp) / 1000 - datetime.now(UTC).timestamp()) < 3_600
        body = json.loads(request.body)
        assert body["msgtype"] == "markdown"
        assert "坐席违规承诺" in body["markdown"]["title"]
        assert QUOTE in body["markdown"]["text"]

    def test_feishu_gets_a_signature_in_its_body(self, receiver: Receiver, opened: Opened) -> None:
        receiver.script(Reply(body=b'{"code":0,"msg":"success"}'))
        assert opened(robot("feishu", receiver.url(), secret="demo")).send(ALERT).verdict == "accepted"
        body = json.loads(receiver.requests[0].body)
        expected = hmac.new(f"{body['timestamp']}\ndemo".encode(), b"", hashlib.sha256).digest()
        assert base64.b64decode(body["sign"]) == expected
        lines = body["content"]["post"]["zh_cn"]["content"]
        assert any(QUOTE in part.get("text", "") for line in lines for part in line)
        assert lines[-1] == [
            {"tag": "a", "text": "打开录音", "href": "https://console.example.com/calls/acme/c-1?t=10400"}
        ]

    def test_wecom_gets_markdown_within_its_length(self, receiver: Receiver, opened: Opened) -> None:
        receiver.script(Reply(body=b'{"errcode":0,"errmsg":"ok"}'))
        long = Notice.of_one(an_alert(advice="请" * 500, quote="亏" * 9_000, risk_reasons=("原因" * 2_000,)))
        assert opened(robot("wecom", receiver.url("/send?key=k"))).send(long).verdict == "accepted"
        (request,) = receiver.requests
        assert request.path == "/send?key=k"
        content = json.loads(request.body)["markdown"]["content"]
        assert len(content.encode()) <= 4_096

    def test_without_a_secret_nothing_is_signed(self, receiver: Receiver, opened: Opened) -> None:
        receiver.script(Reply(body=b'{"errcode":0,"code":0}'))
        opened(robot("dingtalk", receiver.url("/d"))).send(ALERT)
        opened(robot("feishu", receiver.url("/f"))).send(ALERT)
        assert receiver.requests[0].path == "/d"
        assert "sign" not in json.loads(receiver.requests[1].body)

    @pytest.mark.parametrize(
        ("kind", "body", "error_class", "wait_s"),
        [
            ("dingtalk", b'{"errcode":310000,"errmsg":"sign not match"}', "RobotRefused", None),
            ("dingtalk", b'{"errcode":130101,"errmsg":"send too fast"}', "TooManyMessages", 600),
            ("wecom", b'{"errcode":93000,"errmsg":"invalid webhook url"}', "RobotRefused", None),
            ("wecom", b'{"errcode":45009,"errmsg":"api freq out of limit"}', "TooManyMessages", 60),
            ("feishu", b'{"code":19021,"msg":"sign match fail"}', "RobotRefused", None),
            ("feishu", b'{"code":11232,"msg":"frequency limited"}', "TooManyMessages", 60),
        ],
    )
    def test_an_error_behind_a_200_is_a_failure_that_is_tried_again(
        self, receiver: Receiver, opened: Opened, kind: str, body: bytes, error_class: str, wait_s: float | None
    ) -> None:
        receiver.script(Reply(body=body))
        answer = opened(robot(kind, receiver.url())).send(ALERT)
        code = next(value for value in json.loads(body).values() if isinstance(value, int))
        assert answer == Answer("later", status_code=code, error_class=error_class, retry_after_s=wait_s)

    @pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"errcode":"0"}', b'{"errcode":true}', b"\xff"])
    def test_an_answer_without_a_code_is_no_success(self, receiver: Receiver, opened: Opened, body: bytes) -> None:
        receiver.script(Reply(body=body))
        answer = opened(robot("wecom", receiver.url())).send(ALERT)
        assert (answer.verdict, answer.error_class) == ("later", "UnreadableAnswer")

    def test_a_status_counts_as_with_webhooks(self, receiver: Receiver, opened: Opened) -> None:
        receiver.script(Reply(429, {"Retry-After": "7"}), Reply(404), DROP)
        channel = opened(robot("wecom", receiver.url()))
        assert channel.send(ALERT) == Answer("later", status_code=429, retry_after_s=7)
        assert channel.send(ALERT).verdict == "refused"
        assert channel.send(ALERT).verdict == "later"

    @pytest.mark.parametrize("kind", ["dingtalk", "wecom", "feishu"])
    def test_robots_have_a_limit_and_others_have_none(self, receiver: Receiver, opened: Opened, kind: str) -> None:
        assert opened(robot(kind, receiver.url())).per_minute == ROBOT_MESSAGES_PER_MINUTE
        assert opened(webhook(receiver.url())).per_minute is None


@pytest.fixture
def mailroom() -> Mailroom:
    return Mailroom()


@pytest.fixture
def smtp(mailroom: Mailroom) -> Iterator[int]:
    yield from _served(mailroom)


def _served(mailroom: Mailroom, **options: Any) -> Iterator[int]:
    port = free_port()
    controller = Controller(mailroom, hostname="127.0.0.1", port=port, **options)
    controller.start()
    try:
        yield port
    finally:
        controller.stop()


def mail_by(port: int, to: Iterable[str] = ("boss@example.com", "lead@example.com"), **smtp: Any) -> Says:
    server = {"host": "127.0.0.1", "port": port, "tls": "none"} | smtp
    return {"smtp": server, "from": "qa@example.com", "to": tuple(to)}


def mail(port: int, to: Iterable[str] = ("boss@example.com", "lead@example.com"), **smtp: Any) -> Subscription:
    return a_subscription({"email": mail_by(port, to, **smtp)})


@pytest.mark.names
class TestEmail:
    def test_people_get_a_mail_in_their_language(self, smtp: int, mailroom: Mailroom, opened: Opened) -> None:
        assert opened(mail(smtp)).send(ALERT) == Answer("accepted", status_code=250)
        ((message, recipients),) = mailroom.mails
        assert recipients == ["boss@example.com", "lead@example.com"]
        assert message["Subject"] == "【高】坐席违规承诺（finance.no_loss）"
        assert message["From"] == "qa@example.com"
        assert message["Message-ID"] == f"<{an_alert().alert_id}@example.com>"
        text = message.get_content()
        assert QUOTE in text
        assert "https://console.example.com/calls/acme/c-1?t=10400" in text

    def test_nothing_in_an_alert_becomes_a_header(self, smtp: int, mailroom: Mailroom, opened: Opened) -> None:
        title = "标题\r\nBcc: thief@example.com\r\n\r\nbody\n.\nQUIT"
        alert = an_alert(title=title, quote="a\r\n.\r\nRSET", rule_id="x\r\nX-Evil: 1")
        assert opened(mail(smtp)).send(Notice.of_one(alert)).verdict == "accepted"
        ((message, recipients),) = mailroom.mails
        assert "thief@example.com" not in recipients
        assert {"bcc", "x-evil"}.isdisjoint(name.lower() for name in message)
        assert "RSET" in message.get_content()

    @pytest.mark.parametrize(
        ("answer", "verdict", "code"),
        [("451 later", "later", 451), ("554 spam", "refused", 554), ("552 too large", "refused", 552)],
    )
    def test_what_the_server_says_of_the_mail(
        self, smtp: int, mailroom: Mailroom, opened: Opened, answer: str, verdict: str, code: int
    ) -> None:
        mailroom.answer_to_data = answer
        found = opened(mail(smtp)).send(ALERT)
        assert (found.verdict, found.status_code, found.error_class) == (verdict, code, "SMTPDataError")

    def test_one_recipient_that_is_refused_does_not_cost_the_others_the_mail(
        self, smtp: int, mailroom: Mailroom, opened: Opened
    ) -> None:
        mailroom.refused_recipients = ("boss@example.com",)
        answer = opened(mail(smtp)).send(ALERT)
        assert (answer.verdict, answer.error_class) == ("accepted", "SomeRecipientsRefused")
        assert mailroom.mails[0][1] == ["lead@example.com"]

    @pytest.mark.parametrize(("refusal", "verdict"), [("550 unknown", "refused"), ("450 busy", "later")])
    def test_when_all_are_refused_it_depends_on_how(
        self, smtp: int, mailroom: Mailroom, opened: Opened, refusal: str, verdict: str
    ) -> None:
        mailroom.refused_recipients, mailroom.refusal = ("boss@example.com",), refusal
        answer = opened(mail(smtp, ["boss@example.com"])).send(ALERT)
        assert (answer.verdict, answer.error_class) == (verdict, "SMTPRecipientsRefused")

    def test_nobody_there_is_tried_again(self, opened: Opened) -> None:
        answer = opened(mail(free_port())).send(ALERT)
        assert (answer.verdict, answer.error_class) == ("later", "ConnectionRefusedError")

    @pytest.mark.processes
    @pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
    @pytest.mark.parametrize("tls", ["starttls", "ssl"])
    def test_over_tls_with_a_password(self, mailroom: Mailroom, opened: Opened, tmp_path: Path, tls: str) -> None:
        certificate, context = self_signed(tmp_path, ["localhost"])
        given: list[bytes] = []

        def authenticate(*args: Any) -> AuthResult:
            credentials = args[4]
            assert isinstance(credentials, LoginPassword)
            given.append(credentials.password)
            return AuthResult(success=credentials.password == b"right", handled=False)

        how: dict[str, Any] = {"authenticator": authenticate, "auth_required": True}
        how |= {"ssl_context": context, "auth_require_tls": False} if tls == "ssl" else {"tls_context": context}
        serving = _served(mailroom, **how)
        port = next(serving)
        server: dict[str, Any] = {"host": "localhost", "tls": tls, "ca_file": str(certificate), "user": "qa"}
        try:
            assert opened(mail(port, password="right", **server)).send(ALERT).verdict == "accepted"
            wrong = opened(mail(port, password="wrong", **server)).send(ALERT)
            assert (wrong.verdict, wrong.status_code) == ("later", 535)
            untrusted = opened(mail(port, **server | {"ca_file": None})).send(ALERT)
            assert (untrusted.verdict, untrusted.error_class) == ("later", "SSLCertVerificationError")
        finally:
            next(serving, None)
        assert set(given) == {b"right", b"wrong"}
        assert len(mailroom.mails) == 1

    def test_a_server_without_starttls_gets_nothing(self, smtp: int, mailroom: Mailroom, opened: Opened) -> None:
        answer = opened(mail(smtp, tls="starttls")).send(ALERT)
        assert (answer.verdict, answer.error_class) == ("later", "SMTPNotSupportedError")
        assert mailroom.mails == []


class TestKafka:
    def test_the_body_of_the_webhook_under_the_key_of_the_alert(self, opened: Opened) -> None:
        assert opened(a_subscription({"kafka": {"topic": "risk.alerts"}})).send(ALERT).verdict == "accepted"
        (record,) = opened.broker.records["risk.alerts"]
        assert record.key == b"acme/c-1"
        assert json.loads(record.value or b"")["data"]["alert_id"] == an_alert().alert_id

    def test_brokers_that_do_not_take_it_are_asked_again(self) -> None:
        channel = channel_of(a_subscription({"kafka": {"topic": "risk.alerts"}}), "", Down, SystemClock())
        assert channel.send(ALERT) == Answer("later", error_class="RetryableError")


@pytest.mark.parametrize("kind", ["webhook", "dingtalk", "wecom", "feishu"])
@pytest.mark.parametrize("reply", [Reply(), Reply(500, body=HUSH.encode()), DROP], ids=["fine", "failed", "hung up"])
def test_no_log_and_no_answer_holds_a_url_a_secret_or_what_was_said(
    receiver: Receiver, opened: Opened, caplog: pytest.LogCaptureFixture, kind: str, reply: Reply
) -> None:
    receiver.script(reply)
    url = receiver.url(f"/robot?key={HUSH}")
    subscription = webhook(url) if kind == "webhook" else robot(kind, url)
    with caplog.at_level(logging.DEBUG):
        answer = opened(subscription).send(ALERT)
    shown = f"{caplog.text}{answer!r}{subscription!r}"
    for secret in (HUSH, SECRET, QUOTE[:6]):
        assert secret not in shown
