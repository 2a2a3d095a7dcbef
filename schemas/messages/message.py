"""The base of all messages, and the field types that they share."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import sha256
from typing import Annotated, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    StringConstraints,
    ValidationError,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from schemas.errors import InvalidMessageError

MAX_PROBLEMS = 20
"""As many problems of one message are named; a dead letter must stay small however wrong the message was."""

UNKNOWN_FIELD = "<unknown field>"
"""Stands for the name of a field that the schema does not know: it could be a phone number."""


def _to_utc(value: datetime) -> datetime:
    """In UTC, within the years that every date type of ClickHouse can hold."""
    try:
        utc = value.astimezone(UTC)
    except OverflowError:
        raise _out_of_range() from None
    if not 1970 <= utc.year <= 2105:
        raise _out_of_range()
    return utc


def _out_of_range() -> PydanticCustomError:
    return PydanticCustomError("datetime_out_of_range", "the time is not in the years 1970 to 2105")


UtcDatetime = Annotated[AwareDatetime, AfterValidator(_to_utc)]
"""A point in time; a naive timestamp is refused, any other zone is converted to UTC."""

FUTURE_MOST = timedelta(days=1)
"""So far may the clocks of two systems be apart. What was once within it stays so, so old messages remain readable."""


def _has_happened(value: datetime) -> datetime:
    if value > datetime.now(UTC) + FUTURE_MOST:
        raise PydanticCustomError("datetime_in_the_future", "the time is more than a day in the future")
    return value


PastDatetime = Annotated[UtcDatetime, AfterValidator(_has_happened)]
"""When something happened that another system tells of: at most a day from now, or it would make a day of its own in
every roll-up for years to come."""

Identifier = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}$")]
"""An id from another system. It appears in logs, keys and object names: it must not hold a phone number or a name."""

TenantId = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,63}$")]
"""Begins with a letter, so that a phone number in the key of a foreign message is never taken for a tenant."""

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
ShortText = Annotated[str, StringConstraints(min_length=1, max_length=128, strip_whitespace=True)]
Slug = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]


class Record(BaseModel):
    """A frozen value. Unknown fields are refused, except where a message between own stages is read."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Message(Record):
    """One message on a topic: UTF-8 JSON on the wire."""

    max_bytes: ClassVar[int] = 16 * 1024 * 1024
    """A larger message is refused unread: one made of errors costs hundreds of times its size to describe."""

    own_unknown_fields: ClassVar[Literal["ignore"] | None] = "ignore"
    """What becomes of unknown fields, at any depth, when the message comes from one of our own stages. None: each part
    decides, by the `extra` of its `model_config`."""

    def encode(self) -> bytes:
        """The message as UTF-8 JSON, as it goes over the wire."""
        return self.model_dump_json().encode()

    @classmethod
    def decode(cls, raw: bytes | None, *, from_outside: bool = True) -> Self:
        """Read a message from the wire, as strictly as its JSON Schema reads: no "yes" for true, no "12" for 12.

        `from_outside` refuses unknown fields; otherwise `own_unknown_fields` holds. `Topic.decode` knows which is
        right. Of a key that occurs twice the last value counts, as in every common JSON reader.

        Raises `InvalidMessageError`, naming schema fields and kinds of error but no value: an event may hold
        anything, also in the names of fields that we do not know.
        """
        if raw is None:
            raise InvalidMessageError(["the message has no value"])
        if len(raw) > cls.max_bytes:
            raise InvalidMessageError([f"the message is larger than {cls.max_bytes} bytes"])
        # Raised after the except block: inside it, the caught error would ride along as __context__, with its input.
        try:
            extra = "forbid" if from_outside else cls.own_unknown_fields
            return cls.model_validate_json(raw.decode("utf-8"), strict=True, extra=extra)
        except UnicodeDecodeError:
            problems: tuple[str, ...] = ("the message is not UTF-8",)
        except ValidationError as error:
            problems = problems_of(cls, error)
        raise InvalidMessageError(problems)

    def fingerprint(self) -> str:
        """SHA-256 of the canonical JSON: equal for equal content, whatever the order of keys on the wire."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return sha256(canonical.encode()).hexdigest()


def problems_of(model: type[BaseModel], error: ValidationError) -> tuple[str, ...]:
    """`field.path: kind_of_error` of each problem, without values and without names that the schema does not know.

    The problems in alphabetical order: at most `MAX_PROBLEMS`, and a count of the rest."""
    details = error.errors(include_input=False, include_context=False, include_url=False)
    problems = sorted({_problem(model, detail) for detail in details if not is_by_another(detail, details)})
    unnamed = len(problems) - MAX_PROBLEMS
    return (*problems[:MAX_PROBLEMS], *([f"and {unnamed} more"] if unnamed > 0 else []))


def is_by_another(detail: ErrorDetails, details: Sequence[ErrorDetails]) -> bool:
    """Whether a list is called too short only because some of what it holds is wrong: pydantic does not count that."""
    place = detail["loc"]
    return detail["type"] == "too_short" and any(
        len(other["loc"]) > len(place) and other["loc"][: len(place)] == place for other in details
    )


def _problem(model: type[BaseModel], detail: ErrorDetails) -> str:
    """`field.path: kind_of_error`, where a name that the schema does not know is replaced."""
    known = _field_names(model)
    path = ".".join(str(part) if isinstance(part, int) or part in known else UNKNOWN_FIELD for part in detail["loc"])
    return f"{path or 'message'}: {detail['type']}"


@cache
def _field_names(model: type[BaseModel]) -> frozenset[str]:
    """Every property name in the JSON Schema of the model, nested ones included."""
    schema = model.model_json_schema()
    names: set[str] = set(schema.get("properties", {}))
    for definition in schema.get("$defs", {}).values():
        names.update(definition.get("properties", {}))
    return frozenset(names)
