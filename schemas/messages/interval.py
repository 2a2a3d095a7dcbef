"""`Interval`: the base of everything that has a start and an end in a recording."""

from typing import Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from schemas.messages.message import Record


class Interval(Record):
    """A stretch of the recording, in milliseconds from its start; `end_ms` is exclusive."""

    start_ms: int = Field(ge=0)
    end_ms: int = Field(ge=0)

    @model_validator(mode="after")
    def _ends_after_it_starts(self) -> Self:
        if self.end_ms < self.start_ms:
            raise PydanticCustomError("ends_before_start", "end_ms is before start_ms")
        return self
