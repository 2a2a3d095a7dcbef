"""What is searched for: windows of time, places and cursors, pairs of characters, quotes."""

import base64
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from pydantic import ValidationError

from processors.clickhouse.search_sql import (
    ROLES,
    CursorError,
    PagePosition,
    SearchPhrase,
    SearchQuery,
    Span,
    SqlCondition,
    decode_cursor,
    encode_cursor,
    finding_quotes,
    is_heard,
    lines_of,
    milliseconds,
    of_index,
    of_text,
    pairs_of,
    phrase_quotes,
    spans_of,
    spellings_of,
    windows,
)
from schemas.messages.call_ended import Role

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
DAY = timedelta(days=1)
ACME = SearchQuery(tenants=("acme",))


@pytest.mark.parametrize(
    ("days", "lengths"),
    [
        pytest.param(0, [], id="nothing"),
        pytest.param(3, [3], id="less than the first"),
        pytest.param(7, [7], id="exactly the first"),
        pytest.param(40, [7, 30, 3], id="the last one is cut off"),
        pytest.param(1000, [7, 30, 90, 365, 508], id="the rest is one"),
    ],
)
def test_windows_grow_and_join_without_gap(days: int, lengths: list[int]) -> None:
    found = list(windows(NOON - days * DAY, NOON))
    assert [(end - start) // DAY for start, end in found] == lengths
    assert [start for start, _ in found[:-1]] == [end for _, end in found[1:]]
    assert not found or (found[0][1], found[-1][0]) == (NOON, NOON - days * DAY)


def test_a_cursor_leads_to_where_it_was_made() -> None:
    last = PagePosition(NOON + timedelta(milliseconds=7), "acme", "ivr2:9022")
    assert decode_cursor(ACME, encode_cursor(ACME, last)) == last


@pytest.mark.parametrize(
    "cursor",
    [
        pytest.param("hello", id="a word"),
        pytest.param("💥", id="no ASCII"),
        pytest.param(base64.urlsafe_b64encode(b"[1, 2]").decode(), id="too short a list"),
        pytest.param(base64.urlsafe_b64encode(b'["x", "y", "acme", "c"]').decode(), id="a time that is none"),
        pytest.param(base64.urlsafe_b64encode(b'["x", 1e400, "acme", "c"]').decode(), id="an infinite time"),
        pytest.param(base64.urlsafe_b64encode(b'["x", 9e30, "acme", "c"]').decode(), id="a time beyond all years"),
        pytest.param(base64.urlsafe_b64encode(b'["x", 1, "acme", 5]').decode(), id="a call id that is none"),
        pytest.param(base64.urlsafe_b64encode(b"[" * 5000).decode(), id="too deep"),
    ],
)
def test_what_is_no_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(CursorError, match="this is no cursor"):
        decode_cursor(ACME, cursor)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(SearchQuery(tenants=("bright",)), id="of another tenant"),
        pytest.param(SearchQuery(tenants=("acme",), risks=("high",)), id="of another condition"),
        pytest.param(SearchQuery(tenants=("acme",), phrases=(SearchPhrase(text="退款"),)), id="of another phrase"),
    ],
)
def test_a_cursor_of_another_search_is_refused(other: SearchQuery) -> None:
    cursor = encode_cursor(ACME, PagePosition(NOON, "acme", "c1"))
    with pytest.raises(CursorError, match="another search"):
        decode_cursor(other, cursor)


def test_a_cursor_cannot_point_to_a_tenant_that_was_not_asked_for() -> None:
    content = json.dumps([ACME.digest(), milliseconds(NOON), "bright", "c1"])
    with pytest.raises(CursorError, match="another search"):
        decode_cursor(ACME, base64.urlsafe_b64encode(content.encode()).decode())


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        pytest.param("退", [], id="one character has none"),
        pytest.param("退款", ["退款"], id="two are one"),
        pytest.param("好好好的", ["好好", "好的"], id="one that comes twice stands once"),
        pytest.param("a😀b", ["a😀", "😀b"], id="characters, not bytes or surrogates"),
    ],
)
def test_pairs_of_characters(text: str, pairs: list[str]) -> None:
    assert pairs_of(text) == pairs


