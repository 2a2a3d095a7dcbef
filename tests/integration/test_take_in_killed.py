"""Taking in, killed at every step: no event without its object, no object without its event, nothing twice."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from processors.custody.ports import SealedIdentity
from schemas.messages.call_ended import CallEnded
from schemas.messages.custody_changed import CustodyChanged
from schemas.messages.topics import CALLS_ENDED
from streams.adapters.kafka.client import Publisher, TopicReader, apply_topics
from streams.adapters.object_store.from_settings import object_store_from
from streams.adapters.register.intakes import RegisterIntakes
from streams.adapters.register.migrate import migrate_register
from streams.adapters.register.outbox import Outbox
from streams.adapters.register.register import Register
from streams.settings import Settings
from streams.stages.sweep import Sweep
from streams.stages.take_in import LEASE
from streams.wiring import prepare_keys, sealed_store_from
from tests.support.brokers import running_broker
from tests.support.dying_take_in import SOUND, STEPS
from tests.support.later_clock import LaterClock

pytestmark = pytest.mark.embedded

AFTER = timedelta(seconds=60)
NOT_ANNOUNCED = STEPS[: STEPS.index("after Complete")]
"""Killed there, nobody was told that the recording is taken in, and it is as if it had never come."""


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with running_broker("tansu", tmp_path_factory.mktemp("broker")) as settings:
        apply_topics(settings)
        yield settings


@dataclass
class House:
    """Store, register and topic of one test; what lies in the topic from before is not its own."""

    settings: Settings
    since: int

    def take_in(self, where: str = "nowhere") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "tests.support.dying_take_in", str(self.settings.data_dir)]
        return subprocess.run(
            [*command, self.settings.kafka_bootstrap, where], capture_output=True, text=True, check=False, timeout=120
        )

    def sweep(self) -> None:
        """What a sweeper does in the next minutes and, at the end, a day later."""
        store, publisher = object_store_from(self.settings), Publisher(self.settings)
        for ahead in (LEASE + AFTER, LEASE + 3 * AFTER, timedelta(days=2)):
            clock = LaterClock(ahead)
            with opened(self.settings) as register:
                Sweep(store, RegisterIntakes(register, clock), publisher, clock, AFTER, timedelta(days=30)).step()
        publisher.close()

    def events(self) -> list[CallEnded]:
        reader = TopicReader(self.settings, CALLS_ENDED.name)
        records = reader.read_to_end()
        reader.close()
        return [CALLS_ENDED.read(record) for record in records][self.since :]

    def objects(self) -> list[str]:
        return [entry.key for entry in object_store_from(self.settings).entries("recordings/")]

    def changes(self) -> list[CustodyChanged]:
        with opened(self.settings) as register:
            return [CustodyChanged.decode(waiting.record.value) for waiting in Outbox(register).waiting(100)]

    def heard(self, call: CallEnded) -> bytes:
        store = object_store_from(self.settings)
        assert call.audio.encryption is not None
        identity = SealedIdentity("acme", "c1", "recording", call.audio.encryption.parameters["version"])
        sealed = sealed_store_from(self.settings, store, "audio")
        return sealed.read(store.key_of(call.audio.uri), identity, call.ended_at.date())


@contextmanager
def opened(settings: Settings) -> Iterator[Register]:
    register = Register.of(settings)
    try:
        yield register
    finally:
        register.close()


@pytest.fixture
def house(broker: Settings, tmp_path: Path) -> House:
    settings = broker.model_copy(update={"data_dir": tmp_path / uuid4().hex})
    with opened(settings) as register:
        migrate_register(register)
    prepare_keys(settings)
    object_store_from(settings).apply()
    house = House(settings, 0)
    house.since = len(house.events())
    return house


@pytest.mark.parametrize("where", STEPS)
def test_whatever_is_killed_is_whole_or_gone_once_it_was_swept(house: House, where: str) -> None:
    killed = house.take_in(where)
    assert killed.returncode == -signal.SIGKILL, killed.stderr

    house.sweep()

    if where in NOT_ANNOUNCED:
        assert (house.events(), house.objects()) == ([], [])
        assert "intake_announced" not in [change.kind for change in house.changes()]
    else:
        assert len({event.encode() for event in house.events()}) == 1
        assert len(house.objects()) == 1
        assert house.heard(house.events()[0]) == SOUND
        assert [change.kind for change in house.changes()] == ["intake_announced"]


@pytest.mark.parametrize("where", STEPS)
def test_who_sends_it_again_is_told_the_truth(house: House, where: str) -> None:
    """At once where it was stored, else when the lease of the dead one has run out, which the sweeper says."""
    house.take_in(where)
    if where in NOT_ANNOUNCED:
        house.sweep()

    again = house.take_in()

    assert again.stdout.strip() == ("created" if where in NOT_ANNOUNCED else "known"), again.stderr
    house.sweep()
    assert len({event.encode() for event in house.events()}) == 1
    assert len(house.objects()) == 1
    assert house.heard(house.events()[0]) == SOUND
    assert [change.kind for change in house.changes()].count("intake_announced") == 1
