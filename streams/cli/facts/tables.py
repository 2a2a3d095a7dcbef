"""Tables with facts, row by row: a CSV file, or what a query gives in a database."""

import codecs
import csv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from schemas.errors import OperatorError

ENCODINGS = ("utf-8-sig", "gb18030")
"""What a file is taken for whose encoding nobody says: the first of these that it is throughout."""

_ROWS_AT_ONCE = 1_000
_PIECE_BYTES = 1024 * 1024


class FactTableError(OperatorError):
    """The table cannot be read; the text says why, and no password."""

    exit_code = 1


@dataclass(frozen=True)
class TableRow:
    """A row, and where it stands: `line 7` of a file, `row 6` of an answer. `problem` where it is no row at all."""

    place: str
    cells: Mapping[str, object]
    problem: str = ""


@dataclass(frozen=True)
class FactTable:
    """Its columns in order, and its rows, which can be read once."""

    columns: Sequence[str]
    rows: Iterator[TableRow]


@contextmanager
def table_of_file(file: Path, encoding: str = "") -> Iterator[FactTable]:
    """The table of a CSV file with a line of names. Raises `FactTableError`, also while rows are read."""
    try:
        with file.open(encoding=encoding or _encoding_of(file), newline="") as stream:
            lines = csv.reader(stream, strict=True)
            columns = [name.strip() for name in next(lines, [])]
            if not columns:
                raise FactTableError(f"{file}: is empty; its first line must name the columns")
            yield FactTable(columns, _rows_of_file(file, columns, lines))
    except LookupError:
        raise FactTableError(f"{encoding} is no encoding: write utf-8 or gb18030") from None
    except UnicodeDecodeError:
        raise FactTableError(f"{file}: is not {encoding or ' or '.join(ENCODINGS)}; name its --encoding") from None
    except csv.Error as error:
        raise FactTableError(f"{file}: is no CSV: {error}") from None
    except OSError as error:
        raise FactTableError(f"{file} cannot be read: {error.strerror}") from None


def _rows_of_file(file: Path, columns: Sequence[str], lines: Iterator[list[str]]) -> Iterator[TableRow]:
    line_of = getattr(lines, "line_num", 0)
    while True:
        began = line_of + 1
        try:
            cells = next(lines)
        except StopIteration:
            return
        except csv.Error as error:
            raise FactTableError(f"{file}: line {began}: is no CSV: {error}") from None
        line_of = getattr(lines, "line_num", 0)
        if not any(cell.strip() for cell in cells):
            continue
        problem = "" if len(cells) == len(columns) else f"has {len(cells)} cells where there are {len(columns)} columns"
        yield TableRow(f"line {began}", dict(zip(columns, cells, strict=False)), problem)


def _encoding_of(file: Path) -> str:
    """The first encoding that the file is from its beginning to its end. Raises `FactTableError` and `OSError`."""
    for encoding in ENCODINGS:
        decoder = codecs.getincrementaldecoder(encoding)()
        try:
            with file.open("rb") as stream:
                while piece := stream.read(_PIECE_BYTES):
                    decoder.decode(piece)
                decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            continue
        return encoding
    raise FactTableError(f"{file}: is neither {' nor '.join(ENCODINGS)}; name its --encoding")


@contextmanager
def table_of_query(url: str, query: str, since: str | None = None) -> Iterator[FactTable]:
    """What a query gives, little by little; `:since` in it stands for `since`. Nothing is changed there: the
    transaction is rolled back, and read-only where the database knows that.

    Raises `FactTableError`, also while rows are read.
    """
    try:
        address = make_url(url)
        engine = create_engine(address, hide_parameters=True)
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else address.drivername
        raise FactTableError(f"{missing} is not installed: pip install the driver of your database") from None
    except ArgumentError:
        raise FactTableError("the address is none of SQLAlchemy: mysql+pymysql://user:password@host/database") from None
    if (":since" in query) != (since is not None):
        raise FactTableError("--since needs :since in the query, and :since in the query needs --since")
    options = {"stream_results": True, "yield_per": _ROWS_AT_ONCE}
    if engine.dialect.name == "postgresql":
        options["postgresql_readonly"] = True
    try:
        with engine.connect().execution_options(**options) as connection:
            answer = connection.execute(text(query), {} if since is None else {"since": since})
            if not answer.returns_rows:
                raise FactTableError("the query gives no rows: write a SELECT")
            rows = (TableRow(f"row {number}", dict(row)) for number, row in enumerate(answer.mappings(), start=1))
            yield FactTable(list(answer.keys()), rows)
    except DBAPIError as error:
        raise FactTableError(f"{_shown(address)}: {_reason(error, address.password)}") from None
    except SQLAlchemyError as error:
        raise FactTableError(f"{_shown(address)}: {type(error).__name__}") from None
    finally:
        engine.dispose()


def _shown(address: object) -> str:
    """The address without its password, and without what may be one in its query."""
    return address.set(query={}).render_as_string(hide_password=True)  # type: ignore[attr-defined, no-any-return]


def _reason(error: DBAPIError, password: object) -> str:
    """The first line of what the database says; pg8000 gives a table of it."""
    said = error.orig.args[0] if error.orig is not None and error.orig.args else ""
    reason = (str(said.get("M") if isinstance(said, dict) else error.orig).strip().splitlines() or [""])[0]
    return reason.replace(str(password), "***") if password else reason
