"""Messages that were refused: a broker, ClickHouse and a register of their own, and the stages of a pipeline in this
process."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

from clickhouse_connect.driver.client import Client
from sqlalchemy import insert

from schemas.errors import InvalidMessageError
from schemas.messages.dead_letter import dead_letter_for
from schemas.messages.records import ConsumerRecord, ProducerRecord
from schemas.messages.topics import CALLS_DEAD_LETTERS, CALLS_TRANSCRIBED, TOPICS
from schemas.messages.transcript import Transcript
from streams.adapters.clickhouse.connection import connect
from streams.adapters.clickhouse.history import ClickHouseHistory
from streams.adapters.clickhouse.sink import ClickHouseSink
from streams.adapters.kafka.client import BatchConsumer, Publisher, apply_topics, lags
from streams.adapters.object_store.from_settings import object_store_from
from streams.adapters.register.migrate import migrate_register
from streams.adapters.register.register import Register
from streams.adapters.register.tables import tombstones
from streams.ports import SystemClock
from streams.settings import Settings, load_settings
from streams.stages.judge import judge_stage
from streams.stages.store import Store
from streams.topology import groups_of
from streams.wiring import buried_calls, prepare_keys
from tests.support.brokers import running_broker
from tests.support.shipped_rules import shipped_judge
from tests.support.stored_calls import T0, Call

LONG_ENOUGH_S = 1_200
"""For ten thousand messages on a busy machine."""

Work = Callable[[Sequence[ConsumerRecord]], Sequence[ProducerRecord]]

SAID = (
    (("agent", "你是不是脑子有病"), ("customer", "我要投诉")),
    (("agent", "有本事你去告啊"), ("customer", "第三次打")),
    (("agent", "您好，请问有什么可以帮您"), ("customer", "我想查一下物流")),
)
"""Calls with an insult, with a provocation, and with neither."""


def transcript(number: int, *, tenant: str = "acme", call_id: str = "") -> Transcript:
    """Of a call of its own, one of `SAID` after the other."""
    call = Call(
        call_id or f"c{number}",
        SAID[number % len(SAID)],  # type: ignore[arg-type] # roles are words of the schema
        tenant=tenant,
        ended_at=T0 + timedelta(seconds=number),
    )
    whole = call.transcript()
    sure = tuple(each.model_copy(update={"confidence": 0.95}) for each in whole.segments)
    return whole.model_copy(update={"language": "zh", "segments": sure})


def transcripts(count: int, **told: Any) -> list[ProducerRecord]:
    """As many messages of `calls.transcribed.v1`."""
    return [CALLS_TRANSCRIBED.record(transcript(number, **told)) for number in range(count)]


def refusing(step: str, error: InvalidMessageError, now: datetime | None = None) -> Work:
    """A stage of yesterday that refuses whatever comes."""

    def work(records: Sequence[ConsumerRecord]) -> list[ProducerRecord]:
        at = now or SystemClock().now()
        letters = []
        for record in records:
            message = None
            with suppress(InvalidMessageError, KeyError):
                message = {topic.name: topic for topic in TOPICS}[record.topic].read(record)
            letters.append(CALLS_DEAD_LETTERS.record(dead_letter_for(step, record, message, error, at)))
        return letters

    return work


@dataclass
class RefusedHouse:
    """`judge` and `store` run when a test says so, each until it has read everything."""

    settings: Settings
    published: int = 0
    _consumers: dict[str, BatchConsumer] = field(default_factory=dict)

    @cached_property
    def client(self) -> Client:
        return connect(self.settings.clickhouse_url.get_secret_value())

    @cached_property
    def publisher(self) -> Publisher:
        return Publisher(self.settings)

    @cached_property
    def judge(self) -> Work:
        tombstones = buried_calls(self.settings)
        history = ClickHouseHistory.of(self.settings)
        return judge_stage(shipped_judge, SystemClock(), history, tombstones=tombstones).work

    @cached_property
    def store(self) -> Store:
        return Store(ClickHouseSink(self.client), SystemClock(), tombstones=buried_calls(self.settings))

    def publish(self, records: Sequence[ProducerRecord]) -> None:
        self.publisher.publish(records)

    def run(self, group: str, work: Work, batch: int = 500) -> list[ProducerRecord]:
        """Everything that the group has not read; what was written."""
        stages = ("judge", "store", "listen", "receive")
        topics = {name: topics for stage in stages for name, topics in groups_of(stage).items()}[group]
        if group not in self._consumers:
            self._consumers[group] = BatchConsumer(self.settings, group, topics)
        consumer = self._consumers[group]
        written: list[ProducerRecord] = []
        until_s = time.monotonic() + LONG_ENOUGH_S
        while self.lag(group, topics) and time.monotonic() < until_s:
            records = consumer.poll(batch, 0.3)
            if records:
                outputs = work(records)
                if outputs:
                    self.publisher.publish(outputs)
                consumer.commit(records)
                written += outputs
        assert not self.lag(group, topics), f"{group} has not read everything in time"
        return written

    def lag(self, group: str, topics: Sequence[str]) -> int:
        return sum(each.messages for each in lags(self.settings, {group: topics}))

    def refuse(self, records: Sequence[ProducerRecord], error: InvalidMessageError | None = None) -> None:
        """They are in their topic, and `judge` of yesterday has refused each of them."""
        self.publish(records)
        self.refuse_again(error)

    def refuse_of(self, step: str, records: Sequence[ProducerRecord]) -> None:
        """As `refuse`, by another stage."""
        self.publish(records)
        self.run(step, refusing(step, InvalidMessageError(["call: extra_forbidden"])))
        self.run("store", self.store.work)

    def objects(self) -> set[Path]:
        """Every file of the object store."""
        return {path for path in (self.settings.data_dir / "objects").rglob("*") if path.is_file()}

    def refuse_again(self, error: InvalidMessageError | None = None) -> None:
        """`judge` of yesterday reads on."""
        self.run("judge", refusing("judge", error or InvalidMessageError(["call.hold_ms: extra_forbidden"])))
        self.run("store", self.store.work)

    def work_off(self) -> None:
        """`judge` and `store` of today read on."""
        self.run("judge", self.judge)
        self.run("store", self.store.work)

    def rows(self, sql: str, **parameters: object) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in self.client.query(sql, parameters=parameters).result_rows]

    def states(self, tenant: str) -> dict[str, int]:
        sql = "SELECT state, count() FROM dead_letters WHERE tenant_id = {tenant:String} GROUP BY state"
        return dict(self.rows(sql, tenant=tenant))

    def outcomes(self, tenant: str) -> dict[str, int]:
        sql = "SELECT outcome, count() FROM outcomes WHERE tenant_id = {tenant:String} GROUP BY outcome"
        return dict(self.rows(sql, tenant=tenant))

    def judged(self, tenant: str) -> Mapping[str, int]:
        """What a dry run foretells, as it is stored now."""
        calls = "SELECT count(), sum(length(findings.finding_id)) FROM call_versions FINAL WHERE tenant_id = {t:String}"
        alerts = "SELECT uniqExact(alert_id) FROM alert_versions WHERE tenant_id = {t:String}"
        return {
            **dict(zip(("calls_changed", "findings_more"), self.rows(calls, t=tenant)[0], strict=True)),
            "alerts": self.rows(alerts, t=tenant)[0][0],
        }

    def destroy(self, tenant: str, call_id: str) -> None:
        """The call has a tombstone."""
        register = Register.of(self.settings)
        now = SystemClock().now()
        told = {"actor": "ada", "role": "administrator", "policy_version": "1", "days": "", "written_at": now}
        with register.transaction() as tx:
            row = {"tenant_id": tenant, "call_id": call_id, "state": "purged", "reason": "request", **told}
            tx.execute(insert(tombstones).values(**row))
        register.close()

    def close(self) -> None:
        for consumer in self._consumers.values():
            consumer.close()


@contextmanager
def refused_house(kind: str, folder: Path, clickhouse_url: str) -> Iterator[RefusedHouse]:
    """On a broker of that kind; the database has every table and view."""
    with running_broker(kind, folder) as broker:
        mine = {
            "CALLSTREAM_CLICKHOUSE_URL": clickhouse_url,
            "CALLSTREAM_STORE_KIND": "folder",
            "CALLSTREAM_SPEECH_ENGINE": "stand-in",
            "CALLSTREAM_STAND_IN_EAR": "true",
            "CALLSTREAM_STAND_IN_CALL_S": "0",
            "CALLSTREAM_EMOTION": "false",
        }
        settings = load_settings({**broker.environment(), **mine}).settings
        register = Register.of(settings)
        migrate_register(register)
        register.close()
        prepare_keys(settings)
        object_store_from(settings).apply()
        apply_topics(settings)
        house = RefusedHouse(settings)
        try:
            yield house
        finally:
            house.close()
