"""What mutations of ClickHouse have replaced goes in a second, not in forty."""

from clickhouse_connect.driver.client import Client

from processors.clickhouse.purge_sql import TABLES


def remove_old_parts_at_once(client: Client) -> None:
    """From now on, in every table from which a purge takes something."""
    for table in TABLES:
        client.command(f"ALTER TABLE {table} MODIFY SETTING old_parts_lifetime = 1, cleanup_delay_period = 1")
        client.command(f"DETACH TABLE {table} SYNC")
        client.command(f"ATTACH TABLE {table}")
