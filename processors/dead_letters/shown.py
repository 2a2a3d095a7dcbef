"""What of a refused message people are shown: its form, and the values that tell nothing of a person. Pure.

What nobody has decided about is hidden: a message that was refused may hold anything, also in the names of its fields.
"""

import json
from collections.abc import Mapping
from typing import Any

from schemas.messages.message import UNKNOWN_FIELD, Message
from schemas.messages.topics import TOPICS, AnyTopic

MOST_LINES = 400
"""Of a message; what comes behind is counted."""

SHOWN_FIELDS = frozenset(
    {
        *("schema_version", "tenant_id", "call_id", "direction", "handled_by", "started_at", "ended_at", "industry"),
        *("course_type", "legal_hold", "recording_notice_played", "language", "language_hint", "outcome", "source"),
        *("outcome_reason", "transcribed_at", "analyzed_at", "analysis_version", "lexicon_version", "rated_at"),
        *("given_at", "listed_at", "valid_from", "entity", "about", "answer", "recorded", "answered", "resolved"),
        *("hold_ms", "queue_wait_ms", "after_call_work_ms", "disconnected_by", "bytes", "container", "codec"),
        *("sample_rate_hz", "channels", "channel_roles", "algorithm", "start_ms", "end_ms", "role", "segment_id"),
        *("channel", "confidence", "duration_ms", "engine", "name", "version", "model", "seniority", "score"),
        *("scale_min", "scale_max", "severity", "detector", "rule_id", "rule_version", "kind", "category"),
    }
)
"""Fields whose values are shown where they are numbers, truth values, times, or words of ours. The text of any other is
told by its length."""

_SHOWN_TEXT = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:@+-/TZ")
_LONGEST_SHOWN = 128
_MOST_DIGITS_IN_A_ROW = 10
"""A phone number of China has 11: an id that has as many is hidden, for nobody knows what it is."""

_TOPIC_OF: Mapping[str, AnyTopic] = {topic.name: topic for topic in TOPICS}


def shown_message(topic_name: str, value: bytes | None) -> tuple[str, ...]:
    """The message as lines `path: what stands there`; at most `MOST_LINES`, and how many more there were.

    Of what is no JSON: its size, and where reading it failed.
    """
    if value is None:
        return ("the message has no value",)
    try:
        read = json.loads(value.decode("utf-8"))
    except UnicodeDecodeError as error:
        return (f"{len(value)} bytes that are not UTF-8: byte {error.start} is none of it",)
    except json.JSONDecodeError as error:
        return (f"{len(value)} bytes that are no JSON: it ends to be that at character {error.pos}",)
    except (ValueError, RecursionError):  # numbers of thousands of digits, thousands of brackets
        return (f"{len(value)} bytes of JSON that cannot be read",)
    topic = _TOPIC_OF.get(topic_name)
    known = _field_names(topic.message) if topic is not None else frozenset[str]()
    lines: list[str] = []
    left = _walk(read, "", "", known, lines)
    return (*lines, *([f"and {left} more"] if left else []))


def _walk(value: Any, path: str, name: str, known: frozenset[str], lines: list[str]) -> int:
    """How many values found no room. Breadth is bounded by the size of a message, depth by what `json` reads."""
    if isinstance(value, dict) and value:
        return sum(
            _walk(each, _joined(path, key if key in known else UNKNOWN_FIELD), key, known, lines)
            for key, each in value.items()
        )
    if isinstance(value, list) and value:
        return sum(_walk(each, f"{path}[{at}]", name, known, lines) for at, each in enumerate(value))
    if len(lines) >= MOST_LINES:
        return 1
    lines.append(f"{path or 'message'}: {_told(value, name if name in known else '')}")
    return 0


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _told(value: Any, name: str) -> str:
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, (dict, list)):
        return "{}" if isinstance(value, dict) else "[]"
    if isinstance(value, str):
        return value if name in SHOWN_FIELDS and _tells_nothing(value) else f"<{len(value)} characters>"
    if name in SHOWN_FIELDS and abs(value) < 10**_MOST_DIGITS_IN_A_ROW:
        return json.dumps(value)
    return "<number>"


def _tells_nothing(text: str) -> bool:
    """Words of ours, ids and times: a name, a sentence and a phone number are none of these."""
    if len(text) > _LONGEST_SHOWN or not _SHOWN_TEXT.issuperset(text):
        return False
    in_a_row = 0
    for letter in text:
        in_a_row = in_a_row + 1 if letter.isdigit() else 0
        if in_a_row > _MOST_DIGITS_IN_A_ROW:
            return False
    return True


def _field_names(message: type[Message]) -> frozenset[str]:
    schema = message.model_json_schema()
    names = set(schema.get("properties", {}))
    for definition in schema.get("$defs", {}).values():
        names.update(definition.get("properties", {}))
    return frozenset(names)
