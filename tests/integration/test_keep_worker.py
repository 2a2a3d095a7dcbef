"""The `keep` worker as a supervised process, with the settings that its stage is given and no others: what ended five
years ago is destroyed, key, recording, rows and all, and what a legal hold keeps stays."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from pyarrow import parquet

from processors.custody.receipts import verified_receipt
from processors.listening.audio import probe
from schemas.config.retention import RETENTION_FILE
from streams.adapters.clickhouse.connection import connect
from streams.adapters.clickhouse.migrate import migrate
from streams.adapters.kafka.client import Publisher, apply_topics
from streams.adapters.object_store.archive import ArchivedResult
from streams.adapters.object_store.from_settings import object_store_from, whole_store_from
from streams.adapters.register.audit_log import RegisterAuditLog
from streams.adapters.register.holds import RegisterHolds
from streams.adapters.register.migrate import migrate_register
from streams.adapters.register.register import Register
from streams.adapters.register.tombstones import RegisterPurges
from streams.embedded.stack import worker_spec
from streams.embedded.supervisor import Supervisor
from streams.ports import SystemClock
from streams.purging import keeps_calls, receipts_key_file
from streams.runtime.receipt_keys import receipt_key
from streams.settings import Settings, variable_of
from streams.stages.take_in import take_in_file, take_in_from
from streams.wiring import prepare_keys, sealed_store_from
from tests.processors.recordings import tone, wav
from tests.support.brokers import running_broker
from tests.support.clickhouse_engine import RunningEngine
from tests.support.old_parts import remove_old_parts_at_once
from tests.support.processes import eventually
from tests.support.stored_calls import Call, Store

pytestmark = pytest.mark.embedded

SOUND = wav([tone(440, 6_000, 8_000), tone(880, 6_000, 8_000)], 8_000)
FIVE_YEARS = timedelta(days=5 * 366)


@dataclass
class World:
    """All that `keep` asks, and the worker beside it."""

    settings: Settings
    register: Register
    store: Store
    supervisor: Supervisor

    def take(self, call_id: str, ago: timedelta, folder: Path, **facts: object) -> None:
        """Taken in, announced, and its rows stored."""
        publisher = Publisher(self.settings)
        ended_at = SystemClock().now() - ago
        path = folder / f"{call_id}.wav"
        path.write_bytes(SOUND)
        told = {"tenant_id": "acme", "call_id": call_id, "ended_at": ended_at.isoformat(), **facts}
        take_in_file(take_in_from(self.settings, publisher, probe), path, told, 1_000_000, source="publish")
        publisher.close()
        self.store.write(Call(call_id, (("customer", "我要退款"),), ended_at=ended_at))

    def start(self) -> None:
        self.supervisor.start(worker_spec("keep", 0, self.settings, restart=True))

    def log(self) -> str:
        return self.supervisor.log_file("keep").read_text()

    def objects(self) -> list[str]:
        return [entry.key for entry in object_store_from(self.settings).entries("recordings/")]

    def texts(self) -> list[str]:
        found = self.store.client.query("SELECT call_id FROM transcripts ORDER BY call_id").result_rows
        return [call_id for (call_id,) in found]


@pytest.fixture
def world(engine: RunningEngine, tmp_path: Path) -> Iterator[World]:
    url = engine.url(f"keeping_{uuid4().hex}")
    migrate(url)
    client = connect(url)
    remove_old_parts_at_once(client)
    with running_broker("tansu", tmp_path) as broker, Supervisor(tmp_path / "logs") as supervisor:
        own = {"clickhouse_url": url, "data_dir": tmp_path / "data", "keep_every_s": 1, "retry_max_wait_s": 1}
        settings = Settings.model_validate(broker.model_dump(exclude_unset=True) | own)
        settings.data_dir.mkdir()
        apply_topics(settings)
        object_store_from(settings).apply()
        register = Register.of(settings)
        migrate_register(register)
        prepare_keys(settings)
        yield World(settings, register, Store(url, client), supervisor)
        register.close()
    client.close()


def test_what_ended_five_years_ago_goes_and_what_is_held_stays(world: World, tmp_path: Path) -> None:
    world.take("old", FIVE_YEARS, tmp_path)
    world.take("held", FIVE_YEARS, tmp_path, legal_hold=True)
    world.take("young", timedelta(days=3), tmp_path)
    audit = RegisterAuditLog(world.register, SystemClock())
    keeps = keeps_calls(world.register, SystemClock())
    purges = RegisterPurges(world.register, SystemClock(), keeps.holds, keeps.floors, audit)

    def is_receipted() -> bool:
        world.supervisor.check()
        return any(row.receipt is not None for row in purges.all("acme", 10))

    world.start()

    assert eventually(is_receipted, 90), world.log()
    (row,) = purges.all("acme", 10)
    assert set(row.calls) == {"old"}
    assert (row.order.actor, row.order.role, row.order.reason) == ("callstream", "keeper", "retention_over")
    assert row.receipt is not None
    receipt = verified_receipt(row.receipt, [receipt_key(receipts_key_file(world.settings)).public_key()])
    assert set(receipt["read_back"].values()) == {0}
    assert sorted(key.rsplit("/", 1)[1].partition(".")[0] for key in world.objects()) == ["held", "young"]
    assert world.texts() == ["held", "young"]
    held = RegisterHolds(world.register, SystemClock()).among([("acme", "held"), ("acme", "old")])
    assert set(held) == {("acme", "held")}


def test_what_is_due_for_the_archive_lies_there_as_opus_and_parquet_in_a_store_of_its_own(
    world: World, tmp_path: Path
) -> None:
    shipped = RETENTION_FILE.read_text(encoding="utf-8")
    class_of_all = "    days: 180     # R17"
    assert class_of_all in shipped
    retention = tmp_path / "retention.yaml"
    archives = "    days: 180\n    at_end: archive\n    archive_days: 3650  #"
    retention.write_text(shipped.replace(class_of_all, archives, 1), encoding="utf-8")
    world.settings = world.settings.model_copy(
        update={"retention_file": retention, "archive_to": str(tmp_path / "far")}
    )
    whole_store_from(world.settings).apply()
    world.take("old", FIVE_YEARS, tmp_path)
    ended_on = (SystemClock().now() - FIVE_YEARS).date()

    def archived() -> list[str]:
        world.supervisor.check()
        return [entry.key.rpartition("/")[2] for entry in whole_store_from(world.settings).entries("archive/")]

    world.start()

    assert eventually(lambda: len(archived()) == 2 and not world.objects(), 90), world.log()
    assert sorted(name.rpartition(".")[2] for name in archived()) == ["opus", "parquet"]
    assert list(object_store_from(world.settings).entries("archive/")) == [], "none of it lies at hand"
    sealed = sealed_store_from(world.settings, whole_store_from(world.settings), "transcript", register=world.register)
    place = ArchivedResult("acme", "old", ended_on)
    (row,) = parquet.read_table(io.BytesIO(sealed.read(place.key, place.identity, ended_on))).to_pylist()
    assert [each["text"] for each in row["segments"]] == ["我要退款"]
    for file in (path for path in (tmp_path / "far").rglob("*") if path.is_file()):
        assert "我要退款".encode() not in file.read_bytes()


def test_a_supervised_keep_is_given_all_that_purging_asks(tmp_path: Path) -> None:
    url = "http://keeper:secret@127.0.0.1:1/callstream"
    set_by_hand = {
        "clickhouse_keeper_url": url,
        "clickhouse_cluster": "replicated",
        "receipts_key_file": tmp_path / "receipts.pem",
        "first_contact_days": 5,
        "kafka_masked_days": 3,
        "retention_file": tmp_path / "retention.yaml",
        "keep_every_s": 7,
        "archive_to": str(tmp_path / "far"),
        "archive_s3_endpoint": "far.example:443",
    }
    settings = Settings.model_validate({"data_dir": tmp_path, **set_by_hand})

    env = worker_spec("keep", 0, settings, restart=True).env

    assert {name for name in set_by_hand if variable_of(name) not in env} == set()
    assert env[variable_of("clickhouse_keeper_url")] == url
