"""Where copies of destroyed calls may lie that callstream does not reach."""

from streams.settings import Settings

_SHOWN = 8


def copies_of_analysts(settings: Settings, tenant_id: str) -> list[str]:
    """Tables and views that analysts who see the tenant have made, as `database.table`. Raises as `connect` does."""
    from streams.adapters.clickhouse.own_databases import own_tables_of

    url = settings.clickhouse_keeper_url.get_secret_value() or settings.clickhouse_url.get_secret_value()
    return own_tables_of(url, tenant_id)


def copies_sentence(tables: list[str]) -> str:
    """What to tell whoever has destroyed calls, where there are such tables."""
    more = f" and {len(tables) - _SHOWN} more" if len(tables) > _SHOWN else ""
    return (
        "copies may lie in what analysts made of these calls, which is not destroyed here: "
        f"{', '.join(tables[:_SHOWN])}{more}: have them delete or rebuild it (docs/purging.md#copies-of-analysts)"
    )
