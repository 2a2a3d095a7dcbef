"""The metrics of the workers: one closed list, with labels whose values are few.

`callstream metrics` prints the list. Whoever counts something calls a method of `WorkerMetrics`; no other file makes a
metric. Never a label: a call, an agent, a customer, a tenant, and nothing that anybody said or wrote.
"""

import re
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from typing import Literal, get_args

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.registry import Collector

from schemas.errors import InvalidMessageError
from schemas.messages.alert_delivery import DeliveryOutcome
from schemas.messages.dead_letter import DeadLetter
from schemas.messages.outcome import OUTCOMES
from schemas.messages.records import ConsumerRecord, ProducerRecord
from schemas.messages.topics import CALLS_DEAD_LETTERS, CALLS_TRANSCRIBED, LANE_OF, LANES, TOPICS, TRANSCRIPTS_RECEIVED
from streams.runtime.system_of_error import SYSTEMS, system_of

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each, which nobody asks for

RELEASE = version("callstream")
PREFIX = "callstream_"

Kind = Literal["counter", "gauge", "histogram"]
MessageResult = Literal["done", "dead_letter", "retried"]
TimedStep = Literal["poll", "load", "step", "save", "work", "publish", "commit"]
RejectedReason = Literal["no_speech", "repetition", "known_phantom", "low_confidence"]
ALERT_STATES: tuple[str, ...] = ("raised", *get_args(DeliveryOutcome))

EVERY_WORKER = "every worker"
MEASURED_BY = "observe"
"""The worker that measures what no single worker knows, also when no worker of a stage runs."""

OTHER = "other"
"""In place of a value that is not expected, and of every further one of a label that has had enough of them."""
MOST_VALUES = 100
"""So many values of a label does a process export: a list of subscriptions fits, and what grows with calls does not."""

_VALUE = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _.:+-]{0,127}")

SHORT_S = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3_600)
FACTORS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10)


