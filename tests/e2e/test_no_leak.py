"""What callers say, their numbers and their names stay out of every log, exception and file name of a running stack."""

import json
import logging
import os
import subprocess
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

import pytest

from processors.detectors.base.contract import Result
from processors.judging.call_context import CallContext
from processors.judging.pipeline import Judge, JudgeSettings
from schemas.errors import InvalidMessageError
from schemas.messages.records import ProducerRecord
from schemas.messages.topics import (
    AUDIT_CHECKPOINTS,
    CALLS_ANALYZED,
    CALLS_ENDED,
    CALLS_TRANSCRIBED,
    TOPICS,
    message_key,
)
from schemas.messages.transcript import Transcript
from streams.adapters.kafka.client import Publisher, lags
from streams.adapters.object_store.from_settings import object_store_from
from streams.demo.examples import EXAMPLE_TENANT
from streams.embedded.stack import Stack
from streams.settings import CONFIG_VARIABLE, PREFIX
from streams.topology import consumer_groups
from streams.wiring import transcript_store_from
from tests.processors.recordings import EXAMPLES, example_calls
from tests.processors.transcripts import said
from tests.support.shipped_rules import shipped_rules
from tests.support.stack import publish_examples, rows, running_stack, wait_for_outcomes, wait_until

SHORTEST_SECRET = 6
"""So many characters in a row of what was said are no coincidence in a log."""
SHORTEST_NUMBER = 8
"""Six digits in a row are one now and then: in microseconds, in check sums."""

CUSTOMER_NUMBER = "13912345678"
POISON_NUMBER = "13987654321"
POISON_WORDS = "司马相如的卡号是六二二五七六八九"
NAMES = ("欧阳锋霜", "慕容复燕", "独孤求败组", "端木赐与", "宇文成都队")
PII_CALL = "s07_finance_pii"
AS_DIGITS = str.maketrans("零一二三四五六七八九幺", "01234567891")
"""Recognisers write a number that is read out in digits or in characters."""


def windows(text: str) -> set[str]:
    """Every run of as many characters as no coincidence is: whatever longer piece leaks holds one of them."""
    pieces = {piece for piece in runs(text, SHORTEST_SECRET) if not piece.isdecimal()}
    return pieces | {piece for piece in runs(text, SHORTEST_NUMBER) if piece.isdecimal()}


def runs(text: str, length: int) -> set[str]:
    """Every run of so many characters."""
    return {text[start : start + length] for start in range(len(text) - length + 1)}


def forms(secret: str) -> set[str]:
    """The secret as it is, and as Python, JSON and URLs write it."""
    return {
        secret,
        json.dumps(secret)[1:-1],
        ascii(secret)[1:-1],
        repr(secret.encode())[2:-1],
        quote(secret),
    }


def leaks(text: str, secrets: Iterable[str]) -> set[str]:
    """The secrets that stand in the text in any form."""
    return {secret for secret in secrets if any(form in text for form in forms(secret))}


class TestTheScanner:
    @pytest.mark.parametrize(
        "line",
        [
            pytest.param("WARNING: could not read 我的卡号是六二二五七", id="as it is"),
            pytest.param(f"WARNING: {json.dumps({'text': '我的卡号是六二二五七'})}", id="in JSON"),
            pytest.param(f"WARNING: {'我的卡号是六二二五七'.encode()!r}", id="bytes"),
            pytest.param(f"GET /search?q={quote('我的卡号是六二二五七')}", id="a URL"),
            pytest.param("WARNING: 卡号是六二二", id="no more than six characters of it"),
        ],
    )
    def test_it_finds_what_was_planted(self, line: str) -> None:
        assert leaks(line, windows("您好,我的卡号是六二二五七。"))

    def test_it_finds_a_number(self) -> None:
        assert leaks("customer 13912345678 refused", windows(CUSTOMER_NUMBER))
        assert leaks("customer …12345678", windows(CUSTOMER_NUMBER))

    def test_it_is_quiet_where_nothing_leaks(self) -> None:
        line = "2026-11-22 13:37:13.580Z WARNING streams.runtime.stage: listen: calls.ended.v1/0/2 is a dead letter"
        assert leaks(line, windows("您好,我的卡号是六二二五七。") | windows(CUSTOMER_NUMBER) | set(NAMES)) == set()


