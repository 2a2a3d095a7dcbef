"""`python -m tests.chaos`: run schedules of faults on a stack, and say of each whether anything was lost or doubled.

What was run is appended to a file, and on the same commit not run again: who breaks it off goes on where it was.
`table.py` makes the tables of docs/reliability.md of it.
"""

import argparse
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.chaos import checker
from tests.chaos.recordings import make_recordings
from tests.chaos.schedule import Broker, Fault, Schedule, schedule_of, undisturbed
from tests.chaos.source import AS_FAULTS, Source
from tests.chaos.stand import REPOSITORY, Stand, running_stand
from tests.contracts.s3_server import ServerUnavailableError
from tests.support.postgresql_server import PostgresqlUnavailableError, postgresql_binaries

AT_REST_WITHIN_S = 300.0
"""From the last repair. A busy machine takes a while to start workers."""
LOOK_EVERY_S = 0.1
MOST_ATTEMPTS = 3
"""So often an undisturbed run is tried, where the machine was too busy for it to be one."""
RESULTS = REPOSITORY / ".callstream" / "chaos" / "results.jsonl"
CHECKER = Path(checker.__file__)


@dataclass(frozen=True)
class Result:
    """What came of one schedule."""

    schedule: Schedule
    sentences: tuple[str, ...]
    took_s: float

    @property
    def holds(self) -> bool:
        """Nothing was lost, doubled or changed."""
        return not self.sentences


class Chaos:
    """Schedules on one stack, one after the other, each under a tenant of its own."""

    def __init__(self, stand: Stand, folder: Path) -> None:
        self._stand = stand
        self._folder = folder
        self._recordings = make_recordings(folder / "recordings")
        self._truth = folder / "truth.json"
        self._description = stand.describe()

    @property
    def lacking(self) -> frozenset[str]:
        """Kinds of faults that cannot happen on this stack."""
        return self._stand.lacking

    def learn(self) -> None:
        """What an undisturbed run comes to. Raises `AssertionError` where that is not right either."""
        for attempt in range(MOST_ATTEMPTS):
            result = self.run(undisturbed(attempt), learn=True)
            if result.holds or not all(sentence.startswith(checker.UNFIT) for sentence in result.sentences):
                break
        assert result.holds, "an undisturbed run is not as it must be:\n" + "\n".join(result.sentences)

    def plant(self, bug: str) -> None:
        """Have all workers run with that bug; "" with none."""
        if bug != self._stand.bug:
            self._stand.start_workers(bug)

    def run(self, schedule: Schedule, *, learn: bool = False, within_s: float = AT_REST_WITHIN_S) -> Result:
        """Publish, break, mend, wait, look."""
        began_s = time.monotonic()
        source = Source(self._stand, schedule, self._recordings)
        self._break(schedule, source)
        sentences = self._look(schedule, within_s, learn=learn)
        if source.failure is not None:
            sentences = (f"not published: {source.failure!r}", *sentences)
        return Result(schedule, sentences, time.monotonic() - began_s)

    def _break(self, schedule: Schedule, source: Source) -> None:
        stand, began_s = self._stand, time.monotonic()
        source.start()
        steps: list[tuple[float, bool, Fault]] = []
        for fault in schedule.faults:
            if fault.kind in AS_FAULTS:
                stand.note(schedule.tenant_id, "fault", fault=fault.name)
                continue
            steps.append((fault.at_s, True, fault))
            steps.append((fault.at_s + fault.lasts_s, False, fault))
        for at_s, begins, fault in sorted(steps, key=lambda step: step[0]):
            while (left_s := began_s + at_s - time.monotonic()) > 0:
                time.sleep(min(left_s, LOOK_EVERY_S))
                stand.look_after()
            if begins:
                stand.note(schedule.tenant_id, "fault", fault=fault.name)
                stand.begin(fault)
            else:
                stand.end(fault)
        stand.mend()
        while source.is_alive():
            time.sleep(LOOK_EVERY_S)
            stand.look_after()

    def _look(self, schedule: Schedule, within_s: float, *, learn: bool) -> tuple[str, ...]:
        command = [sys.executable, "-I", str(CHECKER), "--stack", str(self._description), "--within", str(within_s)]
        command += ["--tenant", schedule.tenant_id, "--truth", str(self._truth)]
        command += ["--evidence", str(self.evidence_of(schedule)), *(["--make-truth"] if learn else [])]
        looking = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while looking.poll() is None:
            time.sleep(LOOK_EVERY_S)
            self._stand.look_after()
        said, complaint = looking.communicate()
        if looking.returncode not in (0, checker.EXIT_VIOLATED):
            return (f"the checker could not look ({looking.returncode}): {said.strip()} {complaint.strip()[-2000:]}",)
        return tuple(said.splitlines())

    def evidence_of(self, schedule: Schedule) -> Path:
        """What the checker has seen of that schedule."""
        return self._folder / f"evidence-{schedule.seed}.json"


@contextmanager
def running_chaos(broker: Broker, folder: Path, *, postgresql: bool) -> Iterator[Chaos]:
    """A stack that has run undisturbed. Raises as `running_stand`."""
    with running_stand(broker, folder, postgresql=postgresql) as stand:
        chaos = Chaos(stand, folder)
        chaos.learn()
        yield chaos


