"""From the last release to this one while calls go through: workers of both side by side, stage by stage.

Everything begins with the last release: its tables, its topics, its workers. Then, while transcripts and recordings
keep coming, tables are migrated and one stage after the other changes over: the new worker joins, both work, the old
one is asked to stop. In one order of the stages every pair of neighbours meets as new before old, in the other as old
before new. What becomes of a call may not depend on who handled it, and no alert may be lost or told twice.
"""

import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from clickhouse_connect.driver.exceptions import ClickHouseError
from pydantic import SecretStr

from schemas.clickhouse.migrations import Migration, load_migrations
from schemas.errors import RetryableError
from schemas.messages.call_ended import CallEnded
from schemas.messages.records import ProducerRecord
from schemas.messages.topics import CALLS_ENDED, TRANSCRIPTS_RECEIVED, message_key
from streams.adapters.clickhouse.connection import connect
from streams.adapters.clickhouse.errors import ClickHouseSchemaError
from streams.adapters.clickhouse.migrate import migrate, missing_migrations, views_of
from streams.adapters.decoder.process import DecoderProcess
from streams.adapters.kafka.client import Publisher, apply_topics, lags
from streams.adapters.object_store.from_settings import object_store_from
from streams.adapters.register.migrate import migrate_register
from streams.adapters.register.register import Register
from streams.demo.examples import example_recordings
from streams.embedded.stack import worker_spec
from streams.embedded.supervisor import ChildSpec, Supervisor
from streams.settings import CONFIG_VARIABLE, Settings, load_settings, setting_fields, variable_of
from streams.stages.capture import read_facts
from streams.stages.take_in import take_in_file, take_in_from
from streams.topology import consumer_groups
from streams.wiring import prepare_keys, received_store_from
from tests.processors.receiving.received import ENDED_AT, Line, TimedLine, received
from tests.support.alerts import SECRET
from tests.support.brokers import running_broker
from tests.support.clickhouse_engine import running_engine
from tests.support.last_release import unpack_last_release
from tests.support.receiver import Receiver, running_receiver

pytestmark = pytest.mark.kafka

TENANT = "acme"
STAGES = ("listen", "receive", "judge", "store", "notify")
"""On the way from a call to whoever hears of it."""
BESIDE = ("relay", "watch", "rollup", "audit", "sweep")
"""Those that look after everything; each is one process at a time."""
WITHIN_S = 120

KINDS: Mapping[str, tuple[Line, ...]] = {
    "harmless": (
        ("agent", "您好，为保障服务质量，本次通话将录音。请问有什么可以帮您？"),
        ("customer", "我想改一下收货地址。"),
        ("agent", "好的，已经帮您改好了，感谢来电，再见。"),
    ),
    "promises": (
        ("agent", "您好，我是理财顾问，工号三零一五。"),
        ("customer", "这个会亏吗？"),
        ("agent", "这款产品保本保息，绝对没有风险，您放心买。"),
    ),
    "threatens": (
        ("agent", "您好，请问有什么可以帮您？"),
        ("customer", "你们再不退款，我就打12315投诉你们！"),
        ("agent", "您别生气，我马上为您登记。"),
    ),
}


def timed(lines: Sequence[Line]) -> list[TimedLine]:
    """With times, without which 0.12 said nothing of scripts that must come early or late."""
    return [(role, text, 5_000 * number, 5_000 * number + 4_000) for number, (role, text) in enumerate(lines)]