@dataclass(frozen=True)
class Metric:
    """One metric. `exported_by`: stages, or `EVERY_WORKER`."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    help: str
    unit: str
    exported_by: tuple[str, ...]
    buckets: tuple[float, ...] = SHORT_S

    def is_exported_by(self, stage: str) -> bool:
        """Whether a worker of that stage has it."""
        return EVERY_WORKER in self.exported_by or stage in self.exported_by


_READS_TOPICS = ("listen", "receive", "judge", "second_read", "keep", "store")
_EVERY = (EVERY_WORKER,)
_OBSERVE = (MEASURED_BY,)

METRICS: tuple[Metric, ...] = (
    Metric("callstream_up_info", "gauge", ("stage", "version"), "1: a worker of this release runs", "", _EVERY),
    Metric(
        "callstream_ready",
        "gauge",
        ("stage",),
        "1: it has started, and every system that it asks answers; else 0",
        "",
        _EVERY,
    ),
    Metric(
        "callstream_dependency_ready",
        "gauge",
        ("stage", "system"),
        "1: this system answered when it was last asked; else 0",
        "",
        _EVERY,
    ),
    Metric(
        "callstream_loop_moved_timestamp_seconds",
        "gauge",
        ("stage", "loop"),
        "when this loop of the worker last came round",
        "Unix time",
        _EVERY,
    ),
    Metric(
        "callstream_loop_due_timestamp_seconds",
        "gauge",
        ("stage", "loop"),
        "by when this loop must come round; past that it hangs, and the worker ends itself. A call under way has ten "
        "times its length",
        "Unix time",
        _EVERY,
    ),
    Metric(
        "callstream_retries_total",
        "counter",
        ("stage", "system"),
        "attempts that ended because this system did not answer; each is made again",
        "attempts",
        _EVERY,
    ),
    Metric(
        "callstream_messages_total",
        "counter",
        ("stage", "topic", "result"),
        "messages read, by what became of them: done, dead_letter, or retried (read again later)",
        "messages",
        _READS_TOPICS,
    ),
    Metric(
        "callstream_dead_letters_total",
        "counter",
        ("stage", "error_class"),
        "dead letters written, by the class of the error",
        "dead letters",
        _READS_TOPICS,
    ),
    Metric(
        "callstream_step_seconds",
        "histogram",
        ("stage", "step"),
        "how long a step took: load, step and save of a message, work of a batch, publish and commit",
        "seconds",
        _READS_TOPICS,
    ),
    Metric(
        "callstream_outcomes_total",
        "counter",
        ("outcome",),
        "calls that got this outcome; a call that comes again counts again (exact: the view outcomes of ClickHouse)",
        "calls",
        ("listen", "receive", "judge"),
    ),
    Metric(
        "callstream_real_time_factor",
        "histogram",
        ("engine",),
        "time to hear a call over its length; below 1 a worker keeps up with one telephone",
        "ratio",
        ("listen",),
        buckets=FACTORS,
    ),
    Metric("callstream_heard_audio_seconds_total", "counter", ("engine",), "audio heard", "seconds", ("listen",)),
    Metric(
        "callstream_rejected_text_total",
        "counter",
        ("reason",),
        "pieces of text that the recogniser wrote and that are not believed",
        "pieces",
        ("listen",),
    ),
    Metric(
        "callstream_model_memory_bytes",
        "gauge",
        ("engine",),
        "by how much the memory of the process grew while its models were loaded; memory of a GPU is not in it",
        "bytes",
        ("listen",),
    ),
    Metric(
        "callstream_alerts_total",
        "counter",
        ("state",),
        "alerts raised, and attempts to deliver them to a subscription, by how each ended",
        "alerts",
        ("judge", "watch", "reconcile", "notify"),
    ),
    Metric(
        "callstream_http_requests_total",
        "counter",
        ("stage", "status"),
        "requests answered, by the class of the status: 4xx are those that were refused",
        "requests",
        ("serve", "play"),
    ),
    Metric(
        "callstream_lag_messages",
        "gauge",
        ("stage", "group", "topic"),
        "messages of the topic that the consumer group has not finished",
        "messages",
        _OBSERVE,
    ),
    Metric(
        "callstream_lag_audio_seconds",
        "gauge",
        ("lane",),
        "audio of the calls that wait for listen or are being heard, by what their events say; to scale by",
        "seconds",
        _OBSERVE,
    ),
    Metric(
        "callstream_oldest_unfinished_age_seconds",
        "gauge",
        ("stage", "topic"),
        "how long the oldest message waits that the stage has not finished; 0: none does",
        "seconds",
        _OBSERVE,
    ),
    Metric(
        "callstream_stage_paused",
        "gauge",
        ("stage",),
        "1: somebody has paused or drained the whole stage; else 0",
        "",
        _OBSERVE,
    ),
    Metric(
        "callstream_paused_tenants",
        "gauge",
        ("stage",),
        "tenants for whom somebody has paused the stage while it works for others",
        "tenants",
        _OBSERVE,
    ),
    Metric(
        "callstream_unaccounted_calls",
        "gauge",
        (),
        "calls without outcome for longer than processing_objective_s, of the last status_days",
        "calls",
        _OBSERVE,
    ),
    Metric(
        "callstream_oldest_unaccounted_age_seconds",
        "gauge",
        (),
        "how long the oldest of them waits; 0: there is none",
        "seconds",
        _OBSERVE,
    ),
    Metric(
        "callstream_custody_queue",
        "gauge",
        ("queue",),
        "what custody has to do and has not done yet",
        "entries",
        _OBSERVE,
    ),
    Metric(
        "callstream_outbox_entries",
        "gauge",
        (),
        "events in the outbox of the register that relay has not published",
        "events",
        _OBSERVE,
    ),
    Metric(
        "callstream_outbox_oldest_age_seconds",
        "gauge",
        (),
        "how long the oldest of them waits; 0: there is none",
        "seconds",
        _OBSERVE,
    ),
    Metric(
        "callstream_observed_timestamp_seconds",
        "gauge",
        ("system",),
        "when this system last told what is measured of it; what it did not tell is not exported",
        "Unix time",
        _OBSERVE,
    ),
)
"""In the order of `callstream metrics`. Those of the Python process (`process_*`) come beside them."""

_CLOSED: Mapping[str, Collection[str]] = {
    "topic": frozenset(topic.name for topic in TOPICS),
    "result": frozenset(get_args(MessageResult)),
    "step": frozenset(get_args(TimedStep)),
    "outcome": frozenset(OUTCOMES),
    "state": frozenset(ALERT_STATES),
    "lane": frozenset(LANES),
    "reason": frozenset(get_args(RejectedReason)),
    "system": SYSTEMS,
    "status": frozenset(("1xx", "2xx", "3xx", "4xx", "5xx")),
}
"""Label → the only values that it has, beside `OTHER`. The others have at most `MOST_VALUES` in a process."""

_FROM_THE_START: Mapping[str, tuple[str, Collection[str]]] = {
    "callstream_outcomes_total": ("outcome", OUTCOMES),
    "callstream_rejected_text_total": ("reason", get_args(RejectedReason)),
    "callstream_alerts_total": ("state", ALERT_STATES),
}
"""Metrics with one label whose values stand at 0 before the first event, so that their rates are right from there."""

_CALLS_BEGIN_IN = frozenset((*LANE_OF, TRANSCRIPTS_RECEIVED.name, CALLS_TRANSCRIBED.name))
"""A call whose message of one of these is refused ends with that."""


def values_of_label(label: str) -> Collection[str]:
    """The only values that it has, beside `OTHER`; none where any are possible."""
    return _CLOSED.get(label, ())


class _Gauges(Collector):
    """The gauges of a process: what is not set is not exported, rather than as 0."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self.metrics = tuple(metrics)
        self._values: dict[str, dict[tuple[str, ...], float]] = {metric.name: {} for metric in self.metrics}

    def set(self, name: str, labels: tuple[str, ...], value: float) -> None:
        self._values[name] = {**self._values[name], labels: value}

    def replace(self, name: str, values: Mapping[tuple[str, ...], float]) -> None:
        self._values[name] = dict(values)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        for metric in self.metrics:
            family = GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
            for labels, value in self._values[metric.name].items():
                family.add_metric(labels, value)
            yield family


