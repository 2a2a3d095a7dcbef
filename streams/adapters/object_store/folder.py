"""The object store as a folder: `<root>/<bucket>/<key>`, for one machine and for tests."""

import errno
import os
import re
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from typing import ClassVar

from pydantic import Field

from schemas.config.settings_part import OptionalPath
from schemas.errors import RetryableError
from streams.adapters.object_store.bucket import Bucket, require_range
from streams.ports import (
    BucketRule,
    ObjectEntry,
    ObjectMissingError,
    ObjectStoreSettings,
    ObjectWriter,
    StoreAccessError,
)

_FOLDER_MODE = 0o700
_FILE_MODE = 0o600

# Below the bucket no symbolic link is followed, by nobody and at no level, so no key leads out of it. O_NONBLOCK
# keeps a named pipe from holding up the worker.
_OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN_OBJECT = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CREATE_OBJECT = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

_UNFINISHED = re.compile(r"\.[0-9a-f]{16}\.part")
_UNFINISHED_AFTER_S = 24 * 60 * 60
"""Longer than any object takes to be written."""

_ABSENT = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.ENODEV}
"""What opening a path says when there is no such file: nothing there, a file where a folder is asked for, a link, a
socket, a device that is none."""

_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENOENT}
"""What waiting does not mend. Everything else may pass: a full disk, a network file system that is away."""


class FolderSettings(ObjectStoreSettings):
    """Where a folder keeps its buckets."""

    kind: ClassVar[str] = "folder"

    store_folder: OptionalPath = Field(
        default=None, description="folder store: where the buckets are; default <data_dir>/objects"
    )

    def open(self, bucket: str, data_dir: Path) -> "FolderStore":
        """See `ObjectStoreSettings.open`."""
        return FolderStore(self.store_folder or data_dir / "objects", bucket)


