"""The files of roles and users as people write them: what fits, and what is said of what does not."""

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

import pytest
import yaml

from schemas.config.roles import (
    RESERVED_USERS,
    ROLES_FILE,
    RolesFile,
    RolesFileError,
    UsersFileError,
    load_roles,
    load_users,
)
from streams.embedded.clickhouse_engine import ANALYST, WRITER

ROLES = load_roles()
DIGEST = "a" * 64
EXAMPLE = Path(__file__).parents[3] / "deploy" / "clickhouse" / "users.example.yaml"


def users_of(folder: Path, *users: Mapping[str, object]) -> Path:
    file = folder / "users.yaml"
    file.write_text(yaml.safe_dump({"users": [{"password_sha256": DIGEST, **user} for user in users]}))
    return file


def test_the_example_file_has_a_user_of_every_role() -> None:
    assert {user.role for user in load_users(EXAMPLE, ROLES)} == set(ROLES.roles)


def test_without_a_file_there_is_nobody() -> None:
    assert load_users(None, ROLES) == ()


def test_the_names_of_the_engine_are_not_for_others() -> None:
    assert {ANALYST, WRITER, "watcher", "default"} == RESERVED_USERS


def test_a_password_is_read_beside_the_file_and_hashed(tmp_path: Path) -> None:
    (tmp_path / "ana.password").write_text("hush hush\n")
    file = tmp_path / "users.yaml"
    file.write_text("users:\n- {name: ana, role: bi_analyst, tenants: [acme], password_file: ana.password}\n")
    (user,) = load_users(file, ROLES)
    assert user.password_sha256 == sha256(b"hush hush").hexdigest()
    assert "hush" not in repr(user)


@pytest.mark.parametrize(
    ("user", "sentence"),
    [
        pytest.param({"role": "king"}, "no role king", id="an unknown role"),
        pytest.param({"role": "bi_analyst"}, "needs tenants", id="an analyst without tenants"),
        pytest.param({"role": "inspector", "tenants": ["acme"]}, "needs teams", id="an inspector without teams"),
        pytest.param({"role": "inspector", "teams": ["a"]}, "needs tenants", id="an inspector without tenants"),
        pytest.param({"role": "agent", "tenants": ["acme"]}, "needs agent", id="an agent without a number"),
        pytest.param(
            {"role": "agent", "tenants": ["a", "b"], "agent": "1"}, "exactly one", id="an agent of two tenants"
        ),
        pytest.param({"role": "agent", "tenants": ["*"], "agent": "1"}, "exactly one", id="an agent of all tenants"),
        pytest.param(
            {"role": "bi_analyst", "tenants": ["acme"], "teams": ["a"]},
            "does not look at teams",
            id="an analyst of a team, who would see all",
        ),
        pytest.param(
            {"role": "auditor", "tenants": ["acme"], "own_database": True},
            "only bi_analyst",
            id="an auditor who would write",
        ),
        pytest.param({"role": "admin", "tenants": ["acme"]}, "does not look at tenants", id="an admin of one tenant"),
        pytest.param({"role": "bi_analyst", "tenants": ["*", "acme"]}, "either", id="all tenants and one"),
        pytest.param({"name": "analyst", "role": "admin"}, "belongs to callstream", id="a name of the engine"),
        pytest.param({"name": "agent", "role": "admin"}, "name of a role", id="the name of a role"),
        pytest.param({"name": "o'neil", "role": "admin"}, "name", id="a name that is none in SQL"),
        pytest.param({"role": "admin", "password_sha256": "hush"}, "password_sha256", id="a password that is no hash"),
        pytest.param({"role": "admin", "password_file": "x"}, "password_sha256 or", id="two passwords"),
        pytest.param({"role": "admin", "password": "hush"}, "password", id="a password in clear"),
        pytest.param({"role": "admin", "networks": ["x'"]}, "networks", id="a network that is none"),
    ],
)
def test_a_user_that_does_not_fit_is_named_with_its_line(
    user: dict[str, object], sentence: str, tmp_path: Path
) -> None:
    file = users_of(tmp_path, {"name": "paula", "role": "admin"}, {"name": "ana"} | user)
    with pytest.raises(UsersFileError) as refused:
        load_users(file, ROLES)
    (problem,) = refused.value.problems
    second = [number for number, line in enumerate(file.read_text().splitlines(), 1) if line.startswith("- ")][1]
    assert problem.startswith(f"{file}:")
    assert int(problem.removeprefix(f"{file}:").split(":")[0]) >= second
    assert sentence in problem
    assert "hush" not in problem


