"""`second_read`: judged calls are given to a second reader, beside the way of a call.

It reads judgements, asks, and publishes each judgement once more with what was found, or why the call was not read, on
the lane of calls that were judged again. `judge` never waits for it. What was judged again comes here, too, and gets
the findings that are known of the call; what this stage has published itself it passes over.
"""

import logging
from collections import Counter
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from processors.custody.ports import Tombstones
from processors.judging.call_context import CallContext
from processors.second_reading.joining import is_joined, with_reading, without_reading
from processors.second_reading.question import NotReadError, Question, question_about, wants_reading
from processors.second_reading.verification import SecondReading, verify
from schemas.config.prompt_pack import PromptPacks
from schemas.config.tenants import TenantDays
from schemas.errors import InvalidMessageError, RetryableError
from schemas.messages.call_analysis import CallAnalysis
from schemas.messages.records import ConsumerRecord, ProducerRecord
from schemas.messages.topics import CALLS_ANALYZED, CALLS_REANALYZED
from streams.adapters.clickhouse.stored_transcripts import ClickHouseTranscripts
from streams.adapters.kafka.client import BatchConsumer
from streams.adapters.register.register import Register
from streams.adapters.second_readers import second_reader
from streams.adapters.second_readers.answers import Answers
from streams.ports import Clock, ReaderBusyError, SecondReader, StoredTranscripts, TranscriptGoneError
from streams.runtime.buried import NO_TOMBSTONES
from streams.runtime.lanes import Lanes
from streams.runtime.loop import Loop
from streams.runtime.worker_context import WorkerContext
from streams.settings import Settings
from streams.topology import groups_of
from streams.wiring import NotPreparedError, buried_calls, require_migrations, require_register, require_topics

log = logging.getLogger(__name__)

SECOND_READ = "second_read"
ANSWERS_FILE = "answers.sqlite"

BUDGET_EXCEEDED = "budget_exceeded"
READER_BUSY = "reader_busy"
TRANSCRIPT_NOT_STORED = "transcript_not_stored"

STORED_WITHIN = timedelta(minutes=15)
"""So long after a judgement its transcript may be on its way into ClickHouse; then nobody waits for it any more."""
BUSY_ROUNDS = 40
"""So often in a row may the reader be too busy for a call, about 20 minutes; then the others go on without it."""
_WAIT_S = 1.0


@dataclass(frozen=True)
class ReadingPolicy:
    """Which calls are read, and how much it may cost."""

    every_call: bool = False
    most_calls: int = 0
    most_tokens: int = 0
    most_characters: int = 30_000
    parallel: int = 1

    @classmethod
    def of(cls, settings: Settings) -> "ReadingPolicy":
        """As the settings say."""
        return cls(
            every_call=settings.second_reader_calls == "all",
            most_calls=settings.second_reader_calls_per_day,
            most_tokens=settings.second_reader_tokens_per_day,
            most_characters=settings.second_reader_max_characters,
            parallel=settings.second_reader_parallel,
        )


def build(worker: WorkerContext) -> Loop:
    """Waits for Kafka and ClickHouse; raises `PromptPackError`, and `NotPreparedError` where no reader is named."""
    settings = worker.settings
    if settings.second_reader_url is None:
        raise NotPreparedError("CALLSTREAM_SECOND_READER_URL names no endpoint: see docs/second-reader.md")
    packs = PromptPacks.read(settings.second_reader_prompts_folder)
    worker.wait_for(lambda: require_topics(settings))
    worker.wait_for(lambda: require_migrations(settings))
    worker.wait_for(lambda: require_register(Register.of(settings)))
    stage = SecondRead(
        second_reader(settings, worker.stop, worker.clock),
        ClickHouseTranscripts(settings.clickhouse_url.get_secret_value()),
        worker.wait_for(lambda: Answers(worker.folder / ANSWERS_FILE)),
        packs,
        ReadingPolicy.of(settings),
        settings.days,
        worker.clock,
        buried_calls(settings),
    )
    live, history = (BatchConsumer(settings, group, topics) for group, topics in groups_of(SECOND_READ).items())
    return worker.loop_of_work(stage.work, Lanes(live, history), batch=settings.second_reader_parallel, wait_s=_WAIT_S)


