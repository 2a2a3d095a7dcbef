"""The registry of KPIs, as YAML: each is defined once, and views, documentation and command line are made from it.

`kpis.yaml` beside this file is shipped.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from schemas.config.yaml_files import Location, YamlFileError, entry_named_by_id, find_repeated, read_yaml_file
from schemas.messages.message import Record, Slug, TenantId

KPI_FILE = Path(__file__).parent / "kpis.yaml"
"""The file that is shipped."""

KpiUnit = Literal["share", "per_100_calls", "score", "ms", "per_minute", "correlation", "times"]
BetterWhen = Literal["higher", "lower", "neutral"]

KpiKind = Literal["share", "events", "mean", "correlation"]
"""What the sums mean, and so how their interval is made (`processors/kpi/statistics.py`).

`share`: of each call only whether it is one (numerator 0 or 1, denominator 1). `events`: how many of how many, both
whole numbers, several of a call. `mean`: anything else. `correlation`: numerator and denominator are ranks of two
values of one call.
"""

Dimension = Literal[
    "tenant",
    "industry",
    "team",
    "agent",
    "queue",
    "inquiry_type",
    "course_type",
    "order_status",
    "customer_value_tier",
    "topic",
    "direction",
    "handled_by",
    "seniority",
    "tenure",
    "rated",
    "team_inquiry_type",
    "queue_inquiry_type",
    "agent_inquiry_type",
    "team_topic",
    "tenure_direction",
    "agent_profile",
]

DIMENSIONS: Mapping[Dimension, tuple[str, ...]] = {
    "tenant": (),
    "industry": ("industry",),
    "team": ("agent_team",),
    "agent": ("agent_team", "agent_id"),
    "queue": ("queue",),
    "inquiry_type": ("inquiry_type",),
    "course_type": ("course_type",),
    "order_status": ("newest_order_status",),
    "customer_value_tier": ("newest_customer_value_tier",),
    "topic": ("topic",),
    "direction": ("direction",),
    "handled_by": ("handled_by",),
    "seniority": ("agent_seniority",),
    "tenure": ("agent_tenure",),
    "rated": ("rated",),
    "team_inquiry_type": ("agent_team", "inquiry_type"),
    "queue_inquiry_type": ("queue", "inquiry_type"),
    "agent_inquiry_type": ("agent_team", "agent_id", "inquiry_type"),
    "team_topic": ("agent_team", "topic"),
    "tenure_direction": ("agent_tenure", "direction"),
    "agent_profile": ("agent_team", "agent_id", "agent_seniority", "agent_tenure", "direction", "handled_by"),
}
"""By what KPIs are told apart within a tenant: name → columns of `kpi_calls` and `kpi_rollup`.

`topic` is an element of `topic_ids`: a call counts once for each of its topics, and with null where it has none.
"""

BY_TOPIC: tuple[Dimension, ...] = tuple(name for name, columns in DIMENSIONS.items() if "topic" in columns)
"""Dimensions in which a call may count more than once: their groups do not add up to the tenant."""


BOUNDS: Mapping[KpiUnit, tuple[float, float]] = {
    "share": (0.0, 1.0),
    "score": (0.0, 100.0),
    "correlation": (-1.0, 1.0),
}
"""Between which values a KPI of a unit can lie at all, before it is scaled; all others have 0 and no end."""


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
    `pending` tells of a call that does not count yet whether it will; while more than a tenth of the calls of a period
    are so, its value is not shown: those that are decided early are not like the others.
    Read many measures in one pass over `mapKeys` and `mapValues`: to look each of them up takes many times as long.
    """

    numerator: str = Field(min_length=1)
    denominator: str = Field(default="1", min_length=1)
    pending: str = Field(default="false", min_length=1)
    scale: float = Field(default=1, gt=0)


class CallQuery(Record):
    """A KPI that needs more than one row of `kpi_calls`: a rank, other tables.

    `rows` is a SELECT with a row for everything that counts, and the columns tenant_id, those of the dimension,
    numerator and denominator, which are summed as those of a ratio are. In it `$calls` stands for the rows of
    `kpi_calls` of the time, `$start` and `$end` (exclusive) for its bounds, and `$keys` for the columns of the
    dimension, each after a comma.
    """

    rows: str = Field(min_length=1)
    by: tuple[Dimension, ...] = Field(
        default=tuple(DIMENSIONS), min_length=1, description="dimensions that it can be told apart by; all unless said"
    )
    scale: float = Field(default=1, gt=0)


