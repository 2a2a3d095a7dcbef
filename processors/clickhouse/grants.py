"""Roles and users for ClickHouse: grants, row policies, settings and quotas, as SQL and as users.xml.

Both forms are written from the same `Access`, and a test reads them back and compares. Pure: text in, text out.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from schemas.clickhouse.cluster import LOCAL_SUFFIX
from schemas.config.roles import ALL_TENANTS, OwnDatabase, QueryLimits, RolesFile, RowColumns, RowScope, User
from schemas.errors import OperatorError

PREFIX = "callstream_"
"""Of what is made on a server besides roles and users: profiles, quotas, row policies."""

WRITING = "_writing"
"""Behind the name of a profile for users with a database of their own."""

QUOTA_S = 3600

FREE_SETTINGS = (
    "cast_string_to_dynamic_use_inference",
    "date_time_input_format",
    "date_time_output_format",
    "extremes",
    "final",
    "join_use_nulls",
    "output_format_json_quote_64bit_integers",
    "prefer_column_name_to_alias",
    "result_overflow_mode",
    "session_timezone",
)
"""What people may change, because clients do: how answers look, never what is read or how much it may cost.

Not among them, on purpose: `additional_table_filters` and `optimize_move_to_prewhere_if_final`, with which a condition
of the user's own is asked of rows that the user may not see (docs/adr/0023-roles.md).
"""

TOOL_SETTINGS = (
    "allow_nondeterministic_mutations",
    "alter_sync",
    "database",
    "default_format",
    "distributed_foreground_insert",
    "insert_deduplicate",
    "lightweight_deletes_sync",
    "mutations_sync",
    "replication_alter_partitions_sync",
)
"""What users with a database of their own may change besides, because tools send it: for what a change waits."""

_SETTINGS_FILE = Path(__file__).parent / "engine_settings.txt"

FIXED_SETTINGS = ("merge_tree_disk",)
"""What no account changes that makes tables: `SETTINGS disk = disk(type = 'web', endpoint = …)` asks another host."""

EVERYWHERE = frozenset({"kpi_rollup_rows", "duration_buckets", "reader_role_versions"})
"""Tables with a policy that every host of a cluster has whole; the others lie in `NAME_local`."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


class AccessNameError(OperatorError):
    """A name cannot be used in the statements."""


@dataclass(frozen=True)
class Setting:
    """A setting of a role. Those with `least` may be lowered by its users, down to that; zero often means no limit."""

    name: str
    value: int
    least: int | None = None


@dataclass(frozen=True)
class Access:
    """What one role or user is given."""

    grants: tuple[str, ...]
    """What stands between GRANT and TO."""
    filters: Mapping[str, str]
    """View → SQL that is true for the rows that may be seen."""


def grants_of(role: str, roles: RolesFile, database: str) -> tuple[str, ...]:
    """What the role may do, on the tables and views of this database."""
    if not roles.roles[role].of_people:
        return tuple(grant.format(database=database) for grant in roles.roles[role].grants)
    return tuple(f"SELECT ON {database}.{name}" for name, view in roles.views.items() if role in view.may)


def engine_settings() -> tuple[str, ...]:
    """The names of all settings of the engine that is shipped."""
    return tuple(_SETTINGS_FILE.read_text(encoding="ascii").split())


def constant_settings(known: Iterable[str]) -> tuple[str, ...]:
    """Of the settings that a server knows those that a user with a database of its own does not change.

    Such a user cannot have `readonly = 1`, so what it might change by it is forbidden one by one.
    """
    own = {setting.name for setting in settings_of(_ANY_LIMITS, "tenant") if setting.least is not None}
    return tuple(sorted({*known, *FIXED_SETTINGS, "readonly"} - {*FREE_SETTINGS, *TOOL_SETTINGS, *own}))


def own_databases(users: Iterable[User], database: str) -> tuple[str, ...]:
    """The databases that users write to, each once."""
    return tuple(dict.fromkeys(name for user in users for name in user.own_databases(database)))


