"""Views that hold groups of calls against each other: why a KPI changed, and how rated calls differ from unrated ones.

Pure: text in, text out. They stand on `kpi_calls` and on the views of `processors/kpi/sql.py`, and are made after them.
"""

from dataclasses import dataclass

from processors.kpi.sql import FIRST, LAST, Stretch, stretch_of_days
from processors.kpi.statistics import Z95
from processors.kpi.why_changed import why_changed_view
from schemas.clickhouse.cluster import ON_CLUSTER
from schemas.config.kpis.kpi import KpiRegistry
from schemas.config.tenants import TenantDays

RATED_COLUMNS = (
    *("tenant_id", "about", "name"),
    *("n_rated", "rated", "rated_low", "rated_high", "n_unrated", "unrated", "unrated_low", "unrated_high"),
    *("difference", "difference_low", "difference_high"),
)
"""The columns of the view `rated_and_unrated`."""


@dataclass(frozen=True)
class RatedDifference:
    """A KPI, or the share of a topic, among rated calls and among unrated ones, and the difference with its limits."""

    tenant_id: str
    about: str
    name: str
    n_rated: int
    rated: float | None
    rated_low: float | None
    rated_high: float | None
    n_unrated: int
    unrated: float | None
    unrated_low: float | None
    unrated_high: float | None
    difference: float | None
    difference_low: float | None
    difference_high: float | None


def comparison_views(registry: KpiRegistry, days: TenantDays, window_days: int) -> dict[str, str]:
    """Name → statement of every view, with placeholders (`schemas.clickhouse.cluster`); each can be repeated."""
    stretch = stretch_of_days(days, window_days)
    return {"why_changed": why_changed_view(registry, stretch), "rated_and_unrated": _rated_view(stretch)}


def rated_query(stretch: Stretch) -> str:
    """A row for each KPI and each topic of a tenant: what it is among rated and unrated calls, and the difference.

    Parameters: first, last. Limits of differences are those of both values (MOVER, `processors/kpi/statistics.py`).
    """
    groups = ("rated", "unrated")
    values = ", ".join(
        f"anyIf({column}, rated = '{group}') AS {group}_{column}"
        for group in groups
        for column in ("n", "value", "low", "high")
    )
    low, high = (
        f"difference {sign} sqrt(pow(rated_value - rated_{one}, 2) + pow(unrated_{other} - unrated_value, 2))"
        for sign, one, other in (("-", "low", "high"), ("+", "high", "low"))
    )
    return f"""\
SELECT
    tenant_id,
    about,
    name,
    rated_n AS n_rated,
    rated_value AS rated,
    rated_low,
    rated_high,
    unrated_n AS n_unrated,
    unrated_value AS unrated,
    unrated_low,
    unrated_high,
    rated_value - unrated_value AS difference,
    {low} AS difference_low,
    {high} AS difference_high
FROM
(
    SELECT tenant_id, about, name, {values}
    FROM
    (
        SELECT tenant_id, 'kpi' AS about, toString(kpi) AS name, toString(rated) AS rated, n, value, low, high
        FROM kpi_between(dimension = 'rated', first = {FIRST}, last = {LAST})
        WHERE isNotNull(rated) AND kpi NOT IN ('survey_response_rate', 'satisfaction', 'satisfaction_within_10')
        UNION ALL
        {_topics(stretch)}
    )
    GROUP BY tenant_id, about, name
    HAVING countIf(rated = 'rated') > 0 AND countIf(rated = 'unrated') > 0
)
ORDER BY tenant_id, about, name"""  # noqa: S608 - no value of anybody is in it


def _topics(stretch: Stretch) -> str:
    """The share of rated and of unrated calls that each topic is of, by Wilson."""
    square = Z95 * Z95
    half = f"{Z95!r} * sqrt(share * (1 - share) / n + {square!r} / (4. * n * n)) / (1 + {square!r} / n)"
    middle = f"(share + {square!r} / (2 * n)) / (1 + {square!r} / n)"
    return f"""
        SELECT
            tenant_id, 'topic' AS about, topic_id AS name, rated, toUInt64(n) AS n,
            CAST(share, 'Nullable(Float64)') AS value,
            CAST(greatest({middle} - {half}, 0.), 'Nullable(Float64)') AS low,
            CAST(least({middle} + {half}, 1.), 'Nullable(Float64)') AS high
        FROM
        (
            SELECT
                tenant_id, rated, count() AS n,
                arrayMap(
                    (id, calls) -> (id, calls / n), (sumMap(topics, ones) AS counts).1, counts.2
                ) AS shares_of_topics
            FROM
            (
                SELECT
                    tenant_id, assumeNotNull(rated) AS rated, arrayDistinct(topic_ids) AS own,
                    groupUniqArrayArray(topic_ids) OVER (PARTITION BY tenant_id) AS topics,
                    arrayMap(topic -> toUInt64(has(own, topic)), topics) AS ones
                FROM {stretch.calls}
                WHERE isNotNull(rated) AND outcome = 'analyzed'
            )
            GROUP BY tenant_id, rated
        )
        ARRAY JOIN shares_of_topics.1 AS topic_id, shares_of_topics.2 AS share"""  # noqa: S608 - no value of anybody


def _rated_view(stretch: Stretch) -> str:
    return (
        f"CREATE OR REPLACE VIEW rated_and_unrated {ON_CLUSTER} SQL SECURITY DEFINER AS\n{rated_query(stretch)}\n"
        "COMMENT 'How calls that the customer rated differ from those that nobody rated, by KPI and by share of "
        "topics: rated_and_unrated(first = ..., last = ...), days of the tenant, both included.'"
    )
