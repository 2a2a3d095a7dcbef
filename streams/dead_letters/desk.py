"""What can be done about dead letters, for commands and for the HTTP interface alike. Who may, they ask before; what is
done they enter in the audit log.

A retry publishes first and marks the letter afterwards, batch by batch: whoever ends it anywhere loses nothing, and
what was published and not marked is published once more, which the pipeline drops by key.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING, Protocol

from processors.clickhouse.rows import version_of_analysis
from processors.custody.ports import KeyGoneError, Tombstones
from processors.dead_letters.again import (
    Hindrance,
    StoredLetter,
    hindrance_of_letter,
    hindrance_of_record,
)
from processors.dead_letters.difference import JudgementInShort, LettersDifference, change_of_call
from processors.dead_letters.shown import shown_message
from schemas.errors import InvalidMessageError, OperatorError
from schemas.messages.call_analysis import CallAnalysis
from schemas.messages.dead_letter import DeadLetter, headers_of_retry
from schemas.messages.records import ConsumerRecord, ProducerRecord, call_of_key
from schemas.messages.topics import CALLS_DEAD_LETTERS, CALLS_TRANSCRIBED
from schemas.messages.transcript import Transcript
from streams.adapters.clickhouse.dead_letters import LetterFilter, StoredLetters
from streams.ports import CallKey, Clock, PublisherPort, RecordTooLargeError
from streams.settings import Settings
from streams.topology import WORKERS

if TYPE_CHECKING:
    from streams.dead_letters.trying import Trial

BATCH_LETTERS = 100
PAGE_LETTERS = 20 * BATCH_LETTERS
MOST_NAMED = 1_000
DEFAULT_MOST = 500
"""Fewer than a stage may refuse in a row before it stops itself."""

READS: Mapping[str, frozenset[str]] = {
    stage.name: frozenset(read.topic.name for read in stage.reads) for stage in WORKERS
}


class LetterNotFoundError(OperatorError):
    """There is no dead letter of that id, or none that this account may know of."""

    exit_code = 2


class ReadsRecords(Protocol):
    """`streams.adapters.kafka.records_at.RecordsAt`."""

    def read(self, wanted: Collection[tuple[str, int, int]]) -> Mapping[tuple[str, int, int], ConsumerRecord]:
        """See there."""
        ...


class FindsTranscripts(Protocol):
    """`TranscriptStore`, as far as a message that Kafka keeps no more is made again from it."""

    def load(self, tenant_id: str, call_id: str) -> Transcript | None:
        """See there."""
        ...


@dataclass(frozen=True)
class Handler:
    """Who does something about letters, and why, as a word."""

    account: str
    reason: str | None = None


@dataclass(frozen=True)
class Prepared:
    """A letter, and either what would be published for it or why nothing is. `remade`: from the object store."""

    stored: StoredLetter
    record: ConsumerRecord | None = None
    hindrance: Hindrance | None = None
    remade: bool = False


@dataclass
class RetryReport:
    """What came of a retry."""

    letters: int = 0
    """That were marked."""
    published: int = 0
    """Messages; letters about the very same message share one."""
    remade: int = 0
    """Of them made from the object store, because Kafka keeps them no more."""
    hindered: Counter[str] = field(default_factory=Counter)
    named: list[tuple[StoredLetter, Hindrance]] = field(default_factory=list)
    """The first `MOST_NAMED` of those that were not published."""

    def hinder(self, stored: StoredLetter, hindrance: Hindrance) -> None:
        """One more that is not published."""
        self.hindered[hindrance] += 1
        if len(self.named) < MOST_NAMED:
            self.named.append((stored, hindrance))


TriesMessage = Callable[[DeadLetter, ConsumerRecord], "Trial"]
TellsLetters = Callable[[int], None]


def _no_progress(_done: int) -> None:
    """Nobody looks."""


@dataclass(frozen=True)
class DeadLetterDesk:
    """Every method may raise `RetryableError` and `OperatorError`. Call it from one thread at a time."""

    letters: StoredLetters
    records: ReadsRecords
    clock: Clock
    tombstones: Tombstones
    transcripts: Callable[[], FindsTranscripts]
    publisher: Callable[[], PublisherPort]
    handled_since: Callable[[], Mapping[str, DeadLetter]]
    """Letters that somebody has handled, and `store` has not written yet: id → the letter."""
    most_retries: int

    def listed(self, wanted: LetterFilter, most: int) -> Sequence[StoredLetter]:
        """The newest first."""
        return self.letters.newest(wanted, most)

    def one(self, letter_id: str, tenant_id: str | None = None) -> StoredLetter:
        """Of that tenant, where one is named. Raises `LetterNotFoundError`."""
        found = self.letters.newest(LetterFilter(tenant_id=tenant_id, ids=(letter_id,)), 1)
        if not found:
            raise LetterNotFoundError("there is no such dead letter: see `callstream dead-letters list`")
        return found[0]

    def shown(self, stored: StoredLetter) -> tuple[Hindrance | None, tuple[str, ...]]:
        """What lies at its place, masked; or why nothing is shown of it."""
        (prepared,) = self.prepared([stored], again_anyway=True)
        if prepared.record is None or prepared.hindrance in ("another_message", "another_tenant", "purged"):
            return prepared.hindrance, ()
        return prepared.hindrance, shown_message(prepared.record.topic, prepared.record.value)

    def chosen(self, wanted: LetterFilter) -> Iterator[Sequence[StoredLetter]]:
        """Those to do something about, as their messages lie in Kafka, page by page; not those handled by now."""
        handled = self.handled_since()
        last: StoredLetter | None = None
        while page := self.letters.in_order(wanted, PAGE_LETTERS, last):
            last = page[-1]
            for start in range(0, len(page), BATCH_LETTERS):
                some = page[start : start + BATCH_LETTERS]
                if left := [each for each in some if each.letter.dead_letter_id not in handled]:
                    yield left

    def prepared(self, some: Sequence[StoredLetter], *, again_anyway: bool) -> Sequence[Prepared]:
        """What would be published for each, in their order."""
        refused = {
            each.letter.dead_letter_id: hindrance_of_letter(each, READS, self.most_retries, again_anyway=again_anyway)
            or _form_of(each.letter)
            for each in some
        }
        places = [_place(each.letter) for each in some if refused[each.letter.dead_letter_id] is None]
        records = self.records.read(places) if places else {}
        buried = self.tombstones.among(
            {call for each in some for call in _calls_of(each.letter, records.get(_place(each.letter)))}
        )
        return [self._prepared(each, refused[each.letter.dead_letter_id], records, buried) for each in some]

    def _prepared(
        self,
        stored: StoredLetter,
        refused: Hindrance | None,
        records: Mapping[tuple[str, int, int], ConsumerRecord],
        buried: Collection[CallKey],
    ) -> Prepared:
        letter = stored.letter
        record = records.get(_place(letter))
        if any(call in buried for call in _calls_of(letter, record)):
            return Prepared(stored, hindrance="purged")
        if refused is not None:
            return Prepared(stored, hindrance=refused)
        hindrance = hindrance_of_record(letter, record)
        if hindrance == "gone" and (made := self._made_again(letter)) is not None:
            return Prepared(stored, made, remade=True)
        return Prepared(stored, record, hindrance)

    def _made_again(self, letter: DeadLetter) -> ConsumerRecord | None:
        """A transcript that Kafka keeps no more, from the object store. None where it is another thing, or gone."""
        if letter.source_topic != CALLS_TRANSCRIBED.name or letter.tenant_id is None or letter.call_id is None:
            return None
        with suppress(InvalidMessageError, KeyGoneError, ValueError):
            transcript = self.transcripts().load(letter.tenant_id, letter.call_id)
            if transcript is not None:
                made = CALLS_TRANSCRIBED.record(transcript)
                place = letter.source_topic, letter.source_partition, letter.source_offset
                return ConsumerRecord(*place, made.key, made.value, self.clock.now())
        return None

    def retry(
        self,
        chosen: Iterable[Sequence[StoredLetter]],
        by: Handler,
        *,
        most: int = DEFAULT_MOST,
        again_anyway: bool = False,
        progress: TellsLetters = _no_progress,
    ) -> RetryReport:
        """Publish their messages again, and mark the letters, `most` of them. What cannot be published stays as it is
        and does not count: it never keeps others back.
        """
        report = RetryReport()
        seen: set[bytes] = set()
        for some in chosen:
            ready: list[Prepared] = []
            for each in self.prepared(some, again_anyway=again_anyway):
                if each.hindrance is not None:
                    report.hinder(each.stored, each.hindrance)
                elif report.letters + len(ready) < most:
                    ready.append(each)
            for done in self._published(ready, seen, report):
                self._mark([each.stored.letter for each in done], "retried", by)
                report.letters += len(done)
            progress(report.letters)
            if report.letters >= most:
                break
        return report

    def _published(self, ready: Sequence[Prepared], seen: set[bytes], report: RetryReport) -> Iterator[list[Prepared]]:
        """Those whose messages are durable, to be marked before anything else is published."""
        fresh: list[Prepared] = []
        for each in ready:
            same = _same_message(each)
            if same not in seen:
                seen.add(same)
                fresh.append(each)
        outputs = [_again(each) for each in fresh]
        report.remade += sum(each.remade for each in fresh)
        try:
            if outputs:
                self.publisher().publish(outputs)
        except RecordTooLargeError:
            yield from self._one_by_one(ready, report)
            return
        report.published += len(outputs)
        yield list(ready)

    def _one_by_one(self, ready: Sequence[Prepared], report: RetryReport) -> Iterator[list[Prepared]]:
        """Where one of several is too large, the others may be written already: once more does no harm."""
        for each in ready:
            try:
                self.publisher().publish((_again(each),))
            except RecordTooLargeError:
                report.hinder(each.stored, "too_large")
                continue
            report.published += 1
            yield [each]

    def discard(
        self,
        chosen: Iterable[Sequence[StoredLetter]],
        by: Handler,
        *,
        most: int = DEFAULT_MOST,
        progress: TellsLetters = _no_progress,
    ) -> int:
        """Give them up: they stay countable, and their calls refused. How many it were."""
        done = 0
        for some in chosen:
            letters = [each.letter for each in some if _form_of(each.letter) is None][: most - done]
            self._mark(letters, "discarded", by)
            done += len(letters)
            progress(done)
            if done >= most:
                break
        return done

    def _mark(self, letters: Sequence[DeadLetter], handling: str, by: Handler) -> None:
        if not letters:
            return
        told = {"handling": handling, "handled_at": self.clock.now(), "handled_by": by.account}
        marked = [each.model_copy(update={**told, "handled_reason": by.reason}) for each in letters]
        self.publisher().publish([CALLS_DEAD_LETTERS.record(each) for each in marked])

    def difference(
        self,
        chosen: Iterable[Sequence[StoredLetter]],
        tries: TriesMessage,
        *,
        most: int = DEFAULT_MOST,
        again_anyway: bool = False,
        progress: TellsLetters = _no_progress,
    ) -> LettersDifference:
        """What a retry of these would change. Writes nothing."""
        found = LettersDifference()
        seen: set[bytes] = set()
        for some in chosen:
            trials: list[Trial] = []
            for each in self.prepared(some, again_anyway=again_anyway):
                if each.hindrance is not None or each.record is None:
                    found.hindered[each.hindrance or "gone"] += 1
                    continue
                if found.letters >= most:
                    break
                found.letters += 1
                if (same := _same_message(each)) in seen:
                    continue
                seen.add(same)
                trials.append(tries(each.stored.letter, each.record))
            self._compare(trials, found)
            progress(found.letters)
            if found.letters >= most:
                break
        return found

    def _compare(self, trials: Sequence["Trial"], found: LettersDifference) -> None:
        judged: dict[CallKey, tuple[CallAnalysis, frozenset[str]]] = {}
        for trial in trials:
            found.refused_again.update(trial.refused)
            if trial.untried:
                found.untried[trial.untried] += 1
            elif not trial.refused and not trial.analyses:
                found.accepted += 1
            for analysis in trial.analyses:
                alerts = frozenset(alert.alert_id for alert in trial.alerts if alert.call_id == analysis.call_id)
                judged[analysis.tenant_id, analysis.call_id] = (analysis, alerts)
        stored = self.letters.calls({key: analysis.call.ended_at for key, (analysis, _) in judged.items()})
        outcomes, known = self.letters.outcomes(judged), self.letters.known_alerts(judged)
        for key, (analysis, alerts) in judged.items():
            findings = frozenset(finding.finding_id for finding in analysis.findings)
            new = JudgementInShort(analysis.outcome, version_of_analysis(analysis), findings)
            found.calls[key] = change_of_call(new, alerts, stored.get(key), outcomes.get(key), known)


def _form_of(letter: DeadLetter) -> Hindrance | None:
    """`forged` where it is none that a stage of ours could have written."""
    try:
        CALLS_DEAD_LETTERS.decode(letter.encode())
    except InvalidMessageError:
        return "forged"
    return None


def _place(letter: DeadLetter) -> tuple[str, int, int]:
    return letter.source_topic, letter.source_partition, letter.source_offset


def _calls_of(letter: DeadLetter, record: ConsumerRecord | None) -> set[CallKey]:
    calls: set[CallKey] = set()
    if letter.tenant_id is not None and letter.call_id is not None:
        calls.add((letter.tenant_id, letter.call_id))
    if record is not None and (call := call_of_key(record.key)) is not None:
        calls.add(call)
    return calls


def _same_message(prepared: Prepared) -> bytes:
    """Equal for letters about one message: two stages refused it, or a retry that broke off has published it twice."""
    record = prepared.record
    assert record is not None, "it is published"  # noqa: S101
    return sha256(b"\0".join((record.topic.encode(), record.key or b"", record.value or b""))).digest()


def _again(prepared: Prepared) -> ProducerRecord:
    record = prepared.record
    assert record is not None and record.value is not None, "it has no hindrance"  # noqa: S101, PT018
    return ProducerRecord(record.topic, record.key or b"", record.value, headers_of_retry(prepared.stored.letter))


@contextmanager
def open_desk(settings: Settings, clock: Clock) -> Iterator[DeadLetterDesk]:
    """With these settings; what is needed only to publish or to read Kafka is opened when that is asked for."""
    from streams.adapters.clickhouse.connection import connect
    from streams.wiring import buried_calls

    with ExitStack() as stack:
        lazily = _Lazily(settings, stack)
        client = connect(settings.clickhouse_url.get_secret_value())
        stack.callback(client.close)
        yield DeadLetterDesk(
            StoredLetters(client),
            lazily,
            clock,
            buried_calls(settings),
            lambda: lazily.transcripts,
            lambda: lazily.publisher,
            lambda: handled_and_not_stored(settings),
            settings.dead_letter_retries,
        )


class _Lazily:
    def __init__(self, settings: Settings, stack: ExitStack) -> None:
        self._settings = settings
        self._stack = stack

    def read(self, wanted: Collection[tuple[str, int, int]]) -> Mapping[tuple[str, int, int], ConsumerRecord]:
        """See `ReadsRecords.read`."""
        return self._records.read(wanted)

    @cached_property
    def _records(self) -> ReadsRecords:
        from streams.adapters.kafka.records_at import records_at

        return self._stack.enter_context(records_at(self._settings))

    @cached_property
    def publisher(self) -> PublisherPort:
        from streams.adapters.kafka.by_hand import publisher_by_hand

        publisher = publisher_by_hand(self._settings)
        self._stack.callback(publisher.close)
        return publisher

    @cached_property
    def transcripts(self) -> FindsTranscripts:
        from streams.adapters.object_store.from_settings import object_store_from
        from streams.wiring import transcript_store_from

        return transcript_store_from(self._settings, object_store_from(self._settings))


def handled_and_not_stored(settings: Settings) -> Mapping[str, DeadLetter]:
    """What was done about letters and does not stand in ClickHouse yet. Raises `RetryableError`."""
    from streams.adapters.kafka.records_at import not_yet_read

    found: dict[str, DeadLetter] = {}
    for record in not_yet_read(settings, "store", CALLS_DEAD_LETTERS.name):
        with suppress(InvalidMessageError):
            letter = CALLS_DEAD_LETTERS.read(record)
            if letter.handling is not None:
                found[letter.dead_letter_id] = letter
    return found
