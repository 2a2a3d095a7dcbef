"""Looks for byte strings in everything that a stack writes: its files as they lie on the disk, and what topics, tables
and the register say once they are unpacked, because what is compressed hides what it holds from a search.
"""

import os
import stat
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from operator import call
from pathlib import Path

import ahocorasick  # type: ignore[import-not-found]  # a C module without stubs

from schemas.errors import RetryableError
from streams.adapters.clickhouse.connection import connect
from streams.adapters.clickhouse.statements import read_rows, stream_of
from streams.adapters.kafka.client import TopicReader
from streams.adapters.object_store.folder import FolderSettings
from streams.adapters.register.register import Register
from streams.adapters.register.tables import metadata
from streams.runtime.processes import in_processes
from streams.settings import Settings

_CHUNK_BYTES = 4 * 1024 * 1024
_ZEROS = bytes(64 * 1024)
_BATCH = 1_000
_NONE: Mapping[Path, float] = {}


class Needles:
    """Byte strings to look for, each with a name. Text is looked for as UTF-8 and as UTF-16 of both orders."""

    def __init__(self, named: Mapping[str, Iterable[bytes]]) -> None:
        """Name → its strings, none of them shorter than 6 bytes: shorter ones turn up by chance."""
        # The automaton knows letters, not bytes; latin-1 has one letter for each byte.
        self._automaton = ahocorasick.Automaton()
        self.longest = 0
        self.count = 0
        for name, strings in named.items():
            for each in strings:
                if len(each) < 6:
                    raise ValueError("a needle is too short to be told from chance")
                for form in _forms(each):
                    self._automaton.add_word(form.decode("latin-1"), (name, each))
                    self.longest = max(self.longest, len(form))
                self.count += 1
        if self.count:
            self._automaton.make_automaton()

    def found_in(self, data: bytes) -> Iterator[tuple[str, bytes]]:
        """The name and the string of each hit."""
        if self.count:
            for _, hit in self._automaton.iter(_without_reserved(data, self.longest).decode("latin-1")):
                yield hit

    def found_in_stream(self, chunks: Iterable[bytes]) -> Iterator[tuple[str, bytes]]:
        """The same where a hit may reach over the end of a piece."""
        tail = b""
        for chunk in chunks:
            data = tail + chunk
            yield from self.found_in(data)
            tail = data[-(self.longest - 1) :] if self.longest > 1 else b""


def _without_reserved(data: bytes, longest: int) -> bytes:
    """Without the zeros at the end, but for as many as a hit may end in: most of a broker's files is reserved alone."""
    end = len(data)
    while end > longest and data[max(end - len(_ZEROS), 0) : end] == _ZEROS[: min(end, len(_ZEROS))]:
        end = max(end - len(_ZEROS), 0)
    return data[: end + longest]


def _forms(text: bytes) -> set[bytes]:
    try:
        letters = text.decode("ascii")
    except UnicodeDecodeError:
        return {text}
    return {text, letters.encode("utf-16-le"), letters.encode("utf-16-be")}


@dataclass
class Searched:
    """What was searched in one place, and what was found: name of a needle → which of its strings, and where."""

    place: str
    parts: int = 0
    size_bytes: int = 0
    found: dict[str, set[bytes]] = field(default_factory=dict)
    where: Counter[str] = field(default_factory=Counter)
    """Part (file, topic, table) → hits of whatever must not be found there."""
    which: dict[str, set[tuple[str, bytes]]] = field(default_factory=dict)
    """Part → which ones these were, by name and string."""
    unreadable: list[str] = field(default_factory=list)

    def add(self, part: str, hits: Iterable[tuple[str, bytes]], allowed: frozenset[str]) -> None:
        """Hits in a part; those of needles that may be found are counted, and not told where."""
        for name, needle in hits:
            self.found.setdefault(name, set()).add(needle)
            if name not in allowed:
                self.where[part] += 1
                self.which.setdefault(part, set()).add((name, needle))


def folders_of(settings: Settings) -> list[Path]:
    """Where a stack writes: its data, and its objects and their archive where they lie in folders of their own."""
    archive = settings.archive_to
    named = (
        settings.data_dir,
        settings.part(FolderSettings).store_folder,
        None if archive is None or archive.startswith("s3://") else Path(archive),
    )
    return [one for one in named if one is not None]


def temporary_since(moment: datetime) -> dict[Path, float]:
    """For `also_since`: the folder of temporary files, of whomever, as far as they were written since then."""
    return {Path(tempfile.gettempdir()): moment.timestamp()}


