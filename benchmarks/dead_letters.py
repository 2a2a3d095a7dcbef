"""Ten thousand dead letters, of which a tenth can never be read: what the commands that look after them take.

    python -m benchmarks.dead_letters                                Apache Kafka
    python -m benchmarks.dead_letters --broker tansu --letters 1000

Each command runs as people run it, in a process of its own; its time and its largest memory are those of that process.
The retry is ended half way, by SIGTERM, and run again. Then `judge` and `store` read on, and it is counted what became
of each message; the command ends with 1 where one is missing, or was published more often than may be.
"""

import argparse
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from signal import SIGTERM

from schemas.messages.records import ProducerRecord
from schemas.messages.topics import CALLS_TRANSCRIBED
from streams.adapters.clickhouse.migrate import migrate, views_of
from streams.adapters.kafka.client import TopicReader
from streams.settings import Settings, load_settings
from tests.support.clickhouse_engine import running_engine
from tests.support.refused import RefusedHouse, refused_house, transcripts

TENANT = "acme"
EVERY = 10
"""Of so many messages one cannot be read."""
BATCH = 100
"""So many messages of a retry that was ended may be published and not marked: they come once more."""

Ended = tuple[int, str]
"""Exit code and what was printed."""


def messages(count: int) -> list[ProducerRecord]:
    good = transcripts(count, tenant=TENANT)
    return [replace(one, value=b"\xff no message") if n % EVERY == 0 else one for n, one in enumerate(good)]


def command(settings: Settings, *arguments: str, end_when: Callable[[], bool] | None = None) -> Ended:
    """Run it to its end, or to where `end_when` says that it is ended by SIGTERM; its cost is printed."""
    began_s = time.perf_counter()
    with tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "streams.cli.main", "dead-letters", *arguments],
            env={**os.environ, **settings.environment()},
            stdout=out,
        )
        while end_when is not None and process.poll() is None:
            if end_when():
                process.send_signal(SIGTERM)
                break
            time.sleep(0.05)
        _, status, used = os.wait4(process.pid, 0)
        code = process.returncode = os.waitstatus_to_exitcode(status)
        took_s, worked_s = time.perf_counter() - began_s, used.ru_utime + used.ru_stime
        print(
            f"| `{' '.join(arguments)}` | {took_s:.1f} s | {worked_s:.1f} s | {used.ru_maxrss / 1024:.0f} MB | {code} |"
        )
        out.seek(0)
        return code, out.read()


def times_published_again(settings: Settings) -> Counter[bytes]:
    """Key → how often its message was published again."""
    with closing(TopicReader(settings, CALLS_TRANSCRIBED.name)) as reader:
        return Counter(record.key or b"" for record in reader.read_to_end() if record.headers)


def measure(house: RefusedHouse, count: int) -> list[str]:
    """Every command on so many letters; what is wrong."""
    house.refuse(messages(count))
    bad = len(range(0, count, EVERY))
    settings, wrong = house.settings, []

    def expect(what: str, found: object, expected: object) -> None:
        if found != expected:
            wrong.append(f"{what}: {found} instead of {expected}")

    print("| command | time | processor | memory | exit code |\n|---|---|---|---|---|")
    about = ("--tenant", TENANT, "--json")
    code, told = command(settings, "list", *about)
    expect("letters in the list", sum(kind["letters"] for kind in json.loads(told)["kinds"]), count)

    every = (*about, "--most", str(count))
    code, told = command(settings, "retry", *every, "--dry-run")
    tried = json.loads(told)
    expect("tried", tried["letters"], count)
    expect("refused again", tried["refused_again"], {"judge: InvalidMessageError": bad})
    expect("would be analysed", tried["outcomes"], {"refused → analyzed": count - bad})

    half = count // 2
    code, _ = command(settings, "retry", *every, end_when=lambda: house.lag("judge", [CALLS_TRANSCRIBED.name]) >= half)
    expect("exit code of a command that was ended", code, 130)
    done = times_published_again(settings).total()
    print(f"\nended after {done} messages\n")
    code, told = command(settings, "retry", *every)
    expect("not published", json.loads(told)["hindered"], {})

    times = times_published_again(settings)
    copies = times.total() - count
    expect("messages published again", len(times), count)
    expect("a message more than twice", max(times.values()) > 2, False)
    if not 0 <= copies <= BATCH:
        wrong.append(f"{copies} messages came twice")
    print(f"\n{copies} messages came twice\n")

    house.work_off()
    expect("outcomes", house.outcomes(TENANT), {"analyzed": count - bad, "refused": bad})
    expect("calls", house.judged(TENANT)["calls_changed"], count - bad)
    states = house.states(TENANT)
    expect("resolved", states.get("resolved"), count - bad)
    left = states.get("open", 0)
    code, told = command(settings, "discard", *every, "--step", "judge", "--reason", "benchmark")
    expect("discarded", json.loads(told)["discarded"], left)
    house.run("store", house.store.work)
    expect("open in the end", house.states(TENANT).get("open", 0), 0)
    print(f"\n{left} letters of {bad} messages that cannot be read were open again, and were discarded")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--broker", choices=("kafka", "tansu"), default="kafka")
    parser.add_argument("--letters", type=int, default=10_000)
    options = parser.parse_args()
    logging.disable()  # the stages in this process tell of each message that they refuse
    with tempfile.TemporaryDirectory() as name, running_engine(Path(name) / "clickhouse") as engine:
        migrate(engine.url(), views=views_of(load_settings({}).settings))
        with refused_house(options.broker, Path(name) / "house", engine.url()) as house:
            wrong = measure(house, options.letters)
    print("\n".join(wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
