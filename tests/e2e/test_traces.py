"""From taking in to the delivered alert: one trace, seen by a real receiver of OTLP, through real workers."""

from collections import Counter
from hashlib import sha256
from pathlib import Path

import pytest
import yaml
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.e2e.test_received import CALL, EXAMPLE, publish
from tests.support.alerts import SECRET
from tests.support.receiver import Receiver, running_receiver
from tests.support.stack import rows, running_stack, wait_until

pytestmark = pytest.mark.embedded

STAGES = ("receive", "judge", "store", "notify")


def spans_of(receiver: Receiver) -> list[tuple[str, str, str, str]]:
    """Name, trace, span and parent of every span that came in."""
    found = []
    for request in list(receiver.requests):
        told = ExportTraceServiceRequest.FromString(request.body)
        for resource in told.resource_spans:
            for scope in resource.scope_spans:
                for span in scope.spans:
                    ids = (span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex())
                    found.append((span.name, *ids))
    return found


def test_the_way_of_a_call_is_one_trace_down_to_its_alert(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running_receiver() as collector, running_receiver() as desk:
        webhook = {"url": desk.url(), "secrets": [SECRET], "allow_private": True}
        file = tmp_path / "subscriptions.yaml"
        subscription = {"name": "desk", "tenant": "*", "channel": {"webhook": webhook}}
        file.write_text(yaml.safe_dump({"subscriptions": [subscription]}), encoding="utf-8")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", collector.url("/v1/traces"))
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "200")
        settings = {"tracing": "otlp", "subscriptions_file": file}
        with running_stack("tansu", tmp_path / "stack", settings, stages=STAGES) as stack:
            log = stack.supervisor.log_file("notify")
            wait_until(stack, lambda: "notify desk reads" in log.read_text(), lambda: "the subscriber's lane")
            for name, text in stack.settings.environment().items():
                monkeypatch.setenv(name, text)
            publish(EXAMPLE)
            wanted = {"capture", "receive", "judge", "store", "notify"}
            wait_until(stack, lambda: {name for name, *_ in spans_of(collector)} >= wanted, lambda: "every span")
            wait_until(stack, lambda: bool(rows(stack, "SELECT * FROM alerts")), lambda: "the alert to be stored")
    spans = spans_of(collector)
    trace = sha256(f"callstream/example/{CALL}".encode()).hexdigest()[:32]
    assert {each for _, each, _, _ in spans} == {trace}
    assert max(Counter(span for _, _, span, _ in spans).values()) == 1, "an id is of one span"
    name_of = {span: name for name, _, span, _ in spans}
    before = {(name, name_of.get(parent, "")) for name, _, _, parent in spans}
    assert {("capture", ""), ("receive", "capture"), ("judge", "receive"), ("notify", "judge")} <= before
    assert ("store", "judge") in before
    assert len(desk.requests) >= 1
    bodies = b"".join(request.body for request in collector.requests)
    for said in ("王小明", "保本", "一三八零零一三八零零零"):
        assert said.encode() not in bodies
