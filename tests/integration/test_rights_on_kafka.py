"""A real Apache Kafka that denies: whoever may not do something is told so, and does not ask for ever."""

import threading
from collections.abc import Callable, Iterator

import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from pydantic import SecretStr

from schemas.messages.records import ProducerRecord
from schemas.messages.topics import CALLS_ENDED
from streams.adapters.kafka.canary import write_canary
from streams.adapters.kafka.client import (
    BatchConsumer,
    Publisher,
    TopicReader,
    apply_topics,
    client_config,
    read_record,
)
from streams.adapters.kafka.faust_source import FaustSource
from streams.adapters.kafka.fetcher import Fetcher, KafkaAccessError
from streams.embedded.apache_kafka import apache_kafka_spec, client_settings, fetch_jars
from streams.embedded.ports import free_port
from streams.embedded.supervisor import Supervisor
from streams.settings import Settings, load_settings
from tests.support.processes import eventually

pytestmark = pytest.mark.kafka

TOPIC = CALLS_ENDED.name
LONG_ENOUGH_S = 30


@pytest.fixture(scope="module")
def owner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Of a broker that denies everybody else everything."""
    folder = tmp_path_factory.mktemp("kafka")
    base = load_settings().settings
    libs = fetch_jars(base.cache_dir, base.maven_url, lambda _done, _total, _name: None)
    port = free_port()
    with Supervisor(folder / "logs") as supervisor:
        spec = apache_kafka_spec(folder / "kafka", libs, port, free_port())
        with (folder / "kafka" / "server.properties").open("a") as properties:
            properties.write("authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n")
            properties.write("super.users=User:broker;User:callstream\n")
        supervisor.start(spec)
        reached = client_settings(folder / "kafka", port) | {"data_dir": folder}
        settings = Settings.model_validate(reached)
        apply_topics(settings, [CALLS_ENDED])
        yield settings


def user(owner: Settings, name: str, *rights: tuple[ResourceType, str, AclOperation]) -> Settings:
    """The settings of another user who may do this and nothing else."""
    admin = AdminClient(client_config(owner))
    credential = UserScramCredentialUpsertion(name, ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, 4096), b"secret")
    admin.alter_user_scram_credentials([credential])[name].result(timeout=10)
    for kind, what, operation in rights:
        acl = AclBinding(
            kind, what, ResourcePatternType.LITERAL, f"User:{name}", "*", operation, AclPermissionType.ALLOW
        )
        admin.create_acls([acl])[acl].result(timeout=10)
    return owner.model_copy(update={"kafka_sasl_username": name, "kafka_sasl_password": SecretStr("secret")})


def polled(settings: Settings) -> object:
    consumer = BatchConsumer(settings, "store", [TOPIC])
    try:
        return consumer.poll(1, LONG_ENOUGH_S)
    finally:
        consumer.close()


def fetched(settings: Settings) -> object:
    fetcher = Fetcher(settings)
    fetcher.assign({(TOPIC, 0): None})
    try:
        return [fetcher.take(1, 1.0) for _ in range(LONG_ENOUGH_S)]
    finally:
        fetcher.close()


EVENT = ProducerRecord(TOPIC, b"acme/c-1", b"event")
ASKED: dict[str, Callable[[Settings], object]] = {
    "publish": lambda settings: Publisher(settings).publish([EVENT]),
    "read a topic": lambda settings: TopicReader(settings, TOPIC),
    "read a record": lambda settings: read_record(settings, TOPIC, 0, 0),
    "consume": polled,
    "fetch": fetched,
    "canary": write_canary,
    "Faust": lambda settings: FaustSource(settings, "listen", TOPIC, threading.Event()).poll(1, 1.0),
}


def test_who_may_do_nothing_is_told_so_whatever_is_asked(owner: Settings) -> None:
    nobody = user(owner, "nobody")
    for ask in ASKED.values():
        with pytest.raises(KafkaAccessError, match=r"what the brokers let that user read and write \(ACLs\)"):
            ask(nobody)


def test_who_may_read_the_topic_and_not_join_the_group_is_told_so(owner: Settings) -> None:
    reader = user(owner, "reader", (ResourceType.TOPIC, TOPIC, AclOperation.READ))
    Publisher(owner).publish([EVENT])
    topic = TopicReader(reader, TOPIC)
    assert EVENT.value in [record.value for record in topic.read_to_end()]
    topic.close()
    with pytest.raises(KafkaAccessError, match="GROUP_AUTHORIZATION_FAILED"):
        polled(reader)


def test_a_stage_on_faust_whose_right_to_read_is_taken_away_is_told_so(owner: Settings) -> None:
    see, read, group = (
        (ResourceType.TOPIC, TOPIC, AclOperation.DESCRIBE),
        (ResourceType.TOPIC, TOPIC, AclOperation.READ),
        (ResourceType.GROUP, "callstream.listen", AclOperation.READ),
    )
    listener = user(owner, "listener", see, read, group)
    Publisher(owner).publish([EVENT])
    source = FaustSource(listener, "listen", TOPIC, threading.Event())
    try:
        assert source.poll(1, LONG_ENOUGH_S)
        admin = AdminClient(client_config(owner))
        taken = AclBindingFilter(
            *(ResourceType.TOPIC, TOPIC, ResourcePatternType.LITERAL, "User:listener", "*"),
            *(AclOperation.READ, AclPermissionType.ANY),
        )
        admin.delete_acls([taken])[taken].result(timeout=10)
        with pytest.raises(KafkaAccessError, match="ACLs"):
            eventually(lambda: len(source.poll(1, 0.2)) > 1, LONG_ENOUGH_S)  # never: it gives one at a time
    finally:
        source.close()
