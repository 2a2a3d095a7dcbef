"""A real ClickHouse server as a child process, using the engine inside `chdb-core`.

    python -m streams.embedded.clickhouse_engine --data-dir DIR --http-port PORT [--tcp-port PORT] [--users FILE]

`chdb-core` is ClickHouse as a library. One entry point of it, `_chdb.query`, runs a whole clickhouse-local, which can
open the same ports as a server (`SYSTEM START LISTEN`) for as long as one of its queries runs. That entry point is not
documented, so the version is pinned exactly, and the tests run every feature that we use through the port.

Only 127.0.0.1 is listened on. Users: `callstream` (reads and writes; no access to files and other hosts), `analyst`
(the role `bi_analyst` over all tenants), each with its password in a file of mode 0600, and those of the users file, by
the roles of `schemas/config/roles.yaml`. The session that holds the server open must be the user `default` without a
password:
it may read nothing, and its limit of one session is used up by the holder, so that nobody else can log in as `default`.
"""

import argparse
import base64
import contextlib
import errno
import fcntl
import http.client
import os
import secrets
import shutil
import signal
import socket
import sys
import sysconfig
import threading
import time
from collections.abc import Sequence
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import quote, unquote, urlsplit
from xml.etree.ElementTree import Element, SubElement
from xml.sax.saxutils import escape

from processors.clickhouse.grants import (
    PREFIX,
    WRITING,
    add_filters,
    add_grants,
    grants_of,
    profile_elements,
    quota_elements,
    quote_identifier,
    table_guards,
    user_element,
    user_elements,
    xml_text,
)
from schemas.config.roles import ALL_TENANTS, RolesFile, User, load_roles, load_users
from schemas.config.yaml_files import YamlFileError
from schemas.errors import EmbeddedStackError
from streams.embedded.ports import listens_here
from streams.embedded.supervisor import READY_FD
from streams.runtime.landlock import read_nothing_but

MODULE = "streams.embedded.clickhouse_engine"
DATABASE = "callstream"
WRITER = "callstream"
ANALYST = "analyst"
HOST = "127.0.0.1"

_OF_THE_MACHINE = tuple(
    Path(path)
    for path in (
        *("/usr", "/lib", "/lib64", "/sys", "/dev", "/etc/ssl/certs", "/etc/pki/tls/certs"),
        *(
            "/etc/localtime",
            "/etc/timezone",
            "/etc/ld.so.cache",
            "/etc/hosts",
            "/etc/resolv.conf",
            "/etc/nsswitch.conf",
        ),
        *("/proc/sys", "/proc/self/net", "/proc/meminfo", "/proc/cpuinfo", "/proc/stat", "/proc/loadavg"),
        *("/proc/uptime", "/proc/self/status", "/proc/self/statm", "/proc/self/stat", "/proc/self/maps"),
        *("/proc/self/cgroup", "/proc/self/mountinfo", "/proc/self/mounts", "/proc/self/limits"),
    )
)
"""What the engine and Python read of it; not `/proc/self/environ`, which holds secrets."""

STOP_WAIT_S = 10
"""How long running queries may take to end after SIGTERM."""

_WATCHER = "watcher"
_HOLD = (
    "SELECT sleepEachRow(1) FROM system.numbers FORMAT Null "
    "SETTINGS max_block_size = 1, function_sleep_max_microseconds_per_block = 0"
)
_WRITER_ROLE = "admin"
_LOGGED_QUERIES = 100_000
"""So many queries of people are kept in memory; the stage `audit` looks every ten seconds."""

_WRITER_GRANTS = ("KILL QUERY ON *.*",)
"""Besides those of its role, which it has in every database."""
_WATCHER_GRANTS = ("SELECT ON system.processes",)
_HOLDER_GRANTS = ("SYSTEM LISTEN ON *.*", "SELECT ON system.numbers")


class EngineStartError(EmbeddedStackError):
    """The engine could not start, or ended by itself."""


def start_command(
    data_dir: Path,
    http_port: int,
    tcp_port: int | None = None,
    users_file: Path | None = None,
    *,
    ports_reserved: bool = False,
) -> list[str]:
    """The argv that starts the engine with this Python, from any folder.

    `ports_reserved` says that who starts it holds the ports by `reserve_port`.
    """
    # -P: what lies in the folder of who starts it is not loaded.
    command = [
        sys.executable,
        "-P",
        "-m",
        MODULE,
        "--data-dir",
        str(data_dir.absolute()),
        "--http-port",
        str(http_port),
    ]
    if ports_reserved:
        command.append("--ports-reserved")
    if tcp_port is not None:
        command += ["--tcp-port", str(tcp_port)]
    return command if users_file is None else [*command, "--users", str(users_file.absolute())]


