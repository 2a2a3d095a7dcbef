"""Where backups lie: a folder or a bucket, and what is called how in it.

chunks/<2 digits>/<sha256>   rows, compressed; with a key, sealed
objects/<2 digits>/<id>      copies of objects, as they lay in the store
backups/<id>.json            the manifest of a backup, signed; written last
erased.json                  the calls that no backup may give back, signed
holds.json                   how cases of legal holds stand, whichever backup is given back, signed
keys/keys.json               the wrapped keys, signed: one part for all backups, which may lie elsewhere
keys/chunks/<2 digits>/<sha256>
"""

import base64
import binascii
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from secrets import token_bytes

import cramjam
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import BaseModel

from processors.custody.backups import (
    BackupError,
    Chunk,
    CutChunk,
    Erased,
    HeldCases,
    KeptRows,
    KeysPart,
    M,
    Manifest,
    keep_rows,
    lines_of,
    read_document,
    signed_bytes,
)
from schemas.errors import OperatorError
from streams.adapters.backup.signing import is_signed
from streams.ports import ObjectMissingError, ObjectStore

_PLAIN = b"\0"
_SEALED = b"\1"
_NONCE_BYTES = 12
_COMPRESSION_LEVEL = 6
_COPY_BYTES = 8 * 1024 * 1024


class ChunkBrokenError(BackupError):
    """A chunk is absent, was changed, or is sealed under another key."""


@dataclass(frozen=True)
class BackupPlace:
    """A store, and below which prefix of it; empty or with a slash at its end."""

    store: ObjectStore
    prefix: str = ""

    def key(self, name: str) -> str:
        return f"{self.prefix}{name}"


@dataclass
class Copied:
    """What was written: chunks and copies of objects that were not there yet."""

    chunks: int = 0
    chunk_bytes: int = 0
    objects: int = 0
    object_bytes: int = 0


class ChunkPool:
    """Chunks by the SHA-256 of their lines. Safe for one thread."""

    def __init__(self, place: BackupPlace, folder: str, sealing_key: bytes | None) -> None:
        self._place = place
        self._folder = folder
        self._aead = None if sealing_key is None else AESGCM(sealing_key)
        self._known: set[str] | None = None

    def keep(self, cut: CutChunk, copied: Copied) -> None:
        """Durable when this returns. Does nothing where it is there."""
        name = cut.chunk.sha256
        if name in self.known():
            return
        packed = bytes(cramjam.zstd.compress(cut.lines, level=_COMPRESSION_LEVEL))
        if self._aead is None:
            data = _PLAIN + packed
        else:
            nonce = token_bytes(_NONCE_BYTES)
            data = _SEALED + nonce + self._aead.encrypt(nonce, packed, name.encode())
        self._place.store.put(self._key(name), data)
        self.known().add(name)
        copied.chunks += 1
        copied.chunk_bytes += len(data)

    def known(self) -> set[str]:
        """Names of those that are there."""
        if self._known is None:
            entries = self._place.store.entries(self._place.key(f"{self._folder}/"))
            self._known = {entry.key.rpartition("/")[2] for entry in entries}
        return self._known

    def lines(self, chunks: Iterable[Chunk]) -> Iterator[bytes]:
        """The lines of chunks, one after the other. Raises `ChunkBrokenError`."""
        for chunk in chunks:
            yield from lines_of((self.read(chunk),))

    def read(self, chunk: Chunk) -> bytes:
        """The lines of one. Raises `ChunkBrokenError`."""
        name = f"{self._folder}/{chunk.sha256}"
        try:
            data = self._place.store.read(self._key(chunk.sha256))
        except ObjectMissingError:
            raise ChunkBrokenError(f"{name} is absent") from None
        kind, packed = data[:1], data[1:]
        if kind == _SEALED:
            if self._aead is None:
                raise ChunkBrokenError(f"{name} is sealed, and no sealing key is named")
            try:
                nonce = packed[:_NONCE_BYTES]
                packed = self._aead.decrypt(nonce, packed[_NONCE_BYTES:], chunk.sha256.encode())
            except (InvalidTag, ValueError):
                raise ChunkBrokenError(f"{name} was changed, or is sealed under another key") from None
        elif kind != _PLAIN:
            raise ChunkBrokenError(f"{name} was changed")
        room = bytearray(chunk.size_bytes + 1)  # no more than the signed manifest says, whatever it expands to
        try:
            written = cramjam.zstd.decompress_into(packed, room) if packed else 0
        except cramjam.DecompressionError:
            raise ChunkBrokenError(f"{name} was changed") from None
        lines = bytes(memoryview(room)[:written])
        if written != chunk.size_bytes or sha256(lines).hexdigest() != chunk.sha256:
            raise ChunkBrokenError(f"{name} was changed")
        return lines

    def remove_all_but(self, wanted: Collection[str]) -> int:
        """How many went."""
        going = [name for name in self.known() if name not in wanted]
        for name in going:
            self._place.store.delete(self._key(name))
            self.known().discard(name)
        return len(going)

    def _key(self, name: str) -> str:
        return self._place.key(f"{self._folder}/{name[:2]}/{name}")


