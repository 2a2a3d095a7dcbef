"""What belongs in a field of a transcript that was made elsewhere, in words: of a file and of a request."""

import re

from pydantic import BaseModel

from schemas.messages.belongs_there import with_what_belongs_there
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
    (r".*<unknown field>", "extra_forbidden", "no such field; docs/transcripts.md lists all"),
)
"""Field, kind of error, and what to write in its place."""


def problem_of_transcript(problem: str, model: type[BaseModel] = TranscriptReceived) -> str:
    """The problem, and in brackets what to write in its place where the kind of error does not say it."""
    field, _, kind = problem.partition(": ")
    for fields, kinds, sentence in _BELONGS_THERE:
        if re.fullmatch(fields, field) and re.fullmatch(kinds, kind):
            return f"{problem} ({sentence})"
    return with_what_belongs_there(model, problem)
