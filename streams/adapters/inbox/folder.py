"""A folder into which telephony writes recordings.

Whoever may write into it may write anything: only regular files are opened, by their folder and without following a
link, and everything else is put aside. A recording is finished when the JSON file beside it is there and was written
last; where none is asked for, when it has not changed for a while.
"""

import logging
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from secrets import token_hex

from processors.telephony.file_facts import MAX_SIDE_FILE_BYTES
from schemas.errors import OperatorError, RetryableError
from streams.adapters.inbox.arrival import DONE, PROBLEM, REFUSED, SIDE, Arrival, StillWrittenError, UnreadableError

log = logging.getLogger(__name__)

CHUNK_BYTES = 1024 * 1024
DEEPEST = 8
"""Folders in folders are looked through so far: by day, queue and the like."""

ORPHANS_AFTER_S = 24 * 3600
"""So old is a side file that is put aside without its recording."""

_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_UNFINISHED = (".tmp", ".part", ".partial", ".filepart", ".swp")


class InboxFolderError(OperatorError):
    """The folder is not there, or may not be read or changed."""


@dataclass
class FolderInbox:
    """The folder `root`. With `needs_side`, each recording waits for its JSON file.

    `settle_s`: so long a recording must not have changed; `keep`: it is moved to `done/` when it is sealed.
    """

    root: Path
    needs_side: bool
    settle_s: float
    keep: bool = False
    now_s: Callable[[], float] = time.monotonic
    wall_s: Callable[[], float] = time.time
    _seen: dict[str, tuple[tuple[int, int], float]] = field(default_factory=dict, init=False, repr=False)
    _waiting: int = field(default=0, init=False)

    def waiting(self) -> int:
        """As the port says."""
        return self._waiting

    def arrivals(self) -> Iterator[Arrival]:
        """As the port says. Raises `InboxFolderError`."""
        seen: dict[str, tuple[tuple[int, int], float]] = {}
        self._waiting = 0
        with _translated_errors():
            self._prepare()
            # Files are opened by the descriptor of their folder: it may be replaced by a link meanwhile.
            for path, folders, names, folder_fd in os.fwalk(self.root, follow_symlinks=False, onerror=_reraise):
                place = Path(path).relative_to(self.root)
                self._put_links_aside(place, folders, folder_fd)
                folders[:] = sorted(folders) if len(place.parts) < DEEPEST else []
                if place == Path():
                    folders[:] = [name for name in folders if name not in (DONE, REFUSED)]
                yield from self._of_folder(place, names, folder_fd, seen)
        self._seen = seen

    def _prepare(self) -> None:
        if not self.root.is_dir():
            raise InboxFolderError(
                "collect_folder is not there: make the folder into which telephony writes recordings"
            )
        for name in (DONE, REFUSED):
            (self.root / name).mkdir(mode=0o700, exist_ok=True)
            if (self.root / name).is_symlink():
                raise InboxFolderError(f"{name} in collect_folder is a link: recordings would leave the folder by it")

    def _put_links_aside(self, place: Path, folders: list[str], folder_fd: int) -> None:
        for name in list(folders):
            if stat.S_ISLNK(os.stat(name, dir_fd=folder_fd, follow_symlinks=False).st_mode):
                folders.remove(name)
                self._refuse(place, name, (), folder_fd, "it is a link, and not a recording")

    def _of_folder(
        self, place: Path, names: list[str], folder_fd: int, seen: dict[str, tuple[tuple[int, int], float]]
    ) -> Iterator[Arrival]:
        there = frozenset(names)
        for name in sorted(names):
            if name.startswith(".") or name.endswith((SIDE, PROBLEM, *_UNFINISHED)):
                continue
            try:
                found = os.stat(name, dir_fd=folder_fd, follow_symlinks=False)
            except FileNotFoundError:
                continue
            if not stat.S_ISREG(found.st_mode):
                self._refuse(place, name, (), folder_fd, "it is a link, a pipe or a device, and not a recording")
                continue
            side = _side_of(name, there)
            settled = self._has_settled(str(place / name), found, seen)
            if side is None:
                if self.needs_side or not settled:
                    self._waiting += 1
                    continue
                yield self._arrival(place, name, None, folder_fd, found)
                continue
            beside = os.stat(side, dir_fd=folder_fd, follow_symlinks=False)
            in_order = beside.st_mtime_ns >= found.st_mtime_ns
            quiet = self._has_settled(str(place / side), beside, seen)
            if not (in_order and _is_whole(side, folder_fd)) and not (settled and quiet):
                self._waiting += 1
                continue
            yield self._arrival(place, name, side, folder_fd, found)
        self._put_orphans_aside(place, names, folder_fd)

    def _put_orphans_aside(self, place: Path, names: list[str], folder_fd: int) -> None:
        """Side files of recordings that are not there: one killed in the middle leaves such a file behind, too."""
        recordings = {Path(name).stem for name in names if not name.endswith(SIDE)} | set(names)
        for name in names:
            if name.startswith(".") or not name.endswith(SIDE) or name.removesuffix(SIDE) in recordings:
                continue
            with suppress(FileNotFoundError):
                written_s = os.stat(name, dir_fd=folder_fd, follow_symlinks=False).st_mtime
                if self.wall_s() - written_s > ORPHANS_AFTER_S:
                    self._refuse(place, name, (), folder_fd, "no recording of this name came")

    def _has_settled(self, path: str, found: os.stat_result, seen: dict[str, tuple[tuple[int, int], float]]) -> bool:
        """Whether the file has not changed for as long as was asked, by our clock: that of the writer may be off."""
        look = (found.st_size, found.st_mtime_ns)
        before = self._seen.get(path)
        since_s = before[1] if before is not None and before[0] == look else self.now_s()
        seen[path] = (look, since_s)
        return self.now_s() - since_s >= self.settle_s

    def _arrival(self, place: Path, name: str, side: str | None, folder_fd: int, found: os.stat_result) -> Arrival:
        beside = (side,) if side is not None else ()
        refuse = partial(self._refuse, place, name, beside, folder_fd)
        written_s = found.st_mtime
        raw = None
        if side is not None:
            with suppress(OSError):
                written_s = max(written_s, os.stat(side, dir_fd=folder_fd, follow_symlinks=False).st_mtime)
            raw = _read_side(side, folder_fd)
        return Arrival(
            name,
            found.st_size,
            datetime.fromtimestamp(written_s, UTC),
            raw,
            partial(_chunks, name, folder_fd),
            partial(self._finish, place, name, beside, folder_fd),
            refuse,
        )

    def _finish(self, place: Path, name: str, beside: tuple[str, ...], folder_fd: int) -> None:
        """The recording first: a side file that is left alone holds no sound, and is put aside."""
        with _translated_errors():
            for each in (name, *beside):
                if self.keep:
                    self._move(DONE, place, each, folder_fd)
                else:
                    with suppress(FileNotFoundError):
                        os.unlink(each, dir_fd=folder_fd)

    def _refuse(self, place: Path, name: str, beside: tuple[str, ...], folder_fd: int, problem: str) -> None:
        with _translated_errors():
            target = self._move(REFUSED, place, name, folder_fd)
            for each in beside:
                self._move(REFUSED, place, each, folder_fd)
        if target is not None:
            try:
                fd = os.open(
                    target.with_name(target.name + PROBLEM),
                    os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW,
                    0o600,
                )
                with os.fdopen(fd, "w", encoding="utf-8") as note:
                    note.write(problem + "\n")
            except OSError as error:
                log.warning("collect: the reason of a refusal cannot be written: %s", error.strerror)

    def _move(self, aside: str, place: Path, name: str, folder_fd: int) -> Path | None:
        """Where it lies now; of two with the same name both are kept."""
        folder = self.root / aside / place
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        target = folder / name
        if os.path.lexists(target):
            stem, dot, ending = name.partition(".")
            target = folder / f"{stem}~{token_hex(4)}{dot}{ending}"
        try:
            os.rename(name, target, src_dir_fd=folder_fd)
        except FileNotFoundError:
            return None
        return target