def search_files(
    folders: Iterable[Path], needles: Needles, allowed: frozenset[str], also_since: Mapping[Path, float] = _NONE
) -> Searched:
    """Every regular file below, byte by byte; below those of `also_since` the files that were written since then, in
    seconds since 1970. A file that goes away meanwhile was searched as far as it was there.
    """
    searched = Searched("files")
    for file in _files_in({**dict.fromkeys(folders, 0.0), **also_since}):
        try:
            with file.open("rb") as stream:
                counted = _counted(iter(lambda: stream.read(_CHUNK_BYTES), b""), searched)
                searched.add(str(file), needles.found_in_stream(counted), allowed)
        except FileNotFoundError:
            continue
        except OSError as error:
            searched.unreadable.append(f"{file}: {error.strerror}")
            continue
        searched.parts += 1
        searched.add(str(file), needles.found_in(os.fsencode(file)), allowed)  # a name, too, can tell
    return searched


def search_files_apart(
    folders: Iterable[Path], needles: Needles, allowed: frozenset[str], also_since: Mapping[Path, float] = _NONE
) -> Searched:
    """The same in a process of its own: to read a database that this process has open gives up its locks on it."""
    with in_processes(_searcher, 1) as in_order:
        (searched,) = in_order([partial(search_files, tuple(folders), needles, allowed, dict(also_since))])
    return searched


def _searcher() -> Callable[[Callable[[], Searched]], Searched]:
    return call


def _files_in(folders: Mapping[Path, float]) -> Iterator[Path]:
    """Those that were written at that time or later, each once."""
    seen: set[tuple[int, int]] = set()
    for folder, since in folders.items():
        for parent, _, names in os.walk(folder):
            for name in names:
                file = Path(parent, name)
                try:
                    about = file.lstat()
                except FileNotFoundError:
                    continue
                is_meant = stat.S_ISREG(about.st_mode) and about.st_mtime >= since
                if is_meant and (about.st_dev, about.st_ino) not in seen:
                    seen.add((about.st_dev, about.st_ino))
                    yield file


def _counted(chunks: Iterable[bytes], searched: Searched) -> Iterator[bytes]:
    for chunk in chunks:
        searched.size_bytes += len(chunk)
        yield chunk


def search_topics(settings: Settings, topics: Iterable[str], needles: Needles, allowed: frozenset[str]) -> Searched:
    """Keys, values and headers of every message that the topics hold, unpacked. Raises as `TopicReader` does."""
    searched = Searched("topics")
    for topic in topics:
        reader = TopicReader(settings, topic)
        try:
            while not reader.is_at_end:
                for record in reader.read(_BATCH, 0.2):
                    for part in (record.key, record.value):
                        if part is not None:
                            searched.size_bytes += len(part)
                            searched.add(topic, needles.found_in(part), allowed)
        finally:
            reader.close()
        searched.parts += 1
    return searched


def search_tables(settings: Settings, needles: Needles, allowed: frozenset[str]) -> Searched:
    """Every row of every table that ClickHouse keeps on its disk, also of its own logs. Raises as `connect` does."""
    searched = Searched("tables")
    client = connect(settings.clickhouse_url.get_secret_value())
    try:
        tables = read_rows(
            client,
            "the list of tables",
            "SELECT database, name FROM system.tables WHERE engine LIKE '%MergeTree%' AND NOT is_temporary",
        )
        for database, name in tables:
            part = f"{database}.{name}"
            try:
                query = f"SELECT * FROM `{database}`.`{name}`"  # noqa: S608 - names that ClickHouse gives
                rows = stream_of(client, "a table", query, {}, "RowBinary", {})
                searched.add(part, needles.found_in_stream(_counted(rows, searched)), allowed)
            except RetryableError as error:
                searched.unreadable.append(f"{part}: {error}")
            searched.parts += 1
    finally:
        client.close()
    return searched


def search_register(register: Register, needles: Needles, allowed: frozenset[str]) -> Searched:
    """Every row of the register. Raises as `Register.reading` does."""
    searched = Searched("register")
    for table in metadata.sorted_tables:
        with register.reading("search the register") as tx:
            for row in tx.execute(table.select()):
                for value in row:
                    raw = value if isinstance(value, bytes) else str(value).encode()
                    searched.size_bytes += len(raw)
                    searched.add(f"register.{table.name}", needles.found_in(raw), allowed)
        searched.parts += 1
    return searched
