"""A whole running stack for tests: start it, publish example calls, wait until all are accounted for, read back."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

from clickhouse_connect.driver.exceptions import ClickHouseError

from schemas.errors import EmbeddedStackError, RetryableError
from schemas.messages.call_ended import CallEnded
from streams.adapters.clickhouse.connection import connect
from streams.adapters.decoder.process import DecoderProcess
from streams.adapters.kafka.client import Publisher
from streams.demo.examples import EXAMPLE_TENANT, example_recordings
from streams.embedded.stack import Broker, Stack, StackPlan
from streams.settings import load_settings, variable_of
from streams.stages.capture import read_facts
from streams.stages.take_in import take_in_file, take_in_from

LOG_LINES = 25
ASK_EVERY_S = 0.3


@contextmanager
def running_stack(
    broker: Broker, folder: Path, settings: Mapping[str, object] = MappingProxyType({}), **plan: Any
) -> Iterator[Stack]:
    """A stack whose files all lie in that folder; `plan` are further fields of `StackPlan`.

    Weights and Kafka's jars come from the user's cache. A child that does not start fails the test with its log.
    """
    mine = load_settings().settings
    # A test must not wait half a minute until a worker asks a killed ClickHouse again.
    own = {"cache_dir": mine.cache_dir, "maven_url": mine.maven_url, "data_dir": folder, "retry_max_wait_s": 2}
    base = load_settings({variable_of(name): str(value) for name, value in {**own, **settings}.items()}).settings
    with Stack(StackPlan(broker, folder, **plan), base) as stack:
        try:
            stack.start()
        except EmbeddedStackError as error:
            raise AssertionError(f"{error}\n{log_tails(stack)}") from error
        yield stack


def publish_examples(stack: Stack, names: Sequence[str], tenant_id: str = EXAMPLE_TENANT) -> list[CallEnded]:
    """Publish these example recordings (`s08`, or more of the file name), in this order; their events."""
    publisher = Publisher(stack.settings)
    published = []
    with DecoderProcess() as decoder:
        take_in = take_in_from(stack.settings, publisher, decoder.probe)
        for name in names:
            (path,) = (path for path in example_recordings() if path.name.startswith(name))
            facts = read_facts(path.with_suffix(".json")) | {"tenant_id": tenant_id}
            most = stack.settings.max_recording_bytes
            published.append(take_in_file(take_in, path, facts, most, source="publish").call)
    publisher.close()
    return published


def rows(stack: Stack, sql: str) -> list[dict[str, Any]]:
    """What ClickHouse answers, one dict per row. Raises `RetryableError` or `ClickHouseError` when it does not."""
    client = connect(stack.settings.clickhouse_url.get_secret_value())
    try:
        return list(client.query(sql).named_results())
    finally:
        client.close()


def wait_for_outcomes(
    stack: Stack, call_ids: Sequence[str], within_s: float = 120, tenant_id: str = EXAMPLE_TENANT
) -> dict[str, str]:
    """Call id → outcome, once each of these calls has a terminal one; meanwhile the stack is looked after."""
    found: dict[str, str] = {}

    def all_have_one() -> bool:
        for row in rows(stack, "SELECT tenant_id, call_id, outcome FROM outcomes WHERE outcome != 'pending'"):
            if row["tenant_id"] == tenant_id:
                found[row["call_id"]] = row["outcome"]
        return found.keys() >= set(call_ids)

    wait_until(stack, all_have_one, lambda: f"{call_ids} to have outcomes; so far {found}", within_s)
    return {call_id: found[call_id] for call_id in call_ids}


def wait_until(stack: Stack, comes_true: Callable[[], bool], awaited: Callable[[], str], within_s: float = 120) -> None:
    """Look after the stack until it comes true; fails with what was awaited and the ends of the logs.

    A ClickHouse or Kafka that does not answer is a no.
    """
    deadline_s = time.monotonic() + within_s
    while True:
        try:
            stack.check()
        except EmbeddedStackError as error:
            raise AssertionError(f"{error}\n{log_tails(stack)}") from error
        try:
            if comes_true():
                return
        except (RetryableError, ClickHouseError):
            pass
        if time.monotonic() > deadline_s:
            raise AssertionError(f"waited {within_s:g} s for {awaited()}\n{log_tails(stack)}")
        time.sleep(ASK_EVERY_S)


def log_tails(stack: Stack) -> str:
    """The last lines of every child's log."""
    tails = []
    for path in sorted((stack.settings.data_dir / "logs").glob("*.log")):
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        tails.append("\n".join([f"--- {path.name}", *lines[-LOG_LINES:]]))
    return "\n".join(tails)
