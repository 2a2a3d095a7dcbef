"""A password is changed while workers run: they go on with the new one, without anybody's doing.

That of each system outside: PostgreSQL, Apache Kafka, ClickHouse and an object store of S3.
"""

import json
import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from secrets import token_hex

import pytest
from clickhouse_connect.driver.exceptions import ClickHouseError
from confluent_kafka.admin import AdminClient, ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion
from sqlalchemy import func, select

from schemas.errors import RetryableError
from schemas.messages.custody_changed import CustodyChanged
from schemas.messages.records import ProducerRecord
from schemas.messages.topics import TRANSCRIPTS_RECEIVED
from streams.adapters.clickhouse.connection import connect
from streams.adapters.clickhouse.errors import ClickHouseAccessError
from streams.adapters.clickhouse.migrate import migrate, views_of
from streams.adapters.kafka.client import Publisher, apply_topics, client_config
from streams.adapters.kafka.fetcher import KafkaAccessError
from streams.adapters.object_store.from_settings import object_store_from
from streams.adapters.register.migrate import migrate_register
from streams.adapters.register.register import Register
from streams.adapters.register.tables import outbox
from streams.embedded.clickhouse_engine import WRITER, password_file, password_of
from streams.embedded.ports import LOOPBACK
from streams.embedded.stack import worker_spec
from streams.embedded.supervisor import Supervisor
from streams.ports import StoreAccessError
from streams.settings import Settings, load_settings, variable_of
from streams.wiring import prepare_keys, received_store_from
from tests.contracts.s3_server import S3Server, ServerUnavailableError
from tests.contracts.versitygw_server import Versitygw, running_versitygw
from tests.processors.receiving.received import ENDED_AT, received
from tests.support.brokers import running_broker
from tests.support.clickhouse_engine import RunningEngine, running_engine
from tests.support.postgresql_server import PostgresqlServer
from tests.support.processes import eventually

AT = datetime(2026, 11, 30, 9, 15, tzinfo=UTC)
LONG_ENOUGH_S = 180


def change(register: Register, number: int) -> None:
    with register.transaction() as tx:
        tx.outbox(
            CustodyChanged.of(
                "intake_announced", tenant_id="acme", call_id=f"c{number}", actor="k", at=AT, count=number
            )
        )


def unsent(register: Register) -> int:
    with register.reading() as tx:
        return int(tx.execute(select(func.count()).where(outbox.c.sent_at.is_(None))).scalar_one())


def start_relay(settings: Settings, secrets: Path, log: Path) -> "subprocess.Popen[bytes]":
    """A worker that has the address of the register from the folder alone."""
    spec = worker_spec("relay", 0, settings, restart=False)
    env = {name: value for name, value in {**os.environ, **spec.env}.items() if name != variable_of("register_url")}
    env[variable_of("secrets_dir")] = str(secrets)
    with log.open("wb") as written:
        return subprocess.Popen(spec.argv, env=env, cwd=spec.cwd, stderr=written)


@pytest.mark.postgresql
@pytest.mark.embedded
def test_a_worker_goes_on_when_the_password_of_the_register_is_changed(
    postgresql: PostgresqlServer, tmp_path: Path
) -> None:
    role, database = f"app_{token_hex(4)}", f"register_{token_hex(6)}"
    with postgresql.connection() as admin:
        admin.run(f"CREATE ROLE {role} LOGIN PASSWORD 'first'")
        admin.run(f"CREATE DATABASE {database} OWNER {role}")

    def url(password: str) -> str:
        return f"postgresql+pg8000://{role}:{password}@{LOOPBACK}:{postgresql.port}/{database}"

    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "register_url").write_text(url("first") + "\n")
    log = tmp_path / "relay.log"
    # Kafka and PostgreSQL are all that it asks: beside a whole stack it had to share the processor with ClickHouse.
    with running_broker("tansu", tmp_path / "broker") as broker:
        own = {"data_dir": tmp_path / "data", "register_url": url("first"), "retry_max_wait_s": 2}
        environment = broker.environment() | {variable_of(name): str(value) for name, value in own.items()}
        settings = load_settings(environment).settings
        settings.data_dir.mkdir(mode=0o700)
        apply_topics(settings)
        with closing(Register.of(settings)) as register:
            migrate_register(register)
        relay = start_relay(settings, secrets, log)

        def wait_for(comes_true: Callable[[], bool], awaited: str) -> None:
            """Nobody starts the relay again: where it has ended, nothing is waited for."""

            def so() -> bool:
                assert relay.poll() is None, f"the relay ended with {relay.returncode}\n{log.read_text()}"
                return comes_true()

            assert eventually(so, LONG_ENOUGH_S), f"waited for the relay {awaited}\n{log.read_text()}"

        try:
            with closing(Register(url("first"))) as register:
                change(register, 1)
                wait_for(lambda: unsent(register) == 0, "to publish")

            # In the file first: it is looked at every five seconds, and between the two no connection is refused.
            (secrets / ".new").write_text(url("second"))
            (secrets / ".new").rename(secrets / "register_url")
            with postgresql.connection() as admin:
                admin.run(f"ALTER ROLE {role} PASSWORD 'second'")
            wait_for(lambda: "have changed: register_url" in log.read_text(), "to hear of it")
            with postgresql.connection() as admin:
                admin.run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{role}'")  # noqa: S608
            with closing(Register(url("second"))) as register:
                change(register, 2)
                wait_for(lambda: unsent(register) == 0, "to publish with the new password")
            assert relay.poll() is None, "no supervisor has seen an end"
        finally:
            relay.kill()
            relay.wait()
    assert "first" not in log.read_text()


