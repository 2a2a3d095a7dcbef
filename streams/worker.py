"""One worker process: one stage of the topology, run until it is asked to stop."""

import logging
import os
import signal
import threading
from collections.abc import Callable
from enum import Enum
from pkgutil import resolve_name

from schemas.errors import OperatorError
from streams.adapters.kafka.client import Publisher
from streams.adapters.register.pauses import RegisterPauses
from streams.adapters.register.register import Register
from streams.ports import SystemClock
from streams.readiness import checks_of
from streams.runtime.health import Readiness, WorkerHealth
from streams.runtime.health_server import HealthServer
from streams.runtime.heartbeat import HeartbeatFile
from streams.runtime.loop import Loop, StoppedError
from streams.runtime.pauses import Pause, Pauses
from streams.runtime.secret_files import SecretFiles, follow
from streams.runtime.service_manager import ServiceManager
from streams.runtime.tracing import end_tracing
from streams.runtime.worker_context import WorkerContext
from streams.settings import Settings
from streams.topology import worker_stage

log = logging.getLogger(__name__)

LOOK_UP_S = 0.2
DID_NOT_RUN_S = 5.0
"""Where the main thread, which does nothing, comes round so much later than it wanted, the process did not run: it was
stopped, or its machine slept."""


EXIT_HANGS = 71
"""Of a worker that ended itself because a record took too long, or a loop did not come round."""


class WorkerEnd(Enum):
    """Why a worker has come to its end in good order."""

    STOPPED = "stopped"
    """Somebody asked it to, or its stage is drained. The process ends with 0."""
    PAUSED = "paused"
    """Its stage is paused: the process is to begin anew, and waits there until somebody resumes it."""
    RENEWED = "renewed"
    """A secret in a file has changed: the process is to begin anew with it."""


def run_worker(name: str, settings: Settings, read_again: Callable[[], object] = lambda: None) -> WorkerEnd:
    """Run one stage until SIGTERM or SIGINT, until the stage is paused or drained, or a secret in a file has changed.

    `read_again` reads the settings as they would be read now, and raises `OperatorError` where they do not fit.

    Where that is so from the start, waits until somebody resumes it. Waits for systems that do not answer yet. Raises
    what only a person can mend (`OperatorError`: something is not prepared, access is refused), and whatever bug the
    stage has.

    The thread of the stage may still be at work when this returns: what is not finished within `finish_within_s` is not
    committed, and another worker does it. End the process without waiting for it, or begin it anew in its place.
    """
    entry = worker_stage(name)
    pauses = Pauses(RegisterPauses(Register.of(settings)).every)
    worker = WorkerContext(name, settings, SystemClock(), lambda: Publisher(settings), pauses=pauses)
    # Only where somebody asks: without an address nothing outside is asked in the background.
    readiness = Readiness(checks_of(entry, settings) if settings.metrics_address else {}, worker.stop)
    health = WorkerHealth(name, worker.pulse, worker.watchdog, worker.metrics, readiness)
    server = HealthServer(settings.metrics_address, health) if settings.metrics_address else None
    heartbeat = HeartbeatFile(
        worker.folder,
        name,
        worker.pulse,
        worker.watchdog.longest_limit_s,
        lambda: server.address if server is not None else "",
        health.away,
    )
    if server is not None:
        worker.metrics.before_scrape(health.export)
        server.start()
        readiness.start()
    heartbeat.start()
    manager = ServiceManager()
    manager.started()
    asked = threading.Event()

    def ask(*_: object) -> None:
        asked.set()
        worker.stop.set()

    former = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    failures: list[BaseException] = []
    begun, renewed = threading.Event(), threading.Event()
    files = SecretFiles(settings, entry.setting_groups)
    if not files.are_none:
        follow(files, read_again, worker.stop, renewed)

    def live() -> None:
        try:
            worker.wait_for(pauses.look)
            pauses.follow(worker.stop)
            _wait_while_paused(worker, heartbeat, health)
            begun.set()
            loop: Loop = resolve_name(entry.builder)(worker)
            health.has_started.set()
            log.info("%s is ready", name)
            loop.run()
        except StoppedError:
            pass
        except BaseException as error:
            failures.append(error)

    # The main thread stays free to hear signals: the recogniser holds its own for minutes.
    thread = threading.Thread(target=live, name=name, daemon=True)
    thread.start()
    looked_s = worker.pulse.monotonic_s()
    pause: Pause | None = None
    until_s: float | None = None
    try:
        while thread.is_alive() and (until_s is None or worker.pulse.monotonic_s() < until_s):
            if until_s is None and worker.stop.wait(LOOK_UP_S):
                until_s = worker.pulse.monotonic_s() + settings.finish_within_s
                if asked.is_set() or (pause is not None and pause.kind == "drain"):
                    manager.stopping()  # otherwise the process goes on, under its number
            thread.join(0 if until_s is None else LOOK_UP_S)
            gap_s = worker.pulse.monotonic_s() - looked_s
            looked_s += gap_s
            if gap_s > DID_NOT_RUN_S:
                worker.pulse.forgive(gap_s)
                worker.watchdog.forgive(gap_s)
            heartbeat.keep_up()
            manager.keep_up()
            if thread.is_alive() and (hangs := health.against_living()):
                log.critical("%s: %s: the worker ends itself", name, "; ".join(hangs))
                os._exit(EXIT_HANGS)
            if until_s is None and begun.is_set() and (pause := pauses.of_stage(name)) is not None:
                log.warning("%s: its stage is %s", name, "paused" if pause.kind == "pause" else "drained")
                worker.stop.set()
            elif until_s is None and renewed.is_set():
                worker.stop.set()
        if thread.is_alive():
            log.warning("%s: what it is at is not finished in time, another worker does it", name)
            worker.forget_what_is_under_way()
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
    end_tracing()
    if failures and isinstance(failures[0], OperatorError) and not asked.is_set() and files.have_changed:
        log.warning("%s begins anew with the secrets that have changed: %s", name, str(failures[0]))
        renewed.set()
    elif failures:
        raise failures[0]  # and its last heartbeat stays: it ended, and nobody had asked it to
    if server is not None:
        server.stop()
    if pause is not None and pause.kind == "pause" and not asked.is_set():
        heartbeat.stand_still()
        return WorkerEnd.PAUSED
    if pause is None and renewed.is_set() and not asked.is_set():
        return WorkerEnd.RENEWED  # its heartbeat stays, as that of one that moves
    heartbeat.remove()
    return WorkerEnd.STOPPED


def _wait_while_paused(worker: WorkerContext, heartbeat: HeartbeatFile, health: WorkerHealth) -> None:
    """Until nothing keeps the stage from working. Raises `StoppedError`.

    Meanwhile the worker lives and counts as started, or whoever asks its probes would end it again and again.
    """
    if not worker.pauses.stage_is_paused(worker.stage):
        return
    log.warning("%s waits: its stage is paused, until `callstream resume %s`", worker.stage, worker.stage)
    heartbeat.stand_still()
    health.has_started.set()
    while worker.pauses.stage_is_paused(worker.stage):
        worker.pulse.wait()
        if worker.stop.wait(LOOK_UP_S):
            raise StoppedError
    health.has_started.clear()
    heartbeat.paused = False
