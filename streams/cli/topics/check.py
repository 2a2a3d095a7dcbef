"""`callstream topics check`."""

from typing import Annotated

import typer

from streams.cli.command_settings import command_settings


def check_topics(
    bad: Annotated[bool, typer.Option("--bad", help="Say only what is not as it should be.")] = False,
) -> None:
    """Say whether topics, replicas and brokers are as they should be in production; end with 1 where one is not.

    Changes nothing. What the account may not ask is said to be unknown, and is no failure.
    """
    from streams.adapters.kafka.topic_checks import check_topics as check

    checks = check(command_settings())
    for one in checks:
        if one.state != "ok" or not bad:
            typer.echo(f"{one.state}: {one.sentence}")
    wrong = sum(one.state == "bad" for one in checks)
    if wrong:
        typer.echo(f"Kafka is not as it should be: {wrong} of {len(checks)}", err=True)
        raise typer.Exit(1)
