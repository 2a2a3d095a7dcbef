"""What the register carries: keys of calls as rows, against data keys that are wrapped in the header of their object.

    python benchmarks/register.py                                   SQLite in a folder of its own
    python benchmarks/register.py --postgresql                      a PostgreSQL server of its own, durable (fsync)
    python benchmarks/register.py --rows 1000000 --processes 1,2,4

Ten million calls a day with two keys each are 231 keys a second on average, and 2,315 in a tenfold peak.
"""

import argparse
import os
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, date, datetime, timedelta
from functools import partial
from io import BytesIO
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from sqlalchemy import func, select, text

from processors.custody.data_keys import call_context, new_key, unwrap_key, wrap_key
from processors.custody.intake import Announce, Complete, Reserve
from schemas.messages.topics import CALLS_ENDED
from streams.adapters.object_store.folder import FolderStore
from streams.adapters.register.intakes import RegisterIntakes
from streams.adapters.register.keys import RegisterKeys, find_day_key
from streams.adapters.register.migrate import migrate_register
from streams.adapters.register.partitions import drop_day, partition_of, prepare_days
from streams.adapters.register.register import Register, sqlite_url
from streams.adapters.register.tables import call_keys
from streams.adapters.register.wrapping_keys import ensure_current
from streams.ports import SystemClock
from tests.support.postgresql_server import running_postgresql
from tests.support.registers import MemoryWrapper

DAY = date(2026, 11, 30)
NOW = datetime(2026, 11, 30, tzinfo=UTC)
FIRST_BYTES = 1_000_000
"""Of a sealed object: a call of a minute or two."""

_KEY = bytes(32)

EVENTS = Path(__file__).parents[1] / "tests" / "examples" / CALLS_ENDED.name

Rate = tuple[int, float, float]
"""How many, in which time, with how much processor time of this process."""


class FixedWrapper(MemoryWrapper):
    """One wrapping key that every process knows."""

    def __init__(self) -> None:
        super().__init__()
        self.keys["audio", "v1"] = _KEY


