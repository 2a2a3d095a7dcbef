"""What a list of calls (call detail records, CDR) means that an exchange writes: a YAML file for each kind of list."""

import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, model_validator

from schemas.config.time_zones import time_zone
from schemas.config.yaml_files import Location, YamlFileError, read_yaml, read_yaml_file
from schemas.errors import OperatorError
from schemas.messages.message import Record, Slug

MAPPINGS = "cdr_mappings"
"""The folder beside this file with those that are shipped."""

CdrColumn = Annotated[str, StringConstraints(min_length=1, max_length=128)]
"""A column of a CSV file; of JSON a path such as `variables.uuid` or `callflow.0.caller_profile.ani`."""


class CdrMappingError(OperatorError):
    """The mapping cannot be used; `problems` are sentences that name file, line and field."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


def _as_condition(value: object) -> object:
    """A plain value, or a list of them, is what the column must be one of."""
    return {"is": value} if isinstance(value, str | int | list) else value


def _as_list(value: object) -> object:
    items = value if isinstance(value, list) else [value]
    return [str(item) if isinstance(item, int) and not isinstance(item, bool) else item for item in items]


def _as_source(value: object) -> object:
    """The name of a column alone, or several of which the first counts that is not empty."""
    return {"from": value} if isinstance(value, str | list) else value


def _is_pattern(text: str) -> str:
    try:
        groups = re.compile(text).groups
    except re.error as error:
        raise ValueError(f"it is no regular expression: {error.msg}") from None
    if groups > 1:
        raise ValueError("a pattern has one group in brackets at most: what is taken out of the column")
    return text


Pattern = Annotated[str, StringConstraints(min_length=1, max_length=300), AfterValidator(_is_pattern)]


class CdrCondition(Record):
    """What a column must say. All that is given must hold."""

    is_: tuple[str, ...] | None = Field(default=None, alias="is", min_length=1)
    is_not: tuple[str, ...] | None = Field(default=None, min_length=1)
    more_than: float | None = Field(default=None, description="as a number; an empty column is no number")
    matches: Pattern | None = Field(default=None, description="a regular expression that occurs in it")

    @model_validator(mode="before")
    @classmethod
    def _lists(cls, content: object) -> object:
        if not isinstance(content, dict):
            return content
        return {name: tuple(_as_list(v)) if name in ("is", "is_not") else v for name, v in content.items()}  # type: ignore[arg-type]

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("a condition has is, is_not, more_than or matches")
        return self


CdrConditions = Mapping[CdrColumn, Annotated[CdrCondition, BeforeValidator(_as_condition)]]
"""Column → what it must say; all must hold."""


class Source(Record):
    """Where a field comes from: the first of these columns that is not empty."""

    columns: tuple[CdrColumn, ...] = Field(
        alias="from", default=(), max_length=10, description="columns, the first that is not empty counts"
    )
    pattern: Pattern | None = Field(
        default=None, description="what of the column counts: the group, or all that matches"
    )
    values: Mapping[str, str] | None = Field(default=None, description="what each value of the column means")
    otherwise: str | None = Field(default=None, description="where there is none, or values do not know it")
    inbound: tuple[CdrColumn, ...] = Field(default=(), description="in place of from, of inbound calls")
    outbound: tuple[CdrColumn, ...] = Field(default=(), description="in place of from, of outbound calls")

    @model_validator(mode="before")
    @classmethod
    def _lists(cls, content: object) -> object:
        if not isinstance(content, dict):
            return content
        places = ("from", "inbound", "outbound")
        return {
            name: tuple(_as_list(value)) if name in places else value  # type: ignore[arg-type]
            for name, value in content.items()
        }

    @model_validator(mode="after")
    def _has_one(self) -> Self:
        if not (self.columns or self.inbound or self.outbound or self.otherwise):
            raise ValueError("a field has from, inbound and outbound, or otherwise")
        return self


SourceOfField = Annotated[Source, BeforeValidator(_as_source)]


class Fields(Record):
    """Where the fields of a call come from. `ended_at` or `duration_s` must be there."""

    call_id: SourceOfField
    started_at: SourceOfField
    ended_at: SourceOfField | None = None
    duration_s: SourceOfField | None = Field(
        default=None, description="seconds from start to end, in place of ended_at"
    )
    tenant_id: SourceOfField | None = Field(default=None, description="without it, all are of the tenant of --tenant")
    direction: SourceOfField | None = Field(default=None, description="inbound or outbound")
    handled_by: SourceOfField | None = Field(default=None, description="human or bot; without it, human")
    agent_id: SourceOfField | None = None
    queue: SourceOfField | None = None
    customer_number: SourceOfField | None = Field(
        default=None, description="made the key of the customer at once, and kept nowhere"
    )

    @model_validator(mode="after")
    def _tells_the_end(self) -> Self:
        if (self.ended_at is None) == (self.duration_s is None):
            raise ValueError("give ended_at or duration_s, one of the two")
        return self


TimeFormat = Literal["iso", "epoch_s", "epoch_ms", "epoch_us"]


class CdrMapping(Record):
    """One kind of list."""

    version: Literal[1]
    name: Slug
    description: str = ""
    format: Literal["csv", "json"]
    columns: tuple[CdrColumn, ...] | None = Field(
        default=None, description="of CSV without a first line that names them: the columns in their order"
    )
    url_encoded: bool = Field(default=False, description="values of JSON are written with %XX, as FreeSWITCH does")
    time_format: TimeFormat | str = Field(
        default="iso", description="iso, epoch_s, epoch_ms, epoch_us, or as strptime has it: %d.%m.%Y %H:%M:%S"
    )
    time_zone: str | None = Field(default=None, description="of times without one; by default the tenant's")
    fields: Fields
    calls_when: CdrConditions = Field(default={}, description="rows that are calls; others are passed over")
    answered_when: CdrConditions | None = None
    recorded_when: CdrConditions = Field(default={}, description="calls that must have a recording")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.format == "json" and self.columns is not None:
            raise ValueError("columns are those of CSV: JSON has names")
        if self.format == "csv" and self.url_encoded:
            raise ValueError("url_encoded is about JSON")
        if self.columns is not None and len(set(self.columns)) < len(self.columns):
            raise ValueError("a column occurs twice")
        if self.time_zone is not None:
            time_zone(self.time_zone)
        if "%" not in self.time_format and self.time_format not in ("iso", "epoch_s", "epoch_ms", "epoch_us"):
            raise ValueError("time_format is iso, epoch_s, epoch_ms, epoch_us or has % as strptime")
        if self.columns is not None and (unknown := sorted(self.named_columns() - set(self.columns))):
            raise ValueError(f"columns lack {', '.join(unknown)}")
        return self

    def named_columns(self) -> set[str]:
        """Every column that the mapping speaks of."""
        sources = (getattr(self.fields, name) for name in Fields.model_fields)
        of_fields = {
            column
            for source in sources
            if source is not None
            for column in (*source.columns, *source.inbound, *source.outbound)
        }
        return of_fields | {*self.calls_when, *(self.answered_when or ()), *self.recorded_when}


def shipped_mappings() -> dict[str, str]:
    """Name → text of the mappings that come along."""
    folder = resources.files("schemas.config") / MAPPINGS
    return {
        file.name.removesuffix(".yaml"): file.read_text(encoding="utf-8")
        for file in sorted(folder.iterdir(), key=lambda each: each.name)
        if file.name.endswith(".yaml")
    }


def read_mapping(name_or_file: str) -> CdrMapping:
    """One that is shipped, by its name, or a file of one's own. Raises `CdrMappingError`."""
    shipped = shipped_mappings()
    try:
        if name_or_file in shipped:
            return read_yaml(f"{name_or_file}.yaml", shipped[name_or_file], CdrMapping, _no_entry).content
        if not Path(name_or_file).exists():
            raise CdrMappingError(
                (f"there is no mapping {name_or_file}: give a YAML file, or one of {', '.join(sorted(shipped))}",)
            )
        return read_yaml_file(Path(name_or_file), CdrMapping, _no_entry).content
    except YamlFileError as error:
        raise CdrMappingError(error.problems) from None


def _no_entry(_content: Mapping[Any, Any], _location: Location) -> str:
    return ""
