"""How the risk of a call is counted, as YAML (R49): named parts that add up, and thresholds. See `docs/scoring.md`.

`risk.yaml` beside this file is shipped; a setting names one's own in its place.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self, get_args

from pydantic import BeforeValidator, Field, model_validator

from schemas.config.yaml_files import Location, YamlFileError, entry_named_by_id, find_repeated, read_yaml_file
from schemas.messages.call_ended import Role
from schemas.messages.finding import Severity
from schemas.messages.message import Record, ShortText, Slug, TenantId

RISK_FILE = Path(__file__).parent / "risk.yaml"
"""The file that is shipped."""

VALUE = "{value}"
"""Stands in `says` for the value of the measure."""


class RiskRulesError(YamlFileError):
    """The file cannot be used; `problems` are sentences that name file, line, part and field."""


class Thresholds(Record):
    """The scores from which a call counts as medium and as high."""

    medium: float = Field(gt=0)
    high: float = Field(gt=0)

    @model_validator(mode="after")
    def _are_in_order(self) -> Self:
        if self.high <= self.medium:
            raise ValueError("high must be more than medium")
        return self


def _for_every_severity(points: object) -> object:
    return dict.fromkeys(get_args(Severity), points) if isinstance(points, int | float) else points


class PointsOfFindings(Record):
    """Which findings count, and how much: for each its points times its confidence.

    Findings of severity `info` only show something and never count.
    """

    categories: dict[Slug, ShortText] = Field(default_factory=dict, description="category → its name in words")
    rules: dict[ShortText, ShortText] = Field(default_factory=dict, description="rule_id → its name in words")
    roles: tuple[Role, ...] = Field(default=(), description="only what these said; empty: anyone")
    points: Annotated[dict[Severity, float], BeforeValidator(_for_every_severity)] = Field(
        description="of each, by severity; a number stands for all of them"
    )

    @model_validator(mode="after")
    def _names_findings_and_no_negative_points(self) -> Self:
        if not self.categories and not self.rules:
            raise ValueError("findings need categories or rules")
        if any(points < 0 for points in self.points.values()):
            raise ValueError("points must not be negative")
        return self

    def points_of(self, severity: Severity) -> float:
        """The points of one finding that is certain."""
        if severity == "info":
            return 0
        return self.points.get(severity, 0)


class RiskPointsOfMeasure(Record):
    """When a measure counts: it is `equals`, it is more than `above`, or it is a count, with points for `each`."""

    name: Slug
    equals: bool | None = None
    above: float | None = None
    each: bool = False
    points: float = Field(ge=0)
    says: ShortText = Field(description="the reason in words; {value} stands for the value")

    @model_validator(mode="after")
    def _says_when_one_way(self) -> Self:
        if [self.equals is not None, self.above is not None, self.each].count(True) != 1:
            raise ValueError("a measure needs one of equals, above and each")
        return self


class RiskPartRule(Record):
    """One part of the score: the points of its findings or those of its measure, whichever is more, up to `at_most`.

    `needs` names the measure by which is known that this part was looked for: where it is null, the part is unmeasured.
    """

    id: Slug
    name: ShortText
    at_most: float = Field(gt=0)
    needs: Slug
    findings: PointsOfFindings | None = None
    measure: RiskPointsOfMeasure | None = None

    @model_validator(mode="after")
    def _has_points_from_somewhere(self) -> Self:
        if self.findings is None and self.measure is None:
            raise ValueError("a part needs findings or measure")
        return self


class RiskOverride(Record):
    """For calls of these tenants and industries (both, where both are given): other thresholds, parts that weigh more
    or less. Of several overrides that fit, the factors multiply and the last thresholds stand."""

    tenants: tuple[TenantId, ...] = ()
    industries: tuple[Slug, ...] = ()
    thresholds: Thresholds | None = None
    times: dict[Slug, float] = Field(default_factory=dict, description="part → factor of its points and its at_most")

    @model_validator(mode="after")
    def _says_whom_it_is_for(self) -> Self:
        if not self.tenants and not self.industries:
            raise ValueError("an override needs tenants or industries")
        if any(factor < 0 for factor in self.times.values()):
            raise ValueError("a factor must not be negative")
        return self


class RiskRules(Record):
    """The risk file: parts with their points, thresholds, and overrides for tenants and industries."""

    version: int = Field(ge=1, le=1_000_000_000)
    owner: ShortText
    thresholds: Thresholds
    parts: tuple[RiskPartRule, ...] = Field(min_length=1)
    overrides: tuple[RiskOverride, ...] = ()

    @model_validator(mode="after")
    def _names_fit(self) -> Self:
        known = {part.id for part in self.parts}
        problems = [f"part {part} occurs twice" for part in find_repeated(part.id for part in self.parts)]
        named = {part for override in self.overrides for part in override.times}
        problems += [f"an override names the part {part}, which is not there" for part in sorted(named - known)]
        if problems:
            raise ValueError("; ".join(problems))
        return self


def read_risk_rules(file: Path = RISK_FILE) -> RiskRules:
    """The rules of a file. Raises `RiskRulesError`."""
    try:
        return read_yaml_file(file, RiskRules, _part_of).content
    except YamlFileError as error:
        raise RiskRulesError(error.problems) from None


def _part_of(content: Mapping[Any, Any], location: Location) -> str:
    return entry_named_by_id(content, location, ("parts", "overrides")).replace("parts ", "part ", 1)