@pytest.mark.parametrize(
    ("text", "phrases", "spans"),
    [
        pytest.param("我要退款，退款", ["退款"], [(2, 4), (5, 7)], id="each place"),
        pytest.param("好好好", ["好好"], [(0, 3)], id="places that overlap are one"),
        pytest.param("我要退款", ["我要", "退款"], [(0, 4)], id="places that touch are one"),
        pytest.param("我要退款", ["退货"], [], id="none"),
        pytest.param("a.b", ["."], [(1, 2)], id="no pattern"),
    ],
)
def test_places_of_phrases_in_a_text(text: str, phrases: list[str], spans: list[tuple[int, int]]) -> None:
    assert spans_of(text, phrases) == tuple(Span(start=start, end=end) for start, end in spans)


@pytest.mark.parametrize(
    ("roles", "said", "lines"),
    [
        pytest.param(["agent", "customer", "agent"], ["a\nb", "c", ""], ["a", "c", "b"], id="in the order of segments"),
        pytest.param([], ["", "", ""], [], id="nobody said anything"),
        pytest.param(["agent", "agent"], ["\n", "", ""], ["", ""], id="empty segments"),
        pytest.param(["agent"], ["a\nb", "", ""], None, id="a segment of two lines"),
        pytest.param(["agent"], ["a", "b", ""], ["a"], id="a text without a segment is left out"),
        pytest.param(["agent", "unknown"], ["a\nb", "", "c"], None, id="lines of another transcript"),
    ],
)
def test_lines_are_the_texts_of_segments(roles: list[Role], said: list[str], lines: list[str] | None) -> None:
    assert lines_of(roles, dict(zip(ROLES, said, strict=True))) == lines


def test_a_quote_shows_only_what_the_role_said() -> None:
    query = SearchQuery(tenants=("acme",), phrases=(SearchPhrase(text="退款", role="customer"),))
    segments = [(0, "agent", 0, 900, "退款吗"), (1, "customer", 1000, 1900, "我要退款")]
    quotes = phrase_quotes(query, segments)
    assert [(q.segment_id, q.role, q.start_ms, q.end_ms, q.spans) for q in quotes] == [
        (1, "customer", 1000, 1900, (Span(start=2, end=4),))
    ]


def test_quotes_of_findings_are_those_that_were_asked_for() -> None:
    row: dict[str, list[Any]] = {
        "findings.detector": ["sensitive_words", "rules", "rules"],
        "findings.rule_id": ["r1", "r2", "r3"],
        "findings.role": ["agent"] * 3,
        "findings.start_ms": [1, 2, 3],
        "findings.end_ms": [4, 5, 6],
        "findings.quote": ["我们保本", "保本的事", "别的"],
        "findings.matched": ["保本", "保本", ""],
        "topics.topic_id": ["refund", "invoice"],
        "topics.role": ["customer"] * 2,
        "topics.quote": ["退钱", "开票"],
    }

    def told(**conditions: object) -> list[str | None]:
        query = SearchQuery.model_validate({"tenants": ["acme"], **conditions})
        return [quote.rule_id or quote.topic_id for quote in finding_quotes(query, row)]

    assert told() == []
    assert told(words=["保本"]) == ["r1"]
    assert told(sensitive=True) == ["r1"]
    assert told(rules=["r3"]) == ["r3"]
    assert told(topics=["invoice"]) == ["invoice"]


