"""What of an answer is believed: kinds of the list, with a quote that the right speaker said."""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from processors.second_reading.question import NotReadError, Question
from processors.text.normalized_text import normalize
from processors.text.passages import Passage
from schemas.messages.message import Record

NO_JSON = "answer_no_json"
WRONG_SCHEMA = "answer_wrong_schema"

MAX_FINDINGS = 50
"""Of an answer; one with more is of no use to anybody."""
LEAST_QUOTE_LETTERS = 2
"""A single character stands in every call."""

ANSWER_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "findings": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "kind": {"type": "string"},
                    "turn": {"type": "integer"},
                    "quote": {"type": "string"},
                    "confidence": {"type": "number"},
                },
                "required": ["kind", "turn", "quote", "confidence"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["findings"],
    "additionalProperties": False,
}


def answer_schema(question: Question) -> dict[str, Any]:
    """The JSON Schema of an answer, with the kinds of this pack as a closed list."""
    schema: dict[str, Any] = {**ANSWER_SCHEMA}
    item = ANSWER_SCHEMA["properties"]["findings"]["items"]
    kind = {"type": "string", "enum": [kind.id for kind in question.pack.kinds]}
    items = {**item, "properties": {**item["properties"], "kind": kind}}
    schema["properties"] = {"findings": {"type": "array", "items": items}}
    return schema


class Allegation(BaseModel):
    """One finding as the reader gives it. What else stands in it is passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    kind: str
    turn: int | None = None
    quote: str
    confidence: float = Field(ge=0, le=1)


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    findings: tuple[Any, ...]


class VerifiedQuote(Record):
    """A finding whose quote stands in the transcript: where, not what, so that it may be kept."""

    kind: str
    turn: int = Field(ge=0)
    start: int = Field(ge=0, description="of the quote in the text of the passage")
    end: int = Field(ge=1)
    confidence: float = Field(ge=0, le=1)


class SecondReading(Record):
    """What is believed of an answer, and how many findings of it were dropped."""

    quotes: tuple[VerifiedQuote, ...] = ()
    dropped: int = Field(default=0, ge=0)


def verify(text: str, question: Question) -> SecondReading:
    """The findings of an answer whose kind is known and whose quote stands in the transcript, said by the speaker that
    the kind is about; the others are counted.

    Width, case, script and punctuation of a quote do not matter. Raises `NotReadError` for what is no such answer.
    """
    try:
        answer = _Answer.model_validate_json(_bare(text))
    except ValidationError as error:
        is_json = all(detail["type"] != "json_invalid" for detail in error.errors(include_input=False))
        raise NotReadError(WRONG_SCHEMA if is_json else NO_JSON) from None
    if len(answer.findings) > MAX_FINDINGS:
        raise NotReadError(WRONG_SCHEMA)
    roles = {kind.id: kind.role for kind in question.pack.kinds}
    found: dict[tuple[str, int, int, int], VerifiedQuote] = {}
    dropped = 0
    for each in answer.findings:
        quote = _verified(each, question, roles)
        if quote is None:
            dropped += 1
            continue
        place = (quote.kind, quote.turn, quote.start, quote.end)
        known = found.get(place)
        if known is None or known.confidence < quote.confidence:
            found[place] = quote
    return SecondReading(quotes=tuple(found.values()), dropped=dropped)


def _verified(finding: Any, question: Question, roles: dict[str, Any]) -> VerifiedQuote | None:
    try:
        alleged = Allegation.model_validate(finding)
    except ValidationError:
        return None
    role = roles.get(alleged.kind)
    letters = normalize(alleged.quote).letters
    if role is None or len(letters) < LEAST_QUOTE_LETTERS:
        return None
    for passage in _named_first(question.passages, alleged.turn):
        if passage.role != role:
            continue
        normalized = passage.utterance.normalized
        at = normalized.letters.find(letters)
        if at >= 0:
            start, end = normalized.source_span(at, at + len(letters))
            return VerifiedQuote(
                kind=alleged.kind, turn=passage.number, start=start, end=end, confidence=alleged.confidence
            )
    return None


def _named_first(passages: Sequence[Passage], turn: int | None) -> list[Passage]:
    """Readers miscount: the passage that is named, then the others."""
    return sorted(passages, key=lambda passage: passage.number != turn)


def _bare(text: str) -> str:
    """Without what models put around JSON: their thoughts, and a fence."""
    text = text.rpartition("</think>")[2].strip()
    if text.startswith("```"):
        text = text.partition("\n")[2].rpartition("```")[0]
    return text
