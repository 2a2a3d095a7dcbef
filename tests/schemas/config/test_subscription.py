"""The subscription file: what it may say, and that what is wrong with it is named without a value."""

from datetime import time
from pathlib import Path
from typing import Any

import pytest

from schemas.config.subscription import (
    MAX_SUBSCRIPTIONS,
    Subscription,
    SubscriptionsError,
    subscriber_names,
)
from streams.adapters.channels import channel_kinds, read_subscriptions
from streams.adapters.channels.email import EmailChannel
from streams.adapters.channels.webhook import WebhookChannel
from tests.support.alerts import OTHER_SECRET, SECRET

# To read an address as a number, the system's resolver is asked, which then asks nobody.
pytestmark = pytest.mark.names

REPOSITORY = Path(__file__).parents[3]
EXAMPLE = REPOSITORY / "deploy" / "subscriptions.example.yaml"
HUSH = "hush-hush-hush"

WEBHOOK = f"""
  - name: desk
    tenant: acme
    channel:
      webhook:
        url: https://alerts.example.com/hook
        secrets: [{SECRET}]
"""


def written(folder: Path, text: str) -> Path:
    file = folder / "subscriptions.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def loaded(folder: Path, text: str, **environ: str) -> tuple[Subscription, ...]:
    return read_subscriptions(written(folder, "subscriptions:" + text), environ)


def problems(folder: Path, text: str) -> list[str]:
    with pytest.raises(SubscriptionsError) as refused:
        loaded(folder, text)
    prefix = f"{folder / 'subscriptions.yaml'}:"
    assert all(problem.startswith(prefix) for problem in refused.value.problems)
    assert refused.value.__context__ is None or refused.value.__suppress_context__
    return [problem.removeprefix(prefix) for problem in refused.value.problems]


class TestReading:
    def test_the_least_that_a_subscription_says(self, tmp_path: Path) -> None:
        (subscription,) = loaded(tmp_path, WEBHOOK)
        assert (subscription.name, subscription.tenant, subscription.min_severity) == ("desk", "acme", "high")
        assert (subscription.channel.kind, subscription.quiet_hours, subscription.grouping) == ("webhook", None, None)
        channel = subscription.channel.channel
        assert isinstance(channel, WebhookChannel)
        assert (channel.host, channel.allow_private) == ("alerts.example.com", False)

    def test_the_example_can_be_used_and_shows_every_channel(self, tmp_path: Path) -> None:
        (tmp_path / "hook.secret").write_text(OTHER_SECRET)
        copy = tmp_path / "subscriptions.yaml"
        copy.write_text(EXAMPLE.read_text(encoding="utf-8").replace("/etc/callstream/", ""), encoding="utf-8")
        names = ("DINGTALK_URL", "DINGTALK_SECRET", "WECOM_URL", "FEISHU_URL", "FEISHU_SECRET")
        environ = dict.fromkeys(names, "https://robot.example.com/x?key=1")
        environ |= {"HOOK_SECRET": SECRET, "SMTP_PASSWORD": "x"}
        kinds = {each.channel.kind for each in read_subscriptions(copy, environ)}
        assert kinds == set(channel_kinds()), "an example of each channel"

    def test_secrets_come_from_variables_and_files(self, tmp_path: Path) -> None:
        (tmp_path / "old.secret").write_text(f"{OTHER_SECRET}\n")
        text = WEBHOOK.replace(f"[{SECRET}]", "[{env: HOOK}, {file: old.secret}]")
        (subscription,) = loaded(tmp_path, text, HOOK=SECRET)
        channel = subscription.channel.channel
        assert isinstance(channel, WebhookChannel)
        assert [secret.get_secret_value() for secret in channel.secrets] == [SECRET, OTHER_SECRET]

    @pytest.mark.parametrize("begin", ["22:00", '"22:00"'], ids=["a number to YAML", "quoted"])
    def test_a_time_of_day_may_be_written_with_or_without_quotes(self, tmp_path: Path, begin: str) -> None:
        (subscription,) = loaded(tmp_path, WEBHOOK + f"    quiet_hours: {{from: {begin}, to: 07:30}}\n")
        quiet = subscription.quiet_hours
        assert quiet is not None
        assert (quiet.begin, quiet.end, quiet.timezone) == (time(22), time(7, 30), "Asia/Shanghai")

    @pytest.mark.parametrize("name", ["on", '"on"'], ids=["true to YAML", "quoted"])
    def test_selected_calls_may_be_asked_for_with_or_without_quotes(self, tmp_path: Path, name: str) -> None:
        (subscription,) = loaded(tmp_path, WEBHOOK + f"    {name}: selected\n    triggers: [safety]\n")
        assert (subscription.on, subscription.triggers) == ("selected", ("safety",))

    def test_without_it_alerts_are_meant(self, tmp_path: Path) -> None:
        (subscription,) = loaded(tmp_path, WEBHOOK)
        assert (subscription.on, subscription.triggers) == ("alerts", ())

    def test_no_file_is_no_subscription(self) -> None:
        assert read_subscriptions(None) == ()
        assert subscriber_names(None) == ()

    @pytest.mark.parametrize(
        ("text", "names"),
        [
            pytest.param(WEBHOOK.replace(f"[{SECRET}]", "[{env: NOT_SET}]"), ("desk",), id="a secret that is not here"),
            pytest.param("\n  - name: Desk\n  - name: 7\n  - x\n", (), id="no names"),
            pytest.param("\n  - {name: a}\n  - {name: B}\n", ("a",), id="one of two"),
            pytest.param(" [", (), id="no YAML"),
        ],
    )
    def test_who_looks_on_needs_the_names_only(self, tmp_path: Path, text: str, names: tuple[str, ...]) -> None:
        assert subscriber_names(written(tmp_path, "subscriptions:" + text)) == names

    def test_an_empty_list_is_no_subscription(self, tmp_path: Path) -> None:
        assert loaded(tmp_path, " []") == ()


