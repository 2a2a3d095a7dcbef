"""Backups: what one is made of, what must be true of it, and which are kept (R25-R27). Pure.

Everything but sealed objects lies in *chunks*: rows as lines of bytes, each with its line feed, cut where the lines
themselves say so. A chunk is named by the SHA-256 of its lines, so that what two backups share is there once.
"""

import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from schemas.errors import OperatorError

Call = tuple[str, str]
"""Tenant and call id."""

FORMAT = 1
LEAST_CHUNK_BYTES = 256 * 1024
MOST_CHUNK_BYTES = 8 * 1024 * 1024
"""Of lines in clear: so much of a table is held in memory."""
_CUT_BITS = 10
"""A chunk that is long enough ends behind one line in 1024."""
_MODULUS = 1 << 256


class BackupError(OperatorError):
    """A backup cannot be made, or is not what it should be; the text names the part, and no content of it."""

    exit_code = 1


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Chunk(_Part):
    """Lines that lie together. `sha256` is of the lines in clear, `size_bytes` how long they are."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    rows: int = Field(ge=0)
    size_bytes: int = Field(ge=0)


class KeptRows(_Part):
    """Rows of one kind. `checksum` is the sum of the SHA-256 of all lines: the same in whatever order they come.

    `fingerprint` says by what they were known to be unchanged since the backup before; empty where that is not asked.
    """

    rows: int = 0
    checksum: str = "0" * 64
    chunks: tuple[Chunk, ...] = ()
    fingerprint: str = ""


class TablePart(_Part):
    """A table: which columns its lines have, their types, the columns that it is sorted by, and its partitions."""

    columns: tuple[str, ...]
    types: tuple[str, ...] = ()
    sorted_by: tuple[str, ...] = ()
    partitions: dict[str, KeptRows] = {}

    @property
    def rows(self) -> int:
        """In all partitions."""
        return sum(each.rows for each in self.partitions.values())


class Manifest(_Part):
    """What a backup holds, but for keys. Nothing is a backup without it, and it is written last."""

    format: Literal[1] = 1
    backup_id: str = Field(pattern=r"^[0-9]{8}T[0-9]{6}[.][0-9]{6}Z-[0-9a-f]{8}$")
    previous: str | None
    release: str
    began_at: datetime
    ended_at: datetime
    register_revision: str
    register_tables: dict[str, TablePart]
    clickhouse_migration: int
    clickhouse_tables: dict[str, TablePart]
    objects: KeptRows
    objects_bytes: int
    rules: KeptRows
    configuration: KeptRows
    erased_at: datetime | None = None
    """When rows of calls that were erased meanwhile were last taken out."""


class KeysPart(_Part):
    """The wrapped keys: of all backups of a target, and as few as possible. It takes the place of the one before.

    The partitions of `call_keys` are the days.
    """

    format: Literal[1] = 1
    written_at: datetime
    register_revision: str
    tables: dict[str, TablePart]


class Erased(_Part):
    """The calls that no backup of a target may give back, and the rows of the register that say who destroyed them and
    why. It takes the place of the one before. `reached`: every backup is without them, and not only to be."""

    format: Literal[1] = 1
    written_at: datetime
    calls: KeptRows
    tables: dict[str, TablePart] = {}
    reached: bool = True


class HeldCases(_Part):
    """The cases of legal holds as they stood last, whichever backup is given back. It takes the place of the one
    before."""

    format: Literal[1] = 1
    written_at: datetime
    tables: dict[str, TablePart]


class FileRows(_Part):
    """Rows of a table in a file: which columns its lines have, and the lines without their line feeds."""

    columns: tuple[str, ...]
    lines: tuple[str, ...] = ()


class ErasedFile(_Part):
    """Erased calls, and the cases of legal holds by table, in a file of its own, to be kept apart from the backups."""

    format: Literal[1] = 1
    written_at: datetime
    calls: tuple[Call, ...]
    holds: dict[str, FileRows] = {}


M = TypeVar("M", Manifest, KeysPart, Erased, HeldCases, ErasedFile)


def canonical(document: BaseModel) -> bytes:
    """The one way in which a document is written, which is what is signed."""
    content = document.model_dump(mode="json")
    return json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def signed_bytes(document: BaseModel) -> bytes:
    """What a signature is over: a manifest never passes for the keys part."""
    return f"callstream backup {FORMAT} {type(document).__name__}\n".encode() + canonical(document)


def read_document(kind: type[M], content: bytes, what: str) -> M:
    """Raises `BackupError`."""
    try:
        return kind.model_validate_json(content)
    except ValidationError:
        raise BackupError(f"{what} is not one of this release: it was changed, or made by a newer callstream") from None


def backup_id_of(at: datetime, token: str) -> str:
    """`<UTC time, to the microsecond>-<8 hex digits>`: sorted by time, also two of one second."""
    return f"{at:%Y%m%dT%H%M%S.%fZ}-{token}"


class RowSum:
    """Counts rows and adds their digests up, in whatever order they come."""

    def __init__(self, rows: int = 0, checksum: str = "0" * 64) -> None:
        self.rows = rows
        self._sum = int(checksum, 16)

    def add(self, line: bytes) -> bytes:
        """Returns the digest of the line, which ends with its line feed."""
        digest = sha256(line).digest()
        self.rows += 1
        self._sum += int.from_bytes(digest)
        return digest

    def take_away(self, line: bytes) -> None:
        """A line that was added is there no more."""
        self.rows -= 1
        self._sum -= int.from_bytes(sha256(line).digest())

    @property
    def checksum(self) -> str:
        """64 hex digits."""
        return f"{self._sum % _MODULUS:064x}"


@dataclass(frozen=True)
class CutChunk:
    """A chunk that is to be kept, and its lines."""

    chunk: Chunk
    lines: bytes


def cut(
    lines: Iterable[bytes], total: RowSum, least_bytes: int = LEAST_CHUNK_BYTES, most_bytes: int = MOST_CHUNK_BYTES
) -> Iterator[CutChunk]:
    """Lines in chunks; `total` counts them. Where a chunk ends is decided by its last line alone, so that rows that
    come between others change the chunk that they are in, and not those behind it."""
    held: list[bytes] = []
    size = 0
    for line in lines:
        digest = total.add(line)
        held.append(line)
        size += len(line)
        ends = int.from_bytes(digest[-2:]) & ((1 << _CUT_BITS) - 1) == 0
        if size >= most_bytes or (ends and size >= least_bytes):
            yield _chunk_of(held)
            held, size = [], 0
    if held:
        yield _chunk_of(held)


def _chunk_of(lines: Sequence[bytes]) -> CutChunk:
    data = b"".join(lines)
    return CutChunk(Chunk(sha256=sha256(data).hexdigest(), rows=len(lines), size_bytes=len(data)), data)


def lines_of(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Lines with their line feeds, of pieces that end anywhere."""
    rest = b""
    for piece in pieces:
        found = (rest + piece).split(b"\n")
        rest = found.pop()
        for line in found:
            yield line + b"\n"
    if rest:
        yield rest + b"\n"