def has_postgresql() -> bool:
    """Whether a register on PostgreSQL can be had."""
    try:
        postgresql_binaries()
    except PostgresqlUnavailableError:
        return False
    return True


def seeds_of(text: str) -> list[int]:
    """`7`, `1-20`, `3,5,8-10`. Raises `ValueError`."""
    seeds: list[int] = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        seeds += range(int(first), int(last) + 1) if dash else [int(first)]
    return seeds


def main() -> int:
    """0: all schedules held; 1: one did not; 2: they could not be run."""
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--broker", choices=("kafka", "tansu", "both"), default="both")
    parser.add_argument("--seeds", type=seeds_of, default=seeds_of("1-5"), help="such as 7, 1-20 or 3,5,8-10")
    parser.add_argument("--results", type=Path, default=RESULTS, help="what was run, one JSON object a line")
    parser.add_argument("--again", action="store_true", help="also run what stands there already")
    parser.add_argument("--keep", type=Path, help="keep logs and evidence of what did not hold in this folder")
    arguments = parser.parse_args()
    arguments.results.parent.mkdir(parents=True, exist_ok=True)
    keep = arguments.keep or arguments.results.parent / "failures"
    brokers: list[Broker] = ["kafka", "tansu"] if arguments.broker == "both" else [arguments.broker]
    failed = 0
    for broker in brokers:
        done = set() if arguments.again else _done(arguments.results, broker)
        seeds: Sequence[int] = [seed for seed in arguments.seeds if seed not in done]
        _say(f"{broker}: {len(seeds)} schedule(s) to run, {len(arguments.seeds) - len(seeds)} done before")
        while seeds:
            try:
                seeds, bad = _run_on_one_stack(broker, seeds, arguments.results, keep)
            except ServerUnavailableError as error:
                _say(f"cannot run: {error}")
                return checker.EXIT_UNABLE
            failed += bad
    return checker.EXIT_VIOLATED if failed else 0


def _run_on_one_stack(broker: Broker, seeds: Sequence[int], results: Path, keep: Path) -> tuple[Sequence[int], int]:
    """What is left to run, on another stack: after a schedule that did not hold, this one is not to be trusted."""
    postgresql = broker == "kafka" and has_postgresql()
    folder = Path(tempfile.mkdtemp(prefix="callstream-chaos-"))
    try:
        with ExitStack() as running:
            chaos = running.enter_context(running_chaos(broker, folder, postgresql=postgresql))
            if chaos.lacking:
                _say(f"{broker}: cannot happen here: {', '.join(sorted(chaos.lacking))}")
            for position, seed in enumerate(seeds):
                result = chaos.run(schedule_of(seed, chaos.lacking))
                _write(results, broker, result, postgresql=postgresql)
                _tell(broker, result)
                if not result.holds:
                    _keep(folder, keep / f"{broker}-{seed}")
                    _say(f"  again: make chaos BROKER={broker} SEEDS={seed} AGAIN=--again")
                    return seeds[position + 1 :], 1
        return (), 0
    except AssertionError:
        _keep(folder, keep / f"{broker}-0")
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _keep(folder: Path, kept: Path) -> None:
    """Logs, and what the checker has seen."""
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir(parents=True)
    for logs, name in ((folder / "logs", "logs"), (folder / "stack" / "logs", "stack-logs")):
        shutil.copytree(logs, kept / name)
    for path in (*folder.glob("evidence-*.json"), folder / "events.jsonl", folder / "truth.json"):
        if path.exists():
            shutil.copy(path, kept)
    _say(f"  logs and evidence: {kept}")


def _done(results: Path, broker: Broker) -> set[int]:
    lines = results.read_text(encoding="utf-8").splitlines() if results.exists() else []
    commit = _commit()
    return {one["seed"] for one in map(json.loads, lines) if (one["broker"], one["commit"]) == (broker, commit)}


def _write(results: Path, broker: Broker, result: Result, *, postgresql: bool) -> None:
    line = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "broker": broker,
        "register": "PostgreSQL" if postgresql else "SQLite",
        "seed": result.schedule.seed,
        "calls": len(result.schedule.calls),
        "faults": dict(Counter(fault.kind for fault in result.schedule.faults)),
        "violations": result.sentences,
        "took_s": round(result.took_s, 1),
    }
    with results.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line, ensure_ascii=False) + "\n")


def _commit() -> str:
    asked = subprocess.run(["git", "rev-parse", "--short=8", "HEAD"], cwd=REPOSITORY, capture_output=True, text=True)
    return asked.stdout.strip() or "unknown"


def _tell(broker: Broker, result: Result) -> None:
    faults = ", ".join(f"{fault.name} at {fault.at_s:g} s" for fault in result.schedule.faults)
    verdict = "holds" if result.holds else "DOES NOT HOLD"
    _say(f"{broker} seed {result.schedule.seed}: {verdict} in {result.took_s:.0f} s ({faults})")
    for sentence in result.sentences[:20]:
        _say(f"  {sentence}")


def _say(sentence: str) -> None:
    sys.stdout.write(sentence + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    # Nothing of what runs here is read from the settings of whoever runs it.
    os.environ.pop("CALLSTREAM_CONFIG", None)
    # That workers die and nobody answers is what it does all the time.
    logging.disable(logging.CRITICAL)
    sys.exit(main())
