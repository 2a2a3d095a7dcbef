"""Ports on the loopback interface: a free one, and whether a Kafka broker answers on one."""

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from schemas.errors import EmbeddedStackError

LOOPBACK = "127.0.0.1"
_ANSWER_WITHIN_S = 2.0
_EVERY_ADDRESS = {"0.0.0.0": LOOPBACK, "::": "::1"}  # noqa: S104 - asked, not bound
_LISTEN = "0A"
"""TCP_LISTEN in /proc/net/tcp."""


class PortTakenError(EmbeddedStackError):
    """Another program listens on the port."""


def free_port() -> int:
    """A TCP port on the loopback interface that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def answers(host: str, port: int) -> bool:
    """Whether somebody listens there. For an address that stands for all of the machine, loopback is asked."""
    try:
        socket.create_connection((_EVERY_ADDRESS.get(host, host), port), timeout=_ANSWER_WITHIN_S).close()
    except OSError:
        return False
    return True


def require_free(port: int, wanted_by: str) -> None:
    """Raises `PortTakenError` when the port cannot be listened on: else who answers there would pass for ours."""
    with socket.socket() as probe:
        # Connections of an earlier run that have not timed out yet do not take a port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            raise PortTakenError(f"{wanted_by} cannot listen on {LOOPBACK}:{port}: another program does.") from None


def reserve_port(port: int, wanted_by: str) -> socket.socket:
    """Keep the port (0: a free one) for children that listen with SO_REUSEPORT, for as long as the answer is open.

    It is bound and does not listen, so whoever connects meanwhile is refused; and the kernel gives the port to no other
    user of the machine, also while a child that died is started again. SO_REUSEADDR would let them in. Raises
    `PortTakenError`.
    """
    kept = socket.socket()
    kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        # Without the option first: a program of the same user that listens with it would share the port unnoticed.
        require_free(port, wanted_by)
        kept.bind((LOOPBACK, port))
    except PortTakenError:
        kept.close()
        raise
    except OSError:
        kept.close()
        raise PortTakenError(f"{wanted_by} cannot listen on {LOOPBACK}:{port}: another program does.") from None
    return kept


def listens_here(port: int) -> bool:
    """Whether this very process listens on the loopback port, by the kernel's own table. Linux only."""
    own = {link.partition("[")[2].rstrip("]") for link in _open_files() if link.startswith("socket:[")}
    return any(inode in own for _, inode in _listeners(port))


def port_is_ours(port: int) -> bool:
    """Whether programs of this user, and nobody else, listen on the loopback port. Linux only."""
    users = {user for user, _ in _listeners(port)}
    return users == {os.getuid()}


def _listeners(port: int) -> Iterator[tuple[int, str]]:
    """User id and inode of each socket that listens on the port, on loopback or on every address."""
    loopback = f"{int.from_bytes(socket.inet_aton(LOOPBACK), 'little'):08X}"
    mapped = f"0000000000000000FFFF0000{loopback}"
    addresses = {f"{host}:{port:04X}" for host in (loopback, mapped, "0" * 8, "0" * 32)}
    for table in ("tcp", "tcp6"):
        with suppress(FileNotFoundError):  # a kernel without IPv6
            for line in Path(f"/proc/self/net/{table}").read_text(encoding="ascii").splitlines()[1:]:
                fields = line.split()
                if fields[1] in addresses and fields[3] == _LISTEN:
                    yield int(fields[7]), fields[9]


def _open_files() -> Iterator[str]:
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # closed meanwhile
            yield str(entry.readlink())


def kafka_answers(port: int, login: Mapping[str, str | int | float | bool] | None = None) -> bool:
    """Whether a Kafka broker on this port tells its topics, to whom logs in by these settings of librdkafka.

    Blocks for at most two seconds; logs nothing.
    """
    try:
        # Cheaper than a client of librdkafka, and most often the answer: nobody listens yet.
        socket.create_connection((LOOPBACK, port), timeout=_ANSWER_WITHIN_S).close()
    except OSError:
        return False
    # log_level 0: librdkafka would tell each refused connection to the terminal.
    admin = AdminClient({**(login or {}), "bootstrap.servers": f"{LOOPBACK}:{port}", "log_level": 0})
    try:
        return bool(admin.list_topics(timeout=_ANSWER_WITHIN_S).brokers)
    except KafkaException:
        return False
