"""Bringing a database to this version: tables by numbered migrations, then every view anew."""

from collections.abc import Iterable, Mapping
from importlib import resources

from clickhouse_connect.driver.client import Client

from processors.clickhouse.rows import rows_for_rules
from processors.kpi.comparisons import comparison_views
from processors.kpi.own_kpis import kpis_in_force
from processors.kpi.sql import kpi_views
from schemas.clickhouse.cluster import Cluster, to_sql
from schemas.clickhouse.migrations import (
    AppliedMigration,
    Migration,
    load_migrations,
    pending_migrations,
    split_statements,
)
from schemas.clickhouse.views import load_views
from schemas.config.console_url import ConsoleUrl
from schemas.config.rule_pack import RULE_PACK_FOLDER, RulePack, load_rule_packs
from streams.adapters.clickhouse.connection import ClickHouseAddress, connect, open_client
from streams.adapters.clickhouse.errors import ClickHouseSchemaError, translated_errors
from streams.adapters.clickhouse.sink import ClickHouseSink
from streams.adapters.clickhouse.statements import INSERT_SETTINGS, define, read_rows
from streams.settings import Settings

_LEDGER = "schema_migrations"
_MIGRATION_INSERTS = {"distributed_foreground_insert": 1}
"""A migration that copies rows is over when they are there, also on a cluster."""


def views_of(settings: Settings) -> dict[str, str]:
    """Name → statement, with placeholders, of every view: those of `schemas/clickhouse/views`, of KPIs, of comparisons.

    In an order in which they can be made; each can be repeated. Raises `KpiRegistryError` and `TenantsError`.
    """
    registry = kpis_in_force(settings.kpis_file)
    days = settings.days
    window_days = settings.first_contact_days
    return {
        **load_views(days=days, console=ConsoleUrl(settings.console_url)),
        **kpi_views(registry, days, window_days),
        **comparison_views(registry, days, window_days),
    }


def rule_packs_of(settings: Settings) -> tuple[RulePack, ...]:
    """The packs that are shipped, and those of `rules_folder`. Raises `RulePackError`."""
    return load_rule_packs((RULE_PACK_FOLDER, *([settings.rules_folder] if settings.rules_folder else [])))


def write_rules(url: str, packs: Iterable[RulePack]) -> int:
    """Write what the rules of these packs are called into `rule_versions`, and say how many there are; again and again
    does no harm. Raises as `connect` does."""
    packs = tuple(packs)
    categories = {category: name for pack in packs for category, name in pack.categories.items()}
    client = connect(url)
    written = 0
    try:
        ((now,),) = read_rows(client, "the time", "SELECT now64(3, 'UTC')")
        for pack in packs:
            rows = rows_for_rules(pack, None, now, categories)
            ClickHouseSink(client).write(rows)
            written += sum(map(len, rows.values()))
    finally:
        client.close()
    return written


def migrate(
    url: str,
    migrations: tuple[Migration, ...] | None = None,
    cluster: str = "",
    views: Mapping[str, str] | None = None,
) -> list[Migration]:
    """Bring the database up to date; returns the migrations that were applied, none the second time.

    Creates the database where it is absent. `views` are made anew each time; by default those of
    `schemas/clickhouse/views`, without those of KPIs. With a cluster all is made on every host of it
    (`schemas.clickhouse.cluster`).
    Two at once do no harm: every statement can be run again, and what was applied is remembered by number. Raises as
    `connect` does, `MigrationRefusedError` when the files do not fit the database, and `PlaceholderError`.
    """
    migrations = load_migrations() if migrations is None else migrations
    address = ClickHouseAddress.parse(url)
    statements = {migration: statements_of(migration, address.database, cluster) for migration in migrations}
    _create_database(address, cluster)
    client = connect(url)
    try:
        _check_layout(client, cluster)
        for statement in _ledger_statements(address.database, cluster):
            define(client, "creating schema_migrations", statement)
        waiting = pending_migrations(migrations, _applied(client))
        for migration in waiting:
            for statement in statements[migration]:
                with translated_errors(f"migration {migration.label}", quotable=True):
                    client.command(statement, settings=_MIGRATION_INSERTS)
            _remember(client, migration)
        _make_views(client, load_views() if views is None else views, address.database, cluster)
        return list(waiting)
    finally:
        client.close()


def make_views(url: str, views: Mapping[str, str], cluster: str = "") -> None:
    """Create or replace the views, in their order. Raises as `connect` does, and `PlaceholderError`."""
    client = connect(url)
    try:
        _make_views(client, views, ClickHouseAddress.parse(url).database, cluster)
    finally:
        client.close()


def _make_views(client: Client, views: Mapping[str, str], database: str, cluster: str) -> None:
    for name, view in views.items():
        for statement in _sql((view,), database, cluster):
            define(client, f"view {name}", statement)


