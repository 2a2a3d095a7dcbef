"""The registry of KPIs, as YAML: each is defined once, and views, documentation and command line are made from it.

`kpis.yaml` beside this file is shipped.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from schemas.message import Record, Slug
from schemas.yaml_files import Location, YamlFileError, entry_named_by_id, read_yaml_file, repeated

KPI_FILE = Path(__file__).parent / "kpis.yaml"
"""The file that is shipped."""

Unit = Literal["share", "per_100_calls", "score", "ratio", "ms", "per_minute", "count", "points"]
Direction = Literal["higher", "lower", "neutral"]


class KpiRegistryError(YamlFileError):
    """The file cannot be used; `problems` are sentences that name file, line, KPI and field."""


class Bilingual(Record):
    """A text for people, in both languages."""

    zh: str = Field(min_length=1)
    en: str = Field(min_length=1)


class CallRatio(Record):
    """A KPI that is a ratio of sums over calls: Σ numerator ÷ Σ denominator, times `scale`.

    Both are SQL expressions over one row of the view `kpi_calls`. A call counts where neither is null and the
    denominator is more than 0. A share has 0 or 1 over 1, a mean a value over 1. Only such KPIs can be rolled up.
    """

    numerator: str = Field(min_length=1)
    denominator: str = Field(default="1", min_length=1)
    scale: float = Field(default=1, gt=0)


class Kpi(Record):
    """One KPI. Either `ratio`, or `query` for what is no ratio of sums over calls."""

    id: Slug
    name: Bilingual
    definition: Bilingual
    requirements: tuple[str, ...] = ()
    ratio: CallRatio | None = None
    query: str | None = Field(
        default=None,
        description="SELECT over views with the parameters first and last (DateTime64(3, 'UTC'), end exclusive) that "
        "gives the columns tenant_id, by, n, value, low, high",
    )
    unit: Unit
    direction: Direction
    target: float | None = Field(default=None, description="what to reach; null: no number is set")
    targets_by_industry: dict[Slug, float] = Field(default_factory=dict)
    minimum_n: int = Field(ge=1, description="below so many calls the value is shown as too few to judge")
    null_rule: str = Field(min_length=1, description="which calls do not count, and why")
    source: str = Field(min_length=1, description="what the telephony side or other systems must deliver")

    @model_validator(mode="after")
    def _is_computed_in_one_way(self) -> Self:
        if (self.ratio is None) == (self.query is None):
            raise ValueError("a KPI needs either ratio or query")
        return self


class KpiRegistry(Record):
    """The whole file."""

    version: int = Field(ge=1, le=1_000_000_000)
    kpis: tuple[Kpi, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _ids_are_unique(self) -> Self:
        problems = [f"KPI {kpi} occurs twice" for kpi in repeated(kpi.id for kpi in self.kpis)]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def ratios(self) -> tuple[Kpi, ...]:
        """The KPIs that can be rolled up."""
        return tuple(kpi for kpi in self.kpis if kpi.ratio is not None)


def read_kpis(file: Path = KPI_FILE) -> KpiRegistry:
    """The registry of a file. Raises `KpiRegistryError`."""
    try:
        return read_yaml_file(file, KpiRegistry, _kpi_of).content
    except YamlFileError as error:
        raise KpiRegistryError(error.problems) from None


def _kpi_of(content: Mapping[Any, Any], location: Location) -> str:
    return entry_named_by_id(content, location, ("kpis",)).replace("kpis ", "KPI ", 1)
