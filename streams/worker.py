"""One worker process: one stage of the topology, run until it is asked to stop."""

import logging
import os
import signal
import threading
from pkgutil import resolve_name

from streams.adapters.kafka.client import Publisher
from streams.ports import SystemClock
from streams.runtime.heartbeat import HeartbeatFile
from streams.runtime.loop import Loop, StoppedError
from streams.runtime.worker_context import WorkerContext
from streams.settings import Settings
from streams.topology import worker_stage

log = logging.getLogger(__name__)

LOOK_UP_S = 0.2
FINISH_WITHIN_S = 8.0
"""So long a stage may take to finish what it is at when it is asked to stop; then the process ends without it. What is
not finished is not committed: another member does it."""


EXIT_HANGS = 71
"""Of a worker that ended itself because a record took longer than `stuck_after_minutes`."""


def run_worker(name: str, settings: Settings) -> int:
    """Run one stage until SIGTERM or SIGINT; the exit code of the process, 0.

    Waits for systems that do not answer yet. Raises what only a person can mend (`OperatorError`: something is not
    prepared, access is refused), and whatever bug the stage has.

    The thread of the stage may still be at work when this returns; end the process without waiting for it.
    """
    entry = worker_stage(name)
    worker = WorkerContext(name, settings, SystemClock(), lambda: Publisher(settings))
    heartbeat = HeartbeatFile(worker.folder, name, worker.pulse, settings.stuck_after_minutes * 60)
    heartbeat.start()
    former = {number: signal.signal(number, lambda *_: worker.stop.set()) for number in (signal.SIGTERM, signal.SIGINT)}
    failures: list[BaseException] = []
    loops: list[Loop] = []

    def live() -> None:
        try:
            loop: Loop = resolve_name(entry.builder)(worker)
            loops.append(loop)
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
        while thread.is_alive() and not worker.stop.wait(LOOK_UP_S):
            heartbeat.keep_up()
            for loop in loops:
                if (record := loop.hangs_on()) is not None:
                    log.critical("%s hangs on %s: the worker ends itself", name, record)
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
    return 0