def missing_migrations(
    url: str, migrations: tuple[Migration, ...] | None = None, *, beside_newer: bool = False
) -> list[Migration]:
    """What `migrate` would apply; changes nothing. Raises as `migrate` does.

    With `beside_newer`, a database that a newer release only added to lacks nothing.
    """
    migrations = load_migrations() if migrations is None else migrations
    address = ClickHouseAddress.parse(url)
    if not _database_exists(address):
        return list(migrations)
    client = connect(url)
    try:
        with translated_errors("looking for schema_migrations"):
            known = bool(client.command(f"EXISTS TABLE {_LEDGER}"))
        return list(pending_migrations(migrations, _applied(client) if known else (), beside_newer=beside_newer))
    finally:
        client.close()


def planned_sql(url: str, views: Mapping[str, str], cluster: str) -> str:
    """What `migrate` would run, as text; runs nothing. On one server with the comments of the migrations.

    Raises as `migrate` does.
    """
    database = ClickHouseAddress.parse(url).database
    waiting = missing_migrations(url)
    parts = [f"{statement};\n\n" for statement in (preparing_statements(url, cluster) if cluster and waiting else ())]
    for migration in waiting:
        written = migration.statements if cluster else split_statements(migration.sql, comments=True)
        shown = "".join(f"{statement};\n" for statement in _sql(written, database, cluster))
        parts.append(f"-- {migration.name}\n{shown}\n")
    for name, view in views.items():
        parts += [f"-- view {name}\n{statement};\n" for statement in _sql((view,), database, cluster)]
    return "".join(parts)


def statements_of(migration: Migration, database: str, cluster: str) -> tuple[str, ...]:
    """The statements of a migration as they are run. Raises `PlaceholderError`."""
    return _sql(migration.statements, database, cluster)


def preparing_statements(url: str, cluster: str) -> tuple[str, ...]:
    """What `migrate` runs on a cluster before the first migration. Raises `ClickHouseUrlError`."""
    database = ClickHouseAddress.parse(url).database
    return (Cluster(cluster, database).create_database(), *_ledger_statements(database, cluster))


def _ledger_statements(database: str, cluster: str) -> tuple[str, ...]:
    sql = (resources.files("schemas.clickhouse") / f"{_LEDGER}.sql").read_text(encoding="utf-8")
    return _sql(split_statements(sql), database, cluster)


def _sql(statements: Iterable[str], database: str, cluster: str) -> tuple[str, ...]:
    return to_sql(statements, Cluster(cluster, database) if cluster else None)


def _check_layout(client: Client, cluster: str) -> None:
    """A database that was made for one server is not spread by migrating it again, nor the other way round."""
    query = (
        "SELECT engine = 'Distributed' FROM system.tables WHERE database = currentDatabase() AND name = {name:String}"
    )
    found = read_rows(client, "looking for schema_migrations", query, name=_LEDGER)
    if found and bool(found[0][0]) != bool(cluster):
        made, wanted = ("one server", "a cluster") if cluster else ("a cluster", "one server")
        raise ClickHouseSchemaError(
            f"The database was made for {made}, and clickhouse_cluster says {wanted}; set it as it was, or migrate a "
            "new database and copy the rows (docs/operations.md#a-cluster)."
        )


def _create_database(address: ClickHouseAddress, cluster: str) -> None:
    """Asks first, because a user that may not create databases may well own an existing one."""
    if _database_exists(address):
        return
    client = open_client(address, None)
    try:
        with translated_errors("creating the database", quotable=True):
            if cluster:
                client.command(Cluster(cluster, address.database).create_database())
                return
            client.command("CREATE DATABASE IF NOT EXISTS {name:Identifier}", parameters={"name": address.database})
    finally:
        client.close()


def _database_exists(address: ClickHouseAddress) -> bool:
    client = open_client(address, None)
    try:
        with translated_errors("looking for the database"):
            return bool(
                client.command(
                    "SELECT count() FROM system.databases WHERE name = {name:String}",
                    parameters={"name": address.database},
                )
            )
    finally:
        client.close()


def _applied(client: Client) -> tuple[AppliedMigration, ...]:
    with translated_errors("reading schema_migrations"):
        result = client.query("SELECT number, name, sha256 FROM schema_migrations FINAL ORDER BY number")
    return tuple(AppliedMigration(number, name, sha256) for number, name, sha256 in result.result_rows)


def _remember(client: Client, migration: Migration) -> None:
    with translated_errors("writing schema_migrations"):
        client.insert(
            _LEDGER,
            [[migration.number, migration.name, migration.sha256]],
            column_names=["number", "name", "sha256"],
            settings=INSERT_SETTINGS,
        )