def access_of(user: User, roles: RolesFile, database: str) -> Access:
    """What the user may do, and which rows of each view are for it."""
    filters = {
        name: _filter(user, roles, name)
        for name, view in roles.views.items()
        if user.role in view.may or not roles.roles[user.role].of_people
    }
    own = roles.roles[user.role].own_database
    of_own = [
        grant.format(own=f"`{name}`")
        for name in user.own_databases(database)
        for grant in (own.grants if own is not None else ())
    ]
    return Access((*grants_of(user.role, roles, database), *dict.fromkeys(of_own)), filters)


def table_guards(users: Iterable[User], roles: RolesFile) -> dict[str, str]:
    """Table → SQL that is true for the rows that whoever asks may see; a table that nobody is kept from is absent.

    Views read with the rights of their maker, but `currentUser()` is who asks. A policy on a table is applied while the
    table is read; one on a view can be overtaken by conditions that are pushed down past it (ADR
    0031).
    """
    people = [user for user in users if roles.roles[user.role].of_people]
    guards = {}
    for table, columns in roles.storage.items():
        names: dict[str, list[str]] = {}
        for user in people:
            condition = _condition(user, columns, roles.roles[user.role].rows)
            if columns.role:
                condition = _is_one_of(columns.role, [user.role])
            if condition:
                names.setdefault(condition, []).append(user.name)
        if names:
            # Nobody asks where a view of an analyst's is filled by the clock: what such a query reads is guarded, too.
            kept = ["", *(name for group in names.values() for name in group)]
            own = [f"({_is_one_of('currentUser()', group)} AND ({condition}))" for condition, group in names.items()]
            guards[table] = " OR ".join([f"NOT {_is_one_of('currentUser()', kept)}", *own])
    return guards


def stored_in(table: str, *, on_cluster: bool) -> str:
    """Where the rows of a table lie: on a cluster the table itself passes on what the hosts have."""
    return f"{table}{LOCAL_SUFFIX}" if on_cluster and table not in EVERYWHERE else table


def _filter(user: User, roles: RolesFile, view: str) -> str:
    if not roles.roles[user.role].of_people:
        return "1"
    return _condition(user, roles.views[view].rows, roles.rows_for(view, user.role)) or "1"


def _condition(user: User, columns: RowColumns, rows: RowScope) -> str:
    """What is true for the rows of the user, by the columns that there are; empty where it may see all."""
    parts = []
    if rows != "all" and ALL_TENANTS not in user.tenants and columns.tenant:
        parts.append(_is_one_of(columns.tenant, user.tenants))
    if rows == "team" and columns.team:
        parts.append(_is_one_of(columns.team, user.teams))
    if rows == "agent" and columns.agent:
        parts.append(_is_one_of(columns.agent, [user.agent or ""]))
    condition = " AND ".join(parts)
    return f"({condition}) OR {columns.also}" if columns.also and parts else condition


def _is_one_of(column: str, values: Sequence[str]) -> str:
    return f"{column} IN ({', '.join(quote_identifier(value) for value in values)})"


def settings_of(limits: QueryLimits, rows: RowScope) -> tuple[Setting, ...]:
    """The settings of a role of people that sees these rows: what it may not exceed, and that it changes nothing."""
    # Teams and agents are told apart by policies on views, which a condition of a join overtakes when it is pushed
    # down (ADR 0030). The key of a table is found without these optimizations, too.
    inside_a_tenant = (Setting("query_plan_enable_optimizations", 0),) if rows in ("team", "agent") else ()
    return (
        Setting("readonly", 1),
        # Merged with a condition of the user's own, a policy is no longer asked first (ADR 0030).
        Setting("query_plan_merge_filters", 0),
        *inside_a_tenant,
        Setting("max_execution_time", limits.execution_s, least=1),
        Setting("max_result_rows", limits.result_rows, least=1),
        Setting("max_memory_usage", limits.memory_mb * 1_000_000),
        Setting("max_bytes_to_read", limits.read_gb * 1_000_000_000),
        Setting("max_concurrent_queries_for_user", limits.concurrent_queries),
    )


