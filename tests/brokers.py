"""A broker of each kind for tests, as a child process that is gone afterwards."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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
