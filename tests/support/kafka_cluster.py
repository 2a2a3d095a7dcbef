"""Three brokers of Apache Kafka and a controller on loopback, as a centre runs them: TLS, SCRAM-SHA-512, client
certificates, ACLs.

Each broker has two listeners: one for passwords (SASL_SSL), one for client certificates (SSL), by which the brokers
speak to each other, too. Whoever has the certificate `admin` or `broker` may do anything; nobody else may do anything
that no ACL allows.
"""

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion
from pydantic import SecretStr

from streams.adapters.kafka.client import client_config
from streams.embedded.apache_kafka import cluster_id, fetch_jars, java_binary
from streams.embedded.child import launcher_argv
from streams.embedded.kafka_natives import native_options
from streams.embedded.ports import LOOPBACK, free_port
from streams.settings import Settings, load_settings
from tests.support.certificates import Authority, Certificate

BROKERS = (1, 2, 3)
_CONTROLLER = 100
_UP_WITHIN_S = 180
_SUPER_USERS = "User:broker;User:admin"
_ENVIRONMENT = {"LC_ALL": "C.UTF-8"}


@dataclass
class Node:
    """One process."""

    number: int
    ports: tuple[int, ...]
    folder: Path
    argv: tuple[str, ...]
    process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        with (self.folder / "out.log").open("ab") as out:
            self.process = subprocess.Popen(
                launcher_argv((*self.argv, "kafka.Kafka", "server.properties"), os.getpid()),
                cwd=self.folder,
                env={"PATH": os.environ["PATH"], **_ENVIRONMENT},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )

    def kill(self) -> None:
        """As if the power had failed."""
        if self.process is not None:
            os.kill(self.process.pid, signal.SIGKILL)
            self.process.wait(30)
            self.process = None


@dataclass
class KafkaCluster:
    """A running one."""

    authority: Authority
    nodes: dict[int, Node]
    folder: Path
    _certificates: dict[str, Certificate] = field(default_factory=dict)
    _passwords: dict[str, str] = field(default_factory=dict)

    def _bootstrap(self, listener: int) -> str:
        return ",".join(f"{LOOPBACK}:{self.nodes[number].ports[listener]}" for number in BROKERS)

    def by_certificate(self, name: str, **changed: Any) -> Settings:
        """The settings of who has a certificate of that name, which is who the brokers take it for."""
        if name not in self._certificates:
            self._certificates[name] = self.authority.issue(name)
        certificate = self._certificates[name]
        return Settings.model_validate(
            {
                "data_dir": self.folder / name,
                "kafka_bootstrap": self._bootstrap(1),
                "kafka_security_protocol": "SSL",
                "kafka_ca_file": self.authority.ca_file,
                "kafka_ssl_certificate_file": certificate.certificate,
                "kafka_ssl_key_file": certificate.key,
                "kafka_replication_factor": 3,
            }
            | changed
        )

    @property
    def admin(self) -> Settings:
        """Of who may do anything."""
        return self.by_certificate("admin")

    def user(self, name: str, **changed: Any) -> Settings:
        """The settings of a user with a password, who is made where there is none."""
        if name not in self._passwords:
            self._passwords[name] = f"secret of {name}"
            credential = UserScramCredentialUpsertion(
                name,
                ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096),
                self._passwords[name].encode(),
            )
            admin = AdminClient(client_config(self.admin))
            admin.alter_user_scram_credentials([credential])[name].result(30)
        return Settings.model_validate(
            {
                "data_dir": self.folder / name,
                "kafka_bootstrap": self._bootstrap(0),
                "kafka_security_protocol": "SASL_SSL",
                "kafka_sasl_mechanism": "SCRAM-SHA-512",
                "kafka_sasl_username": name,
                "kafka_sasl_password": SecretStr(self._passwords[name]),
                "kafka_ca_file": self.authority.ca_file,
                "kafka_replication_factor": 3,
            }
            | changed
        )

    def wait_until_up(self, brokers: int = len(BROKERS)) -> None:
        """So many brokers answer and are in the cluster."""
        admin = AdminClient(client_config(self.admin))
        deadline_s = time.monotonic() + _UP_WITHIN_S
        while True:
            try:
                if len(admin.list_topics(timeout=5).brokers) >= brokers:
                    return
            except KafkaException:
                pass
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"Kafka is not up; its logs are in {self.folder}")
            time.sleep(0.2)


