"""Commands of operators, where ClickHouse, the object store, PostgreSQL or `serve` does not answer: each ends soon,
names the address and what to do, and has done nothing.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from streams.adapters.kafka.client import apply_topics
from streams.adapters.object_store.from_settings import object_store_from
from streams.adapters.register.migrate import migrate_register
from streams.adapters.register.register import Register
from streams.embedded.ports import free_port
from streams.settings import load_settings
from streams.wiring import prepare_keys
from tests.streams.cli.terminal import Terminal
from tests.support.brokers import running_broker
from tests.support.registers import entered

pytestmark = [pytest.mark.loopback, pytest.mark.processes]

LETTER = "00000000-0000-0000-0000-000000000000"
ENDS_WITHIN_S = 40


@pytest.fixture
def address() -> str:
    """Where nobody listens."""
    return f"127.0.0.1:{free_port()}"


@pytest.fixture
def register(terminal: Terminal) -> Register:
    """Of an installation on this machine that has a bucket and keys, and no call."""
    assert terminal is not None
    settings = load_settings().settings
    made = Register.of(settings)
    migrate_register(made)
    prepare_keys(settings)
    object_store_from(settings).apply()
    return made


def require_sentence(terminal: Terminal, command: str, *parts: str) -> None:
    """The command ends soon, with 4 and one error that has all of this in it."""
    began_s = time.monotonic()
    ended: Any = terminal.run(*command.split())
    assert time.monotonic() - began_s < ENDS_WITHIN_S
    assert (ended.code, ended.out) == (4, "")
    said = ended.err.splitlines()[-1]
    assert said.startswith("callstream: ")
    assert [part for part in parts if part not in said] == []
    assert "Traceback" not in ended.err
    assert "hush-hush" not in ended.err


@pytest.mark.parametrize(
    "command",
    [
        "dead-letters list",
        f"dead-letters show {LETTER}",
        "dead-letters retry",
        "dead-letters retry --dry-run",
        "dead-letters discard --step judge --reason corrected",
        "check data",
        "check data --repair all --dry-run",
        "custody prove --no-erase",
        "custody prove",
    ],
)
def test_clickhouse_is_named(terminal: Terminal, register: Register, address: str, command: str) -> None:
    terminal.set(clickhouse_url=f"http://u:hush-hush@{address}/callstream")
    said = f"ClickHouse did not answer connecting to {address}; start it, "
    require_sentence(terminal, command, said, "CALLSTREAM_CLICKHOUSE_URL")
    assert entered(register) == []


@pytest.mark.embedded
def test_no_repair_is_entered_where_clickhouse_does_not_answer(
    terminal: Terminal, register: Register, address: str, tmp_path: Path
) -> None:
    terminal.set(clickhouse_url=f"http://u:hush-hush@{address}/callstream")
    with running_broker("tansu", tmp_path) as broker:
        apply_topics(broker)
        terminal.set(kafka_bootstrap=broker.kafka_bootstrap, kafka_flavour="tansu")
        require_sentence(terminal, "check data --repair all", f"connecting to {address}; start it, ")
    assert entered(register) == []


@pytest.mark.parametrize("command", ["check data --repair all", "custody prove --no-erase", "custody prove"])
def test_the_object_store_is_named(terminal: Terminal, register: Register, address: str, command: str) -> None:
    terminal.set(store_kind="s3", s3_endpoint=address, s3_secure=False, s3_access_key="a", s3_secret_key="hush-hush")
    said = f"the object store does not answer as it should at {address}: NewConnectionError; start it, "
    require_sentence(terminal, command, said, "CALLSTREAM_S3_ENDPOINT")
    assert entered(register) == []


@pytest.mark.parametrize(
    "command",
    [
        "dead-letters list",
        f"dead-letters show {LETTER}",
        "dead-letters retry",
        "dead-letters discard --step judge --reason corrected",
        "check data --repair all",
        "custody prove --no-erase",
        "custody prove",
        "backup restore",
    ],
)
def test_postgresql_is_named(terminal: Terminal, address: str, command: str) -> None:
    terminal.set(register_url=f"postgresql+pg8000://u:hush-hush@{address}/callstream")
    said = f"PostgreSQL does not answer at {address}; start it, "
    require_sentence(terminal, command, said, "CALLSTREAM_REGISTER_URL")


@pytest.mark.embedded
def test_a_proof_takes_nothing_in_where_serve_does_not_answer(
    terminal: Terminal, register: Register, address: str, tmp_path: Path, new_database: Callable[[], str]
) -> None:
    objects = load_settings().settings.data_dir / "objects"
    with running_broker("tansu", tmp_path) as broker:
        apply_topics(broker)
        terminal.set(kafka_bootstrap=broker.kafka_bootstrap, kafka_flavour="tansu", clickhouse_url=new_database())
        url = f"http://{address}"
        said = f"serve does not answer at {url}: NewConnectionError; start it, "
        require_sentence(terminal, f"custody prove --no-erase --url {url}", said, "--url")
    assert entered(register) == []
    assert [path for path in objects.rglob("*") if path.is_file()] == []
