"""Installations that are backed up, and places for backups."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from streams.adapters.backup.target import BackupTarget
from streams.adapters.register.register import Register, sqlite_url
from tests.support.backed_up import House, new_database, opened_house, target_in
from tests.support.clickhouse_engine import RunningEngine
from tests.support.registers import BOTH_AT_NIGHT, new_register_url


@pytest.fixture(params=BOTH_AT_NIGHT)
def register_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """As everywhere; but each test has an installation of its own, and most are tried on PostgreSQL at night."""
    return new_register_url(request.param, request, tmp_path)


@pytest.fixture
def house(register: Register, engine: RunningEngine, tmp_path: Path) -> Iterator[House]:
    with opened_house(register, engine.url(new_database()), tmp_path / "house") as opened:
        yield opened


@pytest.fixture
def new_house(house: House, engine: RunningEngine, tmp_path: Path) -> Iterator[House]:
    """Empty, on SQLite, with the wrapping keys of the other."""
    with ExitStack() as stack:
        register = Register(sqlite_url(tmp_path / "new" / "register.db"))
        stack.callback(register.close)
        url = engine.url(new_database())
        yield stack.enter_context(opened_house(register, url, tmp_path / "new", empty=True, wrapper=house.wrapper))


@pytest.fixture
def target(tmp_path: Path) -> BackupTarget:
    return target_in(tmp_path / "backups")
