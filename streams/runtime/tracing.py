"""One trace for each call, from taking in to the delivered alert: `traceparent` in Kafka headers, spans to OTLP.

The id of a trace is made from tenant and call id, so that whoever knows a call finds its trace, and nobody from outside
can lay spans into another's: a header of another trace is ignored. The header hands on which span comes before, as W3C
Trace Context has it (https://www.w3.org/TR/trace-context/), and is written whether or not spans are exported. Spans are
exported where the setting `tracing` says so, by OpenTelemetry's SDK (extra `tracing`) and its own variables `OTEL_…`.

A span says stage, topic, partition, offset, tenant and call, and the class of an error. Nothing that was said.
"""

import re
import secrets
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from importlib.metadata import version
from typing import Literal

from schemas.errors import OperatorError
from schemas.messages.records import ConsumerRecord, Headers, ProducerRecord, call_of_key

TracingMode = Literal["off", "otlp"]

HEADER = "traceparent"
_FORM = re.compile(rb"00-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-[0-9a-f]{2}")
_NO_SPAN = "0" * 16
END_WITHIN_MS = 2_000


class TracingNotInstalledError(OperatorError):
    """Traces are asked for, and the extra that exports them is not installed."""


@dataclass(frozen=True)
class Trace:
    """A place in the trace of a call: 32 and 16 hexadecimal digits. `span_id` is empty before the first span."""

    trace_id: str
    span_id: str = ""

    def header(self) -> tuple[str, bytes]:
        """As it is written beside a message."""
        return HEADER, f"00-{self.trace_id}-{self.span_id}-01".encode()


def trace_of_key(key: bytes | None) -> Trace | None:
    """Where the trace of the call of this key begins; None where the key is of no call."""
    if call_of_key(key) is None:
        return None
    return Trace(sha256(b"callstream/" + (key or b"")).hexdigest()[:32])


def trace_of(key: bytes | None, headers: Headers) -> Trace | None:
    """Where a message stands in the trace of its call: behind the span of its header, if that is of the same trace."""
    begin = trace_of_key(key)
    if begin is None:
        return None
    for name, value in headers:
        found = _FORM.fullmatch(value) if name == HEADER else None
        if found is not None and found["trace"].decode() == begin.trace_id and found["span"].decode() != _NO_SPAN:
            return replace(begin, span_id=found["span"].decode())
    return begin


class CallSpans:
    """What is being done for some messages; their outputs are marked with it."""

    def __init__(self, records: Sequence[ConsumerRecord]) -> None:
        self.places = [
            None if (trace := trace_of(record.key, record.headers)) is None else replace(trace, span_id=_new_span_id())
            for record in records
        ]
        """Of each record, where it has a call; several of one call have several spans."""
        self._of_call = {record.key: place for record, place in zip(records, self.places, strict=True)}

    def marked(self, outputs: Sequence[ProducerRecord]) -> tuple[ProducerRecord, ...]:
        """The outputs, those of the same calls with the header of this span."""
        return tuple(_marked(output, self._of_call.get(output.key)) for output in outputs)


def _new_span_id() -> str:
    return secrets.token_hex(8)


def _marked(output: ProducerRecord, place: Trace | None) -> ProducerRecord:
    if place is None or any(name == HEADER for name, _ in output.headers):
        return output
    return replace(output, headers=(*output.headers, place.header()))


@contextmanager
def working(stage: str, records: Sequence[ConsumerRecord]) -> Iterator[CallSpans]:
    """A span for each call among the records, as long as what is inside."""
    span, began_ns, error = CallSpans(records), time.time_ns(), ""
    try:
        yield span
    except BaseException as raised:
        error = type(raised).__name__
        raise
    finally:
        if _exporter is not None:
            for record, place in zip(records, span.places, strict=True):
                if place is not None:
                    before = trace_of(record.key, record.headers)
                    about = {
                        "messaging.system": "kafka",
                        "messaging.destination.name": record.topic,
                        "messaging.destination.partition.id": str(record.partition),
                        "messaging.kafka.offset": record.offset,
                        **_about(record.key, error),
                    }
                    _exporter.export(stage, place, before, began_ns, about)


def begun(stage: str, output: ProducerRecord, began_ns: int | None = None) -> ProducerRecord:
    """The first message of a call, marked with the first span of its trace. `began_ns`: when taking in began."""
    trace = trace_of_key(output.key)
    if trace is None:
        return output
    place = replace(trace, span_id=_new_span_id())
    if _exporter is not None:
        about = {"messaging.destination.name": output.topic, **_about(output.key)}
        _exporter.export(stage, place, trace, began_ns or time.time_ns(), about)
    return _marked(output, place)


def ended(stage: str, key: bytes, before: Trace | None, began_ns: int, about: Mapping[str, str | int]) -> None:
    """The last span of a trace: what was done outside, such as a delivery."""
    trace = trace_of_key(key)
    if _exporter is not None and trace is not None:
        place = replace(trace, span_id=_new_span_id())
        _exporter.export(stage, place, before or trace, began_ns, {**_about(key), **about})


def _about(key: bytes | None, error: str = "") -> dict[str, str | int]:
    call = call_of_key(key)
    named = {"callstream.tenant_id": call[0], "callstream.call_id": call[1]} if call else {}
    return {**named, **({"error.type": error} if error else {})}


class _Exporter:
    """Spans with the ids that stand in headers already, handed to OpenTelemetry's SDK."""

    def __init__(self, stage: str) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.id_generator import IdGenerator

        exporter = self
        self._place = Trace("")

        class Given(IdGenerator):
            """Ids that stand in headers already."""

            def generate_span_id(self) -> int:
                return int(exporter._place.span_id, 16)

            def generate_trace_id(self) -> int:
                return int(exporter._place.trace_id, 16)

        about = {"service.name": f"callstream-{stage or 'command'}", "service.version": version("callstream")}
        self._provider = TracerProvider(resource=Resource.create(about), id_generator=Given())
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("callstream")
        self._lock = threading.Lock()

    def export(
        self, name: str, place: Trace, before: Trace | None, began_ns: int, about: Mapping[str, str | int]
    ) -> None:
        """A span that has just ended. Never raises: what is traced matters more than its trace."""
        from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context
        from opentelemetry.trace.status import Status, StatusCode

        parent = None
        if before is not None and before.span_id:
            flags = TraceFlags(TraceFlags.SAMPLED)
            told = SpanContext(int(before.trace_id, 16), int(before.span_id, 16), is_remote=True, trace_flags=flags)
            parent = set_span_in_context(NonRecordingSpan(told))
        with self._lock:
            self._place = place
            span = self._tracer.start_span(name, context=parent, start_time=began_ns, attributes=dict(about))
        if "error.type" in about:
            span.set_status(Status(StatusCode.ERROR))
        span.end()

    def end(self) -> None:
        """What waits to be sent is sent, or given up."""
        self._provider.force_flush(END_WITHIN_MS)


_exporter: _Exporter | None = None


def configure_tracing(mode: TracingMode, stage: str = "") -> None:
    """Export spans of this process from now on, or none. Raises `TracingNotInstalledError`."""
    global _exporter
    if mode == "off":
        _exporter = None
        return
    try:
        _exporter = _Exporter(stage)
    except ImportError:
        raise TracingNotInstalledError(
            "tracing is otlp, and what exports traces is not installed: pip install 'callstream[tracing]', or leave "
            "the setting out"
        ) from None


def end_tracing() -> None:
    """Before the process ends without asking anybody."""
    if _exporter is not None:
        _exporter.end()
