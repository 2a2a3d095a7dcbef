"""`callstream audit show` and `export` are for who has the right `audit`, and reading the log is an entry of it."""

from collections.abc import Iterator

import pytest

from processors.custody.authorization import ACTIONS
from streams.adapters.register.audit_log import EntryFilter, RegisterAuditLog
from streams.adapters.register.register import Register
from streams.cli.console import access
from streams.ports import SystemClock
from tests.streams.cli.terminal import Terminal
from tests.support.access_log import register_of
from tests.support.cases import every_case
from tests.support.people import OPERATOR, ROLES, Town


@pytest.fixture
def register(terminal: Terminal) -> Iterator[Register]:
    register = register_of(terminal.folder / "data")
    yield register
    register.close()


@pytest.fixture
def log(register: Register) -> RegisterAuditLog:
    return RegisterAuditLog(register, SystemClock())


@pytest.fixture
def town(register: Register, monkeypatch: pytest.MonkeyPatch) -> Town:
    """Whoever runs commands is `lina` of the machine, to whom nothing belongs, and `li_na` of the register."""
    monkeypatch.setattr(access, "account", lambda: "lina")
    monkeypatch.setattr(access, "is_operator", lambda _folder: False)
    made = Town(register, SystemClock())
    made.accounts.add(OPERATOR, "li_na", "acme", os_user="lina")
    return made


def newest(log: RegisterAuditLog, action: str) -> tuple[str, str, str, str, str | None]:
    entry = log.find(EntryFilter(action=action, actor="li_na"), 1)[0].read.entry
    return entry.actor, entry.role, entry.tenant_id, entry.result, entry.refusal


def test_every_role_reads_the_log_of_its_tenant_or_is_refused_and_either_is_an_entry(
    terminal: Terminal, town: Town, log: RegisterAuditLog
) -> None:
    with every_case() as cases:
        for name, role in ROLES.items():
            scope = {"teams": ["sales"]} if role.rows == "team" else {"agent_id": "1"} if role.rows == "agent" else {}
            grant = town.accounts.give(OPERATOR, "li_na", name, "acme", **scope)
            may = "audit" in role.actions
            with cases.case(name):
                done = terminal.run("audit", "show", "--tenant", "acme")
                assert done.code == (0 if may else 1)
                refusal = None if may else "not_granted" if role.rows == "tenant" else f"other_{role.rows}"
                result = "allowed" if may else "refused"
                assert newest(log, "searched") == ("li_na", name, "acme", result, refusal)
                if not may:
                    assert done.out == ""
                    assert "may not do that in tenant acme" in done.err
            town.accounts.revoke_grant(OPERATOR, "li_na", grant.grant_id)
    assert {name for name, role in ROLES.items() if "audit" in role.actions} == {"auditor", "administrator"}
    assert "audit" in ACTIONS


def test_an_auditor_stays_within_the_tenants_that_they_audit(
    terminal: Terminal, town: Town, log: RegisterAuditLog
) -> None:
    town.person("li_na", "auditor")
    for arguments in (
        ("show", "--tenant", "other"),
        ("show",),
        ("show", "--tenant", "*"),
        ("export", "--out", "log.jsonl"),
    ):
        done = terminal.run("audit", *arguments)
        assert (done.code, done.out) == (1, ""), arguments
    assert not (terminal.folder / "log.jsonl").exists()
    assert newest(log, "exported") == ("li_na", "none", "*", "refused", "other_tenant")
    town.person("li_na", "auditor", "*")
    log.sequence()
    for arguments in (("show", "--tenant", "other"), ("show",), ("export", "--out", "log.jsonl")):
        done = terminal.run("audit", *arguments)
        assert done.code == 0, (arguments, done.err)
    assert newest(log, "exported") == ("li_na", "auditor", "*", "allowed", None)
