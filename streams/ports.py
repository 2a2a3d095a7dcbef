"""What the pipeline needs from the outside. Every implementation passes the contract test of its port."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar, Literal, Protocol, runtime_checkable

from processors.custody.intake import Intake, IntakeCommand
from processors.custody.ports import KeyWrapper, Purpose
from processors.judging.call_context import NO_BACKGROUND, Background
from processors.kpi.surges import BucketCount
from processors.second_reading.question import Question
from schemas.config.settings_part import SettingsPart
from schemas.errors import InvalidMessageError, OperatorError, RetryableError
from schemas.messages.call_analysis import CallAnalysis
from schemas.messages.call_ended import CallEnded
from schemas.messages.classes import FindingSource
from schemas.messages.records import ConsumerRecord, ProducerRecord
from schemas.messages.transcript import Transcript


class Clock(Protocol):
    """Time is an argument: nothing but a clock asks the system for it."""

    def now(self) -> datetime:
        """The present, aware, in UTC."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)


class RecordTooLargeError(InvalidMessageError):
    """Nothing of such a size is ever taken, however often it is written."""


class PublisherPort(Protocol):
    """Writes messages."""

    def publish(self, records: Iterable[ProducerRecord]) -> None:
        """Durable when it returns. Raises `RetryableError`; writing the same again is then right.

        Raises `RecordTooLargeError` when all but those that are too large are durable, and `OperatorError`.
        """
        ...


class WorkSource(Protocol):
    """Where a stage reads: the records of its consumer group, whose offsets move only by `commit`.

    Records of one partition come in order. After a rebalance, another member reads what was not committed.
    """

    def poll(self, most: int, wait_s: float) -> Sequence[ConsumerRecord]:
        """Up to `most` records, none when nothing came within `wait_s`. Raises `RetryableError`."""
        ...

    def commit(self, records: Sequence[ConsumerRecord]) -> None:
        """Everything up to and including these is done. Raises `RetryableError`."""
        ...

    def rewind(self, records: Sequence[ConsumerRecord]) -> None:
        """The next `poll` returns these again."""
        ...

    def close(self) -> None:
        """Leave the group."""
        ...


PartitionCommits = Mapping[int, tuple[int, str]]
"""Partition → offset and metadata of a commit."""


class AlertSource(Protocol):
    """Where one subscription reads alerts, whose deliveries end in any order; offsets move only by `commit`."""

    def read(self, most: int, wait_s: float) -> list[ConsumerRecord]:
        """What is there, at most so much. Raises `RetryableError`."""
        ...

    def hold(self, held: bool) -> None:
        """Read nothing more, or go on."""
        ...

    def commit(self, commits: PartitionCommits) -> None:
        """Everything before each offset is done, and what its metadata say. Raises `RetryableError`."""
        ...

    def close(self) -> None:
        """Leave the group."""
        ...


Place = tuple[str, int]
"""Topic and partition."""

PlaceCommits = Mapping[Place, tuple[int, str]]
"""Topic and partition → offset and metadata of a commit."""


class LaneSource(Protocol):
    """Where a stage reads several topics as one member of its group, and finishes records in any order.

    It calls back from within `read`: with the partitions that it was given and how far each was done, and when all of
    them are taken away. What was not committed then, another member reads.
    """

    def read(self, most: int, wait_s: float) -> Sequence[ConsumerRecord]:
        """What is there, at most so much. Must be called every few minutes. Raises `RetryableError`."""
        ...

    def hold(self, places: Collection[Place]) -> None:
        """Read nothing of these for now, and of all others go on."""
        ...

    def commit(self, commits: PlaceCommits) -> None:
        """Everything before each offset is done, and what its metadata say. Raises `RetryableError`."""
        ...

    def close(self) -> None:
        """Leave the group."""
        ...


class ObjectMissingError(Exception):
    """There is no object under that key."""


class ForeignUriError(Exception):
    """The URI does not point into the bucket that this store serves."""


@dataclass(frozen=True)
class ObjectEntry:
    """An object that is there, how many bytes it has, and when they became visible (aware, in UTC)."""

    key: str
    bytes: int
    modified_at: datetime


class ObjectWriter(Protocol):
    """An object that is being written, piece by piece, and that nobody sees yet."""

    def write(self, data: bytes) -> None:
        """The next bytes, of any number. Raises `RetryableError`, after which the object must be begun again."""
        ...

    def commit(self) -> None:
        """That was all of it: durable and visible as a whole when this returns; nothing is written after it.

        Raises `RetryableError`. Where the answer of the store was lost, the object may be there all the same.
        """
        ...


BucketRuleState = Literal["set", "missing", "unsupported", "forbidden"]
"""`unsupported`: this kind of server cannot do it; `forbidden`: our access key may not even ask."""


