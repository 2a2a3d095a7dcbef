"""`callstream user`: who may add, change and see accounts, on a machine of one's own and on a shared one."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from processors.custody.accounts import parts_of_token
from streams import wiring
from streams.adapters.passwords import Passwords
from streams.adapters.register.migrate import migrate_register
from streams.adapters.register.register import Register, sqlite_url
from streams.cli.console import access
from streams.cli.main import app
from streams.cli.user import registered
from streams.ports import SystemClock
from tests.support.people import PASSWORD, MemoryAuditLog, Town


class Machine:
    """A machine with a register; commands run as `user`, to whom the data directory belongs or not."""

    def __init__(self, register: Register, audit_log: MemoryAuditLog, monkeypatch: pytest.MonkeyPatch) -> None:
        self.town = Town(register, SystemClock(), audit_log)
        self.audit_log = audit_log
        self.user, self.owns = "root", True
        for module in (access, registered):
            monkeypatch.setattr(module, "account", lambda: self.user)
        monkeypatch.setattr(access, "is_operator", lambda _folder: self.owns)

    def run(self, *arguments: str, given: str | None = None) -> Result:
        return CliRunner().invoke(app, ["user", *arguments], input=given)

    def become(self, user: str) -> None:
        self.user, self.owns = user, False

    def json(self, *arguments: str) -> list[dict[str, object]]:
        done = self.run(*arguments, "--json")
        assert done.exit_code == 0, done.output
        found: list[dict[str, object]] = json.loads(done.stdout)
        return found


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    monkeypatch.setenv("CALLSTREAM_DATA_DIR", str(tmp_path))
    register = Register(sqlite_url(tmp_path / "register" / "register.db"))
    migrate_register(register)
    log = MemoryAuditLog()
    monkeypatch.setattr(wiring, "audit_log_of", lambda _register, _clock: log)
    yield Machine(register, log, monkeypatch)
    register.close()


def test_the_operator_adds_somebody_gives_a_role_and_takes_it_again(machine: Machine) -> None:
    assert machine.run("add", "li_na", "--home", "acme", "--password-file", "-", given=f"{PASSWORD}\n").exit_code == 0
    done = machine.run("grant", "li_na", "inspector", "--tenant", "acme", "--team", "售后一组", "--days", "30")
    assert done.exit_code == 0, done.output
    (row,) = machine.json("list")
    assert (row["account"], row["signs_in_by"], row["state"]) == ("li_na", ["password"], "enabled")
    (grant,) = json.loads(machine.run("show", "li_na", "--json").stdout)["grants"]
    assert (grant["role"], grant["teams"], grant["state"]) == ("inspector", ["售后一组"], "holds")
    assert "售后一组" in machine.run("list").stdout + machine.run("show", "li_na").stdout
    assert machine.run("revoke-grant", "li_na", grant["grant_id"]).exit_code == 0
    assert machine.json("list")[0]["grants"] == []
    assert machine.run("disable", "li_na").exit_code == 0
    assert machine.json("list")[0]["state"] == "disabled"
    assert machine.run("enable", "li_na").exit_code == 0
    entries = [(each.action, each.actor, each.role) for each in machine.audit_log.entries]
    kinds = ["account_added", "role_granted", "role_revoked", "account_disabled", "account_enabled"]
    assert entries == [(kind, "os:root", "operator") for kind in kinds], "breaking the glass is an entry each time"
    kept = machine.town.accounts.find("li_na")
    assert kept is not None
    assert Passwords().is_password(kept.password_hash, PASSWORD)
    assert PASSWORD not in str(kept)


def test_the_first_administrator_is_added_by_whoever_comes_first_and_nobody_after(machine: Machine) -> None:
    machine.become("boss")
    assert machine.run("add", "boss", "--home", "*").exit_code == 1, "an account without a role is none for the first"
    assert machine.run("add", "boss", "--administrator", "--os-user", "boss").exit_code == 0
    machine.become("mallory")
    refused = machine.run("add", "mallory", "--administrator", "--os-user", "mallory")
    assert refused.exit_code == 1
    assert [each["account"] for each in _as(machine, "boss").json("list")] == ["boss"]
    last = machine.audit_log.of("account_added", "refused")[-1]
    assert (last.actor, last.role) == ("os:mallory", "none")


def _as(machine: Machine, user: str) -> Machine:
    machine.become(user)
    return machine


@pytest.fixture
def shared(machine: Machine) -> Machine:
    """A machine of many: `ada` administers acme, `eve` other; `li_na` is an approver of acme."""
    assert machine.run("add", "ada", "--home", "acme", "--administrator", "--os-user", "ada").exit_code == 0
    assert machine.run("add", "eve", "--home", "other", "--administrator", "--os-user", "eve").exit_code == 0
    assert machine.run("add", "li_na", "--home", "acme", "--os-user", "lina").exit_code == 0
    assert machine.run("grant", "li_na", "approver", "--tenant", "acme").exit_code == 0
    return machine


def test_an_administrator_knows_and_changes_the_own_tenant_alone(shared: Machine) -> None:
    assert [each["account"] for each in _as(shared, "ada").json("list")] == ["ada", "li_na"]
    assert [each["account"] for each in _as(shared, "eve").json("list")] == ["eve"]
    refused = len(shared.audit_log.of("role_granted", "refused"))
    for arguments in (
        ("show", "li_na"),
        ("disable", "li_na"),
        ("password", "li_na", "--password-file", "-"),
        ("grant", "li_na", "approver", "--tenant", "acme"),
        ("grant", "eve", "approver", "--tenant", "other"),
        ("add", "more", "--home", "acme"),
        ("add", "more", "--home", "other", "--os-user", "root"),
    ):
        assert shared.run(*arguments, given=f"{PASSWORD}\n").exit_code == 1, arguments
    assert len(shared.audit_log.of("role_granted", "refused")) == refused + 2
    assert _as(shared, "ada").run("grant", "li_na", "bi_analyst", "--tenant", "acme").exit_code == 0
    assert shared.run("disable", "li_na").exit_code == 0
    assert shared.audit_log.entries[-1].actor == "ada"


def test_everybody_sets_the_own_password_and_makes_the_own_tokens(shared: Machine) -> None:
    _as(shared, "lina")
    assert shared.run("password", "li_na", "--password-file", "-", given=f"{PASSWORD}\n").exit_code == 0
    assert shared.run("password", "li_na", "--password-file", "-", given="too short\n").exit_code == 1
    done = shared.run("token", "add", "li_na", "--scope", "approve", "--label", "nightly")
    assert done.exit_code == 0, done.output
    parts = parts_of_token(done.stdout.strip())
    assert parts is not None, "nothing else stands on standard output"
    (row,) = shared.json("token", "list", "li_na")
    assert (row["label"], row["scopes"], row["state"]) == ("nightly", ["approve"], "holds")
    assert parts[1] not in shared.run("token", "list", "li_na").output
    assert shared.run("token", "add", "li_na", "--scope", "listen").exit_code == 1, "the account may not"
    assert shared.run("token", "add", "ada", "--scope", "administer").exit_code == 1, "of somebody else"
    assert _as(shared, "ada").run("token", "add", "li_na", "--scope", "approve").exit_code == 1, "nor an administrator"
    assert shared.run("token", "revoke", "li_na", parts[0]).exit_code == 0
    assert [row["state"] for row in shared.json("token", "list", "li_na")] == ["revoked"]


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(("add", "x", "--oidc-issuer", "https://login.acme.example"), id="half a subject"),
        pytest.param(("token", "add", "li_na", "--scope", "everything"), id="a scope that is none"),
        pytest.param(("grant", "li_na", "approver"), id="no tenant"),
        pytest.param(("token", "add", "li_na", "--scope", "approve", "--days", "0"), id="no time"),
    ],
)
def test_a_wrong_command_line_changes_nothing(arguments: tuple[str, ...], shared: Machine) -> None:
    before = len(shared.audit_log.entries)
    assert shared.run(*arguments).exit_code == 2
    assert len(shared.audit_log.entries) == before


def test_nobody_is_asked_for_a_password_who_is_not_there(machine: Machine, tmp_path: Path) -> None:
    assert machine.run("add", "li_na", "--home", "acme", "--password").exit_code == 1
    assert machine.run("add", "li_na", "--home", "acme", "--password-file", str(tmp_path / "none")).exit_code == 1
    (tmp_path / "secret").write_text(f"{PASSWORD}\n")
    assert machine.run("add", "li_na", "--home", "acme", "--password-file", str(tmp_path / "secret")).exit_code == 0


def test_the_owner_of_the_data_directory_is_the_operator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    mine = tmp_path.stat().st_uid
    for number, folder, owns in (
        (0, tmp_path, True),
        (mine, tmp_path, True),
        (mine, tmp_path / "not" / "there" / "yet", True),
        (mine + 1, tmp_path, False),
        (mine + 1, tmp_path / "not" / "there" / "yet", False),
    ):
        monkeypatch.setattr(os, "getuid", lambda number=number: number)
        assert access.is_operator(folder) is owns