def server_s(server: int | None) -> float:
    """Processor time of the PostgreSQL server with all that it has started; 0 where there is none."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat") if server is not None else ():
        with suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if int(stat.parent.name) == server:
                ticks += sum(map(int, fields[11:15]))
            elif int(fields[1]) == server:
                ticks += sum(map(int, fields[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")


def per_second(count: int, began_s: float) -> float:
    return count / (time.perf_counter() - began_s)


def make_some(url: str, prefix: str, seconds: float) -> Rate:
    """How many keys one process makes, and in which time."""
    register = Register(url)
    keys = RegisterKeys(register, FixedWrapper(), SystemClock())
    keys.make("acme", f"{prefix}-first", DAY, "audio")
    began_s, spent_s, count = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - began_s < seconds:
        keys.make("acme", f"{prefix}-{count}", DAY, "audio")
        count += 1
    rate = count, time.perf_counter() - began_s, time.process_time() - spent_s
    register.close()
    return rate


def take_in_some(url: str, prefix: str, seconds: float) -> Rate:
    """How many intakes one process reserves, completes and announces, and in which time."""
    register = Register(url)
    intakes = RegisterIntakes(register, SystemClock())
    event = next(EVENTS.glob("*.json")).read_bytes()
    began_s, spent_s, count = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - began_s < seconds:
        call, now = f"{prefix}-{count}", datetime.now(UTC)
        intakes.tell("acme", call, Reserve("a", f"recordings/{call}", "serve", now, timedelta(minutes=2)))
        intakes.tell("acme", call, Complete("a", "0" * 64, event, now))
        intakes.tell("acme", call, Announce(now))
        count += 1
    rate = count, time.perf_counter() - began_s, time.process_time() - spent_s
    register.close()
    return rate


def get_some(url: str, rows: int, seed: int, seconds: float) -> Rate:
    """How many keys one process looks up, at random among all of a day, and in which time."""
    register = Register(url)
    keys = RegisterKeys(register, FixedWrapper(), SystemClock())
    chance = random.Random(seed)  # noqa: S311 - which call is no secret
    keys.get("acme", call_name(0), DAY, "audio")
    began_s, spent_s, count = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - began_s < seconds:
        keys.get("acme", call_name(chance.randrange(rows)), DAY, "audio")
        count += 1
    rate = count, time.perf_counter() - began_s, time.process_time() - spent_s
    register.close()
    return rate


def call_name(number: int) -> str:
    return f"20261130-{number:09d}.{number * 7919 % 100_000:05d}"


def fill(register: Register, day_key: bytes, rows: int) -> float:
    """Real keys of so many calls, in bulk; rows a second."""
    began_s = time.perf_counter()
    for start in range(0, rows, 50_000):
        numbers = range(start, min(start + 50_000, rows))
        named = [
            (name := call_name(n), wrap_key(day_key, new_key(), call_context("acme", name, DAY, "audio")))
            for n in numbers
        ]
        with register.transaction() as tx:
            if tx.is_postgresql:
                lines = "".join(f"{DAY}\tacme\t{name}\taudio\t\\\\x{blob.hex()}\n" for name, blob in named)
                cursor: Any = tx.connection.connection.cursor()
                copy = "COPY call_keys (day, tenant_id, call_id, purpose, blob) FROM STDIN"
                cursor.execute(copy, stream=BytesIO(lines.encode()))
            else:
                row = {"day": DAY, "tenant_id": "acme", "purpose": "audio"}
                tx.execute(call_keys.insert(), [{**row, "call_id": name, "blob": blob} for name, blob in named])
    return per_second(rows, began_s)


def size_bytes(register: Register) -> int:
    with register.reading() as tx:
        if tx.is_postgresql:
            return int(tx.execute(select(func.pg_total_relation_size(partition_of(DAY)))).scalar_one())
        pages = (
            tx.execute(text("PRAGMA page_count")).scalar_one() - tx.execute(text("PRAGMA freelist_count")).scalar_one()
        )
        return int(pages * tx.execute(text("PRAGMA page_size")).scalar_one())


def in_processes(
    name: str, work: Callable[..., Rate], arguments: Sequence[tuple[object, ...]], server: int | None
) -> None:
    before_s = server_s(server)
    with ProcessPoolExecutor(len(arguments), mp_context=get_context("fork")) as pool:
        done = [each.result() for each in [pool.submit(work, *one) for one in arguments]]
    keys = sum(count for count, _, _ in done)
    rate = sum(count / elapsed_s for count, elapsed_s, _ in done)
    own_us = sum(spent_s for _, _, spent_s in done) / keys * 1e6
    server_us = (server_s(server) - before_s) / keys * 1e6
    print(
        f"{name:<10} {len(arguments):>2} processes    {rate:>10,.0f} a second; processor time of each: "
        f"{own_us:,.0f} µs here, {server_us:,.0f} µs in the server"
    )


@contextmanager
def a_register(postgresql: bool) -> Iterator[tuple[str, int | None]]:
    """Its URL, and the process of its server."""
    with ExitStack() as stack:
        if postgresql:
            server = stack.enter_context(running_postgresql(durable=True))
            yield server.new_database(), server.process.pid
        else:
            folder = Path(tempfile.mkdtemp(prefix="callstream-register-"))
            stack.callback(shutil.rmtree, folder)
            yield sqlite_url(folder / "register.db"), None


def rows_in_the_register(url: str, server: int | None, rows: int, processes: Sequence[int], seconds: float) -> None:
    register = Register(url)
    migrate_register(register)
    prepare_days(register, DAY - timedelta(days=1), 2)
    ensure_current(register, FixedWrapper(), "audio", NOW)
    keys = RegisterKeys(register, FixedWrapper(), SystemClock())
    keys.make("acme", "first", DAY, "audio")
    with register.reading() as tx:
        found = find_day_key(tx, "acme", DAY, "audio")
    assert found is not None  # noqa: S101 - it was made above
    day_key = unwrap_key(_KEY, found.wrapped.blob, found.context)
    empty = size_bytes(register)
    print(f"filled in bulk            {fill(register, day_key, rows):>10,.0f} rows/s")
    print(f"size of 1 M rows          {(size_bytes(register) - empty) / rows * 1_000_000 / 1e6:>10,.0f} MB")
    for count in processes:
        in_processes("made", make_some, [(url, f"p{count}-{n}", seconds) for n in range(count)], server)
    for count in processes:
        in_processes("looked up", get_some, [(url, rows, n, seconds) for n in range(count)], server)
    for count in processes:
        in_processes("taken in", take_in_some, [(url, f"i{count}-{n}", seconds) for n in range(count)], server)
    began_s, destroyed = time.perf_counter(), 0
    while time.perf_counter() - began_s < seconds:
        keys.destroy("acme", call_name(destroyed), DAY)
        destroyed += 1
    print(f"destroyed one by one      {per_second(destroyed, began_s):>10,.0f} calls/s")
    began_s = time.perf_counter()
    drop_day(register, DAY)
    print(f"dropping the day          {time.perf_counter() - began_s:>10.2f} s")
    register.close()


def header_of_the_object(seconds: float) -> None:
    """The other way: the wrapped key stands in front of the sealed object; to destroy it is to write that anew."""
    context = call_context("acme", "c1", DAY, "audio")
    blob = wrap_key(_KEY, bytes(32), context)
    for name, work in (
        ("wrapped", partial(wrap_key, _KEY, bytes(32), context)),
        ("unwrapped", partial(unwrap_key, _KEY, blob, context)),
    ):
        began_s, spent_s, count = time.perf_counter(), time.process_time(), 0
        while time.perf_counter() - began_s < 1:
            work()
            count += 1
        cost_us = (time.process_time() - spent_s) / count * 1e6
        print(f"header {name:<18} {per_second(count, began_s):>10,.0f} keys/s {cost_us:>8,.0f} µs each")
    folder = Path(tempfile.mkdtemp(prefix="callstream-objects-"))
    store = FolderStore(folder, "callstream")
    store.apply()
    sealed = os.urandom(FIRST_BYTES)
    for number in range(50):
        store.put(f"recordings/{number}", sealed)
    began_s, count = time.perf_counter(), 0
    while time.perf_counter() - began_s < seconds:
        key = f"recordings/{count % 50}"
        store.put(key, bytes(60) + store.read(key)[60:])
        count += 1
    print(f"header destroyed (1 MB)   {per_second(count, began_s):>10,.0f} calls/s, each object written anew")
    shutil.rmtree(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--postgresql", action="store_true")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--processes", default="1,4", help="numbers of processes, separated by commas")
    parser.add_argument("--seconds", type=float, default=5, help="each rate is measured for so long")
    arguments = parser.parse_args()
    print("PostgreSQL, a partition a day" if arguments.postgresql else "SQLite")
    with a_register(arguments.postgresql) as (url, server):
        processes = [int(each) for each in arguments.processes.split(",")]
        rows_in_the_register(url, server, arguments.rows, processes, arguments.seconds)
    header_of_the_object(arguments.seconds)


if __name__ == "__main__":
    main()