def poison() -> dict[str, bytes]:
    """What can never be processed, full of what must not be repeated."""
    event: dict[str, Any] = json.loads(
        (
            Path(__file__).parents[1] / "examples" / "calls.ended.v1" / "bot_outbound_with_nothing_optional.json"
        ).read_text(encoding="utf-8")
    )
    text = json.dumps
    return {
        "unknown field": text(event | {f"电话{POISON_NUMBER}": f"{POISON_NUMBER} {POISON_WORDS}"}).encode(),
        "number as an id": text(event | {"call_id": f"{POISON_WORDS} {POISON_NUMBER}"}).encode(),
        "number as a time": text(event | {"ended_at": POISON_NUMBER}).encode(),
        "words as an agent": text(event | {"agent": {POISON_WORDS: POISON_NUMBER}}).encode(),
        "key of a map": text(event | {"crm": {POISON_WORDS: 7}}).encode(),
        "only words": POISON_WORDS.encode(),
        "words that break off": text(event | {"queue": POISON_WORDS}, ensure_ascii=False).encode()[:-30],
        "another encoding": text(event | {"queue": POISON_WORDS}, ensure_ascii=False).encode("gb18030"),
    }


@dataclass
class Flow:
    """A stack after calls and poison went through it, and every secret that was in them."""

    stack: Stack
    printed: list[str] = field(default_factory=list, repr=False)
    secrets: set[str] = field(default_factory=set, repr=False)

    def run(self, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
        """A command that finds this stack by its address file."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        address_file = self.stack.settings.data_dir / "stack.toml"
        return subprocess.run(
            [sys.executable, "-m", "streams.cli.main", *map(str, arguments)],
            env=environment | {CONFIG_VARIABLE: str(address_file), f"{PREFIX}LOG_LEVEL": "DEBUG"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def publish_by_command(self, folder: Path) -> None:
        facts: Mapping[str, Any] = {
            "tenant_id": EXAMPLE_TENANT,
            "call_id": PII_CALL,
            "direction": "inbound",
            "industry": "finance",
            "started_at": "2026-03-02T10:15:00+08:00",
            "ended_at": "2026-03-02T10:15:25+08:00",
            "language_hint": "zh",
            "agent": {"id": "A1", "team": NAMES[2]},
            "customer": {"tags": [NAMES[0]]},
            "queue": NAMES[4],
            "crm": {NAMES[3]: NAMES[1]},
        }
        meta = folder / "meta.json"
        meta.write_text(json.dumps(facts, ensure_ascii=False), encoding="utf-8")
        done = self.run(
            "publish", EXAMPLES / f"{PII_CALL}.flac", "--meta", meta, "--customer", f"+86 {CUSTOMER_NUMBER}"
        )
        assert done.returncode == 0, done.stderr
        refused = self.run("publish", EXAMPLES / f"{PII_CALL}.flac", "--customer", f"{CUSTOMER_NUMBER} {NAMES[0]}")
        assert refused.returncode == 1
        self.printed += [done.stdout, done.stderr, refused.stdout, refused.stderr]

    def publish_poison(self) -> None:
        key = message_key(EXAMPLE_TENANT, "poisoned")
        outputs = [ProducerRecord(CALLS_ENDED.name, POISON_NUMBER.encode(), value) for value in poison().values()]
        outputs += [ProducerRecord(topic.name, key, POISON_WORDS.encode()) for topic in TOPICS]
        outputs += [ProducerRecord(CALLS_TRANSCRIBED.name, key, beyond_any_column().encode())]
        publisher = Publisher(self.stack.settings)
        publisher.publish(outputs)
        publisher.close()

    def collect_secrets(self, call_ids: Sequence[str]) -> None:
        """What was given, what was said by the script, and what was recognised, believed or not."""
        self.secrets |= {*NAMES, *windows(CUSTOMER_NUMBER), *windows(POISON_NUMBER), *windows(POISON_WORDS)}
        for call_id in call_ids:
            for turn in example_calls()[call_id].turns:
                self.secrets |= windows(turn.text) | windows(turn.text.translate(AS_DIGITS))
        for row in rows(self.stack, "SELECT text FROM segments"):
            self.secrets |= windows(row["text"])
        transcripts = transcript_store_from(self.stack.settings, object_store_from(self.stack.settings))
        for call_id in call_ids:
            transcript = transcripts.load(EXAMPLE_TENANT, call_id)
            assert transcript is not None
            for rejected in transcript.rejected:
                self.secrets |= windows(rejected.text)

    def logs(self) -> dict[str, str]:
        """Every log in the data folder by its path, and what the commands printed."""
        files = {
            str(path): path.read_text(encoding="utf-8", errors="backslashreplace")
            for path in self.stack.settings.data_dir.rglob("*.log*")
            if path.is_file()
        }
        return files | {"printed by commands": "\n".join(self.printed)}


def beyond_any_column() -> Transcript:
    """A message that every schema allows, and no column of ClickHouse can hold."""
    transcript = said(("agent", POISON_WORDS), ("customer", f"{POISON_WORDS}{POISON_NUMBER}"))
    endless = transcript.segments[0].model_copy(update={"end_ms": 2**70})
    return transcript.model_copy(update={"segments": (endless, *transcript.segments[1:])})


@pytest.fixture(scope="module")
def flow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flow]:
    settings = {"whisper_beam_size": 1, "log_level": "DEBUG"}
    with running_stack("tansu", tmp_path_factory.mktemp("stack"), settings) as stack:
        flow = Flow(stack)
        stack.announce()
        store_log = stack.supervisor.log_file("store")
        wait_until(
            stack,
            lambda: "store is ready" in store_log.read_text(encoding="utf-8"),
            lambda: "store to be ready",
        )
        # What a database that is away does to the logs belongs to it.
        stack.supervisor.kill("clickhouse")
        stack.supervisor.stop_child("clickhouse")
        flow.publish_by_command(tmp_path_factory.mktemp("meta"))
        publish_examples(stack, ["s09"])
        flow.publish_poison()
        wait_until(
            stack,
            lambda: "store waits: " in store_log.read_text(encoding="utf-8"),
            lambda: "store to notice that ClickHouse is away",
        )
        stack.supervisor.restart_child("clickhouse")
        call_ids = [PII_CALL, "s09_mono_logistics"]
        wait_for_outcomes(stack, call_ids)
        wait_until(
            stack,
            lambda: all(lag.messages == 0 for lag in lags(stack.settings, consumer_groups())),
            lambda: f"no lag; there is {lags(stack.settings, consumer_groups())}",
        )
        flow.collect_secrets(call_ids)
        yield flow


@pytest.mark.embedded
@pytest.mark.model
class TestRunningStack:
    def test_the_secrets_went_through_it(self, flow: Flow) -> None:
        """Else nothing could leak, and the other tests would say nothing."""
        (call,) = rows(flow.stack, f"SELECT * FROM whole_calls WHERE call_id = '{PII_CALL}'")  # noqa: S608 - a constant
        assert (call["agent_team"], call["queue"], list(call["customer_tags"])) == (NAMES[2], NAMES[4], [NAMES[0]])
        assert call["crm"] == {NAMES[3]: NAMES[1]}
        text = rows(flow.stack, "SELECT text FROM transcripts WHERE text LIKE '%银行卡%'")
        assert len(text) == 1
        assert "62220212" in flow.secrets, "the card number that is read out, in digits"
        assert text[0]["text"][:SHORTEST_SECRET] in flow.secrets
        steps = {row["step"] for row in rows(flow.stack, "SELECT step FROM dead_letters")}
        assert steps == {"listen", "receive", "judge", "store"}
        assert len(flow.secrets) > 100

    def test_every_worker_spoke(self, flow: Flow) -> None:
        logs = {Path(name).name: text for name, text in flow.logs().items()}
        assert "becomes a dead letter" in logs["listen-0.log"]
        assert "becomes a dead letter" in logs["receive.log"]
        assert "becomes a dead letter" in logs["judge.log"]
        assert "becomes a dead letter" in logs["store.log"]
        assert "store waits: " in logs["store.log"]

    def test_nothing_of_it_stands_in_any_log(self, flow: Flow) -> None:
        leaking = {name: found for name, text in flow.logs().items() if (found := leaks(text, flow.secrets))}
        assert leaking == {}

    def test_a_word_in_any_of_these_logs_would_be_found(self, flow: Flow) -> None:
        log = flow.stack.supervisor.log_file("judge")
        (segment, *_) = rows(flow.stack, "SELECT text FROM segments WHERE length(text) > 60 ORDER BY call_id")
        with log.open("a", encoding="utf-8") as file:
            file.write(f"WARNING judge: cannot read {segment['text'][3:12]!r}\n")
        try:
            assert leaks(flow.logs()[str(log)], flow.secrets)
        finally:
            log.write_text(log.read_text(encoding="utf-8").rpartition("WARNING judge: cannot")[0], encoding="utf-8")

    def test_no_number_that_was_read_out_is_in_what_is_kept(self, flow: Flow) -> None:
        """R72: masked before the transcript leaves `listen`, so no row and no stored transcript holds a digit of it."""
        numbers = {"6222021200", "2120080035", "13800138", "六二二二零二", "幺三八零零"}
        stored = transcript_store_from(flow.stack.settings, object_store_from(flow.stack.settings)).load(
            EXAMPLE_TENANT, PII_CALL
        )
        assert stored is not None
        kept = str(rows(flow.stack, f"SELECT * FROM segments WHERE call_id = '{PII_CALL}'"))  # noqa: S608 - a constant
        for text in (kept, stored.encode().decode()):
            assert "[银行卡]" in text
            assert "[手机号]" in text
            assert [number for number in numbers if number in text] == []

    def test_nor_in_a_dead_letter(self, flow: Flow) -> None:
        letters = rows(flow.stack, "SELECT * FROM dead_letters")
        read_by_workers = [topic for topic in TOPICS if topic is not AUDIT_CHECKPOINTS]
        assert len(letters) == len(poison()) + len(read_by_workers) + 1
        assert leaks(str(letters), flow.secrets) == set()

    def test_nor_in_a_file_name(self, flow: Flow) -> None:
        names = "\n".join(str(path) for path in flow.stack.settings.data_dir.rglob("*"))
        assert PII_CALL in names
        assert leaks(names, flow.secrets) == set()

    def test_the_customers_number_goes_no_further_than_the_command(self, flow: Flow) -> None:
        digits = windows(CUSTOMER_NUMBER)
        for table in ("whole_calls", "transcripts", "outcomes"):
            found = rows(flow.stack, f"SELECT * FROM {table}")  # noqa: S608 - a constant
            assert found
            assert leaks(str(found), digits) == set()
        stored = transcript_store_from(flow.stack.settings, object_store_from(flow.stack.settings)).load(
            EXAMPLE_TENANT, PII_CALL
        )
        assert stored is not None
        assert '"key":"' in stored.encode().decode()
        assert leaks(stored.encode().decode(), digits) == set()

    def test_analyze_prints_the_words_and_logs_none(self, flow: Flow) -> None:
        done = flow.run("analyze", EXAMPLES / "s09_mono_logistics.flac", "--json")
        assert done.returncode == 0
        assert leaks(done.stdout, flow.secrets)
        assert leaks(done.stderr, flow.secrets) == set()


class TestExceptions:
    @pytest.mark.parametrize("value", poison().values(), ids=poison())
    @pytest.mark.parametrize("topic", [CALLS_ENDED, CALLS_TRANSCRIBED, CALLS_ANALYZED], ids=lambda topic: topic.name)
    def test_the_refusal_of_a_message_repeats_nothing_of_it(self, topic: Any, value: bytes) -> None:
        with pytest.raises(InvalidMessageError) as caught:
            topic.decode(value)
        told = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
        assert "InvalidMessageError" in told
        assert leaks(told, windows(POISON_WORDS) | windows(POISON_NUMBER)) == set()

    def test_a_detector_that_quotes_a_caller_in_its_exception_is_logged_as_its_class(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.DEBUG):
            analysis = Judge(JudgeSettings(), [QuotingDetector()], rulebooks=shipped_rules()).judge(
                said(("customer", POISON_WORDS)), datetime(2026, 3, 2, tzinfo=UTC)
            )
        assert "detector quoting failed: KeyError" in caplog.text
        assert [(skipped.measure, skipped.reason) for skipped in analysis.skipped_analysis] == [
            ("courage", "detector_failed")
        ]
        logged = caplog.text + "".join(repr(record.__dict__) for record in caplog.records)
        assert leaks(logged, windows(POISON_WORDS)) == set()
        assert leaks(analysis.encode().decode(), windows(POISON_WORDS)) == set()


class QuotingDetector:
    """Fails with what a caller said."""

    name: ClassVar[str] = "quoting"
    measures: ClassVar[tuple[str, ...]] = ("courage",)
    needs_speech: ClassVar[bool] = True
    reads_measures: ClassVar[bool] = False

    def process(self, context: CallContext) -> Iterable[Result]:
        raise KeyError(context.transcript.segments[0].text)
