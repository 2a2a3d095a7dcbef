"""A folder of Parquet files that follows what is stored (`callstream export parquet --changes`).

A file holds the rows of one view, tenant and day: `calls/tenant_id=acme/day=2026-03-01/rows.parquet`. What changed is
told by digests of the rows, which lie in the folder, and not by times: rows are also replaced by a later judgement,
emptied by a purge and moved by a view that is made anew, and none of these need carry a new time. A file whose rows
differ is written aside and renamed; one whose rows are gone is removed. So a run that is killed has lost nothing, and
the next one does what is left.
"""

import fcntl
import json
import os
import re
import secrets
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from clickhouse_connect.driver.client import Client

from streams.adapters.clickhouse.statements import read_rows
from streams.queries.parquet_export import EXPORTS, Exported, ParquetExport, ParquetRefusedError, columns_of, write_rows

STATE = "_callstream.json"
"""In the folder: for whom it was begun, and the digest of each file. Names that begin with _ are no data to readers."""
LOCK = "_callstream.lock"
FILE = "rows.parquet"
PARTITION_COLUMNS = frozenset({"tenant_id", "day"})
"""They stand in the path, and readers of such folders expect them there alone."""
NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
"""What Hive calls the partition of rows without a value."""
_SAVE_EVERY = 100
_PATH = re.compile(rf"[a-z_]+/tenant_id=[^/]+/day=[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}/{re.escape(FILE)}")

FileChange = Literal["written", "removed"]

FOLLOWED: tuple[Exported, ...] = (
    *EXPORTS,
    Exported("ratings", "rated_at", ("tenant_id", "rated_at", "call_id"), day="toDate32(rated_at, 'UTC')"),
    Exported(
        "verdicts",
        "given_at",
        ("tenant_id", "given_at", "call_id", "about", "finding_id", "segment_id"),
        day="toDate32(given_at, 'UTC')",
        left_out=frozenset({"note"}),
    ),
    Exported("purges", "coalesce(ended_at, at)", ("tenant_id", "at", "call_id")),
    *(
        Exported(f"kpi_{name}", "", ("tenant_id", "day", *keys, "kpi"))
        for name, keys in (
            ("daily", ()),
            ("team", ("agent_team",)),
            ("agent", ("agent_team", "agent_id")),
            ("queue", ("queue",)),
            ("inquiry_type", ("inquiry_type",)),
        )
    ),
)
"""Views that can be followed. Ratings and verdicts lie under the UTC day on which they were given."""


@dataclass(frozen=True)
class ChangesExport:
    """Which views of which tenant are followed in which folder, from which day on; null: of all days.

    What lies outside of these is left as it is.
    """

    export: ParquetExport
    views: Sequence[Exported] = FOLLOWED
    since: date | None = None


@dataclass
class _State:
    """What the folder holds: path of a file → digest of its rows."""

    with_customers: bool
    digests: dict[str, str] = field(default_factory=dict)


def choose_followed(names: Collection[str]) -> list[Exported]:
    """The views of those names; all where none is named. Raises `ParquetRefusedError`."""
    known = {exported.view for exported in FOLLOWED}
    if unknown := sorted(set(names) - known):
        raise ParquetRefusedError(f"{unknown[0]} cannot be followed; there are {', '.join(sorted(known))}.")
    return [exported for exported in FOLLOWED if not names or exported.view in names]


def write_changes(client: Client, changes: ChangesExport) -> Generator[tuple[FileChange, Path], None, None]:
    """Bring the folder up to date; gives each file when it is whole, or gone.

    Raises `ParquetRefusedError` where another export is at the folder, it was begun otherwise, or it holds what is
    none of ours; and as `connect` does.
    """
    folder = changes.export.folder
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        state = _read_state(folder, with_customers=changes.export.with_customers)
        try:
            for exported in changes.views:
                yield from _follow(client, changes, exported, state)
        finally:
            _write_state(folder, state)


