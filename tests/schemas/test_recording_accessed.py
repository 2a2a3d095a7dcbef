"""A line of the log of access: what it holds, and that it is one however often it comes."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from schemas.messages.recording_accessed import RecordingAccessed

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
