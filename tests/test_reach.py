"""A test without a marker reaches no network, no broker and no engine; with one it reaches what that says."""

import asyncio
import os
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable
from pathlib import Path

import confluent_kafka
import pytest
from confluent_kafka.admin import AdminClient

from streams.adapters.clickhouse.connection import connect
from streams.adapters.kafka.client import Publisher
from streams.embedded.ports import free_port
from streams.settings import Settings
from tests.support.clickhouse_engine import RunningEngine
from tests.support.reach import MARKERS, OutOfReachError, is_loopback, reach_of
from tests.support.receiver import Receiver


def connect_to(host: str) -> None:
    with socket.socket() as client:
        client.connect((host, 9))


TO_NOWHERE: dict[str, str | int | float | bool] = {"bootstrap.servers": "127.0.0.1:1"}


@pytest.mark.parametrize(
    "reach_out",
    [
        pytest.param(lambda: connect_to("127.0.0.1"), id="a socket to this machine"),
        pytest.param(lambda: connect_to("192.0.2.1"), id="a socket to another"),
        pytest.param(lambda: socket.getaddrinfo("example.org", 80), id="a name to look up"),
        pytest.param(lambda: urllib.request.urlopen("http://127.0.0.1:9"), id="HTTP"),
        pytest.param(free_port, id="a port to listen at"),
        pytest.param(Receiver, id="a receiver of alerts"),
        pytest.param(lambda: connect("http://127.0.0.1:9/callstream"), id="a database"),
        pytest.param(lambda: subprocess.run(["true"], check=True), id="a child process"),
        pytest.param(lambda: asyncio.run(asyncio.create_subprocess_exec("true")), id="a child of asyncio"),
        pytest.param(lambda: os.system("true"), id="a shell"),  # noqa: S605
        pytest.param(lambda: confluent_kafka.Producer(TO_NOWHERE), id="a producer"),
        pytest.param(lambda: confluent_kafka.Consumer({**TO_NOWHERE, "group.id": "g"}), id="a consumer"),
        pytest.param(lambda: AdminClient(TO_NOWHERE), id="an administrator of Kafka"),
        pytest.param(lambda: Publisher(Settings(kafka_bootstrap="127.0.0.1:1")), id="the publisher of workers"),
    ],
)
def test_a_test_without_a_marker_reaches_nothing(reach_out: Callable[[], object]) -> None:
    with pytest.raises(OutOfReachError):
        reach_out()


def test_nor_does_it_start_an_engine(tmp_path: Path) -> None:
    with pytest.raises(OutOfReachError):
        RunningEngine(tmp_path, port=1).start()


def test_nor_does_a_thread_of_it() -> None:
    refused: list[BaseException] = []

    def reach_out() -> None:
        try:
            connect_to("127.0.0.1")
        except OutOfReachError as error:
            refused.append(error)

    thread = threading.Thread(target=reach_out)
    thread.start()
    thread.join()
    assert len(refused) == 1


def test_what_stays_in_the_process_is_allowed() -> None:
    one, other = socket.socketpair()
    with one, other:
        one.sendall(b"x")
        assert other.recv(1) == b"x"
    assert asyncio.run(asyncio.sleep(0, "done")) == "done"


@pytest.mark.loopback
def test_one_that_is_marked_loopback_reaches_this_machine_and_starts_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        client.sendall(b"x")
    AdminClient(TO_NOWHERE)
    with pytest.raises(OutOfReachError):
        connect_to("192.0.2.1")
    with pytest.raises(OutOfReachError):
        AdminClient({"bootstrap.servers": "127.0.0.1:1,192.0.2.1:9092"})
    with pytest.raises(OutOfReachError):
        subprocess.run([sys.executable, "-V"], check=True)


@pytest.mark.names
def test_one_that_is_marked_names_asks_the_resolver_and_connects_to_nobody() -> None:
    assert socket.getaddrinfo("localhost", 80)
    with pytest.raises(OutOfReachError):
        connect_to("127.0.0.1")


@pytest.mark.processes
def test_one_that_is_marked_processes_starts_some_and_opens_no_socket() -> None:
    assert subprocess.run([sys.executable, "-c", ""], check=True).returncode == 0
    with pytest.raises(OutOfReachError):
        free_port()


def test_markers_add_up_and_others_give_nothing() -> None:
    both = reach_of(["loopback", "processes", "parametrize"])
    assert (both.loopback, both.processes, both.network, both.names) == (True, True, False, False)
    assert reach_of(["parametrize"]) == reach_of([])


def test_every_marker_that_gives_a_reach_is_declared(pytestconfig: pytest.Config) -> None:
    declared = {line.partition(":")[0] for line in pytestconfig.getini("markers")}
    assert set(MARKERS) <= declared


@pytest.mark.parametrize(
    ("host", "here"),
    [
        pytest.param("127.0.0.1", True, id="IPv4"),
        pytest.param("127.9.9.9", True, id="all of 127/8"),
        pytest.param("::1", True, id="IPv6"),
        pytest.param(b"localhost", True, id="by name, as bytes"),
        pytest.param("", False, id="every address"),
        pytest.param(None, False, id="no host"),
        pytest.param("0.0.0.0", False, id="every IPv4 address"),  # noqa: S104
        pytest.param("10.0.0.1", False, id="the network beside"),
        pytest.param("example.org", False, id="a name"),
    ],
)
def test_what_is_this_machine(host: str | bytes | None, here: bool) -> None:
    assert is_loopback(host) is here
