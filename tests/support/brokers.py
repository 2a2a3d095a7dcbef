"""A broker of each kind for tests, as a child process that is gone afterwards."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from aiokafka import AIOKafkaProducer

from streams.adapters.kafka.fetcher import aiokafka_security
from streams.embedded.apache_kafka import apache_kafka_spec, client_settings, fetch_jars
from streams.embedded.ports import free_port
from streams.embedded.supervisor import Supervisor
from streams.embedded.tansu import tansu_spec
from streams.settings import Settings, load_settings

BROKER_KINDS = ("tansu", "kafka")


@contextmanager
def running_broker(kind: str, folder: Path) -> Iterator[Settings]:
    """The settings that reach a fresh broker; Kafka's jars are taken from the user's cache."""
    port = free_port()
    with Supervisor(folder / "logs") as supervisor:
        if kind == "tansu":
            supervisor.start(tansu_spec(port))
        else:
            settings = load_settings().settings
            libs = fetch_jars(settings.cache_dir, settings.maven_url, lambda _done, _total, _name: None)
            supervisor.start(apache_kafka_spec(folder / "kafka", libs, port, free_port()))
        tansu = {"kafka_bootstrap": f"127.0.0.1:{port}", "kafka_flavour": "tansu"}
        reached = tansu if kind == "tansu" else client_settings(folder / "kafka", port)
        yield Settings.model_validate({"data_dir": folder} | reached)


def write_batch(settings: Settings, topic: str, codec: str | None, key: bytes, values: Sequence[bytes]) -> None:
    """Values of one key, compressed together whatever they expand to, as any producer may write them."""

    async def write() -> None:
        no_limit = 2**31 - 1
        producer = AIOKafkaProducer(
            **aiokafka_security(settings),
            bootstrap_servers=settings.kafka_bootstrap,
            compression_type=codec,
            max_request_size=no_limit,
            max_batch_size=no_limit,
            linger_ms=50,
        )
        await producer.start()
        try:
            await asyncio.gather(*[await producer.send(topic, value, key) for value in values])
        finally:
            await producer.stop()

    asyncio.run(write())
