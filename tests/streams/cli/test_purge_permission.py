"""`callstream purge`, `erase`, `receipts` ask whether whoever runs them may; who it was, in which role, is entered."""

import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest

from processors.custody.purge import LATER_LOOK, PurgeOrder
from streams import purging, wiring
from streams.adapters.register.audit_log import RegisterAuditLog
from streams.adapters.register.erasures import RegisterErasures
from streams.adapters.register.migrate import migrate_register
from streams.adapters.register.register import Register, sqlite_url
from streams.cli.console import access
from streams.ports import SystemClock
from streams.stages.erase import Eraser
from tests.streams.cli.terminal import Terminal
from tests.support.people import OPERATOR, MemoryAuditLog, Town
from tests.support.purging import PurgeHouse, purge_house

PURGE = ("purge", "c1", "--tenant", "acme", "--reason", "request")
NUMBER = "13800130000"


@pytest.fixture
def log() -> MemoryAuditLog:
    return MemoryAuditLog()


@pytest.fixture
def town(tmp_path: Path, log: MemoryAuditLog, monkeypatch: pytest.MonkeyPatch) -> Iterator[Town]:
    """Whoever runs commands is `lina` of the machine, to whom nothing belongs, and `li_na` of the register."""
    register = Register(sqlite_url(tmp_path / "data" / "register" / "register.db"))
    migrate_register(register)
    monkeypatch.setattr(wiring, "audit_log_of", lambda _register, _clock: log)
    monkeypatch.setattr(access, "account", lambda: "lina")
    monkeypatch.setattr(access, "is_operator", lambda _folder: False)
    made = Town(register, SystemClock(), log)
    made.accounts.add(OPERATOR, "li_na", "acme", os_user="lina")
    yield made
    register.close()


@pytest.fixture
def house(town: Town, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PurgeHouse:
    """What the commands purge: rows of ClickHouse are in memory."""
    house = purge_house(town.register, tmp_path / "objects")

    def eraser(*_: object) -> Eraser:
        purger = house.purger()
        erasures = RegisterErasures(town.register, house.clock, house.audit)
        return Eraser(erasures, purger, house.tables, lambda _keys, _calls: 0, purger.sign, house.clock)

    monkeypatch.setattr(purging, "purger_from", lambda *_: house.purger())
    monkeypatch.setattr(purging, "eraser_from", eraser)
    made = {"acme": ["callstream_own_acme.cohorts"]}
    monkeypatch.setattr(purging, "copies_of_analysts", lambda _settings, tenant: made.get(tenant, []))
    return house


def test_who_may_not_delete_destroys_nothing_and_is_entered(
    town: Town, house: PurgeHouse, log: MemoryAuditLog, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    town.person("li_na", "inspector", teams=["sales"])
    monkeypatch.setattr(sys, "stdin", StringIO(NUMBER))

    refused = [
        terminal.run(*PURGE),
        terminal.run("purge", "--go-on"),
        terminal.run("erase", "--customer", "-", "--tenant", "acme", "--reason", "request"),
        terminal.run("erase", "list", "--tenant", "acme"),
        terminal.run("erase", "list"),
        terminal.run("erase", "show", "nothing"),
    ]

    assert [one.code for one in refused] == [1] * len(refused)
    assert all("may not do that" in one.err for one in refused)
    assert [(e.actor, e.tenant_id, e.result) for e in log.of("purged")] == [
        ("li_na", "acme", "refused"),
        ("li_na", "*", "refused"),
    ]
    assert [e.tenant_id for e in log.of("erased", "refused")] == ["acme", "acme", "*", "*"]
    assert house.audit.all == []
    assert house.purges.all(None, 10) == []


def test_an_administrator_purges_her_tenant_alone_and_is_in_every_entry(
    town: Town, house: PurgeHouse, terminal: Terminal
) -> None:
    town.person("li_na", "administrator")

    done = terminal.run(*PURGE, "--ticket", "T-1")
    other = terminal.run("purge", "c1", "--tenant", "other", "--reason", "request")

    assert done.code == 0, done.err
    assert "callstream_own_acme.cohorts" in done.err, "where copies may lie is said"
    assert other.code == 1
    (entry,) = house.audit.all
    assert (entry.actor, entry.role, entry.action, entry.ticket) == ("li_na", "administrator", "purged", "T-1")
    (row,) = house.purges.all(None, 10)
    assert (row.order.actor, row.order.role) == ("li_na", "administrator")
    assert terminal.run("receipts", "show", row.state.purge_id).code == 0


def test_a_receipt_of_another_tenant_is_not_shown(town: Town, house: PurgeHouse, terminal: Terminal) -> None:
    town.person("li_na", "administrator")
    done = house.purger().purge(PurgeOrder("other", "request", "bo"), ["c9"])

    shown = terminal.run("receipts", "show", done.purges[0])

    assert (shown.code, shown.out) == (1, "")


def test_a_request_of_a_customer_is_entered_with_who_wrote_it_down_and_what_goes_later_too(
    town: Town, house: PurgeHouse
) -> None:
    erasures = RegisterErasures(town.register, house.clock, RegisterAuditLog(town.register, house.clock))
    asked = erasures.ask("acme", ["5c" * 32], "request", "li_na", None, "administrator")
    order = PurgeOrder("acme", "erasure", asked.actor, erasure_id=asked.erasure_id, role=asked.role)
    house.holds.open("acme", "c1", "K-1")
    house.purger().purge(order, ["c1"], erases=True)
    house.holds.release("acme", "c1", "K-1")
    house.clock.pass_(LATER_LOOK)

    house.purger().go_on()

    assert [(e.action, e.actor, e.role) for e in house.audit.all] == [
        ("blocked", "li_na", "administrator"),
        ("purged", "li_na", "administrator"),
    ]


def test_what_is_kept_no_longer_is_destroyed_by_the_keeper(house: PurgeHouse) -> None:
    house.purger().due("acme", {"c1": ()}, reason="retention_over", policy_version="7")

    (entry,) = house.audit.all
    assert (entry.actor, entry.role) == ("callstream", "keeper")
