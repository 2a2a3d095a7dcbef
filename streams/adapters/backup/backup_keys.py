"""The data keys of calls as the keys part of backups has them: to open a call without a register."""

from datetime import date

from processors.custody.backups import KeysPart
from processors.custody.data_keys import call_context, day_context, unwrap_key
from processors.custody.ports import KeyGoneError, KeyWrapper, Purpose, WrappedKey
from streams.adapters.backup.register_rows import of_line
from streams.adapters.backup.target import BackupTarget
from streams.adapters.register.tables import call_keys, day_keys


class BackupKeys:
    """`DataKeys`, to read alone. Holds the keys of one day at a time. Raises as `KeyWrapper.unwrap` besides."""

    def __init__(self, target: BackupTarget, part: KeysPart, wrapper: KeyWrapper) -> None:
        self._target = target
        self._part = part
        self._wrapper = wrapper
        self._days: dict[tuple[str, date, str], WrappedKey] | None = None
        self._day: str | None = None
        self._calls: dict[tuple[str, str, str], bytes] = {}

    def get(self, tenant_id: str, call_id: str, day: date, purpose: Purpose) -> bytes:
        """See `DataKeys.get`."""
        blob = self._keys_of(day).get((tenant_id, call_id, purpose))
        wrapped = self._day_keys().get((tenant_id, day, purpose))
        if blob is None or wrapped is None:
            raise KeyGoneError("the backup has no such key: it was never made, or its call was erased")
        day_key = self._wrapper.unwrap(purpose, wrapped, day_context(tenant_id, day, purpose))
        return unwrap_key(day_key, blob, call_context(tenant_id, call_id, day, purpose))

    def _keys_of(self, day: date) -> dict[tuple[str, str, str], bytes]:
        if self._day != day.isoformat():
            table = self._part.tables[call_keys.name]
            rows = table.partitions.get(day.isoformat())
            self._calls = {}
            for line in self._target.key_chunks.lines(rows.chunks if rows else ()):
                row = of_line(call_keys, table, line)
                self._calls[row["tenant_id"], row["call_id"], row["purpose"]] = row["blob"]
            self._day = day.isoformat()
        return self._calls

    def _day_keys(self) -> dict[tuple[str, date, str], WrappedKey]:
        if self._days is None:
            table = self._part.tables[day_keys.name]
            rows = [
                of_line(day_keys, table, line)
                for each in table.partitions.values()
                for line in self._target.key_chunks.lines(each.chunks)
            ]
            self._days = {
                (row["tenant_id"], row["day"], row["purpose"]): WrappedKey(row["version"], row["blob"]) for row in rows
            }
        return self._days
