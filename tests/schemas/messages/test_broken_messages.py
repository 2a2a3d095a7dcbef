"""Whatever is wrong with a message, it is refused by name of the field or it becomes rows: nothing else is raised."""

import json
import random
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import InvalidMessageError
from schemas.messages.records import ConsumerRecord
from schemas.messages.topics import AUDIT_CHECKPOINTS, TOPICS, TRANSCRIPTS_RECEIVED, AnyTopic
from streams.ports import Rows, SystemClock
from streams.stages.store import Store
from tests.support.mutations import broken_json

EXAMPLES = Path(__file__).parents[2] / "examples"


class NoSink:
    """Takes every row."""

    def write(self, rows: Rows) -> None:
        assert all(isinstance(column, str) for table in rows.values() for row in table for column in row)


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
@given(seed=st.integers(0, 2**32))
def test_a_broken_message_is_refused_or_becomes_rows(topic: AnyTopic, seed: int) -> None:
    chance = random.Random(seed)
    examples = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((EXAMPLES / topic.name).glob("*.json"))]
    value = broken_json(chance.choice(examples), chance)
    with suppress(InvalidMessageError):
        topic.decode(value)
    # The ones become transcripts (tests/streams/stages/test_receive.py), the others anchors of the audit log.
    if topic not in (TRANSCRIPTS_RECEIVED, AUDIT_CHECKPOINTS):
        Store(NoSink(), SystemClock()).work([ConsumerRecord(topic.name, 0, 0, b"acme/c-1", value)])
