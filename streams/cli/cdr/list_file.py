"""A file with a list of calls, row by row: CSV, or JSON with one object a line, one in all, or one list of them."""

import csv
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from processors.telephony.cdr_rows import Cells, CsvCells, JsonCells, RowReader
from schemas.config.cdr_mapping import CdrMapping
from schemas.errors import InvalidMessageError, OperatorError
from schemas.messages.call_listed import CallListed

MAX_LINE_BYTES = 4 * 1024 * 1024
MAX_DOCUMENT_BYTES = 64 * 1024 * 1024
"""A JSON document that is not one object a line is read whole."""


class ListFileError(OperatorError):
    """The file as a whole cannot be used; the text says what it lacks."""

    exit_code = 1


@dataclass
class Counts:
    """What a list came to. `problems` and `doubles` name lines, and no value."""

    calls: int = 0
    recorded: int = 0
    passed_over: int = 0
    further_rows: int = 0
    wrong: int = 0
    double: int = 0
    problems: list[str] = field(default_factory=list)
    doubles: list[str] = field(default_factory=list)
    named_most: int = 50

    def problem(self, line: int, text: str) -> None:
        """A row that is left out."""
        self.wrong += 1
        if len(self.problems) < self.named_most:
            self.problems.append(f"line {line}: {text}")

    def doubled(self, line: int, first: int) -> None:
        """A row that says what another has said."""
        self.double += 1
        if len(self.doubles) < self.named_most:
            self.doubles.append(f"line {line}: the same as line {first}")


class SeenCalls:
    """Which calls a list has had so far: digests in a database that SQLite keeps on the disk when it grows."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("")
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute("CREATE TABLE seen (call BLOB PRIMARY KEY, content BLOB, line INTEGER) WITHOUT ROWID")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._database.close()

    def add(self, call: CallListed, line: int) -> tuple[bool, int] | None:
        """None for a call that is new; else whether the row says the same, and the line that did."""
        key, content = _digest(f"{call.tenant_id}/{call.call_id}"), _digest(call.fingerprint())
        with closing(self._database.execute("SELECT content, line FROM seen WHERE call = ?", (key,))) as found:
            row = found.fetchone()
        if row is None:
            self._database.execute("INSERT INTO seen VALUES (?, ?, ?)", (key, content, line))
            return None
        return row[0] == content, row[1]


def _digest(text: str) -> bytes:
    return blake2b(text.encode(), digest_size=16).digest()


def read_list(file: Path, reader: RowReader, counts: Counts) -> Iterator[CallListed]:
    """The calls of a file, one after the other; what is wrong, double or no call is counted.

    Raises `ListFileError`.
    """
    with SeenCalls() as seen:
        for line, cells in _rows(file, reader.mapping):
            if isinstance(cells, str):
                counts.problem(line, cells)
                continue
            try:
                call = reader.call(cells)
            except InvalidMessageError as error:
                counts.problem(line, "; ".join(error.problems))
                continue
            if call is None:
                counts.passed_over += 1
                continue
            before = seen.add(call, line)
            if before is not None and before[0]:
                counts.doubled(line, before[1])
                continue
            counts.further_rows += before is not None
            counts.calls += before is None
            counts.recorded += call.recorded
            yield call


def _rows(file: Path, mapping: CdrMapping) -> Iterator[tuple[int, Cells | str]]:
    """Line → its cells, or why it cannot be read."""
    try:
        yield from _csv_rows(file, mapping) if mapping.format == "csv" else _json_rows(file, mapping)
    except OSError as error:
        raise ListFileError(f"{file} cannot be read: {error.strerror}") from None


def _csv_rows(file: Path, mapping: CdrMapping) -> Iterator[tuple[int, Cells | str]]:
    """What is no UTF-8, a caller's name above all, is read with a mark in its place: the row counts all the same."""
    with file.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
        reader = csv.reader(_limited(line.replace("\0", "") for line in stream))
        if mapping.columns is not None:
            names = list(mapping.columns)
        else:
            names = [name.strip() for name in next(reader, [])]
            if len(set(names)) < len(names):
                raise ListFileError(f"{file}: a column occurs twice in the first line")
            if lacking := sorted(_must_be_there(mapping) - set(names)):
                raise ListFileError(f"{file}: the first line has no column {', '.join(lacking)}")
        line = reader.line_num
        while True:
            first = line + 1
            try:
                cells = next(reader, None)
            except csv.Error:
                line = reader.line_num
                yield first, "no CSV: a cell is too long, or a quotation mark is not closed"
                continue
            line = reader.line_num
            if cells is None:
                return
            if any(cell.strip() for cell in cells):
                if len(cells) != len(names):
                    yield first, f"{len(cells)} cells in place of {len(names)}"
                else:
                    yield first, CsvCells(dict(zip(names, cells, strict=True)))


def _must_be_there(mapping: CdrMapping) -> set[str]:
    """Columns that nothing stands in for: of several that a field may come from, one is enough."""
    sources = [mapping.fields.call_id, mapping.fields.ended_at, mapping.fields.duration_s]
    alone = {source.columns[0] for source in sources if source is not None and len(source.columns) == 1}
    return alone | {*mapping.calls_when, *mapping.recorded_when}


def _limited(lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        yield line[:MAX_LINE_BYTES]


def _json_rows(file: Path, mapping: CdrMapping) -> Iterator[tuple[int, Cells | str]]:
    with file.open("rb") as stream:
        first = stream.readline(MAX_LINE_BYTES)
        stream.seek(0)
        if not isinstance(_object(first), dict):
            yield from _json_document(file, stream.read(MAX_DOCUMENT_BYTES + 1), mapping)
            return
        number = 0
        while raw := stream.readline(MAX_LINE_BYTES):
            number += 1
            if not raw.endswith(b"\n") and len(raw) == MAX_LINE_BYTES:
                while raw and not raw.endswith(b"\n"):
                    raw = stream.readline(MAX_LINE_BYTES)
                yield number, "longer than a row of a list is"
                continue
            if raw.strip():
                content = _object(raw)
                yield number, JsonCells(content, mapping.url_encoded) if isinstance(content, dict) else "no JSON object"


def _json_document(file: Path, raw: bytes, mapping: CdrMapping) -> Iterator[tuple[int, Cells | str]]:
    if len(raw) > MAX_DOCUMENT_BYTES:
        raise ListFileError(f"{file} is larger than {MAX_DOCUMENT_BYTES} bytes: write one object a line (jq -c '.[]')")
    content = _object(raw)
    if content is None:
        raise ListFileError(f"{file} is no JSON: one object a line, one object or one list of them is expected")
    for number, each in enumerate(content if isinstance(content, list) else [content], start=1):
        yield number, JsonCells(each, mapping.url_encoded) if isinstance(each, dict) else "no JSON object"


def _object(raw: bytes) -> Any:
    """What the bytes are as JSON; None where they are none."""
    try:
        return json.loads(raw.decode("utf-8-sig", errors="replace"))
    except (ValueError, RecursionError):
        return None
