"""Commands that publish, where no broker answers: each ends soon, names the address, and has left nothing behind."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from processors.clickhouse.rows import rows_for_dead_letter
from schemas.errors import InvalidMessageError, RetryableError
from schemas.messages.dead_letter import dead_letter_for
from schemas.messages.records import ConsumerRecord, ProducerRecord
from schemas.messages.topics import CALLS_RATED, CALLS_TRANSCRIBED
from streams.adapters.clickhouse.connection import connect
from streams.adapters.clickhouse.sink import ClickHouseSink
from streams.adapters.kafka.by_hand import PublisherByHand
from streams.adapters.kafka.client import apply_topics
from streams.adapters.object_store.from_settings import object_store_from
from streams.adapters.register.migrate import migrate_register
from streams.adapters.register.register import Register
from streams.demo.examples import example_recordings
from streams.embedded.ports import free_port
from streams.ports import SystemClock
from streams.runtime.crash_guard import Quarantine, Suspect
from streams.settings import load_settings
from streams.wiring import prepare_keys
from tests.streams.cli.terminal import Terminal
from tests.streams.runtime.published_rules import pack_text
from tests.support.brokers import running_broker
from tests.support.registers import entered

pytestmark = [pytest.mark.loopback, pytest.mark.processes]

VERDICTS = "call_id,answer,given_by,given_at\nc1,yes,qa_1,2026-03-05T09:12:00+08:00\n"
SUBSCRIPTIONS = """
subscriptions:
  - name: desk
    tenant: acme
    channel: {kafka: {topic: alerts.of.ours}}
"""
CALL_LIST = Path(__file__).parents[2] / "data" / "cdr" / "freeswitch.csv"
ENDS_WITHIN_S = 15


@pytest.fixture
def asked_briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a test need not wait as long as an operator does."""
    monkeypatch.setattr("streams.adapters.kafka.client.ASK_WITHIN_S", 1.0)


@pytest.fixture
def address(terminal: Terminal) -> str:
    """Where nobody listens."""
    address = f"127.0.0.1:{free_port()}"
    terminal.set(kafka_bootstrap=address)
    return address


def require_named(ended: Any, address: str) -> None:
    assert (ended.code, ended.out) == (4, "")
    said = ended.err.splitlines()[-1]
    assert said.startswith(f"callstream: no Kafka broker answers at {address}: _TRANSPORT; start it")
    assert "CALLSTREAM_KAFKA_BOOTSTRAP" in said


def test_a_command_ends_within_a_quarter_of_a_minute(terminal: Terminal, address: str) -> None:
    file = terminal.file("verdicts.csv", VERDICTS)
    began_s = time.monotonic()
    ended = terminal.run("verdicts", "import", file, "--tenant", "acme")
    assert time.monotonic() - began_s < ENDS_WITHIN_S
    require_named(ended, address)


@pytest.mark.parametrize(
    ("command", "files"),
    [
        pytest.param("rate c1 --tenant acme --score 4 --source sms", {}, id="rate"),
        pytest.param("rules publish desk.yaml --by qa", {"desk.yaml": pack_text()}, id="rules publish"),
        pytest.param("alerts test desk --file subscriptions.yaml", {"subscriptions.yaml": SUBSCRIPTIONS}, id="alerts"),
        pytest.param(
            "facts import agents.csv --tenant acme --entity agent --key id --as-of 2026-03-02",
            {"agents.csv": "id,team\nA1,night\n"},
            id="facts import",
        ),
        pytest.param(f"cdr import {CALL_LIST} --mapping freeswitch_csv --tenant acme", {}, id="cdr import"),
    ],
)
@pytest.mark.usefixtures("asked_briefly")
def test_each_command_names_the_address(terminal: Terminal, address: str, command: str, files: dict[str, str]) -> None:
    for name, text in files.items():
        terminal.file(name, text)
    require_named(terminal.run(*command.split()), address)


