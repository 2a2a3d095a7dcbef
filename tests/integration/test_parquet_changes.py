"""A folder of Parquet that follows what is stored: DuckDB reads what the views show, whatever became of a call."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from processors.clickhouse.rows import rows_for_call_rated
from processors.kpi.rollups import BY_HAND, RollupDefinition
from processors.kpi.sql import kpi_views
from schemas.clickhouse.views import load_views
from schemas.messages.call_ended import Csat, Role
from schemas.messages.call_rated import CallRated
from streams.adapters.clickhouse.connection import connect
from streams.adapters.clickhouse.migrate import make_views
from streams.adapters.clickhouse.purging import ClickHousePurge
from streams.adapters.clickhouse.rollups import ClickHouseRollups
from streams.adapters.clickhouse.sink import ClickHouseSink
from streams.queries.parquet_changes import (
    FOLLOWED,
    PARTITION_COLUMNS,
    STATE,
    ChangesExport,
    choose_followed,
    write_changes,
)
from streams.queries.parquet_export import (
    CUSTOMER_COLUMNS,
    TEXT_COLUMNS,
    ParquetExport,
    ParquetRefusedError,
    columns_of,
)
from streams.stages.rollup import Rollups
from tests.streams.cli.terminal import Terminal
from tests.support.access_log import NO_REGISTER
from tests.support.kpi_store import DAYS, REGISTRY, WINDOW_DAYS
from tests.support.stored_calls import KEY, Call, Store

pytestmark = pytest.mark.embedded

NOON = datetime(2026, 3, 1, 4, tzinfo=UTC)
"""In Shanghai."""
SAID: tuple[tuple[Role, str], ...] = (("agent", "您好"), ("customer", "我要退款"))
HIT = (("sensitive_words", "finance.promise", "退款"),)
TOLD = Call("told", SAID, ended_at=NOON, customer=KEY, order_id="O-1", rules=HIT, topics=("refund",), team="华东")
OTHERS = (
    Call("next", SAID, ended_at=NOON + timedelta(days=1), team="华东"),
    Call("bolt", SAID, ended_at=NOON, tenant="bolt", topics=("refund",)),
)
FEW = ("calls", "findings", "transcripts", "segments", "purges")


@dataclass
class Copy:
    """The store, and a folder that follows it."""

    store: Store
    folder: Path

    def follow(self, *views: str, since: date | None = None, tenant: str = "", customers: bool = False) -> list[str]:
        """What was done, as `written calls/tenant_id=…`."""
        export = ParquetExport(self.folder, tenant, with_customers=customers)
        done = write_changes(self.store.client, ChangesExport(export, choose_followed(views), since))
        return [f"{what} {file.parent.relative_to(self.folder)}" for what, file in done]

    def roll_up(self) -> None:
        make_views(self.store.url, kpi_views(REGISTRY, DAYS, WINDOW_DAYS))
        Rollups(ClickHouseRollups(self.store.url), RollupDefinition(REGISTRY, DAYS, WINDOW_DAYS), BY_HAND).refresh()

    def read(self, view: str, columns: str) -> list[tuple[Any, ...]]:
        """By DuckDB, sorted."""
        files = f"{self.folder}/{view}/*/*/*.parquet"
        with duckdb.connect() as reader:
            sql = f"SELECT {columns} FROM read_parquet('{files}', hive_partitioning = true)"  # noqa: S608 - of the test
            return sorted(reader.execute(sql).fetchall())


@pytest.fixture
def copy(new_database: Callable[[], str], tmp_path: Path) -> Iterator[Copy]:
    url = new_database()
    client = connect(url)
    store = Store(url, client)
    store.write(TOLD, *OTHERS)
    yield Copy(store, tmp_path / "lake")
    client.close()


def test_duckdb_reads_what_the_views_show_and_a_second_run_writes_nothing(copy: Copy) -> None:
    copy.roll_up()
    done = copy.follow(*FEW, "kpi_daily")
    assert "written calls/tenant_id=acme/day=2026-03-01" in done
    assert all(each.startswith("written ") for each in done)
    keys = "tenant_id, day, call_id"
    assert copy.read("calls", keys) == [
        ("acme", date(2026, 3, 1), "told"),
        ("acme", date(2026, 3, 2), "next"),
        ("bolt", date(2026, 3, 1), "bolt"),
    ]
    assert copy.read("findings", "call_id, rule_id") == [("told", "finance.promise")]
    shown = copy.store.client.query("SELECT tenant_id, kpi, n, value FROM kpi_daily WHERE n > 0").result_rows
    assert copy.read("kpi_daily", "tenant_id, kpi, n, value") == sorted(map(tuple, shown))
    assert copy.follow(*FEW, "kpi_daily") == []
    for exported in FOLLOWED:  # no words, and customers only where they are asked for
        every = columns_of(copy.store.client, exported.source)
        assert set(ParquetExport(copy.folder).columns(every)).isdisjoint(CUSTOMER_COLUMNS | TEXT_COLUMNS)
        assert set(ParquetExport(copy.folder, with_customers=True).columns(every)).isdisjoint(TEXT_COLUMNS)
        assert set(exported.order) <= set(every) | PARTITION_COLUMNS, exported.view


def test_files_have_neither_words_nor_customers_nor_what_stands_in_the_path(copy: Copy) -> None:
    copy.follow("calls")
    (file, *_) = copy.folder.glob("calls/*/*/*.parquet")
    with duckdb.connect() as reader:
        names = {row[0] for row in reader.execute(f"SELECT name FROM parquet_schema('{file}')").fetchall()}  # noqa: S608
    assert names.isdisjoint(CUSTOMER_COLUMNS | TEXT_COLUMNS | PARTITION_COLUMNS)


def test_a_later_judgement_and_a_rating_change_their_files_alone(copy: Copy) -> None:
    copy.follow("calls", "findings", "scores", "ratings", "transcripts")
    copy.store.write(TOLD, version=2)
    rated = CallRated(
        tenant_id="acme",
        call_id="next",
        rated_at=NOON + timedelta(days=2),
        source="crm",
        csat=Csat(score=4, scale_min=1, scale_max=5),
    )
    ClickHouseSink(copy.store.client).write(rows_for_call_rated(rated))
    assert copy.follow("calls", "findings", "scores", "ratings", "transcripts") == [
        "written calls/tenant_id=acme/day=2026-03-01",
        "written findings/tenant_id=acme/day=2026-03-01",
        "written ratings/tenant_id=acme/day=2026-03-03",
    ]
    assert copy.read("ratings", "call_id, rating") == [("next", 75.0)]


def test_what_was_destroyed_goes_from_the_copy_and_is_named(copy: Copy) -> None:
    copy.follow(*FEW, customers=True)
    assert copy.read("calls", "call_id, order_id")[-1] == ("told", "O-1")
    purge, at = ClickHousePurge(copy.store.url, WINDOW_DAYS), datetime.now(UTC)
    for state in ("purging", "purged"):
        purge.tell("acme", ["told"], state, reason="retention", policy="1", purge_id="p1", at=at)
        purge.destroy("acme", ["told"], at, of_a_person=False)
    purge.close()
    done = copy.follow(*FEW, customers=True)
    assert done == [
        "written calls/tenant_id=acme/day=2026-03-01",
        "removed transcripts/tenant_id=acme/day=2026-03-01",
        "removed segments/tenant_id=acme/day=2026-03-01",
        "written purges/tenant_id=acme/day=2026-03-01",
    ]
    assert not (copy.folder / "transcripts/tenant_id=acme/day=2026-03-01").exists()
    assert ("told", None, None) in copy.read("calls", "call_id, order_id, customer_key")
    assert copy.read("purges", "call_id, state, purge_id") == [("told", "purged", "p1")]
    raw = b"".join(file.read_bytes() for file in copy.folder.rglob("*.parquet"))
    assert (b"O-1" in raw, KEY.encode() in raw) == (False, False)


def test_a_run_that_is_killed_is_finished_by_the_next(copy: Copy) -> None:
    export = ChangesExport(ParquetExport(copy.folder), choose_followed(["calls", "findings"]))
    run = write_changes(copy.store.client, export)
    _, first = next(run)
    run.close()
    draft = first.with_name(f".{first.name}.0123")
    draft.write_bytes(b"half")
    first.unlink()
    assert len(copy.follow("calls", "findings")) == 4
    assert not draft.exists()
    assert len(copy.read("calls", "call_id")) == 3


def test_the_state_may_be_lost_and_nothing_of_the_rows_is(copy: Copy) -> None:
    """A kill between the file and the state."""
    copy.follow("calls")
    (copy.folder / STATE).write_text('{"version": 1, "with_customers": false, "digests": {}}')
    assert len(copy.follow("calls")) == 3
    assert len(copy.read("calls", "call_id")) == 3


def test_days_and_tenants_that_were_not_asked_for_stay(copy: Copy) -> None:
    assert copy.follow("calls", since=date(2026, 3, 2)) == ["written calls/tenant_id=acme/day=2026-03-02"]
    assert copy.follow("calls", tenant="bolt") == ["written calls/tenant_id=bolt/day=2026-03-01"]
    assert copy.follow("calls", since=date(2026, 3, 3), tenant="bolt") == []
    assert len(copy.read("calls", "call_id")) == 2


def test_a_folder_that_is_none_of_ours_is_refused(copy: Copy) -> None:
    copy.follow("calls")
    with pytest.raises(ParquetRefusedError, match="was begun without customers"):
        copy.follow("calls", customers=True)
    (copy.folder / STATE).write_text(
        '{"with_customers": false, "digests": {"../tenant_id=x/day=2026-03-01/rows.parquet": "1"}}'
    )
    with pytest.raises(ParquetRefusedError, match="cannot be read"):
        copy.follow("calls")
    (copy.folder / STATE).unlink()
    with pytest.raises(ParquetRefusedError, match="name an empty folder"):
        copy.follow("calls")
    with pytest.raises(ParquetRefusedError, match="nothing cannot be followed"):
        copy.follow("nothing")


def test_every_view_that_is_followed_is_a_view() -> None:
    made = load_views().keys() | kpi_views(REGISTRY, DAYS, WINDOW_DAYS).keys()
    assert {exported.view for exported in FOLLOWED} <= made


def test_the_command(
    copy: Copy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = Terminal(tmp_path, monkeypatch, capsys)
    terminal.set(clickhouse_url=copy.store.url, register_url=NO_REGISTER)
    asked = ("export", "parquet", "--out", copy.folder, "--tables", "calls", "--since", "2026-03-02")
    done = terminal.run(*asked)
    assert (done.code, done.out) == (0, f"written {copy.folder}/calls/tenant_id=acme/day=2026-03-02/rows.parquet\n")
    assert terminal.run(*asked).out == ""
    assert terminal.run(*asked, "--day", "2026-03-02").code == 2
    assert terminal.run(*asked, "--with-customers").code == 4, "the audit log takes no entry"