@dataclass
class House:
    """Broker, engine and workers of two releases on one folder."""

    settings: Settings
    old: Path
    supervisor: Supervisor
    receiver: Receiver
    sent: dict[str, str] = field(default_factory=dict)
    """Call id → its kind."""
    running: dict[str, str] = field(default_factory=dict)
    """Stage → name of the child that is to work."""

    def config_file(self) -> Path:
        """What differs from the defaults, for a release that does not know all settings of this one."""
        path = self.settings.data_dir / "old.toml"
        defaults = {name: one.get_default(call_default_factory=True) for name, one in setting_fields().items()}
        lines = []
        for name, value in self.settings.values().items():
            if value != defaults[name] or name == "data_dir":
                plain = value.get_secret_value() if isinstance(value, SecretStr) else value
                lines.append(f"{name} = {json.dumps(str(plain) if isinstance(plain, Path) else plain)}")
        path.touch(0o600)
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    def old_environment(self) -> dict[str, str]:
        return {CONFIG_VARIABLE: str(self.config_file()), "PYTHONPATH": str(self.old)}

    def run_old(self, *arguments: str) -> None:
        """A command of the last release, to its end."""
        name = f"old-{arguments[0]}"
        done = self.settings.data_dir / f"{name}.done"
        script = f"{sys.executable} -P -m streams.cli.main {' '.join(arguments)} && touch {done} && exec sleep 600"
        spec = ChildSpec(name, ("sh", "-c", script), done.exists, 120, 1, restart=False, env=self.old_environment())
        self.supervisor.start(spec)
        self.supervisor.stop_child(name)

    def start(self, stage: str, release: str) -> None:
        """A worker of `old` or `new`, beside whatever runs of that stage."""
        spec = worker_spec(stage, 0, self.settings, restart=False)
        name = f"{stage}-{release}"
        if release == "old":
            spec = replace(spec, env=self.old_environment())
        # It is asked to stop while others go on, and must have the time that a person gives it.
        self.supervisor.start(replace(spec, name=name, stops_with_neighbours=True, stop_grace_s=30))
        self.running.setdefault(stage, name)
        self.wait_until(lambda: f"{stage} is ready" in self.log(name), f"{name} to be ready")

    def change_over(self, stage: str, *, side_by_side: bool) -> None:
        """The new worker joins; both work for some calls; the old one is asked to stop."""
        former = self.running.pop(stage)
        if side_by_side:
            self.start(stage, "new")
            self.send_some(1)
            self.supervisor.stop_child(former)
        else:
            self.supervisor.stop_child(former)
            self.start(stage, "new")
        log = self.log(former)
        assert not {"CRITICAL", "ERROR"} & set(log.split()), log[-2000:]

    def log(self, name: str) -> str:
        return self.supervisor.log_file(name).read_text(encoding="utf-8", errors="replace")

    def send_some(self, times: int) -> None:
        """One transcript of each kind, and a message that nobody can read, so many times."""
        originals = received_store_from(self.settings, object_store_from(self.settings))
        publisher = Publisher(self.settings)
        for _ in range(times):
            for kind, lines in KINDS.items():
                call_id = f"{kind}-{len(self.sent)}"
                facts = {
                    "tenant_id": TENANT,
                    "call_id": call_id,
                    "started_at": ENDED_AT - timedelta(minutes=1),
                    "ended_at": ENDED_AT,
                }
                publisher.publish([TRANSCRIPTS_RECEIVED.record(originals.put(received(*timed(lines), call=facts)))])
                self.sent[call_id] = kind
            call_id = f"broken-{len(self.sent)}"
            topic = (CALLS_ENDED, TRANSCRIPTS_RECEIVED)[len(self.sent) % 2]
            publisher.publish([ProducerRecord(topic.name, message_key(TENANT, call_id), b"\xff no message")])
            self.sent[call_id] = "broken"
        publisher.close()

    def send_recording(self) -> CallEnded:
        """A recording that is too short to be heard: `listen` decodes it, and says so."""
        publisher = Publisher(self.settings)
        (path,) = (one for one in example_recordings() if one.name.startswith("s08"))
        call_id = f"short-{len(self.sent)}"
        facts = read_facts(path.with_suffix(".json")) | {"tenant_id": TENANT, "call_id": call_id}
        with DecoderProcess() as decoder:
            take_in = take_in_from(self.settings, publisher, decoder.probe)
            call = take_in_file(take_in, path, facts, self.settings.max_recording_bytes, source="publish").call
        publisher.close()
        self.sent[call_id] = "short"
        return call

    def rows(self, sql: str) -> list[dict[str, Any]]:
        client = connect(self.settings.clickhouse_url.get_secret_value())
        try:
            return list(client.query(sql).named_results())
        finally:
            client.close()

    def outcomes(self) -> dict[str, str]:
        return {row["call_id"]: row["outcome"] for row in self.rows("SELECT call_id, outcome FROM outcomes")}

    def wait_until(self, comes_true: Callable[[], bool], awaited: str, so_far: Callable[[], object] = str) -> None:
        deadline_s = time.monotonic() + WITHIN_S
        while True:
            self.supervisor.check()
            try:
                if comes_true():
                    return
            except (RetryableError, ClickHouseError, ClickHouseSchemaError):
                pass
            if time.monotonic() > deadline_s:
                tails = "\n".join(f"--- {name}\n{self.log(name)[-1500:]}" for name in self.running.values())
                raise AssertionError(f"waited {WITHIN_S} s for {awaited}; {so_far()}\n{tails}")
            time.sleep(0.3)

    def wait_until_all_is_done(self) -> None:
        expected = {"broken": "refused", "short": "too_short"}
        wanted = {call_id: expected.get(kind, "analyzed") for call_id, kind in self.sent.items()}
        self.wait_until(
            lambda: self.outcomes() == wanted,
            "every call to end as it should",
            lambda: sorted(set(self.outcomes().items()) ^ set(wanted.items())),
        )
        groups = consumer_groups(("desk",), self.settings)
        mine = {name: topics for name, topics in groups.items() if name.partition(".")[0] in STAGES}
        self.wait_until(
            lambda: all(lag.messages == 0 for lag in lags(self.settings, mine)),
            "nothing to be left over",
            lambda: lags(self.settings, mine),
        )


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """The stages of the way, as the last release has them, at work."""
    old = tmp_path / "old"
    old.mkdir()
    unpack_last_release(old)
    with ExitStack() as running:
        reached = running.enter_context(running_broker("kafka", tmp_path / "broker"))
        engine = running.enter_context(running_engine(tmp_path / "clickhouse"))
        receiver = running.enter_context(running_receiver())
        webhook = {"url": receiver.url(), "secrets": [SECRET], "allow_private": True}
        file = tmp_path / "subscriptions.yaml"
        desk = {"name": "desk", "tenant": "*", "channel": {"webhook": webhook}}
        file.write_text(yaml.safe_dump({"subscriptions": [desk]}), encoding="utf-8")
        retention = tmp_path / "retention.yaml"
        retention.write_text(
            "version: 1\nowner: tests\nclasses:\n  - {id: general, name: general, days: 18250}\n", encoding="utf-8"
        )
        own = {
            "data_dir": tmp_path / "data",
            "retry_max_wait_s": 2,
            "subscriptions_file": file,
            "retention_file": retention,
            "customer_key_secret": "0123456789abcdef" * 2,
            "clickhouse_url": engine.url(),
            "kafka_replication_factor": 1,
        }
        base = load_settings({variable_of(name): str(value) for name, value in own.items()}).settings
        kafka = {name: value for name, value in reached.values().items() if name.startswith("kafka_")}
        settings = base.model_copy(update={**kafka, "kafka_replication_factor": 1})
        settings.data_dir.mkdir(mode=0o700)
        supervisor = running.enter_context(Supervisor(settings.data_dir / "logs"))
        made = House(settings, old, supervisor, receiver)
        made.run_old("topics", "apply")
        made.run_old("migrate")
        made.run_old("store", "apply")
        for stage in STAGES:
            made.start(stage, "old")
        yield made


