"""Which calls have a tombstone, as a stage asks before it does anything with a message, and again before it says so.

A tombstone is for ever; that there is none is remembered for moments alone.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection

from processors.custody.ports import Tombstones
from streams.ports import CallKey

KEEP_S = 2.0
"""So long a call that had no tombstone is taken to have none. What slips through is found by the purge itself."""

MOST = 50_000
"""Calls that are remembered."""


class BuriedCalls:
    """`Tombstones` that asks once for each batch, and within seconds not again. Safe to share between threads."""

    def __init__(
        self, tombstones: Tombstones, stopwatch: Callable[[], float] = time.monotonic, keep_s: float = KEEP_S
    ) -> None:
        self._tombstones = tombstones
        self._stopwatch = stopwatch
        self._keep_s = keep_s
        self._free_until: OrderedDict[CallKey, float] = OrderedDict()
        self._buried: OrderedDict[CallKey, None] = OrderedDict()
        self._lock = threading.Lock()

    def among(self, calls: Collection[CallKey]) -> frozenset[CallKey]:
        """See `Tombstones.among`."""
        now_s = self._stopwatch()
        with self._lock:
            known = {call for call in calls if call in self._buried}
            unknown = [call for call in set(calls) - known if self._free_until.get(call, 0.0) <= now_s]
        if not unknown:
            return frozenset(known)
        found = self._tombstones.among(unknown)
        with self._lock:
            self._buried.update(dict.fromkeys(found))
            for call in set(unknown) - found:
                self._free_until[call] = now_s + self._keep_s
                self._free_until.move_to_end(call)
            for memory in (self._buried, self._free_until):
                while len(memory) > MOST:
                    memory.popitem(last=False)
        return frozenset(known | found)

    def is_buried(self, tenant_id: str, call_id: str) -> bool:
        """Of one call."""
        return bool(self.among([(tenant_id, call_id)]))


class NoTombstones:
    """Where there is no register: nothing was destroyed."""

    def among(self, calls: Collection[CallKey]) -> frozenset[CallKey]:  # noqa: ARG002 - it is the same for every call
        """See `Tombstones.among`."""
        return frozenset()


NO_TOMBSTONES = NoTombstones()
