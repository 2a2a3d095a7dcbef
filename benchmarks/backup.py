"""What a backup costs, beside copying the same objects with `cp -r`.

    python benchmarks/backup.py
    python benchmarks/backup.py --objects 2000 --bytes 480000 --calls 20000

Sealed objects in a folder, transcripts and calls in the embedded ClickHouse engine, a register on SQLite. Everything is
done in the same run, on the same disk: a first backup, one with nothing new, one with a hundredth that is new, a
verification, a restore. `cp` writes nothing to the disk before it ends and compares nothing; `+ sync` is with that.
"""

import argparse
import os
import random
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

from processors.custody.sealed import seal
from streams.adapters.register.migrate import migrate_register
from streams.adapters.register.register import Register, sqlite_url
from streams.backup.creating import create_backup
from streams.backup.restoring import restore_backup
from streams.backup.verifying import verify_backup
from tests.support.backed_up import (
    SOURCES,
    House,
    day_of,
    identity_of,
    key_of,
    new_database,
    opened_house,
    target_in,
)
from tests.support.clickhouse_engine import running_engine
from tests.support.stored_calls import T0, Call, Store

T = TypeVar("T")
WORDS = ("您好", "请问", "有什么", "可以", "帮您", "我要", "退款", "物流", "还没到", "订单", "好的", "稍等", "谢谢")


def timed(work: Callable[[], T]) -> tuple[T, float]:
    began_s = time.perf_counter()
    result = work()
    return result, time.perf_counter() - began_s


def a_call(number: int, chance: random.Random) -> Call:
    said = tuple(("agent" if at % 2 else "customer", "".join(chance.choices(WORDS, k=12))) for at in range(40))
    return Call(f"call-{number:07d}", said, ended_at=T0 - timedelta(seconds=30 * number))  # type: ignore[arg-type]


def put_objects(house: House, first: int, count: int, size_bytes: int, chance: random.Random) -> None:
    for number in range(first, first + count):
        call = a_call(number, chance)
        key = house.keys.make(call.tenant, call.call_id, day_of(call), "audio") if number % 50 == 0 else b"k" * 32
        house.systems.store.put(key_of(call), seal(key, identity_of(call), os.urandom(size_bytes)))


def put_rows(house: House, first: int, count: int, chance: random.Random) -> None:
    store = Store(house.url, house.client)
    for start in range(first, first + count, 1_000):
        calls = [a_call(number, chance) for number in range(start, min(start + 1_000, first + count))]
        store.write(*(replace(each, rules=(("rules", "finance.notice", "录音"),)) for each in calls))


def said(what: str, took_s: float, beside_s: float, note: str = "") -> None:
    print(f"{what:<46}{took_s:>8.2f} s{took_s / beside_s:>8.2f} × cp   {note}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, default=1_000)
    parser.add_argument("--bytes", type=int, default=480_000, help="of each object: a minute of µ-law")
    parser.add_argument("--calls", type=int, default=10_000, help="in ClickHouse, of 40 segments")
    arguments = parser.parse_args()
    chance = random.Random(1)  # noqa: S311 - what is said need not be secret
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="backup-")))
        engine = stack.enter_context(running_engine(folder / "clickhouse"))
        register = Register(sqlite_url(folder / "house" / "register.db"))
        migrate_register(register)
        house = stack.enter_context(opened_house(register, engine.url(new_database()), folder / "house"))
        put_objects(house, 0, arguments.objects, arguments.bytes, chance)
        put_rows(house, 0, arguments.calls, chance)
        objects = folder / "house" / "objects"
        total = sum(path.stat().st_size for path in objects.rglob("*") if path.is_file())
        print(f"{arguments.objects} objects, {total / 1e6:,.0f} MB; {arguments.calls:,} calls in ClickHouse")

        def copied(to: Path) -> None:
            subprocess.run(("cp", "-r", str(objects), str(to)), check=True)
            os.sync()

        os.sync()
        _, cp_s = timed(lambda: copied(folder / "cp"))
        said("cp -r of the objects + sync", cp_s, cp_s)
        target = target_in(folder / "backups")
        first, took_s = timed(lambda: create_backup(house.systems, SOURCES, target))
        said("create, the first", took_s, cp_s, f"{first.copied.chunk_bytes / 1e6:,.1f} MB of rows besides")
        again, took_s = timed(lambda: create_backup(house.systems, SOURCES, target_in(folder / "backups")))
        said("create, nothing new", took_s, cp_s, f"{again.copied.objects} objects, {again.copied.chunks} chunks")
        more = max(1, arguments.objects // 100)
        put_objects(house, 10**6, more, arguments.bytes, chance)
        put_rows(house, 10**6, max(1, arguments.calls // 100), chance)
        third, took_s = timed(lambda: create_backup(house.systems, SOURCES, target_in(folder / "backups")))
        size = (third.copied.object_bytes + third.copied.chunk_bytes) / 1e6
        said("create, a hundredth new", took_s, cp_s, f"{third.copied.objects} objects, {size:,.1f} MB")
        found, took_s = timed(lambda: verify_backup(target, third.manifest))
        said("verify, a sample of 200", took_s, cp_s, f"{len(found.problems)} problems")
        found, took_s = timed(lambda: verify_backup(target, third.manifest, full=True))
        said("verify --full", took_s, cp_s, f"{len(found.problems)} problems")
        new_register = Register(sqlite_url(folder / "new" / "register.db"))
        url = engine.url(new_database())
        new = stack.enter_context(opened_house(new_register, url, folder / "new", empty=True, wrapper=house.wrapper))
        os.sync()
        _, back_s = timed(lambda: copied(folder / "cp-back"))
        back, took_s = timed(lambda: restore_backup(target, third.manifest, new.systems, new.clickhouse(), new.keys))
        rows = back.clickhouse_rows + back.register_rows
        said("restore, every row compared", took_s, back_s, f"{rows:,} rows, {back.objects:,} objects")
        shutil.rmtree(folder / "cp")


if __name__ == "__main__":
    main()