def changed(old: str, new: str) -> str:
    assert old in WEBHOOK
    return WEBHOOK.replace(old, new)


URL = "https://alerts.example.com/hook"
EMAIL = """
  - name: mail
    tenant: acme
    channel:
      email:
        smtp: {host: mail.example.com}
        from: qa@example.com
        to: [boss@example.com]
"""


class TestWhatIsWrong:
    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            pytest.param(changed("desk", "Desk"), "2: 1, name: string should match", id="name"),
            pytest.param(
                changed("tenant: acme", "tenant: ACME"), "3: desk, tenant: string", id="tenant"
            ),
            pytest.param(
                changed("    tenant: acme\n", ""), "2: desk, tenant: field required", id="none"
            ),
            pytest.param(WEBHOOK + "    min_severity: huge\n", "8: desk, min_severity", id="severity"),
            pytest.param(
                WEBHOOK + f"    {HUSH}: 1\n", "8: desk, <unknown field>: extra", id="unknown field"
            ),
            pytest.param(changed(URL, f"https://u:{HUSH}@x.example/"), "6: desk,", id="a password"),
            pytest.param(changed(URL, f"ftp://{HUSH}.example/"), "6: desk,", id="no HTTP"),
            pytest.param(changed(URL, f"https://x.example/#{HUSH}"), "6: desk,", id="a fragment"),
            pytest.param(changed(URL, f"https://x.example\\\\@{HUSH}/"), "6: desk,", id="backslash"),
            pytest.param(changed(URL, f"http://{HUSH}.example/"), "5: desk, channel.webhook: url m",
                         id="not encrypted"),
            pytest.param(changed(SECRET, HUSH), "7: desk, channel.webhook.secrets.0: must be whsec_",
                         id="another kind of secret"),
            pytest.param(changed(SECRET, ""), "7: desk, channel.webhook.secrets", id="no secret"),
            pytest.param(changed(SECRET, "{env: NOT_SET}"), "7: desk, channel.webhook.secrets.0: the "
                         "variable that env names is not set", id="no variable"),
            pytest.param(changed(SECRET, "{file: nowhere}"), "7: desk, channel.webhook.secrets.0: the "
                         "file that file names cannot be read", id="no secret file"),
            pytest.param(WEBHOOK + "      wecom: {url: https://x.example/}\n",
                         "4: desk, channel: must hold exactly one", id="two channels"),
            pytest.param(changed("channel:\n      webhook:", "channel: {}\n    x:"), "4: desk, channel",
                         id="no channel"),
            pytest.param(WEBHOOK + "    quiet_hours: {from: 25:00, to: 07:00}\n",
                         "8: desk, quiet_hours.from: must be a time", id="no time of day"),
            pytest.param(WEBHOOK + "    quiet_hours: {from: 07:00, to: 07:00}\n",
                         "8: desk, quiet_hours: from and to", id="quiet all day"),
            pytest.param(WEBHOOK + "    quiet_hours: {from: 07:00, to: 08:00, timezone: Mars/Base}\n",
                         "8: desk, quiet_hours.timezone: must be a time zone", id="no time zone"),
            pytest.param(WEBHOOK + "    on: chosen\n", "8: desk, on: input should be 'alerts' or 'selected'",
                         id="on something else"),
            pytest.param(WEBHOOK + "    on: selected\n    min_severity: low\n", "2: desk, min_severity is about alerts",
                         id="a severity of selected calls"),
            pytest.param(WEBHOOK + "    triggers: [safety]\n", "2: desk, triggers are those of selected calls",
                         id="triggers of alerts"),
            pytest.param(WEBHOOK + "    on: selected\n    triggers: [reading]\n", "9: desk, triggers.0: input should",
                         id="what reading suspects"),
            pytest.param(WEBHOOK + WEBHOOK, "1: two subscriptions", id="a name twice"),
            pytest.param(EMAIL.replace("boss@", f"boss\\r\\nBcc: {HUSH}@"), "8: mail, channel.email.to",
                         id="a header in a recipient"),
            pytest.param(EMAIL.replace("mail.example.com}", f"m, tls: none, password: {HUSH}}}"),
                         "6: mail, channel.email.smtp: a password needs", id="a password in clear"),
            pytest.param(changed(WEBHOOK[WEBHOOK.index("      webhook"):], "      kafka: {topic: alerts.raised.v1}\n"),
                         "5: desk, channel.kafka.topic: is a topic of callstream", id="our own topic"),
        ],
    )  # fmt: skip
    def test_is_named_by_line_subscription_and_field_and_never_by_value(
        self, tmp_path: Path, text: str, problem: str
    ) -> None:
        found = [each.replace("subscription ", "").replace(", field ", ", ") for each in problems(tmp_path, text)]
        assert any(sentence.startswith(problem) for sentence in found), found
        assert HUSH not in "".join(found)

    @pytest.mark.parametrize(
        "host",
        [
            pytest.param("169.254.169.254", id="metadata"),
            pytest.param("[::ffff:169.254.169.254]", id="metadata as IPv6"),
            pytest.param("2852039166", id="metadata as one number"),
            pytest.param("0xa9fea9fe", id="metadata in hexadecimal"),
            pytest.param("0251.0376.0251.0376", id="metadata in octal"),
            pytest.param("127.1", id="loopback, shortened"),
            pytest.param("10.0.0.1", id="private"),
            pytest.param("[::1]", id="loopback"),
            pytest.param("[fd00::1]", id="private, IPv6"),
            pytest.param("0.0.0.0", id="this machine"),  # noqa: S104 - it is to be refused
        ],
    )
    def test_an_address_that_nothing_is_sent_to_is_refused_when_the_file_is_read(
        self, tmp_path: Path, host: str
    ) -> None:
        (problem,) = problems(tmp_path, changed("alerts.example.com", host))
        assert problem.endswith("field channel.webhook: url leads to an address that nothing is sent to")

    def test_the_metadata_address_is_refused_also_where_private_ones_are_allowed(self, tmp_path: Path) -> None:
        private = changed(URL, "http://169.254.169.254/\n        allow_private: true")
        (problem,) = problems(tmp_path, private)
        assert "nothing is sent to" in problem
        (subscription,) = loaded(tmp_path, private.replace("169.254.169.254", "10.1.2.3"))
        assert subscription.name == "desk"

    def test_everything_that_is_wrong_is_named_at_once(self, tmp_path: Path) -> None:
        assert len(problems(tmp_path, changed("acme", "ACME") + EMAIL.replace("qa@", "qa@@"))) == 2

    @pytest.mark.parametrize(
        ("text", "line"),
        [
            pytest.param(f"subscriptions:\n  - name: [{HUSH}\n", ":3:", id="broken off"),
            pytest.param(f"subscriptions: []\n{HUSH}: !{HUSH} x\n", ":2:", id="an unknown tag"),
            pytest.param(f"subscriptions: []\nsubscriptions: [{HUSH}]\n", ":2:", id="a key twice"),
            pytest.param(f"- {HUSH}\n", "", id="no mapping"),
            pytest.param("", "", id="nothing"),
        ],
    )
    def test_what_is_not_yaml_is_named_by_its_line(self, tmp_path: Path, text: str, line: str) -> None:
        with pytest.raises(SubscriptionsError) as refused:
            read_subscriptions(written(tmp_path, text))
        assert line in str(refused.value)
        assert HUSH not in str(refused.value)

    def test_a_file_that_is_not_there_says_so(self, tmp_path: Path) -> None:
        with pytest.raises(SubscriptionsError, match="cannot be read: FileNotFoundError"):
            read_subscriptions(tmp_path / "nowhere.yaml")

    def test_there_may_not_be_too_many(self, tmp_path: Path) -> None:
        text = "".join(WEBHOOK.replace("desk", f"desk{number}") for number in range(MAX_SUBSCRIPTIONS + 1))
        (problem,) = problems(tmp_path, text)
        assert "at most" in problem


class TestSecrets:
    def test_nothing_secret_is_in_what_a_subscription_prints(self, tmp_path: Path) -> None:
        text = WEBHOOK.replace("/hook", f"/{HUSH}") + EMAIL.replace("mail.example.com}", f"m, password: {HUSH}}}")
        for subscription in loaded(tmp_path, text):
            shown = f"{subscription!r} {subscription}"
            assert SECRET not in shown
            assert HUSH not in shown

    def test_an_address_may_not_hold_a_second_line(self, tmp_path: Path) -> None:
        channel: Any = loaded(tmp_path, EMAIL)[0].channel.channel
        assert isinstance(channel, EmailChannel)
        assert channel.to == ("boss@example.com",)
