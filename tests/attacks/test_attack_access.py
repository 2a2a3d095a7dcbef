"""Attacks on who is asked, who is logged and where alerts go: accounts, addresses."""

import os
import pwd
import subprocess
import sys
from base64 import b64encode
from pathlib import Path
from types import SimpleNamespace

import pytest
from pydantic import TypeAdapter

from schemas.messages.message import Identifier
from streams.adapters.channels.http_sender import allows_host, is_allowed
from streams.cli.console.access import account
from streams.embedded.environment import handed_on
from streams.embedded.stack import worker_spec
from streams.runtime.landlock import can_be_held
from streams.settings import Settings, SettingsError, load_settings
from streams.topology import WORKER_NAMES

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


@pytest.mark.processes
def test_who_takes_over_the_decoder_finds_no_password_in_the_environment_of_its_worker_nor_in_a_file(
    tmp_path: Path,
) -> None:
    """Its own environment has none; but it runs as the same user, whose processes and files lie open to it."""
    if not can_be_held():
        pytest.skip("the kernel has no Landlock")
    secret = tmp_path / "stack.toml"
    secret.write_text("password")
    code = f"""
import os
from streams.adapters.decoder import child
child.read_programs_alone()
import colorsys
for place in (f"/proc/{{os.getppid()}}/environ", "/proc/1/environ", {str(secret)!r}):
    try:
        print(open(place, "rb").read())
    except PermissionError:
        print("refused")
"""
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.split() == [b"refused"] * 3, done.stderr


KAFKA_WORKERS = (
    *("serve", "listen", "receive", "judge", "store", "watch", "second_read", "sweep", "relay", "notify"),
    *("collect", "reconcile", "audit", "keep", "observe", "heal"),
)
SECRETS = {
    "kafka_sasl_password": KAFKA_WORKERS,
    "kafka_ssl_key_password": KAFKA_WORKERS,
    "clickhouse_url": (
        "observe",
        "serve",
        "judge",
        "store",
        "watch",
        "rollup",
        "second_read",
        "reconcile",
        "audit",
        "keep",
        "play",
        "heal",
    ),
    "s3_secret_key": ("serve", "listen", "receive", "sweep", "collect", "audit", "keep", "play", "heal"),
    "archive_s3_secret_key": ("keep", "play"),
    "speech_api_key": ("listen",),
    "second_reader_secret_key": ("second_read",),
    "customer_key_secret": ("serve", "collect"),
    "customer_key_former_secrets": ("serve", "collect"),
    "audio_keys": ("serve", "listen", "collect", "keep", "play"),
    "transcript_keys": ("listen", "receive", "keep", "play", "heal"),
    "received_keys": ("serve", "receive"),
    "register_url": (
        *("serve", "listen", "receive", "sweep", "relay", "collect", "audit", "judge", "store", "second_read"),
        *("notify", "keep", "play", "watch", "reconcile", "rollup", "observe", "heal"),
    ),
    "audit_checkpoint_secret": ("audit",),
}
"""And who needs them."""


def test_a_settings_file_with_every_secret_gives_no_worker_one_of_another(tmp_path: Path) -> None:
    file = tmp_path / "callstream.toml"
    values = {name: f"secret-of-{name}-that-is-long-enough" for name in SECRETS}
    key = b64encode(bytes(32)).decode()
    values |= {name: f"secret-of-{name}:{key}" for name in ("audio_keys", "transcript_keys", "received_keys")}
    values["customer_key_former_secrets"] = r"{\"1\": \"secret-of-customer_key_former_secrets\"}"
    values["clickhouse_url"] = f"http://u:{values['clickhouse_url']}@localhost:1/db"
    values["register_url"] = f"postgresql+pg8000://u:{values['register_url']}@localhost:1/db"
    file.write_text("".join(f'{name} = "{value}"\n' for name, value in values.items()))
    settings = load_settings({"CALLSTREAM_CONFIG": str(file)}).settings
    for stage in WORKER_NAMES:
        spec = worker_spec(stage, 0, settings, restart=False)
        told = " ".join((*spec.env.values(), *spec.argv))
        assert [name for name in SECRETS if f"secret-of-{name}" in told] == [
            name for name, stages in SECRETS.items() if stage in stages
        ]
        assert str(file) not in told


@pytest.mark.parametrize(
    "variable", ["callstream_s3_secret_key", "Callstream_S3_Secret_Key", "CALLSTREAM_s3_secret_key"]
)
def test_a_secret_under_a_name_of_other_case_starts_nothing_and_is_handed_to_nobody(variable: str) -> None:
    """`notify` is given every variable that is no setting: a secret that was misspelt would go there."""
    with pytest.raises(SettingsError, match="is not a setting"):
        load_settings({variable: "secret"})
    for stage in WORKER_NAMES:
        spec = worker_spec(stage, 0, Settings(), restart=False)
        assert handed_on({variable: "secret"}, spec.variables) == {}
