"""How long recordings are kept and what becomes of them then, as YAML (R16–R19, R81, R82, R94). `docs/retention.md`.

`retention.yaml` beside this file is shipped; a setting names one's own in its place.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from schemas.config.tenants import Tenants
from schemas.config.yaml_files import Location, YamlFileError, entry_named_by_id, find_repeated, read_yaml_file
from schemas.messages.message import Record, ShortText, Slug, TenantId

RETENTION_FILE = Path(__file__).parent / "retention.yaml"
"""The file that is shipped."""

LEAST_DAYS = 180
"""No class may be shorter: any industry keeps six months (R17)."""

INDUSTRY_FLOORS: Mapping[str, int] = {"education": 365, "finance": 365, "medical": 365}
"""Industry → days that every call of it is kept, whoever's it is (R18, R81). No file and no tenant goes below."""

REFUND_FLOOR_DAYS = 1_095
REFUND_INDUSTRY = "education"
REFUND_TEXTS = ("退费", "报名")
"""Calls of the industry about one of these are kept for three years (R82)."""

LONGEST_DAYS = 36_525

AtEnd = Literal["delete", "archive"]
"""What becomes of a recording when it need no longer be kept: it goes, or lies on a cheaper class for a while first."""

Starts = Literal["call_end", "event"]


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

    def names(self, text: str) -> bool:
        """Whether a call falls under it whose inquiry type or topic holds the text, or in which it is said."""
        return all(text in texts for texts in (self.inquiry_types, self.phrases))


class RetentionClass(Record):
    """One class: calls that fit `when` and, where it is given, `about`, are kept at least `days` days.

    The days count from the end of the call or, with `starts: event`, from a later event that somebody tells, such as
    the end of a contract; until that is told the recording is kept, for `at_most_days` from the end of the call where
    those are given, else for good.
    """

    id: Slug
    name: ShortText
    days: int = Field(ge=LEAST_DAYS, le=LONGEST_DAYS)
    when: RetentionWhen = RetentionWhen()
    about: RetentionAbout | None = None
    starts: Starts = "call_end"
    event: Slug | None = Field(default=None, description="with starts: event, what is waited for: contract_ended")
    at_most_days: int | None = Field(default=None, ge=LEAST_DAYS, le=LONGEST_DAYS)
    at_end: AtEnd = "delete"
    archive_days: int | None = Field(default=None, ge=1, le=LONGEST_DAYS)

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if (self.starts == "event") != (self.event is not None):
            raise ValueError("starts: event and event go together")
        if self.at_most_days is not None and (self.event is None or self.at_most_days < self.days):
            raise ValueError("at_most_days goes with starts: event, and may not be less than days")
        if (self.at_end == "archive") != (self.archive_days is not None):
            raise ValueError("at_end: archive and archive_days go together")
        return self

    @property
    def floor_days(self) -> int:
        """So many days the law demands of what falls under it."""
        named = [INDUSTRY_FLOORS.get(industry, LEAST_DAYS) for industry in self.when.industries]
        return max([LEAST_DAYS, *named, *([REFUND_FLOOR_DAYS] if self._is_about_refunds else [])])

    @property
    def _is_about_refunds(self) -> bool:
        return (
            self.about is not None
            and REFUND_INDUSTRY in self.when.industries
            and any(self.about.names(text) for text in REFUND_TEXTS)
        )

    def covers(self, industry: str, about: str | None = None) -> bool:
        """Whether every call of the industry, of whichever tenant, falls under it; or of those about this text."""
        when = self.when
        if (
            when.tenants
            or when.course_types
            or when.order_statuses
            or (when.industries and industry not in when.industries)
        ):
            return False
        return self.about is None or (about is not None and self.about.names(about))


class EarlyDeletion(Record):
    """Recordings of misdials may go early (R94): those that were too short to be heard, and shorter than this."""

    shorter_than_s: int = Field(default=5, ge=1, le=5)
    days: int = Field(default=7, ge=1, le=LONGEST_DAYS)


