"""The use case of listening as commands use it: the store and the keys of the settings, no server."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from processors.custody.authorization import Action, Actor, Target
from streams.settings import Settings

if TYPE_CHECKING:
    from streams.listening import Listening


@contextmanager
def opened_listening(settings: Settings) -> Iterator["Listening"]:
    """Over the store, the register and the keys of these settings. Raises `OperatorError`."""
    from streams.adapters.object_store.from_settings import object_store_from
    from streams.adapters.register.audit_log import RegisterAuditLog
    from streams.adapters.register.register import Register
    from streams.adapters.register.tombstones import RegisterTombstones
    from streams.ports import SystemClock
    from streams.stages.play import Decoders, listening_from

    clock, register, decoders = SystemClock(), Register.of(settings), Decoders(1)
    try:
        yield listening_from(
            settings,
            object_store_from(settings),
            register,
            clock,
            decoders.stretch,
            audit_log=RegisterAuditLog(register, clock),
            tombstones=RegisterTombstones(register, clock),
        )
    finally:
        decoders.close()
        register.close()


def who_listens(settings: Settings, action: Action, tenant: str) -> Actor:
    """For whom the command speaks: the account of whoever runs it, or the operator of the machine where that account
    may not. `Listening` asks again, of the call.
    """
    from streams.cli.console.access import commanding

    return commanding(settings).decide(action, Target(tenant))[0]
