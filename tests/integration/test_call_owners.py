"""Whose call it is: from ClickHouse once it is stored, before that from the register."""

from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from processors.custody.intake import Announced, Free, Intake, Stored
from schemas.errors import OperatorError, RetryableError
from streams.adapters.clickhouse.call_owners import ClickHouseCallOwners
from streams.adapters.clickhouse.connection import connect
from streams.adapters.clickhouse.migrate import migrate
from streams.ports import CallOwner
from tests.support.clickhouse_engine import RunningEngine
from tests.support.stored_calls import Call, Store

pytestmark = pytest.mark.embedded


def known(tenant_id: str, call_id: str) -> Intake:
    """One call that is stored and not announced yet, and one that is."""
    now = datetime(2026, 5, 1, tzinfo=UTC)
    if (tenant_id, call_id) == ("acme", "coming"):
        event = Call("coming", agent="1003", team="care").event.encode()
        return Stored("a", "key", "serve", "0" * 64, event, now)
    if call_id == "announced":
        return Announced("a", "key", "serve", "0" * 64, now, 5)
    return Free()


@pytest.fixture(scope="module")
def url(engine: RunningEngine) -> Iterator[str]:
    url = engine.url(f"test_{uuid4().hex}")
    migrate(url)
    client = connect(url)
    Store(url, client).write(Call("c1", agent="1001", team="sales"), Call("c2", agent="1002"))
    yield url
    client.close()


def test_a_call_is_of_its_agent_and_team_and_of_its_tenant_alone(url: str) -> None:
    owners = ClickHouseCallOwners(url, known)
    try:
        assert owners.owner("acme", "c1") == CallOwner("1001", "sales")
        assert owners.owner("acme", "c2") == CallOwner("1002", None)
        assert owners.owner("acme", "coming") == CallOwner("1003", "care")
        assert owners.owner("other", "c1") is None
        assert owners.owner("acme", "never") is None
        assert owners.owner("acme", "announced") is None, "on its way: whose it is, is known once it is stored"
    finally:
        owners.close()


def test_a_database_that_does_not_answer_is_no_answer() -> None:
    owners = ClickHouseCallOwners("http://nobody@127.0.0.1:9/none", known)
    with pytest.raises((RetryableError, OperatorError)):
        owners.owner("acme", "c1")
