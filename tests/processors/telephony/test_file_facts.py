"""What names and JSON files say of calls: FreeSWITCH's, Asterisk's, one's own."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from processors.telephony.file_facts import FileFacts, NamePattern, NamePatternError
from schemas.errors import InvalidCallError

WRITTEN_AT = datetime(2026, 3, 2, 2, 18, tzinfo=UTC)

FREESWITCH = r"(?P<call_id>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.(?:wav|mp3)"
"""record_session $${recordings_dir}/${uuid}.wav"""
FREEPBX = (
    r"(?:(?P<inbound>in|q|external)|(?P<outbound>out))-[^-]+-(?P<customer_number>[^-]+)-"
    r"(?P<started_at>\d{8}-\d{6})-(?P<call_id>\d+\.\d+)\.wav"
)
"""MixMonitor(${MIXMON_DIR}in-${EXTEN}-${CALLERID(num)}-%Y%m%d-%H%M%S-${UNIQUEID}.wav), as FreePBX names recordings."""


def facts_of(
    name: str, pattern: str | None = None, side: bytes | None = None, usual: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    names = NamePattern.of(pattern, "%Y%m%d-%H%M%S") if pattern else None
    key = {"13800138000": "a" * 64}
    reader = FileFacts(
        lambda _tenant: timezone(timedelta(hours=8)), lambda _tenant, number: {"key": key[number]}, names, usual or {}
    )
    return reader.of(name, side, WRITTEN_AT)


def test_freeswitch_names_recordings_by_the_uuid_of_the_call() -> None:
    uuid = "5c6d1d9e-3b7a-4f0e-9a52-0d3a6a1f0001"
    assert facts_of(f"{uuid}.wav", FREESWITCH) == {"call_id": uuid, "ended_at": "2026-03-02T02:18:00+00:00"}


def test_freepbx_names_recordings_by_direction_number_time_and_unique_id() -> None:
    assert facts_of("in-600-13800138000-20260302-101500-1772417700.1.wav", FREEPBX) == {
        "direction": "inbound",
        "call_id": "1772417700.1",
        "started_at": "2026-03-02T10:15:00+08:00",
        "ended_at": "2026-03-02T02:18:00+00:00",
        "customer": {"key": "a" * 64},
    }
    assert facts_of("out-1-13800138000-20260302-101500-1.2.wav", FREEPBX)["direction"] == "outbound"


@pytest.mark.parametrize("direction", ["inbound", "outbound"])
@pytest.mark.parametrize(("prefix", "who"), [("bot-", "bot"), ("", None)])
def test_calls_of_bots_are_told_by_their_names_in_both_directions(direction: str, prefix: str, who: str | None) -> None:
    pattern = r"(?P<bot>bot-)?(?:(?P<inbound>inbound)|(?P<outbound>outbound))-(?P<call_id>\w+)\.wav"
    facts = facts_of(f"{prefix}{direction}-c1.wav", pattern)
    assert (facts["direction"], facts.get("handled_by")) == (direction, who)


def test_the_side_file_goes_before_the_name_and_both_before_what_is_usual() -> None:
    usual = {"tenant_id": "acme", "agent": {"id": "unknown", "team": "east"}, "audio": {"channel_roles": ["customer"]}}
    side = (
        b'{"agent": {"id": "a1"}, "queue": "refunds", "customer_number": "13800138000", "customer": {"tags": ["vip"]}}'
    )
    facts = facts_of("c1.wav", r"(?P<call_id>\w+)\.wav", side, usual)
    assert facts["agent"] == {"id": "a1", "team": "east"}
    assert facts["customer"] == {"key": "a" * 64, "tags": ["vip"]}
    assert (facts["tenant_id"], facts["call_id"], facts["queue"]) == ("acme", "c1", "refunds")
    assert facts["audio"] == {"channel_roles": ["customer"]}
    assert "13800138000" not in str(facts)


@pytest.mark.parametrize(
    ("name", "side", "problem"),
    [
        pytest.param("other.txt", None, "name: is not as collect_names says", id="another name"),
        pytest.param("c1.wav", b"{", "side file: is no JSON in UTF-8", id="half a side file"),
        pytest.param("c1.wav", b"[1]", "side file: must hold one JSON object", id="a list"),
        pytest.param("c1.wav", b"[" * 100_000, "side file: is no JSON", id="nested without end"),
        pytest.param("c1.wav", b'{"customer_number": 138}', "customer_number: must be a text", id="a number as one"),
    ],
)
def test_what_cannot_be_used_names_the_field(name: str, side: bytes | None, problem: str) -> None:
    with pytest.raises(InvalidCallError, match=problem):
        facts_of(name, r"(?P<call_id>\w+)\.wav", side)


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        pytest.param("(", "no regular expression", id="no pattern"),
        pytest.param(r"(?P<uuid>.*)", "a group uuid", id="a group that nobody knows"),
        pytest.param(r"(?P<queue>.*)", "no group call_id", id="no id"),
    ],
)
def test_a_pattern_that_cannot_be_used_is_refused(pattern: str, problem: str) -> None:
    with pytest.raises(NamePatternError, match=problem):
        NamePattern.of(pattern, "epoch_s")


def test_last_digits_in_a_side_file_go_by_the_policy_of_the_tenant() -> None:
    side = b'{"call_id": "c1", "customer": {"number_last4": "8000"}}'
    for keeps in (True, False):
        reader = FileFacts(lambda _tenant: UTC, keeps_last_digits=lambda _tenant, keeps=keeps: keeps)  # type: ignore[misc]
        assert reader.of("c1.wav", side, WRITTEN_AT)["customer"] == ({"number_last4": "8000"} if keeps else {})