def engine_url(data_dir: Path, http_port: int, database: str = DATABASE, user: str = WRITER) -> str:
    """The URL of the engine with the user's password in it; makes the password where there is none yet."""
    password = quote(password_of(data_dir, user), safe="")
    return f"http://{user}:{password}@{HOST}:{http_port}/{database}"


def password_of(data_dir: Path, user: str) -> str:
    """The password of `callstream` or `analyst`: made once, kept in a file that only the owner can read."""
    file = password_file(data_dir, user)
    if not file.exists():
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
        _write_private(draft, secrets.token_urlsafe(24) + "\n")
        # Linking fails where the file exists: of two processes that start at once, both use the first's.
        with contextlib.suppress(FileExistsError):
            os.link(draft, file)
        draft.unlink()
    return file.read_text(encoding="ascii").strip()


def password_file(data_dir: Path, user: str) -> Path:
    """The file that holds the password of a user."""
    return data_dir / f"{user}.password"


def is_ready(url: str) -> bool:
    """Whether the engine behind `url` answers a query of that user; false while it starts, never raises."""
    parts = urlsplit(url)
    user, password = unquote(parts.username or "default"), unquote(parts.password or "")
    try:
        return _ask(parts.port or 8123, user, password, "SELECT 1", host=parts.hostname or HOST) == "1"
    except (OSError, http.client.HTTPException):
        return False


def _ask(port: int, user: str, password: str, query: str, *, host: str = HOST) -> str | None:
    """The engine's answer to one query; null when it refuses."""
    credentials = base64.b64encode(f"{user}:{password}".encode()).decode()
    connection = http.client.HTTPConnection(host, port, timeout=3)
    try:
        connection.request("POST", "/", query.encode(), {"Authorization": f"Basic {credentials}"})
        response = connection.getresponse()
        text = response.read().decode(errors="replace").strip()
        return text if response.status == http.client.OK else None
    finally:
        connection.close()


def _write_private(file: Path, text: str) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        os.fchmod(stream.fileno(), 0o600)
        stream.write(text)


def _config_xml(data_dir: Path, http_port: int, tcp_port: int | None) -> str:
    """The server's configuration.

    Inserts are flushed to the disk before they are acknowledged, because the broker's offsets are committed after
    them. Nothing is logged to a disk that quotes a query: queries and their errors may hold a caller's words. The log
    of queries, from which the audit log is told what people ask, is in memory alone. Ports may be shared with who has
    reserved them: `reserve_port`.
    """
    tcp = "" if tcp_port is None else f"<tcp_port>{tcp_port}</tcp_port>"
    return f"""<clickhouse>
    <logger><level>fatal</level><console>true</console></logger>
    <listen_host>{HOST}</listen_host>
    <listen_reuse_port>1</listen_reuse_port>
    <http_port>{http_port}</http_port>{tcp}
    <users_config>{escape(str(data_dir / "config" / "users.xml"))}</users_config>
    <max_server_memory_usage_to_ram_ratio>0.5</max_server_memory_usage_to_ram_ratio>
    <mark_cache_size>268435456</mark_cache_size>
    <keep_alive_timeout>30</keep_alive_timeout>
    <query_log>
        <database>system</database>
        <table>query_log</table>
        <engine>ENGINE = Memory SETTINGS max_rows_to_keep = {_LOGGED_QUERIES}, min_rows_to_keep = 1000</engine>
        <flush_interval_milliseconds>1000</flush_interval_milliseconds>
    </query_log>
    <merge_tree>
        <fsync_after_insert>1</fsync_after_insert>
        <fsync_part_directory>1</fsync_part_directory>
    </merge_tree>
</clickhouse>
"""


