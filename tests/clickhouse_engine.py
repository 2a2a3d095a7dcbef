"""The ClickHouse engine for tests, as a child process that is gone afterwards."""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from streams.embedded.clickhouse_engine import engine_url, is_ready, start_command
from streams.embedded.ports import free_port
from tests.processes import eventually


@dataclass
class RunningEngine:
    """An engine on its own data directory; it can be stopped, killed and started again on the same port."""

    data_dir: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    users_file: Path | None = None

    def url(self, database: str = "callstream", user: str = "callstream") -> str:
        return engine_url(self.data_dir, self.port, database, user)

    def start(self) -> None:
        process = self.process = subprocess.Popen(start_command(self.data_dir, self.port, users_file=self.users_file))
        assert eventually(lambda: is_ready(self.url()) or process.poll() is not None)
        assert process.poll() is None

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """The exit code of the engine after that signal."""
        assert self.process is not None
        self.process.send_signal(number)
        code = self.process.wait(timeout=60)
        self.process = None
        return code


@contextmanager
def running_engine(data_dir: Path, users_file: Path | None = None) -> Iterator[RunningEngine]:
    """An engine that answers."""
    engine = RunningEngine(data_dir, users_file=users_file)
    try:
        engine.start()
        yield engine
    finally:
        if engine.process is not None:
            engine.process.kill()
            engine.process.wait()
