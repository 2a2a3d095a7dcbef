"""The databases that analysts write to: made, and named to whoever destroys calls that copies of them may hold."""

from collections.abc import Iterable

from clickhouse_connect.driver.client import Client

from schemas.clickhouse.cluster import Cluster
from schemas.config.roles import ALL_TENANTS, own_database_of
from streams.adapters.clickhouse.connection import ClickHouseAddress, connect
from streams.adapters.clickhouse.errors import translated_errors
from streams.adapters.clickhouse.statements import read_rows


def make_own_databases(client: Client, names: Iterable[str], cluster: str = "") -> None:
    """Create those that are absent. Raises as `connect` does."""
    for name in names:
        statement = Cluster(cluster, name).create_database() if cluster else f"CREATE DATABASE IF NOT EXISTS `{name}`"
        with translated_errors(f"creating the database {name}", quotable=True):
            client.command(statement)


def own_tables_of(url: str, tenant_id: str) -> list[str]:
    """`database.table` of what analysts made who see this tenant, in order. Raises as `connect` does."""
    database = ClickHouseAddress.parse(url).database
    client = connect(url)
    try:
        rows = read_rows(
            client,
            "looking for copies of analysts",
            "SELECT database, name FROM system.tables WHERE database IN {databases:Array(String)} "
            "AND NOT startsWith(name, '.inner') ORDER BY ALL",
            databases=[own_database_of(database, tenant) for tenant in (tenant_id, ALL_TENANTS)],
        )
    finally:
        client.close()
    return [f"{of}.{name}" for of, name in rows]