@pytest.mark.parametrize(
    ("backwards", "beside"),
    [
        pytest.param(False, (), id="forwards"),
        pytest.param(True, BESIDE, marks=pytest.mark.long, id="backwards"),
    ],
)
def test_every_stage_changes_over_under_load_and_nothing_is_lost_doubled_or_judged_otherwise(
    house: House, *, backwards: bool, beside: Sequence[str]
) -> None:
    for stage in beside:
        house.start(stage, "old")
    house.send_some(1)
    house.send_recording()

    # A migration that fails leaves the last release at work.
    url = house.settings.clickhouse_url.get_secret_value()
    broken = Migration(
        len(load_migrations()) + 1, "broken", "CREATE TABLE IF NOT EXISTS half (a Int8) ENGINE = Nothing"
    )
    with pytest.raises(Exception, match="broken"):
        migrate(url, (*load_migrations(), broken), views={})
    house.send_some(1)
    house.wait_until_all_is_done()

    apply_topics(house.settings)
    register = Register.of(house.settings)
    migrate_register(register)
    register.close()
    prepare_keys(house.settings)
    migrate(url, views=views_of(house.settings))
    assert missing_migrations(url) == []
    house.send_some(1)
    house.send_recording()

    for stage in reversed(STAGES) if backwards else STAGES:
        house.send_some(1)
        house.change_over(stage, side_by_side=True)
        house.send_some(1)
        if stage == "listen":
            house.send_recording()
        house.wait_until_all_is_done()
    for stage in beside:
        house.change_over(stage, side_by_side=False)
    house.send_some(1)
    house.send_recording()
    house.wait_until_all_is_done()

    _same_whoever_judged(house)
    _each_alert_once(house)


def _same_whoever_judged(house: House) -> None:
    judged: dict[str, set[str]] = {kind: set() for kind in KINDS}
    for row in house.rows(
        "SELECT call_id, score, risk_level, "
        "arraySort(groupArray((f.rule_id, f.start_ms, f.severity))) AS found "
        "FROM whole_calls AS c LEFT JOIN findings AS f USING (tenant_id, call_id) GROUP BY ALL"
    ):
        kind = house.sent[row["call_id"]]
        if kind in judged:
            judged[kind].add(json.dumps([row["score"], row["risk_level"], row["found"]], default=str))
    assert {kind: len(ways) for kind, ways in judged.items()} == dict.fromkeys(KINDS, 1), judged
    (letters,) = house.rows("SELECT count() AS n, uniqExact(call_id) AS calls FROM dead_letters")
    expected = Counter(house.sent.values())["broken"]
    assert (letters["n"], letters["calls"]) == (expected, expected)


def _each_alert_once(house: House) -> None:
    alerts = house.rows("SELECT alert_id, call_id, rule_id FROM alerts")
    told = [json.loads(request.body)["data"]["alert_id"] for request in house.receiver.requests]
    assert len({row["alert_id"] for row in alerts}) == len(alerts)
    per_kind = {kind: Counter(row["rule_id"] for row in alerts if house.sent[row["call_id"]] == kind) for kind in KINDS}
    calls = Counter(house.sent.values())
    assert per_kind["promises"]
    assert not per_kind["harmless"]
    for kind, rules in per_kind.items():
        assert set(rules.values()) <= {calls[kind]}, (kind, rules)
    house.wait_until(
        lambda: (
            {json.loads(one.body)["data"]["alert_id"] for one in house.receiver.requests}
            == {row["alert_id"] for row in alerts}
        ),
        f"every alert to be delivered; {len(told)} were",
    )
    again = Counter(json.loads(request.body)["data"]["alert_id"] for request in house.receiver.requests)
    assert set(again.values()) == {1}, "nobody was killed, so nothing is delivered twice"