class Kpi(Record):
    """One KPI. Either `ratio`, or `query` for what is no ratio of sums over calls."""

    id: Slug
    name: Bilingual
    definition: Bilingual
    requirements: tuple[str, ...] = ()
    kind: KpiKind
    ratio: CallRatio | None = None
    query: CallQuery | None = None
    unit: KpiUnit
    direction: BetterWhen
    target: float | None = Field(default=None, description="what to reach; null: no number is set")
    targets_by_industry: dict[Slug, float] = Field(
        default_factory=dict, description="industry → its own target, for tenants most of whose calls are of it"
    )
    targets_by_tenant: dict[TenantId, float] = Field(
        default_factory=dict, description="tenant → its own target, whatever its industry"
    )
    headline: bool = Field(default=False, description="shown where nobody says which")
    minimum_n: int = Field(ge=1, description="below so many calls the value is shown as too few to judge")
    null_rule: str = Field(min_length=1, description="which calls do not count, and why")
    does_not_tell: str = Field(min_length=1, description="what must not be read into it")
    source: str = Field(min_length=1, description="what the telephony side or other systems must deliver")

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if (self.ratio is None) == (self.query is None):
            raise ValueError("a KPI needs either ratio or query")
        if self.kind == "share" and self.ratio is not None and self.ratio.denominator != "1":
            raise ValueError("a share counts calls: its denominator is 1; write kind: events or mean")
        if self.direction == "neutral" and self.has_target:
            raise ValueError("a neutral KPI has no target")
        return self

    @property
    def scale(self) -> float:
        """The factor between the ratio of the sums and the value that is shown."""
        found = self.ratio or self.query
        return found.scale if found is not None else 1.0

    @property
    def dimensions(self) -> tuple[Dimension, ...]:
        """The dimensions that the KPI can be broken down by."""
        return self.query.by if self.query is not None else tuple(DIMENSIONS)

    @property
    def has_target(self) -> bool:
        """Whether anybody has a target."""
        return self.target is not None or bool(self.targets_by_industry or self.targets_by_tenant)

    def target_of(self, industry: str | None, tenant: str | None = None) -> float | None:
        """What that tenant is to reach: its own target, else that of its industry, else that of all."""
        of_industry = self.targets_by_industry.get(industry or "", self.target)
        return self.targets_by_tenant.get(tenant or "", of_industry)


class KpiRegistry(Record):
    """The registry file: all KPIs, and the version of the file."""

    version: int = Field(ge=1, le=1_000_000_000)
    kpis: tuple[Kpi, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _ids_are_unique(self) -> Self:
        problems = [f"KPI {kpi} occurs twice" for kpi in find_repeated(kpi.id for kpi in self.kpis)]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def ratios(self) -> tuple[Kpi, ...]:
        """The KPIs that can be rolled up."""
        return tuple(kpi for kpi in self.kpis if kpi.ratio is not None)

    @property
    def headlines(self) -> tuple[Kpi, ...]:
        """The KPIs that are shown by default."""
        return tuple(kpi for kpi in self.kpis if kpi.headline)

    @property
    def queries(self) -> tuple[Kpi, ...]:
        """The KPIs that need a query of their own because they cannot be rolled up."""
        return tuple(kpi for kpi in self.kpis if kpi.query is not None)

    def kpi(self, kpi_id: str) -> Kpi | None:
        """The KPI with that id."""
        return next((kpi for kpi in self.kpis if kpi.id == kpi_id), None)


def read_kpis(file: Path = KPI_FILE) -> KpiRegistry:
    """The registry of a file. Raises `KpiRegistryError`."""
    try:
        return read_yaml_file(file, KpiRegistry, _kpi_of).content
    except YamlFileError as error:
        raise KpiRegistryError(error.problems) from None


def _kpi_of(content: Mapping[Any, Any], location: Location) -> str:
    return entry_named_by_id(content, location, ("kpis",)).replace("kpis ", "KPI ", 1)
