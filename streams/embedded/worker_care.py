"""What a supervisor of workers does beside starting them: it tells Prometheus where they are, and ends those that do
not run.

A worker that hangs ends itself; one that is stopped (SIGSTOP, a disk that never answers) cannot, and shows by a
heartbeat that grows old.
"""

import json
import logging
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from streams.embedded.supervisor import Supervisor
from streams.runtime.heartbeat import WorkerCondition, conditions

log = logging.getLogger(__name__)

TARGETS_FILE = "prometheus-targets.json"
"""In the data folder, in the form of Prometheus' file_sd_configs: every worker that tells its metrics."""

LOOK_EVERY_S = 2.0
DID_NOT_RUN_S = 10.0
"""Who comes back after so long was stopped, and its workers with it: they are given as long to show that they run."""


class WorkerCare:
    """For the workers that a supervisor has started with one data folder."""

    def __init__(
        self, supervisor: Supervisor, data_dir: Path, monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._supervisor = supervisor
        self._data_dir = data_dir
        self._monotonic_s = monotonic_s
        self._next_s = self._looked_s = monotonic_s()
        self._written: list[dict[str, Any]] | None = None

    @property
    def targets_file(self) -> Path:
        """Where Prometheus finds them."""
        return self._data_dir / TARGETS_FILE

    def look(self) -> None:
        """Call this every second or so; it does something every few."""
        now_s = self._monotonic_s()
        gap_s, self._looked_s = now_s - self._looked_s, now_s
        if gap_s > DID_NOT_RUN_S:
            self._next_s = now_s + DID_NOT_RUN_S
        if now_s < self._next_s:
            return
        self._next_s = now_s + LOOK_EVERY_S
        children = self._supervisor.running()
        workers = [one for one in conditions(self._data_dir, now_s) if one.pid in children]
        for worker in workers:
            if worker.state == "frozen":
                log.critical(
                    "%s (process %d) has not moved for %.0f s: it is ended", worker.stage, worker.pid, worker.for_s
                )
                self._supervisor.kill(children[worker.pid])
        self._write(targets_of(workers))

    def _write(self, targets: list[dict[str, Any]]) -> None:
        if targets == self._written:
            return
        part = self.targets_file.with_suffix(".part")
        try:
            part.write_text(json.dumps(targets, indent=1) + "\n", encoding="utf-8")
            part.replace(self.targets_file)
            self._written = targets
        except OSError as error:  # a full disk stops no worker
            log.warning("%s cannot be written: %s", self.targets_file, os.strerror(error.errno or 0))

    def close(self) -> None:
        """Nobody is there any more."""
        self.targets_file.unlink(missing_ok=True)


def targets_of(workers: Iterable[WorkerCondition]) -> list[dict[str, Any]]:
    """As `file_sd_configs` reads them, one for each worker that tells its metrics."""
    return [
        {"targets": [worker.metrics_address], "labels": {"job": "callstream", "worker": worker.stage}}
        for worker in sorted(workers, key=lambda one: (one.stage, one.metrics_address))
        if worker.metrics_address
    ]
