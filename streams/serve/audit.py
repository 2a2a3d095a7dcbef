"""What the HTTP interface enters in the audit log: what it shows, before it does, and what it refuses.

Anybody can be refused as often as he likes. So refusals of those who show no key that holds are counted, by address and
minute: one entry at once, and one at the end of the minute with how many more there were.
"""

import hmac
import logging
import secrets
import threading
from collections import OrderedDict
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256

from processors.custody.audit_entry import AuditEntry, AuditLog
from schemas.errors import InvalidMessageError, OperatorError, RetryableError
from streams.ports import Clock
from streams.runtime.logs import describe

log = logging.getLogger(__name__)

CLIENT = "api"
ROLE = "api_key"
UNKNOWN = "unknown"
"""The actor of a request without a key that holds."""

MINUTE = timedelta(minutes=1)
MOST_ADDRESSES = 60
"""So many addresses are told apart in a minute; the rest is counted together."""

MOST_OF_A_KEY = 60
"""So many refusals of one key are entries of their own in a minute; the rest is counted."""

_OTHERS = "others"


@dataclass
class _Counted:
    """Refusals of one minute that are of one kind."""

    minute: datetime
    first: AuditEntry
    more: int = 0


def _with_count(counted: _Counted, now: datetime) -> AuditEntry:
    """How many more like the first there were in its minute."""
    return replace(counted.first, at=now, details={"more": counted.more, "since": counted.minute.isoformat()})


class ServedAudit:
    """Entries of one server. Safe to share between threads; every method waits for the register."""

    def __init__(self, entries: AuditLog, clock: Clock) -> None:
        self._entries = entries
        self._clock = clock
        self._secret = secrets.token_bytes(32)
        self._counted: OrderedDict[tuple[str, str], _Counted] = OrderedDict()
        self._of_keys: dict[str, int] = {}
        self._keys_since = clock.now()
        self._lock = threading.Lock()

    def shows(self, action: str, tenant_id: str, key_id: str, call_id: str, address: str | None) -> None:
        """Before a call is shown. Raises `RetryableError` and `OperatorError`: then it must not be."""
        self._entries.append(self._entry(action, tenant_id, key_id, call_id, address, None))

    def refuses(
        self,
        code: str,
        address: str | None,
        *,
        action: str = "asked",
        tenant_id: str | None = None,
        key_id: str | None = None,
        call_id: str | None = None,
    ) -> None:
        """When something is refused. Nothing is shown then, so a register that does not answer is logged only."""
        entry = self._entry(action, tenant_id or "*", key_id or UNKNOWN, call_id, address, code)
        if self._is_counted(entry, key_id, address):
            return
        self._append(entry)

    def flush(self, *, everything: bool = False) -> None:
        """Enter what was counted in minutes that are over; with `everything`, also in those that are not."""
        now = self._clock.now()
        with self._lock:
            if now - self._keys_since >= MINUTE:
                self._of_keys.clear()
                self._keys_since = now
            over = [key for key, counted in self._counted.items() if everything or now - counted.minute >= MINUTE]
            ended = [self._counted.pop(key) for key in over]
        for counted in ended:
            if counted.more:
                self._append(_with_count(counted, now))

    def _is_counted(self, entry: AuditEntry, key_id: str | None, address: str | None) -> bool:
        """Whether it was only counted: an entry of this minute tells of one like it."""
        self.flush()
        whose = self._digest(address) if key_id is None else f"key {key_id}"
        kind = (whose, entry.refusal or "")
        with self._lock:
            if key_id is not None:
                used = self._of_keys.get(key_id, 0)
                self._of_keys[key_id] = used + 1
                if used < MOST_OF_A_KEY:
                    return False
            elif kind not in self._counted and len(self._counted) >= MOST_ADDRESSES:
                kind = (_OTHERS, "")
            counted = self._counted.get(kind)
            if counted is None:
                self._counted[kind] = _Counted(self._clock.now(), entry)
                return False
            counted.more += 1
            return True

    def _digest(self, address: str | None) -> str:
        """The address as it is remembered for a minute."""
        return hmac.new(self._secret, (address or "").encode(), sha256).hexdigest()

    def _entry(
        self, action: str, tenant_id: str, key_id: str, call_id: str | None, address: str | None, refusal: str | None
    ) -> AuditEntry:
        return AuditEntry(
            at=self._clock.now(),
            actor=key_id,
            role=UNKNOWN if key_id == UNKNOWN else ROLE,
            action=action,
            tenant_id=tenant_id,
            result="allowed" if refusal is None else "refused",
            client=CLIENT,
            call_id=call_id,
            refusal=refusal,
            personal={"address": address} if address else {},
        )

    def _append(self, entry: AuditEntry) -> None:
        try:
            self._entries.append(entry)
        except (RetryableError, OperatorError, InvalidMessageError) as error:
            log.error("a refusal is in no audit log: %s", describe(error))
