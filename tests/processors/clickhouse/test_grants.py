"""The two forms of one definition: what a server gets as SQL and what it gets as users.xml is the same."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

import pytest

from processors.clickhouse.grants import (
    EVERYWHERE,
    FREE_SETTINGS,
    PREFIX,
    TOOL_SETTINGS,
    AccessNameError,
    access_of,
    grants_of,
    own_databases,
    settings_of,
    sql_statements,
    table_guards,
    users_xml,
)
from schemas.clickhouse.cluster import Cluster, to_sql
from schemas.clickhouse.migrations import load_migrations, split_statements
from schemas.clickhouse.views import load_views
from schemas.config.roles import User, load_roles

ROLES = load_roles()
PEOPLE = [name for name, role in ROLES.roles.items() if role.of_people]
USERS = (
    User(name="ana", role="bi_analyst", tenants=("acme", "beta"), password_sha256="a" * 64, networks=("10.0.0.0/8",)),
    User(name="ines", role="inspector", tenants=("acme",), teams=("north", "o'neil \\ <b>"), password_sha256="b" * 64),
    User(name="paul", role="agent", tenants=("acme",), agent="1001", password_sha256="c" * 64),
    User(name="audrey", role="auditor", tenants=("*",), password_sha256="d" * 64),
    User(name="worker", role="pipeline_writer", password_sha256="e" * 64),
    User(name="keeper", role="custody_keeper", password_sha256="0" * 64),
    User(name="boss", role="admin", password_sha256="f" * 64),
)


@dataclass
class Told:
    """What a server is told of one user."""

    password: str = ""
    hosts: set[str] = field(default_factory=set)
    grants: set[str] = field(default_factory=set)
    filters: dict[str, str] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)
    queries_per_hour: str = ""


def only(pattern: str, statements: tuple[str, ...]) -> list[re.Match[str]]:
    return [match for statement in statements if (match := re.fullmatch(pattern, statement))]


def told_by_sql() -> dict[str, Told]:
    statements = sql_statements(ROLES, USERS, "callstream")
    told = {}
    role_of = {user: role for role, user in (m.groups() for m in only(r"GRANT (\w+) TO (\w+)", statements))}
    profiles = {m[1]: m[2] for m in only(r"CREATE SETTINGS PROFILE OR REPLACE (\w+) SETTINGS (.*)", statements)}
    profile_of = {m[1]: m[2] for m in only(r"ALTER ROLE (\w+) SETTINGS PROFILE '(\w+)'", statements)}
    quotas = {
        m[2]: m[1] for m in only(r"CREATE QUOTA .* INTERVAL 3600 second MAX queries = (\d+)[^;]*? TO (\w+)", statements)
    }
    policies = r"CREATE ROW POLICY OR REPLACE (\w+) ON callstream\.(\w+) FOR SELECT USING (.*) AS PERMISSIVE TO (\w+)"
    for match in only(r"CREATE USER OR REPLACE (\w+) IDENTIFIED WITH sha256_hash BY '(\w+)' HOST (.*)", statements):
        name, password, rest = match.groups()
        role = role_of[name]
        hosts = set(re.findall(r"'([0-9./:]+)'", rest.split(" SETTINGS")[0])) or {"::/0"}
        shown = Told(password, hosts, queries_per_hour=quotas.get(role, ""))
        shown.grants = {m[1] for m in only(rf"GRANT (.* ON .*) TO {role}", statements)}
        who = {name} if ROLES.roles[role].of_people else {role, "ALL"}
        shown.filters = {m[2]: m[3] for m in only(policies, statements) if m[4] in who}
        if role in profile_of:
            assert f"SETTINGS PROFILE '{profile_of[role]}'" in rest
            for part in profiles[profile_of[role]].split(", "):
                setting = re.fullmatch(
                    r"(\w+)(?: = (\d+))?(?: MIN (\d+) MAX (\d+))?(?: CONST)?( CHANGEABLE_IN_READONLY)?", part
                )
                assert setting, part
                fixed = part.endswith(" CONST")
                shown.settings[setting[1]] = f"{setting[2]} {setting[3]}-{setting[4]} {bool(setting[5])} {fixed}"
        told[name] = shown
    return told


def told_by_xml() -> dict[str, Told]:
    root = ElementTree.fromstring(users_xml(ROLES, USERS, "callstream"))  # noqa: S314 - our own text
    told = {}
    for user in root.iterfind("users/*"):
        shown = Told(user.findtext("password_sha256_hex") or "")
        shown.hosts = {ip.text or "" for ip in user.iterfind("networks/ip")}
        shown.grants = {(query.text or "").removeprefix("GRANT ") for query in user.iterfind("grants/query")}
        shown.filters = {view.tag: view.findtext("filter") or "" for view in user.iterfind("databases/callstream/*")}
        profile = root.find(f"profiles/{user.findtext('profile')}")
        if profile is not None:
            names = {each.tag for each in [*profile, *profile.iterfind("constraints/*")]} - {"constraints"}
            for name in names:
                limits = profile.find(f"constraints/{name}")
                least, most = (None, None) if limits is None else (limits.findtext("min"), limits.findtext("max"))
                changeable = limits is not None and limits.find("changeable_in_readonly") is not None
                fixed = limits is not None and limits.find("readonly") is not None
                shown.settings[name] = f"{profile.findtext(name)} {least}-{most} {changeable} {fixed}"
            shown.queries_per_hour = root.findtext(f"quotas/{user.findtext('quota')}/interval/queries") or ""
        told[user.tag] = shown
    return told


def test_a_server_is_told_the_same_by_sql_and_by_xml() -> None:
    by_sql, by_xml = told_by_sql(), told_by_xml()
    assert set(by_sql) == set(by_xml) == {user.name for user in USERS}
    for name, shown in by_sql.items():
        assert shown == by_xml[name], name
        assert shown.grants
        assert shown.filters


def test_what_is_told_is_what_the_definition_says() -> None:
    for user in USERS:
        shown = told_by_xml()[user.name]
        access = access_of(user, ROLES, "callstream")
        assert shown.grants == set(access.grants)
        guards = {} if ROLES.roles[user.role].of_people else table_guards(USERS, ROLES)
        assert shown.filters == {**access.filters, **guards}


def test_a_table_is_guarded_by_who_asks_and_not_by_in_whose_name() -> None:
    guards = table_guards(USERS, ROLES)
    assert guards["kpi_rollup_rows"] == (
        "NOT currentUser() IN ('', 'ana', 'ines', 'paul')"
        " OR (currentUser() IN ('ana') AND (tenant_id IN ('acme', 'beta')))"
        r" OR (currentUser() IN ('ines') AND (tenant_id IN ('acme') AND agent_team IN ('north', 'o\'neil \\ <b>')))"
        " OR (currentUser() IN ('paul') AND (tenant_id IN ('acme') AND agent_id IN ('1001')))"
    )
    assert "(tenant_id IN ('acme', 'beta')) OR tenant_id IS NULL" in guards["rule_pack_versions"]
    of_auditor = table_guards([user for user in USERS if user.name in ("audrey", "boss")], ROLES)
    own = "NOT currentUser() IN ('', 'audrey') OR (currentUser() IN ('audrey') AND (role IN ('auditor')))"
    assert of_auditor == {"reader_role_versions": own}


def test_every_table_with_a_tenant_is_guarded() -> None:
    with_tenant = {name for name, rows in ROLES.storage.items() if rows.tenant or rows.role}
    assert set(table_guards(USERS, ROLES)) == with_tenant
    assert {name for name in ROLES.storage if name.endswith("_versions")} <= with_tenant


def test_on_a_cluster_the_tables_that_hold_the_rows_are_guarded() -> None:
    made = "".join(migration.sql for migration in load_migrations())
    everywhere = set(re.findall(r"CREATE TABLE IF NOT EXISTS \{\{everywhere (\w+)\}\}", made))
    guarded = {name for name, rows in ROLES.storage.items() if rows.tenant or rows.role}
    assert everywhere & guarded == EVERYWHERE
    wanted = {name if name in EVERYWHERE else f"{name}_local" for name in guarded}
    statements = sql_statements(ROLES, USERS, "callstream", "analytics")
    pattern = r"CREATE ROW POLICY OR REPLACE callstream_ALL ON CLUSTER analytics ON callstream\.(\w+) .* TO ALL"
    assert {match[1] for match in only(pattern, statements)} == wanted
    xml = ElementTree.fromstring(users_xml(ROLES, USERS, "callstream", on_cluster=True))  # noqa: S314 - our own text
    assert wanted <= {view.tag for view in xml.iterfind("users/boss/databases/callstream/*")}


@pytest.mark.parametrize("role", PEOPLE)
def test_a_role_of_people_is_given_views_and_no_table(role: str) -> None:
    given = {re.fullmatch(r"SELECT ON callstream\.(\w+)", g) for g in grants_of(role, ROLES, "callstream")}
    assert None not in given
    assert {match[1] for match in given if match} == {name for name, view in ROLES.views.items() if role in view.may}


def engines_of_tables() -> set[str]:
    """The engine of every table that `migrate` makes, on one server and on a cluster."""
    folder = Path(__file__).parents[3] / "schemas" / "clickhouse"
    files = [folder / "schema_migrations.sql", *(folder / "migrations").glob("*.sql")]
    statements = [statement for file in files for statement in split_statements(file.read_text(encoding="utf-8"))]
    statements += load_views().values()
    written = "\n".join([*to_sql(statements, None), *to_sql(statements, Cluster("pair", "callstream"))])
    return set(re.findall(r"\bENGINE = (\w+)", written))


def test_who_migrates_may_use_the_engines_of_our_tables_and_no_other() -> None:
    given = {g.split()[-1] for g in grants_of("admin", ROLES, "callstream") if g.startswith("TABLE ENGINE")}
    assert given == engines_of_tables()
    assert "MergeTree" in given


@pytest.mark.parametrize("role", sorted(set(ROLES.roles) - set(PEOPLE)))
def test_an_account_that_works_is_given_nothing_that_runs_programs_or_reaches_other_hosts(role: str) -> None:
    rights = {
        right.strip() for grant in grants_of(role, ROLES, "callstream") for right in grant.split(" ON ")[0].split(",")
    }
    assert rights <= {
        *(
            "SHOW",
            "SELECT",
            "INSERT",
            "ALTER TABLE",
            "ALTER VIEW",
            "ALTER DELETE",
            "ALTER UPDATE",
            "DROP",
            "DROP TABLE",
        ),
        *(
            "CREATE DATABASE",
            "CREATE TABLE",
            "CREATE VIEW",
            "TRUNCATE",
            "OPTIMIZE",
            "SYSTEM VIEWS",
            "TABLE ENGINE",
            "SHOW TABLES",
        ),
    }
    user = next(user for user in USERS if user.role == role)
    assert told_by_xml()[user.name].settings["merge_tree_disk"].endswith("True")


@pytest.mark.parametrize("role", PEOPLE)
def test_every_view_that_a_user_may_read_has_a_filter(role: str) -> None:
    user = next(user for user in USERS if user.role == role)
    assert set(access_of(user, ROLES, "x").filters) == {name for name, view in ROLES.views.items() if role in view.may}


@pytest.mark.parametrize(
    ("name", "view", "condition"),
    [
        pytest.param("ana", "calls", "tenant_id IN ('acme', 'beta')", id="tenants"),
        pytest.param("ana", "rule_packs", "(tenant_id IN ('acme', 'beta')) OR tenant_id IS NULL", id="and everybody's"),
        pytest.param(
            "ines",
            "segments",
            r"tenant_id IN ('acme') AND agent_team IN ('north', 'o\'neil \\ <b>')",
            id="teams, whatever their names",
        ),
        pytest.param("ines", "rule_packs", "(tenant_id IN ('acme')) OR tenant_id IS NULL", id="no team where none is"),
        pytest.param("paul", "findings", "tenant_id IN ('acme') AND agent_id IN ('1001')", id="one agent"),
        pytest.param("audrey", "access_log", "1", id="all tenants"),
        pytest.param("worker", "calls", "1", id="an account at work"),
    ],
)
def test_a_filter_says_whose_rows_a_user_sees(name: str, view: str, condition: str) -> None:
    user = next(user for user in USERS if user.name == name)
    assert access_of(user, ROLES, "callstream").filters[view] == condition


def test_nobody_has_rows_before_a_policy_and_rights_only_after_it() -> None:
    """Run from the top, with an end at any place, the statements never leave a grant without a policy."""
    statements = sql_statements(ROLES, USERS, "callstream")
    for role in PEOPLE:
        closed = {
            m[1] for m in only(rf"CREATE ROW POLICY OR REPLACE {PREFIX}{role} ON (\S+) .* USING 0 .*", statements)
        }
        first_grant = min(i for i, s in enumerate(statements) if s.startswith("GRANT ") and s.endswith(f"TO {role}"))
        last_policy = max(
            i for i, s in enumerate(statements) if s.startswith(f"CREATE ROW POLICY OR REPLACE {PREFIX}{role} ")
        )
        assert last_policy < first_grant
        assert closed == {grant.split(" ON ")[1] for grant in grants_of(role, ROLES, "callstream")}
    first_user = next(i for i, s in enumerate(statements) if s.startswith("CREATE USER"))
    assert all(" TO " not in s or s.split(" TO ")[-1] not in ROLES.roles for s in statements[first_user:])


@pytest.mark.parametrize("role", PEOPLE)
def test_no_limit_can_be_lifted_by_zero(role: str) -> None:
    limits = ROLES.roles[role].limits
    assert limits is not None
    settings = settings_of(limits, ROLES.roles[role].rows)
    assert {setting.name: setting.value for setting in settings}["readonly"] == 1
    # No limits, but ways round the policies: they may not be changed at all.
    switched_off = {"query_plan_merge_filters", "query_plan_enable_optimizations"}
    assert {setting.least for setting in settings if setting.name in switched_off} == {None}
    bounds = [setting for setting in settings if setting.name not in switched_off]
    assert all(setting.value > 0 and (setting.least is None or setting.least > 0) for setting in bounds)
    assert not {setting.name for setting in settings} & set(FREE_SETTINGS)


@pytest.mark.parametrize(
    ("database", "cluster"),
    [
        pytest.param("a b", None, id="a blank"),
        pytest.param("callstream; DROP", None, id="a statement"),
        pytest.param("", None, id="nothing"),
        pytest.param("callstream", "c'", id="a quote in the name of a cluster"),
    ],
)
def test_a_name_that_could_be_more_than_a_name_is_refused(database: str, cluster: str | None) -> None:
    with pytest.raises(AccessNameError, match="letters, digits"):
        sql_statements(ROLES, USERS, database, cluster)
    if cluster is None:
        with pytest.raises(AccessNameError, match="letters, digits"):
            users_xml(ROLES, USERS, database)


def test_every_statement_names_the_cluster_where_one_is_given() -> None:
    assert all(" ON CLUSTER analytics" in statement for statement in sql_statements(ROLES, USERS, "x", "analytics"))


WRITERS = (
    User(name="dan", role="bi_analyst", tenants=("acme", "beta"), own_database=True, password_sha256="a" * 64),
    User(name="eve", role="bi_analyst", tenants=("*",), own_database=True, password_sha256="a" * 64),
    User(name="amy", role="bi_analyst", tenants=("acme",), password_sha256="a" * 64),
)


def test_who_writes_is_given_the_databases_of_the_own_tenants_and_no_other() -> None:
    names = ("callstream_own_acme", "callstream_own_beta", "callstream_own")
    assert own_databases(WRITERS, "callstream") == names
    dan, eve, amy = (access_of(user, ROLES, "callstream").grants for user in WRITERS)
    assert [grant for grant in amy if "_own" in grant or "ENGINE" in grant] == []
    assert {grant.split(" ON ")[1] for grant in dan if "_own" in grant} == {f"`{name}`.*" for name in names[:2]}
    assert {grant.split(" ON ")[1] for grant in eve if "_own" in grant} == {"`callstream_own`.*"}
    statements = sql_statements(ROLES, WRITERS, "callstream")
    assert [each for each in statements if each.startswith("CREATE DATABASE")] == [
        f"CREATE DATABASE IF NOT EXISTS `{name}`" for name in names
    ]
    assert not any("_own" in each for each in statements if each.endswith((" TO bi_analyst", " TO amy")))


def test_who_writes_keeps_every_setting_that_the_server_knows_but_a_few() -> None:
    known = (*FREE_SETTINGS, *TOOL_SETTINGS, "max_execution_time", "query_plan_merge_filters", "some_new_setting")
    statements = sql_statements(ROLES, WRITERS, "callstream", None, known)
    (profile,) = (each for each in statements if each.startswith("CREATE SETTINGS PROFILE") and "_writing " in each)
    settings = profile.split(" SETTINGS ")[-1].split(", ")
    constant = {each.split(" ")[0] for each in settings if each.endswith(" CONST")}
    assert {
        "readonly",
        "query_plan_merge_filters",
        "some_new_setting",
        "merge_tree_disk",
    } <= constant
    assert constant & {*FREE_SETTINGS, *TOOL_SETTINGS, "max_execution_time"} == set()
    assert "readonly = 0 CONST" in settings
    assert "query_plan_merge_filters = 0 CONST" in settings
    (of_dan,) = (each for each in statements if each.startswith("CREATE USER OR REPLACE dan"))
    (of_amy,) = (each for each in statements if each.startswith("CREATE USER OR REPLACE amy"))
    assert "'callstream_bi_analyst_writing'" in of_dan
    assert "'callstream_bi_analyst'" in of_amy
