"""The base of everything that flows, and the field types that messages share."""

import json
from datetime import UTC, datetime
from typing import Annotated, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    StringConstraints,
    ValidationError,
)
from pydantic_core import ErrorDetails

from schemas.errors import InvalidMessageError


def _to_utc(value: datetime) -> datetime:
    return value.astimezone(UTC)


UtcDatetime = Annotated[AwareDatetime, AfterValidator(_to_utc)]
"""A point in time; a naive timestamp is refused, any other zone is converted to UTC."""

Identifier = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}$")]
"""An id from another system. It appears in logs, keys and object names: it must not hold a phone number or a name."""

TenantId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
ShortText = Annotated[str, StringConstraints(min_length=1, max_length=128, strip_whitespace=True)]
Slug = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]


class Record(BaseModel):
    """A frozen value inside a message; unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Message(Record):
    """One message on a topic: UTF-8 JSON on the wire."""

    def encode(self) -> bytes:
        """The message as it stands on the wire."""
        return self.model_dump_json().encode()

    @classmethod
    def decode(cls, raw: bytes | None) -> Self:
        """Read a message from the wire.

        Raises `InvalidMessageError`, naming schema fields and kinds of error but no value: an event may hold
        anything, also in the names of fields that we do not know.
        """
        if raw is None:
            raise InvalidMessageError(["the message has no value"])
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError:
            raise InvalidMessageError(["the message is not UTF-8"]) from None
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            problems = sorted(
                {_problem(cls, detail) for detail in error.errors(include_input=False, include_url=False)}
            )
            raise InvalidMessageError(problems) from None

    def fingerprint(self) -> str:
        """SHA-256 of the canonical JSON: equal for equal content, whatever the order of keys on the wire."""
        from hashlib import sha256

        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return sha256(canonical.encode()).hexdigest()


def _problem(model: type[BaseModel], detail: ErrorDetails) -> str:
    """`field.path: kind_of_error`, where a name that the schema does not know is replaced."""
    known = _field_names(model)
    path = ".".join(
        str(part) if isinstance(part, int) or part in known else "<unknown field>" for part in detail["loc"]
    )
    return f"{path or 'message'}: {detail['type']}"


def _field_names(model: type[BaseModel]) -> frozenset[str]:
    """Every property name in the JSON Schema of the model, nested ones included."""
    schema = model.model_json_schema()
    names: set[str] = set(schema.get("properties", {}))
    for definition in schema.get("$defs", {}).values():
        names.update(definition.get("properties", {}))
    return frozenset(names)
