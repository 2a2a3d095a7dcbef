"""How far a test may reach: without a marker neither a socket, nor a child process, nor a Kafka client.

An audit hook of the interpreter refuses, so that it does not matter through which library a test goes out. A Kafka
client does its work in C, where no hook sees it: its classes are replaced by ones that ask first.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from socket import AF_UNIX
from typing import Any

import confluent_kafka
import pytest
from confluent_kafka.admin import AdminClient

OutOfReachError = pytest.fail.Exception
"""A test went further than its markers say. No `Exception`, so that no retry of the tested code swallows it."""


@dataclass(frozen=True)
class Reach:
    """What a test may do outside of its own process."""

    loopback: bool = False
    names: bool = False
    network: bool = False
    processes: bool = False


NOTHING = Reach()
EMBEDDED = Reach(loopback=True, processes=True)
ANYTHING = Reach(loopback=True, names=True, network=True, processes=True)
MARKERS = {
    "loopback": Reach(loopback=True),
    "names": Reach(names=True),
    "processes": Reach(processes=True),
    "embedded": EMBEDDED,
    "kafka": ANYTHING,
    "minio": ANYTHING,
    "postgresql": EMBEDDED,
    "openbao": EMBEDDED,
    "versitygw": ANYTHING,
    "model": NOTHING,
    "superset": ANYTHING,
    "transformers": Reach(processes=True),
}
"""Marker → what a test that carries it may do. Jars of Kafka and sources of S3 servers come from the network;
torch asks `ldconfig` for a library as it is imported."""


def reach_of(markers: Iterable[str]) -> Reach:
    """All that any of these markers gives; a name that is not in `MARKERS` gives nothing."""
    given = [MARKERS.get(marker, NOTHING) for marker in markers]
    return Reach(
        loopback=any(reach.loopback for reach in given),
        names=any(reach.names for reach in given),
        network=any(reach.network for reach in given),
        processes=any(reach.processes for reach in given),
    )


CHILDREN = frozenset(
    {"subprocess.Popen", "os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn"}
)
ADDRESSES = frozenset({"socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg"})
"""Events with a socket and an address."""
HOSTS = frozenset({"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"})
"""Events that begin with the name of a host."""


class Guard:
    """Refuses what is further than `allowed`; installed once in a process, for ever, as audit hooks are."""

    def __init__(self) -> None:
        self.allowed = ANYTHING

    def install(self) -> None:
        """From here on every event of the interpreter is looked at, and every Kafka client."""
        sys.addaudithook(self.check)
        for name in ("Consumer", "Producer"):
            client = getattr(confluent_kafka, name)
            setattr(confluent_kafka, name, type(name, (client,), {"__init__": self.asking_first(client.__init__)}))
        # This one is written in Python and looks itself up by its name, so that it must stay.
        AdminClient.__init__ = self.asking_first(AdminClient.__init__)  # type: ignore[method-assign]

    @contextmanager
    def limited_to(self, reach: Reach) -> Iterator[None]:
        """No further than that until the end of the block, in any thread."""
        before, self.allowed = self.allowed, reach
        try:
            yield
        finally:
            self.allowed = before

    def check(self, event: str, arguments: tuple[Any, ...]) -> None:
        """One event of the interpreter. Raises `OutOfReachError`."""
        if event in CHILDREN:
            if not self.allowed.processes:
                pytest.fail(f"a child process ({event}) needs a marker: processes, embedded …")
        elif event in ADDRESSES:
            socket, address = arguments[0], arguments[1]
            if socket.family != AF_UNIX and address is not None:
                self._check_host(event, address[0])
        elif event in HOSTS and not self.allowed.names:
            self._check_host(event, arguments[0])

    def _check_host(self, event: str, host: str | bytes | None) -> None:
        if self.allowed.network or (self.allowed.loopback and is_loopback(host)):
            return
        pytest.fail(f"{event} of {host!r} needs a marker: loopback, embedded …")

    def asking_first(self, make: Callable[..., None]) -> Callable[..., None]:
        """How a Kafka client is made, but only with brokers where a socket may lead."""

        def make_within_reach(client: object, config: Mapping[str, Any], *arguments: Any, **settings: Any) -> None:
            for server in str(config["bootstrap.servers"]).split(","):
                self._check_host("a Kafka client", server.rpartition(":")[0])
            make(client, config, *arguments, **settings)

        return make_within_reach


def is_loopback(host: str | bytes | None) -> bool:
    """Whether it names this machine alone; no host at all stands for every address, which is more."""
    name = host.decode() if isinstance(host, bytes) else host
    if not name:
        return False
    if name == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


GUARD = Guard()
