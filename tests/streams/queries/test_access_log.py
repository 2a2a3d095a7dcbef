"""A line of the log of access: what it holds, that it is durable first, and that it is one however often it comes."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from schemas.errors import RetryableError
from schemas.messages.recording_accessed import RecordingAccessed
from schemas.messages.records import ProducerRecord
from schemas.messages.topics import RECORDINGS_ACCESSED
from streams.queries.access_log import log_access

NOW = datetime(2026, 3, 2, 9, 0, 0, 123456, tzinfo=UTC)
SEARCH: dict[str, Any] = {
    "tenant_id": "acme",
    "user_id": "insp-12",
    "user_role": "inspector",
    "action": "searched",
    "client": "cli",
    "filters": ("phone", "keyword"),
    "accessed_at": NOW,
}


class Published:
    """Keeps what is published; or does not answer."""

    def __init__(self, *, answers: bool = True) -> None:
        self.answers = answers
        self.outputs: list[ProducerRecord] = []

    def publish(self, outputs: Iterable[ProducerRecord]) -> None:
        if not self.answers:
            raise RetryableError("Kafka does not answer")
        self.outputs.extend(outputs)


def test_each_line_is_a_message_under_its_own_key() -> None:
    publisher = Published()
    lines = [RecordingAccessed.of(**SEARCH | {"tenant_id": tenant}) for tenant in ("acme", "beta", "*")]
    log_access(publisher, *lines)
    assert [output.topic for output in publisher.outputs] == [RECORDINGS_ACCESSED.name] * 3
    assert [output.key.decode() for output in publisher.outputs] == [line.access_id for line in lines]
    assert [RECORDINGS_ACCESSED.decode(output.value) for output in publisher.outputs] == lines


def test_nothing_is_shown_while_it_cannot_be_logged() -> None:
    with pytest.raises(RetryableError):
        log_access(Published(answers=False), RecordingAccessed.of(**SEARCH))


def test_the_id_is_made_of_everything_else() -> None:
    line = RecordingAccessed.of(**SEARCH)
    assert RecordingAccessed.of(**SEARCH | {"filters": ("keyword", "phone", "phone")}) == line
    changes: list[dict[str, object]] = [
        {"user_id": "insp-13"},
        {"accessed_at": NOW + timedelta(microseconds=1)},
        {"filters": ("phone",)},
        {"ticket": "CASE-1"},
        {"refusal": "not_allowed"},
        {"call_id": "c1"},
    ]
    ids = {RecordingAccessed.of(**SEARCH | change).access_id for change in changes}
    assert len(ids | {line.access_id}) == len(changes) + 1


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"filters": ("phone=13800138000",)}, id="a filter with its value"),
        pytest.param({"filters": ("13800138000",)}, id="a phone number as a filter"),
        pytest.param({"filters": ("退款",)}, id="a word that was searched for"),
        pytest.param({"reason": "the customer complained"}, id="a sentence as reason"),
        pytest.param({"action": "listened"}, id="a recording that is not named"),
        pytest.param({"action": "deleted", "call_id": None}, id="a deletion of nothing"),
        pytest.param({"address": "host.example"}, id="an address that is none"),
        pytest.param({"tenant_id": "Acme"}, id="a tenant that is none"),
    ],
)
def test_a_line_holds_no_value_and_says_what_it_is_about(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        RecordingAccessed.of(**SEARCH | change)


def test_a_refusal_says_why_and_only_a_refusal_does() -> None:
    line = RecordingAccessed.of(**SEARCH | {"refusal": "other_team"})
    assert (line.result, line.refusal) == ("refused", "other_team")
    with pytest.raises(ValidationError):
        RecordingAccessed(**line.model_dump() | {"result": "allowed"})
    with pytest.raises(ValidationError):
        RecordingAccessed(**line.model_dump() | {"refusal": None})
