"""One worker process: one stage of the topology, run until it is asked to stop."""

import logging
import os
import signal
import threading
from pkgutil import resolve_name

from streams.adapters.kafka.client import Publisher
from streams.ports import SystemClock
from streams.readiness import checks_of
from streams.runtime.health import Readiness, WorkerHealth
from streams.runtime.health_server import HealthServer
from streams.runtime.heartbeat import HeartbeatFile
from streams.runtime.loop import Loop, StoppedError
from streams.runtime.worker_context import WorkerContext
from streams.settings import Settings
from streams.topology import worker_stage

log = logging.getLogger(__name__)

LOOK_UP_S = 0.2
DID_NOT_RUN_S = 5.0
"""Where the main thread, which does nothing, comes round so much later than it wanted, the process did not run: it was
stopped, or its machine slept."""
FINISH_WITHIN_S = 8.0
"""So long a stage may take to finish what it is at when it is asked to stop; then the process ends without it. What is
not finished is not committed: another member does it."""


EXIT_HANGS = 71
"""Of a worker that ended itself because a record took too long, or a loop did not come round."""


def run_worker(name: str, settings: Settings) -> int:
    """Run one stage until SIGTERM or SIGINT; the exit code of the process, 0.

    Waits for systems that do not answer yet. Raises what only a person can mend (`OperatorError`: something is not
    prepared, access is refused), and whatever bug the stage has.

    The thread of the stage may still be at work when this returns; end the process without waiting for it.
    """
    entry = worker_stage(name)
    worker = WorkerContext(name, settings, SystemClock(), lambda: Publisher(settings))
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
    )
    if server is not None:
        worker.metrics.before_scrape(health.export)
        server.start()
        readiness.start()
    heartbeat.start()
    former = {number: signal.signal(number, lambda *_: worker.stop.set()) for number in (signal.SIGTERM, signal.SIGINT)}
    failures: list[BaseException] = []

    def live() -> None:
        try:
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
    try:
        looked_s = worker.pulse.monotonic_s()
        while thread.is_alive() and not worker.stop.wait(LOOK_UP_S):
            gap_s = worker.pulse.monotonic_s() - looked_s
            looked_s += gap_s
            if gap_s > DID_NOT_RUN_S:
                worker.pulse.forgive(gap_s)
                worker.watchdog.forgive(gap_s)
            heartbeat.keep_up()
            if thread.is_alive() and (hangs := health.against_living()):
                log.critical("%s: %s: the worker ends itself", name, "; ".join(hangs))
                os._exit(EXIT_HANGS)
        thread.join(FINISH_WITHIN_S)
        if thread.is_alive():
            worker.forget_what_is_under_way()
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
    if failures:
        raise failures[0]  # and its last heartbeat stays: it ended, and nobody had asked it to
    heartbeat.remove()
    if server is not None:
        server.stop()
    return 0
