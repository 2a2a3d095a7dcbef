"""`callstream topics acls`."""

from enum import StrEnum
from typing import Annotated

import typer

from streams.cli.command_settings import command_settings


class Form(StrEnum):
    """How ACLs are written."""

    SCRIPT = "script"
    JSON = "json"
    STRIMZI = "strimzi"


def print_or_apply_acls(
    form: Annotated[
        Form, typer.Option("--format", help="As calls of kafka-acls.sh, JSON, or KafkaUsers.")
    ] = Form.SCRIPT,
    principal: Annotated[
        str,
        typer.Option(
            help="How the brokers call who logs in; {name} is the worker, such as second-read. With client "
            "certificates, the name that the certificate bears, such as User:CN={name}."
        ),
    ] = "User:callstream-{name}",
    only: Annotated[
        list[str] | None, typer.Option("--only", help="Of this account alone, such as listen; can be repeated.")
    ] = None,
    strimzi_cluster: Annotated[str, typer.Option(help="With --format strimzi: the name of the cluster.")] = "kafka",
    do_apply: Annotated[
        bool, typer.Option("--apply", help="Have the brokers check them; needs Alter on the cluster.")
    ] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="With --apply: take away what these principals have beside them.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="With --apply: say what would be done.")] = False,
) -> None:
    """Print what each worker may do on Kafka, made of what `callstream topology` shows, or have it so.

    Each worker logs in as a principal of its own and may do nothing else. Who runs commands has one, and `topics apply`
    has one that reads and writes no message.
    """
    from streams.adapters.kafka.acls import accounts, as_json, as_script, as_strimzi

    every = {account.name: account for account in accounts()}
    if unknown := [name for name in only or () if name not in every]:
        raise typer.BadParameter(f"{unknown[0]} is none of {', '.join(every)}", param_hint="--only")
    if "{name}" not in principal or not principal.startswith("User:"):
        raise typer.BadParameter("it must begin with User: and hold {name}", param_hint="--principal")
    if (prune or dry_run) and not do_apply:
        raise typer.BadParameter("it goes with --apply", param_hint="--prune" if prune else "--dry-run")
    chosen = [account for name, account in every.items() if not only or name in only]
    if not do_apply:
        match form:
            case Form.SCRIPT:
                text = as_script(chosen, principal)
            case Form.JSON:
                text = as_json(chosen, principal)
            case Form.STRIMZI:
                text = as_strimzi(chosen, strimzi_cluster)
        typer.echo(text, nl=False)
        return
    from streams.adapters.kafka.acl_changes import apply_acls

    for change in apply_acls(command_settings(), chosen, principal, prune=prune, dry_run=dry_run):
        for words, rights in (("may now", change.added), ("may no more", change.removed), ("may also", change.left)):
            for right in rights:
                typer.echo(f"{change.principal} {words} {right}")
        if not (change.added or change.removed or change.left):
            typer.echo(f"{change.principal}: unchanged")
