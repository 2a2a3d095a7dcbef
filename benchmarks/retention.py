"""How fast the register decides how long calls are kept, and how fast it finds what is due.

    python -m benchmarks.retention [--calls 100000] [--url postgresql+pg8000://…]

Without a URL: SQLite in a temporary folder. Calls of a year, of which one day is due.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from processors.custody.audit_entry import AuditEntry
from processors.custody.holds import HoldScope, Open
from processors.custody.retention import Keep, terms_of
from schemas.config.retention import read_retention_policy
from streams.adapters.register.holds import RegisterCases, RegisterHolds
from streams.adapters.register.migrate import migrate_register
from streams.adapters.register.register import Register, Transaction, sqlite_url
from streams.adapters.register.retentions import KeepDecision, RegisterRetentions
from streams.ports import SystemClock
from streams.queries.retention_plan import planned
from streams.stages.keep import DECIDED_AT_ONCE

BEGIN = datetime(2025, 1, 1, tzinfo=UTC)


class NoEntries:
    """The audit log is measured elsewhere."""

    def append(self, entry: AuditEntry) -> None:
        """Nothing."""

    def append_within(self, transaction: Transaction, entry: AuditEntry) -> None:
        """Nothing."""


def decisions(calls: int) -> Iterator[list[KeepDecision]]:
    """Of calls in the order in which they end, general and finance by turns, in batches as `keep` has them."""
    policy = read_retention_policy()
    by_id = {one.id: one for one in policy.classes}
    step = timedelta(days=365) / calls
    batch: list[KeepDecision] = []
    for number in range(calls):
        ended_at = BEGIN + number * step
        classes = [by_id["general"], *([by_id["finance"]] if number % 2 else [])]
        command = Keep(*terms_of(classes, policy.version, ended_at, "capture"))
        batch.append(KeepDecision("acme", f"call-{number:012d}", ended_at, command, f"{number % (calls // 5):064x}"))
        if len(batch) == DECIDED_AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch


def ms(times_s: Sequence[float]) -> str:
    """The median, and the longest."""
    return f"{statistics.median(times_s) * 1000:.2f} ms (longest {max(times_s) * 1000:.2f})"


def measure(register: Register, calls: int) -> None:
    """Print what each costs."""
    clock = SystemClock()
    retentions, holds = RegisterRetentions(register, clock), RegisterHolds(register, clock)
    batches = list(decisions(calls))
    for what in ("first", "again, unchanged"):
        begun_s = time.perf_counter()
        for batch in batches:
            retentions.decide(batch)
        took_s = time.perf_counter() - begun_s
        print(f"decided {what}: {calls / took_s:,.0f} calls/s")
    day = date(2025, 9, 1)
    times_s = []
    for _ in range(20):
        begun_s = time.perf_counter()
        page = retentions.due(day, None, 500)
        times_s.append(time.perf_counter() - begun_s)
    print(f"a page of {len(page)} that are due among {calls:,}: {ms(times_s)}")
    times_s = []
    for _ in range(20):
        begun_s = time.perf_counter()
        retentions.due(date(2025, 6, 1), None, 500)
        times_s.append(time.perf_counter() - begun_s)
    print(f"nothing is due: {ms(times_s)}")
    cases = RegisterCases(register, clock, NoEntries(), lambda _calls: frozenset())
    now = clock.now()
    entry = AuditEntry(now, "li", "inspector", "hold_opened", "acme", "done", "cli")
    scope = HoldScope(frozenset(f"call-{number:012d}" for number in range(0, calls, max(1, calls // 1_000))))
    cases.tell("acme", "k-1", Open(scope, "lawsuit", "li", now), entry)
    times_s = []
    for _ in range(20):
        begun_s = time.perf_counter()
        holds.among([one.call for one in page])
        times_s.append(time.perf_counter() - begun_s)
    print(f"holds of {len(page)} calls: {ms(times_s)}")
    times_s = []
    for number in range(200):
        begun_s = time.perf_counter()
        with register.transaction() as tx:
            holds.cases_within(tx, "acme", f"call-{number:012d}")
        times_s.append(time.perf_counter() - begun_s)
    print(f"holds of one call, within a transaction: {ms(times_s)}")
    begun_s = time.perf_counter()
    found = sum(1 for _ in planned(retentions, holds, date(2027, 1, 1)))
    print(f"a plan of {found:,} calls: {time.perf_counter() - begun_s:.1f} s")


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--url", default="")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        register = Register(arguments.url or sqlite_url(Path(folder) / "register.db"))
        migrate_register(register)
        measure(register, arguments.calls)
        if register.file is not None:
            print(f"the register has {register.file.stat().st_size / arguments.calls:,.0f} bytes a call")
        register.close()


if __name__ == "__main__":
    main()