def test_a_user_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    twice = {"name": "ana", "role": "admin"}
    with pytest.raises(UsersFileError, match="user ana occurs twice"):
        load_users(users_of(tmp_path, twice, twice), ROLES)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [pytest.param(None, "cannot be read: FileNotFoundError", id="absent"), pytest.param("\n", "is empty", id="empty")],
)
def test_a_password_file_that_gives_none_is_named(content: str | None, sentence: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "p").write_text(content)
    file = tmp_path / "users.yaml"
    file.write_text("users:\n- {name: ana, role: admin, password_file: p}\n")
    with pytest.raises(UsersFileError, match=f"user ana: password_file .* {sentence}"):
        load_users(file, ROLES)


def changed(change: str) -> str:
    """roles.yaml with one view more, or with another `access_log`."""
    return ROLES_FILE.read_text(encoding="utf-8").replace("  access_log:   #", f"{change}\n  access_log:   #", 1)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        pytest.param(
            "  news:\n    rows: {tenant: tenant_id}\n    may: {bi_analyst: {}}\n    withheld: [agent, auditor]",
            "view news does not say whether inspector may read it",
            id="a role that nobody has decided about",
        ),
        pytest.param(
            "  news:\n    rows: {tenant: tenant_id}\n    may: {auditor: {}}\n"
            "    withheld: [agent, auditor, bi_analyst, inspector]",
            "view news says twice what auditor may",
            id="given and withheld",
        ),
        pytest.param(
            "  news:\n    rows: {tenant: tenant_id}\n    may: {agent: {}}\n"
            "    withheld: [auditor, bi_analyst, inspector]",
            "view news has no column by which agent could be given its rows",
            id="rows that cannot be told apart",
        ),
        pytest.param(
            "  news:\n    rows: {tenant: tenant_id}\n    columns: {a: [x], b: [y]}\n    may: {auditor: {}}\n"
            "    withheld: [agent, bi_analyst, inspector]",
            "a view with groups of columns is given to nobody",
            id="a view that is given by columns",
        ),
        pytest.param(
            "  news:\n    part_of: whole_calls\n    groups: [c]\n    comment: News.\n    may: {auditor: {}}\n"
            "    withheld: [agent, bi_analyst, inspector]",
            "view news has groups c, which whole_calls has not",
            id="an unknown group",
        ),
        pytest.param(
            "  news:\n    part_of: whole_calls\n    groups: [customer]\n    comment: News.\n"
            "    rows: {tenant: tenant_id}\n    may: {auditor: {}}\n    withheld: [agent, bi_analyst, inspector]",
            "view news lacks tenant_id, which says whose a row is",
            id="a part without the columns of its rows",
        ),
        pytest.param(
            "  news:\n    part_of: gossip\n    groups: [a]\n    comment: News.\n    may: {}\n"
            "    withheld: [agent, bi_analyst, inspector, auditor]",
            "view news is part of gossip, which no view is",
            id="a part of nothing",
        ),
        pytest.param(
            "  news:\n    groups: [facts]\n    may: {}\n    withheld: [agent, bi_analyst, inspector, auditor]",
            "needs part_of, groups and comment",
            id="half a part",
        ),
        pytest.param(
            "  news:\n    rows: {tenant: tenant_id}\n    withheld: [agent, bi_analyst, inspector, auditor, admin]",
            "view news names admin",
            id="a role that needs no view",
        ),
        pytest.param(
            "  call_versions:\n    rows: {tenant: tenant_id}\n    withheld: [agent, bi_analyst, inspector, auditor]",
            "call_versions is a view and storage",
            id="a table as a view",
        ),
    ],
)
def test_a_definition_with_something_open_is_refused(change: str, sentence: str, tmp_path: Path) -> None:
    file = tmp_path / "roles.yaml"
    file.write_text(changed(change), encoding="utf-8")
    with pytest.raises(RolesFileError, match=sentence):
        load_roles(file)


@pytest.mark.parametrize(
    "role",
    [
        pytest.param({"rows": "tenant"}, id="people without limits"),
        pytest.param({"rows": "tenant", "grants": ["SELECT ON *.*"]}, id="people with grants of their own"),
        pytest.param({"rows": "all"}, id="everything without a grant"),
    ],
)
def test_a_role_is_of_people_with_limits_or_of_work_with_grants(role: dict[str, object]) -> None:
    content = {"version": 1, "views": {}, "storage": {}, "roles": {"one": {"purpose": "", "purpose_zh": ""} | role}}
    with pytest.raises(ValueError, match="either limits, or grants"):
        RolesFile.model_validate(content)
