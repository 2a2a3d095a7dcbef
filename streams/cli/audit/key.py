"""`callstream audit key`."""

import typer

from streams.cli.command_settings import command_settings


def show_key() -> None:
    """Print the public key of the audit log, by which anybody verifies it: keep it apart from the log.

    The line is `name+id+base64`, as tools of transparency logs take it. The key is made when the worker `audit` starts
    for the first time.
    """
    from streams.runtime.audit_key import read_audit_key

    typer.echo(read_audit_key(command_settings()).verifier.text)
