"""`callstream search` and `export` ask whether whoever runs them may, and stay within their teams."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from schemas.messages.call_ended import Role
from streams import wiring
from streams.adapters.clickhouse.connection import connect
from streams.adapters.clickhouse.migrate import migrate
from streams.adapters.register.register import Register
from streams.cli.console import access
from streams.ports import SystemClock
from tests.streams.cli.terminal import Terminal
from tests.support.access_log import accesses, register_of
from tests.support.clickhouse_engine import RunningEngine
from tests.support.people import OPERATOR, MemoryAuditLog, Town
from tests.support.stored_calls import T0, Call, Store

pytestmark = pytest.mark.embedded


@pytest.fixture(scope="module")
def store(engine: RunningEngine) -> Iterator[Store]:
    url = engine.url(f"test_{uuid4().hex}")
    migrate(url)
    client = connect(url)
    stored = Store(url, client)
    words: tuple[tuple[Role, str], ...] = (("agent", "退款"),)
    stored.write(
        Call("sales1", words, team="sales", agent="1001", order_id="O-1"),
        Call("care1", words, team="care", agent="1002", order_id="O-1", ended_at=T0 - timedelta(days=1)),
        Call("other1", words, tenant="other", team="sales"),
        Call(
            "judged2",
            tenant="judged",
            team="sales",
            agent="1001",
            ended_at=T0 - timedelta(days=1),
            rules=(("reading", "suspected_rude", "随便"),),
            triggers=("reading",),
        ),
        Call(
            "judged1",
            (("agent", "随便"),),
            tenant="judged",
            team="sales",
            agent="1001",
            rules=(
                ("rules", "finance.promise", "保本"),
                ("like", "finance.alike", "保息"),
                ("reading", "suspected_rude", "随便"),
            ),
            triggers=("reading", "customer_agitated"),
        ),
    )
    yield stored
    client.close()


@pytest.fixture
def log() -> MemoryAuditLog:
    return MemoryAuditLog()


@pytest.fixture
def register(tmp_path: Path) -> Iterator[Register]:
    register = register_of(tmp_path / "data")
    yield register
    register.close()


@pytest.fixture
def town(register: Register, log: MemoryAuditLog, monkeypatch: pytest.MonkeyPatch) -> Town:
    """Whoever runs commands is `lina` of the machine, to whom nothing belongs, and `li_na` of the register."""
    monkeypatch.setattr(wiring, "audit_log_of", lambda _register, _clock: log)
    monkeypatch.setattr(access, "account", lambda: "lina")
    monkeypatch.setattr(access, "is_operator", lambda _folder: False)
    made = Town(register, SystemClock(), log)
    made.accounts.add(OPERATOR, "li_na", "acme", os_user="lina")
    return made


@pytest.fixture
def there(store: Store, terminal: Terminal) -> Terminal:
    terminal.set(clickhouse_url=store.url)
    return terminal


def found(there: Terminal, *arguments: str) -> list[str]:
    done = there.run("search", "退款", *arguments, "--json")
    assert done.code == 0, done.err
    return sorted(call["call_id"] for call in done.json["calls"])


def test_an_inspector_finds_the_calls_of_the_own_teams(there: Terminal, town: Town, register: Register) -> None:
    town.person("li_na", "inspector", teams=["sales"])
    assert found(there, "--tenant", "acme") == ["sales1"]
    line = accesses(register)[-1]
    assert (line.user_id, line.user_role, line.calls_count) == ("li_na", "inspector", 1)
    assert found(there, "--tenant", "acme", "--team", "sales") == ["sales1"]
    assert found(there, "--tenant", "acme", "--agent", "1002") == []


def test_what_is_asked_of_others_is_refused_and_entered(there: Terminal, town: Town, log: MemoryAuditLog) -> None:
    town.person("li_na", "inspector", teams=["sales"])
    for arguments, refusal in (
        (("--tenant", "acme", "--team", "care"), "other_team"),
        (("--tenant", "other"), "other_tenant"),
        (("--tenant", "other", "--team", "sales"), "other_tenant"),
    ):
        done = there.run("search", "退款", *arguments)
        assert done.code == 1
        assert done.out == ""
        assert "may not" in done.err
        last = log.of("searched", "refused")[-1]
        assert (last.actor, last.refusal, last.client) == ("li_na", refusal, "cli")


def test_an_agent_finds_the_own_calls(there: Terminal, town: Town) -> None:
    town.person("li_na", "agent", agent_id="1002")
    assert found(there, "--tenant", "acme") == ["care1"]
    assert there.run("search", "退款", "--tenant", "acme", "--agent", "1001").code == 1


def test_only_who_sees_who_the_customer_is_searches_by_number_or_order(
    there: Terminal, town: Town, log: MemoryAuditLog
) -> None:
    """R21 to R23, R72: what SQL withholds from a role is not told by a search either."""
    there.set(customer_key_secret="s" * 32)
    told = (("--phone", "13800138000"), ("--order", "O-1"))
    for role, scope in (("bi_analyst", {}), ("agent", {"agent_id": "1001"})):
        grant = town.accounts.give(OPERATOR, "li_na", role, "acme", **scope)  # type: ignore[arg-type]
        for by in told:
            done = there.run("search", "--tenant", "acme", *by)
            assert (done.code, done.out) == (1, ""), role
            assert "tells a customer apart" in done.err
            assert "13800138000" not in done.err
            last = log.of("searched", "refused")[-1]
            assert (last.actor, last.role, last.refusal) == ("li_na", role, "no_customer")
        (hit,) = there.run("search", "退款", "--tenant", "acme", "--agent", "1001", "--json").json["calls"]
        assert hit["order_id"] is None
        town.accounts.revoke_grant(OPERATOR, "li_na", grant.grant_id)
    done = there.run("search", "--tenant", "acme", *told[0])
    assert done.code == 1
    assert "needs a role that allows it" in done.err, "who has no role at all learns nothing more"


def by_rule(there: Terminal, *arguments: str) -> list[str]:
    """The calls that are found, or what is said where there are none."""
    done = there.run("search", "--tenant", "judged", *arguments, "--json")
    assert done.code == 0, done.err
    return [call["call_id"] for call in done.json["calls"]] or done.err.splitlines()


@pytest.mark.parametrize("role", ["agent", "privacy_officer"])
def test_who_sees_no_suspicion_neither_sees_nor_finds_one(
    role: str, there: Terminal, town: Town, log: MemoryAuditLog, register: Register
) -> None:
    town.person("li_na", role, "judged", agent_id="1001" if role == "agent" else None)
    done = there.run("search", "--tenant", "judged", "--trigger", "customer_agitated", "--trigger", "reading")
    assert (done.code, done.out) == (1, "")
    assert "suspicions" in done.err
    last = log.of("searched", "refused")[-1]
    assert (last.actor, last.role, last.refusal) == ("li_na", role, "no_suspicion")
    assert by_rule(there, "--selected") == by_rule(there, "--trigger", "customer_agitated") == ["judged1"]
    (hit,) = there.run("search", "随便", "--tenant", "judged", "--json").json["calls"]
    assert hit["triggers"] == ["customer_agitated"]
    assert by_rule(there, "--rule", "finance.promise") == ["judged1"]
    for rule in ("finance.alike", "suspected_rude"):
        nobody = by_rule(there, "--rule", rule)
        assert nobody[0].startswith(f"no call of judged has the rule {rule}"), "as of a rule that there is not"
        assert "did you mean suspected" not in nobody[0]
        assert by_rule(there, "--not-rule", rule) == ["judged1", "judged2"]
        assert by_rule(there, "--rule", "finance.promise", "--not-followed-by", f"rule:{rule}") == ["judged1"]
        assert by_rule(there, "随便", "--not-preceded-by", f"rule:{rule}") == ["judged1"]
    assert "with_suspicions" not in accesses(register)[-1].filters


@pytest.mark.parametrize("role", ["bi_analyst", "inspector"])
def test_who_sees_suspicions_in_sql_finds_calls_by_them(role: str, there: Terminal, town: Town) -> None:
    town.person("li_na", role, "judged", teams=["sales"] if role == "inspector" else None)
    assert by_rule(there, "--selected", "--rule", "suspected_rude") == ["judged1", "judged2"]
    assert by_rule(there, "--trigger", "reading") == ["judged1", "judged2"]
    (hit,) = there.run("search", "随便", "--tenant", "judged", "--json").json["calls"]
    assert hit["triggers"] == ["customer_agitated", "reading"]


def test_of_the_own_calls_an_inspector_who_is_an_agent_sees_suspicions_in_the_team_alone(
    there: Terminal, town: Town
) -> None:
    town.person("li_na", "agent", "judged", agent_id="1001")
    town.person("li_na", "inspector", "judged", teams=["care"])
    assert there.run("search", "--tenant", "judged", "--agent", "1001", "--trigger", "reading").code == 1
    assert by_rule(there, "--agent", "1001", "--rule", "finance.promise") == ["judged1"]
    assert there.run("search", "--tenant", "judged", "--team", "care", "--trigger", "reading").code == 0


def test_by_number_an_analyst_who_inspects_a_team_searches_that_team(there: Terminal, town: Town) -> None:
    town.person("li_na", "bi_analyst")
    town.person("li_na", "inspector", teams=["sales"])
    assert found(there, "--tenant", "acme", "--order", "O-1") == ["sales1"]
    by_id = {
        call["call_id"]: call["order_id"]
        for call in there.run("search", "退款", "--tenant", "acme", "--json").json["calls"]
    }
    assert by_id == {"sales1": "O-1", "care1": None}


def test_an_analyst_finds_those_of_the_tenant_and_may_export_none(
    there: Terminal, town: Town, log: MemoryAuditLog, tmp_path: Path
) -> None:
    town.person("li_na", "bi_analyst")
    assert found(there, "--tenant", "acme") == ["care1", "sales1"]
    assert there.run("search", "退款", "--tenant", "acme", "--tenant", "other").code == 1
    day = (
        "export",
        "parquet",
        "--day",
        f"{T0:%Y-%m-%d}",
        "--tenant",
        "acme",
        "--with-customers",
        "--out",
        tmp_path / "out",
    )
    done = there.run(*day)
    assert done.code == 1
    assert not (tmp_path / "out").exists()
    assert log.of("exported", "refused")[-1].refusal == "not_granted"
    town.person("li_na", "administrator")
    assert there.run(*day).code == 0


def test_whoever_has_no_account_here_may_nothing(there: Terminal, town: Town, log: MemoryAuditLog) -> None:
    town.accounts.disable(OPERATOR, "li_na")
    assert there.run("search", "退款", "--tenant", "acme").code == 1
    assert log.of("searched", "refused")[-1].role == "none"


def test_the_owner_of_the_data_directory_searches_as_operator_where_the_account_may_not(
    there: Terminal, town: Town, register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    town.person("li_na", "approver")
    monkeypatch.setattr(access, "is_operator", lambda _folder: True)
    assert found(there, "--tenant", "acme", "--tenant", "other") == ["care1", "other1", "sales1"]
    assert {(each.user_id, each.user_role) for each in accesses(register)[-2:]} == {("os:lina", "operator")}