@dataclass
class SecondRead:
    """Judgements in, judgements with a second reading out."""

    reader: SecondReader
    transcripts: StoredTranscripts
    answers: Answers
    packs: PromptPacks
    policy: ReadingPolicy
    days: TenantDays
    clock: Clock
    tombstones: Tombstones = NO_TOMBSTONES
    _busy: Counter[tuple[str, str]] = field(default_factory=Counter, init=False, repr=False)
    """Calls → how often in a row the reader was too busy for them."""
    _unread: dict[tuple[str, str], str] = field(default_factory=dict, init=False, repr=False)
    """Calls of the batch that is under way → why they are not read: nobody asks about them again while others wait."""
    _cleaned_on: date | None = field(default=None, init=False, repr=False)

    def work(self, records: Sequence[ConsumerRecord]) -> list[ProducerRecord]:
        """What to publish of a batch; nothing of calls that are not to be read.

        Raises `RetryableError` when an outside system must be asked again; what was answered by then is kept.
        """
        self._clean(self.clock.now())
        # Of one call the last judgement of the batch: the others are replaced anyway.
        wanted = {(one.tenant_id, one.call_id): one for one in map(_decoded, records) if one is not None}
        buried = self.tombstones.among(wanted.keys())
        analyses = [one for call, one in wanted.items() if call not in buried and self._is_wanted(one)]
        if not analyses:
            return []
        with ThreadPoolExecutor(min(self.policy.parallel, len(analyses))) as pool:
            futures = [pool.submit(self._joined, analysis) for analysis in analyses]
        # All have ended: the answers of those that went well are kept, also where one raises.
        results = [future.result() for future in futures]
        self._unread.clear()
        # Reading takes a while: of what was destroyed meanwhile nothing is said.
        joined = [result for result in results if result is not None]
        buried = self.tombstones.among({(one.tenant_id, one.call_id) for one in joined})
        told = [one for one in joined if (one.tenant_id, one.call_id) not in buried]
        self._forget(buried)
        return [record for one in told if (record := _record(one)) is not None]

    def _forget(self, calls: Collection[tuple[str, str]]) -> None:
        """What was answered about calls that were destroyed goes. Raises `RetryableError`."""
        for tenant_id, call_id in calls:
            self.answers.forget(tenant_id, [call_id])

    def _is_wanted(self, analysis: CallAnalysis) -> bool:
        if is_joined(analysis) or analysis.outcome != "analyzed":
            return False
        return (
            self.policy.every_call
            or wants_reading(analysis)
            or self.answers.was_read(analysis.tenant_id, analysis.call_id)
        )

    def _joined(self, analysis: CallAnalysis) -> CallAnalysis | None:
        """None where a newer transcript of the call exists."""
        call = (analysis.tenant_id, analysis.call_id)
        try:
            if call in self._unread:
                raise NotReadError(self._unread[call])
            transcript = self.transcripts.transcript_of(analysis)
            if transcript is None:
                if self.clock.now() - analysis.analyzed_at < STORED_WITHIN:
                    raise RetryableError("a transcript is not stored yet")
                raise NotReadError(TRANSCRIPT_NOT_STORED)
            pack = self.packs.of(analysis.tenant_id)
            question = question_about(CallContext(transcript), pack, self.policy.most_characters)
            reading = self._reading(question)
            result = with_reading(analysis, question, reading, self.reader.model, self.reader.source)
        except TranscriptGoneError:
            return None
        except ReaderBusyError:
            self._busy[call] += 1
            if self._busy[call] < BUSY_ROUNDS:
                raise
            result = without_reading(analysis, READER_BUSY)
        except NotReadError as error:
            self._unread[call] = error.reason
            result = without_reading(analysis, error.reason)
        self._busy.pop(call, None)
        return result

    def _reading(self, question: Question) -> SecondReading:
        """What is known, or what the reader answers. Raises as `SecondReader.ask`."""
        tenant_id, call_id = question.context.transcript.tenant_id, question.context.transcript.call_id
        place = (question.digest, f"{question.pack.name}+{question.pack.digest}", self.reader.model)
        now = self.clock.now()
        known = self.answers.known(*place)
        if known is None:
            known = verify(self._ask(question, tenant_id, self.days.day_of(now, tenant_id)), question)
            self.answers.keep(*place, known, now)
        self.answers.keep_call(tenant_id, call_id, now, question.digest)
        return known

    def _ask(self, question: Question, tenant_id: str, day: date) -> str:
        estimate = self.reader.estimate(question)
        policy = self.policy
        # Spent before it is asked: a worker that is killed meanwhile has rather spent too much than too little.
        if not self.answers.reserve(tenant_id, day, estimate, policy.most_calls, policy.most_tokens):
            raise NotReadError(BUDGET_EXCEEDED)
        try:
            answer = self.reader.ask(question)
        except RetryableError:
            self.answers.give_back(tenant_id, day, estimate)
            raise
        if answer.tokens is not None:
            self.answers.correct(tenant_id, day, answer.tokens - estimate)
        return answer.text

    def _clean(self, now: datetime) -> None:
        if self._cleaned_on != now.date():
            self.answers.forget_old(now)
            for calls in self.answers.calls():
                self._forget(self.tombstones.among(calls))
            self._cleaned_on = now.date()


def _decoded(record: ConsumerRecord) -> CallAnalysis | None:
    topic = CALLS_REANALYZED if record.topic == CALLS_REANALYZED.name else CALLS_ANALYZED
    try:
        return topic.read(record)
    except InvalidMessageError:
        # `store` reads the same topics and writes the dead letter.
        log.warning("%s: %s cannot be read", SECOND_READ, record.position)
        return None


def _record(analysis: CallAnalysis) -> ProducerRecord | None:
    try:
        return CALLS_REANALYZED.record(analysis)
    except InvalidMessageError:
        # The judgement stays as it was, without a second reading.
        log.warning("%s: %s/%s becomes too large", SECOND_READ, analysis.tenant_id, analysis.call_id)
        return None
