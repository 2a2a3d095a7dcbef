"""What the HTTP interface enters in the audit log: what it shows, and refusals that cannot fill a disk."""

from datetime import timedelta
from pathlib import Path

import pytest

from processors.custody.audit_entry import AuditEntry
from schemas.errors import RetryableError
from streams.adapters.register.audit_log import EntryFilter, RegisterAuditLog, ShownEntry
from streams.serve.audit import MOST_ADDRESSES, MOST_OF_A_KEY, ServedAudit
from tests.support.serving import HandClock, Serving, serving


class Entries:
    """An audit log in memory, which may not answer."""

    def __init__(self) -> None:
        self.all: list[AuditEntry] = []
        self.down = False

    def append(self, entry: AuditEntry) -> None:
        if self.down:
            raise RetryableError("the register does not answer")
        self.all.append(entry)


def entered(server: Serving) -> list[ShownEntry]:
    return list(RegisterAuditLog(server.register, server.clock).find(EntryFilter(), 100))


@pytest.mark.loopback
def test_a_call_is_entered_before_it_is_shown_and_every_refusal_is(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        server.outcomes.of["acme", "c1"] = ("analyzed", "")
        reader = server.key(scopes=("calls:read",))
        writer = server.key("globex", scopes=("recordings:write",))
        other = server.key("globex", scopes=("calls:read",))
        with server.client(reader) as client:
            assert client.get("/v1/calls/c1").status_code == 200
        with server.client(other) as client:
            assert client.get("/v1/calls/c1").status_code == 404
        with server.client(writer) as client:
            assert client.get("/v1/calls/c1").status_code == 403
        with server.client("cs_nobody") as client:
            assert client.get("/v1/calls/c1").status_code == 401
            assert client.get("/v1/calls/c1").status_code == 401
        entries = entered(server)
        of_people = server.town.audit_log.entries
    told = [
        (each.read.entry.tenant_id, each.read.entry.result, each.read.entry.refusal, each.read.entry.call_id)
        for each in entries
    ]
    assert sorted(told, key=str) == sorted(
        [
            ("acme", "allowed", None, "c1"),
            ("globex", "refused", "not_found", "c1"),
        ],
        key=str,
    )
    actors = {each.read.entry.refusal: each.read.entry.actor for each in entries}
    assert actors[None] == reader.split("_")[1]
    assert actors["not_found"] == other.split("_")[1]
    assert [(each.tenant_id, each.result, each.refusal, each.actor) for each in of_people] == [
        ("globex", "refused", "scope", f"key:{writer.split('_')[1]}"),
        ("*", "refused", "no_token", "unknown"),
    ], "once for both requests of nobody"
    assert all(each.personal == {"address": "127.0.0.1"} for each in entries)
    assert all(each.read.entry.client == "api" for each in entries)


@pytest.mark.loopback
def test_a_call_that_cannot_be_entered_is_not_shown(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        server.outcomes.of["acme", "c1"] = ("analyzed", "")
        key = server.key(scopes=("calls:read",))
        with server.client(key) as client:
            assert client.get("/v1/calls/c1").status_code == 200
            with server.register.transaction() as tx:
                tx.connection.exec_driver_sql("ALTER TABLE audit_entries RENAME TO gone")
            answer = client.get("/v1/calls/c1")
            assert answer.status_code == 503
            assert "analyzed" not in answer.text


def test_refusals_without_a_key_are_counted_by_address_and_minute() -> None:
    entries, clock = Entries(), HandClock()
    audit = ServedAudit(entries, clock)
    for _ in range(1_000):
        audit.refuses("unauthorized", "192.0.2.1")
    audit.refuses("unauthorized", "192.0.2.2")
    assert [each.personal["address"] for each in entries.all] == ["192.0.2.1", "192.0.2.2"]
    clock.moment += timedelta(minutes=1)
    audit.flush()
    assert [dict(each.details) for each in entries.all[2:]] == [{"more": 999, "since": "2026-05-01T08:00:00+00:00"}]
    audit.refuses("unauthorized", "192.0.2.1")
    assert len(entries.all) == 4


def test_a_thousand_addresses_do_not_fill_a_disk() -> None:
    entries, clock = Entries(), HandClock()
    audit = ServedAudit(entries, clock)
    for number in range(5_000):
        audit.refuses("unauthorized", f"2001:db8::{number:x}")
    assert len(entries.all) == MOST_ADDRESSES + 1
    audit.flush(everything=True)
    assert entries.all[-1].details["more"] == 5_000 - MOST_ADDRESSES - 1


def test_refusals_of_a_key_are_entries_until_there_are_too_many() -> None:
    entries, clock = Entries(), HandClock()
    audit = ServedAudit(entries, clock)
    for number in range(500):
        audit.refuses("not_found", None, tenant_id="acme", key_id="k1", action="viewed_call", call_id=f"c{number}")
    assert len(entries.all) == MOST_OF_A_KEY + 1
    assert [each.call_id for each in entries.all[:3]] == ["c0", "c1", "c2"]
    clock.moment += timedelta(minutes=1)
    audit.flush()
    assert entries.all[-1].details["more"] == 500 - MOST_OF_A_KEY - 1
    audit.refuses("not_found", None, tenant_id="acme", key_id="k1", action="viewed_call", call_id="again")
    assert entries.all[-1].call_id == "again"


def test_a_register_that_does_not_answer_refuses_all_the_same() -> None:
    entries = Entries()
    entries.down = True
    ServedAudit(entries, HandClock()).refuses("unauthorized", "192.0.2.1")
    assert entries.all == []
