"""`python tests/chaos/table.py RESULTS`: what `make chaos` has run, as the tables of docs/reliability.md.

Needs nothing but Python.
"""

import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

LOST, DOUBLED, ALERTS = "lost:", "doubled:", "alert lost:"
WORDS = {
    "kill": "a worker killed (SIGKILL)",
    "stop": "a worker stopped for up to 14 s (SIGSTOP)",
    "kill_broker": "Kafka killed",
    "stop_broker": "the broker stopped (SIGSTOP)",
    "kill_clickhouse": "ClickHouse killed",
    "stop_clickhouse": "ClickHouse stopped (SIGSTOP)",
    "kill_register": "PostgreSQL killed",
    "lock_register": "SQLite locked by somebody else",
    "slow_register": "PostgreSQL behind a slow connection",
    "cut_register": "PostgreSQL cut off",
    "store_gone": "the object store gone",
    "disk_full": "the disk of the object store full",
    "slow": "Kafka or ClickHouse behind a slow connection",
    "cut": "Kafka or ClickHouse cut off",
    "clock": "the clocks of all workers an hour wrong",
    "add": "a worker more for a while",
    "drain": "a worker stopped in good order and started again",
    "subscriber": "the subscriber refuses, hangs or hangs up",
    "duplicates": "events published twice",
    "old_records": "old records of a topic once more, newest first",
    "poison": "a record that nobody can read",
}
"""Kind of fault → how the table calls it."""

Result = Mapping[str, Any]


def table(results: Sequence[Result]) -> str:
    """One row for each broker, commit and day; below it one for each kind of fault."""
    columns = [
        "day",
        "commit",
        "broker and register",
        "schedules",
        "hold",
        "calls",
        "faults",
        "lost",
        "doubled",
        "alerts lost",
        "otherwise",
    ]
    lines = [f"| {' | '.join(columns)} |", "|---|---|---|---:|---:|---:|---:|---:|---:|---:|---:|"]
    groups: dict[tuple[str, str, str, str], list[Result]] = {}
    for one in results:
        groups.setdefault((one["at"][:10], one["commit"], one["broker"], one["register"]), []).append(one)
    for (day, commit, broker, register), members in groups.items():
        said = [sentence for one in members for sentence in one["violations"]]
        counts = {word: sum(sentence.startswith(word) for sentence in said) for word in (LOST, DOUBLED, ALERTS)}
        cells: Iterable[Any] = (
            *(day, f"`{commit}`", f"{broker}, {register}", len(members)),
            *(sum(not one["violations"] for one in members), sum(one["calls"] for one in members)),
            *(sum(sum(one["faults"].values()) for one in members), *counts.values(), len(said) - sum(counts.values())),
        )
        lines.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    faults: dict[str, Counter[str]] = {}
    for one in results:
        faults.setdefault(one["broker"], Counter()).update(one["faults"])
    brokers = sorted(faults)
    lines += ["", "| fault | " + " | ".join(brokers) + " |", "|---|" + "---:|" * len(brokers)]
    for kind, words in WORDS.items():
        lines.append(f"| {words} | " + " | ".join(str(faults[broker][kind]) for broker in brokers) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(table([json.loads(line) for line in Path(sys.argv[1]).read_text().splitlines()]) + "\n")
