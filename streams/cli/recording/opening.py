"""The use case of listening over store and register of the settings, in this process."""

from collections.abc import Iterator
from contextlib import contextmanager

from processors.custody.authorization import Action, Actor, Target
from streams.adapters.decoder.process import DecoderProcess
from streams.adapters.object_store.from_settings import whole_store_from
from streams.adapters.register.register import Register
from streams.adapters.register.tombstones import RegisterTombstones
from streams.cli.console.access import commanding
from streams.listening import Listening
from streams.ports import SystemClock
from streams.settings import Settings
from streams.stages.play import listening_from
from streams.wiring import audit_log_of, require_register


@contextmanager
def opened_listening(settings: Settings, tenant: str, action: Action = "listen") -> Iterator[tuple[Listening, Actor]]:
    """It, and who asks: the account that this one of the machine is linked to, or its operator.

    Raises what register, store and keys raise.
    """
    register, clock = Register.of(settings), SystemClock()
    try:
        require_register(register)
        actor, _ = commanding(settings, register).decide(action, Target(tenant))
        with DecoderProcess() as decoder:
            listening = listening_from(
                settings,
                whole_store_from(settings),
                register,
                clock,
                decoder.stretch,
                audit_log=audit_log_of(register, clock),
                tombstones=RegisterTombstones(register, clock),
            )
            yield listening, actor
    finally:
        register.close()
