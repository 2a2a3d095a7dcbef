"""`segments` of a transcript in a file, as other programs and our own transcripts have them, as `utterances`."""

import re
from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from typing import Any

from processors.receiving.pipeline import MS_PER_LETTER
from schemas.messages.said_text import said_text
from schemas.messages.transcript import Segment
from schemas.messages.transcript_received import MAX_UTTERANCE_LETTERS

TOLD = ("role", "text", "start_ms", "end_ms")
PASSED_OVER = frozenset(Segment.model_fields) - set(TOLD)
"""What segments of our own transcripts have besides: it is found anew."""
_CLAUSE = re.compile(r"[^，。！？；,!?;]*[，。！？；,!?;]?")


def utterances_of(segments: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The segments in the order in which they were begun, without empty ones, long ones in pieces.

    Where some have times and others not, what is missing is filled in: a segment begins where the one before ends, and
    lasts as long as its text is usually spoken, but not into what is told of the next. Fields that no segment has, and
    values that are none, stay, and are refused with their names.
    """
    said = [
        {name: value for name, value in one.items() if name not in PASSED_OVER and value is not None}
        for one in segments
        if not isinstance(one.get("text"), str) or said_text(one["text"]).strip()
    ]
    if any("start_ms" in one or "end_ms" in one for one in said):
        said = list(_with_times(said))
        if all(isinstance(one["start_ms"], int) for one in said):
            said.sort(key=lambda one: one["start_ms"])
    return [piece for one in said for piece in _pieces(one)]


def overlap(utterances: Sequence[Mapping[str, Any]]) -> bool:
    """Whether two sides speak at once, by the times that are told: then each had a channel of its own."""
    last: dict[str, int] = {}
    for one in utterances:
        role, start_ms, end_ms = (one.get(name) for name in ("role", "start_ms", "end_ms"))
        if not isinstance(role, str) or not isinstance(start_ms, int) or not isinstance(end_ms, int):
            return False
        if any(side != role and until_ms > start_ms for side, until_ms in last.items()):
            return True
        last[role] = max(last.get(role, 0), end_ms)
    return False


def _with_times(said: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    at_ms = 0
    for one, following in zip(said, [*said[1:], {}], strict=True):
        lasts_ms = MS_PER_LETTER * len(one["text"]) if isinstance(one.get("text"), str) else 0
        start_ms, end_ms = _whole(one.get("start_ms")), _whole(one.get("end_ms"))
        next_ms = _whole(following.get("start_ms"))
        if start_ms is None:
            start_ms = min(max(at_ms, end_ms - lasts_ms), end_ms) if isinstance(end_ms, int) else at_ms
        if end_ms is None and isinstance(start_ms, int):
            until_ms = start_ms + lasts_ms
            end_ms = max(start_ms, min(until_ms, next_ms)) if isinstance(next_ms, int) else until_ms
        yield one | {"start_ms": start_ms, "end_ms": end_ms}
        at_ms = max(at_ms, end_ms) if isinstance(end_ms, int) else at_ms


def _whole(value: Any) -> Any:
    return round(value) if isinstance(value, float) and isfinite(value) else value


def _pieces(one: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The utterance; in pieces that end with a clause, each with its share of the time, where it is too long."""
    text = one.get("text")
    if not isinstance(text, str) or len(text) <= MAX_UTTERANCE_LETTERS:
        yield one
        return
    pieces = [""]
    for clause in _CLAUSE.findall(text):
        for begin in range(0, len(clause), MAX_UTTERANCE_LETTERS):
            part = clause[begin : begin + MAX_UTTERANCE_LETTERS]
            if len(pieces[-1]) + len(part) > MAX_UTTERANCE_LETTERS:
                pieces.append("")
            pieces[-1] += part
    done = 0
    for piece in pieces:
        times = {}
        if isinstance(one.get("start_ms"), int) and isinstance(one.get("end_ms"), int):
            lasts_ms = one["end_ms"] - one["start_ms"]
            begin, end = (one["start_ms"] + lasts_ms * letters // len(text) for letters in (done, done + len(piece)))
            times = {"start_ms": begin, "end_ms": end}
        done += len(piece)
        if said_text(piece).strip():
            yield one | {"text": piece} | times
