"""Everything that lies in the object store of a call: found by its days, and removed with all its versions."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date

from processors.custody.purge import PlaceCounts
from streams.adapters.object_store.transcripts import day_key, valid_call, valid_tenant
from streams.ports import ObjectMissingError, ObjectStore

OBJECT_NAMES: Mapping[str, str] = {
    "recordings": r"{call}\.[0-9a-f]{{12,16}}\.[a-z0-9]{{1,8}}",
    "archive": r"{call}\.([0-9a-f]{{12,16}}\.[a-z0-9]{{1,8}}|[0-9]{{1,3}}\.parquet)",
    "renditions": r"{call}\.[0-9a-f]{{12,16}}\.(peaks|seek|converted\.[a-z0-9]{{1,8}})",
    "transcripts": r"{call}\.[0-9]{{1,3}}",
    "received": r"{call}\.[0-9a-f]{{16}}",
}
"""Prefix → what an object of a call is called in the folder of its day; an id may be the beginning of another one."""


class CallObjects:
    """Objects of calls. Every method may raise `RetryableError` and `StoreAccessError`."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def day_of(self, tenant_id: str, call_id: str) -> date | None:
        """The UTC day under which its transcript is filed; None where nobody wrote it down."""
        try:
            return date.fromisoformat(self._store.read(day_key(tenant_id, call_id), length=10).decode("ascii"))
        except (ObjectMissingError, ValueError):
            return None

    def destroy(self, tenant_id: str, calls: Mapping[str, Sequence[date]]) -> PlaceCounts:
        """Remove all of these calls (id → its UTC days); how many there were, by prefix. Again is right."""
        return self._each(tenant_id, calls, remove=True)

    def left(self, tenant_id: str, calls: Mapping[str, Sequence[date]]) -> PlaceCounts:
        """How many there are."""
        return self._each(tenant_id, calls, remove=False)

    def _each(self, tenant_id: str, calls: Mapping[str, Sequence[date]], *, remove: bool) -> PlaceCounts:
        counts = dict.fromkeys((*OBJECT_NAMES, "call_days"), 0)
        for call_id, days in calls.items():
            for prefix, key in self._keys(tenant_id, call_id, days):
                counts[prefix] += 1
                if remove:
                    self._store.delete(key)
        return counts

    def _keys(self, tenant_id: str, call_id: str, days: Sequence[date]) -> Iterator[tuple[str, str]]:
        """What there is; where its transcript lies is told last, so that a purge that was killed finds it again."""
        tenant, call = valid_tenant(tenant_id), valid_call(call_id)
        for prefix, name in OBJECT_NAMES.items():
            of_call = re.compile(name.format(call=re.escape(call)))
            for day in days:
                folder = f"{prefix}/{tenant}/{day:%Y/%m/%d}/"
                for entry in self._store.entries(f"{folder}{call}."):
                    if of_call.fullmatch(entry.key.removeprefix(folder)):
                        yield prefix, entry.key
        in_clear, where = f"transcripts/{tenant}/{call}.json", day_key(tenant, call)
        for prefix, key in (("transcripts", in_clear), ("call_days", where)):
            try:
                self._store.size(key)
            except ObjectMissingError:
                continue
            yield prefix, key