def keep_rows(lines: Iterable[bytes], keep: Callable[[CutChunk], None], fingerprint: str = "") -> KeptRows:
    """Cut lines into chunks, have each kept, and say what they are."""
    total, chunks = RowSum(), []
    for each in cut(lines, total):
        keep(each)
        chunks.append(each.chunk)
    return KeptRows(rows=total.rows, checksum=total.checksum, chunks=tuple(chunks), fingerprint=fingerprint)


# --- what is erased -------------------------------------------------------------------------------------------------

REGISTER_ROWS_THAT_GO = frozenset({"intakes", "retentions"})
"""Tables of the register whose rows of an erased call go whole: an intake may hold the event of its call, with all that
the exchange told, and a retention names the customer. Others hold ids, states and times; keys are in a part of their
own."""

ROWS_THAT_GO = frozenset({"transcript_versions", "search_text_versions", "blocked_calls"})
"""Tables of ClickHouse whose rows of an erased call go whole."""

ROWS_THAT_GO_WHERE: Mapping[str, tuple[str, str]] = {"verdict_versions": ("about", "missed")}
"""Table → column and value: rows that go whole, because their id is a digest of words."""

COLUMNS_THAT_GO: Mapping[str, frozenset[str]] = {
    "call_versions": frozenset(
        {
            *("customer_key", "order_id", "crm", "audio_uri", "audio_sha256", "findings.quote", "findings.matched"),
            *("findings.attributes", "topics.quote"),
        }
    ),
    "alert_versions": frozenset({"quote", "matched"}),
    "verdict_versions": frozenset({"quote", "note"}),
    "dead_letter_versions": frozenset({"value_sha256", "problems"}),
    "custody_event_versions": frozenset({"content_sha256"}),
    "exchange_call_versions": frozenset({"customer_key"}),
    "rating_versions": frozenset({"customer_tags"}),
    "outcome_versions": frozenset(),
    "timed_outcome_versions": frozenset(),
    "missing_recording_versions": frozenset(),
    "access_log_versions": frozenset(),
    "purge_versions": frozenset(),
}
"""What is emptied in the others. Of a table that does not stand here everything goes that may be words or may find a
person (`columns_that_go`), so that one that is forgotten loses too much and not too little."""

