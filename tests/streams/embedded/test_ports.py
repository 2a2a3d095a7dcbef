"""A port that is kept for the engine is nobody else's, and a process knows which ports are its own."""

import os
import socket
import subprocess
import sys

import pytest

from streams.embedded.ports import LOOPBACK, PortTakenError, listens_here, reserve_port

pytestmark = [pytest.mark.loopback, pytest.mark.processes]

TAKES = (
    "import os, socket, sys; os.setuid(int(sys.argv[3])); s = socket.socket(); "
    "s.setsockopt(socket.SOL_SOCKET, getattr(socket, sys.argv[2]), 1); "
    "s.bind(('127.0.0.1', int(sys.argv[1]))); s.listen()"
)
NOBODY = 65534


def can_take(port: int, option: str, user: int | None = None) -> bool:
    """Whether another process, of another user where one is given, gets to listen on the port."""
    command = [sys.executable, "-I", "-c", TAKES, str(port), option, str(os.getuid() if user is None else user)]
    ended = subprocess.run(command, stderr=subprocess.PIPE, timeout=60, check=False, cwd="/")
    assert ended.returncode == 0 or b"Address already in use" in ended.stderr, ended.stderr
    return ended.returncode == 0


def test_a_port_that_is_kept_is_given_to_no_program_that_does_not_share_it() -> None:
    with reserve_port(0, "a test") as kept:
        port = kept.getsockname()[1]
        assert not can_take(port, "SO_REUSEADDR")
        assert can_take(port, "SO_REUSEPORT")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((LOOPBACK, port), timeout=5)
    assert can_take(port, "SO_REUSEADDR")


@pytest.mark.skipif(os.getuid() != 0, reason="only root starts programs as another user")
@pytest.mark.parametrize("option", ["SO_REUSEADDR", "SO_REUSEPORT"])
def test_another_user_of_the_machine_does_not_get_a_port_that_is_kept(option: str) -> None:
    with reserve_port(0, "a test") as kept:
        assert not can_take(kept.getsockname()[1], option, NOBODY)


@pytest.mark.parametrize("option", [socket.SO_REUSEADDR, socket.SO_REUSEPORT])
def test_a_port_that_a_program_listens_on_is_not_kept(option: int) -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, option, 1)
        other.bind((LOOPBACK, 0))
        other.listen()
        with pytest.raises(PortTakenError, match="a test cannot listen"):
            reserve_port(other.getsockname()[1], "a test")


def test_a_process_knows_its_own_ports_from_those_of_others() -> None:
    with socket.create_server((LOOPBACK, 0)) as own:
        port = own.getsockname()[1]
        assert listens_here(port)
        asked = f"from streams.embedded.ports import listens_here; print(listens_here({port}))"
        assert subprocess.check_output([sys.executable, "-P", "-c", asked], text=True).strip() == "False"
    assert not listens_here(port)
