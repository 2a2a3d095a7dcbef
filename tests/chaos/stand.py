"""The stack that schedules run on, and what can be done to it: everything is put right again by `mend`."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

import yaml
from pydantic import SecretStr

from streams.adapters.kafka.client import client_config
from streams.adapters.register.register import Register
from streams.embedded.ports import LOOPBACK, free_port
from streams.embedded.stack import Stack, StackPlan, worker_spec
from streams.embedded.supervisor import Backoff, ChildFailedError, ChildSpec, Supervisor
from streams.settings import Settings, load_settings, variable_of
from tests.chaos.schedule import (
    NEEDS_DISK,
    NEEDS_DURABLE_BROKER,
    NEEDS_POSTGRESQL,
    NEEDS_SQLITE,
    WORKERS,
    Broker,
    Fault,
)
from tests.chaos.toxiproxy import Toxiproxy, running_toxiproxy
from tests.support.disks import fill
from tests.support.postgresql_server import PostgresqlServer, running_postgresql
from tests.support.processes import eventually
from tests.support.receiver import DROP, Receiver, Reply, Request, running_receiver

REPOSITORY = Path(__file__).parents[2]
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
DISK = "48m"
HOUR_S = 3_600.0
ANSWERED = 200
WAIT_S = 0.1
READY_WITHIN_S = 120.0

QUICK = Backoff(first_s=0.2, longest_s=1.0)
"""A worker that was killed is back at once, also the tenth time in a minute."""


@dataclass
class Stand:
    """A running stack, and the handles by which it is broken."""

    broker: Broker
    folder: Path
    stack: Stack
    workers: Supervisor
    settings: Settings
    proxies: Toxiproxy
    receiver: Receiver
    postgresql: PostgresqlServer | None
    """Where the register lies; None: in a file."""
    has_disk: bool
    bug: str = ""
    _mends: dict[str, Callable[[], None]] = field(default_factory=dict)
    _subscriber: str = ""

    @property
    def lacking(self) -> frozenset[str]:
        """Kinds of faults that cannot happen here."""
        return frozenset(
            (NEEDS_DISK if not self.has_disk else frozenset())
            | (NEEDS_POSTGRESQL if self.postgresql is None else NEEDS_SQLITE)
            | (NEEDS_DURABLE_BROKER if self.broker == "tansu" else frozenset())
        )

    @property
    def events(self) -> Path:
        """The log of what was published and broken."""
        return self.folder / "events.jsonl"

    def note(self, tenant_id: str, what: str, **about: object) -> None:
        """One line of it."""
        with self.events.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"what": what, "tenant": tenant_id, "at_s": time.time(), **about}) + "\n")

    def start_workers(self, bug: str = "") -> None:
        """All of `WORKERS`, until each says that it is ready; those that run are stopped first."""
        self.bug = bug
        self.workers.stop()
        logs = {stage: self.workers.log_file(stage) for stage in WORKERS}
        known = {stage: log.stat().st_size if log.exists() else 0 for stage, log in logs.items()}
        for stage in WORKERS:
            self.workers.start(self._spec(stage, stage))
        for stage, log in logs.items():
            says = f"{stage} is ready".encode()
            assert eventually(lambda: says in log.read_bytes()[known[stage] :], READY_WITHIN_S), f"{stage} is not ready"  # noqa: B023

    def look_after(self) -> None:
        """Start again what was killed; call it often."""
        with suppress(ChildFailedError):
            self.workers.check()

    def _spec(self, stage: str, name: str) -> ChildSpec:
        spec = worker_spec(stage, 0, self.settings, restart=True)
        env = {"PYTHONPATH": str(REPOSITORY), "CHAOS_CLOCK_FILE": str(self.folder / "clock"), "HOOK_SECRET": SECRET}
        return replace(
            spec,
            name=name,
            argv=(sys.executable, "-P", "-m", "tests.chaos.worker", stage),
            env={**spec.env, **env, "CHAOS_BUG": self.bug},
            # As a service manager that always starts again.
            stays_ended=frozenset(),
        )

    def begin(self, fault: Fault) -> None:
        """Break it; what does not pass by itself is put right by `end`."""
        _BEGIN[fault.kind](self, fault.target)

    def end(self, fault: Fault) -> None:
        """Put right what `begin` broke."""
        if (mend := self._mends.pop(fault.name, None)) is not None:
            mend()

    def mend(self) -> None:
        """Put everything right."""
        for name in list(self._mends):
            self._mends.pop(name)()

    @staticmethod
    def kinds() -> frozenset[str]:
        """Kinds of faults that `begin` knows."""
        return frozenset(_BEGIN)

    def _until_mended(self, name: str, mend: Callable[[], None]) -> None:
        self._mends[name] = mend

    def kill(self, worker: str) -> None:
        """SIGKILL."""
        self.workers.kill(worker)

    def stop(self, worker: str) -> None:
        """SIGSTOP, until it is mended."""
        pid = self.workers.pid(worker)
        if pid is None:
            return
        os.kill(pid, signal.SIGSTOP)

        def go_on() -> None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

        self._until_mended(f"stop {worker}", go_on)

    def kill_of_stack(self, kind: str, child: str) -> None:
        """SIGKILL of broker or ClickHouse, which stay dead until they are mended."""
        self.stack.supervisor.kill(child)
        self._until_mended(kind, lambda: self.stack.supervisor.restart_child(child))

    def stop_of_stack(self, kind: str, child: str) -> None:
        """SIGSTOP of broker or ClickHouse."""
        self.stack.supervisor.kill(child, signal.SIGSTOP)
        self._until_mended(kind, lambda: self.stack.supervisor.kill(child, signal.SIGCONT))

    def kill_register(self, _target: str) -> None:
        """PostgreSQL ends as if the power had failed."""
        server = self.postgresql
        assert server is not None
        if server.process.poll() is None:
            server.kill()
            self._until_mended("kill_register", server.start_again)

    def lock_register(self, _target: str) -> None:
        """Somebody else holds SQLite's file."""
        file = Register.of(self.stack.settings).file
        assert file is not None
        connection = sqlite3.connect(file, isolation_level=None, timeout=20)
        with suppress(sqlite3.OperationalError):
            connection.execute("BEGIN EXCLUSIVE")
        self._until_mended("lock_register", connection.close)

    def store_gone(self, _target: str) -> None:
        """The folder of the object store has another name."""
        objects = self.folder / "disk" / "objects"
        away = objects.with_name("objects.away")
        if objects.exists() and not away.exists():
            objects.rename(away)
            self._until_mended("store_gone", lambda: self._bring_back(away, objects))

    @staticmethod
    def _bring_back(away: Path, objects: Path) -> None:
        """A worker that found no folder may not have made one of its own."""
        if objects.exists():
            raise AssertionError("somebody made an object store where there was none")
        away.rename(objects)

    def disk_full(self, _target: str) -> None:
        """Not a byte is free where the object store lies."""
        filler = fill(self.folder / "disk")
        self._until_mended("disk_full", lambda: filler.unlink(missing_ok=True))

    def slow(self, name: str) -> None:
        """As `Toxiproxy.slow`."""
        self._until_mended(f"slow {name}", self.proxies.mend)
        with suppress(OSError):  # it is slow already
            self.proxies.slow(name)

    def cut(self, name: str) -> None:
        """As `Toxiproxy.cut`."""
        self._until_mended(f"cut {name}", self.proxies.mend)
        self.proxies.cut(name)

    def clock(self, where: str) -> None:
        """An hour ahead or behind."""
        self.set_clock(HOUR_S if where == "forward" else -HOUR_S)
        self._until_mended(f"clock {where}", lambda: self.set_clock(0))

    def set_clock(self, wrong_by_s: float) -> None:
        """The clock of every worker."""
        draft = self.folder / "clock.draft"
        draft.write_text(str(wrong_by_s), encoding="ascii")
        draft.replace(self.folder / "clock")

    def add(self, stage: str) -> None:
        """One more worker of that stage."""
        name = f"{stage}-more"
        try:
            self.workers.restart_child(name)
        except KeyError:
            self.workers.start(self._spec(stage, name))
        self._until_mended(f"add {stage}", lambda: self.workers.stop_child(name))

    def drain(self, worker: str) -> None:
        """Stopped in good order, and started again."""
        self.workers.restart_child(worker)

    def subscriber_fault(self, how: str) -> None:
        """It refuses, hangs or hangs up."""
        self._subscriber = how

        def well() -> None:
            self._subscriber = ""

        self._until_mended(f"subscriber {how}", well)

    def answer(self, request: Request) -> Reply:
        """As the subscriber answers now; what it took is in its log before it says so."""
        how = self._subscriber
        status = ANSWERED if not how else 503
        body = json.loads(request.body)["data"]
        line = {"tenant": body["tenant_id"], "alert": body["alert_id"], "call": body.get("call_id")}
        line |= {"rule": body["rule_id"], "status": status, "id": request.headers["webhook-id"]}
        with self.receiver.lock, (self.folder / "requests.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        if how == "hangs":
            while self._subscriber == how:
                time.sleep(WAIT_S)
            return DROP
        return DROP if how == "drops" else Reply(status)

    def describe(self) -> Path:
        """Where the checker finds everything, in a file."""
        url = urlsplit(self.stack.settings.clickhouse_url.get_secret_value())
        about = {
            "kafka": client_config(self.settings),
            "clickhouse": {
                "url": f"http://{url.hostname}:{url.port}/",
                "user": unquote(url.username or ""),
                "password": unquote(url.password or ""),
                "database": url.path.strip("/"),
            },
            "objects": str(self.folder / "disk" / "objects"),
            "requests": str(self.folder / "requests.jsonl"),
            "events": str(self.events),
        }
        path = self.folder / "stack.json"
        path.touch(mode=0o600)
        path.write_text(json.dumps(about), encoding="utf-8")
        return path


_BEGIN: Mapping[str, Callable[[Stand, str], None]] = {
    "kill": Stand.kill,
    "stop": Stand.stop,
    "kill_broker": lambda stand, _target: stand.kill_of_stack("kill_broker", stand.broker),
    "stop_broker": lambda stand, _target: stand.stop_of_stack("stop_broker", stand.broker),
    "kill_clickhouse": lambda stand, _target: stand.kill_of_stack("kill_clickhouse", "clickhouse"),
    "stop_clickhouse": lambda stand, _target: stand.stop_of_stack("stop_clickhouse", "clickhouse"),
    "kill_register": Stand.kill_register,
    "lock_register": Stand.lock_register,
    "slow_register": lambda stand, _target: stand.slow("register"),
    "cut_register": lambda stand, _target: stand.cut("register"),
    "store_gone": Stand.store_gone,
    "disk_full": Stand.disk_full,
    "slow": Stand.slow,
    "cut": Stand.cut,
    "clock": Stand.clock,
    "add": Stand.add,
    "drain": Stand.drain,
    "subscriber": Stand.subscriber_fault,
}
"""Faults of the stack; what is written twice, too late or unreadable, `source.py` writes."""


@contextmanager
def running_stand(broker: Broker, folder: Path, *, postgresql: bool) -> Iterator[Stand]:
    """A stack with its workers, its proxies and a subscriber; all gone afterwards. Its files lie in that folder.

    Raises `ServerUnavailableError` without toxiproxy, `PostgresqlUnavailableError` where it is wanted and not there.
    """
    with ExitStack() as cleanup:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        has_disk = cleanup.enter_context(_disk(folder / "disk"))
        proxies = cleanup.enter_context(running_toxiproxy(folder))
        receiver = cleanup.enter_context(running_receiver())
        server = cleanup.enter_context(running_postgresql()) if postgresql else None
        register_url = server.new_database() if server is not None else ""
        kafka_port = free_port()
        advertised = proxies.add("kafka", kafka_port)
        base = _base_settings(folder, receiver, register_url)
        plan = StackPlan(broker, folder / "stack", kafka_port=kafka_port, kafka_advertised_port=advertised, stages=())
        stack = cleanup.enter_context(Stack(plan, base))
        stack.start()
        workers = cleanup.enter_context(Supervisor(folder / "logs", QUICK))
        settings = _through_proxies(stack.settings, proxies, advertised, server)
        stand = Stand(broker, folder, stack, workers, settings, proxies, receiver, server, has_disk)
        receiver.choose = stand.answer
        stand.set_clock(0)
        stand.start_workers()
        cleanup.callback(stand.mend)
        yield stand


def _base_settings(folder: Path, receiver: Receiver, register_url: str) -> Settings:
    hook = {"url": receiver.url(), "secrets": [{"env": "HOOK_SECRET"}], "allow_private": True}
    subscriptions = folder / "subscriptions.yaml"
    subscriptions.write_text(
        yaml.safe_dump({"subscriptions": [{"name": "desk", "tenant": "*", "channel": {"webhook": hook}}]}),
        encoding="utf-8",
    )
    mine = load_settings().settings
    values = {
        "cache_dir": mine.cache_dir,
        "maven_url": mine.maven_url,
        "data_dir": folder / "stack",
        "store_folder": folder / "disk" / "objects",
        "subscriptions_file": subscriptions,
        "speech_engine": "stand-in",
        "stand_in_ear": "true",
        "stand_in_call_s": 0.2,
        "emotion": "false",
        # A schedule must not wait half a minute until a worker asks again.
        "retry_max_wait_s": 2,
        "sink_batch_ms": 300,
        "sweep_every_s": 5,
        "register_url": register_url,
    }
    return load_settings({variable_of(name): str(value) for name, value in values.items() if value != ""}).settings


def _through_proxies(
    settings: Settings, proxies: Toxiproxy, kafka_port: int, postgresql: PostgresqlServer | None
) -> Settings:
    clickhouse = settings.clickhouse_url.get_secret_value()
    port = urlsplit(clickhouse).port or 0
    update: dict[str, object] = {
        "kafka_bootstrap": f"{LOOPBACK}:{kafka_port}",
        "clickhouse_url": SecretStr(clickhouse.replace(f":{port}/", f":{proxies.add('clickhouse', port)}/")),
    }
    if postgresql is not None:
        register, port = settings.register_url.get_secret_value(), postgresql.port
        through = register.replace(f":{port}/", f":{proxies.add('register', port)}/")
        update["register_url"] = SecretStr(through)
    return settings.model_copy(update=update)


@contextmanager
def _disk(folder: Path) -> Iterator[bool]:
    """A disk of its own, which is soon full; a plain folder, and False, where nobody may make one."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(folder)]
    made = subprocess.run(command, capture_output=True, check=False).returncode == 0
    try:
        yield made
    finally:
        if made:
            subprocess.run(["umount", "--lazy", str(folder)], check=False)
        shutil.rmtree(folder, ignore_errors=True)