def _users_xml(passwords: dict[str, str], roles: RolesFile, people: Sequence[User]) -> str:
    """The engine's own users, `analyst`, and the people of the operator's file."""
    root = Element("clickhouse")
    profiles = SubElement(root, "profiles")
    SubElement(SubElement(profiles, "default"), "allow_python_table_function").text = "0"
    SubElement(SubElement(profiles, "holder"), "max_sessions_for_user").text = "1"
    profiles.extend(profile_elements(roles, people))
    for each in profiles:
        role = roles.roles.get(each.tag.removeprefix(PREFIX).removesuffix(WRITING))
        of_people = role is not None and role.of_people
        # What the workers ask says nothing of people, and there is much of it.
        SubElement(each, "log_queries").text = str(int(of_people))
        if of_people:
            SubElement(each, "log_queries_cut_to_length").text = "1"
            SubElement(each, "log_queries_min_type").text = "QUERY_FINISH"
    quotas = SubElement(root, "quotas")
    SubElement(quotas, "default")
    quotas.extend(quota_elements(roles))
    users = SubElement(root, "users")
    analyst = User(name=ANALYST, role="bi_analyst", tenants=(ALL_TENANTS,), password_sha256=_digest(passwords[ANALYST]))
    writer_grants = (*grants_of(_WRITER_ROLE, roles, "*"), *_WRITER_GRANTS)
    for name, profile, grants in (
        ("default", "holder", _HOLDER_GRANTS),
        (_WATCHER, "default", _WATCHER_GRANTS),
        (WRITER, f"{PREFIX}{_WRITER_ROLE}", writer_grants),
    ):
        digest = _digest(passwords[name]) if name in passwords else None
        user = user_element(name, digest, (HOST,), profile, "default")
        if name == WRITER:
            # In its name the views are made, and read by everybody.
            add_filters(user, DATABASE, table_guards((analyst, *people), roles))
        add_grants(user, grants)
        users.append(user)
    users.extend(user_elements(roles, (analyst, *people), DATABASE, (HOST,)))
    return xml_text(root)


def _digest(password: str) -> str:
    return sha256(password.encode()).hexdigest()


def _take_lock(data_dir: Path) -> TextIO:
    """Own the data directory for as long as the returned file is open, even if an earlier owner was killed."""
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = (data_dir / "engine.lock").open("a", encoding="ascii")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise EngineStartError(
            f"Another ClickHouse engine is running on {data_dir}; stop it, or choose another data directory."
        ) from None
    return lock


