"""What belongs in a field of a transcript that was made elsewhere, in words: of a file and of a request."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import BaseModel

from schemas.messages.belongs_there import fields_known_at, with_what_belongs_there
from schemas.messages.message import MAX_PROBLEMS, UNKNOWN_FIELD
from schemas.messages.transcript_received import MAX_LETTERS, MAX_UTTERANCE_LETTERS, MAX_UTTERANCES, TranscriptReceived

NO_CALL_ID = "give the call an id: call_id in call"
_BELONGS_THERE: tuple[tuple[str, str, str], ...] = (
    (r"call\.call_id", "missing", NO_CALL_ID),
    (r"utterances\.\d+\.role", "literal_error|missing", "agent, customer or unknown"),
    (r"utterances\.\d+\.text", "string_too_short", "what was said; leave out utterances without words"),
    (r"utterances\.\d+\.text", "string_too_long", f"at most {MAX_UTTERANCE_LETTERS} letters; cut it into several"),
    (r"utterances\.\d+", "one_time_without_the_other", "start_ms and end_ms, or neither"),
    (r"utterances", "utterance_\\d+_times_for_all_or_none", "give times to all utterances, counted from 0, or to none"),
    (r"utterances", "utterance_\\d+_begins_before.*", "sort the utterances, counted from 0, by start_ms"),
    (r"utterances", "more_letters_than_a_call_has", f"at most {MAX_LETTERS} letters in all"),
    (r"utterances", "too_short", "at least one object with role and text"),
    (r"message", "neither_utterances_nor_sealed", "utterances: at least one object with role and text"),
    (r"utterances", "too_long", f"at most {MAX_UTTERANCES} utterances"),
    (r".*_ms", "int_.*|greater_than_equal|less_than_equal", "whole milliseconds from the start of the call, of 7 days"),
    (r".*_at", "datetime_.*|timezone_.*", "a time with its zone, such as 2026-03-02T10:15:00+08:00"),
    (rf".*{UNKNOWN_FIELD}", "extra_forbidden", "no such field; docs/transcripts.md lists all"),
)
"""Field, kind of error, and what to write in its place."""
_LONGEST_NAME = 64


def problem_of_transcript(problem: str, model: type[BaseModel] = TranscriptReceived) -> str:
    """The problem, and in brackets what to write in its place where the kind of error does not say it."""
    field, _, kind = problem.partition(": ")
    for fields, kinds, sentence in _BELONGS_THERE:
        if re.fullmatch(fields, field) and re.fullmatch(kinds, kind):
            return f"{problem} ({sentence})"
    return with_what_belongs_there(model, problem)


def with_names(problem: str, given: object, model: type[BaseModel] = TranscriptReceived) -> Iterator[str]:
    """The problem as `problem_of_transcript` tells it; of unknown fields one each, with its name in what was `given`.

    For whoever wrote the file, on their own terminal. Such a name may be a phone number: no log, dead letter or answer
    to a request may hold it.
    """
    told, path = problem_of_transcript(problem, model), problem.partition(": ")[0].split(".")
    names = sorted(_names_at(given, path[:-1]) - fields_known_at(model, path[:-1])) if path[-1] == UNKNOWN_FIELD else []
    yield from (told.replace(UNKNOWN_FIELD, _readable(name), 1) for name in names[:MAX_PROBLEMS])
    if not names:
        yield told


def _names_at(given: Any, path: Sequence[str]) -> set[str]:
    """The names of the fields of the object at that place; none where there is no object."""
    for part in path:
        if isinstance(given, dict):
            given = given.get(part)
        elif isinstance(given, list) and part.isdecimal() and int(part) < len(given):
            given = given[int(part)]
        else:
            return set()
    return set(given) if isinstance(given, dict) else set()


def _readable(name: str) -> str:
    """As much of a name as one line shows, whatever is in it."""
    short = name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}…"
    return short if short.isprintable() else ascii(short)
