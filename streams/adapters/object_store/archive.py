"""The archive: calls that need not be kept at hand, under `archive/<tenant>/<yyyy>/<mm>/<dd>/` (R19), in a store of its
own where `archive_to` names one.

Recordings lie there as `<call_id>.<version>.opus`, sealed under the same audio key of the call, so that they are
destroyed with it: smaller and, unlike the original, not bit for bit what came. What cannot be decoded lies there as it
came. The original, and what was made of it, go once the copy has been read back. The waveform stays where it is.

What was said, masked, and found lies beside them as Parquet, `<call_id>.1.parquet`, sealed under the transcript key of
the call. The transcript and the rows in ClickHouse stay until the call is destroyed.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date

from processors.custody.ports import KeyGoneError, SealedIdentity
from processors.listening.audio import DecodeLimits, UnhearableError
from processors.listening.renditions import Renditions
from schemas.config.tenants import RecordingFormat
from schemas.errors import OperatorError
from schemas.messages.transcript import AudioFacts
from streams.adapters.object_store.sealed_store import SealedStore
from streams.ports import ObjectMissingError, ObjectStore

log = logging.getLogger(__name__)

ARCHIVE = "archive"
PEAKS = "peaks"
ARCHIVE_RATE_HZ = 48_000
"""At which Opus is decoded, whatever the rate of the original was."""
RESULT_FORMAT = "1"
"""How the Parquet is laid out (`streams.queries.archived_result`). Part of its key and of what is sealed."""
MOST_DIFFERENCE_MS = 1_000
"""So much may the copy be longer or shorter; what encoders put before the beginning is a hundredth of that."""


class ArchiveError(OperatorError):
    """What was written into the archive is not what was to be: the original stays."""


ResultOfCall = Callable[[str, str, date], bytes | None]
"""What was said and found of a call (tenant, call, UTC day of its end) as Parquet; None where it was never judged."""


def _no_result(tenant_id: str, call_id: str, day: date) -> None:
    """For who archives sound alone."""


@dataclass(frozen=True)
class RecordingArchive:
    """Every method may raise what store and keys raise: `RetryableError` and `OperatorError`, `SealBrokenError`."""

    store: ObjectStore
    sealed: SealedStore
    """Over the same store."""
    render: Callable[[bytes, DecodeLimits, RecordingFormat | None], Renditions]
    """`processors.listening.renditions.render`, or the same in a process of its own; so with `probe`."""
    probe: Callable[[bytes], AudioFacts]
    limits: DecodeLimits
    most_bytes: int
    """A larger recording is not held in memory: it stays where it is."""
    result: ResultOfCall = _no_result

    def archive(self, tenant_id: str, call_id: str, day: date) -> int:
        """Have its result lie in the archive, and every recording there alone; how many those were. Again is right.

        `day` is the UTC day on which the call ended. Raises `ArchiveError`, and what `result` raises.
        """
        self._keep_result(tenant_id, call_id, day)
        count = 0
        for key, version, extension in list(self._recordings(tenant_id, call_id, day)):
            identity = SealedIdentity(tenant_id, call_id, "recording", version)
            try:
                self._copy(key, identity, day, extension)
            except KeyGoneError:
                return count  # it was destroyed just now
            except ObjectMissingError:
                continue
            for made in list(self._made_of(identity, day)):
                self.store.delete(made)
            self.store.delete(key)
            count += 1
        return count

    def _keep_result(self, tenant_id: str, call_id: str, day: date) -> None:
        data = self.result(tenant_id, call_id, day)
        if data is None:
            return
        place = ArchivedResult(tenant_id, call_id, day)
        self.sealed.put(place.key, place.identity, day, data)
        if self.sealed.read(place.key, place.identity, day) != data:
            raise ArchiveError(f"what was read back of the result of call {call_id} is something else")

    def _recordings(self, tenant_id: str, call_id: str, day: date) -> Iterator[tuple[str, str, str]]:
        """Key, version and extension of each."""
        prefix = f"recordings/{tenant_id}/{day:%Y/%m/%d}/{call_id}."
        for entry in self.store.entries(prefix):
            version, dot, extension = entry.key.removeprefix(prefix).partition(".")
            if dot and "." not in extension:  # else it is of another call, whose id begins with this one
                yield entry.key, version, extension

    def _copy(self, key: str, identity: SealedIdentity, day: date, extension: str) -> None:
        data = self.sealed.read(key, identity, day, most_bytes=self.most_bytes)
        try:
            facts = self.probe(data)
            copy = self.render(data, self.limits, "opus").converted
            assert copy is not None  # noqa: S101 - it was asked for
            in_archive, what = replace(identity, role="converted"), "opus"
        except UnhearableError:
            facts, copy, in_archive, what = None, data, identity, extension
        target = f"{_folder(identity, day)}.{what}"
        self.sealed.put(target, in_archive, day, copy)
        if self.sealed.read(target, in_archive, day) != copy:
            raise ArchiveError(f"what was read back from the archive of call {identity.call_id} is something else")
        if facts is not None and abs(self.probe(copy).duration_ms - facts.duration_ms) > MOST_DIFFERENCE_MS:
            raise ArchiveError(f"the copy of call {identity.call_id} in the archive is longer or shorter than it was")

    def _made_of(self, identity: SealedIdentity, day: date) -> Iterator[str]:
        prefix = f"renditions/{identity.tenant_id}/{day:%Y/%m/%d}/{identity.call_id}.{identity.version}."
        for entry in self.store.entries(prefix):
            if entry.key != f"{prefix}{PEAKS}":
                yield entry.key


@dataclass(frozen=True)
class ArchivedResult:
    """Where the Parquet of a call lies, and what it is sealed as. `day` is the UTC day on which the call ended."""

    tenant_id: str
    call_id: str
    day: date

    @property
    def key(self) -> str:
        """In the object store."""
        return f"{ARCHIVE}/{self.tenant_id}/{self.day:%Y/%m/%d}/{self.call_id}.{RESULT_FORMAT}.parquet"

    @property
    def identity(self) -> SealedIdentity:
        """To what its bytes are bound."""
        return SealedIdentity(self.tenant_id, self.call_id, "result", RESULT_FORMAT)


@dataclass(frozen=True)
class ArchivedResults:
    """Results that lie in the archive, for who may read transcripts."""

    sealed: SealedStore

    def read(self, tenant_id: str, call_id: str, day: date) -> bytes:
        """The Parquet of a call. Raises as `SealedStore.read`: `ObjectMissingError` where none is archived."""
        place = ArchivedResult(tenant_id, call_id, day)
        return self.sealed.read(place.key, place.identity, day)


def archived_key(tenant_id: str, call_id: str, version: str, day: date) -> str:
    """Where a recording lies in the archive that could be decoded; it is sealed as `converted`."""
    return f"{_folder(SealedIdentity(tenant_id, call_id, 'converted', version), day)}.opus"


def _folder(identity: SealedIdentity, day: date) -> str:
    return f"{ARCHIVE}/{identity.tenant_id}/{day:%Y/%m/%d}/{identity.call_id}.{identity.version}"
