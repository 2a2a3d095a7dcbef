"""Strict at the edge, tolerant inside: a field that this release does not know."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from schemas.config.rule_pack import RulePack
from schemas.errors import InvalidMessageError
from schemas.messages.message import Message
from schemas.messages.topics import (
    CALLS_ENDED,
    CALLS_LISTED,
    CALLS_RATED,
    CALLS_TRANSCRIBED,
    FACTS_RECEIVED,
    LANE_OF,
    RULES_PUBLISHED,
    TOPICS,
    TRANSCRIPTS_RECEIVED,
    VERDICTS_GIVEN,
    AnyTopic,
)
from schemas.messages.transcript import Transcript

EXAMPLES = Path(__file__).parents[2] / "examples"
UNKNOWN = "added_by_a_later_release"


def examples(topic: AnyTopic) -> list[Message]:
    return [topic.decode(path.read_bytes()) for path in sorted((EXAMPLES / topic.name).glob("*.json"))]


def parts(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], BaseModel]]:
    """Every model in a message, the message itself first, with the way to it."""
    if isinstance(value, BaseModel):
        yield path, value
        for name in type(value).model_fields:
            yield from parts(getattr(value, name), (*path, name))
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from parts(item, (*path, key))
    elif isinstance(value, tuple):
        for position, item in enumerate(value):
            yield from parts(item, (*path, position))


def with_unknown_field(message: Message, *paths: tuple[str | int, ...]) -> bytes:
    """The message on the wire with a field more in each of the parts."""
    content = json.loads(message.encode())
    for path in paths:
        node = content
        for step in path:
            node = node[step]
        node[UNKNOWN] = {"phone": [1, None, "x"]}
    return json.dumps(content).encode()


def test_other_programs_write_calls_lists_transcripts_ratings_facts_and_verdicts_and_nothing_else() -> None:
    outside = {topic.name for topic in TOPICS if topic.from_outside}
    assert outside == {
        *LANE_OF,
        CALLS_LISTED.name,
        CALLS_RATED.name,
        FACTS_RECEIVED.name,
        TRANSCRIPTS_RECEIVED.name,
        VERDICTS_GIVEN.name,
    }


@pytest.mark.parametrize("topic", [topic for topic in TOPICS if not topic.from_outside], ids=lambda topic: topic.name)
def test_between_own_stages_an_unknown_field_is_ignored_wherever_it_stands(topic: AnyTopic) -> None:
    for message in examples(topic):
        paths = [path for path, _ in parts(message) if topic is not RULES_PUBLISHED or path[:1] != ("pack",)]
        assert () in paths
        assert topic.decode(with_unknown_field(message, *paths)) == message


@pytest.mark.parametrize("topic", [topic for topic in TOPICS if topic.from_outside], ids=lambda topic: topic.name)
def test_from_outside_an_unknown_field_is_refused_wherever_it_stands(topic: AnyTopic) -> None:
    for message in examples(topic):
        for path, _ in parts(message):
            with pytest.raises(InvalidMessageError) as refused:
                topic.decode(with_unknown_field(message, path))
            where = ".".join([*map(str, path), "<unknown field>"])
            assert refused.value.problems == (f"{where}: extra_forbidden",)


def test_the_same_event_is_read_strictly_alone_and_tolerantly_inside_a_transcript() -> None:
    transcript = next(each for each in examples(CALLS_TRANSCRIBED) if isinstance(each, Transcript))

    inside = CALLS_TRANSCRIBED.decode(with_unknown_field(transcript, ("call",), ("call", "agent")))

    assert inside.call == transcript.call
    with pytest.raises(InvalidMessageError):
        CALLS_ENDED.decode(with_unknown_field(transcript.call, ("agent",)))


def test_a_rule_is_refused_by_who_does_not_know_all_of_it() -> None:
    for message in examples(RULES_PUBLISHED):
        inside = [(path, part) for path, part in parts(message) if path[:1] == ("pack",)]
        assert isinstance(inside[0][1], RulePack)
        for path, _ in inside:
            with pytest.raises(InvalidMessageError) as refused:
                RULES_PUBLISHED.decode(with_unknown_field(message, path))
            assert "extra_forbidden" in str(refused.value)


def test_tolerance_is_for_unknown_fields_alone() -> None:
    (message, *_) = examples(CALLS_TRANSCRIBED)
    for field, wrong in (("roles_inferred", "yes"), ("transcribed_at", "2026-01-01T00:00:00"), ("schema_version", 2)):
        content = json.loads(message.encode()) | {field: wrong}
        with pytest.raises(InvalidMessageError):
            CALLS_TRANSCRIBED.decode(json.dumps(content).encode())


def test_a_transcript_with_fields_that_were_dropped_since_is_still_read() -> None:
    """History is judged again from transcripts that may be a year old."""
    path = EXAMPLES / CALLS_TRANSCRIBED.name / "roles_inferred_and_sound.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["segments"][0]["text_in_digits"] = "工号5006"
    content["sound"] |= {
        "overlaps": [{"start_ms": 1, "end_ms": 300, "started_by": "agent", "channel": 0}],
        "leading_silence_ms": 300,
        "trailing_silence_ms": None,
    }
    content["sound"]["channels"][0]["loudness_dbfs"] = [-20.5, -96.0]

    assert CALLS_TRANSCRIBED.decode(json.dumps(content).encode()) == CALLS_TRANSCRIBED.decode(path.read_bytes())
