"""The ClickHouse engine for tests, as a child process that is gone afterwards."""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from streams.embedded.clickhouse_engine import WRITER, engine_url, is_ready, password_of, start_command
from streams.embedded.ports import free_port
from tests.support.processes import eventually


@dataclass
class RunningEngine:
    """An engine on its own data directory; it can be stopped, killed and started again on the same port."""

    data_dir: Path
    port: int = field(default_factory=free_port)
    tcp_port: int | None = None
    process: subprocess.Popen[bytes] | None = None
    users_file: Path | None = None

    def url(self, database: str = "callstream", user: str = "callstream") -> str:
        return engine_url(self.data_dir, self.port, database, user)

    def configure(self, folder: str, xml: str) -> None:
        """Lay a file over the configuration (`config.d`) or the users (`users.d`); it holds from the next start."""
        files = self.data_dir / "config" / folder
        files.mkdir(mode=0o700, parents=True, exist_ok=True)
        (files / "test.xml").write_text(f"<clickhouse>{xml}</clickhouse>")

    def start(self) -> None:
        command = start_command(self.data_dir, self.port, self.tcp_port, users_file=self.users_file)
        process = self.process = subprocess.Popen(command)
        assert eventually(lambda: is_ready(self.url()) or process.poll() is not None)
        assert process.poll() is None

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """The exit code of the engine after that signal."""
        assert self.process is not None
        self.process.send_signal(number)
        code = self.process.wait(timeout=60)
        self.process = None
        return code


CLUSTER = "pair"


@contextmanager
def running_cluster(folder: Path) -> Iterator[tuple[RunningEngine, RunningEngine]]:
    """Two engines, each a shard of the cluster `pair`."""
    engines = tuple(RunningEngine(folder / name, tcp_port=free_port()) for name in ("one", "two"))
    shards = "".join(
        "<shard><internal_replication>true</internal_replication><replica>"
        f"<host>127.0.0.1</host><port>{engine.tcp_port}</port>"
        f"<user>{WRITER}</user><password>{password_of(engine.data_dir, WRITER)}</password></replica></shard>"
        for engine in engines
    )
    with ExitStack() as running:
        for number, engine in enumerate(engines, start=1):
            engine.configure(
                "config.d",
                f"<remote_servers><{CLUSTER}>{shards}</{CLUSTER}></remote_servers>"
                f"<macros><shard>{number}</shard><replica>1</replica></macros>",
            )
            running.callback(_end, engine)
            engine.start()
        yield engines[0], engines[1]


def _end(engine: RunningEngine) -> None:
    if engine.process is not None:
        engine.process.kill()
        engine.process.wait()


@contextmanager
def running_engine(data_dir: Path, users_file: Path | None = None) -> Iterator[RunningEngine]:
    """An engine that answers."""
    engine = RunningEngine(data_dir, users_file=users_file)
    try:
        engine.start()
        yield engine
    finally:
        _end(engine)
