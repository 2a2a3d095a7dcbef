"""The two embedded brokers as real child processes: what both must do, and what only Apache Kafka can."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic
from pydantic import SecretStr

from schemas.errors import RetryableError
from schemas.messages.records import ConsumerRecord, ProducerRecord
from schemas.messages.topics import (
    CALLS_ENDED,
    CALLS_TRANSCRIBED,
    RULES_PUBLISHED,
    TOPICS,
    TRANSCRIPTS_RECEIVED,
    AnyTopic,
)
from streams.adapters.kafka.client import (
    BatchConsumer,
    Publisher,
    TopicReader,
    apply_topics,
    client_config,
)
from streams.adapters.kafka.topic_plan import topic_settings
from streams.embedded.apache_kafka import apache_kafka_spec, client_settings, fetch_jars
from streams.embedded.ports import PortTakenError, free_port, kafka_answers, require_free
from streams.embedded.supervisor import Backoff, ChildFailedError, ChildSpec, Supervisor
from streams.embedded.tansu import tansu_spec
from streams.settings import Settings, load_settings
from tests.support.processes import eventually, runs

GIVE_UP_AFTER_S = 60
TWELVE_MB = 12 * 1024 * 1024


@pytest.fixture(scope="module")
def kafka_libs() -> list[Path]:
    """Apache Kafka's jars out of the user's cache; fetched there the first time."""
    settings = load_settings().settings
    return fetch_jars(settings.cache_dir, settings.maven_url, lambda _done, _total, _name: None)


@dataclass(frozen=True)
class Broker:
    """A running broker, with the process that looks after it."""

    name: str
    supervisor: Supervisor
    settings: Settings

    @property
    def pid(self) -> int:
        pid = self.supervisor.pid(self.name)
        assert pid is not None
        return pid


def started(spec: ChildSpec, port: int, folder: Path) -> Broker:
    supervisor = Supervisor(folder / "logs", Backoff(first_s=0.1))
    try:
        supervisor.start(spec)
    except ChildFailedError as failure:
        raise AssertionError(failure.log_file.read_text()) from failure
    tansu: dict[str, object] = {"kafka_bootstrap": f"127.0.0.1:{port}", "kafka_flavour": "tansu"}
    reached = tansu if spec.name == "tansu" else client_settings(spec.cwd, port)
    return Broker(spec.name, supervisor, Settings.model_validate(reached))


def answers(broker: Broker) -> bool:
    """Whether it tells its topics to whom logs in."""
    port = int(broker.settings.kafka_bootstrap.rpartition(":")[2])
    return kafka_answers(port, client_config(broker.settings))


@pytest.fixture(
    scope="class",
    params=[
        pytest.param("tansu", marks=pytest.mark.embedded),
        pytest.param("kafka", marks=pytest.mark.kafka),
    ],
)
def broker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """Either broker with the topics created; nothing of it runs afterwards."""
    # A folder name that neither a properties file nor a list of folders could hold as it is.
    folder = tmp_path_factory.mktemp(request.param) / "客服, 一"
    port = free_port()
    if request.param == "tansu":
        spec = tansu_spec(port)
    else:
        spec = apache_kafka_spec(folder / "kafka", request.getfixturevalue("kafka_libs"), port, free_port())
    broker = started(spec, port, folder)
    pid = broker.pid
    with broker.supervisor:
        apply_topics(broker.settings)
        yield broker
    assert not runs(pid)
    assert not kafka_answers(port)


def of_one_call(count: int) -> list[ProducerRecord]:
    """Records with one key, so that they lie in one partition in this order."""
    key = f"acme/{uuid4().hex}".encode()
    return [ProducerRecord(CALLS_ENDED.name, key, f"event {i}".encode()) for i in range(count)]


def publish(broker: Broker, outputs: list[ProducerRecord]) -> None:
    publisher = Publisher(broker.settings)
    publisher.publish(outputs)
    publisher.close()


def read(consumer: BatchConsumer, wanted: list[ProducerRecord], count: int) -> list[ConsumerRecord]:
    """The first `count` records that come with the key of `wanted`."""
    records: list[ConsumerRecord] = []
    deadline_s = time.monotonic() + GIVE_UP_AFTER_S
    while len(records) < count and time.monotonic() < deadline_s:
        records += [record for record in consumer.poll(1, 0.2) if record.key == wanted[0].key]
    return records


def values(records: list[ConsumerRecord] | list[ProducerRecord]) -> list[bytes | None]:
    return [record.value for record in records]


CONSUMER_THAT_HANGS = """
import sys, time
from streams.adapters.kafka.client import BatchConsumer
from streams.settings import load_settings
group, topic, key, commit_after, read = sys.argv[1:]
settings = load_settings().settings
consumer = BatchConsumer(settings, group, [topic])
seen = 0
while seen < int(read):
    for record in consumer.poll(1, 0.2):
        if record.key == key.encode():
            seen += 1
            if seen == int(commit_after):
                consumer.commit([record])
