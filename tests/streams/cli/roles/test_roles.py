"""`callstream roles` as a security officer meets it."""

from pathlib import Path

import pytest

from processors.clickhouse.grants import sql_statements, users_xml
from schemas.config.roles import load_roles, load_users
from tests.streams.cli.terminal import Terminal

REPOSITORY = Path(__file__).parents[4]
EXAMPLE = REPOSITORY / "deploy" / "clickhouse" / "users.example.yaml"
ROLES = load_roles()


def test_sql_prints_the_statements_for_a_server(terminal: Terminal) -> None:
    ended = terminal.run("roles", "sql", "--users", EXAMPLE, "--cluster", "analytics")
    assert (ended.code, ended.err) == (0, "")
    statements = sql_statements(ROLES, load_users(EXAMPLE, ROLES), "callstream", "analytics")
    assert ended.out.splitlines() == [f"{statement};" for statement in statements]


def test_users_xml_prints_the_file_for_a_server(terminal: Terminal) -> None:
    ended = terminal.run("roles", "users-xml", "--users", EXAMPLE, "--database", "calls")
    assert (ended.code, ended.out) == (0, users_xml(ROLES, load_users(EXAMPLE, ROLES), "calls"))


def test_the_settings_name_users_and_database_where_no_option_does(terminal: Terminal) -> None:
    terminal.set(clickhouse_users_file=EXAMPLE, clickhouse_url="http://callstream@127.0.0.1:8123/own")
    assert terminal.run("roles", "users-xml").out == users_xml(ROLES, load_users(EXAMPLE, ROLES), "own")


def test_show_says_for_every_view_and_role_what_it_may(terminal: Terminal) -> None:
    lines = terminal.run("roles", "show", "--users", EXAMPLE).out.splitlines()
    shown = {
        cells[0]: cells[1:] for cells in ([cell.strip() for cell in line.split("│")[1:-1]] for line in lines) if cells
    }
    assert shown["calls"] == ["own tenants", "own teams", "–", "–"]
    assert shown["calls_with_customers"] == ["–", "own teams", "–", "–"]
    assert shown["own_calls"] == ["–", "–", "own calls", "–"]
    assert shown["whole_calls"] == ["–", "–", "–", "–"]
    assert [
        line for line in lines if line.startswith("agent_1007, agent: tenant_id IN ('acme') AND agent_id IN ('1007')")
    ]


AUDITED = {"access_log", "custody_events", "purges", "meters"}
"""What an auditor may read."""


def test_show_prints_the_same_for_programs(terminal: Terminal) -> None:
    shown = terminal.run("roles", "show", "--users", EXAMPLE, "--json").json
    assert set(shown["roles"]) == set(ROLES.roles)
    assert set(shown["roles"]["auditor"]["views"]) == AUDITED
    assert "calls_with_customers" not in shown["roles"]["bi_analyst"]["views"]
    assert shown["roles"]["inspector"]["views"]["calls_with_customers"] == {"rows": "team"}
    assert shown["users"]["chen_jing"] == {"role": "auditor", "filters": dict.fromkeys(AUDITED, "1")}


@pytest.mark.parametrize("command", ["sql", "users-xml", "show"])
def test_a_file_of_users_that_does_not_fit_ends_with_its_line(command: str, terminal: Terminal) -> None:
    file = terminal.file("users.yaml", "users:\n- {name: ana, role: king, password_sha256: " + "a" * 64 + "}\n")
    ended = terminal.run("roles", command, "--users", file)
    assert (ended.code, ended.out) == (3, "")
    assert "users.yaml:2: user ana: there is no role king" in ended.err


def test_the_page_shows_what_the_command_prints(terminal: Terminal) -> None:
    page = (REPOSITORY / "docs" / "roles.md").read_text(encoding="utf-8")
    table = terminal.run("roles", "show").out.split("bi_analyst: ")[0].strip()
    assert table in page, "put the table of `callstream roles show` into docs/roles.md"


def test_the_page_tells_of_every_role_in_both_languages() -> None:
    page = (REPOSITORY / "docs" / "roles.md").read_text(encoding="utf-8")
    for name, role in ROLES.roles.items():
        assert f"| `{name}` | {role.purpose_zh.split('：')[0]} |" in page
