"""Segments of other programs and of our own transcripts, as utterances."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from processors.receiving.pipeline import MS_PER_LETTER
from processors.receiving.segments import overlap, utterances_of
from schemas.errors import InvalidCallError
from schemas.messages.transcript_received import MAX_UTTERANCE_LETTERS
from streams.stages.capture import transcript_of_file

AGENT: dict[str, Any] = {"role": "agent", "text": "您好"}
CUSTOMER: dict[str, Any] = {"role": "customer", "text": "查订单"}


def times(segments: list[dict[str, Any]]) -> list[tuple[int, int]]:
    return [(one["start_ms"], one["end_ms"]) for one in utterances_of(segments)]


def test_without_times_there_are_none() -> None:
    assert utterances_of([AGENT, CUSTOMER]) == [AGENT, CUSTOMER]


@pytest.mark.parametrize(
    ("segments", "expected"),
    [
        pytest.param(
            [AGENT | {"start_ms": 100}, CUSTOMER | {"start_ms": 900}],
            [(100, 100 + 2 * MS_PER_LETTER), (900, 900 + 3 * MS_PER_LETTER)],
            id="no ends",
        ),
        pytest.param([AGENT | {"end_ms": 900}], [(900 - 2 * MS_PER_LETTER, 900)], id="no start"),
        pytest.param(
            [AGENT | {"start_ms": 0, "end_ms": 700}, CUSTOMER],
            [(0, 700), (700, 700 + 3 * MS_PER_LETTER)],
            id="one has none",
        ),
        pytest.param(
            [AGENT | {"start_ms": 0}, CUSTOMER | {"start_ms": 300}],
            [(0, 300), (300, 300 + 3 * MS_PER_LETTER)],
            id="into nobody's words",
        ),
        pytest.param(
            [AGENT | {"start_ms": 0, "end_ms": 700}, CUSTOMER | {"end_ms": 900}], [(0, 700), (700, 900)], id="nor back"
        ),
        pytest.param([AGENT | {"start_ms": 0.4, "end_ms": 700.6}], [(0, 701)], id="fractions"),
        pytest.param(
            [CUSTOMER | {"start_ms": 900, "end_ms": 950}, AGENT | {"start_ms": 0, "end_ms": 700}],
            [(0, 700), (900, 950)],
            id="out of order",
        ),
    ],
)
def test_missing_times_are_filled_in(segments: list[dict[str, Any]], expected: list[tuple[int, int]]) -> None:
    assert times(segments) == expected


def test_a_long_one_is_cut_after_a_clause_and_nothing_is_lost() -> None:
    text = "我再说一遍，" * 400
    pieces = utterances_of([CUSTOMER | {"text": text, "start_ms": 0, "end_ms": 24_000}])
    assert "".join(one["text"] for one in pieces) == text
    assert all(len(one["text"]) <= MAX_UTTERANCE_LETTERS and one["text"].endswith("，") for one in pieces)
    assert (pieces[0]["start_ms"], pieces[-1]["end_ms"]) == (0, 24_000)
    assert all(one["end_ms"] == after["start_ms"] for one, after in pairwise(pieces))
    unbroken = utterances_of([CUSTOMER | {"text": "啊" * 2_500}])
    assert [len(one["text"]) for one in unbroken] == [1_000, 1_000, 500]


def test_empty_ones_and_fields_of_our_own_transcripts_are_passed_over() -> None:
    ours = AGENT | {"segment_id": 0, "channel": 0, "words": [], "confidence": 0.9, "heard_text": None, "emotion": None}
    assert utterances_of([ours, {"role": "customer", "text": " \u200b "}]) == [AGENT]


@pytest.mark.parametrize(
    ("segments", "expected"),
    [
        pytest.param([AGENT, CUSTOMER], False, id="no times"),
        pytest.param(
            [AGENT | {"start_ms": 0, "end_ms": 9}, CUSTOMER | {"start_ms": 9, "end_ms": 12}], False, id="none"
        ),
        pytest.param(
            [AGENT | {"start_ms": 0, "end_ms": 9}, CUSTOMER | {"start_ms": 5, "end_ms": 12}], True, id="two sides"
        ),
        pytest.param(
            [AGENT | {"start_ms": 0, "end_ms": 9}, AGENT | {"start_ms": 5, "end_ms": 12}], False, id="one side"
        ),
    ],
)
def test_where_sides_overlap_each_had_a_channel(segments: list[dict[str, Any]], expected: bool) -> None:
    assert overlap(segments) is expected


def received(folder: Path, content: object) -> Any:
    file = folder / "a.json"
    file.write_text(json.dumps(content), encoding="utf-8")
    return transcript_of_file(file, usual_call_id="a")


def test_of_a_file(tmp_path: Path) -> None:
    call = {"started_at": "2026-03-02T10:00:00Z", "audio": {"uri": "s3://a/b"}, "schema_version": 1, "queue": None}
    told = received(tmp_path, {"call": call, "segments": [AGENT | {"start_ms": 0, "end_ms": 5_000}]})
    assert (told.call.ended_at - told.call.started_at).total_seconds() == 5
    assert told.separate_channels is False
    lively = [AGENT | {"start_ms": 0, "end_ms": 5_000}, CUSTOMER | {"start_ms": 4_000, "end_ms": 6_000}]
    assert received(tmp_path, {"call": None, "segments": lively}).separate_channels is True


@pytest.mark.parametrize(
    ("segments", "problem"),
    [
        pytest.param([AGENT | {"speaker": 1}], "segments.0.speaker", id="a field that no segment has"),
        pytest.param([], "segments", id="nothing"),
        pytest.param("您好", "segments", id="no list"),
        pytest.param([AGENT | {"start_ms": 900, "end_ms": 100}], "ends_before_start", id="ends before it begins"),
        pytest.param([AGENT | {"start_ms": "soon"}], "segments", id="no number"),
        pytest.param([AGENT | {"start_ms": float("nan"), "end_ms": 900}], "segments", id="not a number"),
        pytest.param([AGENT | {"role": [], "start_ms": 0, "end_ms": 9}], "segments.0.role", id="no role"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, segments: object, problem: str) -> None:
    with pytest.raises(InvalidCallError, match=problem):
        received(tmp_path, {"segments": segments})