_STRING = re.compile(rb"'(?:[^'\\]|\\.)*'", re.DOTALL)
_MAP = re.compile(rb"\{[^{}]*\}")
_KEPT_NAME = re.compile(r"(.*\.)?(\w+_id|rule_version|version)$")
_BY_WHICH_PEOPLE_ARE_FOUND = frozenset({"order_id"})


def columns_that_go(name: str, table: TablePart) -> tuple[int, ...]:
    """Positions of the columns of a ClickHouse table that are emptied when a call is erased. Measures, times, what
    calls are grouped by and whatever the table is sorted by stay, so that KPIs of days long gone do not change."""
    named = COLUMNS_THAT_GO.get(name)
    if named is not None:
        return tuple(at for at, column in enumerate(table.columns) if column in named)
    return tuple(
        at
        for at, (column, kind) in enumerate(zip(table.columns, table.types, strict=True))
        if column not in table.sorted_by
        and "String" in re.sub(r"LowCardinality\((?:[^()]|\([^()]*\))*\)", "", kind)
        and (not _KEPT_NAME.fullmatch(column) or column in _BY_WHICH_PEOPLE_ARE_FOUND)
    )


def without_words(line: bytes, positions: Iterable[int], table: TablePart) -> bytes:
    """A row of tab-separated values without what stands at these positions. Arrays of one nested structure keep their
    length, because they must agree."""
    fields = line[:-1].split(b"\t")
    for at in positions:
        kind = table.types[at]
        if kind.startswith("Array") and "." in table.columns[at]:
            fields[at] = _MAP.sub(b"{}", _STRING.sub(b"''", fields[at]))
        elif kind.startswith("Array"):
            fields[at] = b"[]"
        elif kind.startswith("Map"):
            fields[at] = b"{}"
        else:
            fields[at] = rb"\N" if "Nullable" in kind else b""
    return b"\t".join(fields) + b"\n"


_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)
_ESCAPES = {b"t": b"\t", b"n": b"\n", b"r": b"\r", b"0": b"\0", b"b": b"\b", b"f": b"\f"}


def text_of(field: bytes) -> str:
    """A tab-separated value as text."""
    return _ESCAPED.sub(lambda found: _ESCAPES.get(found[1], found[1]), field).decode(errors="replace")


def call_reader(table: TablePart, *, json_lines: bool) -> Callable[[bytes], Call] | None:
    """What says of which call a line is; None for a table that is not about calls."""
    if not {"tenant_id", "call_id"} <= set(table.columns):
        return None
    tenant_at, call_at = table.columns.index("tenant_id"), table.columns.index("call_id")

    def of_json(line: bytes) -> Call:
        fields = json.loads(line)
        return str(fields[tenant_at]), str(fields[call_at])

    def of_tabs(line: bytes) -> Call:
        fields = line[:-1].split(b"\t")
        return text_of(fields[tenant_at]), text_of(fields[call_at])

    return of_json if json_lines else of_tabs


def without_erased(
    name: str, table: TablePart, lines: Iterable[bytes], erased: Collection[Call], *, of_clickhouse: bool
) -> Iterator[bytes]:
    """The lines as they may be kept and given back: those of erased calls are left out, or emptied."""
    reader = reader_of_erased(name, table, of_clickhouse=of_clickhouse)
    if reader is None or not erased:
        yield from lines
        return
    positions = columns_that_go(name, table) if of_clickhouse else ()
    column, value = ROWS_THAT_GO_WHERE.get(name, ("", ""))
    whole = table.columns.index(column) if of_clickhouse and column in table.columns else None
    for line in lines:
        if reader(line) not in erased:
            yield line
        elif whole is not None and text_of(line[:-1].split(b"\t")[whole]) == value:
            continue
        elif of_clickhouse and name not in ROWS_THAT_GO:
            yield without_words(line, positions, table)


def reader_of_erased(name: str, table: TablePart, *, of_clickhouse: bool) -> Callable[[bytes], Call] | None:
    """What says of which call a line is; None for a table in which nothing goes."""
    goes = name not in COLUMNS_THAT_GO or bool(COLUMNS_THAT_GO[name])
    if not (goes if of_clickhouse else name in REGISTER_ROWS_THAT_GO):
        return None
    return call_reader(table, json_lines=not of_clickhouse)


# --- objects --------------------------------------------------------------------------------------------------------

