"""Rotation of wrapping keys: what is decided in `processors.custody.rotation`, carried out on register and wrapper.

Each step may be killed and given again: what was done stays done, and nothing is ever without a key that opens it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from secrets import token_bytes

from processors.custody.ports import KeyRefusedError, KeyWrapper, Purpose
from processors.custody.rotation import (
    Command,
    Prepare,
    Retire,
    RollBack,
    RotationRefusedError,
    StateChanged,
    Switch,
    WrappingKeys,
    WrappingKeyState,
    decide,
)
from schemas.errors import OperatorError
from schemas.messages.custody_changed import ALL_TENANTS, CustodyChanged, CustodyKind
from streams.adapters.register.keys import DayKey, day_keys_under, replace_day_key
from streams.adapters.register.register import Register, Transaction
from streams.adapters.register.wrapping_keys import (
    WrappingKeyRow,
    add_wrapping_key,
    current_version,
    hold_current,
    set_state,
    wrapping_key_rows,
)
from streams.ports import Clock

REWRAPPED_AT_ONCE = 200
"""Day keys in a transaction; on SQLite nobody else writes meanwhile."""

_KINDS: dict[WrappingKeyState, CustodyKind] = {
    "prepared": "wrapping_key_prepared",
    "current": "wrapping_key_current",
    "retiring": "wrapping_key_retiring",
    "retired": "wrapping_key_retired",
}


@dataclass(frozen=True)
class Rewrapped:
    """How many day keys were wrapped anew, and how many do not open: those rows were changed, or put back wrongly."""

    done: int
    refused: int


class Rotation:
    """Every method raises what `Register.transaction` and the wrapper raise, and `RotationRefusedError`."""

    def __init__(self, register: Register, wrapper: KeyWrapper, clock: Clock, actor: str) -> None:
        """`actor` is who does it, as the log of custody says."""
        self._register = register
        self._wrapper = wrapper
        self._clock = clock
        self._actor = actor

    def rows(self, purpose: Purpose) -> Sequence[WrappingKeyRow]:
        """Every version that the register knows, the oldest first."""
        with self._register.reading("read the wrapping keys") as tx:
            return wrapping_key_rows(tx, purpose)

    def prepare(self, purpose: Purpose) -> str:
        """The version that is prepared: the one that already is, one that the wrapper has got since, or a new one."""
        rows = self.rows(purpose)
        if (prepared := _at(rows, "prepared")) is not None:
            return prepared
        version = self._unknown_version(purpose, {row.version for row in rows}) or self._wrapper.make_version(purpose)
        self._try_out(purpose, version)
        self._carry_out(purpose, Prepare(version))
        return version

    def switch(self, purpose: Purpose, version: str | None = None) -> str:
        """Wrap with the prepared version from now on; which one that is."""
        found = version or _at(self.rows(purpose), "prepared")
        if found is None:
            raise RotationRefusedError(f"no wrapping key of {purpose} is prepared: run `callstream keys prepare` first")
        self._try_out(purpose, found)
        self._carry_out(purpose, Switch(found))
        return found

    def roll_back(self, purpose: Purpose, version: str | None = None) -> str:
        """Wrap with the version before again; which one that is."""
        found = version or _at(self.rows(purpose), "retiring")
        if found is None:
            raise RotationRefusedError(f"no wrapping key of {purpose} is retiring: there is none to go back to")
        self._try_out(purpose, found)
        self._carry_out(purpose, RollBack(found))
        return found

    def retire(self, purpose: Purpose, version: str | None = None, *, destroy: bool = False) -> str:
        """Be done with the version before; which one that is. With `destroy`, its key is destroyed as well."""
        rows = self.rows(purpose)
        found = version or _at(rows, "retiring") or (_at(rows, "retired") if destroy else None)
        if found is None:
            raise RotationRefusedError(f"no wrapping key of {purpose} is retiring")
        self._carry_out(purpose, Retire(found))
        if destroy:
            self._wrapper.remove_version(purpose, found)
        return found

    def rewrap(
        self, purpose: Purpose, tell: Callable[[int], None] = lambda _done: None, at_once: int = REWRAPPED_AT_ONCE
    ) -> Rewrapped:
        """Wrap every day key anew that the current version does not wrap. `tell` hears how many are done so far.

        Stops with `RotationRefusedError` where another version becomes current meanwhile.
        """
        with self._register.reading("read the wrapping keys") as tx:
            current = current_version(tx, purpose)
            former = [row.version for row in wrapping_key_rows(tx, purpose) if row.version != current]
        done, refused = 0, set[DayKey]()
        for version in former:
            while True:
                with self._register.reading("read the keys of days") as tx:
                    found = day_keys_under(tx, purpose, version, at_once + len(refused))
                batch = [day_key for day_key in found if day_key not in refused]
                if not batch:
                    break
                done += self._rewrap(purpose, current, batch, refused)
                tell(done)
        return Rewrapped(done, len(refused))

    def _rewrap(self, purpose: Purpose, current: str, batch: Sequence[DayKey], refused: set[DayKey]) -> int:
        """How many were still as they had been read, and are wrapped anew; `refused` gets those that do not open."""
        # Outside of the transaction: a key service may take its time.
        wrapped = []
        for day_key in batch:
            try:
                key = self._wrapper.unwrap(purpose, day_key.wrapped, day_key.context)
            except KeyRefusedError:
                refused.add(day_key)
            else:
                wrapped.append((day_key, self._wrapper.wrap(purpose, current, key, day_key.context)))
        with self._register.transaction("keep the keys of days") as tx:
            if not hold_current(tx, purpose, current):
                raise RotationRefusedError(
                    f"another wrapping key of {purpose} is current by now: run `callstream keys rewrap` again"
                )
            replaced = sum(replace_day_key(tx, day_key, anew) for day_key, anew in wrapped)
            if replaced:
                self._log(tx, purpose, "day_keys_rewrapped", current, replaced)
        return replaced

    def _carry_out(self, purpose: Purpose, command: Command) -> tuple[StateChanged, ...]:
        with self._register.transaction("change the wrapping keys") as tx:
            rows = wrapping_key_rows(tx, purpose, lock=True)
            keys = WrappingKeys(
                purpose, {row.version: row.state for row in rows}, {row.version: row.needed_by for row in rows}
            )
            events = decide(command, keys)
            now = self._clock.now()
            for event in events:
                if event.before is None:
                    add_wrapping_key(tx, purpose, event.version, event.after, now)
                else:
                    set_state(tx, purpose, event.version, event.after, now)
                self._log(tx, purpose, _KINDS[event.after], event.version)
        return events

    def _log(
        self, tx: Transaction, purpose: Purpose, kind: CustodyKind, version: str, count: int | None = None
    ) -> None:
        tx.outbox(
            CustodyChanged.of(
                kind,
                tenant_id=ALL_TENANTS,
                actor=self._actor,
                at=self._clock.now(),
                purpose=purpose,
                key_version=version,
                count=count,
            )
        )

    def _unknown_version(self, purpose: Purpose, known: set[str]) -> str | None:
        """The newest that the wrapper has and the register does not know, unless the register knows a newer one."""
        newest = next(reversed(self._wrapper.versions(purpose)), None)
        return newest if newest not in known else None

    def _try_out(self, purpose: Purpose, version: str) -> None:
        """That the version wraps and unwraps here. Raises `OperatorError`."""
        key, context = token_bytes(32), b"callstream keys"
        if self._wrapper.unwrap(purpose, self._wrapper.wrap(purpose, version, key, context), context) != key:
            raise OperatorError(
                f"wrapping key {version} ({purpose}) does not give back what it was given: do not use it"
            )


def _at(rows: Sequence[WrappingKeyRow], state: WrappingKeyState) -> str | None:
    """The newest version in that state."""
    return next((row.version for row in reversed(rows) if row.state == state), None)
