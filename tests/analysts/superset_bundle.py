"""The files of deploy/superset/bundle, read for tests, and what a chart asks its dataset for."""

import importlib.util
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

REPOSITORY = Path(__file__).parents[2]
FOLDER = REPOSITORY / "deploy" / "superset"
BUNDLE = FOLDER / "bundle"


def read(kind: str) -> dict[str, Any]:
    """Name of the file → content, of databases, datasets, charts or dashboards."""
    paths = sorted((BUNDLE / kind).rglob("*.yaml"))
    return {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in paths}


def script(name: str) -> ModuleType:
    """A script of deploy/superset as a module; they are no package, because they run without callstream."""
    if str(FOLDER) not in sys.path:
        sys.path.insert(0, str(FOLDER))
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass(frozen=True)
class Chart:
    """A chart with its dataset."""

    name: str
    content: dict[str, Any]
    dataset: dict[str, Any]

    @property
    def params(self) -> dict[str, Any]:
        params: dict[str, Any] = self.content["params"]
        return params

    @cached_property
    def columns(self) -> list[str]:
        """What it groups by, or shows row by row."""
        found: list[str] = []
        for key in ("x_axis", "groupby", "groupbyRows", "groupbyColumns", "all_columns"):
            value = self.params.get(key) or []
            found.extend([value] if isinstance(value, str) else value)
        return found

    @cached_property
    def metrics(self) -> list[str]:
        """The metrics that it shows, those that it sorts by included."""
        found = [*self.params.get("metrics", ()), self.params.get("metric"), self.params.get("timeseries_limit_metric")]
        return list(dict.fromkeys(name for name in found if name))

    @cached_property
    def filters(self) -> list[tuple[str, str, Any]]:
        """Column, operator, value; not the one of time, which lets everything through."""
        found = self.params["adhoc_filters"]
        return [(f["subject"], f["operator"], f["comparator"]) for f in found if f["operator"] != "TEMPORAL_RANGE"]

    def expression(self, metric: str) -> str:
        """The SQL of a metric of its dataset."""
        (found,) = (one["expression"] for one in self.dataset["metrics"] if one["metric_name"] == metric)
        return str(found)

    @property
    def sql(self) -> str:
        """What it asks, as SQL."""
        wanted = [*self.columns, *(f"{self.expression(name)} AS m{n}" for n, name in enumerate(self.metrics))]
        conditions = [_condition(*one) for one in self.filters] or ["1"]
        groups = f" GROUP BY {', '.join(self.columns)}" if self.metrics and self.columns else ""
        return (
            f"SELECT {', '.join(wanted)} FROM ({self.dataset['sql']}) AS dataset "  # noqa: S608 - our own files
            f"WHERE {' AND '.join(conditions)}{groups} LIMIT 5000"
        )


def _condition(column: str, operator: str, value: Any) -> str:
    if operator == "IN":
        return f"{column} IN ({', '.join(repr(one) for one in value)})"
    assert operator == "=="
    return f"{column} = {value!r}"


def charts() -> list[Chart]:
    """All of them."""
    datasets = {content["uuid"]: content for content in read("datasets").values()}
    return [Chart(name, content, datasets[content["dataset_uuid"]]) for name, content in read("charts").items()]
