"""The stage `play`, with decoders in processes of their own."""

import threading
from pathlib import Path

import numpy as np
import pytest

from streams.adapters.object_store.folder import FolderStore
from streams.adapters.register.migrate import migrate_register
from streams.adapters.register.register import Register, sqlite_url
from streams.ports import SystemClock
from streams.runtime.worker_context import WorkerContext
from streams.stages.play import Decoders, play_loop
from tests.processors.recordings import encoded, tone
from tests.support.playing import MemoryAuditLog, MemoryTombstones, NamedActors, plays
from tests.support.serving import settings_in

RATE_HZ = 8_000
SOUND = [tone(300, 8_000, RATE_HZ), tone(700, 8_000, RATE_HZ)]

pytestmark = [pytest.mark.loopback, pytest.mark.processes]


def test_what_a_decoder_process_makes_is_what_this_process_makes(tmp_path: Path) -> None:
    data = encoded(SOUND, RATE_HZ, "libmp3lame", "mp3")
    decoders = Decoders()
    try:
        with plays(tmp_path / "a", decoder=decoders.stretch) as one, plays(tmp_path / "b") as other:
            for each in (one, other):
                each.put(data, segments=())
            found = [each.listening.play(each.request()).wav.read(0, 10**9) for each in (one, other)]
        assert found[0] == found[1]
        assert np.frombuffer(found[0][44:], dtype="<i2").any()
    finally:
        decoders.close()


def test_the_stage_listens_until_it_is_stopped(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, play_port=0)
    register = Register(sqlite_url(tmp_path / "register" / "register.db"))
    migrate_register(register)
    store = FolderStore(tmp_path / "store", "calls")
    store.apply()
    worker = WorkerContext("play", settings, SystemClock(), lambda: pytest.fail("it publishes nothing"))
    closed = threading.Event()
    loop = play_loop(
        worker,
        store,
        register,
        authentication=NamedActors(),
        audit_log=MemoryAuditLog(),
        tombstones=MemoryTombstones(),
        close_authentication=closed.set,
    )
    running = threading.Thread(target=loop.run)
    running.start()
    worker.stop.set()
    running.join(30)
    assert not running.is_alive()
    assert closed.is_set()
