"""Attacks on who is asked, who is logged and where alerts go: accounts, addresses."""

import os
import pwd
import subprocess
import sys
from types import SimpleNamespace

import pytest
from pydantic import TypeAdapter

from schemas.messages.message import Identifier
from streams.adapters.channels.http_sender import allows_host, is_allowed
from streams.cli.console.access import account

HIDDEN_ADDRESSES = {
    "metadata behind a translator without state": "::ffff:0:169.254.169.254",
    "metadata behind a tunnel of the site": "2001:4860::5efe:169.254.169.254",
    "metadata behind a tunnel, as a global id": "2a01:111::200:5efe:a9fe:a9fe",
    "metadata of Google by IPv6": "fd20:ce::254",
    "credentials of EKS by IPv6": "fd00:ec2::23",
    "credentials of ECS": "169.254.170.2",
    "a zone id that is written as in a URL": "fe80::1%25lo",
    "metadata in Teredo": "2001:0:a9fe:a9fe::1",
    "an octal that Python refuses": "0251.0376.0251.0376",
}
NOT_PUBLIC = {
    "loopback behind a translator": "::ffff:0:127.0.0.1",
    "an id of segment routing": "5f00::1",
    "nothing that was ever given out": "64:ff9b::1:a00:1",
    "loopback in ISATAP": "2001:4860::5efe:7f00:1",
    "documentation": "2001:db8::1",
    "benchmarks": "198.18.0.1",
}


def test_nothing_is_sent_to_metadata_however_it_is_written() -> None:
    for name, address in HIDDEN_ADDRESSES.items():
        assert not is_allowed(address, allow_private=True), name


@pytest.mark.names
def test_no_other_way_to_write_an_address_is_a_name() -> None:
    for host in ("2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "169.254.43518", "①⑥⑨.②⑤④.①⑥⑨.②⑤④"):
        assert not allows_host(host, True), host


def test_what_is_not_public_must_be_allowed() -> None:
    for name, address in NOT_PUBLIC.items():
        assert not is_allowed(address, allow_private=False), name
    assert is_allowed("2001:4860:4860::8888", allow_private=False)
    assert is_allowed("2001:4860::5efe:8.8.8.8", allow_private=False)


@pytest.mark.processes
def test_no_variable_of_the_environment_decides_who_is_logged() -> None:
    liar = dict.fromkeys(("LOGNAME", "USER", "LNAME", "USERNAME", "SUDO_USER", "HOME", "LOGIN"), "somebody_else")
    code = "from streams.cli.console.access import account; print(account())"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        env={**liar, "PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == account()


@pytest.mark.parametrize("name", ["_apt", "李雷", "-x", "a/../b", "名" * 200, "DOMAIN\\user name", ".hidden"])
def test_every_account_has_a_name_that_the_log_takes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pwd, "getpwuid", lambda _number: SimpleNamespace(pw_name=name))
    assert TypeAdapter(Identifier).validate_python(account())