@pytest.mark.usefixtures("asked_briefly")
def test_a_record_stays_in_quarantine(terminal: Terminal, address: str) -> None:
    held = Quarantine.of_stage(load_settings().settings.data_dir, "listen")
    held.folder.mkdir(parents=True)
    suspect = Suspect("listen", "calls.ended.v1", 4, 17, "acme/c-1", 2, "given_up", SystemClock().now().isoformat())
    held.put(suspect)
    require_named(terminal.run("quarantine", "release", suspect.position), address)
    assert held.suspects() == {suspect.position: suspect}


@pytest.mark.embedded
@pytest.mark.parametrize("command", ["show", "retry", "retry --dry-run", "discard --reason corrected"])
@pytest.mark.usefixtures("asked_briefly")
def test_no_letter_is_said_to_be_handled(
    terminal: Terminal,
    address: str,
    new_database: Callable[[], str],
    command: str,
) -> None:
    url = new_database()
    terminal.set(clickhouse_url=url)
    register = Register.of(load_settings().settings)
    migrate_register(register)
    now = SystemClock().now()
    record = ConsumerRecord(CALLS_TRANSCRIBED.name, 0, 17, b"acme/c-1", b"{}", now)
    letter = dead_letter_for("judge", record, None, InvalidMessageError(["call: missing"]), now)
    client = connect(url)
    ClickHouseSink(client).write(rows_for_dead_letter(letter))
    client.close()
    require_named(terminal.run("dead-letters", *command.split(), letter.dead_letter_id), address)
    assert [result for _, result in entered(register)] == ["allowed"]


@pytest.mark.parametrize("command", ["check data --repair all", "custody prove --no-erase"])
@pytest.mark.embedded
@pytest.mark.usefixtures("asked_briefly")
def test_nothing_is_done_before_a_broker_answers(
    terminal: Terminal,
    address: str,
    new_database: Callable[[], str],
    command: str,
) -> None:
    terminal.set(clickhouse_url=new_database())
    settings = load_settings().settings
    register = Register.of(settings)
    migrate_register(register)
    prepare_keys(settings)
    object_store_from(settings).apply()
    before = files_in(settings.data_dir)
    require_named(terminal.run(*command.split()), address)
    assert files_in(settings.data_dir) == before
    assert entered(register) == []


@pytest.mark.parametrize("what", ["recording", "transcript"])
@pytest.mark.usefixtures("asked_briefly")
def test_nothing_of_a_call_is_stored_where_nobody_could_be_told_of_it(
    terminal: Terminal, address: str, what: str
) -> None:
    settings = load_settings().settings
    migrate_register(Register.of(settings))
    prepare_keys(settings)
    store = object_store_from(settings)
    store.apply()
    before = files_in(settings.data_dir)
    recording = example_recordings()[0]
    said = {"call": {"call_id": "t1"}, "utterances": [{"role": "customer", "text": "退款呢"}]}
    given = [recording] if what == "recording" else ["--transcript", terminal.file("a.json", json.dumps(said))]
    require_named(terminal.run("publish", *given, "--tenant", "acme"), address)
    assert files_in(settings.data_dir) == before


def files_in(folder: Path) -> list[str]:
    """Objects; the files of the register change by being asked."""
    return sorted(str(path) for path in folder.rglob("*") if path.is_file() and ".sqlite" not in path.name)


@pytest.mark.embedded
def test_what_was_published_before_the_broker_went_is_said(tmp_path: Path) -> None:
    with running_broker("tansu", tmp_path) as broker:
        settings = load_settings(broker.environment()).settings
        apply_topics(settings)
        publisher = PublisherByHand(settings, within_s=2)
        publisher.publish(ProducerRecord(CALLS_RATED.name, b"acme/c", b"{}") for _ in range(3))
    with pytest.raises(RetryableError) as error:
        publisher.publish([ProducerRecord(CALLS_RATED.name, b"acme/d", b"{}")] * 2)
    said = str(error.value)
    assert "did not take 2 of 2 message(s)" in said
    assert "3 message(s) before were published. Once the brokers answer, run the command again" in said