@dataclass(frozen=True)
class BucketRule:
    """What a bucket should do by itself, as a sentence says it, and whether it was told to."""

    name: str
    state: BucketRuleState


class ObjectStore(Protocol):
    """A bucket of immutable objects, addressed by key (`recordings/acme/2026/01/02/c1.wav`).

    Every method may raise `RetryableError` when the store does not answer and `StoreAccessError` when it
    refuses the credentials; those that take a key, `ValueError` for one that `uri_of` refuses.
    """

    def uri_of(self, key: str) -> str:
        """`s3://<bucket>/<key>`. Raises `ValueError` for a key that leaves the bucket or is not normalised."""
        ...

    def key_of(self, uri: str) -> str:
        """The inverse of `uri_of`. Raises `ForeignUriError`."""
        ...

    def apply(self) -> None:
        """Create the bucket where it does not exist, and set its rules as far as it can have them and we may.

        Also removes what was begun more than a day ago and never finished. Does nothing the second time.
        """
        ...

    def rules(self) -> Sequence[BucketRule]:
        """What the bucket should do by itself, and whether it does; nothing where there is nothing to tell it."""
        ...

    def check(self) -> None:
        """Raises when the bucket is absent or the credentials are refused, with a sentence that says what to do."""
        ...

    def put(self, key: str, data: bytes, *, content_type: str = "application/octet-stream") -> None:
        """Store an object, durable when this returns; an existing one is replaced whole, never half."""
        ...

    def writer(
        self, key: str, *, content_type: str = "application/octet-stream"
    ) -> AbstractContextManager[ObjectWriter]:
        """Store an object of any size with little memory. What is left without `commit` leaves nothing behind."""
        ...

    def delete(self, key: str) -> None:
        """Remove the object and every version of it, for ever. Does nothing where there is none."""
        ...

    def entries(self, prefix: str = "", *, after: str = "") -> Iterator[ObjectEntry]:
        """The objects whose keys begin with `prefix` and come behind `after`, sorted by the bytes of the key.

        Read little by little: it may be left at any place and continued behind the last key that was seen. What is
        written or deleted meanwhile may be in it or not.
        """
        ...

    def size(self, key: str) -> int:
        """Bytes of the object. Raises `ObjectMissingError`."""
        ...

    def read(self, key: str, *, start: int = 0, length: int | None = None) -> bytes:
        """The object, or `length` bytes of it from `start`, cut like a slice: behind the end it is empty.

        Raises `ObjectMissingError`, and `ValueError` for a negative range.
        """
        ...


@runtime_checkable
class LocksObjects(Protocol):
    """A store that can keep an object from everybody, also from who may write there."""

    def put_locked(self, key: str, data: bytes, until: datetime, *, content_type: str) -> None:
        """As `ObjectStore.put`; until then no version of it can be removed. Raises `StoreAccessError` for a bucket that
        was not made with object lock.
        """
        ...


class StoreAccessError(OperatorError):
    """The object store refuses our credentials, or the bucket does not exist: an operator must act."""


class ObjectStoreSettings(SettingsPart, ABC):
    """The settings of one kind of object store. The file that declares them is found by being there."""

    kind: ClassVar[str]
    """The value of `store_kind` that chooses it."""

    @abstractmethod
    def open(self, bucket: str, data_dir: Path) -> ObjectStore:
        """The store; nothing is read or sent yet. `data_dir` is where this machine keeps what is its own.

        Raises `OperatorError`, which names the setting.
        """


@dataclass(frozen=True)
class IntakeRow:
    """The intake of a call."""

    tenant_id: str
    call_id: str
    state: Intake


@dataclass(frozen=True)
class CallOwner:
    """Whose call it is; None where that is not known."""

    agent_id: str | None
    agent_team: str | None


class Intakes(Protocol):
    """Where the state of every intake is kept. Every method may raise `RetryableError` and `OperatorError`."""

    def tell(self, tenant_id: str, call_id: str, command: IntakeCommand) -> Intake:
        """What `processors.custody.intake.decide` says becomes true, at once and whole; the state after it.

        What the outside must hear of it is in the outbox in the same transaction. Raises as `decide` does, and
        `CallPurgedError` for a call with a tombstone, unless it is given up.
        """
        ...

    def intake(self, tenant_id: str, call_id: str) -> Intake:
        """How far the intake of a call has come."""
        ...

    def expired(self, at: datetime, most: int) -> Sequence[IntakeRow]:
        """Those whose lease has run out, the oldest first."""
        ...

    def unannounced(self, received_before: datetime, most: int) -> Sequence[IntakeRow]:
        """Those that are stored, and were received before that time, the oldest first."""
        ...

    def forget(self, received_before: datetime, most: int) -> int:
        """Forget the oldest that are announced and were received before that time, at most so many; how many it were.

        Their call ids are free again.
        """
        ...

    def leftovers(self, left_before: datetime, most: int, *, removed: bool) -> Sequence[str]:
        """Keys of objects that belong to no call since before that time: those removed once before, or the others."""
        ...

    def was_removed(self, object_key: str, *, for_good: bool) -> None:
        """The object is gone; `for_good` where nobody can be writing it any more."""
        ...