def _side_of(name: str, there: frozenset[str]) -> str | None:
    """`call.json` or `call.wav.json` beside `call.wav`."""
    for side in (Path(name).stem + SIDE, name + SIDE):
        if side in there:
            return side
    return None


def _is_whole(side: str, folder_fd: int) -> bool:
    """Whether a side file ends as a JSON object does: one that is being written does not."""
    try:
        return _read_side(side, folder_fd).rstrip().endswith(b"}")
    except UnreadableError:
        return True


def _read_side(side: str, folder_fd: int) -> bytes:
    """Empty, or cut off, where it is none: then it is refused as no JSON."""
    try:
        fd = os.open(side, _OPEN, dir_fd=folder_fd)
    except OSError:
        return b""
    with os.fdopen(fd, "rb") as stream:
        return stream.read(MAX_SIDE_FILE_BYTES) if stat.S_ISREG(os.fstat(fd).st_mode) else b""


def _chunks(name: str, folder_fd: int) -> Iterator[bytes]:
    try:
        fd = os.open(name, _OPEN, dir_fd=folder_fd)
    except FileNotFoundError:
        raise StillWrittenError("a recording went away before it was read") from None
    except OSError as error:
        raise UnreadableError(f"it cannot be read: {error.strerror}") from None
    with os.fdopen(fd, "rb", buffering=0) as stream:
        before = os.fstat(fd)
        if not stat.S_ISREG(before.st_mode):
            raise UnreadableError("it is a link, a pipe or a device, and not a recording")
        count = 0
        try:
            while chunk := stream.read(CHUNK_BYTES):
                count += len(chunk)
                yield chunk
        except OSError as error:
            raise RetryableError(f"a recording cannot be read to its end: {error.strerror}") from None
        after = os.fstat(fd)
        if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns) or count != after.st_size:
            raise StillWrittenError("a recording changed while it was read")


def _reraise(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


@contextmanager
def _translated_errors() -> Iterator[None]:
    """Those of the system, whose text may hold a file name, as ours."""
    try:
        yield
    except PermissionError:
        raise InboxFolderError(
            "collect_folder may not be changed: give the user of callstream rights to read, move and delete files in it"
        ) from None
    except OSError as error:
        raise RetryableError(f"collect_folder does not answer: {error.strerror}") from None
