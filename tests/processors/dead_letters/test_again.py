"""Which refused message may be published again: a row for each reason why not."""

import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from processors.dead_letters.again import (
    ADVICE,
    GONE_ADVICE,
    StoredLetter,
    advice_of,
    hindrance_of_letter,
    hindrance_of_record,
)
from schemas.clickhouse.views import load_views
from schemas.errors import InvalidMessageError
from schemas.messages.dead_letter import DeadLetter, dead_letter_for
from schemas.messages.records import ConsumerRecord
from schemas.messages.topics import (
    CALLS_ANALYZED,
    CALLS_ENDED,
    CALLS_REANALYZED,
    LANES,
    RULES_PUBLISHED,
    TOPICS,
)
from streams.topology import WORKERS
from tests.support.stored_calls import Call

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
EVENT = CALLS_ENDED.record(Call("c1").event)
RECORD = ConsumerRecord(EVENT.topic, 3, 17, EVENT.key, EVENT.value, NOW)
LETTER = dead_letter_for("listen", RECORD, None, InvalidMessageError(["x"]), NOW)
READS = {"listen": frozenset({"calls.ended.v1"}), "store": frozenset(topic.name for topic in TOPICS)}


def of(step: str, topic: str) -> DeadLetter:
    """A letter of that stage about a message of that topic, with the id that belongs to it."""
    letter_id = DeadLetter.id_of(step, topic, 3, 17)
    return LETTER.model_copy(update={"step": step, "source_topic": topic, "dead_letter_id": letter_id})


@pytest.mark.parametrize(
    ("letter", "state", "expected"),
    [
        pytest.param(LETTER, "open", None, id="one that may be"),
        pytest.param(LETTER, "discarded", None, id="one that was discarded and is asked for"),
        pytest.param(LETTER, "purged", "purged", id="of a call that was destroyed"),
        pytest.param(
            of("listen", "calls.rated.v1"), "open", "foreign_topic", id="a topic that its stage does not read"
        ),
        pytest.param(of("nobody", "calls.ended.v1"), "open", "foreign_topic", id="a stage that does not exist"),
        pytest.param(of("listen", "__consumer_offsets"), "open", "foreign_topic", id="a topic of Kafka's own"),
        pytest.param(LETTER.model_copy(update={"source_offset": 18}), "open", "forged", id="another place than its id"),
        *(
            pytest.param(of("store", topic.name), "open", "never_again", id=topic.name)
            for topic in TOPICS
            if topic.never_again
        ),
        pytest.param(LETTER.model_copy(update={"retries": 2}), "open", None, id="refused twice after a retry"),
        pytest.param(LETTER.model_copy(update={"retries": 3}), "open", "quarantined", id="refused after every retry"),
    ],
)
def test_by_the_letter_alone(letter: DeadLetter, state: str, expected: str | None) -> None:
    stored = StoredLetter(letter, state)  # type: ignore[arg-type]
    assert hindrance_of_letter(stored, READS, 3, again_anyway=False) == expected
    anyway = hindrance_of_letter(stored, READS, 3, again_anyway=True)
    assert anyway == (None if expected == "quarantined" else expected), "only that is passed over"


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        pytest.param(RECORD, None, id="the very message"),
        pytest.param(None, "gone", id="deleted by retention"),
        pytest.param(
            replace(RECORD, value=None, unreadable="it is damaged"), "unreadable", id="a batch that is damaged"
        ),
        pytest.param(replace(RECORD, value=None), "unreadable", id="without a value"),
        pytest.param(replace(RECORD, value=b"{}"), "another_message", id="another message at its place"),
        pytest.param(replace(RECORD, key=b"other/c1"), "another_tenant", id="the key of another tenant"),
        pytest.param(replace(RECORD, key=None), None, id="without a key"),
    ],
)
def test_by_what_lies_at_its_place(record: ConsumerRecord | None, expected: str | None) -> None:
    assert hindrance_of_record(LETTER, record) == expected


def test_a_message_of_another_tenant_is_none_of_the_letters() -> None:
    theirs = CALLS_ENDED.record(Call("c1", tenant="other").event)
    record = replace(RECORD, key=None, value=theirs.value)
    letter = dead_letter_for("listen", record, None, InvalidMessageError(["x"]), NOW)
    assert hindrance_of_record(letter.model_copy(update={"tenant_id": "acme"}), record) == "another_tenant"
    assert hindrance_of_record(letter, record) is None, "a letter that knew no tenant, which only who has all sees"


def test_each_reason_says_what_to_do() -> None:
    for topic in TOPICS:
        for hindrance in ADVICE:
            if hindrance == "never_again" and not topic.never_again:
                continue
            assert advice_of(hindrance, topic.name)
    read_by_stages = {read.topic.name for stage in WORKERS for read in stage.reads if not read.whole}
    may_be_retried = {topic.name for topic in TOPICS if not topic.never_again} & read_by_stages
    lanes = {topic.name for topic in LANES.values()}
    assert may_be_retried - lanes - {"alerts.delivered.v1"} <= GONE_ADVICE.keys()
    assert {advice_of("gone", lane) for lane in lanes} == {GONE_ADVICE[CALLS_ENDED.name]}


def test_a_letter_is_resolved_by_its_call_on_every_topic_of_its_way() -> None:
    stages = {stage.name: stage for stage in WORKERS}
    on_the_way = {read.topic.name for name in ("listen", "receive", "judge") for read in stages[name].reads}
    on_the_way |= {CALLS_ANALYZED.name, CALLS_REANALYZED.name}
    view = load_views()["dead_letters"]
    (listed,) = re.findall(r"source_topic IN \(([^)]*)\)", view)
    assert set(re.findall(r"'([^']+)'", listed)) == on_the_way - {RULES_PUBLISHED.name}