class KeyWrapperSettings(SettingsPart, ABC):
    """The settings of one place where wrapping keys are kept. The file that declares them is found by being there."""

    kind: ClassVar[str]
    """The value of `key_wrapper` that chooses it."""

    @abstractmethod
    def open(self, data_dir: Path, purposes: Collection[Purpose]) -> KeyWrapper:
        """The wrapper, for these purposes alone: of any other it raises `OperatorError`. Nothing is read or sent yet.

        `data_dir` is where this machine keeps what is its own. Raises `OperatorError`, which names the setting.
        """


Rows = Mapping[str, Sequence[Mapping[str, object]]]
"""Table name → rows, each row column name → value."""


class RowsRefusedError(OperatorError):
    """The database refuses what one of these rows holds, at every attempt; those of other tables may be stored.

    `reason` names the kind of refusal, never a value.
    """

    def __init__(self, table: str, reason: str) -> None:
        self.table = table
        self.reason = reason
        super().__init__(f"A row for {table} holds what its table refuses: {reason}")


class Sink(Protocol):
    """Where rows end up. Writing the same rows again changes nothing that can be counted."""

    def write(self, rows: Rows) -> None:
        """Durable when this returns.

        Raises `RetryableError` when the database does not answer or cannot take rows now, and `RowsRefusedError`; after
        either, the same rows may be written again, whole or in parts.
        """
        ...


class History(Protocol):
    """What is known of other calls when one is judged."""

    def background(self, call: CallEnded) -> Background:
        """The baseline of the group of the call, and the earlier calls of its customer.

        Never raises, and returns within a bounded time: what cannot be had in it is null. A call is never in its own
        background, nor is any that ended after it.
        """
        ...


class NoHistory:
    """Where there is no database: nothing is known of other calls."""

    def background(self, call: CallEnded) -> Background:  # noqa: ARG002 - it is the same for every call
        return NO_BACKGROUND


RiskOrNone = Literal["low", "medium", "high", "none"]
"""The risk level of a call; `none` where it was never judged."""

CallKey = tuple[str, str]
"""Tenant and call id."""


class FormerJudgements(Protocol):
    """What is stored of calls."""

    def risks(self, calls: Sequence[Transcript]) -> Mapping[CallKey, RiskOrNone]:
        """Tenant and call id → level; calls that were never judged are not in it. Raises `RetryableError`."""
        ...


class TopicCounts(Protocol):
    """How many calls were about what, and when. Raises `RetryableError` when the database does not answer."""

    def buckets(self, start: datetime, end: datetime) -> Sequence[BucketCount]:
        """Counts of analysed calls that ended in [start, end), by tenant and stretch of `processors.kpi.surges.STEP`.

        Both ends are multiples of it since 1970. Stretches in which a tenant had no call are left out.
        """
        ...

    def calls_about(self, tenant_id: str, topic_id: str, start: datetime, end: datetime, most: int) -> tuple[str, ...]:
        """Ids of the calls about a topic that ended in [start, end), newest first, at most `most`."""
        ...


class TranscriptGoneError(Exception):
    """A newer transcript of the call has taken its place; its own analysis will come."""


class StoredTranscripts(Protocol):
    """What was said in calls, masked."""

    def transcript_of(self, analysis: CallAnalysis) -> Transcript | None:
        """The transcript that was judged, without what only detectors need; None where it is not stored yet.

        Raises `TranscriptGoneError` and `RetryableError`.
        """
        ...


class ReaderBusyError(RetryableError):
    """A second reader has no time now. For whatever reason: it may be this call."""


@dataclass(frozen=True)
class ReadAnswer:
    """What a second reader wrote, and how many tokens it says that it took; None where it does not say."""

    text: str
    tokens: int | None


class SecondReader(Protocol):
    """Reads a call and says what it finds. May be used by several threads at once."""

    model: str
    """What answers, as findings name it; another one is asked again about the same calls."""

    source: FindingSource
    """What its findings say that found them: `second_reader`, or `hook`."""

    def estimate(self, question: Question) -> int:
        """How many tokens a question may cost at most."""
        ...

    def ask(self, question: Question) -> ReadAnswer:
        """Its answer, not yet believed.

        Raises `NotReadError` where it cannot be had for this call, `ReaderBusyError`, and `RetryableError` where it
        could be had for none.
        """
        ...
