"""A worker whose step hangs, or is long at a call, in a process of its own: `python -m tests.support.hanging_stage`.

Arguments: the data folder, seconds of audio that its one record claims to have, seconds that anything may take.
"""

import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from schemas.messages.records import ConsumerRecord, ProducerRecord
from streams import worker as worker_module
from streams.adapters.memory.broker import MemoryBroker
from streams.adapters.register.migrate import migrate_register
from streams.adapters.register.register import Register
from streams.runtime.logs import configure_logging
from streams.runtime.loop import Loop
from streams.runtime.worker_context import WorkerContext
from streams.settings import Settings
from streams.topology import StageEntry

AUDIO_S = float(sys.argv[2]) if len(sys.argv) > 2 else 0.0
TOPIC = "calls.ended.v1"


class OneRecord:
    """`WorkSource` with one record."""

    def __init__(self) -> None:
        self._left = [ConsumerRecord(TOPIC, 3, 17, b"acme/c1", b"")]

    def poll(self, most: int, wait_s: float) -> Sequence[ConsumerRecord]:  # noqa: ARG002
        if not self._left:
            time.sleep(wait_s)
            return ()
        return (self._left.pop(),)

    def commit(self, records: Sequence[ConsumerRecord]) -> None:
        """As `WorkSource`."""

    def rewind(self, records: Sequence[ConsumerRecord]) -> None:
        self._left += records

    def close(self) -> None:
        """As `WorkSource`."""


def hang(_records: Sequence[ConsumerRecord]) -> Sequence[ProducerRecord]:
    sys.stdout.write("hangs\n")
    sys.stdout.flush()
    threading.Event().wait()
    return ()


def build(worker: WorkerContext) -> Loop:
    """As a stage has it."""
    return worker.loop_of_work(hang, OneRecord(), audio_s_of=lambda _record: AUDIO_S)


def main() -> None:
    """Run it until it ends itself."""
    configure_logging("INFO")
    entry = StageEntry("listen", "hangs", builder="tests.support.hanging_stage:build")
    setattr(worker_module, "worker_stage", lambda _name: entry)  # noqa: B010 - the only stage here
    setattr(worker_module, "Publisher", lambda _settings: MemoryBroker())  # noqa: B010
    settings = Settings(data_dir=Path(sys.argv[1]), metrics_address="127.0.0.1:0").model_copy(
        update={"stuck_after_minutes": float(sys.argv[3]) / 60}
    )
    register = Register.of(settings)
    migrate_register(register)
    register.close()
    worker_module.run_worker("listen", settings)


if __name__ == "__main__":
    main()
