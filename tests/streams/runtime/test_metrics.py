"""What a worker exports: the closed list, labels with few values, and numbers that are right."""

import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

import streams.adapters
from schemas.errors import InvalidMessageError, RetryableError
from schemas.messages.dead_letter import dead_letter_for
from schemas.messages.records import ConsumerRecord
from schemas.messages.topics import CALLS_DEAD_LETTERS, CALLS_ENDED
from streams.adapters.object_store.folder import FolderStore
from streams.ports import ForeignUriError
from streams.runtime.metrics import (
    EVERY_WORKER,
    MEASURED_BY,
    METRICS,
    MOST_VALUES,
    OTHER,
    PREFIX,
    Metric,
    WorkerMetrics,
)
from streams.runtime.system_of_error import SYSTEMS, system_of
from streams.topology import WORKER_NAMES
from tests.processors.transcripts import NOW

NEVER_A_LABEL = ("call", "agent", "customer", "tenant", "user", "text")

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def samples_of(metrics: WorkerMetrics) -> Samples:
    """Name and labels → value, of ours."""
    text, _ = metrics.text()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
        if sample.name.startswith(PREFIX)
    }


def record(offset: int = 7, topic: str = CALLS_ENDED.name) -> ConsumerRecord:
    return ConsumerRecord(topic, 3, offset, b"acme/c1", b"")


class TestTheList:
    @pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
    def test_names_units_and_labels_are_as_prometheus_wants_them(self, metric: Metric) -> None:
        assert re.fullmatch(r"callstream_[a-z]+(_[a-z]+)*", metric.name)
        assert metric.name.endswith("_total") == (metric.kind == "counter")
        assert metric.help
        assert not metric.help.endswith(".")
        assert not set(metric.labels) & set(NEVER_A_LABEL)
        assert set(metric.exported_by) <= {EVERY_WORKER, MEASURED_BY, *WORKER_NAMES}

    def test_each_name_stands_there_once(self) -> None:
        assert len({metric.name for metric in METRICS}) == len(METRICS)

    @pytest.mark.parametrize("stage", WORKER_NAMES)
    def test_a_worker_exports_what_the_list_says_and_nothing_else_of_ours(self, stage: str) -> None:
        text, content_type = WorkerMetrics(stage).text()
        declared = {line.split()[2] for line in text.decode().splitlines() if line.startswith("# TYPE callstream_")}
        assert declared == {metric.name for metric in METRICS if metric.is_exported_by(stage)}
        assert content_type.startswith("text/plain")


class TestNumbers:
    def test_messages_are_counted_by_what_became_of_them(self) -> None:
        metrics = WorkerMetrics("listen")
        refused = record(8)
        letter = dead_letter_for("listen", refused, None, InvalidMessageError(["audio: missing"]), NOW)
        metrics.worked([record(), refused], [CALLS_DEAD_LETTERS.record(letter)])
        metrics.retried([record(9)], RetryableError("the store does not answer"))

        found = samples_of(metrics)
        by_result = {
            dict(labels)["result"]: value
            for (name, labels), value in found.items()
            if name == "callstream_messages_total"
        }
        assert by_result == {"done": 1, "dead_letter": 1, "retried": 1}
        letters = (("error_class", "InvalidMessageError"), ("stage", "listen"))
        assert found["callstream_dead_letters_total", letters] == 1
        assert found["callstream_outcomes_total", (("outcome", "refused"),)] == 1

    def test_what_may_happen_stands_at_nought_before_it_does(self) -> None:
        found = samples_of(WorkerMetrics("judge"))
        assert found["callstream_alerts_total", (("state", "raised"),)] == 0
        assert found["callstream_outcomes_total", (("outcome", "bad_audio"),)] == 0

    def test_what_is_not_known_is_not_exported_rather_than_as_nought(self) -> None:
        metrics = WorkerMetrics("observe")
        assert not any(name == "callstream_outbox_entries" for name, _ in samples_of(metrics))
        metrics.measured("callstream_outbox_entries", [({}, 0)])
        assert samples_of(metrics)["callstream_outbox_entries", ()] == 0
        metrics.measured("callstream_outbox_entries", [])
        assert not any(name == "callstream_outbox_entries" for name, _ in samples_of(metrics))

    def test_a_step_that_raises_is_timed_like_any_other(self) -> None:
        metrics = WorkerMetrics("judge")
        with pytest.raises(ValueError, match="no"), metrics.timed("load"):
            raise ValueError("no")
        assert samples_of(metrics)["callstream_step_seconds_count", (("stage", "judge"), ("step", "load"))] == 1

    def test_a_stage_counts_nothing_that_is_not_its_own(self) -> None:
        metrics = WorkerMetrics("watch")
        metrics.heard("faster-whisper", 10, 0.1, ["repetition"])
        metrics.worked([record()], [])
        assert {name for name, _ in samples_of(metrics)} == {"callstream_up_info", "callstream_alerts_total"}


class TestLabelsAreFew:
    def test_whatever_comes_from_outside_makes_no_series_of_its_own(self) -> None:
        metrics = WorkerMetrics("listen")
        for number in range(5_000):
            metrics.worked([record(number, f"calls.ended.v1-{number}")], [])
            metrics.outcome(f"outcome {number}")
            metrics.heard(f"engine-{number}", 1, 0.1, [f"because of {number}"])
            metrics.models_loaded("\n# HELP injected", 1)
        found = samples_of(metrics)
        for label in {label for _, labels in found for label, _ in labels if label != "le"}:
            values = {dict(labels)[label] for _, labels in found if label in dict(labels)}
            assert len(values) <= MOST_VALUES + 1, label
        assert not any("injected" in value for _, labels in found for _, value in labels)
        topics = {dict(labels)["topic"] for _, labels in found if "topic" in dict(labels)}
        assert topics == {OTHER}
        counted = [value for (name, _), value in found.items() if name == "callstream_messages_total"]
        assert sum(counted) == 5_000, "none is left out"


class TestTheSystemOfAnError:
    def test_is_the_adapter_that_raised_it(self, tmp_path: Path) -> None:
        with pytest.raises(ForeignUriError) as caught:
            FolderStore(tmp_path, "bucket").key_of("nowhere")
        assert system_of(caught.value) == "object_store"

    def test_is_other_where_no_adapter_did(self) -> None:
        with pytest.raises(RetryableError) as caught:
            raise RetryableError("a disk")
        assert system_of(caught.value) == OTHER

    def test_are_folders_of_the_adapters(self) -> None:
        folders = {path.parent.name for path in Path(streams.adapters.__path__[0]).glob("*/__init__.py")}
        assert folders >= SYSTEMS
