"""API keys in the register, on SQLite and on PostgreSQL alike."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from processors.custody.api_keys import ApiKeyError, is_key, parts_of
from schemas.messages.custody_changed import CustodyChanged
from streams.adapters.register.api_keys import FreshKey, RegisterApiKeys
from streams.adapters.register.outbox import Outbox
from streams.adapters.register.register import Register
from streams.adapters.register.tables import api_keys, outbox
from tests.support.serving import HandClock

NOW = datetime(2026, 5, 1, 8, tzinfo=UTC)


@pytest.fixture
def clock() -> HandClock:
    return HandClock(NOW)


@pytest.fixture
def keys(register: Register, clock: HandClock) -> RegisterApiKeys:
    return RegisterApiKeys(register, clock)


def issued(keys: RegisterApiKeys, tenant_id: str = "acme", days: int = 365) -> FreshKey:
    return keys.issue(tenant_id, "exchange", ["recordings:write"], NOW + timedelta(days=days), actor="ops")


def told(register: Register) -> list[tuple[str, str | None]]:
    """Kind and key of each event that waits in the outbox."""
    events = [CustodyChanged.decode(each.record.value) for each in Outbox(register).waiting(100)]
    return [(event.kind, event.api_key_id) for event in events]


def test_a_key_is_found_by_its_id_as_it_was_issued(keys: RegisterApiKeys) -> None:
    fresh = issued(keys)
    parts = parts_of(fresh.text)
    assert parts is not None
    found = keys.find(parts[0])
    assert found == fresh.key
    assert is_key(found, parts[1], NOW)
    assert keys.find("a" * 12) is None


def test_the_register_and_what_it_tells_hold_no_secret(register: Register, keys: RegisterApiKeys) -> None:
    secret = issued(keys).text.split("_", 2)[2]
    with register.reading() as tx:
        kept: list[Any] = [*tx.execute(select(api_keys)).all(), *tx.execute(select(outbox)).all()]
    assert kept
    assert secret not in repr(kept)


def test_a_rotated_key_and_its_heir_are_kept_together_and_told(register: Register, keys: RegisterApiKeys) -> None:
    former = issued(keys)
    heir = keys.rotate(former.key.key_id, timedelta(hours=24), None, actor="ops")
    kept = keys.find(former.key.key_id)
    assert kept is not None
    assert (kept.replaced_by, kept.expires_at) == (heir.key.key_id, NOW + timedelta(hours=24))
    assert keys.find(heir.key.key_id) == heir.key
    assert told(register) == [
        ("api_key_made", former.key.key_id),
        ("api_key_made", heir.key.key_id),
        ("api_key_replaced", former.key.key_id),
    ]


def test_a_refused_change_changes_and_tells_nothing(register: Register, keys: RegisterApiKeys) -> None:
    with pytest.raises(ApiKeyError):
        keys.revoke("a" * 12, actor="ops")
    key_id = issued(keys).key.key_id
    keys.revoke(key_id, actor="ops")
    with pytest.raises(ApiKeyError):
        keys.rotate(key_id, timedelta(0), None, actor="ops")
    keys.revoke(key_id, actor="ops")
    assert told(register) == [("api_key_made", key_id), ("api_key_revoked", key_id)]
    assert len(keys.list()) == 1


def test_keys_are_listed_by_tenant_with_their_last_use(keys: RegisterApiKeys) -> None:
    one, other = issued(keys, "acme").key, issued(keys, "globex").key
    keys.note_use(one.key_id, NOW + timedelta(hours=2))
    keys.note_use(one.key_id, NOW + timedelta(hours=1))
    assert [(each.key, each.used_at) for each in keys.list("acme")] == [(one, NOW + timedelta(hours=2))]
    assert {each.key.key_id for each in keys.list()} == {one.key_id, other.key_id}


def test_of_many_that_rotate_one_key_at_once_one_makes_its_heir(keys: RegisterApiKeys) -> None:
    key_id = issued(keys).key.key_id

    def rotate(_number: int) -> bool:
        try:
            keys.rotate(key_id, timedelta(hours=1), None, actor="ops")
        except ApiKeyError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(rotate, range(8))) == 1
    assert len(keys.list()) == 2
