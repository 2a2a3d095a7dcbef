"""The `notify` worker as a process on both brokers: killed in mid-flow, beside a subscriber that is dead."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from schemas.messages.alert import Alert
from schemas.messages.alert_delivery import AlertDelivery
from schemas.messages.topics import ALERTS_DELIVERED, ALERTS_RAISED
from streams.adapters.kafka.client import BatchConsumer, Publisher, apply_topics, lags
from streams.embedded.stack import worker_spec
from streams.embedded.supervisor import Backoff, Supervisor
from streams.ports import SystemClock
from streams.runtime.heartbeat import conditions
from streams.settings import Settings
from streams.topology import consumer_groups
from tests.support.access_log import register_of
from tests.support.alerts import QUOTE, SECRET, an_alert
from tests.support.brokers import running_broker
from tests.support.processes import eventually
from tests.support.receiver import Receiver, Reply, running_receiver

COUNT = 60


@dataclass
class Running:
    """A worker beside a broker, and who listens."""

    supervisor: Supervisor
    settings: Settings
    receiver: Receiver
    dead: Receiver
    _group: int = 0

    def raise_alerts(self, alerts: list[Alert]) -> None:
        publisher = Publisher(self.settings)
        publisher.publish([ALERTS_RAISED.record(alert) for alert in alerts])
        publisher.close()

    def wait_until(self, comes_true: Callable[[], bool]) -> None:
        """Meanwhile a worker that has died is started again."""

        def looked_after() -> bool:
            self.supervisor.check()
            return comes_true()

        assert eventually(looked_after), self.log()

    def log(self) -> str:
        return self.supervisor.log_file("notify").read_text()

    def has_joined(self, subscriber: str) -> bool:
        """From here on it is told what happens: a group that is new begins at the end of the topic."""
        return f"notify {subscriber} reads" in self.log()

    def record(self) -> list[AlertDelivery]:
        """All of the record that is there."""
        self._group += 1
        consumer = BatchConsumer(self.settings, f"read-{self._group}", [ALERTS_DELIVERED.name])
        lines: list[AlertDelivery] = []
        quiet_since_s = time.monotonic()
        while time.monotonic() - quiet_since_s < 8:
            records = consumer.poll(500, 0.5)
            lines += [ALERTS_DELIVERED.decode(raw.value) for raw in records]
            if records:
                quiet_since_s = time.monotonic()
            elif lines:
                break
        consumer.close()
        return lines


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("tansu", marks=pytest.mark.embedded),
        pytest.param("kafka", marks=[pytest.mark.kafka, pytest.mark.long]),
    ],
)
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder: Path = tmp_path_factory.mktemp(request.param)
    with (
        running_broker(request.param, folder) as broker,
        running_receiver() as receiver,
        running_receiver(Reply(503)) as dead,
        Supervisor(folder / "workers", Backoff(first_s=0.1)) as supervisor,
    ):
        apply_topics(broker)
        register_of(folder).close()
        file = folder / "subscriptions.yaml"
        channels = {
            name: {"webhook": {"url": at.url(), "secrets": [{"env": "HOOK_SECRET"}], "allow_private": True}}
            for name, at in (("desk", receiver), ("dead", dead))
        }
        subscriptions = [{"name": name, "tenant": "acme", "channel": channel} for name, channel in channels.items()]
        file.write_text(yaml.safe_dump({"subscriptions": subscriptions}), encoding="utf-8")
        settings = broker.model_copy(update={"subscriptions_file": file, "data_dir": folder})
        spec = worker_spec("notify", 0, settings, restart=True)
        spec.env["HOOK_SECRET"] = SECRET  # type: ignore[index]  # a dict that is shown as a Mapping
        supervisor.start(spec)
        yield Running(supervisor, settings, receiver, dead)
        supervisor.stop()
    assert conditions(folder) == [], "a worker that was asked to stop leaves no heartbeat"


def test_a_worker_that_is_killed_in_mid_flow_loses_no_alert_and_a_dead_subscriber_delays_nobody(
    running: Running,
) -> None:
    running.wait_until(lambda: running.has_joined("desk") and running.has_joined("dead"))
    alerts = [an_alert(number, raised_at=SystemClock().now()) for number in range(COUNT)]
    running.raise_alerts(alerts[: COUNT // 2])
    running.wait_until(lambda: len(running.receiver.requests) >= 3)
    running.supervisor.kill("notify")
    running.raise_alerts(alerts[COUNT // 2 :])
    expected = {alert.alert_id for alert in alerts}
    running.wait_until(lambda: set(running.receiver.ids) >= expected)
    (worker,) = conditions(running.settings.data_dir)
    assert (worker.stage, worker.state, worker.pid) == ("notify", "works", running.supervisor.pid("notify"))
    assert set(running.receiver.ids) == expected
    running.wait_until(lambda: lags(running.settings, consumer_groups(["desk"]))[-1].messages == 0)
    delivered = Counter(line.alert_id for line in running.record() if line.outcome == "delivered")
    assert set(delivered) == expected
    running.wait_until(lambda: len(running.dead.requests) > 0)
    assert lags(running.settings, consumer_groups(["dead"]))[-1].messages > 0


def test_nothing_that_was_said_and_no_secret_is_in_its_log(running: Running) -> None:
    log = running.log()
    assert "notify desk: alert" in log
    assert [secret for secret in (SECRET, QUOTE[:6], "华东一组", "/hook") if secret in log] == []
