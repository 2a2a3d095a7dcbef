"""`callstream index-sounds`: calls from before search by sound are found by it, too."""

import typer

from streams.cli.command_settings import command_settings


def index_sounds() -> None:
    """Let `search --as-heard` find calls that were stored before it was there.

    Needed once, after `callstream migrate`. It can be interrupted and run again, and beside the workers.
    """
    from streams.adapters.clickhouse.connection import connect
    from streams.queries.index_sounds import index_sounds as index

    client = connect(command_settings().clickhouse_url.get_secret_value())
    done = 0
    try:
        for calls in index(client):
            done += calls
            typer.echo(f"{done} calls", err=True)
    finally:
        client.close()
    typer.echo(f"{done} calls can be found by sound now")
