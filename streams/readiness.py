"""What a worker of a stage asks, by the topology, and how one finds out whether that answers."""

from collections.abc import Callable

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from streams.adapters.clickhouse.reconnecting import ReconnectingClient
from streams.adapters.clickhouse.statements import read_rows
from streams.adapters.kafka.client import client_config, failure
from streams.adapters.object_store.from_settings import object_store_from
from streams.adapters.register.register import Register
from streams.ports import ObjectStore
from streams.runtime.health import Check
from streams.settings import Settings
from streams.topology import StageEntry

ANSWER_WITHIN_S = 5


def checks_of(entry: StageEntry, settings: Settings) -> dict[str, Check]:
    """System → a question to it, for a thread of its own. Subscribers and second readers are others' systems, and not
    asked.
    """
    kafka = bool(entry.reads or entry.writes)
    asked = (*(("Kafka",) if kafka else ()), *entry.asks)
    return {LABELS[system]: _BUILT_BY[system](settings) for system in asked if system in _BUILT_BY}


LABELS = {"Kafka": "kafka", "ClickHouse": "clickhouse", "register": "register", "object store": "object_store"}
"""System in the topology → as metrics and probes name it."""


def _kafka(settings: Settings) -> Check:
    # The client keeps its connections: one that is made anew for each question would be a log line for the broker.
    admin: list[AdminClient] = []

    def check() -> None:
        if not admin:
            admin.append(AdminClient(client_config(settings)))
        try:
            admin[0].list_topics(timeout=ANSWER_WITHIN_S)
        except KafkaException as error:
            raise failure("no Kafka broker answers", error) from None

    return check


def _clickhouse(settings: Settings) -> Check:
    asking = ReconnectingClient(settings.clickhouse_url.get_secret_value(), timeout_s=ANSWER_WITHIN_S)

    def check() -> None:
        with asking.client() as client:
            read_rows(client, "whether it answers", "SELECT 1")

    return check


def _register(settings: Settings) -> Check:
    def check() -> None:
        register = Register.of(settings)
        try:
            register.check()
        finally:
            register.close()

    return check


def _object_store(settings: Settings) -> Check:
    stores: list[ObjectStore] = []

    def check() -> None:
        if not stores:
            stores.append(object_store_from(settings))
        stores[0].check()

    return check


_BUILT_BY: dict[str, Callable[[Settings], Check]] = {
    "Kafka": _kafka,
    "ClickHouse": _clickhouse,
    "register": _register,
    "object store": _object_store,
}