@contextmanager
def running_cluster(folder: Path) -> Iterator[KafkaCluster]:
    """A fresh one; its jars are taken from the user's cache."""
    base = load_settings().settings
    libs = fetch_jars(base.cache_dir, base.maven_url, lambda _done, _total, _name: None)
    authority = Authority(folder / "tls")
    server = authority.issue("broker", names=(LOOPBACK,))
    controller_port = free_port()
    identity = cluster_id()
    nodes: dict[int, Node] = {}
    try:
        for number in (_CONTROLLER, *BROKERS):
            home = folder / f"node-{number}"
            (home / "tmp").mkdir(parents=True)
            ports = (controller_port,) if number == _CONTROLLER else (free_port(), free_port())
            properties = _properties(number, ports, controller_port, server.both, authority.ca_file)
            (home / "server.properties").write_text(properties, encoding="ascii")
            node = Node(number, ports, home, _java(libs, 96 if number == _CONTROLLER else 192))
            subprocess.run(
                (*node.argv, "kafka.tools.StorageTool", "format", "-t", identity, "-c", "server.properties"),
                cwd=home,
                env={"PATH": os.environ["PATH"], **_ENVIRONMENT},
                check=True,
                capture_output=True,
                timeout=120,
            )
            nodes[number] = node
            node.start()
        cluster = KafkaCluster(authority, nodes, folder)
        cluster.wait_until_up()
        yield cluster
    finally:
        for node in nodes.values():
            node.kill()


def _java(libs: Sequence[Path], heap_mb: int) -> tuple[str, ...]:
    return (
        *(str(java_binary()), f"-Xmx{heap_mb}m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"),
        *("--enable-native-access=ALL-UNNAMED", "--sun-misc-unsafe-memory-access=allow", "-Djava.awt.headless=true"),
        *native_options(libs),
        *("-Djava.io.tmpdir=tmp", "-cp", os.pathsep.join(str(jar.absolute()) for jar in libs)),
    )


def _properties(number: int, ports: tuple[int, ...], controller_port: int, server: Path, ca_file: Path) -> str:
    is_controller = number == _CONTROLLER
    listeners = (
        f"CONTROLLER://{LOOPBACK}:{ports[0]}"
        if is_controller
        else f"PASSWORDS://{LOOPBACK}:{ports[0]},CERTIFICATES://{LOOPBACK}:{ports[1]}"
    )
    settings: dict[str, object] = {
        "process.roles": "controller" if is_controller else "broker",
        "node.id": number,
        "controller.quorum.voters": f"{_CONTROLLER}@{LOOPBACK}:{controller_port}",
        "controller.listener.names": "CONTROLLER",
        "listeners": listeners,
        "listener.security.protocol.map": "CONTROLLER:SSL,PASSWORDS:SASL_SSL,CERTIFICATES:SSL",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": server,
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": ca_file,
        "listener.name.controller.ssl.client.auth": "required",
        "listener.name.certificates.ssl.client.auth": "required",
        "ssl.principal.mapping.rules": "RULE:^CN=([^,]+).*$/$1/",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": _SUPER_USERS,
        "log.dirs": "log",
        "auto.create.topics.enable": "false",
        "default.replication.factor": 3,
        "min.insync.replicas": 2,
        "offsets.topic.replication.factor": 3,
        "offsets.topic.num.partitions": 4,
        "transaction.state.log.replication.factor": 3,
        "transaction.state.log.num.partitions": 4,
        "transaction.state.log.min.isr": 2,
        "share.coordinator.state.topic.replication.factor": 3,
        "share.coordinator.state.topic.num.partitions": 4,
        "group.initial.rebalance.delay.ms": 0,
        "message.max.bytes": 17 * 1024 * 1024,
        "replica.fetch.max.bytes": 17 * 1024 * 1024,
        # A broker that was killed is noticed within seconds.
        "broker.session.timeout.ms": 4_000,
        "broker.heartbeat.interval.ms": 1_000,
        "replica.lag.time.max.ms": 5_000,
        "log.segment.bytes": 16 * 1024 * 1024,
        "log.cleaner.dedupe.buffer.size": 4 * 1024 * 1024,
        "num.network.threads": 2,
        "num.io.threads": 2,
    }
    if not is_controller:
        settings |= {
            "inter.broker.listener.name": "CERTIFICATES",
            "listener.name.passwords.sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "listener.name.passwords.scram-sha-512.sasl.jaas.config": (
                "org.apache.kafka.common.security.scram.ScramLoginModule required;"
            ),
        }
    return "".join(f"{name}={value}\n" for name, value in settings.items())
