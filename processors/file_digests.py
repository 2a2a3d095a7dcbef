"""SHA-256 of files that were pinned, without reading hundreds of megabytes at every start."""

import json
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

_BLOCK_BYTES = 1 << 20
_MAX_CACHE_BYTES = 4 << 20


def sha256_of(file: Path) -> str:
    """In hexadecimal. Raises `OSError`."""
    digest = sha256()
    with file.open("rb") as source:
        while block := source.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def tree_digest(files: Mapping[str, str]) -> str:
    """One SHA-256 of many: `files` are names and the SHA-256 of each, in any order."""
    return sha256("".join(f"{files[name]}  {name}\n" for name in sorted(files)).encode()).hexdigest()


class KnownDigests:
    """The digests that were taken before, in a file that only its owner can write.

    A digest is taken anew when device, inode, size, or the time of the last change of content or of attributes differ:
    the latter nobody sets but the kernel. Whoever can write the file can also exchange the program that reads it, so it
    guards against other users and against damage, not against its own user. Where the file cannot be written, digests
    are taken each time.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._known = self._read()
        self._changed = False

    def sha256_of(self, path: Path) -> str:
        """In hexadecimal. Raises `OSError`."""
        path = path.resolve()
        now = path.stat()
        marks = [now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns, now.st_ctime_ns]
        known = self._known.get(str(path))
        if isinstance(known, list) and known[:-1] == marks:
            return str(known[-1])
        digest = sha256_of(path)
        self._known[str(path)] = [*marks, digest]
        self._changed = True
        return digest

    def keep(self) -> None:
        """Write down what was taken anew. Says nothing where it cannot."""
        if not self._changed:
            return
        part = self._file.with_name(f"{self._file.name}.{os.getpid()}.part")
        with suppress(OSError):
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            part.unlink(missing_ok=True)
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
                json.dump(self._read() | self._known, out)
            part.replace(self._file)
            self._changed = False

    def _read(self) -> dict[str, object]:
        try:
            with os.fdopen(os.open(self._file, os.O_RDONLY | os.O_NOFOLLOW)) as source:
                status = os.fstat(source.fileno())
                private = status.st_uid == os.geteuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
                found = json.loads(source.read(_MAX_CACHE_BYTES)) if private else {}
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}