_OF_CALL = re.compile(
    r"(?:recordings|archive|renditions|transcripts|received)/(?P<tenant>[^/]+)/(?P<day>[0-9]{4}/[0-9]{2}/[0-9]{2})/(?P<rest>[^/]+)"
)
_VERSION = re.compile(r"(?P<call>.+)\.(?P<version>[0-9a-f]{16})(?:\.[a-z0-9_]{1,16}){0,2}")
_OLD_VERSION = re.compile(r"(?P<call>.+)\.(?P<version>[0-9a-f]{12})\.[a-z0-9]{1,8}")
_TRANSCRIPT = re.compile(r"(?P<call>.+)\.(?P<version>[0-9]{1,3})")
_RECORDINGS = (_VERSION, _OLD_VERSION)
_RESULT = re.compile(r"(?P<call>.+)\.(?P<version>[0-9]{1,3})\.parquet")
_IN_CLEAR = re.compile(r"transcripts/(?P<tenant>[^/]+)/(?P<call>[^/]+)\.json")


@dataclass(frozen=True)
class ObjectOfCall:
    """What the key of an object says: whose it is, of which UTC day, and which version. Not `sealed`: as releases
    before 0.4 wrote it; of their transcripts the key says neither day nor version, and both are empty."""

    kind: str
    tenant_id: str
    call_id: str
    day: str
    version: str
    sealed: bool


def object_of(key: str) -> ObjectOfCall | None:
    """None for a key that leads to no call, such as those of `call_days/`."""
    if (clear := _IN_CLEAR.fullmatch(key)) is not None:
        return ObjectOfCall("transcripts", clear["tenant"], clear["call"], "", "", False)
    found = _OF_CALL.fullmatch(key)
    if found is None:
        return None
    kind = key.partition("/")[0]
    patterns = {"transcripts": (_TRANSCRIPT,), "archive": (_RESULT, *_RECORDINGS)}.get(kind, _RECORDINGS)
    for pattern in patterns:
        if match := pattern.fullmatch(found["rest"]):
            day = found["day"].replace("/", "-")
            return ObjectOfCall(
                kind, found["tenant"], match["call"], day, match["version"], pattern is not _OLD_VERSION
            )
    return None


@dataclass(frozen=True)
class ObjectLine:
    """An object of a backup. `copy_id` names its copy, which is made once for each object that ever lay under the key;
    `sha256` is of the bytes as they lie, sealed."""

    key: str
    size_bytes: int
    modified_at: str
    sha256: str

    @property
    def copy_id(self) -> str:
        return copy_id_of(self.key, self.size_bytes, self.modified_at)

    def line(self) -> bytes:
        return f"{self.key}\t{self.size_bytes}\t{self.modified_at}\t{self.sha256}\n".encode()

    @classmethod
    def of(cls, line: bytes) -> "ObjectLine":
        key, size, modified_at, digest = line.decode().removesuffix("\n").split("\t")
        return cls(key, int(size), modified_at, digest)


def copy_id_of(key: str, size_bytes: int, modified_at: str) -> str:
    """40 hex digits. An object that took the place of another has another time."""
    return sha256(f"{key}\0{size_bytes}\0{modified_at}".encode()).hexdigest()[:40]


# --- keys -----------------------------------------------------------------------------------------------------------


def merged_keys(
    live: Mapping[tuple[str, str, str], bytes],
    kept: Mapping[tuple[str, str, str], bytes],
    erased: Collection[Call],
) -> tuple[dict[tuple[str, str, str], bytes], int]:
    """The keys of the calls of one day, as (tenant, call, purpose) → line, and how many of them the register has no
    more. A key leaves the backup by a tombstone alone: a register that has lost keys by mistake, or was emptied by
    somebody, does not take those in the backup along."""
    merged = {**kept, **live}
    going = {each for each in merged if each[:2] in erased}
    left = {each: line for each, line in merged.items() if each not in going}
    return left, sum(1 for each in left if each not in live)


# --- retention of backups -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Keeping:
    """How many backups are kept: the last of each of so many days, ISO weeks and months (UTC) that have one; of those
    none that is older than so many days. The newest is always kept."""

    daily: int = 7
    weekly: int = 5
    monthly: int = 12
    not_older_than_days: int | None = None


def backups_to_keep(backups: Mapping[str, datetime], keeping: Keeping, now: datetime) -> frozenset[str]:
    """`backups`: id → when it began."""
    newest_first = sorted(backups, key=lambda each: backups[each], reverse=True)
    kept: set[str] = set(newest_first[:1])
    periods: tuple[tuple[int, Callable[[datetime], object]], ...] = (
        (keeping.daily, lambda at: at.date()),
        (keeping.weekly, lambda at: at.isocalendar()[:2]),
        (keeping.monthly, lambda at: (at.year, at.month)),
    )
    for count, period_of in periods:
        seen: set[object] = set()
        for each in newest_first:
            period = period_of(backups[each])
            if period not in seen and len(seen) < count:
                seen.add(period)
                kept.add(each)
    if keeping.not_older_than_days is not None:
        oldest = now - timedelta(days=keeping.not_older_than_days)
        kept = {each for each in kept if backups[each] >= oldest} | set(newest_first[:1])
    return frozenset(kept)
