"""`python -m tests.support.dying_take_in FOLDER BOOTSTRAP WHERE`: takes one recording in, and dies at a step of it.

SIGKILL, as the kernel or a power cut would: nothing is cleaned up. WHERE is one of `STEPS`, or `nowhere`.
"""

import os
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from processors.custody.intake import Command, Intake
from processors.custody.ports import SealedIdentity
from schemas.messages.records import ProducerRecord
from streams.adapters.kafka.client import Publisher
from streams.adapters.object_store.sealed_store import SealedFacts, SealedStore, SealedWriter
from streams.settings import Settings
from streams.stages.take_in import TakeIn, take_in_from

STEPS = (
    "before Reserve",
    "after Reserve",
    "in mid-upload",
    "before commit",
    "after commit",
    "after Store",
    "after publish",
    "after Announce",
)
SOUND = bytes(range(256)) * 2_000
FACTS = {
    "tenant_id": "acme",
    "call_id": "c1",
    "started_at": "2026-03-02T02:15:00+00:00",
    "ended_at": "2026-03-02T02:15:51+00:00",
}


class Dying:
    """Everything that taking in reaches, until the step."""

    def __init__(self, take_in: TakeIn, where: str) -> None:
        self._inner = take_in
        self._where = where

    def pass_(self, step: str) -> None:
        if step == self._where:
            os.kill(os.getpid(), signal.SIGKILL)

    def tell(self, tenant_id: str, call_id: str, command: Command) -> Intake:
        name = type(command).__name__
        self.pass_(f"before {name}")
        state = self._inner.intakes.tell(tenant_id, call_id, command)
        self.pass_(f"after {name}")
        return state

    def publish(self, records: Iterable[ProducerRecord]) -> None:
        self._inner.publisher.publish(records)
        self.pass_("after publish")

    @contextmanager
    def writer(self, key: str, identity: SealedIdentity, day: date) -> Iterator[Any]:
        with self._inner.sealed.writer(key, identity, day) as writer:
            yield DyingWriter(writer, self)

    def chunks(self) -> Iterator[bytes]:
        for start in range(0, len(SOUND), 50_000):
            if start > len(SOUND) // 2:
                self.pass_("in mid-upload")
            yield SOUND[start : start + 50_000]


class DyingWriter:
    """A sealed object on its way, until the step."""

    def __init__(self, writer: SealedWriter, dying: Dying) -> None:
        self._writer = writer
        self._dying = dying

    def write(self, data: bytes) -> None:
        self._writer.write(data)

    def commit(self) -> SealedFacts:
        self._dying.pass_("before commit")
        facts = self._writer.commit()
        self._dying.pass_("after commit")
        return facts


def settings_of(folder: str, bootstrap: str) -> Settings:
    return Settings.model_validate({"data_dir": Path(folder), "kafka_bootstrap": bootstrap, "kafka_flavour": "tansu"})


def main(folder: str, bootstrap: str, where: str) -> None:
    settings = settings_of(folder, bootstrap)
    publisher = Publisher(settings)
    take_in = take_in_from(settings, publisher, _no_probe)
    dying: Any = Dying(take_in, where)
    sealed: SealedStore = dying
    taken = replace(take_in, intakes=dying, sealed=sealed, publisher=dying).take_in(
        FACTS, dying.chunks(), extension="wav", source="publish"
    )
    sys.stdout.write("created" if taken.created else "known")


def _no_probe(data: bytes) -> Any:
    from processors.listening.audio import UnhearableError

    raise UnhearableError("bad_audio", f"not looked at: {len(data)} bytes")


if __name__ == "__main__":
    main(*sys.argv[1:])
