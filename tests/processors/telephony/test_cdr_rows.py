"""Rows of lists of calls as messages: what each exchange writes, and what is wrong in it."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from processors.telephony.cdr_rows import CsvCells, JsonCells, RowReader
from schemas.config.cdr_mapping import CdrMapping
from schemas.errors import InvalidCallError, InvalidMessageError
from schemas.messages.call_listed import CallListed

LISTED_AT = datetime(2026, 3, 3, tzinfo=UTC)
ROW = {"id": "c1", "start": "2026-03-02 10:15:00", "end": "2026-03-02 10:18:00", "number": "13800138000", "talk": "5"}
FIELDS: Mapping[str, Any] = {"call_id": "id", "started_at": "start", "ended_at": "end", "customer_number": "number"}


def key_of(_tenant: str, number: str) -> str:
    if not number.isdecimal():
        raise InvalidCallError("no number")
    return f"{int(number) % 16:x}" * 64


def mapping(**changes: Any) -> CdrMapping:
    fields = {**FIELDS, **changes.pop("fields", {})}
    given = {name: source for name, source in fields.items() if source is not None}
    return CdrMapping.model_validate({"version": 1, "name": "test", "format": "csv", "fields": given} | changes)


def read(row: Mapping[str, str], **changes: Any) -> CallListed | None:
    reader = RowReader(mapping(**changes), "acme", LISTED_AT, lambda _tenant: timezone(timedelta(hours=8)), key_of)
    return reader.call(CsvCells({**ROW, **row}))


def call(row: Mapping[str, str] | None = None, **changes: Any) -> CallListed:
    found = read(row or {}, **changes)
    assert found is not None
    return found


def test_a_time_without_zone_is_on_the_tenants_clock() -> None:
    assert call().started_at == datetime(2026, 3, 2, 2, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "changes"),
    [
        pytest.param("2026-03-02T02:15:00Z", {}, id="a zone in the text"),
        pytest.param("2026-03-02 03:15:00", {"time_zone": "Europe/Paris"}, id="the zone of the mapping"),
        pytest.param("02.03.2026 10:15", {"time_format": "%d.%m.%Y %H:%M"}, id="as strptime has it"),
        pytest.param("1772417700", {"time_format": "epoch_s"}, id="seconds since 1970"),
        pytest.param("1772417700000000", {"time_format": "epoch_us"}, id="microseconds since 1970"),
    ],
)
def test_times_are_read_as_the_mapping_says(text: str, changes: Mapping[str, Any]) -> None:
    found = call(
        {"start": text, "end": "180"},
        fields={"ended_at": None, "duration_s": "end"},
        **changes,
    )
    assert found.started_at == datetime(2026, 3, 2, 2, 15, tzinfo=UTC)
    assert found.ended_at - found.started_at == timedelta(seconds=180)


def test_a_number_becomes_a_key_and_stays_nowhere() -> None:
    found = call()
    assert found.customer_key == "0" * 64
    assert b"138" not in found.encode()


@pytest.mark.parametrize("withheld", ["", "anonymous", "Unknown", "PRIVATE", "0000"])
def test_a_number_that_is_withheld_is_no_problem(withheld: str) -> None:
    assert call({"number": withheld}).customer_key is None


@pytest.mark.parametrize("way", ["inbound", "outbound"])
@pytest.mark.parametrize("who", ["human", "bot"])
def test_calls_of_people_and_bots_come_in_both_directions(way: str, who: str) -> None:
    found = call(
        {"way": way, "who": {"human": "1", "bot": "2"}[who], "from": "a1", "to": "a2"},
        fields={
            "direction": "way",
            "handled_by": {"from": "who", "values": {"1": "human", "2": "bot"}},
            "agent_id": {"inbound": "to", "outbound": "from"},
        },
    )
    assert (found.direction, found.handled_by) == (way, who)
    assert found.agent_id == {"inbound": "a2", "outbound": "a1"}[way]


def test_conditions_say_what_is_a_call_and_what_must_be_recorded() -> None:
    rules: Mapping[str, Any] = {
        "calls_when": {"kind": {"is_not": "internal"}},
        "answered_when": {"talk": {"more_than": 0}},
        "recorded_when": {"talk": {"more_than": 3}, "kind": ["call", "transfer"]},
    }
    assert read({"kind": "internal"}, **rules) is None
    for kind, talk, recorded in (("call", "5", True), ("call", "3", False), ("other", "5", False), ("call", "", False)):
        found = call({"kind": kind, "talk": talk}, **rules)
        assert (found.recorded, found.answered) == (recorded, talk != "")


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        pytest.param({"id": ""}, "call_id: string_pattern_mismatch", id="no id"),
        pytest.param({"id": "../../etc"}, "call_id: string_pattern_mismatch", id="a path in place of an id"),
        pytest.param({"start": ""}, "started_at: missing", id="no start"),
        pytest.param({"end": "yesterday"}, "ended_at: is not a time as the mapping has it", id="no time"),
        pytest.param({"end": "2026-03-02 10:14:59"}, "message: ended_before_started", id="ends before it begins"),
        pytest.param({"end": "2026-03-20 10:14:59"}, "message: call_too_long", id="lasts longer than a week"),
        pytest.param({"start": "2096-03-02 10:15:00"}, "started_at: datetime_in_the_future", id="not yet"),
        pytest.param({"number": "call me"}, "customer_number: is not a phone number of 3 to 20 digits", id="no number"),
        pytest.param({"way": "sideways"}, "direction: literal_error", id="a direction that the mapping does not know"),
    ],
)
def test_what_is_wrong_is_named_without_its_value(row: Mapping[str, str], problem: str) -> None:
    with pytest.raises(InvalidMessageError) as caught:
        read(row, fields={"direction": {"from": "way", "otherwise": "inbound"}})
    assert problem in caught.value.problems
    for value in row.values():
        assert not value or value not in str(caught.value)


def test_json_is_read_by_path() -> None:
    cells = JsonCells({"a": {"b": [{"c": "%2B86 1"}, 7, True, None, {}]}}, url_encoded=True)
    assert [cells.get(f"a.b.{path}") for path in ("0.c", "1", "2", "3", "4", "9", "x", "0.c.d")] == [
        *("+86 1", "7", "true"),
        *("", "", "", "", ""),
    ]
