"""A real PostgreSQL on loopback, for the register. The machine brings its binaries: Debian's package `postgresql`."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any

import pg8000.exceptions
import pg8000.native

from streams.embedded.ports import LOOPBACK, free_port
from tests.support.certificates import Certificate

_START_S = 60
_FOLDERS = "/usr/lib/postgresql"
"""Where Debian keeps its versions."""


class PostgresqlUnavailableError(Exception):
    """There is no PostgreSQL to test against; the text is one line for the skip report."""


@dataclass
class PostgresqlServer:
    """A running server, and the password of its superuser `postgres`."""

    port: int
    password: str
    process: "subprocess.Popen[bytes]"
    start: Any

    def url(self, database: str, password: str | None = None) -> str:
        """The URL of a register in that database."""
        return f"postgresql+pg8000://postgres:{password or self.password}@{LOOPBACK}:{self.port}/{database}"

    def new_database(self) -> str:
        """The URL of an empty database that nobody else has."""
        name = f"register_{token_hex(6)}"
        with self.connection() as connection:
            connection.run(f"CREATE DATABASE {name}")
        return self.url(name)

    @contextmanager
    def connection(self, database: str = "postgres") -> Iterator[pg8000.native.Connection]:
        """A plain one, as the superuser."""
        connection = pg8000.native.Connection(
            "postgres", host=LOOPBACK, port=self.port, password=self.password, database=database, timeout=60
        )
        try:
            yield connection
        finally:
            connection.close()

    def kill(self) -> None:
        """As if the power had failed."""
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait(60)

    def start_again(self) -> None:
        """On the same folder and port, after `kill`."""
        self.process = self.start()
        _wait_for(self)


def postgresql_binaries() -> Path:
    """The newest version's folder. Raises `PostgresqlUnavailableError`."""
    found = sorted(Path(_FOLDERS).glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    if found:
        return found[-1].parent
    if (on_path := shutil.which("initdb")) is not None:
        return Path(on_path).resolve().parent
    raise PostgresqlUnavailableError(f"no PostgreSQL server: neither in {_FOLDERS} nor initdb on the path")


@contextmanager
def running_postgresql(*, durable: bool = False, tls: Certificate | None = None) -> Iterator[PostgresqlServer]:
    """A server with a folder of its own, which is removed. Raises `PostgresqlUnavailableError`.

    `durable`: what is committed outlives the machine too, which tests need not. With `tls` it speaks TLS, too.
    """
    binaries = postgresql_binaries()
    options = _other_user()
    # Not in pytest's own folders: only their owner may enter those, and that is not who runs the server.
    folder = Path(tempfile.mkdtemp(prefix="callstream-postgresql-"))
    try:
        password, port = token_hex(12), free_port()
        (folder / "password").write_text(password)
        if "user" in options:
            for path in (folder, folder / "password"):
                shutil.chown(path, options["user"], options["group"])
        environment = {"PATH": f"{binaries}:{os.environ['PATH']}", "LC_ALL": "C.UTF-8", "HOME": str(folder)}
        options |= {"cwd": folder, "env": environment}
        subprocess.run(
            (
                *(binaries / "initdb", "-D", folder / "data", "-U", "postgres", "-A", "scram-sha-256"),
                *(f"--pwfile={folder / 'password'}", "-E", "UTF8", "--no-sync"),
            ),
            check=True,
            stdout=subprocess.DEVNULL,
            **options,
        )

        secured = _with_tls(folder, tls, options) if tls is not None else ()

        def start() -> "subprocess.Popen[bytes]":
            return subprocess.Popen(
                (
                    *(
                        binaries / "postgres",
                        "-D",
                        folder / "data",
                        "-p",
                        str(port),
                        "-c",
                        f"fsync={'on' if durable else 'off'}",
                    ),
                    *("-c", f"listen_addresses={LOOPBACK}", "-c", f"unix_socket_directories={folder}"),
                    *secured,
                ),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                **options,
            )

        server = PostgresqlServer(port, password, start(), start)
        try:
            _wait_for(server)
            yield server
        finally:
            if server.process.poll() is None:
                server.kill()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _with_tls(folder: Path, tls: Certificate, options: dict[str, Any]) -> tuple[str, ...]:
    """Arguments of the server. Its key must be its own, and nobody else's to read."""
    for source, name in ((tls.certificate, "server.crt"), (tls.key, "server.key")):
        copy = folder / name
        copy.write_bytes(source.read_bytes())
        copy.chmod(0o600)
        if "user" in options:
            shutil.chown(copy, options["user"], options["group"])
    files = (f"ssl_cert_file={folder / 'server.crt'}", f"ssl_key_file={folder / 'server.key'}")
    return ("-c", "ssl=on", "-c", files[0], "-c", files[1])


def _other_user() -> dict[str, Any]:
    """The server refuses to run as root: then as the user that its package has made."""
    if os.geteuid() != 0:
        return {}
    try:
        owner = pwd.getpwnam("postgres")
    except KeyError:
        raise PostgresqlUnavailableError("no PostgreSQL server: root needs the user postgres to run it") from None
    return {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}


def _wait_for(server: PostgresqlServer) -> None:
    give_up_s = time.monotonic() + _START_S
    while True:
        try:
            with server.connection():
                return
        except (pg8000.exceptions.Error, OSError):
            if server.process.poll() is not None or time.monotonic() > give_up_s:
                raise
            time.sleep(0.05)
