"""Tables as files for spreadsheets: `--csv FILE` and `--xlsx FILE` of commands that show tables.

What stands in a cell comes from callers, telephone systems and files. A spreadsheet takes a text that begins with `=`,
`+`, `-` or `@` for a formula, so no cell of ours is one: a CSV cell gets an apostrophe before it, which spreadsheets
read as "this is text"; a cell of a workbook says itself that it is text.
"""

import csv
import io
import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, time
from math import isfinite
from pathlib import Path
from typing import Annotated, Self

import typer

from schemas.errors import OperatorError

Cell = str | float | date | datetime | None
"""A value of a table; null is an empty cell. A `datetime` is written as it is, without its zone."""

CsvOption = Annotated[
    Path | None,
    typer.Option("--csv", metavar="FILE", help="Write the table to this file as CSV, which Excel opens as it is."),
]
XlsxOption = Annotated[
    Path | None, typer.Option("--xlsx", metavar="FILE", help="Write the table to this file as an Excel workbook.")
]

MOST_CELL_CHARACTERS = 32_767
"""More an Excel cell does not hold."""
CUT = " …[cut]"
"""Ends a text that was longer."""

_FORMULA_STARTS = tuple("=+-@＝＋－＠\t\r\n")
"""With the wide forms, which some spreadsheets read alike, and what is skipped before a formula."""


class TableFileError(OperatorError):
    """The file cannot be written; the text names it and says what to do."""

    exit_code = 1


class Share(float):
    """A number from 0 to 1 that a workbook shows as a percentage."""


@dataclass(frozen=True)
class FileTable:
    """A table to be written: headings in the language that was asked for, and rows of the same length."""

    title: str
    headings: tuple[str, ...]
    rows: Sequence[Sequence[Cell]]


@dataclass(frozen=True)
class TableFiles:
    """The files that a command was asked for. Raises `TableFileError` where one cannot be written, before any work."""

    csv: Path | None = None
    xlsx: Path | None = None

    def __post_init__(self) -> None:
        for file in self._wanted:
            if file.exists():
                raise TableFileError(f"{file} exists: name another file, or remove it.")
            if not file.absolute().parent.is_dir():
                raise TableFileError(f"{file.parent} is no folder: make it, or name a file in another.")

    @classmethod
    def asked_for(cls, csv: Path | None, xlsx: Path | None, *, as_json: bool) -> Self:
        """Those of a command that prints JSON as well. Raises `typer.BadParameter` where it was asked for both."""
        if as_json and (csv or xlsx):
            raise typer.BadParameter("prints, and --csv and --xlsx write files: give one of them", param_hint="--json")
        return cls(csv, xlsx)

    def __bool__(self) -> bool:
        return bool(self._wanted)

    @property
    def _wanted(self) -> list[Path]:
        return [file for file in (self.csv, self.xlsx) if file is not None]

    def write(self, table: FileTable) -> None:
        """Write each, whole and readable by its owner alone, and say so on standard error. Raises `OSError`."""
        if self.csv is not None:
            write_private_file(self.csv, as_csv(table))
        if self.xlsx is not None:
            write_private_file(self.xlsx, as_xlsx(table))
        for file in self._wanted:
            typer.echo(f"{file}: {len(table.rows)} rows", err=True)


def as_csv(table: FileTable) -> bytes:
    """UTF-8 with the mark by which Excel knows it, lines that end as RFC 4180 says."""
    written = io.StringIO(newline="")
    rows = csv.writer(written, lineterminator="\r\n")
    rows.writerow([_csv_cell(heading) for heading in table.headings])
    rows.writerows([_csv_cell(cell) for cell in row] for row in table.rows)
    return written.getvalue().encode("utf-8-sig")


def as_xlsx(table: FileTable) -> bytes:
    """A workbook of one sheet, with headings that stay in sight."""
    import xlsxwriter

    written = io.BytesIO()
    settings = {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    book = xlsxwriter.Workbook(written, settings)
    try:
        formats = {
            Share: book.add_format({"num_format": "0.0%"}),
            datetime: book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"}),
            date: book.add_format({"num_format": "yyyy-mm-dd"}),
        }
        sheet = book.add_worksheet(_sheet_name(table.title))
        sheet.freeze_panes(1, 0)
        for column, heading in enumerate(table.headings):
            sheet.write_string(0, column, heading, book.add_format({"bold": True}))
        for number, row in enumerate(table.rows, start=1):
            for column, cell in enumerate(row):
                if isinstance(cell, str):
                    sheet.write_string(number, column, _fitting(cell))
                elif isinstance(cell, date):  # a datetime is one
                    moment = cell.replace(tzinfo=None) if isinstance(cell, datetime) else datetime.combine(cell, time())
                    sheet.write_datetime(number, column, moment, formats[type(cell)])
                elif cell is not None and isfinite(cell):
                    sheet.write_number(number, column, cell, formats.get(type(cell)))
        sheet.autofit()
    finally:
        book.close()
    return written.getvalue()


def _csv_cell(cell: Cell) -> str:
    if cell is None:
        return ""
    if isinstance(cell, datetime):
        return cell.replace(tzinfo=None).isoformat(" ", "seconds")
    if not isinstance(cell, str):
        return str(cell) if isinstance(cell, date | int) else repr(float(cell))
    return f"'{cell}" if cell.lstrip(" ").startswith(_FORMULA_STARTS) else cell


def _fitting(text: str) -> str:
    return text if len(text) <= MOST_CELL_CHARACTERS else text[: MOST_CELL_CHARACTERS - len(CUT)] + CUT


def _sheet_name(title: str) -> str:
    """As Excel allows it: 31 characters without those of references."""
    return "".join(" " if each in "[]:*?/\\'" else each for each in title)[:31].strip() or "callstream"


def write_private_file(file: Path, content: bytes) -> None:
    """Write it anew, whole and readable by its owner alone. Raises `OSError`."""
    draft = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as written:
            written.write(content)
            written.flush()
            os.fsync(written.fileno())
        draft.replace(file)
    finally:
        with suppress(FileNotFoundError):
            draft.unlink()
