"""Recordings of releases before 0.4, which lie in clear, sealed where they are."""

from dataclasses import dataclass, field
from hashlib import sha256

from streams.adapters.object_store.recordings import ClearRecording
from streams.adapters.object_store.sealed_store import SealedStore
from streams.ports import ObjectStore

PIECE_BYTES = 8 * 1024 * 1024


@dataclass
class SealedRecordings:
    """How many were sealed, and the keys of those that are left in clear because they are not what they are called."""

    sealed: int = 0
    left: list[str] = field(default_factory=list)


def seal_recordings(store: ObjectStore, sealed: SealedStore) -> SealedRecordings:
    """All that lie in clear: each is sealed beside its place, read back, and then removed there.

    It can be stopped anywhere and done again. `sealed` is over the same store. Raises `RetryableError` and
    `OperatorError`.
    """
    report = SealedRecordings()
    for entry in store.entries("recordings/"):
        recording = ClearRecording.of_key(entry.key)
        if recording is None:
            continue
        if _seal(store, sealed, recording, entry.bytes):
            store.delete(entry.key)
            report.sealed += 1
        else:
            report.left.append(entry.key)
    return report


def _seal(store: ObjectStore, sealed: SealedStore, recording: ClearRecording, length: int) -> bool:
    """Whether it has the checksum in its name, and lies sealed now as it lay in clear."""
    digest = sha256()
    with sealed.writer(recording.sealed_key, recording.identity, recording.day) as writer:
        for start in range(0, length, PIECE_BYTES):
            piece = store.read(recording.key, start=start, length=PIECE_BYTES)
            digest.update(piece)
            writer.write(piece)
        if digest.hexdigest()[: len(recording.digest)] != recording.digest:
            return False
        writer.commit()
    opened, found = sealed.open(recording.sealed_key, recording.identity, recording.day), sha256()
    for start in range(0, opened.plaintext_bytes, PIECE_BYTES):
        found.update(opened.read(start, PIECE_BYTES))
    return found.digest() == digest.digest()