def _follow(
    client: Client, changes: ChangesExport, exported: Exported, state: _State
) -> Iterator[tuple[FileChange, Path]]:
    export = changes.export
    columns = [
        name
        for name in export.columns(columns_of(client, exported.source))
        if name not in PARTITION_COLUMNS | exported.left_out
    ]
    found = _digests(client, changes, exported, columns)
    done = 0
    for (tenant, day), digest in found.items():
        path = _path(exported.view, tenant, day)
        file = export.folder / path
        if state.digests.get(path) == digest and file.exists():
            continue
        file.parent.mkdir(parents=True, exist_ok=True)
        one = ParquetExport(export.folder, tenant, with_customers=export.with_customers)
        write_rows(client, one, exported, day, file, columns, only_tenant=True)
        state.digests[path] = digest
        done += 1
        if done % _SAVE_EVERY == 0:
            _write_state(export.folder, state)
        yield "written", file
    for path in [each for each in state.digests if each.startswith(f"{exported.view}/")]:
        tenant, day = _partition(path)
        in_scope = (not export.tenant or tenant == quote(export.tenant, safe="")) and (
            changes.since is None or day >= changes.since
        )
        if not in_scope or path in {_path(exported.view, *key) for key in found}:
            continue
        file = export.folder / path
        file.unlink(missing_ok=True)
        for emptied in (file.parent, file.parent.parent):
            with suppress(OSError):  # another day of the tenant is there
                emptied.rmdir()
        del state.digests[path]
        yield "removed", file


def _digests(
    client: Client, changes: ChangesExport, exported: Exported, columns: Sequence[str]
) -> dict[tuple[str, date], str]:
    """Tenant and day → digest of the columns and the rows, in whatever order these come."""
    listed = ", ".join(f"`{name}`" for name in columns)
    query = (
        f"SELECT toString(tenant_id) AS tenant, {exported.day} AS partition_day, count(), "  # noqa: S608 - names
        f"sum(sipHash64(formatRow('RowBinary', {listed}))) FROM {exported.source} "
        "WHERE ({tenant:String} = '' OR tenant_id = {tenant:String}) "
        f"AND {exported.day} >= {{since:Date32}} "
        "GROUP BY tenant, partition_day ORDER BY tenant, partition_day"
    )
    rows = read_rows(
        client,
        f"the digests of {exported.view}",
        query,
        tenant=changes.export.tenant,
        since=(changes.since or date(1900, 1, 1)).isoformat(),
    )
    head = ",".join(columns)
    return {(row[0], row[1]): sha256(f"{head} {row[2]} {row[3]}".encode()).hexdigest()[:32] for row in rows}


def _path(view: str, tenant: str, day: date) -> str:
    return f"{view}/tenant_id={quote(tenant, safe='') or NO_VALUE}/day={day.isoformat()}/{FILE}"


def _partition(path: str) -> tuple[str, date]:
    """The inverse, with the tenant as it stands in the path."""
    _view, tenant, day, _file = path.split("/")
    return tenant.removeprefix("tenant_id="), date.fromisoformat(day.removeprefix("day="))


def _read_state(folder: Path, *, with_customers: bool) -> _State:
    file = folder / STATE
    if not file.exists():
        others = sorted(each.name for each in folder.iterdir() if each.name not in (STATE, LOCK))
        if others:
            raise ParquetRefusedError(
                f"{folder} holds {others[0]} and no {STATE}: name an empty folder, or the one of the last export."
            )
        return _State(with_customers)
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        state = _State(
            bool(content["with_customers"]), {str(path): str(value) for path, value in content["digests"].items()}
        )
        if not all(_PATH.fullmatch(path) for path in state.digests):
            raise ValueError
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ParquetRefusedError(
            f"{file} cannot be read: remove the folder, and the next export writes it anew."
        ) from None
    if state.with_customers != with_customers:
        begun = "with" if state.with_customers else "without"
        raise ParquetRefusedError(
            f"{folder} was begun {begun} customers: give the same option, or name another folder."
        )
    return state


def _write_state(folder: Path, state: _State) -> None:
    content: Mapping[str, object] = {"version": 1, "with_customers": state.with_customers, "digests": state.digests}
    draft = folder / f".{STATE}.{secrets.token_hex(8)}"
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as written:
            json.dump(content, written, ensure_ascii=False)
            written.flush()
            os.fsync(written.fileno())
        draft.replace(folder / STATE)
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One export at a time writes to a folder; drafts that a killed one has left are removed."""
    with os.fdopen(os.open(folder / LOCK, os.O_WRONLY | os.O_CREAT, 0o600), "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ParquetRefusedError(f"another export is writing to {folder}: wait for it.") from None
        for draft in (*folder.glob(f".{STATE}.*"), *folder.glob(f"*/tenant_id=*/day=*/.{FILE}.*")):
            draft.unlink(missing_ok=True)
        yield