_ANY_LIMITS = QueryLimits(
    execution_s=1, memory_mb=64, read_gb=1, result_rows=1, concurrent_queries=1, queries_per_hour=1
)


def _writing(settings: Iterable[Setting]) -> tuple[Setting, ...]:
    """The settings of a role for its users with a database of their own."""
    return tuple(Setting("readonly", 0) if setting.name == "readonly" else setting for setting in settings)


def quote_identifier(text: str) -> str:
    """A text in single quotes, escaped as SQL wants it."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _people(roles: RolesFile) -> list[tuple[str, QueryLimits, RowScope]]:
    return [(name, role.limits, role.rows) for name, role in roles.roles.items() if role.limits is not None]


def _technical(roles: RolesFile) -> list[str]:
    return [name for name, role in roles.roles.items() if not role.of_people]


def sql_statements(
    roles: RolesFile,
    users: Iterable[User],
    database: str,
    cluster: str | None = None,
    known_settings: Iterable[str] | None = None,
) -> tuple[str, ...]:
    """The statements that bring a ClickHouse server to what the files say; they can be run again.

    In an order that leaves nothing open in between: a role has its policy, which shows no row, before it has a grant,
    and a user has rows last. Users that left the file stay on the server. `known_settings` are those of the server;
    without them, those of the engine that is shipped. Raises `AccessNameError`.
    """
    _check_name("database", database)
    if cluster is not None:
        _check_name("cluster", cluster)
    on = f" ON CLUSTER {cluster}" if cluster else ""
    users = tuple(users)
    statements = []
    for role, limits, rows in _people(roles):
        settings = [_sql_setting(setting) for setting in settings_of(limits, rows)]
        settings += [f"{name} CHANGEABLE_IN_READONLY" for name in FREE_SETTINGS]
        statements.append(f"CREATE SETTINGS PROFILE OR REPLACE {PREFIX}{role}{on} SETTINGS {', '.join(settings)}")
    for role in _roles_that_write(users, roles):
        constant = constant_settings(engine_settings() if known_settings is None else known_settings)
        of_role = [each for name, limits, rows in _people(roles) if name == role for each in settings_of(limits, rows)]
        settings = [_sql_setting(setting) for setting in _writing(of_role)]
        given = {setting.name for setting in of_role}
        settings = [f"{text} CONST" if text.split(" ", 1)[0] in constant else text for text in settings]
        settings += [f"{name} CONST" for name in constant if name not in given]
        statements.append(
            f"CREATE SETTINGS PROFILE OR REPLACE {PREFIX}{role}{WRITING}{on} SETTINGS {', '.join(settings)}"
        )
    for role in _technical(roles):
        fixed = ", ".join(f"{name} CONST" for name in FIXED_SETTINGS)
        statements.append(f"CREATE SETTINGS PROFILE OR REPLACE {PREFIX}{role}{on} SETTINGS {fixed}")
    for role in roles.roles:
        statements.append(f"CREATE ROLE IF NOT EXISTS {role}{on}")
        statements.append(f"REVOKE{on} ALL ON *.* FROM {role}")
        statements.append(f"ALTER ROLE {role}{on} SETTINGS PROFILE '{PREFIX}{role}'")
    for role, limits, _rows in _people(roles):
        most = f"queries = {limits.queries_per_hour}{_sql_written(roles, role)}"
        statements.append(
            f"CREATE QUOTA OR REPLACE {PREFIX}{role}{on} KEYED BY user_name "
            f"FOR INTERVAL {QUOTA_S} second MAX {most} TO {role}"
        )
    statements += [f"CREATE DATABASE IF NOT EXISTS `{name}`{on}" for name in own_databases(users, database)]
    for table, condition in table_guards(users, roles).items():
        statements.append(_policy("ALL", stored_in(table, on_cluster=bool(cluster)), condition, database, on))
    for role, definition in roles.roles.items():
        for view in roles.views:
            if not definition.of_people:
                statements.append(_policy(role, view, "1", database, on))
            elif role in roles.views[view].may:
                statements.append(_policy(role, view, "0", database, on))
    for role in roles.roles:
        statements += [f"GRANT{on} {grant} TO {role}" for grant in grants_of(role, roles, database)]
    for user in users:
        hosts = f"IP {', '.join(quote_identifier(network) for network in user.networks)}" if user.networks else "ANY"
        statements.append(
            f"CREATE USER OR REPLACE {user.name}{on} IDENTIFIED WITH sha256_hash "
            f"BY {quote_identifier(user.password_sha256)} HOST {hosts} SETTINGS PROFILE '{_profile_of(user)}'"
        )
        statements.append(f"GRANT{on} {user.role} TO {user.name}")
        if roles.roles[user.role].of_people:
            access = access_of(user, roles, database)
            by_role = grants_of(user.role, roles, database)
            statements += [f"GRANT{on} {grant} TO {user.name}" for grant in access.grants if grant not in by_role]
            filters = access.filters
            statements += [_policy(user.name, view, condition, database, on) for view, condition in filters.items()]
    return tuple(statements)


def _roles_that_write(users: Iterable[User], roles: RolesFile) -> list[str]:
    return [role for role in roles.roles if any(user.own_database and user.role == role for user in users)]


def _profile_of(user: User) -> str:
    return f"{PREFIX}{user.role}{WRITING if user.own_database else ''}"


def _sql_written(roles: RolesFile, role: str) -> str:
    own = roles.roles[role].own_database
    return f", written_bytes = {own.written_gb_per_hour * 1_000_000_000}" if own is not None else ""


def _sql_setting(setting: Setting) -> str:
    text = f"{setting.name} = {setting.value}"
    if setting.least is None:
        return text
    return f"{text} MIN {setting.least} MAX {setting.value} CHANGEABLE_IN_READONLY"


def _policy(who: str, view: str, condition: str, database: str, on: str) -> str:
    return (
        f"CREATE ROW POLICY OR REPLACE {PREFIX}{who}{on} ON {database}.{view} FOR SELECT USING {condition} "
        f"AS PERMISSIVE TO {who}"
    )


def _check_name(what: str, name: str) -> None:
    if not _NAME.fullmatch(name):
        raise AccessNameError(f"the {what} must have a name of letters, digits and _, as callstream")


def users_xml(roles: RolesFile, users: Iterable[User], database: str, *, on_cluster: bool = False) -> str:
    """A file for `users.d` of a server whose users stand in files. Raises `AccessNameError`."""
    users = tuple(users)
    root = Element("clickhouse")
    SubElement(root, "profiles").extend(profile_elements(roles, users))
    SubElement(root, "quotas").extend(quota_elements(roles))
    SubElement(root, "users").extend(user_elements(roles, users, database, on_cluster=on_cluster))
    return xml_text(root)


def xml_text(root: Element) -> str:
    """An element as a file that people can read."""
    indent(root, space="    ")
    return tostring(root, encoding="unicode") + "\n"


def profile_elements(roles: RolesFile, users: Iterable[User] = ()) -> list[Element]:
    """What stands in `<profiles>`, one for each role, and one more for those with users who write."""
    people = [_profile(role, settings_of(limits, rows)) for role, limits, rows in _people(roles)]
    writing = set(_roles_that_write(users, roles))
    people += [
        _profile(f"{role}{WRITING}", _writing(settings_of(limits, rows)), constant_settings(engine_settings()))
        for role, limits, rows in _people(roles)
        if role in writing
    ]
    return people + [_technical_profile(role) for role in _technical(roles)]


def _technical_profile(role: str) -> Element:
    profile = Element(f"{PREFIX}{role}")
    constraints = SubElement(profile, "constraints")
    for name in FIXED_SETTINGS:
        SubElement(SubElement(constraints, name), "readonly")
    return profile


def _profile(role: str, settings: Sequence[Setting], constant: Iterable[str] = ()) -> Element:
    profile = Element(f"{PREFIX}{role}")
    for setting in settings:
        _add(profile, setting.name, str(setting.value))
    constraints = SubElement(profile, "constraints")
    for setting in settings:
        if setting.least is not None:
            limit = SubElement(constraints, setting.name)
            _add(limit, "min", str(setting.least))
            _add(limit, "max", str(setting.value))
            SubElement(limit, "changeable_in_readonly")
    for name in FREE_SETTINGS if not constant else ():
        SubElement(SubElement(constraints, name), "changeable_in_readonly")
    for name in constant:
        SubElement(SubElement(constraints, name), "readonly")
    return profile


def quota_elements(roles: RolesFile) -> list[Element]:
    """What stands in `<quotas>`, one for each role of people."""
    return [_quota(role, limits, roles.roles[role].own_database) for role, limits, _rows in _people(roles)]


def _quota(role: str, limits: QueryLimits, own: OwnDatabase | None) -> Element:
    quota = Element(f"{PREFIX}{role}")
    interval = SubElement(quota, "interval")
    _add(interval, "duration", str(QUOTA_S))
    _add(interval, "queries", str(limits.queries_per_hour))
    if own is not None:
        _add(interval, "written_bytes", str(own.written_gb_per_hour * 1_000_000_000))
    return quota


def user_elements(
    roles: RolesFile,
    users: Iterable[User],
    database: str,
    networks: Sequence[str] = ("::/0",),
    *,
    on_cluster: bool = False,
) -> list[Element]:
    """What stands in `<users>`. `networks` are for users who have none of their own. Raises `AccessNameError`."""
    _check_name("database", database)
    users = tuple(users)
    guards = {
        stored_in(table, on_cluster=on_cluster): condition for table, condition in table_guards(users, roles).items()
    }
    return [_user(user, roles, database, user.networks or networks, guards) for user in users]


def add_filters(user: Element, database: str, filters: Mapping[str, str]) -> None:
    """Row policies of a user: table or view → SQL that is true for the rows that it reads."""
    element = SubElement(SubElement(user, "databases"), database)
    for name, condition in filters.items():
        _add(SubElement(element, name), "filter", condition)


def _user(user: User, roles: RolesFile, database: str, networks: Sequence[str], guards: Mapping[str, str]) -> Element:
    access = access_of(user, roles, database)
    quota = f"{PREFIX}{user.role}" if roles.roles[user.role].of_people else "default"
    element = user_element(user.name, user.password_sha256, networks, _profile_of(user), quota)
    # Views are read in the name of who made them: the policies of tables are those of the accounts that may have.
    of_tables = {} if roles.roles[user.role].of_people else guards
    add_filters(element, database, {**access.filters, **of_tables})
    add_grants(element, access.grants)
    return element


def user_element(name: str, password_sha256: str | None, networks: Sequence[str], profile: str, quota: str) -> Element:
    """A user who may do nothing yet; no password at all for None."""
    user = Element(name)
    if password_sha256 is None:
        SubElement(user, "no_password")
    else:
        _add(user, "password_sha256_hex", password_sha256)
    hosts = SubElement(user, "networks")
    for network in networks:
        _add(hosts, "ip", network)
    _add(user, "profile", profile)
    _add(user, "quota", quota)
    return user


def add_grants(user: Element, grants: Iterable[str]) -> None:
    """Give a user what stands between GRANT and TO."""
    element = SubElement(user, "grants")
    for grant in grants:
        _add(element, "query", f"GRANT {grant}")


def _add(parent: Element, name: str, text: str) -> None:
    SubElement(parent, name).text = text