class RetentionPolicy(Record):
    """The retention file: classes of which at least one fits every call."""

    version: int = Field(ge=1, le=1_000_000_000)
    owner: ShortText
    early: EarlyDeletion | None = Field(default=None, description="without it, misdials are kept like other calls")
    classes: tuple[RetentionClass, ...] = Field(min_length=1, max_length=500)

    @model_validator(mode="after")
    def _has_a_class_for_every_call(self) -> Self:
        problems = [f"class {name} occurs twice" for name in find_repeated(one.id for one in self.classes)]
        if not any(one.when == RetentionWhen() and one.about is None for one in self.classes):
            problems.append("one class must be without when and about, for the calls that fit no other")
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def floor_problems(self) -> list[str]:
        """Where it keeps calls for fewer days than the law demands: sentences with class or industry, and floor."""
        problems = [
            f"class {one.id}: {one.days} days are fewer than the floor of {one.floor_days} days{_of_industries(one)}"
            for one in self.classes
            if one.days < one.floor_days
        ]
        for industry, floor in INDUSTRY_FLOORS.items():
            if self._least_days(industry) < floor:
                problems.append(f"no class keeps every call of the industry {industry} for the floor of {floor} days")
        for text in REFUND_TEXTS:
            if self._least_days(REFUND_INDUSTRY, text) < REFUND_FLOOR_DAYS:
                problems.append(
                    f"no class keeps calls of the industry {REFUND_INDUSTRY} about {text} (inquiry type, or said) for "
                    f"the floor of {REFUND_FLOOR_DAYS} days"
                )
        return problems

    def _least_days(self, industry: str, about: str | None = None) -> int:
        return max((one.days for one in self.classes if one.covers(industry, about)), default=0)

    def of_tenant(self, days: Mapping[str, int]) -> "RetentionPolicy":
        """The policy with the days that a tenant has set for some of its classes."""
        if not days:
            return self
        changed = [one.model_copy(update={"days": days.get(one.id, one.days)}) for one in self.classes]
        return self.model_copy(update={"classes": tuple(changed)})


class TenantPolicies:
    """The policy of each tenant: the file's, with the days that its entry in the tenants file sets for a class.

    Raises `RetentionPolicyError` where an entry names no class of the file, or goes below a floor.
    """

    def __init__(self, policy: RetentionPolicy, tenants: Tenants) -> None:
        self.policy = policy
        self._of = {
            one.id: policy.of_tenant(one.retention_days) for one in tenants.tenants if one.retention_days is not None
        }
        known = {one.id for one in policy.classes}
        problems = [
            f"tenant {one.id}, field retention_days: there is no class {name} in the retention file"
            for one in tenants.tenants
            for name in one.retention_days or ()
            if name not in known
        ]
        for tenant, own in self._of.items():
            problems += [f"tenant {tenant}, field retention_days: {problem}" for problem in _tenant_problems(own)]
        if problems:
            raise RetentionPolicyError(problems)

    def of(self, tenant_id: str) -> RetentionPolicy:
        """Of this tenant."""
        return self._of.get(tenant_id, self.policy)


def _tenant_problems(policy: RetentionPolicy) -> list[str]:
    below = [
        f"class {one.id}: at_most_days ({one.at_most_days}) may not be less than its days ({one.days})"
        for one in policy.classes
        if one.at_most_days is not None and one.at_most_days < one.days
    ]
    return [*policy.floor_problems(), *below]


def _of_industries(one: RetentionClass) -> str:
    named = [industry for industry in one.when.industries if industry in INDUSTRY_FLOORS]
    return f" for the industry {', '.join(named)}" if named else ""


def read_retention_policy(file: Path = RETENTION_FILE) -> RetentionPolicy:
    """The policy of a file. Raises `RetentionPolicyError`, also where it goes below a floor."""
    try:
        policy = read_yaml_file(file, RetentionPolicy, _class_of).content
    except YamlFileError as error:
        raise RetentionPolicyError(error.problems) from None
    if problems := policy.floor_problems():
        raise RetentionPolicyError([f"{file}: {problem}" for problem in problems])
    return policy


def _class_of(content: Mapping[Any, Any], location: Location) -> str:
    return entry_named_by_id(content, location, ("classes",)).replace("classes ", "class ", 1)
