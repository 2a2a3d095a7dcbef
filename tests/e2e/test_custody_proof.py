"""`callstream custody prove` on a running stack: it holds, also of what was erased, and it finds what somebody has left
lying in clear."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from schemas.messages.records import ProducerRecord
from schemas.messages.topics import TRANSCRIPTS_RECEIVED
from streams.adapters.clickhouse.connection import connect
from streams.adapters.kafka.client import Publisher
from streams.adapters.register.register import Register
from streams.adapters.register.tables import wrapping_keys
from streams.embedded.stack import Stack
from streams.proof.searching import Needles, search_register, search_tables, search_topics
from streams.settings import CONFIG_VARIABLE, variable_of
from tests.support.old_parts import remove_old_parts_at_once
from tests.support.stack import running_stack

AT = datetime(2026, 3, 2, tzinfo=UTC)
ROOT = Path(__file__).parents[2]


def proved(stack: Stack, calls: int, within_s: int = 600) -> tuple[int, dict[str, Any]]:
    """Exit code, and what the command found with so many calls."""
    stack.announce()
    env = os.environ | {variable_of("data_dir"): str(stack.settings.data_dir), "PYTHONPATH": str(ROOT)}
    env.pop(CONFIG_VARIABLE, None)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "streams.cli.main", "custody", "prove", "--json"),
            *("--calls", str(calls), "--customers", "1"),
        ],
        cwd=stack.settings.data_dir,
        env=env,
        capture_output=True,
        text=True,
        timeout=within_s,
        check=False,
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running_stack("tansu", tmp_path_factory.mktemp("custody")) as running:
        yield running


@pytest.fixture
def systems(tmp_path: Path) -> Iterator[Stack]:
    """What a stack keeps things in, and no worker."""
    with running_stack("tansu", tmp_path, stages=()) as running:
        yield running


@pytest.mark.embedded
@pytest.mark.model
@pytest.mark.long
def test_custody_holds_on_a_stack_that_runs_and_nothing_is_left_of_who_was_erased(stack: Stack) -> None:
    client = connect(stack.settings.clickhouse_url.get_secret_value())
    remove_old_parts_at_once(client)
    client.close()
    code, proof = proved(stack, 6)
    assert (code, proof["holds"]) == (0, True), proof
    assert proof["outcomes"] == {"analyzed": 6}
    assert proof["secrets"] >= 3 * 8
    assert all(place["mark_seen"] and not place["found"] for place in proof["searched"])
    assert {place["place"] for place in proof["searched"]} == {"files", "topics", "tables", "register"}
    assert proof["mutations"]["tried"] > 500
    assert proof["day_keys_wrapped_anew"] > 0
    assert (proof["actions"]["across_tenants"], proof["actions"]["under_hold"]) == (0, 0)
    assert proof["actions"]["kept_by_a_hold"] > 0
    erasure = proof["erasure"]
    # A recording and a call that was told.
    assert (erasure["calls"], erasure["destroyed"], erasure["refused"]) == (2, 2, 2)
    assert erasure["judged_again"] == erasure["judged_before"] - 2
    assert [step["after"] for step in erasure["steps"]] == [
        *("before", "erased", "replayed", "delivered again", "restored")
    ]
    before, *later = (step["found"] for step in erasure["steps"])
    assert before == sum(erasure["needles"].values()) >= 14
    assert later == [0, 0, 0, 0]


@pytest.mark.embedded
def test_what_lies_packed_in_a_topic_or_a_table_is_found(systems: Stack) -> None:
    """Kafka's batches and ClickHouse's columns are compressed: in their files nobody would find it."""
    number = b"13912340000"
    needles = Needles({"a phone number": [number]})
    publisher = Publisher(systems.settings)
    publisher.publish([ProducerRecord(TRANSCRIPTS_RECEIVED.name, b"acme/c1", b"{" + number * 400 + b"}")])
    publisher.close()
    client = connect(systems.settings.clickhouse_url.get_secret_value())
    client.command("CREATE TABLE notes (text String) ENGINE = MergeTree ORDER BY ()")
    client.command("INSERT INTO notes SELECT {text:String} FROM numbers(1000)", parameters={"text": number.decode()})
    client.close()
    with Register.of(systems.settings).transaction() as tx:
        tx.execute(
            wrapping_keys.insert().values(purpose="audio", version=number.decode(), state="retired", prepared_at=AT)
        )
    nobody: frozenset[str] = frozenset()
    topics = search_topics(systems.settings, [TRANSCRIPTS_RECEIVED.name], needles, nobody)
    assert set(topics.where) == {TRANSCRIPTS_RECEIVED.name}
    assert "callstream.notes" in search_tables(systems.settings, needles, nobody).where
    register = search_register(Register.of(systems.settings), needles, nobody)
    assert set(register.where) == {"register.wrapping_keys"}
