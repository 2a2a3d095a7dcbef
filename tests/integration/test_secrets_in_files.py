"""A password is changed while a worker runs: it goes on with the new one, without anybody's doing."""

import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex

import pytest
from sqlalchemy import func, select

from schemas.messages.custody_changed import CustodyChanged
from streams.adapters.register.register import Register
from streams.adapters.register.tables import outbox
from streams.embedded.ports import LOOPBACK
from streams.embedded.stack import Stack, worker_spec
from streams.settings import variable_of
from tests.support.postgresql_server import PostgresqlServer
from tests.support.stack import running_stack, wait_until

AT = datetime(2026, 11, 30, 9, 15, tzinfo=UTC)


def change(register: Register, number: int) -> None:
    with register.transaction() as tx:
        tx.outbox(
            CustodyChanged.of(
                "intake_announced", tenant_id="acme", call_id=f"c{number}", actor="k", at=AT, count=number
            )
        )


def unsent(register: Register) -> int:
    with register.reading() as tx:
        return int(tx.execute(select(func.count()).where(outbox.c.sent_at.is_(None))).scalar_one())


def start_relay(stack: Stack, secrets: Path, log: Path) -> "subprocess.Popen[bytes]":
    """A worker that has the address of the register from the folder alone."""
    spec = worker_spec("relay", 0, stack.settings, restart=False)
    env = {name: value for name, value in {**os.environ, **spec.env}.items() if name != variable_of("register_url")}
    env[variable_of("secrets_dir")] = str(secrets)
    with log.open("wb") as written:
        return subprocess.Popen(spec.argv, env=env, cwd=spec.cwd, stderr=written)


@pytest.mark.postgresql
@pytest.mark.embedded
def test_a_worker_goes_on_when_the_password_of_the_register_is_changed(
    postgresql: PostgresqlServer, tmp_path: Path
) -> None:
    role, database = f"app_{token_hex(4)}", f"register_{token_hex(6)}"
    with postgresql.connection() as admin:
        admin.run(f"CREATE ROLE {role} LOGIN PASSWORD 'first'")
        admin.run(f"CREATE DATABASE {database} OWNER {role}")

    def url(password: str) -> str:
        return f"postgresql+pg8000://{role}:{password}@{LOOPBACK}:{postgresql.port}/{database}"

    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "register_url").write_text(url("first") + "\n")
    with running_stack("tansu", tmp_path / "stack", {"register_url": url("first")}, stages=()) as stack:
        relay = start_relay(stack, secrets, tmp_path / "relay.log")
        try:
            register = Register(url("first"))
            change(register, 1)
            wait_until(stack, lambda: unsent(register) == 0, lambda: "the relay to publish")
            register.close()

            with postgresql.connection() as admin:
                admin.run(f"ALTER ROLE {role} PASSWORD 'second'")
            (secrets / ".new").write_text(url("second"))
            (secrets / ".new").rename(secrets / "register_url")
            wait_until(
                stack,
                lambda: "have changed: register_url" in (tmp_path / "relay.log").read_text(),
                lambda: "the relay to hear of it",
            )
            with postgresql.connection() as admin:
                admin.run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{role}'")  # noqa: S608
            register = Register(url("second"))
            change(register, 2)
            wait_until(stack, lambda: unsent(register) == 0, lambda: "the relay to publish with the new password")
            register.close()
            assert relay.poll() is None, "no supervisor has seen an end"
        finally:
            relay.kill()
            relay.wait()
    assert "first" not in (tmp_path / "relay.log").read_text()