class BackupTarget:
    """A place for backups. Every method may raise what the store raises, and `BackupError`."""

    def __init__(
        self,
        place: BackupPlace,
        *,
        keys_place: BackupPlace | None = None,
        private_key: Ed25519PrivateKey | None = None,
        public_keys: Sequence[Ed25519PublicKey] = (),
        sealing_key: bytes | None = None,
        keys_sealing_key: bytes | None = None,
    ) -> None:
        """`keys_place`: where the wrapped keys lie, where that is not the same. Without a private key nothing is
        written; what is read must be signed by it or by one of the public keys."""
        self._place = place
        self._keys_place = keys_place or place
        self._private_key = private_key
        self._public_keys = (*public_keys, *((private_key.public_key(),) if private_key else ()))
        self.chunks = ChunkPool(place, "chunks", sealing_key)
        self.key_chunks = ChunkPool(self._keys_place, "keys/chunks", keys_sealing_key)

    def apply(self) -> None:
        """Make the folders or buckets where they do not exist."""
        self._place.store.apply()
        if self._keys_place.store is not self._place.store:
            self._keys_place.store.apply()

    # manifests

    def backup_ids(self) -> list[str]:
        """Of the backups that there are, the oldest first."""
        prefix = self._place.key("backups/")
        names = (entry.key.removeprefix(prefix) for entry in self._place.store.entries(prefix))
        return sorted(name.removesuffix(".json") for name in names if name.endswith(".json"))

    def manifest(self, backup_id: str) -> Manifest:
        """Raises `BackupError` where there is none, it was changed, or somebody else has signed it."""
        found = self._read(self._place, f"backups/{backup_id}.json", Manifest, f"backup {backup_id}")
        if found is None:
            raise BackupError(f"there is no backup {backup_id}: see `callstream backup list`")
        if found.backup_id != backup_id:
            raise BackupError(f"backup {backup_id} has the manifest of {found.backup_id}: it was exchanged")
        return found

    def backup_or_newest(self, backup_id: str | None) -> Manifest:
        """The newest where none is named. Raises as `manifest`."""
        found = self.backup_ids() if backup_id is None else [backup_id]
        if not found:
            raise BackupError("there is no backup there: make one with `callstream backup create`")
        return self.manifest(found[-1])

    def manifests(self) -> list[Manifest]:
        """All, the oldest first. Raises as `manifest`."""
        return [self.manifest(each) for each in self.backup_ids()]

    def write_manifest(self, manifest: Manifest) -> None:
        """From now on it is a backup."""
        self._write(self._place, f"backups/{manifest.backup_id}.json", manifest)

    def remove_manifest(self, backup_id: str) -> None:
        """From now on it is none; what it alone holds is removed by `remove_unused`."""
        self._place.store.delete(self._place.key(f"backups/{backup_id}.json"))

    def keys_part(self) -> KeysPart | None:
        """None where there is none yet."""
        return self._read(self._keys_place, "keys/keys.json", KeysPart, "the keys part")

    def write_keys_part(self, part: KeysPart) -> None:
        """Takes the place of the one before, whose other chunks are removed for good."""
        self._write(self._keys_place, "keys/keys.json", part)
        wanted = {
            chunk.sha256
            for table in part.tables.values()
            for rows in table.partitions.values()
            for chunk in rows.chunks
        }
        self.key_chunks.remove_all_but(wanted)

    def erased(self) -> Erased | None:
        """None where nothing is erased yet."""
        return self._read(self._place, "erased.json", Erased, "erased.json")

    def write_erased(self, erased: Erased) -> None:
        """Takes the place of the one before."""
        self._write(self._place, "erased.json", erased)

    def holds(self) -> HeldCases | None:
        """None where none were written down yet."""
        return self._read(self._place, "holds.json", HeldCases, "holds.json")

    def write_holds(self, holds: HeldCases) -> None:
        """Takes the place of the one before."""
        self._write(self._place, "holds.json", holds)

    # rows

    def keep(self, lines: Iterable[bytes], copied: Copied, fingerprint: str = "") -> KeptRows:
        """Keep lines as chunks."""
        return keep_rows(lines, lambda cut: self.chunks.keep(cut, copied), fingerprint)

    def keep_keys(self, lines: Iterable[bytes], copied: Copied) -> KeptRows:
        """The same in the keys part."""
        return keep_rows(lines, lambda cut: self.key_chunks.keep(cut, copied))

    # copies of objects

    def copy_in(self, copy_id: str, size_bytes: int, read: Callable[[int, int], bytes]) -> tuple[str, bool]:
        """SHA-256 of a copy, and whether it was made now. `read` gives a part of the original, by start and length.

        What a former attempt has copied is read instead. Raises `ObjectMissingError` where the original is gone.
        """
        key = self._copy_key(copy_id)
        with suppress(ObjectMissingError):
            if self._place.store.size(key) == size_bytes:
                return self.digest_of(copy_id, size_bytes), False
        digest = sha256()
        if size_bytes <= _COPY_BYTES:
            data = read(0, size_bytes)
            if len(data) != size_bytes:
                raise ObjectMissingError("the object has changed meanwhile")
            self._place.store.put(key, data)
            return sha256(data).hexdigest(), True
        with self._place.store.writer(key) as writer:
            for start in range(0, size_bytes, _COPY_BYTES):
                data = read(start, min(_COPY_BYTES, size_bytes - start))
                if len(data) != min(_COPY_BYTES, size_bytes - start):
                    raise ObjectMissingError("the object has changed meanwhile")
                digest.update(data)
                writer.write(data)
            writer.commit()
        return digest.hexdigest(), True

    def copy_size(self, copy_id: str) -> int:
        """Raises `ObjectMissingError`."""
        return self._place.store.size(self._copy_key(copy_id))

    def read_copy(self, copy_id: str, start: int = 0, length: int | None = None) -> bytes:
        """Raises `ObjectMissingError`."""
        return self._place.store.read(self._copy_key(copy_id), start=start, length=length)

    def pieces_of_copy(self, copy_id: str, size_bytes: int) -> Iterator[bytes]:
        """All of it. Raises `ObjectMissingError`."""
        for start in range(0, max(size_bytes, 1), _COPY_BYTES):
            yield self.read_copy(copy_id, start, _COPY_BYTES)

    def digest_of(self, copy_id: str, size_bytes: int) -> str:
        """SHA-256 of a copy as it lies. Raises `ObjectMissingError`."""
        digest = sha256()
        for piece in self.pieces_of_copy(copy_id, size_bytes):
            digest.update(piece)
        return digest.hexdigest()

    def remove_copy(self, copy_id: str) -> None:
        """Does nothing where there is none."""
        self._place.store.delete(self._copy_key(copy_id))

    def copies(self) -> Iterator[str]:
        """Ids of all copies that there are."""
        for entry in self._place.store.entries(self._place.key("objects/")):
            yield entry.key.rpartition("/")[2]

    def _copy_key(self, copy_id: str) -> str:
        return self._place.key(f"objects/{copy_id[:2]}/{copy_id}")

    # signed documents

    def signed(self, document: BaseModel) -> bytes:
        """The document with its signature, as it is kept. Raises `OperatorError` without a private key."""
        if self._private_key is None:
            raise OperatorError("backup_private_key_file is not set: make keys with `callstream backup keygen`")
        signature = base64.b64encode(self._private_key.sign(signed_bytes(document))).decode()
        content = {"content": document.model_dump(mode="json"), "signature": signature}
        return json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()

    def opened(self, data: bytes, kind: type[M], what: str) -> M:
        """A signed document. Raises `BackupError`."""
        try:
            envelope = json.loads(data)
            content, signature = json.dumps(envelope["content"]).encode(), base64.b64decode(envelope["signature"])
        except (ValueError, KeyError, TypeError, binascii.Error):
            raise BackupError(f"{what} was changed: it is no signed document") from None
        document = read_document(kind, content, what)
        if not is_signed(signature, signed_bytes(document), self._public_keys):
            raise BackupError(f"{what} was changed, or somebody else has signed it")
        return document

    def _write(self, place: BackupPlace, name: str, document: BaseModel) -> None:
        place.store.put(place.key(name), self.signed(document), content_type="application/json")

    def _read(self, place: BackupPlace, name: str, kind: type[M], what: str) -> M | None:
        try:
            data = place.store.read(place.key(name))
        except ObjectMissingError:
            return None
        return self.opened(data, kind, what)