@pytest.mark.parametrize(
    ("conditions", "sentence"),
    [
        pytest.param({"tenants": []}, "tenants", id="no tenant"),
        pytest.param({"tenants": ["138 0013 8000"]}, "tenants", id="a tenant that cannot be one"),
        pytest.param({"phrases": [{"text": " \t"}]}, "no space", id="a phrase of spaces"),
        pytest.param({"phrases": [{"text": ""}]}, "no space", id="an empty phrase"),
        pytest.param({"phrases": [{"text": "退款", "role": "boss"}]}, "role", id="an unknown role"),
        pytest.param({"since": NOON, "until": NOON}, "no call ends", id="no time"),
        pytest.param({"since": NOON.replace(tzinfo=None)}, "timezone", id="a time without a zone"),
        pytest.param({"score_min": 80, "score_max": 20}, "range of score", id="an empty range of the score"),
        pytest.param({"duration_min_ms": 2, "duration_max_ms": 1}, "range of duration", id="an empty range of length"),
        pytest.param({"agitation_min": 1.5}, "agitation_min", id="an agitation above 1"),
        pytest.param({"risks": ["awful"]}, "risks", id="an unknown risk"),
        pytest.param({"mood": "bad"}, "mood", id="an unknown condition"),
        pytest.param({"phrases": [{"text": "嗯", "as_heard": True}]}, "two syllables", id="one syllable as heard"),
        pytest.param({"phrases": [{"text": "？！", "as_heard": True}]}, "two syllables", id="marks as heard"),
        pytest.param(
            {"phrases": [{"text": "退款", "as_heard": True, "merged_sounds": ["z_c"]}]}, "merged_sounds", id="sounds"
        ),
    ],
)
def test_a_search_that_makes_no_sense_is_refused(conditions: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        SearchQuery.model_validate({"tenants": ["acme"], **conditions})


def test_times_between_two_milliseconds_are_those_after_them() -> None:
    at = NOON.astimezone(timezone(timedelta(hours=8)))
    assert milliseconds(at) == milliseconds(NOON)
    assert milliseconds(at + timedelta(microseconds=1)) == milliseconds(NOON) + 1
    assert milliseconds(at + timedelta(microseconds=999)) == milliseconds(NOON) + 1


def test_a_quote_as_heard_is_where_it_was_heard() -> None:
    query = SearchQuery(tenants=("acme",), phrases=(SearchPhrase(text="保本保息", role="agent", as_heard=True),))
    segments = [(0, "agent", 0, 9, "这款保本，保溪"), (1, "customer", 10, 19, "保本保溪"), (2, "agent", 20, 29, "保本")]
    (quote,) = phrase_quotes(query, segments)
    assert (quote.segment_id, quote.text, quote.spans) == (0, "这款保本，保溪", (Span(start=2, end=7),))


@pytest.mark.parametrize(
    ("text", "role", "said", "heard"),
    [
        pytest.param("保本保息", "agent", ("保本保溪", "", ""), True, id="by the agent"),
        pytest.param("保本保息", "customer", ("保本保溪", "", ""), False, id="by the other one"),
        pytest.param("保本保息", None, ("", "", "保本保溪"), True, id="by anybody"),
        pytest.param("保本保息", None, ("保本\n保溪", "", ""), False, id="not over two segments"),
    ],
)
def test_what_is_heard(text: str, role: Role | None, said: tuple[str, str, str], heard: bool) -> None:
    query = SearchQuery(tenants=("acme",), phrases=(SearchPhrase(text=text, role=role, as_heard=True),))
    assert is_heard(query, dict(zip(ROLES, said, strict=True))) == heard


def test_the_index_over_sounds_is_asked_for_each_pair_in_every_way_to_hear_it() -> None:
    query = SearchQuery(tenants=("acme",), phrases=(SearchPhrase(text="保本息", role="agent", as_heard=True),))
    assert of_index(query) == SqlCondition(
        "((hasAnyTokens(agent_sounds, {heard_0_0:Array(String)}) "
        "AND hasAnyTokens(agent_sounds, {heard_0_1:Array(String)})))",
        {"heard_0_0": ["bao ben", "bao beng"], "heard_0_1": ["ben xi", "beng xi"]},
    )
    assert of_text(query) == of_index(query)


SAID_12315 = {"12315", "一二三一五", "幺二三幺五", "幺二三一五", "一二三幺五"}


@pytest.mark.parametrize(
    ("phrase", "spellings"),
    [
        pytest.param("投诉12315", {f"投诉{text}" for text in SAID_12315}, id="figures"),
        pytest.param("一二三一五", SAID_12315, id="characters"),
        pytest.param("幺二三幺五", SAID_12315, id="as it is said on the phone"),
        pytest.param("4008", {"4008", "四零零八"}, id="no one in it"),
        pytest.param("5天", {"5天"}, id="a single digit is a word of its own"),
        pytest.param("一一说明", {"一一说明"}, id="a word that only looks like digits"),
        pytest.param("退款", {"退款"}, id="no number"),
        pytest.param("12315\n好", {"12315\n好"}, id="several lines"),
    ],
)
def test_a_number_is_found_as_its_digits_are_said(phrase: str, spellings: set[str]) -> None:
    assert set(spellings_of(phrase)) == spellings
    query = SearchQuery(tenants=("acme",), phrases=(SearchPhrase(text=phrase, role="customer"),))
    assert of_text(query).sql.count(" OR ") == len(spellings) - 1
    for spelling in spellings:
        (quote,) = phrase_quotes(query, [(1, "customer", 0, 1, f"我要{spelling}。")])
        assert [(span.start, span.end) for span in quote.spans] == [(2, 2 + len(spelling))]
    assert phrase_quotes(query, [(1, "agent", 0, 1, phrase)]) == ()