print("read", flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize(
    ("replicas", "acknowledged_by"),
    [
        pytest.param(1, "1", id="there is only one"),
        pytest.param(2, "1", id="two of two would stop everything when one is away"),
        pytest.param(3, "2", id="one may be away, one may be lost"),
        pytest.param(5, "2", id="more than three"),
    ],
)
def test_a_message_is_acknowledged_when_enough_replicas_have_it(replicas: int, acknowledged_by: str) -> None:
    assert topic_settings(CALLS_ENDED, replicas)["min.insync.replicas"] == acknowledged_by


class TestBothBrokers:
    def test_the_declared_topics_have_their_partitions_and_settings(self, broker: Broker) -> None:
        topics = AdminClient(client_config(broker.settings)).list_topics(timeout=10).topics
        for topic in TOPICS:
            assert len(topics[topic.name].partitions) == topic.partitions, topic.name

    def test_records_come_back_in_the_order_in_which_they_were_acknowledged(self, broker: Broker) -> None:
        published = of_one_call(200)
        publish(broker, published)
        consumer = BatchConsumer(broker.settings, uuid4().hex, [CALLS_ENDED.name])
        assert values(read(consumer, published, 200)) == values(published)
        consumer.close()

    def test_a_group_goes_on_at_its_last_commit_after_its_member_was_killed(self, broker: Broker) -> None:
        published, group = of_one_call(5), uuid4().hex
        publish(broker, published)
        settings, key = broker.settings, published[0].key.decode()
        with subprocess.Popen(
            [sys.executable, "-c", CONSUMER_THAT_HANGS, group, CALLS_ENDED.name, key, "2", "4"],
            env={**os.environ, **settings.environment()},
            stdout=subprocess.PIPE,
            text=True,
        ) as member:
            try:
                assert member.stdout is not None
                assert member.stdout.readline() == "read\n"
            finally:
                member.send_signal(signal.SIGKILL)
        successor = BatchConsumer(settings, group, [CALLS_ENDED.name])
        assert values(read(successor, published, 3)) == values(published[2:])
        successor.close()

    def test_a_message_of_twelve_megabytes_passes_whole(self, broker: Broker) -> None:
        # Random bytes: a broker that counts compressed ones would let any large text pass.
        published = [ProducerRecord(CALLS_TRANSCRIBED.name, uuid4().hex.encode(), os.urandom(TWELVE_MB))]
        publish(broker, published)
        consumer = BatchConsumer(broker.settings, uuid4().hex, [CALLS_TRANSCRIBED.name])
        (record,) = read(consumer, published, 1)
        consumer.close()
        assert record.value == published[0].value

    def test_it_listens_on_loopback_only(self, broker: Broker) -> None:
        assert addresses_listened_on_by(broker.pid) == {"127.0.0.1"}

    def test_its_port_is_not_given_to_a_second_broker(self, broker: Broker) -> None:
        port = int(broker.settings.kafka_bootstrap.rpartition(":")[2])
        with pytest.raises(PortTakenError, match=f"tansu cannot listen on 127.0.0.1:{port}"):
            tansu_spec(port)


def addresses_listened_on_by(pid: int) -> set[str]:
    """IP addresses of the listening TCP sockets of a process."""
    inodes = {str(fd.readlink()) for fd in Path(f"/proc/{pid}/fd").iterdir() if fd.is_symlink()}
    addresses: set[str] = set()
    for family, table in ((socket.AF_INET, "tcp"), (socket.AF_INET6, "tcp6")):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in inodes:
                # Words of 32 bits, each in the byte order of the machine.
                words = bytes.fromhex(fields[1].partition(":")[0])
                packed = b"".join(words[i : i + 4][::-1] for i in range(0, len(words), 4))
                addresses.add(socket.inet_ntop(family, packed).removeprefix("::ffff:"))
    return addresses


@pytest.mark.embedded
def test_tansu_is_not_started_again_because_what_it_held_is_gone(tmp_path: Path) -> None:
    port = free_port()
    broker = started(tansu_spec(port), port, tmp_path)
    with broker.supervisor:
        broker.supervisor.kill("tansu")
        with pytest.raises(ChildFailedError, match="tansu was ended by SIGKILL"):
            broker.supervisor.check()


@pytest.mark.kafka
class TestApacheKafka:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        return tmp_path / "kafka"

    def test_records_and_offsets_survive_its_being_killed_and_being_stopped_and_moved_to_other_ports(
        self, folder: Path, kafka_libs: list[Path]
    ) -> None:
        port, group, published = free_port(), uuid4().hex, of_one_call(6)
        broker = started(apache_kafka_spec(folder, kafka_libs, port, free_port()), port, folder)
        with broker.supervisor:
            apply_topics(broker.settings)
            publish(broker, published)
            consumer = BatchConsumer(broker.settings, group, [CALLS_ENDED.name])
            consumer.commit(read(consumer, published, 2))
            killed = broker.pid
            broker.supervisor.kill("kafka")

            def is_back() -> bool:
                broker.supervisor.check()
                return broker.supervisor.pid("kafka") not in (None, killed) and answers(broker)

            assert eventually(is_back)
            # The consumer that was there before goes on by itself.
            consumer.commit(read(consumer, published, 2))
            consumer.close()
            assert_goes_on_with(broker, group, published[4:])

        other_port = free_port()
        broker = started(apache_kafka_spec(folder, kafka_libs, other_port, free_port()), other_port, folder)
        with broker.supervisor:
            assert_goes_on_with(broker, group, published[4:])
            fresh = BatchConsumer(broker.settings, uuid4().hex, [CALLS_ENDED.name])
            assert values(read(fresh, published, 6)) == values(published)
            fresh.close()

    def test_topics_get_their_settings_also_where_they_have_too_few_or_too_many_partitions(
        self, folder: Path, kafka_libs: list[Path]
    ) -> None:
        port = free_port()
        broker = started(apache_kafka_spec(folder, kafka_libs, port, free_port()), port, folder)
        with broker.supervisor:
            admin = AdminClient(client_config(broker.settings))
            as_before = {"message.timestamp.type": "CreateTime", "retention.ms": "1000"}
            counts: dict[AnyTopic, int] = {
                CALLS_ENDED: 3,
                CALLS_TRANSCRIBED: 20,
                RULES_PUBLISHED: 1,
                TRANSCRIPTS_RECEIVED: 12,
            }
            old = [NewTopic(topic.name, count, 1, config=as_before) for topic, count in counts.items()]
            for created in admin.create_topics(old).values():
                created.result(timeout=30)
            assert apply_topics(broker.settings, list(counts)) == {
                CALLS_ENDED.name: "partitions added, settings changed",
                CALLS_TRANSCRIBED.name: "has more partitions, settings changed",
                RULES_PUBLISHED.name: "settings changed",
                TRANSCRIPTS_RECEIVED.name: "settings changed",
            }

            def settings_of(topic: AnyTopic) -> dict[str, str]:
                resource = ConfigResource(ConfigResource.Type.TOPIC, topic.name)
                now = next(iter(admin.describe_configs([resource]).values())).result(timeout=30)
                return {key: now[key].value for key in topic.config()}

            assert eventually(lambda: all(settings_of(topic) == topic.config() for topic in counts))
            assert set(apply_topics(broker.settings, list(counts)).values()) == {"unchanged", "has more partitions"}

    def test_a_record_bears_the_time_at_which_the_broker_took_it_whatever_its_producer_says(
        self, folder: Path, kafka_libs: list[Path]
    ) -> None:
        port = free_port()
        broker = started(apache_kafka_spec(folder, kafka_libs, port, free_port()), port, folder)
        with broker.supervisor:
            apply_topics(broker.settings, [CALLS_ENDED])
            began = datetime.now(UTC) - timedelta(seconds=5)
            producer = Producer(client_config(broker.settings))
            sixty_days_ago_ms = int((began - timedelta(days=60)).timestamp() * 1000)
            year_10000_ms = 253_402_300_800_000
            told = (sixty_days_ago_ms, 1, year_10000_ms, 2**63 - 1)
            for timestamp_ms in told:
                producer.produce(CALLS_ENDED.name, key=b"acme/c-1", value=b"old", timestamp=timestamp_ms)
            assert producer.flush(60) == 0
            records: list[ConsumerRecord] = []

            def read() -> bool:
                try:  # a topic that was just made may not have its leader on a busy machine
                    with closing(TopicReader(broker.settings, CALLS_ENDED.name)) as reader:
                        records[:] = reader.read_to_end()
                except RetryableError:
                    return False
                return True

            assert eventually(read)
        assert len(records) == len(told)
        assert all(began <= record.written_at <= datetime.now(UTC) + timedelta(seconds=5) for record in records)

    def test_a_start_that_was_killed_while_formatting_is_repeated(self, folder: Path, kafka_libs: list[Path]) -> None:
        code = (
            "import sys\nfrom pathlib import Path\n"
            "from streams.embedded.apache_kafka import apache_kafka_spec\n"
            "from streams.embedded.ports import free_port\n"
            "apache_kafka_spec(Path(sys.argv[1]), [Path(p) for p in sys.argv[2:]], free_port(), free_port())\n"
        )
        with subprocess.Popen([sys.executable, "-c", code, str(folder), *map(str, kafka_libs)]) as first:
            assert eventually((folder / "formatting").exists)
            first.kill()
        assert not (folder / "log").exists()
        port = free_port()
        broker = started(apache_kafka_spec(folder, kafka_libs, port, free_port()), port, folder)
        with broker.supervisor:
            assert answers(broker)

    def test_nobody_gets_in_without_the_password(self, folder: Path, kafka_libs: list[Path]) -> None:
        port, controller_port = free_port(), free_port()
        broker = started(apache_kafka_spec(folder, kafka_libs, port, controller_port), port, folder)
        with broker.supervisor:
            assert answers(broker)
            wrong = broker.settings.model_copy(update={"kafka_sasl_password": SecretStr("a guess")})
            as_broker = client_config(wrong) | {"sasl.mechanism": "PLAIN", "sasl.username": "broker"}
            for login in ({}, client_config(wrong), as_broker, {"security.protocol": "PLAINTEXT"}):
                for each in (port, controller_port):
                    address: dict[str, str | int | float | bool] = {
                        "bootstrap.servers": f"127.0.0.1:{each}",
                        "log_level": 0,
                    }
                    with pytest.raises(KafkaException):
                        AdminClient({**login, **address}).list_topics(timeout=3)
            own = (folder / "server.properties").read_text()
            assert broker.settings.kafka_sasl_password.get_secret_value() not in own
        for file in ("server.properties", "clients.password"):
            assert (folder / file).stat().st_mode & 0o777 == 0o600

    def test_a_folder_from_before_there_were_passwords_is_taken_over(
        self, folder: Path, kafka_libs: list[Path]
    ) -> None:
        apache_kafka_spec(folder, kafka_libs, free_port(), free_port())
        (folder / "clients.password").unlink()
        port = free_port()
        broker = started(apache_kafka_spec(folder, kafka_libs, port, free_port()), port, folder)
        with broker.supervisor:
            assert answers(broker)

    def test_what_people_said_is_readable_by_the_owner_alone(self, folder: Path, kafka_libs: list[Path]) -> None:
        apache_kafka_spec(folder, kafka_libs, free_port(), free_port())
        assert folder.stat().st_mode & 0o777 == 0o700


def assert_goes_on_with(broker: Broker, group: str, rest: list[ProducerRecord]) -> None:
    """The next that the group gets of this call are these records; nothing is committed."""
    consumer = BatchConsumer(broker.settings, group, [CALLS_ENDED.name])
    assert values(read(consumer, rest, len(rest))) == values(rest)
    consumer.close()


@pytest.mark.loopback
class TestAskingWhetherABrokerAnswers:
    def test_nobody_there_is_a_no_without_a_word(self, capfd: pytest.CaptureFixture[str]) -> None:
        assert not kafka_answers(free_port())
        assert capfd.readouterr() == ("", "")

    @pytest.mark.processes
    def test_a_stranger_who_hangs_up_is_a_no_without_a_word(self, capfd: pytest.CaptureFixture[str]) -> None:
        with subprocess.Popen([sys.executable, "-c", STRANGER], stdout=subprocess.PIPE, text=True) as stranger:
            try:
                assert stranger.stdout is not None
                assert not kafka_answers(int(stranger.stdout.readline()))
            finally:
                stranger.kill()
        assert capfd.readouterr() == ("", "")

    def test_a_port_that_somebody_listens_on_is_not_free(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            with pytest.raises(PortTakenError, match=f"ClickHouse cannot listen on 127.0.0.1:{port}"):
                require_free(port, "ClickHouse")
        require_free(port, "ClickHouse")


STRANGER = """
import socket
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
while True:
    server.accept()[0].close()
"""


@pytest.mark.embedded
def test_who_publishes_goes_on_with_a_new_producer_where_nobody_had_answered_for_a_while(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    port = free_port()
    settings = Settings.model_validate({"kafka_bootstrap": f"127.0.0.1:{port}", "kafka_flavour": "tansu"})
    publisher = Publisher(settings, within_s=1)
    event = ProducerRecord(CALLS_ENDED.name, b"acme/c1", b"event")
    for _ in range(3):
        with pytest.raises(RetryableError):
            publisher.publish([event])
    assert "a new producer begins" in caplog.text
    with Supervisor(tmp_path / "logs") as supervisor:
        supervisor.start(tansu_spec(port))
        apply_topics(settings)
        patient = Publisher(settings)
        patient.publish([event])
        patient.close()
        for _ in range(30):
            try:
                publisher.publish([event])
            except RetryableError:
                continue
            break
        else:
            pytest.fail("the publisher did not come back")
    publisher.close()
