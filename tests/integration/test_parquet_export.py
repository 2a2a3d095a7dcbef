"""Days as Parquet files: read back by another reader, they hold what the views show, and no more than asked for."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from clickhouse_connect.driver.client import Client
from pyarrow import parquet

from processors.clickhouse.rows import rows_for_alert, rows_for_analysis, rows_for_transcript
from schemas.clickhouse.views import load_views
from schemas.config.tenants import TenantDays
from schemas.errors import RetryableError
from schemas.messages.finding import Finding
from schemas.messages.transcript import Segment, Transcript
from streams.adapters.clickhouse.connection import connect
from streams.adapters.clickhouse.migrate import make_views, migrate
from streams.adapters.clickhouse.sink import ClickHouseSink
from streams.queries.parquet_export import (
    CUSTOMER_COLUMNS,
    EXPORTS,
    TEXT_COLUMNS,
    ParquetExport,
    ParquetRefusedError,
    choose_exports,
    days_between,
    write_days,
)
from tests.streams.cli.terminal import Terminal
from tests.support.access_log import NO_REGISTER, accesses, register_of
from tests.support.alerts import an_alert
from tests.support.clickhouse_engine import RunningEngine
from tests.support.judged_calls import CUSTOMER, an_event, judged

pytestmark = pytest.mark.embedded


DAY = date(2026, 3, 1)
MIDNIGHT = datetime(2026, 2, 28, 16, 0, tzinfo=UTC)
"""When that day begins in Shanghai."""
WORDS = "我的卡号是六二二二"
ENDS = {
    "before": MIDNIGHT - timedelta(milliseconds=1),
    "first": MIDNIGHT,
    "last": MIDNIGHT + timedelta(hours=24) - timedelta(milliseconds=1),
    "after": MIDNIGHT + timedelta(hours=24),
}


@dataclass
class Data:
    url: str
    client: Client

    def write(self, export: ParquetExport, *tables: str, days: int = 1, overwrite: bool = False) -> list[Path]:
        last = DAY + timedelta(days=days - 1)
        every = write_days(self.client, export, choose_exports(tables), days_between(DAY, last), overwrite=overwrite)
        return list(every)


def fill(sink: ClickHouseSink) -> None:
    """Calls around the ends of the day, one of another tenant; each is delivered and judged twice."""
    for name, ended_at in [*ENDS.items(), ("other", MIDNIGHT + timedelta(hours=1))]:
        tenant = "other" if name == "other" else "acme"
        call = an_event(name, ended_at, customer=CUSTOMER, order_id="O-1", crm={"ticket": "T-1"}, tenant_id=tenant)
        finding = Finding(
            finding_id=f"{name}/1",
            detector="sensitive_words",
            rule_id="rule",
            rule_version="1",
            category="promise",
            role="customer",
            start_ms=0,
            end_ms=900,
            quote=WORDS,
            matched=WORDS,
            severity="high",
            attributes={"heard": WORDS},
        )
        transcript = Transcript(
            tenant_id=tenant,
            call_id=name,
            call=call,
            engine=judged(call).engine,
            segments=(
                Segment(segment_id=0, channel=0, role="customer", start_ms=0, end_ms=9, text=WORDS, confidence=1),
            ),
            transcribed_at=ended_at,
        )
        for version in (1, 2):
            analysis = judged(call, topics=["refund"], version=version).model_copy(update={"findings": (finding,)})
            sink.write(rows_for_analysis(analysis))
            sink.write(rows_for_transcript(transcript))
    sink.write(rows_for_alert(an_alert(1, happened_at=MIDNIGHT, quote=WORDS, matched=WORDS)))


@pytest.fixture(scope="module")
def url(engine: RunningEngine) -> str:
    """Of a database that holds the calls of `fill`."""
    url = engine.url(f"export_{uuid4().hex}")
    migrate(url)
    client = connect(url)
    fill(ClickHouseSink(client))
    client.close()
    return url


@pytest.fixture
def data(url: str) -> Iterator[Data]:
    client = connect(url)
    yield Data(url, client)
    client.close()


def read(file: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = parquet.read_table(file).to_pylist()
    return rows


def test_a_day_holds_the_calls_that_ended_in_it_once_and_in_order(data: Data, tmp_path: Path) -> None:
    (file,) = data.write(ParquetExport(tmp_path), "calls")
    assert file == tmp_path / "calls-2026-03-01.parquet"
    rows = read(file)
    assert [row["call_id"] for row in rows] == ["first", "last", "other"]
    assert [row["analysis_version"] for row in rows] == [2, 2, 2]
    assert rows[0]["ended_at"] == MIDNIGHT
    assert dict(rows[0]["measures"]) == {"duration_ms": 240_000}


def test_every_value_is_what_the_view_shows(data: Data, tmp_path: Path) -> None:
    export = ParquetExport(tmp_path, "acme", with_customers=True)
    for file, exported in zip(data.write(export), EXPORTS, strict=True):
        shown = data.client.query(
            f"SELECT * FROM {exported.source} WHERE tenant_id = 'acme' "  # noqa: S608 - names of views
            f"AND {exported.moment} >= '2026-02-28 16:00:00' AND {exported.moment} < '2026-03-01 16:00:00' "
            f"ORDER BY {', '.join(exported.order)}"
        )
        rows = read(file)
        assert [plain(row) for row in rows] == [plain(without_text(row)) for row in shown.named_results()], exported
        assert rows or exported.view in ("scores", "alert_deliveries"), exported.view


def without_text(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in TEXT_COLUMNS}


def plain(value: Any) -> Any:
    """The same for both readers: maps as they stand in Python, fractions as they are stored."""
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        pairs = all(isinstance(each, tuple) and len(each) == 2 for each in value)  # so is an empty list
        return plain(dict(value)) if pairs else [plain(each) for each in value]
    return value


def test_neither_customers_nor_words_leave_unless_they_are_asked_for(data: Data, tmp_path: Path) -> None:
    files = data.write(ParquetExport(tmp_path))
    assert len(files) == len(EXPORTS)
    for file in files:
        content = str(parquet.read_table(file).to_pydict())
        for secret in (WORDS, CUSTOMER, "O-1", "T-1"):
            assert secret not in content, file.name
        assert set(parquet.read_schema(file).names).isdisjoint(CUSTOMER_COLUMNS | TEXT_COLUMNS)


def test_customers_that_are_asked_for_are_there(data: Data, tmp_path: Path) -> None:
    names: set[str] = set()
    for file in data.write(ParquetExport(tmp_path, with_customers=True), "calls", "findings"):
        names |= set(parquet.read_schema(file).names)
    assert names & (CUSTOMER_COLUMNS | TEXT_COLUMNS) == {"customer_key", "customer_pseudonym", "order_id", "crm"}


def test_each_day_and_tenant_has_a_file_of_its_own(data: Data, tmp_path: Path) -> None:
    files = data.write(ParquetExport(tmp_path / "made", "acme"), "calls", "topics", days=2)
    assert [file.name for file in files] == [
        *("calls-2026-03-01-acme.parquet", "calls-2026-03-02-acme.parquet"),
        *("topics-2026-03-01-acme.parquet", "topics-2026-03-02-acme.parquet"),
    ]
    assert [[row["call_id"] for row in read(file)] for file in files] == [["first", "last"], ["after"]] * 2
    assert [file.stat().st_mode & 0o777 for file in files] == [0o600] * 4


def test_a_day_without_calls_is_a_file_with_columns_and_no_rows(data: Data, tmp_path: Path) -> None:
    (file,) = write_days(
        data.client, ParquetExport(tmp_path), choose_exports(["calls"]), [date(2025, 1, 1)], overwrite=False
    )
    assert read(file) == []
    assert "call_id" in parquet.read_schema(file).names


def test_the_same_day_twice_is_the_same_file(data: Data, tmp_path: Path) -> None:
    (first,) = data.write(ParquetExport(tmp_path / "a"), "calls")
    (second,) = data.write(ParquetExport(tmp_path / "b"), "calls")
    assert first.read_bytes() == second.read_bytes()


def test_a_file_that_exists_stops_the_export_before_anything_is_written(data: Data, tmp_path: Path) -> None:
    existing = tmp_path / "topics-2026-03-01.parquet"
    existing.write_text("mine")
    with pytest.raises(ParquetRefusedError, match=r"topics-2026-03-01\.parquet exists: .* --overwrite"):
        data.write(ParquetExport(tmp_path), "calls", "topics")
    assert list(tmp_path.iterdir()) == [existing]
    data.write(ParquetExport(tmp_path), "topics", overwrite=True)
    assert len(read(existing)) == 3


def test_an_answer_that_breaks_off_leaves_no_file(data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.queries.parquet_export.stream_of", lambda *_: iter([b"PAR1 half of a fi"]))
    with pytest.raises(RetryableError, match="broke off the export of calls"):
        data.write(ParquetExport(tmp_path), "calls")
    assert list(tmp_path.iterdir()) == []


class TestCommand:
    @pytest.fixture
    def terminal(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], data: Data
    ) -> Terminal:
        terminal = Terminal(tmp_path, monkeypatch, capsys)
        terminal.set(clickhouse_url=data.url)
        return terminal

    def run(self, terminal: Terminal, *more: str) -> Any:
        return terminal.run("export", "parquet", "--day", "2026-03-01", "--out", "out", *more)

    def test_it_names_the_files_that_it_wrote(self, terminal: Terminal) -> None:
        ended = self.run(terminal, "--tables", "calls, findings", "--to", "2026-03-02")
        assert ended.code == 0
        assert ended.out.split() == [
            *("out/calls-2026-03-01.parquet", "out/calls-2026-03-02.parquet"),
            *("out/findings-2026-03-01.parquet", "out/findings-2026-03-02.parquet"),
        ]

    def test_customers_leave_a_line_in_the_log_of_access(self, terminal: Terminal) -> None:
        register = register_of(terminal.folder / "data")
        assert self.run(terminal, "--tables", "calls", "--overwrite").code == 0
        assert not accesses(register)
        options = ("--tables", "calls", "--overwrite", "--tenant", "acme", "--with-customers")
        assert self.run(terminal, *options).code == 0
        (line,) = accesses(register)
        register.close()
        assert (line.action, line.tenant_id) == ("exported", "acme")
        assert line.filters == ("day", "tenant", "with_customers")

    def test_customers_whose_export_cannot_be_logged_are_not_written(self, terminal: Terminal) -> None:
        terminal.set(register_url=NO_REGISTER)
        assert self.run(terminal, "--tables", "calls", "--with-customers").code == 4
        assert not (terminal.folder / "out").exists()

    def test_text_that_nobody_has_approved_is_not_written(self, terminal: Terminal) -> None:
        ended = self.run(terminal, "--tables", "calls", "--with-text")
        assert (ended.code, "in an approved export" in ended.err) == (1, True)
        assert not (terminal.folder / "out").exists()

    def test_the_day_is_that_of_each_tenant(self, terminal: Terminal, data: Data) -> None:
        make_views(data.url, load_views(days=TenantDays("Asia/Shanghai", {"acme": "UTC"})))
        try:
            self.run(terminal, "--tables", "calls")
        finally:
            make_views(data.url, load_views())
        calls = [row["call_id"] for row in read(terminal.folder / "out" / "calls-2026-03-01.parquet")]
        assert calls == ["last", "after", "other"]

    @pytest.mark.parametrize(
        ("options", "code", "sentence"),
        [
            pytest.param(("--tables", "secrets"), 1, "secrets cannot be exported; there are alert", id="table"),
            pytest.param(("--to", "2026-02-28"), 1, "--to is the last day", id="days in the wrong order"),
            pytest.param(("--to", "march"), 2, "march is not a day: write 2026-03-01", id="no day"),
            pytest.param(("--tenant", "../acme"), 2, "no tenant can have this id", id="a tenant that is a path"),
        ],
    )
    def test_what_cannot_be_is_refused(
        self, options: tuple[str, ...], code: int, sentence: str, terminal: Terminal
    ) -> None:
        ended = self.run(terminal, *options)
        assert ended.code == code
        assert sentence in ended.err


def test_the_page_says_by_what_each_table_is_cut_and_sorted() -> None:
    page = (Path(__file__).parents[2] / "docs" / "operations.md").read_text(encoding="utf-8")
    for exported in EXPORTS:
        order = ", ".join(f"`{name}`" for name in exported.order)
        assert f"| `{exported.view}` | `{exported.moment}` | {order} |" in page
