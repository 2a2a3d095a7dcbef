"""`callstream user password`."""

import typer

from streams.cli.user.registered import NameArgument, PasswordFileOption, hashed, registered


def password(name: NameArgument, password_file: PasswordFileOption = None) -> None:
    """Set the password of an account: your own, or one that you administer. Its sessions are closed.

    At least 12 characters, 6 of them different. Only an Argon2id hash is kept.
    """
    with registered() as here:
        found = here.find(name)
        here.accounts.set_password(here.over(found), name, hashed(password_file, name))
    typer.echo(f"the password of {name} is set")
