"""How long recordings are kept, as YAML (R16–R18, R81, R82). `docs/scoring.md` says more.

`retention.yaml` beside this file is shipped; a setting names one's own in its place.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import Field, model_validator

from schemas.config.yaml_files import Location, YamlFileError, entry_named_by_id, find_repeated, read_yaml_file
from schemas.messages.message import Record, ShortText, Slug, TenantId

RETENTION_FILE = Path(__file__).parent / "retention.yaml"
"""The file that is shipped."""

LEAST_DAYS = 180
"""No class may be shorter: any industry keeps six months (R17)."""


class RetentionPolicyError(YamlFileError):
    """The file cannot be used; `problems` are sentences that name file, line, class and field."""


class RetentionWhen(Record):
    """What the event of a call must say. Empty fields are not checked; all others must match."""

    tenants: tuple[TenantId, ...] = ()
    industries: tuple[Slug, ...] = ()
    course_types: tuple[Slug, ...] = ()
    order_statuses: tuple[ShortText, ...] = ()


class RetentionAbout(Record):
    """What a call must be about; any one of these is enough.

    An inquiry type or a topic fits when it holds one of the texts: 退费 fits 退费规则咨询. Phrases are looked for in
    what was said, by whomever, so that a class is found also where no topics are.
    """

    inquiry_types: tuple[ShortText, ...] = ()
    topics: tuple[ShortText, ...] = Field(default=(), description="parts of the id or the name of a topic")
    phrases: tuple[ShortText, ...] = ()

    @model_validator(mode="after")
    def _names_something(self) -> Self:
        if not self.inquiry_types and not self.topics and not self.phrases:
            raise ValueError("about needs inquiry_types, topics or phrases")
        return self


class RetentionClass(Record):
    """One class: calls that fit `when` and, where it is given, `about`, are kept at least `days` days."""

    id: Slug
    name: ShortText
    days: int = Field(ge=LEAST_DAYS, le=36_525)
    when: RetentionWhen = RetentionWhen()
    about: RetentionAbout | None = None


class RetentionPolicy(Record):
    """The retention file: classes of which at least one fits every call."""

    version: int = Field(ge=1, le=1_000_000_000)
    owner: ShortText
    classes: tuple[RetentionClass, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _has_a_class_for_every_call(self) -> Self:
        problems = [f"class {name} occurs twice" for name in find_repeated(one.id for one in self.classes)]
        if not any(one.when == RetentionWhen() and one.about is None for one in self.classes):
            problems.append("one class must be without when and about, for the calls that fit no other")
        if problems:
            raise ValueError("; ".join(problems))
        return self


def read_retention_policy(file: Path = RETENTION_FILE) -> RetentionPolicy:
    """The policy of a file. Raises `RetentionPolicyError`."""
    try:
        return read_yaml_file(file, RetentionPolicy, _class_of).content
    except YamlFileError as error:
        raise RetentionPolicyError(error.problems) from None


def _class_of(content: Mapping[Any, Any], location: Location) -> str:
    return entry_named_by_id(content, location, ("classes",)).replace("classes ", "class ", 1)
