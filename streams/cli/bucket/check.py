"""`callstream bucket check`: whether the bucket is as `callstream bucket apply` would make it."""

from collections.abc import Mapping, Sequence

import typer

from streams.cli.command_settings import command_settings
from streams.ports import BucketRule, BucketRuleState

_SENTENCES: Mapping[BucketRuleState, str] = {
    "set": "yes",
    "missing": "NO: run `callstream bucket apply` with an access key that may set the rules of the bucket",
    "unsupported": "this object store cannot; see docs/operations.md, Object stores",
    "forbidden": "not known: the access key may not ask",
}


def check_bucket() -> None:
    """Say whether the bucket can be used and its rules are set; end with 1 where one is missing."""
    from streams.adapters.object_store.from_settings import whole_store_from

    settings = command_settings()
    store = whole_store_from(settings)
    store.check()
    rules = store.rules()
    tell_rules(rules)
    if any(rule.state == "missing" for rule in rules):
        typer.echo(f"bucket {settings.store_bucket} is not as it should be", err=True)
        raise typer.Exit(1)
    typer.echo(f"bucket {settings.store_bucket} is as it should be")


def tell_rules(rules: Sequence[BucketRule]) -> None:
    """One line for each."""
    for rule in rules:
        typer.echo(f"{rule.name}: {_SENTENCES[rule.state]}")
