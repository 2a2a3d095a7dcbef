"""Calls that another recogniser wrote down: from `callstream publish --transcript` to ClickHouse, masked."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from schemas.messages.records import ProducerRecord
from schemas.messages.topics import TOPICS, TRANSCRIPTS_RECEIVED
from streams.adapters.kafka.client import Publisher, TopicReader
from streams.adapters.object_store.from_settings import object_store_from
from streams.embedded.stack import Stack
from streams.stages.receive import IN_CLEAR as IN_CLEAR_REFUSED
from streams.wiring import received_store_from
from tests.processors.receiving.received import content, received
from tests.processors.recordings import EXAMPLES
from tests.support.stack import rows, running_stack, wait_for_outcomes, wait_until

pytestmark = pytest.mark.embedded

EXAMPLE = EXAMPLES.parent / "transcripts" / "finance.json"
CALL = "t01_finance"
IN_CLEAR = ("王小明", "一三八零零一三八零零零")
WORKERS = ("receive", "judge", "store")


@dataclass
class Flow:
    """A stack after the example was published twice, with bad records around it."""

    stack: Stack
    said: list[str] = field(default_factory=list)

    def of_the_example(self, query: str) -> list[dict[str, Any]]:
        """Those rows of the answer that are of the call of the example."""
        return [row for row in rows(self.stack, query) if row["call_id"] == CALL]


@pytest.fixture(scope="module")
def flow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flow]:
    folder = tmp_path_factory.mktemp("stack")
    with running_stack("tansu", folder, stages=WORKERS) as stack:
        told = Flow(stack)
        publisher = Publisher(stack.settings)
        broken = content(call={"tenant_id": "example", "call_id": "t00_broken"})
        broken["utterances"][1]["role"] = IN_CLEAR[0]
        for value in (b"no json", json.dumps(broken, default=str).encode()):
            publisher.publish([ProducerRecord(TRANSCRIPTS_RECEIVED.name, b"example/t00_broken", value)])
        with pytest.MonkeyPatch.context() as patch:
            for name, text in stack.settings.environment().items():
                patch.setenv(name, text)
            told.said += [publish(EXAMPLE), publish(EXAMPLE)]
        originals = received_store_from(stack.settings, object_store_from(stack.settings))
        for call_id, sealed in (("t02", True), ("t03_in_clear", False)):
            message = received(call={"tenant_id": "example", "call_id": call_id})
            publisher.publish([TRANSCRIPTS_RECEIVED.record(originals.put(message) if sealed else message)])
        publisher.close()
        outcomes = wait_for_outcomes(stack, [CALL, "t02", "t00_broken", "t03_in_clear"], tenant_id="example")
        assert outcomes == {CALL: "analyzed", "t02": "analyzed", "t00_broken": "refused", "t03_in_clear": "refused"}
        wait_until(
            stack, lambda: len(rows(stack, "SELECT * FROM transcripts")) == 2, lambda: "what was said in both calls"
        )
        yield told


def publish(file: Path) -> str:
    """What `callstream publish` says of it."""
    from typer.testing import CliRunner

    from streams.cli.main import app

    result = CliRunner().invoke(app, ["publish", "--transcript", str(file)])
    assert result.exit_code == 0, result.output
    return result.output


def texts_in(stack: Stack, topic: str) -> list[str]:
    """The values of all records of a topic."""
    reader = TopicReader(stack.settings, topic)
    values: list[str] = []
    while not reader.is_at_end:
        values += [(record.value or b"").decode("utf-8", "replace") for record in reader.read(100, 0.5)]
    reader.close()
    return values


def test_the_command_says_which_call_it_is(flow: Flow) -> None:
    assert flow.said == [f"{EXAMPLE}: call example/{CALL}\n"] * 2


def test_the_call_is_shown_once_as_received_and_judged(flow: Flow) -> None:
    (call,) = flow.of_the_example("SELECT * FROM whole_calls")
    (transcript,) = flow.of_the_example("SELECT * FROM transcripts")
    assert (call["outcome"], call["outcome_reason"], call["risk_level"]) == ("analyzed", "complete", "high")
    assert (call["engine_name"], call["engine_model"]) == ("received", "another recogniser 2.1")
    assert call["measures"]["agent_interruptions"] == 0
    assert call["measures"]["customer_agitation_max"] is None
    assert (
        dict(zip(call["skipped_measures"], call["skipped_reasons"], strict=True))["duration_ms"] == "duration_unknown"
    )
    assert transcript["engine_settings"]["times"] == "told"
    assert "我叫[姓名]，手机号是[手机号]" in transcript["text"]


def test_its_findings_and_segments_can_be_queried_like_those_of_any_call(flow: Flow) -> None:
    findings = flow.of_the_example("SELECT * FROM findings")
    assert {"finance.guaranteed_principal", "finance.no_risk"} <= {row["rule_id"] for row in findings}
    segments = flow.of_the_example("SELECT * FROM segments ORDER BY segment_id")
    assert [row["role"] for row in segments] == ["agent", "customer", "agent", "customer", "agent"]


def test_a_bad_record_is_a_dead_letter_that_names_its_call_and_no_word(flow: Flow) -> None:
    letters = rows(flow.stack, "SELECT * FROM dead_letters ORDER BY call_id, source_offset")
    assert [(row["step"], row["call_id"]) for row in letters] == [
        ("receive", call_id) for call_id in ("t00_broken", "t00_broken", "t03_in_clear")
    ]
    assert letters[1]["problems"] == ["utterances.1.role: literal_error"]
    assert letters[2]["problems"] == [IN_CLEAR_REFUSED]


def test_what_was_masked_waits_no_more(flow: Flow) -> None:
    assert list(object_store_from(flow.stack.settings).entries("received/")) == []


def test_nothing_in_clear_lies_anywhere_but_in_the_topic_to_which_others_wrote_it(flow: Flow) -> None:
    """What was refused came in clear; what `publish` sealed stands nowhere."""
    for topic in TOPICS:
        values = "".join(texts_in(flow.stack, topic.name))
        for words in IN_CLEAR:
            # JSON may write Chinese as escapes, too.
            found = words in values or json.dumps(words)[1:-1] in values
            assert found is (topic is TRANSCRIPTS_RECEIVED), topic.name
    said = [text for text in texts_in(flow.stack, TRANSCRIPTS_RECEIVED.name) if CALL in text]
    assert len(said) == 2
    assert not any("utterances" in text for text in said)
    data_dir = flow.stack.settings.data_dir
    files = [path for part in ("logs", "workers", "objects") for path in (data_dir / part).rglob("*")]
    assert files
    for path in files:
        content_of = path.read_bytes().decode("utf-8", "replace") if path.is_file() else ""
        assert not any(words in content_of or words in path.name for words in IN_CLEAR), path.name
