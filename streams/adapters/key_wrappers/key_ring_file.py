"""Wrapping keys in files, one for each purpose, that only their owner may read: for one machine."""

import errno
import fcntl
import json
import os
import stat
import threading
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_bytes, token_hex
from typing import ClassVar

from pydantic import Field

from processors.custody.ports import Purpose
from schemas.config.settings_part import OptionalPath
from schemas.errors import OperatorError, RetryableError
from streams.adapters.key_wrappers.ring import KEY_BYTES, Ring
from streams.ports import KeyWrapperSettings

_FORMAT = "callstream key ring 1"
_MOST_BYTES = 1024 * 1024
_FILE_MODE = 0o600
_FOLDER_MODE = 0o700


class KeyRingFileSettings(KeyWrapperSettings):
    """Where the files are."""

    kind: ClassVar[str] = "key_ring_file"

    audio_keys_file: OptionalPath = Field(
        default=None, description="key ring file: the keys of audio; default <data_dir>/keys/audio.json"
    )
    transcript_keys_file: OptionalPath = Field(
        default=None, description="key ring file: those of transcripts; default <data_dir>/keys/transcript.json"
    )
    received_keys_file: OptionalPath = Field(
        default=None,
        description="key ring file: those of transcripts from outside, not yet masked; default "
        "<data_dir>/keys/received.json",
    )

    def open(self, data_dir: Path, purposes: Collection[Purpose]) -> "KeyRingFiles":
        """See `KeyWrapperSettings.open`."""
        return KeyRingFiles(
            {
                purpose: getattr(self, f"{purpose}_keys_file") or data_dir / "keys" / f"{purpose}.json"
                for purpose in purposes
            }
        )


_Stamp = tuple[int, int, int, int]


class KeyRingFiles(Ring):
    """Keys that are read again when their file has changed. Safe to share between threads and processes."""

    def __init__(self, files: Mapping[Purpose, Path]) -> None:
        """Nothing is touched yet; a file that is not there holds no keys, and the first `make_version` makes it."""
        super().__init__(files)
        self._files = files
        self._read: dict[Purpose, tuple[_Stamp, Mapping[str, bytes]]] = {}
        self._lock = threading.Lock()

    def keys(self, purpose: Purpose) -> Mapping[str, bytes]:
        """See `Ring.keys`."""
        path = self._files[purpose]
        with self._lock, _failures(path, "read"):
            try:
                file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            except FileNotFoundError:
                return {}
            with os.fdopen(file, "rb") as stream:
                facts = os.fstat(file)
                _require_private(path, facts)
                stamp = (facts.st_dev, facts.st_ino, facts.st_mtime_ns, facts.st_size)
                if (known := self._read.get(purpose)) is None or known[0] != stamp:
                    known = (stamp, _parsed(path, purpose, stream.read(_MOST_BYTES + 1)))
                    self._read[purpose] = known
                return known[1]

    def make_version(self, purpose: Purpose) -> str:
        """See `KeyWrapper.make_version`. A number, and eight random digits so that none ever comes twice."""
        with self._changing(purpose) as keys:
            number = max((int(version.partition("-")[0]) for version in keys), default=0) + 1
            version = f"{number:04d}-{token_hex(4)}"
            keys[version] = token_bytes(KEY_BYTES)
        return version

    def remove_version(self, purpose: Purpose, version: str) -> None:
        """See `KeyWrapper.remove_version`. Copies of the file, as in a backup, are not reached."""
        if version in self.versions(purpose):
            with self._changing(purpose) as keys:
                keys.pop(version, None)

    @contextmanager
    def _changing(self, purpose: Purpose) -> Iterator[dict[str, bytes]]:
        """The keys, to be changed in place; durable at the end, whole or not at all. Nobody else changes them then."""
        self.versions(purpose)  # raises for a purpose that is not ours, and for a file that cannot be used
        path = self._files[purpose].resolve()
        with _failures(path, "write"):
            path.parent.mkdir(_FOLDER_MODE, parents=True, exist_ok=True)
            with (path.parent / f".{path.name}.lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                keys = dict(self.keys(purpose))
                yield keys
                _write(path, purpose, keys)


def _write(path: Path, purpose: Purpose, keys: Mapping[str, bytes]) -> None:
    text = json.dumps(
        {
            "format": _FORMAT,
            "purpose": purpose,
            "keys": [{"version": version, "key": b64encode(key).decode()} for version, key in keys.items()],
        },
        indent=1,
    )
    temporary = path.with_name(f".{path.name}.{token_hex(8)}.part")
    try:
        file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _FILE_MODE)
        with os.fdopen(file, "w", encoding="utf-8") as stream:
            stream.write(text + "\n")
            stream.flush()
            os.fsync(file)
        temporary.rename(path)
    except BaseException:
        with suppress(FileNotFoundError):
            temporary.unlink()
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _parsed(path: Path, purpose: Purpose, data: bytes) -> dict[str, bytes]:
    """Version → key, as they stand in the file. Raises `OperatorError`, which names the file and nothing in it."""
    keys: dict[str, bytes] = {}
    fits = len(data) <= _MOST_BYTES
    try:
        ring = json.loads(data) if fits else {}
        fits = (ring["format"], ring["purpose"]) == (_FORMAT, purpose)
        for entry in ring["keys"]:
            version, key = entry["version"], b64decode(entry["key"], validate=True)
            fits = fits and isinstance(version, str) and version.partition("-")[0].isdecimal() and version not in keys
            fits = fits and len(key) == KEY_BYTES
            keys[version] = key
    except (ValueError, KeyError, TypeError, AttributeError, Base64Error, RecursionError):
        fits = False
    if not fits:  # outside of the except block: nothing of the file rides along
        raise OperatorError(
            f"{path} is no key ring of {purpose} keys: put the right file there, from a backup if need be. Do not "
            "delete it: what its keys wrap could not be opened any more"
        )
    return keys


def _require_private(path: Path, facts: os.stat_result) -> None:
    """Raises `OperatorError`. A file that is another's may be readable by our group: else we could not have it."""
    if not stat.S_ISREG(facts.st_mode):
        raise OperatorError(f"{path} is no file")
    tolerated = 0o740 if facts.st_uid != os.geteuid() else 0o700
    if stat.S_IMODE(facts.st_mode) & 0o777 & ~tolerated:
        raise OperatorError(f"{path} holds keys and may be read or written by others: run `chmod 600` on it")


@contextmanager
def _failures(path: Path, doing: str) -> Iterator[None]:
    """Raises `OperatorError` in place of `OSError`, and `RetryableError` where too many files are open."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):
            raise RetryableError(f"{path}, which holds keys, cannot be opened: {error.strerror}") from None
        if error.errno == errno.ENOSPC:
            raise OperatorError(f"the disk of {path} is full: no key was changed") from None
        raise OperatorError(f"cannot {doing} {path}, which holds keys: {error.strerror}") from None
