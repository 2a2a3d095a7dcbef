"""Three brokers with TLS, SCRAM-SHA-512, client certificates and ACLs: each account may do what its stage does and
nothing else, and certificates are looked at by both sides.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    Producer,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import (
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)
from pydantic import SecretStr

from schemas.messages.records import ConsumerRecord, ProducerRecord
from schemas.messages.topics import CALLS_ENDED, CALLS_RATED, TOPICS
from streams.adapters.kafka.acl_changes import apply_acls
from streams.adapters.kafka.acls import COMMANDS, TOPICS_ADMIN, KafkaAccount, Right, accounts
from streams.adapters.kafka.client import (
    GROUP_PREFIX,
    BatchConsumer,
    Publisher,
    TopicReader,
    admin_client,
    apply_topics,
    client_config,
    lags,
    missing_topics,
    topic_steps,
)
from streams.adapters.kafka.faust_source import FaustSource
from streams.adapters.kafka.fetcher import Fetcher, KafkaAccessError, KafkaTlsError
from streams.adapters.kafka.members import members_of
from streams.adapters.kafka.topic_checks import check_topics
from streams.settings import Settings
from streams.stages.reconcile import stored_until
from streams.topology import consumer_groups, groups_of, worker_stage
from tests.support.certificates import Authority
from tests.support.kafka_cluster import KafkaCluster, running_cluster
from tests.support.processes import eventually

pytestmark = pytest.mark.kafka

NAMES = tuple(topic.name for topic in TOPICS)
ACCOUNTS: Mapping[str, KafkaAccount] = {account.name: account for account in accounts()}
BY_DAY = ("listen", "store", "observe", "commands")
"""Accounts that are tried for every change: one that hears, one that reads nearly all, one that only looks, and that of
people. All at night."""
GROUPS = tuple(GROUP_PREFIX + group for group in consumer_groups(("desk",)))
LONG_ENOUGH_S = 180


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaCluster]:
    with running_cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        apply_topics(cluster.admin)
        apply_acls(cluster.admin, list(ACCOUNTS.values()))
        yield cluster


def account(cluster: KafkaCluster, name: str) -> Settings:
    """Who logs in as that account."""
    return cluster.user(f"callstream-{name}")


@pytest.fixture(scope="module")
def filled(cluster: KafkaCluster) -> KafkaCluster:
    """A record in the first partition of each topic."""
    producer = Producer(client_config(cluster.admin))
    for name in NAMES:
        producer.produce(name, b"to be read", partition=0)
    assert producer.flush(LONG_ENOUGH_S) == 0
    return cluster


class TestAccounts:
    """Everything is tried on everything, and what is done is what the rights say."""

    @pytest.mark.parametrize(
        "name", [name if name in BY_DAY else pytest.param(name, marks=pytest.mark.long) for name in ACCOUNTS]
    )
    def test_does_what_its_stage_does_and_nothing_else(self, filled: KafkaCluster, name: str) -> None:
        settings = account(filled, name)
        may = ACCOUNTS[name].rights
        tried = Tried(settings)
        assert tried.read() == topics_of(may, "Read")
        assert tried.written() == topics_of(may, "Write") & {*NAMES}
        assert tried.seen() == {right.name for right in may if right.resource == "topic"} & {*NAMES}
        assert tried.moved_groups() == groups_in(may, "Read")
        assert tried.seen_groups() == groups_in(may, "Read", "Describe")
        assert tried.reconfigured() == topics_of(may, "AlterConfigs")
        assert tried.grown() == topics_of(may, "Alter")
        assert tried.removed() == set()
        assert tried.created("somebody.elses") is False
        assert tried.administered() == set()

    def test_rights_are_applied_again_without_a_change_and_what_is_more_is_told_and_pruned(
        self, cluster: KafkaCluster
    ) -> None:
        sweep = ACCOUNTS["sweep"]
        more = KafkaAccount("sweep", "more than it needs", (*sweep.rights, Right("topic", CALLS_RATED.name, "Read")))
        (dry,) = apply_acls(cluster.admin, [more], dry_run=True)
        assert dry.added == (f"read topic {CALLS_RATED.name}",)
        assert apply_acls(cluster.admin, [more]) == [dry]
        assert eventually(lambda: apply_acls(cluster.admin, [sweep])[0].left == dry.added)
        (pruned,) = apply_acls(cluster.admin, [sweep], prune=True)
        assert (pruned.added, pruned.left, pruned.removed) == ((), (), dry.added)
        assert eventually(lambda: apply_acls(cluster.admin, [sweep])[0].left == ())

    def test_who_is_no_super_user_applies_none(self, cluster: KafkaCluster) -> None:
        for name in (TOPICS_ADMIN, COMMANDS):
            with pytest.raises(KafkaAccessError, match="ACLs"):
                apply_acls(account(cluster, name), [ACCOUNTS["sweep"]])

    def test_a_worker_misses_no_topic_that_it_may_not_see(self, cluster: KafkaCluster) -> None:
        assert missing_topics(account(cluster, "sweep")) == []

    def test_workers_do_their_work(self, cluster: KafkaCluster) -> None:
        keep = account(cluster, "keep")
        assert {lag.stage for lag in lags(keep, groups_of("keep"))} == {"keep", "keep.history"}
        stored_until(account(cluster, "reconcile"), datetime.now(UTC))
        for topic in (read.topic for read in worker_stage("judge").reads if read.whole):
            with closing(TopicReader(account(cluster, "judge"), topic.name)) as reader:
                reader.read_to_end(LONG_ENOUGH_S)
        store = account(cluster, "store")
        with closing(BatchConsumer(store, "store", groups_of("store")["store"])) as consumer:
            consumer.commit(first(lambda: consumer.poll(100, 1.0)))
            assert members_of(account(cluster, COMMANDS), ["store", "judge"]) == {"store": 1, "judge": 0}

    def test_topics_are_applied_and_checked_by_the_account_for_that(self, cluster: KafkaCluster) -> None:
        settings = account(cluster, TOPICS_ADMIN)
        assert {step.change for step in topic_steps(settings)} == {"unchanged"}
        assert [check for check in check_topics(settings) if check.state == "bad"] == []


def topics_of(rights: Sequence[Right], operation: str) -> set[str]:
    return {right.name for right in rights if right.resource == "topic" and right.operation == operation}


def groups_in(rights: Sequence[Right], *operations: str) -> set[str]:
    return {
        group
        for group in GROUPS
        for right in rights
        if right.resource == "group"
        and right.operation in operations
        and (group.startswith(right.name) if right.prefixed else group == right.name)
    }


class Tried:
    """What Kafka lets an account do, found out by doing it."""

    def __init__(self, settings: Settings) -> None:
        self._config = client_config(settings)
        self._admin = AdminClient(self._config)

    def read(self) -> set[str]:
        seen = self.seen()
        consumer = Consumer(self._config | {"group.id": "nobody", "enable.auto.commit": False})
        # Of those that it may not see, no client finds out who would have to be asked.
        consumer.assign([TopicPartition(name, 0, 0) for name in seen])
        got: set[str] = set()
        refused: set[str] = set()
        deadline_s = time.monotonic() + LONG_ENOUGH_S
        while got | refused != seen:
            assert time.monotonic() < deadline_s, f"no answer for {seen - got - refused}"
            for message in consumer.consume(100, 0.2):
                if (error := message.error()) is None:
                    got.add(message.topic() or "")
                elif error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
                    refused.add(message.topic() or "")
        consumer.close()
        assert not got & refused
        return got

    def written(self) -> set[str]:
        answers: dict[str, KafkaError | None] = {}
        producer = Producer(self._config | {"enable.idempotence": True})
        for name in NAMES:
            producer.produce(name, b"x", partition=0, on_delivery=_keep(answers, name))
        try:
            assert producer.flush(LONG_ENOUGH_S) == 0
        except KafkaException as error:  # who may write nothing is no idempotent producer either
            assert error.args[0].code() == KafkaError.CLUSTER_AUTHORIZATION_FAILED  # noqa: PT017 - one of two ways
            return set()
        refused = {name for name, error in answers.items() if error is not None}
        assert {error.code() for error in answers.values() if error is not None} <= {
            KafkaError.TOPIC_AUTHORIZATION_FAILED
        }
        return {*NAMES} - refused

    def seen(self) -> set[str]:
        answers = self._admin.describe_topics(TopicCollection(list(NAMES)))
        return {name for name, future in answers.items() if _is_let(future, KafkaError.TOPIC_AUTHORIZATION_FAILED)}

    def seen_groups(self) -> set[str]:
        return {group for group in GROUPS if self._is_let(self._admin.list_consumer_group_offsets, group, None)}

    def moved_groups(self) -> set[str]:
        """Whoever may do that may be a member, too."""
        return {group for group in GROUPS if self._is_let(self._admin.alter_consumer_group_offsets, group, 0)}

    @staticmethod
    def _is_let(ask: Callable[..., Mapping[Any, "Future[Any]"]], group: str, offset: int | None) -> bool:
        places = [TopicPartition(name, 0) if offset is None else TopicPartition(name, 0, offset) for name in NAMES]
        moves_on = {KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_LOAD_IN_PROGRESS}
        refusals = {KafkaError.GROUP_AUTHORIZATION_FAILED, KafkaError.TOPIC_AUTHORIZATION_FAILED}
        told = moves_on
        while told & moves_on:
            try:
                (answer,) = ask([ConsumerGroupTopicPartitions(group, places)]).values()
                of_places = answer.result(timeout=LONG_ENOUGH_S).topic_partitions
                told = {place.error.code() for place in of_places if place.error}
            except KafkaException as error:
                told = {error.args[0].code()}
        assert told <= refusals
        return KafkaError.GROUP_AUTHORIZATION_FAILED not in told

    def reconfigured(self) -> set[str]:
        def change(name: str) -> ConfigResource:
            entry = ConfigEntry("flush.ms", "1000000", incremental_operation=AlterConfigOpType.SET)
            return ConfigResource(ConfigResource.Type.TOPIC, name, incremental_configs=[entry])

        answers = self._admin.incremental_alter_configs([change(name) for name in NAMES], validate_only=True)
        return {
            resource.name
            for resource, future in answers.items()
            if _is_let(future, KafkaError.TOPIC_AUTHORIZATION_FAILED)
        }

    def grown(self) -> set[str]:
        answers = self._admin.create_partitions([NewPartitions(name, 50) for name in NAMES], validate_only=True)
        return {name for name, future in answers.items() if _is_let(future, KafkaError.TOPIC_AUTHORIZATION_FAILED)}

    def removed(self) -> set[str]:
        answers = self._admin.delete_topics(list(NAMES))
        return {name for name, future in answers.items() if _is_let(future, KafkaError.TOPIC_AUTHORIZATION_FAILED)}

    def created(self, name: str) -> bool:
        future = self._admin.create_topics([NewTopic(name, 1, 1)], validate_only=True)[name]
        return _is_let(future, KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED)

    def administered(self) -> set[str]:
        """What of the cluster itself."""
        acls: Any = AclBindingFilter  # typed as if no part of it could be left open
        everything = acls(
            *(ResourceType.ANY, None, ResourcePatternType.ANY, None, None, AclOperation.ANY, AclPermissionType.ANY)
        )
        broker = ConfigResource(
            ConfigResource.Type.BROKER,
            "1",
            incremental_configs=[ConfigEntry("log.cleaner.threads", "1", incremental_operation=AlterConfigOpType.SET)],
        )
        asked: dict[str, Future[Any]] = {
            "remove ACLs": self._admin.delete_acls([everything])[everything],
            "change a broker": next(iter(self._admin.incremental_alter_configs([broker], validate_only=True).values())),
        }
        let = {what for what, future in asked.items() if _is_let(future, KafkaError.CLUSTER_AUTHORIZATION_FAILED)}
        # Where that is refused, librdkafka says that there are none.
        return let | ({"see ACLs"} if self._admin.describe_acls(everything).result(timeout=LONG_ENOUGH_S) else set())


def _keep(answers: dict[str, KafkaError | None], name: str) -> Callable[[KafkaError | None, object], None]:
    def keep(error: KafkaError | None, _message: object) -> None:
        answers[name] = error

    return keep


def _is_let(future: "Future[Any]", *refusals: int) -> bool:
    try:
        future.result(timeout=LONG_ENOUGH_S)
    except KafkaException as error:
        if error.args[0].code() not in refusals:
            raise
        return False
    return True


def first(read: Callable[[], Sequence[ConsumerRecord]]) -> Sequence[ConsumerRecord]:
    """What it returns when it first returns something."""
    deadline_s = time.monotonic() + LONG_ENOUGH_S
    while not (records := read()):
        assert time.monotonic() < deadline_s, "nothing came"
    return records


EVENT = ProducerRecord(CALLS_ENDED.name, b"acme/c-1", b"event")


def consumed(settings: Settings) -> bool:
    with closing(BatchConsumer(settings, "listen", [CALLS_ENDED.name])) as consumer:
        return bool(first(lambda: consumer.poll(1, 1.0)))


def fetched(settings: Settings) -> bool:
    with closing(Fetcher(settings)) as fetcher:
        fetcher.assign({(CALLS_ENDED.name, partition): 0 for partition in range(12)})
        return bool(first(lambda: fetcher.take(1, 1.0)))


def polled_by_faust(settings: Settings) -> bool:
    with closing(FaustSource(settings, "listen", CALLS_ENDED.name, threading.Event())) as source:
        return bool(source.poll(1, LONG_ENOUGH_S))


@pytest.fixture(scope="module")
def listener(cluster: KafkaCluster) -> Settings:
    """The worker `listen`, with a certificate; there is an event."""
    Publisher(cluster.admin).publish([EVENT])
    return cluster.by_certificate("callstream-listen")


class TestCertificates:
    """Brokers that ask for one: by librdkafka, by aiokafka, and by Faust."""

    @pytest.mark.parametrize("use", [consumed, fetched, polled_by_faust], ids=lambda use: use.__name__)
    def test_open_the_door_for_every_client(self, listener: Settings, use: Callable[[Settings], bool]) -> None:
        assert use(listener)

    def test_with_a_password_on_their_key_too(self, cluster: KafkaCluster) -> None:
        sealed = cluster.authority.issue("callstream-sweep", password="of the key")
        settings = cluster.by_certificate(
            "callstream-listen",
            kafka_ssl_certificate_file=sealed.certificate,
            kafka_ssl_key_file=sealed.key,
            kafka_ssl_key_password=SecretStr("of the key"),
        )
        Publisher(settings).publish([EVENT])
        wrong = settings.model_copy(update={"kafka_ssl_key_password": SecretStr("another")})
        for use in (lambda: Publisher(wrong), lambda: fetched(wrong), lambda: admin_client(wrong)):
            with pytest.raises(KafkaTlsError, match="kafka_ssl_key_password"):
                use()

    def test_are_who_somebody_is(self, listener: Settings) -> None:
        with pytest.raises(KafkaAccessError, match="ACLs"):
            Publisher(listener).publish([EVENT])

    @pytest.mark.long
    def test_that_nobody_knows_are_refused_with_a_sentence(self, cluster: KafkaCluster, tmp_path: Path) -> None:
        stranger = Authority(tmp_path).issue("callstream-listen")
        settings = cluster.by_certificate(
            "callstream-listen",
            kafka_ssl_certificate_file=stranger.certificate,
            kafka_ssl_key_file=stranger.key,
        )
        for ask in refusable(settings):
            with pytest.raises(KafkaTlsError, match="kafka_ssl_certificate_file where brokers ask for one"):
                ask()

    def test_must_be_shown(self, cluster: KafkaCluster) -> None:
        settings = cluster.by_certificate("callstream-listen", kafka_ssl_certificate_file=None, kafka_ssl_key_file=None)
        for ask in refusable(settings):
            with pytest.raises(KafkaTlsError, match="kafka_ssl_certificate_file where brokers ask for one"):
                ask()


class TestBrokersThatAreNotToBeTrusted:
    @pytest.mark.long
    @pytest.mark.parametrize("login", ["password", "certificate"])
    def test_whose_certificate_another_authority_has_signed(
        self, cluster: KafkaCluster, tmp_path: Path, login: str
    ) -> None:
        other = Authority(tmp_path).ca_file
        settings = (
            cluster.user("callstream-listen", kafka_ca_file=other)
            if login == "password"
            else cluster.by_certificate("callstream-listen", kafka_ca_file=other)
        )
        for ask in refusable(settings):
            with pytest.raises(KafkaTlsError, match="kafka_ca_file"):
                ask()

    def test_whose_certificate_bears_another_name(self, cluster: KafkaCluster) -> None:
        settings = account(cluster, "listen")
        elsewhere = settings.model_copy(
            update={"kafka_bootstrap": settings.kafka_bootstrap.replace("127.0.0.1", "localhost")}
        )
        for ask in refusable(elsewhere):
            with pytest.raises(KafkaTlsError, match="the names in kafka_bootstrap"):
                ask()

    @pytest.mark.long
    def test_are_told_by_whoever_asks_for_topics_and_records(self, cluster: KafkaCluster, tmp_path: Path) -> None:
        settings = cluster.user("callstream-listen", kafka_ca_file=Authority(tmp_path).ca_file)
        for ask in (lambda: topic_steps(settings), lambda: TopicReader(settings, CALLS_ENDED.name)):
            with pytest.raises(KafkaTlsError, match="kafka_ca_file"):
                ask()

    @pytest.mark.parametrize(
        ("name", "content"),
        [
            pytest.param("kafka_ca_file", None, id="that is not there"),
            pytest.param("kafka_ca_file", b"no PEM", id="that is no PEM"),
            pytest.param("kafka_ssl_certificate_file", b"no PEM", id="a certificate of ours that is no PEM"),
        ],
    )
    def test_a_file_that_cannot_be_used_is_named(
        self, cluster: KafkaCluster, tmp_path: Path, name: str, content: bytes | None
    ) -> None:
        file = tmp_path / "file.pem"
        if content is not None:
            file.write_bytes(content)
        settings = cluster.by_certificate("callstream-listen", **{name: file})
        for ask in (lambda: Publisher(settings), lambda: admin_client(settings), lambda: fetched(settings)):
            with pytest.raises(KafkaTlsError, match=name):
                ask()


def refusable(settings: Settings) -> list[Callable[[], object]]:
    """Who writes, and who is a member of a group."""
    return [lambda: Publisher(settings, within_s=3).publish([EVENT]), lambda: consumed(settings)]
