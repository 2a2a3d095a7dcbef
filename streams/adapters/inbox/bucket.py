"""A bucket into which telephony, or its gateway, writes recordings in clear: looked through again and again.

Objects are there whole or not at all, so a recording is finished when its JSON object is there, or at once where none
is asked for. Notifications would not spare the look: those that are lost leave a recording in clear.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

from processors.telephony.file_facts import MAX_SIDE_FILE_BYTES
from streams.adapters.inbox.arrival import DONE, PROBLEM, REFUSED, SIDE, Arrival, StillWrittenError
from streams.ports import ObjectEntry, ObjectMissingError, ObjectStore

CHUNK_BYTES = 4 * 1024 * 1024


@dataclass
class BucketInbox:
    """The objects of a bucket whose keys begin with `prefix`; those of `done/` and `refused/` below it lie aside."""

    store: ObjectStore
    prefix: str
    needs_side: bool
    settle_s: float = 0
    keep: bool = False
    now_s: Callable[[], float] = time.time
    _waiting: int = field(default=0, init=False)

    def waiting(self) -> int:
        """As the port says."""
        return self._waiting

    def arrivals(self) -> Iterator[Arrival]:
        """As the port says."""
        self._waiting = 0
        aside = tuple(f"{self.prefix}{each}/" for each in (DONE, REFUSED))
        # A JSON object sorts before or behind its recording: those that are near are remembered.
        group: list[ObjectEntry] = []
        for entry in self.store.entries(self.prefix):
            if entry.key.startswith(aside) or entry.key.endswith("/"):
                continue
            if group and _stem(entry.key) != _stem(group[0].key):
                yield from self._of_group(group)
                group = []
            group.append(entry)
        yield from self._of_group(group)

    def _of_group(self, group: list[ObjectEntry]) -> Iterator[Arrival]:
        """Of objects that differ only behind the first dot of their names."""
        by_key = {entry.key: entry for entry in group}
        for entry in group:
            if entry.key.endswith((SIDE, PROBLEM)):
                continue
            side = next((by_key[key] for key in _sides_of(entry.key) if key in by_key), None)
            if side is None and (self.needs_side or self.now_s() - entry.modified_at.timestamp() < self.settle_s):
                self._waiting += 1
                continue
            yield self._arrival(entry, side)

    def _arrival(self, entry: ObjectEntry, side: ObjectEntry | None) -> Arrival:
        keys = (entry.key, *((side.key,) if side is not None else ()))
        written_at = entry.modified_at if side is None else max(entry.modified_at, side.modified_at)
        raw = None
        if side is not None:
            try:
                raw = self.store.read(side.key, length=MAX_SIDE_FILE_BYTES)
            except ObjectMissingError:
                raw = b""
        return Arrival(
            entry.key.rpartition("/")[2],
            entry.bytes,
            written_at,
            raw,
            partial(self._chunks, entry),
            partial(self._finish, keys),
            partial(self._refuse, keys),
        )

    def _chunks(self, entry: ObjectEntry) -> Iterator[bytes]:
        start = 0
        try:
            while start < entry.bytes:
                chunk = self.store.read(entry.key, start=start, length=min(CHUNK_BYTES, entry.bytes - start))
                if not chunk:
                    break
                start += len(chunk)
                yield chunk
            if start != entry.bytes or self.store.size(entry.key) != entry.bytes:
                raise StillWrittenError("a recording was replaced while it was read")
        except ObjectMissingError:
            raise StillWrittenError("a recording went away while it was read") from None

    def _finish(self, keys: tuple[str, ...]) -> None:
        for key in keys:
            if self.keep:
                self._move(key, DONE)
            else:
                self.store.delete(key)

    def _refuse(self, keys: tuple[str, ...], problem: str) -> None:
        target = self._aside(keys[0], REFUSED)
        self.store.put(target + PROBLEM, (problem + "\n").encode(), content_type="text/plain; charset=utf-8")
        for key in keys:
            self._move(key, REFUSED)

    def _move(self, key: str, aside: str) -> None:
        """Copied, then deleted: killed in between, it is there twice, and moved once more."""
        try:
            size = self.store.size(key)
            with self.store.writer(self._aside(key, aside)) as writer:
                for start in range(0, size, CHUNK_BYTES):
                    writer.write(self.store.read(key, start=start, length=min(CHUNK_BYTES, size - start)))
                writer.commit()
        except ObjectMissingError:
            return
        self.store.delete(key)

    def _aside(self, key: str, aside: str) -> str:
        return f"{self.prefix}{aside}/{key.removeprefix(self.prefix)}"


def _stem(key: str) -> str:
    folder, slash, name = key.rpartition("/")
    return folder + slash + name.partition(".")[0]


def _sides_of(key: str) -> tuple[str, str]:
    """`call.json` or `call.wav.json` beside `call.wav`."""
    folder, slash, name = key.rpartition("/")
    stem, dot, _ = name.rpartition(".")
    return (folder + slash + (stem if dot else name) + SIDE, key + SIDE)
