"""Data keys that are kept in memory. They pass the contract of `DataKeys`, as the register's do."""

from datetime import date
from secrets import token_bytes

from processors.custody.ports import KeyGoneError, Purpose


class MemoryDataKeys:
    """Keys for as long as the process lives."""

    def __init__(self) -> None:
        self._keys: dict[tuple[str, str, date], dict[Purpose, bytes]] = {}

    def make(self, tenant_id: str, call_id: str, day: date, purpose: Purpose) -> bytes:
        """See `DataKeys.make`."""
        return self._keys.setdefault((tenant_id, call_id, day), {}).setdefault(purpose, token_bytes(32))

    def get(self, tenant_id: str, call_id: str, day: date, purpose: Purpose) -> bytes:
        """See `DataKeys.get`."""
        try:
            return self._keys[tenant_id, call_id, day][purpose]
        except KeyError:
            raise KeyGoneError("there is no such key") from None

    def destroy(self, tenant_id: str, call_id: str, day: date) -> None:
        """See `DataKeys.destroy`."""
        self._keys.pop((tenant_id, call_id, day), None)
