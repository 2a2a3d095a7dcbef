"""Days of the views as Parquet files, for other tools (`callstream export parquet`).

ClickHouse writes the Parquet; here it is streamed to a file that gets its name when it is whole.
"""

import os
import secrets
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from clickhouse_connect.driver.client import Client

from schemas.config.roles import WHOLE_CALLS
from schemas.errors import OperatorError, RetryableError
from streams.adapters.clickhouse.statements import read_rows, stream_of

PARQUET_END = b"PAR1"
"""The last bytes of a Parquet file: what breaks off in between lacks them."""

PARQUET_SETTINGS = {
    "output_format_parquet_compression_method": "zstd",
    "output_format_parquet_parallel_encoding": 0,  # equal rows make equal files
    "output_format_parquet_string_as_string": 1,
}


class ParquetRefusedError(OperatorError):
    """The export would do something that was not asked for; the text says what."""

    exit_code = 1


@dataclass(frozen=True)
class Exported:
    """A view that can be exported, and the order that makes its rows a sequence.

    `day` says to which day of the tenant a row belongs; it is that of the moment. No moment: the rows are of days.
    `left_out` are columns that are not exported, beside those of customers and text.
    """

    view: str
    moment: str
    order: tuple[str, ...]
    day: str = "day"
    left_out: frozenset[str] = frozenset()

    @property
    def source(self) -> str:
        """The view that it is read from: of calls the one with every column, of which people are given parts."""
        return WHOLE_CALLS if self.view == "calls" else self.view


EXPORTS: tuple[Exported, ...] = (
    Exported("calls", "ended_at", ("tenant_id", "ended_at", "call_id")),
    Exported("findings", "ended_at", ("tenant_id", "ended_at", "call_id", "start_ms", "finding_id")),
    Exported("scores", "ended_at", ("tenant_id", "ended_at", "call_id", "item_id")),
    Exported("topics", "ended_at", ("tenant_id", "ended_at", "call_id", "topic_id", "role")),
    Exported("transcripts", "ended_at", ("tenant_id", "ended_at", "call_id")),
    Exported("segments", "ended_at", ("tenant_id", "ended_at", "call_id", "segment_id")),
    Exported("outcomes", "coalesce(ended_at, since)", ("tenant_id", "since", "call_id")),
    Exported("alerts", "happened_at", ("tenant_id", "happened_at", "alert_id")),
    Exported("alert_deliveries", "at", ("tenant_id", "at", "alert_id", "subscriber", "attempt", "outcome")),
)

CUSTOMER_COLUMNS = frozenset({"customer_key", "customer_pseudonym", "order_id", "crm"})
"""By these a person can be found in other systems, or told apart from others."""
TEXT_COLUMNS = frozenset({"text", "word_text", "quote", "matched", "attributes"})
"""What somebody said, or words out of it."""


@dataclass(frozen=True)
class ParquetExport:
    """Where an export is written, for which tenant, and whether customers are included. Text never is: what was said
    leaves in an approved export alone (`streams.queries.export_material`).
    """

    folder: Path
    tenant: str = ""
    with_customers: bool = False

    def file(self, exported: Exported, day: date) -> Path:
        """`calls-2026-03-01.parquet`, of one tenant `calls-2026-03-01-acme.parquet`."""
        tenant = f"-{self.tenant}" if self.tenant else ""
        return self.folder / f"{exported.view}-{day.isoformat()}{tenant}.parquet"

    def columns(self, every: Sequence[str]) -> list[str]:
        """The columns that may be exported."""
        left_out = TEXT_COLUMNS | (frozenset() if self.with_customers else CUSTOMER_COLUMNS)
        return [name for name in every if name not in left_out]


def write_days(
    client: Client, export: ParquetExport, tables: Sequence[Exported], days: Sequence[date], *, overwrite: bool
) -> Iterator[Path]:
    """Write each table and day; gives each file when it is whole.

    Raises `ParquetRefusedError` before the first when one exists and is not to be overwritten, and as
    `connect` does.
    """
    places = [(exported, day, export.file(exported, day)) for exported in tables for day in days]
    existing = [file for _, _, file in places if file.exists()]
    if existing and not overwrite:
        more = f" and {len(existing) - 1} more" if len(existing) > 1 else ""
        raise ParquetRefusedError(f"{existing[0]}{more} exists: choose another folder, or say --overwrite.")
    export.folder.mkdir(parents=True, exist_ok=True)
    for exported, day, file in places:
        write_rows(client, export, exported, day, file, export.columns(columns_of(client, exported.source)))
        yield file


def columns_of(client: Client, view: str) -> list[str]:
    """Every column of a view, in its order. Raises as `connect` does."""
    query = (
        "SELECT name FROM system.columns WHERE database = currentDatabase() AND table = {table:String} "
        "ORDER BY position"
    )
    return [row[0] for row in read_rows(client, f"the columns of {view}", query, table=view)]


def write_rows(
    client: Client,
    export: ParquetExport,
    exported: Exported,
    day: date,
    file: Path,
    columns: Sequence[str],
    *,
    only_tenant: bool = False,
) -> None:
    """The rows of a day as one file, which gets its name when it is whole. `only_tenant`: also where its id is empty.

    Raises `RetryableError` where ClickHouse breaks off, and as `connect` does.
    """
    near = (
        # A day of any zone lies within two days around it in UTC; parts of other days are not read.
        f"AND {exported.moment} >= toDateTime64({{day:Date32}} - 1, 3, 'UTC') "
        f"AND {exported.moment} < toDateTime64({{day:Date32}} + 2, 3, 'UTC') "
        if exported.moment
        else ""
    )
    of_tenant = (
        "tenant_id = {tenant:String}" if only_tenant else "({tenant:String} = '' OR tenant_id = {tenant:String})"
    )
    statement = (
        f"SELECT {', '.join(f'`{name}`' for name in columns)} FROM {exported.source} "  # noqa: S608 - names
        f"WHERE {exported.day} = {{day:Date32}} {near}AND {of_tenant} ORDER BY {', '.join(exported.order)}"
    )
    parameters: dict[str, object] = {"day": day.isoformat(), "tenant": export.tenant}
    draft = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        tail = b""
        with os.fdopen(descriptor, "wb") as written:
            for chunk in stream_of(
                client, f"the export of {exported.view}", statement, parameters, "Parquet", PARQUET_SETTINGS
            ):
                written.write(chunk)
                tail = (tail + chunk)[-len(PARQUET_END) :]
            written.flush()
            os.fsync(written.fileno())
        if tail != PARQUET_END:
            raise RetryableError(f"ClickHouse broke off the export of {exported.view}")
        draft.replace(file)
    finally:
        with suppress(FileNotFoundError):
            draft.unlink()


def choose_exports(names: Collection[str]) -> list[Exported]:
    """The tables of those names, in the order of `EXPORTS`; all where none is named. Raises `ParquetRefusedError`."""
    known = {exported.view for exported in EXPORTS}
    if unknown := sorted(set(names) - known):
        raise ParquetRefusedError(f"{unknown[0]} cannot be exported; there are {', '.join(sorted(known))}.")
    return [exported for exported in EXPORTS if not names or exported.view in names]


def days_between(first: date, last: date) -> list[date]:
    """Every day from first to last, both included. Raises `ParquetRefusedError` when they are in the wrong order."""
    if last < first:
        raise ParquetRefusedError(f"{last} is before {first}: --to is the last day.")
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]
