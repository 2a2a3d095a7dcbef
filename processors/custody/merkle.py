"""The Merkle tree of RFC 6962: hashes, roots, and proofs of inclusion and of consistency. Pure.

A hash is 32 bytes of SHA-256. A tree is known by its `TreePeaks`: the roots of the full subtrees that it is made of,
the largest first, as many as its size has ones in binary. They give the root, and grow by a leaf without the others.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256

HASH_BYTES = 32
EMPTY_ROOT = sha256(b"").digest()
"""Of a tree without leaves."""


def leaf_hash(content: bytes) -> bytes:
    """Of one leaf, by its content."""
    return sha256(b"\x00" + content).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Of what stands above two subtrees."""
    return sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True)
class TreePeaks:
    """A tree of `size` leaves by its full subtrees, the largest first."""

    size: int = 0
    hashes: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if self.size < 0 or len(self.hashes) != self.size.bit_count():
            raise ValueError("a tree has as many full subtrees as its size has ones in binary")
        if any(len(each) != HASH_BYTES for each in self.hashes):
            raise ValueError("a hash has 32 bytes")

    def with_leaf(self, leaf: bytes) -> "TreePeaks":
        """The tree with a leaf more, which is given by its hash."""
        hashes, size = list(self.hashes), self.size
        joined = leaf
        while size & 1:
            joined = node_hash(hashes.pop(), joined)
            size >>= 1
        return TreePeaks(self.size + 1, (*hashes, joined))

    @property
    def root(self) -> bytes:
        """The hash of the whole tree."""
        if not self.hashes:
            return EMPTY_ROOT
        *rest, joined = self.hashes
        for left in reversed(rest):
            joined = node_hash(left, joined)
        return joined

    def to_bytes(self) -> bytes:
        """The hashes, one behind the other."""
        return b"".join(self.hashes)

    @classmethod
    def from_bytes(cls, size: int, stored: bytes) -> "TreePeaks":
        """Raises `ValueError` for bytes that are no tree of that size."""
        starts = range(0, len(stored), HASH_BYTES)
        return cls(size, tuple(stored[start : start + HASH_BYTES] for start in starts))


def peaks_of(leaves: Sequence[bytes], start: TreePeaks | None = None) -> TreePeaks:
    """The tree of these leaves, given by their hashes, behind those of `start`."""
    size, hashes = (0, []) if start is None else (start.size, list(start.hashes))
    for leaf in leaves:
        joined, ones = leaf, size
        while ones & 1:
            joined = node_hash(hashes.pop(), joined)
            ones >>= 1
        hashes.append(joined)
        size += 1
    return TreePeaks(size, tuple(hashes))


def root_of(leaves: Sequence[bytes]) -> bytes:
    """The hash of the tree of these leaves, given by their hashes."""
    return peaks_of(leaves).root


SubtreeRoot = Callable[[int, int], bytes]
"""The root of the leaves from a place to before another."""


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """What proves that the leaf of that index is in the tree (RFC 6962, 2.1.1). Raises `ValueError`."""
    if not 0 <= index < len(leaves):
        raise ValueError("there is no such leaf")
    return _path(index, 0, len(leaves), lambda start, end: root_of(leaves[start:end]))


def _path(index: int, start: int, end: int, root: SubtreeRoot) -> list[bytes]:
    if end - start <= 1:
        return []
    middle = start + _split(end - start)
    if start + index < middle:
        return [*_path(index, start, middle, root), root(middle, end)]
    return [*_path(index - (middle - start), middle, end, root), root(start, middle)]


def consistency_proof(leaves: Sequence[bytes], size: int) -> list[bytes]:
    """What proves that the tree of the first `size` leaves is a part of this one (RFC 6962, 2.1.2).

    Raises `ValueError`. Empty where there is nothing to prove: no leaves, or all of them.
    """
    if not 0 <= size <= len(leaves):
        raise ValueError("the tree has not so many leaves")
    if size in (0, len(leaves)):
        return []
    return _subproof(size, 0, len(leaves), lambda start, end: root_of(leaves[start:end]), whole=True)


def _subproof(size: int, start: int, end: int, root: SubtreeRoot, *, whole: bool) -> list[bytes]:
    if size == end - start:
        return [] if whole else [root(start, end)]
    split = _split(end - start)
    if size <= split:
        return [*_subproof(size, start, start + split, root, whole=whole), root(start + split, end)]
    return [*_subproof(size - split, start + split, end, root, whole=False), root(start, start + split)]


def _split(size: int) -> int:
    """The largest power of two below the size."""
    return 1 << ((size - 1).bit_length() - 1)


def is_included(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether the proof shows that a leaf, given by its hash, stands at this index of the tree of that root."""
    if not 0 <= index < size:
        return False
    here, last, joined = index, size - 1, leaf
    for each in proof:
        if last == 0:
            return False
        if here & 1 or here == last:
            joined = node_hash(each, joined)
            while not here & 1 and here:
                here, last = here >> 1, last >> 1
        else:
            joined = node_hash(joined, each)
        here, last = here >> 1, last >> 1
    return last == 0 and joined == root


def is_consistent(size: int, root: bytes, later_size: int, later_root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether the proof shows that the tree of `size` and `root` is the beginning of the later one (RFC 9162)."""
    if not 0 <= size <= later_size:
        return False
    if size == 0:
        return not proof and root == EMPTY_ROOT
    if size == later_size:
        return not proof and root == later_root
    path = list(proof) if size & (size - 1) else [root, *proof]
    if not path:
        return False
    here, last = size - 1, later_size - 1
    while here & 1:
        here, last = here >> 1, last >> 1
    earlier = later = path[0]
    for each in path[1:]:
        if last == 0:
            return False
        if here & 1 or here == last:
            earlier, later = node_hash(each, earlier), node_hash(each, later)
            while not here & 1 and here:
                here, last = here >> 1, last >> 1
        else:
            later = node_hash(later, each)
        here, last = here >> 1, last >> 1
    return last == 0 and earlier == root and later == later_root
