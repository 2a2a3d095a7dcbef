"""`callstream bucket apply`, which was `callstream store apply` until `store` came to mean the stage only."""

import typer

from streams.cli.bucket.check import tell_rules
from streams.cli.command_settings import command_settings


def apply_bucket() -> None:
    """Create the bucket if it does not exist, set its rules, and check that it can be used."""
    from streams.adapters.object_store.from_settings import whole_store_from

    settings = command_settings()
    store = whole_store_from(settings)
    store.apply()
    store.check()
    tell_rules(store.rules())
    typer.echo(f"bucket {settings.store_bucket} is ready")


def apply_bucket_by_old_name() -> None:
    """Do what `callstream bucket apply` does; that is its name now."""
    typer.echo("callstream: `callstream store apply` is now called `callstream bucket apply`", err=True)
    apply_bucket()
