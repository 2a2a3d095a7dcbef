"""Which offsets of a partition are done, when they are not done in order.

Kafka keeps one number for a consumer group and partition: everything before it is done. An alert that waits for the end
of the quiet hours would hold that number back, and after a restart everything behind it would be sent again. So what is
done behind the number is committed beside it, in the metadata of the commit: one bit for each offset.
"""

import base64
from dataclasses import dataclass, field

MAX_AHEAD = 16_000
"""So far may what is done be ahead of what is not: its bits must fit into 4096 bytes, the broker's limit by default."""

_MOST_BITS = 24_000
"""What is further ahead than this is not remembered, and done again after a restart."""

_PREFIX = "done:"


@dataclass
class PartitionProgress:
    """One partition, from the offset at which reading began."""

    position: int | None = None
    """Everything before it is done; None until something is known of the partition."""

    _last: int = -1
    _waiting: set[int] = field(default_factory=set)
    _done_before: frozenset[int] = frozenset()

    @classmethod
    def resumed(cls, position: int, metadata: str | None) -> "PartitionProgress":
        """As it was committed. Metadata that cannot be read mean that nothing behind the position is done."""
        return cls(position, _done_before=frozenset(_decoded(position, metadata or "")))

    def take(self, offset: int) -> bool:
        """This offset was read. False where it was done before the restart; then it needs no `finish`."""
        if self.position is None:
            self.position = offset
        self._last = max(self._last, offset)
        if offset in self._done_before or offset < self.position:
            self._move()
            return False
        self._waiting.add(offset)
        return True

    def finish(self, offset: int) -> None:
        """This offset is done. One that was not taken, or is done already, changes nothing."""
        if offset not in self._waiting:
            return
        self._waiting.remove(offset)
        self._move()

    @property
    def is_full(self) -> bool:
        """Whether no more may be read before the oldest is done."""
        return self.position is not None and self._last - self.position >= MAX_AHEAD

    def commit(self) -> tuple[int, str]:
        """The number and the metadata to commit; call it only when something was read."""
        position = self.position or 0
        ahead = range(position, self._last + 1)
        done = [offset for offset in ahead if offset not in self._waiting]
        done += [offset for offset in self._done_before if offset > self._last]
        return position, _encoded(position, [offset for offset in done if offset - position < _MOST_BITS])

    def _move(self) -> None:
        self.position = min(self._waiting, default=self._last + 1)


def done_until(position: int, metadata: str) -> int:
    """One more than the last offset that a commit says is done. A log that ends before it is not the one it was."""
    return max(_decoded(position, metadata), default=position - 1) + 1


def done_behind(position: int, metadata: str) -> frozenset[int]:
    """Offsets that a commit says are done, behind the first one that is not."""
    return frozenset(_decoded(position, metadata))


def _encoded(position: int, done: list[int]) -> str:
    if not done:
        return ""
    bits = bytearray((max(done) - position) // 8 + 1)
    for offset in done:
        bits[(offset - position) // 8] |= 1 << (offset - position) % 8
    return _PREFIX + base64.b64encode(bytes(bits)).decode()


def _decoded(position: int, metadata: str) -> set[int]:
    if not metadata.startswith(_PREFIX):
        return set()
    try:
        bits = base64.b64decode(metadata.removeprefix(_PREFIX), validate=True)
    except ValueError:
        return set()
    return {position + 8 * index + bit for index, byte in enumerate(bits) for bit in range(8) if byte & (1 << bit)}