def _check_port(port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise EngineStartError(f"Port {port} of {HOST} is not free: {error.strerror}.") from None


class _Engine:
    """The one clickhouse-local that this process can run."""

    def __init__(
        self, data_dir: Path, http_port: int, tcp_port: int | None, roles: RolesFile, people: Sequence[User]
    ) -> None:
        self._data_dir = data_dir.absolute()
        self._roles = roles
        self._people = people
        self._http_port = http_port
        self._tcp_port = tcp_port
        self._watcher_password = secrets.token_urlsafe(24)

    def serve(self, stop: threading.Event) -> None:
        """Run until `stop` is set. Raises `EngineStartError` when the engine cannot start or ends by itself."""
        self._write_config()
        self._keep_to_own_files()
        os.chdir(self._data_dir)  # the library opens an engine while it is imported, which must find no config.xml
        try:
            from chdb import _chdb
        except ImportError:
            raise EngineStartError(
                "The embedded ClickHouse engine is not installed: pip install 'callstream[embedded]'."
            ) from None
        os.chdir(self._start_folder)  # config.xml is read from the working directory
        library: Any = _chdb  # its stub does not name `query`
        listen = "SYSTEM START LISTEN HTTP; " + ("SYSTEM START LISTEN TCP; " if self._tcp_port else "")
        statements = f"SELECT file({quote_identifier(str(self._gate))}) FORMAT Null; {listen}{_HOLD}"
        ended = threading.Event()

        def hold() -> None:
            try:
                library.query(statements, "TSV", path=str(self._data_dir / "store"))
            finally:
                ended.set()
                stop.set()

        # Python's signal handlers run in the main thread only, which therefore must not be inside the engine.
        threading.Thread(target=hold, name="clickhouse", daemon=True).start()
        self._close_files(stop)
        self._announce(stop)
        stop.wait()
        if ended.is_set():
            raise EngineStartError("The ClickHouse engine ended by itself; see the lines above.")
        self._wait_for_queries()

    def _keep_to_own_files(self) -> None:
        """Before the engine starts a thread. `INSERT … FROM INFILE` reads files in a clickhouse-local, by no right."""
        library = find_spec("chdb")
        libraries = [Path(place).parent for place in (library and library.submodule_search_locations) or ()]
        python = [Path(path) for path in sysconfig.get_paths().values()]
        own = [self._data_dir / "store", self._data_dir / "config", self._data_dir / "engine.lock"]
        own[0].mkdir(mode=0o700, exist_ok=True)
        read_nothing_but([*own, *libraries, *python, *_OF_THE_MACHINE])

    @property
    def _start_folder(self) -> Path:
        return self._data_dir / "config" / "start"

    @property
    def _gate(self) -> Path:
        return self._data_dir / "config" / "gate"

    def _close_files(self, stop: threading.Event) -> None:
        """Take the function `file()` away from everybody before anybody can log in.

        A clickhouse-local lets every user read every file with it, whatever the grants: passwords, recordings, other
        tenants' columns. It looks for the working directory first and fails where there is none. So the directory in
        which the engine was started is removed, after it has read its configuration and before it listens: until
        then its first statement waits at the gate, a pipe.
        """
        while not stop.is_set():
            try:
                gate = os.open(self._gate, os.O_WRONLY | os.O_NONBLOCK)
            except OSError as error:
                if error.errno != errno.ENXIO:  # nobody reads it yet
                    raise
                stop.wait(0.01)
                continue
            shutil.rmtree(self._start_folder)
            os.close(gate)
            return

    def _announce(self, stop: threading.Event) -> None:
        """Tell who started us, by the pipe that it left open, that each port is ours: now a password may be sent."""
        number = os.environ.pop(READY_FD, "")
        if not number:
            return
        ports = [port for port in (self._http_port, self._tcp_port) if port is not None]
        while not stop.is_set():
            if all(map(listens_here, ports)):
                with contextlib.suppress(BrokenPipeError):
                    os.write(int(number), b"1")
                break
            stop.wait(0.02)
        os.close(int(number))

    def _write_config(self) -> None:
        config = self._data_dir / "config"
        config.mkdir(mode=0o700, exist_ok=True)
        shutil.rmtree(self._start_folder, ignore_errors=True)
        self._start_folder.mkdir(mode=0o700)
        for name in ("config.xml", "config.d"):  # the second where an operator has made it
            (self._start_folder / name).symlink_to(config / name)
        self._gate.unlink(missing_ok=True)
        os.mkfifo(self._gate, 0o600)
        passwords = {user: password_of(self._data_dir, user) for user in (WRITER, ANALYST)}
        passwords[_WATCHER] = self._watcher_password
        _write_private(config / "config.xml", _config_xml(self._data_dir, self._http_port, self._tcp_port))
        _write_private(config / "users.xml", _users_xml(passwords, self._roles, self._people))

    def _wait_for_queries(self) -> None:
        """Let running queries end, within limits.

        The engine is not asked to shut down: it would wait for idle connections. It does not need to be asked,
        because whatever it has acknowledged is on the disk.
        """
        running = "SELECT count() FROM system.processes WHERE user NOT IN ('', currentUser())"  # '' holds the server
        deadline_s = time.monotonic() + STOP_WAIT_S
        with contextlib.suppress(OSError, http.client.HTTPException):
            while _ask(self._http_port, _WATCHER, self._watcher_password, running) not in ("0", None):
                if time.monotonic() > deadline_s:
                    return
                time.sleep(0.05)


def main(arguments: list[str] | None = None) -> int:
    """Run the engine until SIGTERM or SIGINT; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m streams.embedded.clickhouse_engine", description=__doc__)
    parser.add_argument("--data-dir", type=Path, required=True, help="where tables, passwords and configuration lie")
    parser.add_argument("--http-port", type=int, required=True, help="port of the HTTP interface on 127.0.0.1")
    parser.add_argument("--tcp-port", type=int, default=None, help="port of the native interface; none by default")
    parser.add_argument("--ports-reserved", action="store_true", help="the caller keeps the ports for this process")
    parser.add_argument("--users", type=Path, default=None, help="YAML file of people who may log in: docs/roles.md")
    options = parser.parse_args(arguments)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        roles = load_roles()
        people = load_users(options.users, roles)
        with _take_lock(options.data_dir):
            for port in (options.http_port, options.tcp_port):
                if port is not None and not options.ports_reserved:
                    _check_port(port)
            _Engine(options.data_dir, options.http_port, options.tcp_port, roles, people).serve(stop)
    except (EngineStartError, YamlFileError) as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    os._exit(code)  # with the engine running: see _wait_for_queries
