"""What a key that was just made looks like: shown once, the key alone on standard output."""

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from streams.adapters.register.api_keys import FreshKey, RegisterApiKeys

DaysOption = Annotated[int, typer.Option("--days", min=0, max=3650, help="Days that the key holds; 0: without end.")]


def registered_keys() -> "RegisterApiKeys":
    """The keys in the register of the settings. Raises what its check says."""
    from streams.adapters.register.api_keys import RegisterApiKeys
    from streams.adapters.register.register import Register
    from streams.cli.command_settings import command_settings
    from streams.ports import SystemClock
    from streams.wiring import require_register

    register = Register.of(command_settings())
    require_register(register)
    return RegisterApiKeys(register, SystemClock())


def lifetime(days: int) -> timedelta | None:
    """None for a key without end."""
    return timedelta(days=days) if days else None


def show_once(fresh: "FreshKey") -> None:
    """The key on standard output, for a pipe; what there is to say of it on standard error."""
    key = fresh.key
    ends = "without end" if key.expires_at is None else f"until {key.expires_at:%Y-%m-%d %H:%M} UTC"
    scopes = " ".join(sorted(key.scopes))
    typer.echo(f"key {key.key_id} of {key.tenant_id} ({scopes}), {ends}; it is shown this once:", err=True)
    typer.echo(fresh.text)
