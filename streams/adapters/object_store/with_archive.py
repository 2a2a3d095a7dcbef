"""A store whose archive lies elsewhere: keys below `archive/` are kept in a store of their own, all others where they
were (`archive_to`, R19). Whoever reads, lists or deletes sees one store."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime
from heapq import merge

from streams.adapters.object_store.bucket import ARCHIVE_PREFIX
from streams.ports import (
    BucketRule,
    ForeignUriError,
    LocksObjects,
    ObjectEntry,
    ObjectMissingError,
    ObjectStore,
    ObjectWriter,
)


class StoreWithArchive:
    """An `ObjectStore` over two. What was archived before the archive had a store of its own is found where it was."""

    def __init__(self, at_hand: ObjectStore, archive: ObjectStore) -> None:
        self._at_hand = at_hand
        self._archive = archive

    def uri_of(self, key: str) -> str:
        """See `ObjectStore.uri_of`."""
        return self._home_of(key).uri_of(key)

    def key_of(self, uri: str) -> str:
        """See `ObjectStore.key_of`. A URI into the archive's bucket that is not below `archive/` is foreign."""
        try:
            return self._at_hand.key_of(uri)
        except ForeignUriError:
            key = self._archive.key_of(uri)
        if not key.startswith(ARCHIVE_PREFIX):
            raise ForeignUriError("the URI points into the bucket of the archive, and at nothing that is archived")
        return key

    def apply(self) -> None:
        """See `ObjectStore.apply`; of both."""
        self._at_hand.apply()
        self._archive.apply()

    def rules(self) -> Sequence[BucketRule]:
        """See `ObjectStore.rules`; of both."""
        of_archive = [replace(rule, name=f"archive: {rule.name}") for rule in self._archive.rules()]
        return [*self._at_hand.rules(), *of_archive]

    def check(self) -> None:
        """See `ObjectStore.check`; of both."""
        self._at_hand.check()
        self._archive.check()

    def put(self, key: str, data: bytes, *, content_type: str = "application/octet-stream") -> None:
        """See `ObjectStore.put`."""
        self._home_of(key).put(key, data, content_type=content_type)

    def writer(
        self, key: str, *, content_type: str = "application/octet-stream"
    ) -> AbstractContextManager[ObjectWriter]:
        """See `ObjectStore.writer`."""
        return self._home_of(key).writer(key, content_type=content_type)

    def delete(self, key: str) -> None:
        """See `ObjectStore.delete`; wherever it lies."""
        for store in self._where(key):
            store.delete(key)

    def entries(self, prefix: str = "", *, after: str = "") -> Iterator[ObjectEntry]:
        """See `ObjectStore.entries`. The archive's store is asked only for what may lie below `archive/`."""
        below = prefix if prefix.startswith(ARCHIVE_PREFIX) else ARCHIVE_PREFIX
        if not below.startswith(prefix):
            yield from self._at_hand.entries(prefix, after=after)
            return
        last = ""
        both = (self._archive.entries(below, after=after), self._at_hand.entries(prefix, after=after))
        for entry in merge(
            *both, key=lambda each: each.key.encode()
        ):  # of two that are equal the archive's comes first
            if entry.key != last:
                yield entry
            last = entry.key

    def size(self, key: str) -> int:
        """See `ObjectStore.size`."""
        first, *others = self._where(key)
        try:
            return first.size(key)
        except ObjectMissingError:
            if not others:
                raise
        return others[0].size(key)

    def read(self, key: str, *, start: int = 0, length: int | None = None) -> bytes:
        """See `ObjectStore.read`."""
        first, *others = self._where(key)
        try:
            return first.read(key, start=start, length=length)
        except ObjectMissingError:
            if not others:
                raise
        return others[0].read(key, start=start, length=length)

    def _home_of(self, key: str) -> ObjectStore:
        """Where it is written."""
        return self._where(key)[0]

    def _where(self, key: str) -> tuple[ObjectStore, ...]:
        """Where it may lie."""
        return (self._archive, self._at_hand) if key.startswith(ARCHIVE_PREFIX) else (self._at_hand,)


class LockingStoreWithArchive(StoreWithArchive):
    """The same, over a store that can lock objects (`LocksObjects`)."""

    def __init__(self, at_hand: ObjectStore, archive: ObjectStore, locks: LocksObjects) -> None:
        """`locks` is `at_hand`."""
        super().__init__(at_hand, archive)
        self._locks = locks

    def put_locked(self, key: str, data: bytes, until: datetime, *, content_type: str) -> None:
        """See `LocksObjects.put_locked`. Nothing that is archived is locked: recordings must be erasable."""
        self._locks.put_locked(key, data, until, content_type=content_type)


def with_archive(at_hand: ObjectStore, archive: ObjectStore) -> StoreWithArchive:
    """One store of both, which can lock objects where `at_hand` can."""
    if isinstance(at_hand, LocksObjects):
        return LockingStoreWithArchive(at_hand, archive, at_hand)
    return StoreWithArchive(at_hand, archive)
