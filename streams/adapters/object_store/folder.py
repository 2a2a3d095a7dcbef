"""The object store as a folder: `<root>/<bucket>/<key>`, for one machine and for tests."""

import errno
import os
import re
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import ClassVar

from pydantic import Field

from schemas.config.settings_part import OptionalPath
from schemas.errors import RetryableError
from streams.adapters.object_store.bucket import Bucket, require_range
from streams.ports import ObjectMissingError, ObjectStoreSettings, StoreAccessError

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

    def _remove_unfinished(self) -> None:
        """What writers that were killed have left behind: recordings that nobody will ever ask for."""
        with self._failures("remove an unfinished object"):
            for folder, _folders, names in os.walk(self._folder):
                for name in filter(_UNFINISHED.fullmatch, names):
                    path = Path(folder, name)
                    with suppress(FileNotFoundError):
                        if time.time() - path.lstat().st_mtime > _UNFINISHED_AFTER_S:
                            path.unlink()

    def check(self) -> None:
        """Raises `StoreAccessError` when the folder is absent or may not be read and written."""
        os.close(self._open_bucket())
        if not os.access(self._folder, os.R_OK | os.W_OK | os.X_OK, effective_ids=True):
            raise StoreAccessError(f"{self._folder} may not be read and written: change its owner or mode")

    def put(self, key: str, data: bytes, *, content_type: str = "application/octet-stream") -> None:  # noqa: ARG002 - a folder keeps no types
        """Write beside the place, sync, rename, sync the folder: durable, and never seen half-written."""
        *folders, name = self._bucket.parts(key)
        with self._directory(folders, create=True) as directory, self._failures("write an object"):
            temporary = f".{token_hex(8)}.part"
            try:
                file = os.open(temporary, _CREATE_OBJECT, _FILE_MODE, dir_fd=directory)
                with os.fdopen(file, "wb") as stream:
                    stream.write(data)
                    stream.flush()
                    os.fsync(file)
                os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
            except BaseException:
                with suppress(FileNotFoundError):
                    os.unlink(temporary, dir_fd=directory)
                raise
            os.fsync(directory)

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


def _missing() -> ObjectMissingError:
    return ObjectMissingError("there is no object under this key")
