"""KPIs and targets of one's own, as YAML beside the shipped registry. docs/kpis-of-your-own.md is the guide.

A KPI of one's own is made of expressions (`schemas/config/kpis/kpi_expression.py`), never of SQL.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from schemas.config.kpis.kpi import (
    BOUNDS,
    DIMENSIONS,
    BetterWhen,
    Bilingual,
    Kpi,
    KpiRegistry,
    KpiRegistryError,
    KpiUnit,
)
from schemas.config.kpis.kpi_expression import Expression, ExpressionError, ExpressionType, parse_expression
from schemas.config.yaml_files import (
    Document,
    Location,
    YamlFileError,
    entry_named_by_id,
    find_repeated,
    read_yaml_file,
)
from schemas.messages.message import Record, Slug, TenantId

RESERVED_IDS = frozenset(
    {
        *("day", "hour", "period", "grain", "dimension", "tenant_id", "calls", "kpi", "n"),
        *("numerator", "denominator", "numerator_squares", "products", "denominator_squares"),
        *(column for columns in DIMENSIONS.values() for column in columns),
    }
)
"""Columns of the views that have a column for each KPI, and of what they are made of."""


class OwnKpi(Record):
    """A KPI: Σ numerator ÷ Σ denominator over the calls for which `when` is true, times `scale`.

    A call does not count where one of the three is null, and where the denominator is 0. Of a `share` the numerator is
    true or false and there is no denominator; of a `mean` it is a number, of `events` both are.
    """

    id: Slug
    tenants: tuple[TenantId, ...] = Field(default=(), description="whose calls count; those of all unless said")
    name: Bilingual
    definition: Bilingual
    kind: Literal["share", "events", "mean"]
    numerator: str
    denominator: str | None = None
    when: str | None = Field(default=None, description="only calls for which this is true count")
    scale: float = Field(default=1, gt=0)
    unit: KpiUnit
    direction: BetterWhen
    target: float | None = None
    headline: bool = False
    minimum_n: int = Field(default=30, ge=1)
    null_rule: str = Field(default="calls for which the expression has no value do not count", min_length=1)
    does_not_tell: str = Field(default="what its definition leaves open", min_length=1)
    source: str = Field(default="what its columns need", min_length=1)

    @model_validator(mode="after")
    def _is_of_its_kind(self) -> Self:
        if self.kind == "share" and self.denominator is not None:
            raise ValueError("a share has no denominator: say with when which calls count")
        if self.kind == "events" and self.denominator is None:
            raise ValueError("events need a denominator: of how many, such as 1 for each call")
        if self.unit == "correlation":
            raise ValueError("a KPI of your own is no correlation: use another unit")
        if self.kind == "share" and self.unit != "share":
            raise ValueError("the unit of a share is share")
        return self

    def expressions(self) -> Iterator[tuple[Literal["numerator", "denominator", "when"], str, ExpressionType]]:
        """Field, text and the type that it must have."""
        yield "numerator", self.numerator, "boolean" if self.kind == "share" else "number"
        if self.denominator is not None:
            yield "denominator", self.denominator, "number"
        if self.when is not None:
            yield "when", self.when, "boolean"

    def parse(self) -> dict[str, Expression]:
        """Field → its tree. Raises `ExpressionError`."""
        return {field: parse_expression(text, wanted) for field, text, wanted in self.expressions()}


class OwnTarget(Record):
    """Another target for a KPI: of a tenant, of the tenants of an industry or, where neither is named, of all."""

    kpi: Slug
    tenant: TenantId | None = None
    industry: Slug | None = None
    target: float

    @model_validator(mode="after")
    def _is_of_one(self) -> Self:
        if self.tenant is not None and self.industry is not None:
            raise ValueError("a target is of a tenant or of an industry: make two of it")
        return self


class OwnKpis(Record):
    """The whole file."""

    kpis: tuple[OwnKpi, ...] = ()
    targets: tuple[OwnTarget, ...] = ()


def read_own_kpis(file: Path, shipped: KpiRegistry) -> OwnKpis:
    """The file, checked against the registry that it adds to. Raises `KpiRegistryError`."""
    try:
        document = read_yaml_file(file, OwnKpis, _entry_of)
    except YamlFileError as error:
        raise KpiRegistryError(error.problems) from None
    problems = [
        f"{file}:{document.line(location)}: {entry}, field {'.'.join(map(str, location))}: {problem}"
        for location, entry, problem in (
            *_problems_of_kpis(document, shipped),
            *_problems_of_targets(document, shipped),
        )
    ]
    if problems:
        raise KpiRegistryError(problems)
    return document.content


def _entry_of(content: Mapping[Any, Any], location: Location) -> str:
    if location[:1] == ("targets",) and len(location) > 1 and isinstance(location[1], int):
        entry = content["targets"][location[1]]
        kpi = entry.get("kpi") if isinstance(entry, dict) else None
        return f"target of {kpi if isinstance(kpi, str) else location[1] + 1}"
    return entry_named_by_id(content, location, ("kpis",)).replace("kpis ", "KPI ", 1)


FoundProblem = tuple[Location, str, str]
"""Where, in which entry, and what."""


def _problems_of_kpis(document: Document[OwnKpis], shipped: KpiRegistry) -> Iterator[FoundProblem]:
    own = document.content.kpis
    twice = set(find_repeated(kpi.id for kpi in own))
    for number, kpi in enumerate(own):
        at: Location = ("kpis", number)
        entry = f"KPI {kpi.id}"
        if shipped.kpi(kpi.id) is not None:
            yield (*at, "id"), entry, "a shipped KPI has this id: choose another, or set a target for it under targets"
        if kpi.id in twice:
            yield (*at, "id"), entry, "occurs twice: choose another id"
        if kpi.id in RESERVED_IDS:
            yield (*at, "id"), entry, "is a column of the views: choose another id"
        for field, text, wanted in kpi.expressions():
            try:
                parse_expression(text, wanted)
            except ExpressionError as error:
                yield (*at, field), entry, str(error)
        if kpi.target is not None:
            yield from (((*at, "target"), entry, problem) for problem in _target_problems(kpi, kpi.target))


def _problems_of_targets(document: Document[OwnKpis], shipped: KpiRegistry) -> Iterator[FoundProblem]:
    known: dict[str, Kpi | OwnKpi] = {kpi.id: kpi for kpi in document.content.kpis}
    known.update((kpi.id, kpi) for kpi in shipped.kpis)
    seen: set[tuple[str, str | None, str | None]] = set()
    for number, target in enumerate(document.content.targets):
        at: Location = ("targets", number)
        entry = f"target of {target.kpi}"
        kpi = known.get(target.kpi)
        if kpi is None:
            yield (*at, "kpi"), entry, "there is no such KPI: the view kpis and docs/kpis.md list them"
            continue
        whose = (target.kpi, target.tenant, target.industry)
        if whose in seen:
            yield (*at, "kpi"), entry, "occurs twice: keep one"
        seen.add(whose)
        yield from (((*at, "target"), entry, problem) for problem in _target_problems(kpi, target.target))


def _target_problems(kpi: Kpi | OwnKpi, target: float) -> Iterable[str]:
    if kpi.direction == "neutral":
        return ["the KPI is neutral, so nothing is to be reached: leave the target out"]
    lowest, highest = (bound * kpi.scale for bound in BOUNDS.get(kpi.unit, (0.0, float("inf"))))
    if not lowest <= target <= highest:
        return [f"{target:g} cannot be reached: the KPI lies between {lowest:g} and {highest:g} ({kpi.unit})"]
    return []