class FolderStore:
    """Objects as files that only their owner may read. Safe to share between threads and processes."""

    def __init__(self, root: Path, bucket: str) -> None:
        """`root` holds the buckets; nothing is touched before the first call. Raises `ValueError` for a bad name."""
        self._bucket = Bucket(bucket)
        self._folder = root / bucket

    def uri_of(self, key: str) -> str:
        """See `ObjectStore.uri_of`."""
        return self._bucket.uri_of(key)

    def key_of(self, uri: str) -> str:
        """See `ObjectStore.key_of`."""
        return self._bucket.key_of(uri)

    def apply(self) -> None:
        """Create the folder of the bucket, and those above it that are missing, for the owner alone."""
        with self._failures("create its folder"):
            for folder in (*reversed(self._folder.parents), self._folder):
                if not folder.is_dir():
                    with suppress(FileExistsError):
                        folder.mkdir(_FOLDER_MODE)
        self.check()
        self._remove_unfinished()

    def rules(self) -> Sequence[BucketRule]:
        """See `ObjectStore.rules`: a folder does nothing by itself."""
        return ()

    def _remove_unfinished(self) -> None:
        """What writers that were killed have left behind: recordings that nobody will ever ask for."""
        with self._failures("remove an unfinished object"):
            for _path, _folders, _names, directory in os.fwalk(self._folder):
                _remove_unfinished_in(directory)

    def check(self) -> None:
        """Raises `StoreAccessError` when the folder is absent or may not be read and written."""
        os.close(self._open_bucket())
        if not os.access(self._folder, os.R_OK | os.W_OK | os.X_OK, effective_ids=True):
            raise StoreAccessError(f"{self._folder} may not be read and written: change its owner or mode")

    def put(self, key: str, data: bytes, *, content_type: str = "application/octet-stream") -> None:
        """Write beside the place, sync, rename, sync the folder: durable, and never seen half-written."""
        with self.writer(key, content_type=content_type) as writer:
            writer.write(data)
            writer.commit()

    @contextmanager
    def writer(
        self,
        key: str,
        *,
        content_type: str = "application/octet-stream",  # noqa: ARG002 - a folder keeps no types
    ) -> Iterator[ObjectWriter]:
        """See `ObjectStore.writer`. A file beside the place takes what is written, and its place on `commit`."""
        *folders, name = self._bucket.parts(key)
        temporary = f".{token_hex(8)}.part"
        with self._directory(folders, create=True) as directory:
            with self._failures("write an object"):
                file = os.open(temporary, _CREATE_OBJECT, _FILE_MODE, dir_fd=directory)
            try:
                yield _FileWriter(self, file, directory, temporary, name)
            finally:
                os.close(file)
                with suppress(OSError):  # committed, or as gone as can be: `apply` removes what stays
                    os.unlink(temporary, dir_fd=directory)

    def delete(self, key: str) -> None:
        """See `ObjectStore.delete`. Where there is no object, a writer of it may have been killed: what such ones have
        left in its folder goes once it is old enough."""
        *folders, name = self._bucket.parts(key)
        with (
            suppress(ObjectMissingError),
            self._directory(folders, create=False) as directory,
            self._failures("delete an object"),
            suppress(IsADirectoryError),
        ):
            try:
                os.unlink(name, dir_fd=directory)
            except FileNotFoundError:
                _remove_unfinished_in(directory)
            os.fsync(directory)

    def entries(self, prefix: str = "", *, after: str = "") -> Iterator[ObjectEntry]:
        """See `ObjectStore.entries`. Holds the names of one folder at a time, and of those above it."""
        with self._directory((), create=False) as bucket:
            yield from self._entries(bucket, "", prefix.encode(), after.encode())

    def _entries(self, directory: int, path: str, prefix: bytes, after: bytes) -> Iterator[ObjectEntry]:
        """What lies in this folder and below, whose keys all begin with `path`."""
        for name, is_folder in self._sorted_names(directory):
            key = f"{path}{name}"
            begins = key.encode()  # of all keys below a folder, whose name ends in a slash here
            if not (begins.startswith(prefix) or (is_folder and prefix.startswith(begins))):
                continue
            if begins <= after and not (is_folder and after.startswith(begins)):
                continue
            if is_folder:
                with suppress(ObjectMissingError):
                    inner = self._open(name.removesuffix("/"), _OPEN_FOLDER, directory)
                    try:
                        yield from self._entries(inner, key, prefix, after)
                    finally:
                        os.close(inner)
            elif entry := self._entry(directory, name, key):
                yield entry

    def _sorted_names(self, directory: int) -> list[tuple[str, bool]]:
        """Names that can be part of a key, a folder's with a slash behind it, and whether it is a folder.

        With the slash they are in the order of the keys, in which `a.wav` comes before `a/b.wav`.
        """
        with self._failures("list its objects"), os.scandir(directory) as found:
            names = [
                (f"{entry.name}/", True) if entry.is_dir(follow_symlinks=False) else (entry.name, False)
                for entry in found
                if not _UNFINISHED.fullmatch(entry.name) and self._bucket.can_hold(entry.name)
            ]
        return sorted(names, key=lambda name: name[0].encode())

    def _entry(self, directory: int, name: str, key: str) -> ObjectEntry | None:
        with self._failures("list its objects"):
            try:
                found = os.stat(name, dir_fd=directory, follow_symlinks=False)
            except FileNotFoundError:  # deleted meanwhile
                return None
        if not stat.S_ISREG(found.st_mode):
            return None
        return ObjectEntry(key, found.st_size, datetime.fromtimestamp(found.st_mtime, UTC))

    def size(self, key: str) -> int:
        """See `ObjectStore.size`."""
        with self._object(key) as file, self._failures("read an object"):
            return os.fstat(file).st_size

    def read(self, key: str, *, start: int = 0, length: int | None = None) -> bytes:
        """See `ObjectStore.read`."""
        require_range(start, length)
        with (
            self._object(key) as file,
            self._failures("read an object"),
            os.fdopen(file, "rb", closefd=False) as stream,
        ):
            stream.seek(start)
            return stream.read(-1 if length is None else length)

    @contextmanager
    def _object(self, key: str) -> Iterator[int]:
        """An open file. Raises `ObjectMissingError` where the key leads to anything but a regular file."""
        *folders, name = self._bucket.parts(key)
        with self._directory(folders, create=False) as directory:
            file = self._open(name, _OPEN_OBJECT, directory)
        try:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                raise _missing()
            yield file
        finally:
            os.close(file)

    @contextmanager
    def _directory(self, folders: Sequence[str], *, create: bool) -> Iterator[int]:
        """The folder of an object, opened part by part from the bucket down."""
        directory = self._open_bucket()
        try:
            for name in folders:
                if create:
                    self._make_folder(name, directory)
                    with self._failures("write an object"):
                        inner = os.open(name, _OPEN_FOLDER, dir_fd=directory)
                else:
                    inner = self._open(name, _OPEN_FOLDER, directory)
                os.close(directory)
                directory = inner
            yield directory
        finally:
            os.close(directory)

    def _make_folder(self, name: str, directory: int) -> None:
        with self._failures("write an object"), suppress(FileExistsError):
            os.mkdir(name, _FOLDER_MODE, dir_fd=directory)
            os.fsync(directory)

    def _open(self, name: str, flags: int, directory: int) -> int:
        """Open for reading. Raises `ObjectMissingError`."""
        with self._failures("read an object"):
            try:
                return os.open(name, flags, dir_fd=directory)
            except OSError as error:
                if error.errno in _ABSENT:
                    raise _missing() from None
                raise

    def _open_bucket(self) -> int:
        """The folder of the bucket, which may itself be a link: that is the operator's choice."""
        with self._failures("open its folder"):
            try:
                return os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            except (FileNotFoundError, NotADirectoryError):
                raise StoreAccessError(
                    f"bucket {self._bucket.name} does not exist: there is no folder {self._folder}; "
                    "run `callstream bucket apply`"
                ) from None

    def write_part(self, file: int, data: bytes) -> None:
        """Append to an open file. Raises the errors of the port."""
        with self._failures("write an object"):
            left = memoryview(data)
            while left:
                left = left[os.write(file, left) :]

    def put_in_place(self, file: int, directory: int, temporary: str, name: str) -> None:
        """Sync a file and give it the name of its object. Raises the errors of the port."""
        with self._failures("write an object"):
            os.fsync(file)
            os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
            os.fsync(directory)

    @contextmanager
    def _failures(self, doing: str) -> Iterator[None]:
        """Turn what the operating system says into the errors of the port."""
        try:
            yield
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else type(error).__name__
            sentence = f"the object store in {self._folder} cannot {doing}: {reason}"
            refused = error.errno in _REFUSED
            raise (StoreAccessError(sentence) if refused else RetryableError(sentence)) from None


class _FileWriter:
    """An object of a folder that is being written into `file`, which is called `temporary` until it is whole."""

    def __init__(self, store: FolderStore, file: int, directory: int, temporary: str, name: str) -> None:
        self._store = store
        self._file = file
        self._directory = directory
        self._temporary = temporary
        self._name = name

    def write(self, data: bytes) -> None:
        """See `ObjectWriter.write`."""
        self._store.write_part(self._file, data)

    def commit(self) -> None:
        """See `ObjectWriter.commit`."""
        self._store.put_in_place(self._file, self._directory, self._temporary, self._name)


def _missing() -> ObjectMissingError:
    return ObjectMissingError("there is no object under this key")


def _remove_unfinished_in(directory: int) -> None:
    """What writers that were killed have left there, a day ago or longer. Raises `OSError`."""
    for name in filter(_UNFINISHED.fullmatch, os.listdir(directory)):
        with suppress(FileNotFoundError):
            found = os.stat(name, dir_fd=directory, follow_symlinks=False)
            if time.time() - found.st_mtime > _UNFINISHED_AFTER_S:
                os.unlink(name, dir_fd=directory)
