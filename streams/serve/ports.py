"""What the application needs of the rest: one use case, keys, and where calls stand."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Literal, Protocol

from processors.custody.api_keys import ApiKey
from processors.custody.authorization import Actor
from processors.custody.exports import Export, ExportContent
from schemas.messages.call_ended import CallEnded
from schemas.messages.transcript_received import TranscriptReceived
from streams.ports import CallOwner, Clock, Intakes
from streams.serve.audit import ServedAudit
from streams.serve.people import PeopleServed
from streams.serve.requests import CustomerOfNumber
from streams.settings import Settings

if TYPE_CHECKING:
    from starlette.requests import Request


class TakenInCall(Protocol):
    """What came of an upload."""

    @property
    def call(self) -> CallEnded: ...
    @property
    def created(self) -> bool: ...
    @property
    def capture_ms(self) -> int | None: ...


class TakesIn(Protocol):
    """`streams.stages.take_in.TakeIn`. Used by several threads at once."""

    def take_in(
        self, facts: Mapping[str, Any], chunks: Iterable[bytes], *, extension: str, source: Literal["serve"]
    ) -> TakenInCall:
        """See there. What the chunks raise passes through, and nothing is taken in then."""
        ...


class HandsOver(Protocol):
    """Where transcripts from outside go: what was said is sealed in the store, the rest announced in Kafka."""

    def __call__(self, message: TranscriptReceived) -> None:
        """Durable when this returns. Raises `RetryableError` and `OperatorError`."""
        ...


class KnowsKeys(Protocol):
    """The API keys in the register. Every method may raise `RetryableError` and `OperatorError`."""

    def find(self, key_id: str) -> ApiKey | None:
        """The key of that id, whatever its state."""
        ...

    def note_use(self, key_id: str, at: datetime) -> None:
        """When it was used last. Called at most once an hour for each key."""
        ...


class KnowsOutcomes(Protocol):
    """The outcomes in ClickHouse."""

    def outcome(self, tenant_id: str, call_id: str) -> tuple[str, str] | None:
        """Outcome, `pending` before there is one, and reason; None where the call is not known there.

        Raises `RetryableError` and `OperatorError`.
        """
        ...


class KnowsOwners(Protocol):
    """Whose calls are whose, in ClickHouse and in what is just coming in."""

    def owner(self, tenant_id: str, call_id: str) -> CallOwner | None:
        """None for a call that nobody knows. Raises `RetryableError` and `OperatorError`."""
        ...


class ExportAsked(Protocol):
    """What a request for an export says (`streams.serve.export_routes.ExportRequest`)."""

    @property
    def tenant_id(self) -> str: ...
    @property
    def call_ids(self) -> Sequence[str]: ...
    @property
    def first_day(self) -> date | None: ...
    @property
    def last_day(self) -> date | None: ...
    @property
    def contents(self) -> Sequence[ExportContent]: ...
    @property
    def recipient(self) -> str: ...
    @property
    def reason(self) -> str: ...
    @property
    def ticket(self) -> str | None: ...


class Exporter(Protocol):
    """`streams.stages.exporting.Exporting` for one person. See there what each does and raises."""

    def request(self, asked: ExportAsked) -> Export: ...
    def list(self, tenant_id: str) -> Sequence[Export]: ...
    def show(self, export_id: str) -> Export: ...
    def approve(self, export_id: str, digest: str) -> Export: ...
    def refuse(self, export_id: str, reason: str) -> Export: ...
    def withdraw(self, export_id: str) -> Export: ...
    def offer(self, export_id: str) -> str: ...
    def hand_out(self, export_id: str, token: str) -> tuple[str, Iterator[bytes]]: ...


@dataclass(frozen=True)
class ServedExports:
    """What the routes of exports are made of."""

    exporter_for: Callable[[Actor], Exporter]
    """Of who asks; called in threads."""
    actor_of: Callable[["Request"], Awaitable[Actor]] | None = None
    """Raises `RefusedError` (401) where nobody known asks. None: the server's own authentication."""


@dataclass(frozen=True)
class Served:
    """All that the application is made of. What blocks is called in threads."""

    settings: Settings
    clock: Clock
    take_in: TakesIn
    hand_over: HandsOver
    api_keys: KnowsKeys
    intakes: Intakes
    outcomes: KnowsOutcomes
    customer_of: CustomerOfNumber
    audit: ServedAudit
    people: PeopleServed
    owners: KnowsOwners
    checks: Mapping[str, Callable[[], None]]
    """Name of what is needed → raises where it does not answer."""
    exports: ServedExports | None = None
    """None where nobody is known who could ask for one."""