STAGES = ("receive", "judge", "store")
BUCKET = "callstream"
USER = "workers"
"""Who logs in to Kafka."""


@dataclass
class House:
    """Three workers on the way of a call, whose passwords stand in a folder, and the servers that they ask."""

    admin: Settings
    """Of who may do anything in Kafka and in the object store, whatever the workers' passwords are."""
    secrets: Path
    supervisor: Supervisor
    engine: RunningEngine
    s3: Versitygw
    user: S3Server

    def put(self, name: str, text: str) -> None:
        """Exchange a file at once, as whoever distributes secrets does."""
        (self.secrets / f".{name}").write_text(text, encoding="utf-8")
        (self.secrets / f".{name}").replace(self.secrets / name)

    def of_workers(self) -> Settings:
        """As a worker that starts now has them."""
        environment = {
            name: text
            for name, text in self.admin.environment().items()
            if name not in {variable_of(file.name) for file in self.secrets.iterdir()}
        }
        own = {"secrets_dir": self.secrets, "kafka_sasl_username": USER, "s3_access_key": self.user.access_key}
        return load_settings(environment | {variable_of(name): str(value) for name, value in own.items()}).settings

    def log(self, stage: str) -> str:
        return (self.admin.data_dir / "logs" / f"{stage}.log").read_text(encoding="utf-8")

    def wait_until(self, comes_true: Callable[[], bool], awaited: str) -> None:
        """Fails where a worker has ended, because nobody starts it again."""

        def so() -> bool:
            self.supervisor.check()
            try:
                return comes_true()
            except (RetryableError, ClickHouseError):
                return False

        assert eventually(so, LONG_ENOUGH_S), "\n---\n".join(
            [f"waited for {awaited}", *(self.log(stage)[-2000:] for stage in STAGES)]
        )

    def analyse(self, call_id: str) -> None:
        """A call goes the whole way, from Kafka and the object store to ClickHouse."""
        facts = {"call_id": call_id, "started_at": ENDED_AT - timedelta(minutes=1), "ended_at": ENDED_AT}
        originals = received_store_from(self.admin, object_store_from(self.admin))
        publisher = Publisher(self.admin)
        publisher.publish([TRANSCRIPTS_RECEIVED.record(originals.put(received(call=facts)))])
        publisher.close()
        self.wait_until(lambda: self.outcomes().get(call_id) == "analyzed", f"{call_id} to be analysed")

    def outcomes(self) -> dict[str, str]:
        with closing(connect(self.engine.url())) as client:
            rows = client.query("SELECT call_id, outcome FROM outcomes").result_rows
        return {str(call_id): str(outcome) for call_id, outcome in rows}

    def change(self, name: str, text: str, on_server: Callable[[], None], used_by: Sequence[str]) -> None:
        """In the file and then on the server; once everybody whom it concerns has begun anew, a call goes through."""
        begun = {stage: self.log(stage).count(f"{stage} is ready") for stage in STAGES}
        self.put(name, text)
        on_server()

        def have_begun_anew() -> bool:
            return all(self.log(stage).count(f"{stage} is ready") > begun[stage] for stage in used_by)

        self.wait_until(have_begun_anew, f"{used_by} to begin anew with another {name}")
        self.analyse(f"after-{name}")

    def set_kafka_password(self, password: str) -> None:
        credential = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, 4096)
        change = UserScramCredentialUpsertion(USER, credential, password.encode())
        admin = AdminClient(client_config(self.admin))
        admin.alter_user_scram_credentials([change])[USER].result(60)

    def set_clickhouse_password(self, password: str) -> None:
        """It reads its users when it starts."""
        self.engine.stop()
        password_file(self.engine.data_dir, WRITER).write_text(password, encoding="utf-8")
        self.engine.start()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with ExitStack() as running:
        try:
            s3 = running.enter_context(running_versitygw(tmp_path / "s3", tls=False))
        except ServerUnavailableError as reason:
            pytest.skip(str(reason))
        kafka = running.enter_context(running_broker("kafka", tmp_path / "broker"))
        engine = running.enter_context(running_engine(tmp_path / "clickhouse"))
        own: dict[str, object] = {
            "data_dir": tmp_path / "data",
            "retry_max_wait_s": 2,
            "kafka_replication_factor": 1,
            "customer_key_secret": token_hex(16),
            "clickhouse_url": engine.url(),
            "store_kind": "s3",
            "store_bucket": BUCKET,
            "s3_endpoint": s3.endpoint,
            "s3_secure": "false",
            "s3_access_key": s3.access_key,
            "s3_secret_key": s3.secret_key,
        }
        reached = {name: text for name, text in kafka.environment().items() if "KAFKA" in name}
        admin = load_settings(reached | {variable_of(name): str(value) for name, value in own.items()}).settings
        admin.data_dir.mkdir(mode=0o700)
        secrets = tmp_path / "secrets"
        secrets.mkdir()
        supervisor = running.enter_context(Supervisor(admin.data_dir / "logs"))
        made = House(admin, secrets, supervisor, engine, s3, s3.make_user())
        apply_topics(admin)
        with closing(Register.of(admin)) as register:
            migrate_register(register)
        prepare_keys(admin)
        migrate(engine.url(), views=views_of(admin))
        object_store_from(admin).apply()
        everything = {"Effect": "Allow", "Principal": {"AWS": [made.user.access_key]}, "Action": "s3:*"}
        everything["Resource"] = [f"arn:aws:s3:::{BUCKET}", f"arn:aws:s3:::{BUCKET}/*"]
        policy = json.dumps({"Version": "2012-10-17", "Statement": [everything]})
        s3.client().put_bucket_policy(Bucket=BUCKET, Policy=policy)
        made.put("kafka_sasl_password", "first of Kafka")
        made.set_kafka_password("first of Kafka")
        made.put("clickhouse_url", engine.url())
        made.put("s3_secret_key", made.user.secret_key)
        for stage in STAGES:
            supervisor.start(worker_spec(stage, 0, made.of_workers(), restart=False))
        yield made


@pytest.mark.kafka
@pytest.mark.versitygw
@pytest.mark.long
def test_workers_go_on_when_passwords_of_kafka_clickhouse_and_the_object_store_are_changed(house: House) -> None:
    former = house.of_workers()
    house.analyse("before")

    house.change("kafka_sasl_password", "second", lambda: house.set_kafka_password("second"), STAGES)
    with pytest.raises(KafkaAccessError):
        Publisher(former).publish([ProducerRecord(TRANSCRIPTS_RECEIVED.name, b"acme/c", b"of who knows the first")])

    url = house.engine.url().replace(f":{password_of(house.engine.data_dir, WRITER)}@", ":second@")
    house.change("clickhouse_url", url, lambda: house.set_clickhouse_password("second"), ("judge", "store"))
    with pytest.raises(ClickHouseAccessError):
        connect(former.clickhouse_url.get_secret_value())

    changed = token_hex(16)
    house.change("s3_secret_key", changed, lambda: house.s3.change_secret(house.user, changed), ("receive",))
    with pytest.raises(StoreAccessError):
        object_store_from(former).check()

    house.supervisor.check()
    logs = "".join(house.log(stage) for stage in STAGES)
    assert [secret for secret in ("second", changed) if secret in logs] == []
