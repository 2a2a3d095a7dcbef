"""The stage `collect`: recordings that telephony leaves in a folder or a bucket are taken in, and removed from there.

Killed anywhere, it loses and doubles nothing: what was not removed is taken in once more, which is the same call.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from processors.custody.intake import IntakeBusyError, IntakeConflictError, IntakeSource, LeaseLostError
from processors.custody.ports import CallPurgedError
from processors.telephony.file_facts import FileFacts, NamePattern
from schemas.config.tenants import read_tenants
from schemas.errors import InvalidCallError
from streams.adapters.decoder.process import DecoderProcess
from streams.adapters.inbox.arrival import Arrival, Inbox, StillWrittenError, UnreadableError
from streams.adapters.inbox.bucket import BucketInbox
from streams.adapters.inbox.folder import FolderInbox
from streams.adapters.object_store.bucket import Bucket
from streams.adapters.object_store.from_settings import object_store_from
from streams.adapters.register.register import Register
from streams.ports import Clock
from streams.runtime.loop import Loop
from streams.runtime.worker_context import WorkerContext
from streams.settings import Settings, SettingsError
from streams.stages.capture import read_facts
from streams.stages.take_in import TakenIn, TooLargeError, take_in_from
from streams.wiring import require_register, require_topics

log = logging.getLogger(__name__)

REFUSALS = (InvalidCallError, TooLargeError, IntakeConflictError, UnreadableError)
"""What is wrong with a recording, and not with us: it is put aside. All else is tried again, or stops the worker."""

LATER = (StillWrittenError, IntakeBusyError, LeaseLostError)
"""Of one recording: the others go on."""


def build(worker: WorkerContext) -> Loop:
    """Waits for object store, register and Kafka; raises `OperatorError`, which names a setting."""
    settings = worker.settings
    store = object_store_from(settings)
    worker.wait_for(store.check)
    inbox = inbox_of(settings)
    worker.wait_for(lambda: require_topics(settings))
    decoder = DecoderProcess()
    worker.wait_for(lambda: check_register(settings))
    take_in = take_in_from(settings, worker.publisher(), decoder.probe, worker.clock, settings.collect_lane)
    collect = Collect([inbox], facts_of(settings), take_in, worker.clock, settings.intake_max_bytes)
    loop = worker.loop(
        lambda: collect.step(worker.stop, loop.beat), every_s=settings.collect_every_s, close=decoder.close
    )
    return loop


def check_register(settings: Settings) -> None:
    """Raises `RegisterSchemaError` where its tables are not of this release, and `RetryableError`."""
    register = Register.of(settings)
    try:
        require_register(register)
    finally:
        register.close()


def inbox_of(settings: Settings) -> tuple[IntakeSource, Inbox]:
    """Where recordings come in, as the settings say. Raises `SettingsError`."""
    place, needs_side, keep = settings.collect_from, not settings.collect_names, settings.collect_finished == "keep"
    if place is None:
        raise SettingsError("collect_from is not set: name the folder or bucket in which telephony leaves recordings")
    if not place.startswith("s3://"):
        return "folder", FolderInbox(Path(place), needs_side, settings.collect_settle_s, keep)
    bucket, _, prefix = place.removeprefix("s3://").partition("/")
    if bucket == settings.store_bucket:
        raise SettingsError("collect_from is in store_bucket: recordings in clear must lie in a bucket of their own")
    try:
        Bucket(bucket)
    except ValueError as error:
        raise SettingsError(f"collect_from does not fit: {error}") from None
    store = settings.object_store.open(bucket, settings.data_dir)
    return "bucket", BucketInbox(store, prefix, needs_side, settings.collect_settle_s, keep)


def facts_of(settings: Settings) -> FileFacts:
    """What is known of calls, as the settings say. Raises `OperatorError`."""
    keys, tenants = settings.customer_keys, read_tenants(settings.tenants_file)

    def customer_of(tenant: str, number: str) -> Mapping[str, Any]:
        return keys.fields(tenant, number, keep_last_digits=tenants.keeps_last_digits(tenant))

    return FileFacts(
        settings.days.zone_of,
        customer_of if settings.customer_key_secret.get_secret_value() else None,
        NamePattern.of(settings.collect_names, settings.collect_name_times) if settings.collect_names else None,
        read_facts(settings.collect_usual_file) if settings.collect_usual_file else {},
        tenants.keeps_last_digits,
    )


class RecordingIntake(Protocol):
    """`streams.stages.take_in.TakeIn`, or what stands for it."""

    def take_in(
        self,
        facts: Mapping[str, Any],
        chunks: Iterable[bytes],
        *,
        extension: str,
        source: IntakeSource,
        received_at: Callable[[], datetime] | None = None,
    ) -> TakenIn: ...


@dataclass(frozen=True)
class Collected:
    """What one look came to."""

    taken_in: int = 0
    again: int = 0
    """Were taken in before, and not removed."""
    refused: int = 0
    later: int = 0


@dataclass(frozen=True)
class Collect:
    """Takes in what lies in inboxes."""

    inboxes: Sequence[tuple[IntakeSource, Inbox]]
    facts: FileFacts
    take_in: RecordingIntake
    clock: Clock
    max_bytes: int

    def step(self, stop: threading.Event | None = None, beat: Callable[[], None] = lambda: None) -> Collected:
        """One look at all. Raises `RetryableError` and `OperatorError`: then the next look does what is left."""
        stop = stop or threading.Event()
        counts = {"taken_in": 0, "again": 0, "refused": 0, "later": 0}
        for source, inbox in self.inboxes:
            for arrival in inbox.arrivals():
                if stop.is_set():
                    return Collected(**counts)
                beat()
                counts[self._one(source, arrival)] += 1
        collected = Collected(**counts)
        if collected != Collected():
            log.info(
                "collect: %d recording(s) taken in, %d once more, %d refused, %d left for later",
                *(collected.taken_in, collected.again, collected.refused, collected.later),
            )
        return collected

    def _one(self, source: IntakeSource, arrival: Arrival) -> str:
        """Names of files are not logged: they may hold phone numbers."""
        try:
            if arrival.size_bytes > self.max_bytes:
                raise TooLargeError(f"it has more than {self.max_bytes} bytes (intake_max_bytes)")
            facts = self.facts.of(arrival.name, arrival.side, arrival.written_at)
            # A clock of the writer that is ahead would make capturing end before it began.
            written_at = min(arrival.written_at, self.clock.now())
            taken = self.take_in.take_in(
                facts,
                arrival.chunks(),
                extension=_extension_of(arrival.name),
                source=source,
                received_at=lambda: written_at,
            )
        except CallPurgedError:
            # Whoever left it must not find it again, nor anybody else: it goes as one that was taken in.
            log.warning("collect: a recording of a call that was destroyed is not taken in")
            arrival.finish()
            return "refused"
        except REFUSALS as error:
            log.warning("collect: a recording is refused: %s", error)
            arrival.refuse(str(error))
            return "refused"
        except LATER as error:
            log.info("collect: a recording is left for later: %s", error)
            return "later"
        arrival.finish()
        return "taken_in" if taken.created else "again"


def _extension_of(name: str) -> str:
    ending = name.rpartition(".")[2].lower() if "." in name else ""
    return ending if ending.isascii() and ending.isalnum() and len(ending) <= 8 else "bin"
