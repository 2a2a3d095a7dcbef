"""A whole stack as Prometheus sees it: every metric of the list and no other, right numbers, a broker that is away."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from streams.embedded.stack import Stack
from streams.embedded.worker_care import TARGETS_FILE
from streams.runtime.heartbeat import conditions
from streams.runtime.metrics import METRICS, PREFIX
from tests.support.stack import publish_examples, running_stack, wait_for_outcomes, wait_until

pytestmark = pytest.mark.embedded

STAGES = ("serve", "listen", "judge", "store", "observe")
EAR = {"speech_engine": "stand-in", "stand_in_ear": True, "emotion": False, "observe_every_s": 1}

Sample = tuple[str, str, Mapping[str, str], float]
"""Worker, name, labels and value."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running_stack("tansu", tmp_path_factory.mktemp("stack"), EAR, stages=STAGES, metrics=True) as running:
        yield running


def targets(stack: Stack) -> dict[str, str]:
    """Worker → where it tells its metrics, as Prometheus reads it; empty while there is no such file."""
    file = stack.settings.data_dir / TARGETS_FILE
    if not file.exists():
        return {}
    return {one["labels"]["worker"]: one["targets"][0] for one in json.loads(file.read_text(encoding="utf-8"))}


def get(address: str, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def samples(stack: Stack) -> list[Sample]:
    return [
        (worker, sample.name, sample.labels, sample.value)
        for worker, address in targets(stack).items()
        for family in text_string_to_metric_families(get(address, "/metrics")[1])
        for sample in family.samples
        if sample.name.startswith(PREFIX)
    ]


def value(stack: Stack, name: str, **labels: str) -> float | None:
    """The sum over the workers of what has this name and these labels; None where nobody exports it."""
    found = [v for _, n, has, v in samples(stack) if n == name and labels.items() <= has.items()]
    return sum(found) if found else None


def test_a_call_is_seen_on_its_way_and_nothing_of_it_is_told(stack: Stack) -> None:
    wait_until(stack, lambda: set(targets(stack)) == set(STAGES), lambda: f"targets; so far {targets(stack)}")
    wait_until(stack, lambda: value(stack, "callstream_ready") == len(STAGES), lambda: "all to be ready")
    calls = publish_examples(stack, ["s01", "s02", "s08"])
    wait_for_outcomes(stack, [call.call_id for call in calls])

    audio_s = sum((call.ended_at - call.started_at).total_seconds() for call in calls)
    wait_until(
        stack,
        lambda: (
            value(stack, "callstream_lag_audio_seconds", lane="live") == 0
            and value(stack, "callstream_lag_messages", group="store") == 0
        ),
        lambda: f"nothing to wait any more, of {audio_s} s of audio",
    )
    assert value(stack, "callstream_messages_total", stage="listen", topic="calls.ended.v1", result="done") == 3
    assert value(stack, "callstream_outcomes_total", outcome="analyzed") == 2
    assert value(stack, "callstream_outcomes_total", outcome="too_short") == 1
    assert value(stack, "callstream_outcomes_total", outcome="refused") == 0
    assert value(stack, "callstream_real_time_factor_count", engine="stand-in") == 2
    heard_s = value(stack, "callstream_heard_audio_seconds_total")
    assert heard_s is not None
    assert 0 < heard_s <= audio_s
    assert value(stack, "callstream_unaccounted_calls") == 0
    assert value(stack, "callstream_custody_queue", queue="intakes_to_announce") == 0

    told = samples(stack)
    values = {text for _, _, labels, _ in told for text in labels.values()}
    secret = {part for call in calls for part in (call.tenant_id, call.call_id, call.agent.id)}
    assert not {text for text in values for part in secret if part in text}


def test_every_metric_of_the_list_is_exported_and_no_other(stack: Stack) -> None:
    wait_until(stack, lambda: set(targets(stack)) == set(STAGES), lambda: "targets")
    pages = {worker: get(address, "/metrics")[1] for worker, address in targets(stack).items()}
    for worker, page in pages.items():
        lines = page.splitlines()
        declared = {line.split()[2] for line in lines if line.startswith(f"# TYPE {PREFIX}")}
        assert declared == {metric.name for metric in METRICS if metric.is_exported_by(worker)}
    exported = {line.split()[2] for page in pages.values() for line in page.splitlines() if line.startswith("# TYPE ")}
    assert {metric.name for metric in METRICS} <= exported
    with_values = {name for _, name, _, _ in samples(stack)}
    for metric in METRICS:
        if metric.kind == "gauge":
            assert metric.name in with_values, metric.name


def test_a_broker_that_is_away_makes_workers_not_ready_and_ends_none(stack: Stack, tmp_path: Path) -> None:  # noqa: ARG001
    wait_until(stack, lambda: set(targets(stack)) == set(STAGES), lambda: "targets")
    before = {one.stage: one.pid for one in conditions(stack.settings.data_dir)}
    stack.supervisor.stop_child("tansu")

    def all_say_so() -> bool:
        answers = [get(address, "/readyz") for address in targets(stack).values()]
        return all(status == 503 and "kafka: " in text for status, text in answers)

    wait_until(stack, all_say_so, lambda: "workers to say that Kafka is away")
    for address in targets(stack).values():
        assert get(address, "/livez") == (200, "ok\n")
        assert "clickhouse" not in get(address, "/readyz")[1]
    assert value(stack, "callstream_ready") == 0
    assert value(stack, "callstream_dependency_ready", system="kafka") == 0
    assert value(stack, "callstream_dependency_ready", system="clickhouse", stage="judge") == 1

    def is_told_no_more() -> bool:
        return value(stack, "callstream_lag_messages") is None and value(stack, "callstream_lag_audio_seconds") is None

    wait_until(stack, is_told_no_more, lambda: "no lag to be told while nobody knows it")
    assert value(stack, "callstream_outbox_entries") is not None, "the register tells on"
    wait_until(
        stack,
        lambda: all("kafka" in one.away for one in conditions(stack.settings.data_dir)),
        lambda: "status to know it, too",
    )
    assert {one.stage: one.pid for one in conditions(stack.settings.data_dir)} == before