class WorkerMetrics:
    """What one worker process exports. Every method may be called from any thread, and none raises.

    A method does nothing where the stage does not export its metric, so that shared code need not ask.
    """

    def __init__(self, stage: str) -> None:
        self.stage = stage
        self._registry = CollectorRegistry()
        mine = [metric for metric in METRICS if metric.is_exported_by(stage)]
        self._gauges = _Gauges(metric for metric in mine if metric.kind == "gauge")
        self._labels = {metric.name: metric.labels for metric in mine}
        self._counters: dict[str, Counter] = {}
        self._histograms: dict[str, Histogram] = {}
        for metric in mine:
            if metric.kind == "counter":
                self._counters[metric.name] = Counter(metric.name, metric.help, metric.labels, registry=self._registry)
            elif metric.kind == "histogram":
                self._histograms[metric.name] = Histogram(
                    metric.name, metric.help, metric.labels, registry=self._registry, buckets=metric.buckets
                )
        self._registry.register(self._gauges)
        ProcessCollector(registry=self._registry)
        self._seen: dict[str, set[str]] = {}
        self._before_scrape: list[Callable[[], None]] = []
        self._lock = threading.RLock()
        for name, (label, values) in _FROM_THE_START.items():
            if name in self._counters:
                for value in values:
                    self._counters[name].labels(**{label: value})
        self._set("callstream_up_info", 1, version=RELEASE)

    def worked(self, records: Sequence[ConsumerRecord], outputs: Sequence[ProducerRecord]) -> None:
        """These records are done; `outputs` were written for them. Counts messages and dead letters."""
        letters = _letters(outputs)
        for record in records:
            result = "dead_letter" if (record.topic, record.partition, record.offset) in letters else "done"
            self._add("callstream_messages_total", topic=record.topic, result=result)
        for letter in letters.values():
            self._add("callstream_dead_letters_total", error_class=letter.exception_class)
            if letter.source_topic in _CALLS_BEGIN_IN:
                self.outcome("refused")

    def retried(self, records: Sequence[ConsumerRecord], error: BaseException) -> None:
        """These are read again later, because an outside system did not answer."""
        for record in records:
            self._add("callstream_messages_total", topic=record.topic, result="retried")
        self.waited(error)

    def waited(self, error: BaseException) -> None:
        """An attempt ended because an outside system did not answer, and is made again."""
        self._add("callstream_retries_total", system=system_of(error))

    @contextmanager
    def timed(self, step: TimedStep) -> Iterator[None]:
        """How long what is inside takes; what raises counts, too."""
        began_s = time.monotonic()
        try:
            yield
        finally:
            self._observe("callstream_step_seconds", time.monotonic() - began_s, step=step)

    def outcome(self, outcome: str) -> None:
        """A call got it."""
        self._add("callstream_outcomes_total", outcome=outcome)

    def alerts(self, state: str, count: int = 1) -> None:
        """So many alerts were raised, or attempts to deliver them ended so: a value of `ALERT_STATES`."""
        self._add("callstream_alerts_total", count, state=state)

    def heard(self, engine: str, audio_s: float, real_time_factor: float | None, rejected: Iterable[str]) -> None:
        """A call was recognised; `rejected` are the reasons why pieces of text of it are not believed."""
        self._add("callstream_heard_audio_seconds_total", audio_s, engine=engine)
        if real_time_factor is not None:
            self._observe("callstream_real_time_factor", real_time_factor, engine=engine)
        for reason in rejected:
            self._add("callstream_rejected_text_total", reason=reason)

    def models_loaded(self, engine: str, grown_by_bytes: int) -> None:
        """The models of the engine are in memory, which has grown by so much."""
        self._set("callstream_model_memory_bytes", max(grown_by_bytes, 0), engine=engine)

    def answered(self, status_code: int) -> None:
        """An HTTP request was answered."""
        self._add("callstream_http_requests_total", status=f"{status_code // 100}xx")

    def systems(self, ready: Mapping[str, bool], *, is_ready: bool) -> None:
        """Which of the systems that the worker asks answer, and whether it is ready as a whole."""
        self.measured("callstream_dependency_ready", [({"system": each}, float(ok)) for each, ok in ready.items()])
        self._set("callstream_ready", float(is_ready))

    def measured(self, name: str, values: Iterable[tuple[Mapping[str, str], float]]) -> None:
        """All series of a gauge, by their labels beside `stage`: what is not among them is not exported any more."""
        if name in self._labels:
            self._gauges.replace(name, {self._values(name, labels): value for labels, value in values})

    def observed(self, system: str, now: datetime) -> None:
        """This system has told what is measured of it."""
        self._set("callstream_observed_timestamp_seconds", now.timestamp(), system=system)

    def before_scrape(self, bring_up_to_date: Callable[[], None]) -> None:
        """Called each time before the metrics are shown; it must be quick, and ask no outside system."""
        self._before_scrape.append(bring_up_to_date)

    def text(self, accept: str = "") -> tuple[bytes, str]:
        """All of it in the form that the header `Accept` asks for, and its content type."""
        encode, content_type = choose_encoder(accept)
        with self._lock:
            for bring_up_to_date in self._before_scrape:
                bring_up_to_date()
            return encode(self._registry), content_type

    def _add(self, name: str, amount: float = 1, **labels: str) -> None:
        if name in self._counters:
            self._counters[name].labels(*self._values(name, labels)).inc(amount)

    def _observe(self, name: str, value: float, **labels: str) -> None:
        if name in self._histograms:
            self._histograms[name].labels(*self._values(name, labels)).observe(value)

    def _set(self, name: str, value: float, **labels: str) -> None:
        if name in self._labels:
            with self._lock:
                self._gauges.set(name, self._values(name, labels), value)

    def _values(self, name: str, labels: Mapping[str, str]) -> tuple[str, ...]:
        given = {"stage": self.stage, **labels}
        return tuple(self._bounded(label, given[label]) for label in self._labels[name])

    def _bounded(self, label: str, value: str) -> str:
        if label in _CLOSED:
            return value if value in _CLOSED[label] else OTHER
        if not _VALUE.fullmatch(value):
            return OTHER
        with self._lock:
            seen = self._seen.setdefault(label, set())
            if value not in seen and len(seen) >= MOST_VALUES:
                return OTHER
            seen.add(value)
        return value


def _letters(outputs: Iterable[ProducerRecord]) -> dict[tuple[str, int, int], DeadLetter]:
    """The dead letters among them, by the position of what was refused."""
    letters: dict[tuple[str, int, int], DeadLetter] = {}
    for output in outputs:
        if output.topic == CALLS_DEAD_LETTERS.name:
            with suppress(InvalidMessageError):  # ours can be read
                letter = CALLS_DEAD_LETTERS.decode(output.value)
                letters[letter.source_topic, letter.source_partition, letter.source_offset] = letter
    return letters
