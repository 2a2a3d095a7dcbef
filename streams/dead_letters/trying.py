"""Refused messages, processed in memory by the code and the rules of today. Nothing is written anywhere.

A message that is published again is read by all who read its topic. Tried is what becomes of its call: it is heard or
masked where its topic asks for that, and judged.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from schemas.errors import EndedTheWorkerError, InvalidMessageError, OperatorError, RetryableError
from schemas.messages.alert import Alert
from schemas.messages.call_analysis import CallAnalysis
from schemas.messages.dead_letter import DeadLetter
from schemas.messages.records import ConsumerRecord, ProducerRecord
from schemas.messages.topics import (
    ALERTS_RAISED,
    CALLS_ANALYZED,
    CALLS_DEAD_LETTERS,
    CALLS_REANALYZED,
    RULES_PUBLISHED,
)
from streams.ports import Clock, Rows
from streams.settings import Settings
from streams.topology import worker_stage

if TYPE_CHECKING:
    from streams.runtime.stage import Stage

StageWork = Callable[[Sequence[ConsumerRecord]], Sequence[ProducerRecord]]

ENDED_A_WORKER = "ended_a_worker"
"""What ended a worker again and again is not tried in this process."""

TRIED_STAGES = ("listen", "receive", "judge")
"""Those that decide what becomes of a call; whatever topic they read."""


@dataclass(frozen=True)
class Trial:
    """What came of a message. `refused` are `step: class` of the letters that it would become."""

    analyses: tuple[CallAnalysis, ...] = ()
    alerts: tuple[Alert, ...] = ()
    refused: tuple[str, ...] = ()
    untried: str = ""
    """Why it was not tried; empty where it was."""


class Trying:
    """`works` is stage → how it is made ready, which happens once, when the first message asks for it."""

    def __init__(self, works: Mapping[str, Callable[[], StageWork]], store: StageWork, clock: Clock) -> None:
        self._works = works
        self._ready: dict[str, StageWork] = {}
        self._store = store
        self._clock = clock
        self._stage_of = {
            read.topic.name: stage for stage in works for read in worker_stage(stage).reads if not read.whole
        }

    def __call__(self, letter: DeadLetter, record: ConsumerRecord) -> Trial:
        """Raises `RetryableError` and `OperatorError` where something outside does not answer."""
        if letter.exception_class == EndedTheWorkerError.__name__:
            return Trial(untried=ENDED_A_WORKER)
        analyses: list[CallAnalysis] = []
        alerts: list[Alert] = []
        refused: list[str] = []
        waiting = [record]
        while waiting:
            each = waiting.pop()
            try:
                outputs = self._outputs_of(each)
            except (RetryableError, OperatorError):
                raise
            except Exception as error:
                return Trial(untried=f"would_end_the_worker: {type(error).__name__}")
            for output in outputs:
                produced = ConsumerRecord(output.topic, 0, 0, output.key, output.value, self._clock.now())
                if output.topic == CALLS_DEAD_LETTERS.name:
                    again = CALLS_DEAD_LETTERS.read(produced)
                    refused.append(f"{again.step}: {again.exception_class}")
                elif output.topic in (CALLS_ANALYZED.name, CALLS_REANALYZED.name):
                    analyses.append(CALLS_ANALYZED.read(produced))
                elif output.topic == ALERTS_RAISED.name:
                    alerts.append(ALERTS_RAISED.read(produced))
                else:
                    waiting.append(produced)
        return Trial(tuple(analyses), tuple(alerts), tuple(refused))

    def _outputs_of(self, record: ConsumerRecord) -> Sequence[ProducerRecord]:
        if record.topic in (CALLS_ANALYZED.name, CALLS_REANALYZED.name):
            try:
                return (CALLS_ANALYZED.record(CALLS_ANALYZED.read(record)),)
            except InvalidMessageError:
                return self._store((record,))
        stage = self._stage_of.get(record.topic)
        if stage is None:
            return self._store((record,))
        if stage not in self._ready:
            self._ready[stage] = self._works[stage]()
        return self._ready[stage]((record,))


class _NoRows:
    """A sink that takes everything and keeps nothing."""

    def write(self, rows: Rows) -> None:
        """See `Sink.write`."""


@contextmanager
def trying(settings: Settings, clock: Clock) -> Iterator[Trying]:
    """With these settings; models are loaded, and the rules in force read, only where a message asks for them."""
    from streams.stages.store import Store

    with ExitStack() as stack:
        ready = _Ready(settings, clock, stack)
        works: dict[str, Callable[[], StageWork]] = {
            "listen": lambda: ready.listen,
            "receive": lambda: ready.receive,
            "judge": lambda: ready.judge,
        }
        yield Trying(works, lambda records: Store(_NoRows(), clock).batch_of(records).dead_letters, clock)


class _Ready:
    """Stages that save nothing."""

    def __init__(self, settings: Settings, clock: Clock, stack: ExitStack) -> None:
        self._settings = settings
        self._clock = clock
        self._stack = stack

    @cached_property
    def listen(self) -> StageWork:
        import time

        from streams.adapters.decoder.process import DecoderProcess
        from streams.analysis import build_emotion, build_engine, listen_settings
        from streams.stages.listen import listen_stage
        from streams.wiring import recording_store_from

        engine = build_engine(self._settings)
        decoder = self._stack.enter_context(DecoderProcess())
        return _saving_nothing(
            listen_stage(
                engine,
                recording_store_from(self._settings, self._store),
                self._transcripts,
                listen_settings(self._settings),
                self._clock,
                time.monotonic,
                build_emotion(self._settings, engine),
                decoder.decode,
                tombstones=self._tombstones,
            )
        )

    @cached_property
    def receive(self) -> StageWork:
        from streams.analysis import receive_settings
        from streams.stages.receive import receive_stage
        from streams.wiring import received_store_from

        return _saving_nothing(
            receive_stage(
                self._transcripts,
                received_store_from(self._settings, self._store),
                receive_settings(self._settings),
                self._clock,
                takes_clear=self._settings.clear_transcripts == "take",
                tombstones=self._tombstones,
            )
        )

    @cached_property
    def judge(self) -> StageWork:
        from processors.judging.pipeline import Judge
        from streams.adapters.clickhouse.history import ClickHouseHistory
        from streams.adapters.kafka.client import TopicReader
        from streams.analysis import judge_settings
        from streams.runtime.rule_signatures import read_public_keys
        from streams.runtime.rules_feed import decode_published, rules_in_force
        from streams.stages.judge import judge_stage

        keys = read_public_keys(self._settings.rules_public_keys)
        reader = TopicReader(self._settings, RULES_PUBLISHED.name)
        try:
            in_force = rules_in_force(self._settings, decode_published(reader.read_to_end(), keys))
        finally:
            reader.close()
        judge = Judge(judge_settings(self._settings), rulebooks=in_force.rulebooks)
        return _saving_nothing(
            judge_stage(
                lambda: judge,
                self._clock,
                ClickHouseHistory.of(self._settings),
                self._settings.alert_min_severity,
                self._tombstones,
            )
        )

    @cached_property
    def _store(self) -> Any:
        from streams.adapters.object_store.from_settings import object_store_from

        store = object_store_from(self._settings)
        store.check()
        return store

    @cached_property
    def _transcripts(self) -> Any:
        from streams.wiring import transcript_store_from

        return transcript_store_from(self._settings, self._store)

    @cached_property
    def _tombstones(self) -> Any:
        from streams.wiring import buried_calls

        return buried_calls(self._settings)


def _saving_nothing(stage: "Stage[Any, Any, Any]") -> StageWork:
    return replace(stage, save=lambda _loaded, _result: None).work
