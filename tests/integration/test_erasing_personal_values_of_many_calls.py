"""A customer who called for years is erased from the audit log, on both databases, by statements that each can take."""

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import event

from processors.custody.audit_entry import AuditEntry
from schemas.errors import InvalidMessageError
from streams.adapters.register.audit_log import RegisterAuditLog
from streams.adapters.register.register import Register
from streams.ports import SystemClock
from tests.support.registers import BOTH

pytestmark = [pytest.mark.parametrize("register_url", BOTH, indirect=True)]

MOST_VALUES = 2_000
"""Of a statement; PostgreSQL's driver takes 32,767, and SQLite as many where it was built so."""


def entry(call_id: str, address: str) -> AuditEntry:
    at = datetime(2026, 5, 1, tzinfo=UTC)
    return AuditEntry(
        at, "li_na", "inspector", "listened", "acme", "allowed", "console", call_id, personal={"address": address}
    )


def test_values_of_very_many_calls_go(register: Register) -> None:
    log = RegisterAuditLog(register, SystemClock())
    for call_id in ("c0", "c4999", "other"):
        log.append(entry(call_id, "192.0.2.7"))
    sizes: list[int] = []

    def count(_connection: Any, _cursor: Any, _statement: str, values: Any, *_: Any) -> None:
        sizes.append(len(values))

    event.listen(register.engine, "before_cursor_execute", count)
    try:
        calls = [("acme", f"c{number}") for number in range(5_000)]
        assert log.erase_personal(values=[f"k{number}" for number in range(3_000)], calls=calls) == 2
    finally:
        event.remove(register.engine, "before_cursor_execute", count)

    assert max(sizes) <= MOST_VALUES


def test_half_a_character_is_refused_as_such(register: Register) -> None:
    log = RegisterAuditLog(register, SystemClock())
    with pytest.raises(InvalidMessageError, match="no text"):
        log.append(entry("c1", "192.0.2.\udcff"))
