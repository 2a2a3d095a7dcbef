"""Tables as files: what spreadsheets make of them, asked of other readers than what wrote them."""

import csv
import io
import stat
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from openpyxl import load_workbook

from streams.cli.console.table_file import (
    CUT,
    MOST_CELL_CHARACTERS,
    Cell,
    FileTable,
    Share,
    TableFileError,
    TableFiles,
    as_csv,
    as_xlsx,
)

AT = datetime(2026, 3, 1, 9, 30, 5, tzinfo=UTC)


def table(*cells: Cell) -> FileTable:
    return FileTable("指标", ("班组", "数值"), [cells])


def cells_of_csv(content: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))


def cells_of_xlsx(content: bytes) -> list[Any]:
    sheet = load_workbook(io.BytesIO(content)).worksheets[0]
    return [list(row) for row in sheet.iter_rows()]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('=HYPERLINK("http://x","y")', id="a formula"),
        pytest.param("+1+cmd|' /C calc'!A0", id="a plus"),
        pytest.param("-2+3", id="a minus"),
        pytest.param("@SUM(A1)", id="an at sign"),
        pytest.param("＝1+1", id="a wide equals sign"),
        pytest.param("\t=1+1", id="behind a tab"),
        pytest.param("  =1+1", id="behind spaces"),
        pytest.param("\r=1+1", id="behind a line break"),
    ],
)
def test_no_text_becomes_a_formula(text: str) -> None:
    assert cells_of_csv(as_csv(table(text, None)))[1] == [f"'{text}", ""]
    cell = cells_of_xlsx(as_xlsx(table(text, None)))[1][0]
    assert cell.data_type == "s"
    assert cell.value.replace("_x000D_", "\r") == text


def test_other_texts_and_numbers_stay_as_they_are() -> None:
    texts = ("华东一组", 'a=b, "c"\nd', "1-2")
    assert cells_of_csv(as_csv(table(*texts)))[1] == list(texts)
    assert cells_of_csv(as_csv(table(-0.5, 3, Share(0.25), None)))[1] == ["-0.5", "3", "0.25", ""]
    shown = [(cell.value, cell.number_format) for cell in cells_of_xlsx(as_xlsx(table(-0.5, 3, Share(0.25))))[1]]
    assert shown == [(-0.5, "General"), (3, "General"), (0.25, "0.0%")]


def test_excel_knows_the_encoding_by_its_mark() -> None:
    assert as_csv(table("退款", 1)).startswith(b"\xef\xbb\xbf\xe7\x8f\xad")
    assert cells_of_xlsx(as_xlsx(table("退款", 1)))[0][0].value == "班组"


def test_times_are_times() -> None:
    assert cells_of_csv(as_csv(table(AT, date(2026, 3, 1))))[1] == ["2026-03-01 09:30:05", "2026-03-01"]
    moment, day = cells_of_xlsx(as_xlsx(table(AT, date(2026, 3, 1))))[1]
    assert (moment.value, day.value) == (AT.replace(tzinfo=None), datetime(2026, 3, 1))  # noqa: DTZ001 - as Excel has it


def test_what_a_cell_cannot_hold_is_cut_and_says_so() -> None:
    cell = cells_of_xlsx(as_xlsx(table("长" * 40_000, float("inf"))))[1]
    assert len(cell[0].value) == MOST_CELL_CHARACTERS
    assert cell[0].value.endswith(CUT)
    assert len(cell) == 1 or cell[1].value is None


def test_files_are_private_and_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = TableFiles(tmp_path / "a.csv", tmp_path / "a.xlsx")
    files.write(table("退款", 1))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.csv", "a.xlsx"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()} == {0o600}
    assert "a.csv: 1 rows" in capsys.readouterr().err


def test_nothing_is_overwritten_and_no_folder_is_made(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("mine")
    with pytest.raises(TableFileError, match="exists"):
        TableFiles(tmp_path / "a.csv")
    with pytest.raises(TableFileError, match="is no folder"):
        TableFiles(xlsx=tmp_path / "none" / "a.xlsx")
