"""Keys, and recordings that are taken in, for tests."""

from processors.custody.ports import PURPOSES
from streams.adapters.register.keys import RegisterKeys
from streams.adapters.register.register import Register
from streams.adapters.register.wrapping_keys import ensure_current
from streams.ports import Clock
from tests.support.registers import MemoryWrapper


def keys_of(register: Register, clock: Clock) -> RegisterKeys:
    """Data keys that are wrapped in memory."""
    wrapper = MemoryWrapper()
    for purpose in PURPOSES:
        ensure_current(register, wrapper, purpose, clock.now())
    return RegisterKeys(register, wrapper, clock)
