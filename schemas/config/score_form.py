"""Score forms: how a call is scored, as YAML (R57, R69). No code is needed to change one; see `docs/scoring.md`.

One file is one form, for the calls of one industry. The form of `general` scores the calls of industries without a form
of their own. A form with `tenant` scores the calls of that tenant alone.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from schemas.config.yaml_files import Location, YamlFileError, entry_named_by_id, find_repeated, read_yaml_file
from schemas.messages.call_analysis import ScoreGroup
from schemas.messages.call_ended import Role
from schemas.messages.message import Record, ShortText, Slug, TenantId

SCORE_FORM_FOLDER = Path(__file__).parent / "score_forms"
"""The forms that are shipped."""

GENERAL = "general"
"""The form of this industry scores calls of industries without a form."""

GROUP_WEIGHTS: Mapping[ScoreGroup, float] = {"compliance": 30, "communication": 30, "resolution": 20, "experience": 20}
"""What R57 demands of a form without `custom_weights`."""

_POINTS_TOLERANCE = 1e-6


class ScoreFormError(YamlFileError):
    """Score forms cannot be used; `problems` are sentences that name file, line, item and field."""


class PointsOfMeasure(Record):
    """How a measure becomes points: all or nothing by a truth value, or on a straight line between two values.

    On the line everything from `full_at` on, away from `zero_at`, is full, everything beyond `zero_at` is 0; either of
    the two may be the larger one. A truth value stands on it as 0 or 1.
    """

    name: Slug
    full_when: bool | None = None
    full_at: float | None = None
    zero_at: float | None = None

    @model_validator(mode="after")
    def _says_how_one_way(self) -> Self:
        on_a_line = self.full_at is not None and self.zero_at is not None
        if (self.full_at is None) != (self.zero_at is None) or on_a_line == (self.full_when is not None):
            raise ValueError("a measure needs either full_when, or full_at and zero_at")
        if on_a_line and self.full_at == self.zero_at:
            raise ValueError("full_at and zero_at must differ")
        return self

    @property
    def line(self) -> tuple[float, float]:
        """Where it is full, and where it is 0. Raises `ValueError` of a measure that is all or nothing."""
        if self.full_at is None or self.zero_at is None:
            raise ValueError("it is all or nothing")
        return self.full_at, self.zero_at


class Deduction(Record):
    """What findings cost: `points` for each one of a category, or of a rule, times its confidence.

    `at_most` bounds what all of them together cost. Findings of severity `info` only show something and cost nothing.
    """

    category: Slug | None = None
    rule: ShortText | None = Field(default=None, description="the rule_id of a finding: finance.no_loss")
    role: Role | None = Field(default=None, description="only what this one said; empty: anyone")
    points: float = Field(gt=0, le=100)
    at_most: float | None = Field(default=None, gt=0, le=100)

    @model_validator(mode="after")
    def _names_its_findings(self) -> Self:
        if (self.category is None) == (self.rule is None):
            raise ValueError("a deduction needs either category or rule")
        return self


class ItemApplies(Record):
    """The calls that an item is for. Empty fields are not checked; all others must match."""

    directions: tuple[Literal["inbound", "outbound"], ...] = ()
    industries: tuple[Slug, ...] = ()
    course_types: tuple[Slug, ...] = ()


class FormItem(Record):
    """One item of a form: points by a measure, less what findings cost, never below 0.

    An item without `measure` begins with all its points; `needs` names the measure by which is known that its findings
    were looked for: where that one is null, the item is not measurable, and full points would be a guess. An item
    `by_resolution` is pending in every analysis; the view `kpi_calls` gives it its points.
    """

    id: Slug
    name: ShortText
    group: ScoreGroup
    max_points: float = Field(gt=0, le=100)
    measure: PointsOfMeasure | None = None
    needs: Slug | None = None
    deduct: tuple[Deduction, ...] = ()
    by_resolution: bool = Field(
        default=False,
        description="full where this call settled the matter, known when the window of first contacts has closed",
    )
    applies: ItemApplies = ItemApplies()

    @model_validator(mode="after")
    def _has_points_from_somewhere(self) -> Self:
        if self.by_resolution:
            if self.measure is not None or self.needs is not None or self.deduct:
                raise ValueError("an item by_resolution has no measure, needs or deduct")
            return self
        if self.measure is None and not self.deduct:
            raise ValueError("an item needs measure, deduct or by_resolution")
        if self.measure is None and self.needs is None:
            raise ValueError("an item without measure needs the name of one in needs: without it nobody looked")
        return self

    @property
    def measures(self) -> tuple[Slug, ...]:
        """The measures without which this item is not measurable."""
        return tuple(name for name in (self.measure.name if self.measure else None, self.needs) if name is not None)


class ScoreForm(Record):
    """One YAML file. The points of the items of a group add up to its weight, the weights to 100."""

    id: Slug
    version: int = Field(ge=1, le=1_000_000_000)
    industry: Slug
    tenant: TenantId | None = None
    name: ShortText
    owner: ShortText
    custom_weights: bool = Field(default=False, description="other weights than 30, 30, 20, 20")
    weights: dict[ScoreGroup, float] = Field(default_factory=lambda: dict(GROUP_WEIGHTS))
    items: tuple[FormItem, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        problems = [f"item {item_id} occurs twice" for item_id in find_repeated(item.id for item in self.items)]
        weights = {group: self.weights.get(group, 0) for group in GROUP_WEIGHTS}
        if not self.custom_weights and weights != dict(GROUP_WEIGHTS):
            wanted = ", ".join(f"{group} {weight:g}" for group, weight in GROUP_WEIGHTS.items())
            problems.append(f"weights are not {wanted} (R57), and custom_weights is not set")
        if self.custom_weights and self.tenant is None:
            problems.append("custom_weights is for the form of a tenant")
        if any(weight < 0 for weight in weights.values()) or not _equal(sum(weights.values()), 100):
            problems.append(f"weights add up to {sum(weights.values()):g}, not to 100")
        for group, weight in weights.items():
            points = sum(item.max_points for item in self.items if item.group == group)
            if not _equal(points, weight):
                problems.append(f"the items of {group} have {points:g} points, its weight is {weight:g}")
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def label(self) -> str:
        """`finance@1`, `acme/finance@3`: what people call it."""
        return f"{self.tenant}/{self.id}@{self.version}" if self.tenant else f"{self.id}@{self.version}"


def _equal(one: float, other: float) -> bool:
    return abs(one - other) < _POINTS_TOLERANCE


def _item_of(content: Mapping[Any, Any], location: Location) -> str:
    return entry_named_by_id(content, location, ("items",)).replace("items ", "item ", 1)


def read_score_form(file: Path) -> ScoreForm:
    """One form. Raises `ScoreFormError`."""
    try:
        return read_yaml_file(file, ScoreForm, _item_of).content
    except YamlFileError as error:
        raise ScoreFormError(error.problems) from None


def load_score_forms(folders: Iterable[Path] = (SCORE_FORM_FOLDER,)) -> tuple[ScoreForm, ...]:
    """Every `*.yaml` of the folders. A form takes the place of one for the same industry (and tenant) of an earlier
    folder; within one folder that is a mistake. Raises `ScoreFormError` with all that is wrong."""
    forms: dict[tuple[str | None, str], ScoreForm] = {}
    problems: list[str] = []
    for folder in folders:
        files: dict[tuple[str | None, str], Path] = {}
        found = sorted(folder.glob("*.yaml"))
        if not found:
            problems.append(f"{folder}: holds no score form (*.yaml)")
        for file in found:
            try:
                form = read_score_form(file)
            except ScoreFormError as error:
                problems.extend(error.problems)
                continue
            key = (form.tenant, form.industry)
            if key in files:
                problems.append(f"{file}: a form for these calls is also in {files[key]}")
            files[key], forms[key] = file, form
    if problems:
        raise ScoreFormError(problems)
    return tuple(forms.values())
