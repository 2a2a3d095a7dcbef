"""SQL of the KPIs, made from the registry: the views that people query, and the sums that the command line asks for.

Pure: text in, text out. The views stand on `kpi_rollup`, which holds the sums of every KPI that is a ratio, and on
`kpi_calls`. Value and interval are those of `processors/kpi/statistics.py`, as SQL; a test compares both.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from string import Template

from processors.kpi import recent
from processors.kpi.calendar import calendar_select
from processors.kpi.statistics import DECIDED_PER_PENDING, LEAST_AGENTS, NO_EVENT_LIMIT, Z95, bounds
from schemas.clickhouse import days as day_sql
from schemas.clickhouse.cluster import ON_CLUSTER
from schemas.config.kpis.kpi import BY_TOPIC, DIMENSIONS, CallQuery, Dimension, Kpi, KpiRegistry
from schemas.config.tenants import TenantDays

SUMS = ("n", "numerator", "denominator", "numerator_squares", "products", "denominator_squares", "pending")
"""The columns of `kpi_rollup` that can be added up, as in `kpi_statistics.Sums`."""

AGENTS_OF: Mapping[Dimension, Dimension] = {
    "tenant": "agent",
    "team": "agent",
    "inquiry_type": "agent_inquiry_type",
    "team_inquiry_type": "agent_inquiry_type",
    "direction": "agent_profile",
    "handled_by": "agent_profile",
    "seniority": "agent_profile",
    "tenure": "agent_profile",
    "tenure_direction": "agent_profile",
}
"""Dimension → the one that tells its agents apart. Of all others it is not known who took the calls."""

TOPICS_OF_CALL = "if(empty(topic_ids), [NULL], arrayDistinct(topic_ids))"
"""The topics of a row of `kpi_calls`, each once; null alone where it has none."""

TOPIC_OF_CALL = f"arrayJoin({TOPICS_OF_CALL})"
"""A row of `kpi_calls` for each topic of the call, with null for a call that has none."""

START = "{start:DateTime64(3, 'UTC')}"
END = "{end:DateTime64(3, 'UTC')}"
FIRST = "{first:Date32}"
LAST = "{last:Date32}"

VIEW_OF_DIMENSION: Mapping[Dimension, str] = {
    dimension: "kpi_daily" if dimension == "tenant" else f"kpi_{dimension}" for dimension in DIMENSIONS
}
"""Views with a row per day and KPI."""

WIDE: Mapping[str, Dimension] = {"kpi_daily_wide": "tenant", "kpi_team_wide": "team", "kpi_agent_wide": "agent"}
"""Views with a row per day and a column per KPI."""

_KEY_COMMENTS = {
    "industry": "industry profile",
    "agent_team": "team of the agent at the time of the call",
    "agent_id": "number of the agent",
    "queue": "queue that the call came through",
    "inquiry_type": "inquiry type as the telephony side knows it",
    "course_type": "course type (education)",
    "newest_order_status": "newest known status of the order",
    "newest_customer_value_tier": "newest known value tier of the customer",
    "topic": "demand of the taxonomy that the call is about; a call counts for each of its demands; null: for none",
    "direction": "inbound or outbound",
    "handled_by": "human or bot",
    "agent_seniority": "new, regular or senior",
    "agent_tenure": "whole months since the first day of work of the agent: 00-02, 03-05, 06-11, 12-23 or 24+",
    "rated": "rated or unrated by the customer; null where nobody was to be asked",
}
_DAY = "day of the tenant"
_PERIODS = {
    "day": ("day", "day", _DAY),
    "week": ("toDate32(toMonday(day))", "week + 6", "first day of the week, a Monday"),
    "month": ("toDate32(toStartOfMonth(day))", "toDate32(toLastDayOfMonth(month))", "first day of the month"),
}
"""Column of a view → the period that a day lies in, the last day of a period, and what the column is."""
PENDING_DAYS = 14
"""So long a call without an outcome makes its day a partial one; then it is lost, and `unaccounted` tells of it."""
_HOUR = "hour of that day by the tenant's clock, 0 to 23"
_HOUR_START = "when that hour began, UTC"
_TENANT = "whose calls these are"


@dataclass(frozen=True)
class KpiColumn:
    """A column of a view: what it is called, what it is, and where it comes from."""

    name: str
    type: str
    comment: str
    sql: str


@dataclass(frozen=True)
class Stretch:
    """A stretch of time as SQL: from the moment `start` to before `end`, both of which may differ by tenant.

    `calls` are the rows of `kpi_calls` in it.
    """

    start: str
    end: str
    calls: str


def stretch_of_moments(window_days: int) -> Stretch:
    """From one moment to another, for all tenants alike. Parameters: start, end."""
    return Stretch(START, END, f"kpi_calls(start = {START}, end = {END}, window_days = {window_days})")


def stretch_of_days(days: TenantDays, window_days: int) -> Stretch:
    """From the first to the last of some days, each tenant's own. Parameters: first, last."""
    start, end = day_sql.start(days, FIRST), day_sql.start(days, f"{LAST} + 1")
    around = (f"toDateTime64({day}, 3, 'UTC')" for day in (f"{FIRST} - 1", f"{LAST} + 2"))  # no zone is a day from UTC
    calls = "kpi_calls(start = {}, end = {}, window_days = {})".format(*around, window_days)
    rows = f"(SELECT * FROM {calls} WHERE ended_at >= {start} AND ended_at < {end})"  # noqa: S608 - no value of anybody
    return Stretch(start, end, rows)


def kpi_views(registry: KpiRegistry, days: TenantDays, window_days: int) -> dict[str, str]:
    """Name → statement of every view, with placeholders (`schemas.clickhouse.cluster`); each can be repeated.

    In an order in which they can be made.
    """
    views = {"kpis": _registry_view(registry)}
    industries = any(kpi.targets_by_industry for kpi in registry.kpis)
    for dimension, name in VIEW_OF_DIMENSION.items():
        views[name] = _long_view(registry, name, dimension, "day", days, by_industry=industries)
    views["kpi_hourly"] = _long_view(registry, "kpi_hourly", "tenant", "hour", days, by_industry=industries)
    for name, dimension in WIDE.items():
        views[name] = _wide_view(registry, name, dimension)
    for period, name in (("week", "kpi_weekly"), ("month", "kpi_monthly")):
        views[name] = _period_view(registry, name, period, days, by_industry=industries)
        views[f"{name}_by"] = _period_by_view(registry, f"{name}_by", period, days, by_industry=industries)
    views["kpi_between"] = _between_view(registry, by_industry=industries)
    stretch = stretch_of_days(days, window_days)
    for kpi in registry.queries:
        views[f"kpi_{kpi.id}"] = _query_view(kpi, stretch, by_industry=industries)
    views["dim_calendar"] = _calendar_view()
    views["demands"] = _demands_view(stretch)
    views["customer_demands"] = _customer_demands_view(stretch)
    views |= _recent_views(registry, window_days, by_industry=industries)
    return views


def rollup_sums(dimension: Dimension, grain: str, kpis: Sequence[str]) -> str:
    """Sums of the ratios over the days from first to last, each tenant's own, or over the hours that start in
    [start, end); by the dimension, one row per KPI and key."""
    keys = DIMENSIONS[dimension]
    columns = ", ".join(("tenant_id", *keys, "kpi"))
    sums = ", ".join(f"sum(rolled.{name}) AS {name}" for name in SUMS)
    chosen = ", ".join(quote_string(kpi) for kpi in kpis)
    times = (
        f"day BETWEEN {FIRST} AND {LAST}"
        if grain == "day"
        else f"day BETWEEN toDate32({START}) - 1 AND toDate32({END}) + 1 AND period >= {START} AND period < {END}"
    )
    return (
        f"SELECT {columns}, {sums} FROM kpi_rollup AS rolled\n"  # noqa: S608 - made of the registry alone
        f"WHERE grain = {quote_string(grain)} AND dimension = {quote_string(dimension)} AND kpi IN ({chosen})\n"
        f"    AND {times} AND ({{tenant:String}} = '' OR tenant_id = {{tenant:String}})\n"
        f"GROUP BY {columns} ORDER BY {columns}"
    )


def query_sums(kpi: Kpi, dimension: Dimension, stretch: Stretch) -> str:
    """The same of a KPI that has a query, over a stretch of time.

    It is an error to ask for a dimension that the KPI does not know.
    """
    if kpi.query is None or dimension not in kpi.query.by:
        raise ValueError(f"{kpi.id} cannot be told apart by {dimension}")
    return _sums_of_query(kpi.id, kpi.query, DIMENSIONS[dimension], stretch, by_topic=dimension in BY_TOPIC)


def _sums_of_query(
    kpi_id: str, query: CallQuery, keys: Sequence[str], stretch: Stretch, *, by_topic: bool = False
) -> str:
    columns = ", ".join(("tenant_id", *keys))
    calls = f"(SELECT *, {TOPIC_OF_CALL} AS topic FROM {stretch.calls})"  # noqa: S608 - no value of anybody
    rows = Template(query.rows).substitute(
        keys="".join(f", {key}" for key in keys),
        calls=calls if by_topic else stretch.calls,
        start=stretch.start,
        end=stretch.end,
    )
    sums = ", ".join(f"{sql} AS {name}" for name, sql in zip(SUMS, _SUMS_OF_ROWS, strict=True))
    return (
        f"SELECT {columns}, {quote_string(kpi_id)} AS kpi, {sums}\n"
        "FROM\n(\n"
        f"SELECT {columns}, toFloat64(numerator) AS y, toFloat64(denominator) AS x\nFROM\n(\n{rows.strip()}\n)\n"
        "WHERE isNotNull(y) AND isNotNull(x) AND x > 0\n)\n"
        f"GROUP BY {columns} ORDER BY {columns}"
    )


_IS_DECIDED = f"n >= {DECIDED_PER_PENDING} * pending"
_NO_NUMBER = "CAST(NULL, 'Nullable(Float64)')"
_SUMS_OF_ROWS = ("count()", "sum(y)", "sum(x)", "sum(y * y)", "sum(x * y)", "sum(x * x)", "toUInt64(0)")


def quote_string(text: str) -> str:
    """A text as a literal of SQL, in which nothing looks like a placeholder (`schemas.clickhouse.cluster`)."""
    quoted = text.replace("\\", "\\\\").replace("'", "\\'")
    return "'" + quoted.replace("{{", "{\\x7b").replace("}}", "}\\x7d") + "'"


def _registry_view(registry: KpiRegistry) -> str:
    columns = (
        ("kpi", "LowCardinality(String)", "id of the KPI"),
        ("name_zh", "String", "its name in Chinese"),
        ("name_en", "String", "its name in English"),
        ("definition_zh", "String", "what it is, in Chinese"),
        ("definition_en", "String", "what it is, in English"),
        ("unit", "LowCardinality(String)", "share, per_100_calls, score, ms, per_minute, correlation or times"),
        ("kind", "LowCardinality(String)", "what the sums mean: share, events, mean or correlation"),
        ("numerator", "Nullable(String)", "SQL over a row of kpi_calls; null: the KPI has a query of its own"),
        ("denominator", "Nullable(String)", "SQL over a row of kpi_calls; null: the KPI has a query of its own"),
        ("pending", "Nullable(String)", "SQL: whether a call that does not count yet will; null: the KPI has a query"),
        ("query", "Nullable(String)", "SQL of a KPI that is no ratio of sums over calls, with placeholders; else null"),
        ("scale", "Float64", "by what numerator ÷ denominator is multiplied"),
        ("dimensions", "Array(LowCardinality(String))", "by what it can be told apart"),
        ("headline", "Bool", "shown where nobody says which"),
        ("direction", "LowCardinality(String)", "higher or lower: what is better; neutral: neither"),
        ("target", "Nullable(Float64)", "what to reach; null: no number is set"),
        ("minimum_n", "UInt32", "fewer calls are too few to judge"),
        ("null_rule", "String", "which calls do not count"),
        ("source", "String", "what other systems must deliver for it"),
        ("does_not_tell", "String", "what must not be read into it"),
        ("requirements", "Array(String)", "requirements that it answers to"),
    )
    rows = ",\n    ".join(
        "("
        + ", ".join(
            (
                *(
                    quote_string(text)
                    for text in (
                        *(kpi.id, kpi.name.zh, kpi.name.en, kpi.definition.zh, kpi.definition.en),
                        kpi.unit,
                    )
                ),
                quote_string(kpi.kind),
                *(
                    f"toNullable({quote_string(' '.join(text.split()))})" if text else "CAST(NULL, 'Nullable(String)')"
                    for text in _formula(kpi)
                ),
                _number(kpi.scale),
                f"CAST([{', '.join(quote_string(name) for name in kpi.dimensions)}], 'Array(String)')",
                str(kpi.headline).lower(),
                quote_string(kpi.direction),
                f"CAST({'NULL' if kpi.target is None else repr(float(kpi.target))}, 'Nullable(Float64)')",
                f"toUInt32({kpi.minimum_n})",
                quote_string(kpi.null_rule),
                quote_string(kpi.source),
                quote_string(kpi.does_not_tell),
                f"CAST([{', '.join(quote_string(name) for name in kpi.requirements)}], 'Array(String)')",
            )
        )
        + ")"
        for kpi in registry.kpis
    )
    chosen = ", ".join(f"entry.{position} AS {name}" for position, (name, _, _) in enumerate(columns, start=1))
    body = f"SELECT {chosen}\nFROM (SELECT arrayJoin([\n    {rows}\n]) AS entry)"
    return _view(
        "kpis",
        [KpiColumn(name, kind, comment, "") for name, kind, comment in columns],
        body,
        "The registry of KPIs: one row per KPI.",
    )


def _formula(kpi: Kpi) -> tuple[str, str, str, str]:
    """Numerator, denominator, what is pending, and query; empty where there is none."""
    if kpi.ratio is None:
        return "", "", "", "" if kpi.query is None else kpi.query.rows
    return kpi.ratio.numerator, kpi.ratio.denominator, kpi.ratio.pending, ""


def _calendar_view() -> str:
    nullable = "LowCardinality(Nullable(String))"
    columns = (
        ("day", "Date32", "the day"),
        ("week", "Date32", "first day of its week, a Monday"),
        ("month", "Date32", "first day of its month"),
        ("quarter", "Date32", "first day of its quarter"),
        ("year", "UInt16", "its year"),
        ("weekday", "UInt8", "1 is Monday, 7 is Sunday"),
        ("is_weekend", "Bool", "Saturday or Sunday, whether it is worked or not"),
        (
            "is_workday",
            "Nullable(Bool)",
            "worked in China: weekends that are worked for a holiday count (调休); null in "
            "years whose holidays this version does not know",
        ),
        ("holiday_zh", nullable, "holiday that it is a day off for, in Chinese; else null"),
        ("holiday_en", nullable, "holiday that it is a day off for, in English; else null"),
    )
    described = [KpiColumn(name, kind, comment, "") for name, kind, comment in columns]
    return _view(
        "dim_calendar", described, calendar_select(), "One row per day, with the working days of mainland China."
    )


def _recent_views(registry: KpiRegistry, window_days: int, *, by_industry: bool) -> dict[str, str]:
    """The same as views with parameters, of the last days; where counts of days can be added up, by day."""
    calls = [KpiColumn(name, kind, comment, name) for name, kind, comment in recent.CALL_COLUMNS]
    since = f"now64(3, 'UTC') - toIntervalDay({recent.DAYS})"
    # As constants: a view with parameters takes nothing else, and pushes down what is asked of its rows.
    source = f"kpi_calls(start = {since}, end = now64(3, 'UTC') + toIntervalDay(1), window_days = {window_days})"
    stretch = Stretch(since, "now64(3, 'UTC') + toIntervalDay(1)", source)
    of_last_days = f"of the last {recent.DAYS} days"
    views = {
        "kpi_calls_recent": _view(
            "kpi_calls_recent",
            calls,
            f"SELECT\n    {_selected(calls)}\nFROM {source}",
            f"One row per call {of_last_days} with all that a KPI is made of; "
            "of other days kpi_calls(start, end, window_days).",
        )
    }
    if registry.queries:
        columns = [
            KpiColumn("day", "Date32", _DAY, "day"),
            KpiColumn("tenant_id", "LowCardinality(String)", _TENANT, "tenant_id"),
            *_VALUE_COLUMNS,
        ]
        rows = "\nUNION ALL\n".join(
            _sums_of_query(kpi.id, kpi.query, ("day",), stretch) for kpi in registry.queries if kpi.query is not None
        )
        views["kpi_queries_recent"] = _view(
            "kpi_queries_recent",
            columns,
            f"{_names(registry.queries, by_industry=by_industry)}SELECT\n    {_selected(columns)}\n"
            f"FROM\n(\n{rows}\n) AS together{_industries(by_industry)}",
            f"One row per day {of_last_days}, tenant and KPI that is no ratio of sums over calls: ask for one of them.",
        )
    views["demands_recent"] = _view(
        "demands_recent",
        _described(_DEMANDS_BY_DAY),
        _chosen(_DEMANDS_BY_DAY, demands_query(stretch, by_day=True)),
        f"What customers call for by day, {of_last_days}: one row per tenant, inquiry type and topic.",
    )
    views["customer_demands_recent"] = _view(
        "customer_demands_recent",
        _described(_CUSTOMER_DEMANDS),
        _chosen(_CUSTOMER_DEMANDS, customer_demands_query(stretch)),
        f"What customers of a value tier or tag call for, {of_last_days} together, against all others of the tenant.",
    )
    return views


_DEMANDS_BY_DAY = (
    ("day", "Date32", _DAY),
    ("tenant_id", "LowCardinality(String)", _TENANT),
    ("inquiry_type", "LowCardinality(Nullable(String))", "inquiry type as the telephony side knows it"),
    ("topic_id", "LowCardinality(String)", "topic, as in dim_topics"),
    ("name", "String", "name of the topic"),
    ("calls", "UInt64", "calls that are about it"),
    ("agitated", "UInt64", "calls in which the customer is agitated"),
    ("agitation_known", "UInt64", "calls in which that could be measured"),
    ("unresolved", "UInt64", "calls after which the matter was open"),
    ("resolution_known", "UInt64", "calls of which that is known"),
    ("resolution_pending", "UInt64", "calls of which it will be"),
    (
        "examples",
        "Array(Tuple(call_id String, quote String, confidence Float64))",
        "up to five calls, the surest first",
    ),
)
_CUSTOMER_DEMANDS = (
    ("tenant_id", "LowCardinality(String)", _TENANT),
    ("attribute", "String", "value_tier or tag"),
    ("customers", "String", "which value tier or tag, as it is known now"),
    ("topic_id", "LowCardinality(String)", "topic, as in dim_topics"),
    ("name", "String", "name of the topic"),
    ("calls", "UInt64", "calls of these customers about it"),
    ("calls_of_customers", "UInt64", "analysed calls of these customers"),
    ("calls_of_others_about_it", "UInt64", "calls of all others about it"),
    ("calls_of_others", "UInt64", "analysed calls of all others"),
)


def _chosen(columns: Iterable[tuple[str, str, str]], rows: str) -> str:
    return f"SELECT {', '.join(name for name, _, _ in columns)} FROM (\n{rows}\n)"  # noqa: S608 - of the registry


def _described(columns: Iterable[tuple[str, str, str]]) -> list[KpiColumn]:
    return [KpiColumn(name, kind, comment, name) for name, kind, comment in columns]


def _long_view(
    registry: KpiRegistry, name: str, dimension: Dimension, grain: str, days: TenantDays, *, by_industry: bool
) -> str:
    hours = [
        KpiColumn("hour", "UInt8", _HOUR, day_sql.hour(days, "period")),
        KpiColumn("hour_start", "DateTime('UTC')", _HOUR_START, "period"),
    ]
    columns = [
        KpiColumn("day", "Date32", _DAY, "day"),
        *(hours if grain == "hour" else []),
        KpiColumn("tenant_id", "LowCardinality(String)", _TENANT, "tenant_id"),
        *(_key(key) for key in DIMENSIONS[dimension]),
        *_VALUE_COLUMNS,
        _is_partial("day"),
    ]
    body = (
        f"{_names(registry.ratios, by_industry=by_industry, has_agents=str(dimension in AGENTS_OF).lower())}"
        f"SELECT\n    {_selected(columns)}\nFROM {_groups(dimension, grain)}{_how_whole(days, 'day')}"
        f"{_industries(by_industry)}"
    )
    group = "" if dimension == "tenant" else f", {dimension.replace('_', ' ')}"
    return _view(name, columns, body, f"One row per {grain}, tenant{group} and KPI for which a call counts.")


def _period_view(registry: KpiRegistry, name: str, period: str, days: TenantDays, *, by_industry: bool) -> str:
    """The tenant by week or month: an agent of several days is one agent, as in `kpi_between`."""
    columns = [
        KpiColumn(period, "Date32", _PERIODS[period][2], period),
        KpiColumn("tenant_id", "LowCardinality(String)", _TENANT, "tenant_id"),
        *_VALUE_COLUMNS,
        _is_partial(period),
    ]
    rows = _rows_of_period("tenant", period, ())
    body = (
        f"{_names(registry.ratios, by_industry=by_industry, has_agents='true')}"
        f"SELECT\n    {_selected(columns)}\nFROM {_summed((period, 'tenant_id', 'kpi'), rows)}"
        f"{_how_whole(days, period)}{_industries(by_industry)}"
    )
    return _view(name, columns, body, f"One row per {period}, tenant and KPI for which a call counts.")


def _period_by_view(registry: KpiRegistry, name: str, period: str, days: TenantDays, *, by_industry: bool) -> str:
    """Every dimension by week or month. Only the key columns that a dimension names are filled."""
    keys = tuple(dict.fromkeys(key for columns in DIMENSIONS.values() for key in columns))
    columns = [
        KpiColumn(period, "Date32", _PERIODS[period][2], period),
        KpiColumn("tenant_id", "LowCardinality(String)", _TENANT, "tenant_id"),
        KpiColumn("dimension", "LowCardinality(String)", "what calls are grouped by: ask for one", "dimension"),
        *(_key(key) for key in keys),
        *_VALUE_COLUMNS,
        _is_partial(period),
    ]
    rows = "\nUNION ALL\n".join(
        (_rows_as_they_are(period, keys), *(_rows_of_period(dimension, period, keys) for dimension in AGENTS_OF))
    )
    known = f"dimension IN ({', '.join(map(quote_string, AGENTS_OF))})"
    body = (
        f"{_names(registry.ratios, by_industry=by_industry, has_agents=known)}"
        f"SELECT\n    {_selected(columns)}\n"
        f"FROM {_summed((period, 'tenant_id', 'dimension', *keys, 'kpi'), rows)}"
        f"{_how_whole(days, period)}{_industries(by_industry)}"
    )
    return _view(
        name, columns, body, f"One row per {period}, tenant, dimension, group and KPI for which a call counts."
    )


def _rows_as_they_are(period: str, keys: Sequence[str]) -> str:
    """Those of all dimensions of which it is not known who took the calls: each branch of a view costs planning."""
    others = [dimension for dimension in DIMENSIONS if dimension not in AGENTS_OF]
    of_key = {key: [dimension for dimension in _with_column(key) if dimension in others] for key in keys}
    named = "".join(
        f", if(dimension IN ({', '.join(map(quote_string, named))}), rolled.{key}, NULL)::Nullable(String) AS {key}_of"
        if named
        else f", NULL::Nullable(String) AS {key}_of"
        for key, named in of_key.items()
    )
    renamed = "".join(f", {key}_of AS {key}" for key in keys)
    inner = (
        f"SELECT {_PERIODS[period][0]} AS {period}, tenant_id, toString(dimension) AS dimension{named}, kpi, "  # noqa: S608 - names
        f"{', '.join(SUMS)}, NULL::Nullable(String) AS taken_by FROM kpi_rollup AS rolled\n"
        f"WHERE grain = 'day' AND rolled.dimension IN ({', '.join(map(quote_string, others))})"
    )
    return f"SELECT {period}, tenant_id, dimension{renamed}, kpi, {', '.join(SUMS)}, taken_by FROM ({inner})"  # noqa: S608


def _rows_of_period(dimension: Dimension, period: str, keys: Sequence[str]) -> str:
    source = AGENTS_OF.get(dimension)
    named = "".join(
        f", {key if key in DIMENSIONS[dimension] else 'NULL'}::Nullable(String) AS {key}_of" for key in keys
    )
    renamed = "".join(f", {key}_of AS {key}" for key in keys)
    label = f", {quote_string(dimension)} AS dimension" if keys else ""
    inner = (
        f"SELECT {_PERIODS[period][0]} AS {period}, tenant_id{named}, kpi, {', '.join(SUMS)}, "  # noqa: S608 - names
        f"{'NULL' if source is None else 'agent_id'}::Nullable(String) AS taken_by FROM kpi_rollup\n"
        f"WHERE grain = 'day' AND dimension = {quote_string(source or dimension)}"
    )
    return f"SELECT {period}, tenant_id{label}{renamed}, kpi, {', '.join(SUMS)}, taken_by FROM ({inner})"  # noqa: S608


def _is_partial(period: str) -> KpiColumn:
    return KpiColumn(
        "is_partial",
        "Bool",
        f"the {period} was not over everywhere when this was made, or calls of it of the last {PENDING_DAYS} days "
        "have no outcome yet: do not compare it with whole ones",
        "CAST(ifNull(made.is_whole = 0, true) OR ifNull(now64(3, 'UTC') < made.over_at, false)"
        " OR ifNull(waiting.calls, 0) > 0, 'Bool')",
    )


def _how_whole(days: TenantDays, period: str) -> str:
    """Joins that say when what is shown was made, and which calls of it are still to come."""
    of_day, last_day, _ = _PERIODS[period]
    day_over, period_over = (_over_everywhere(days, day) for day in ("day", last_day))
    return (
        "\nLEFT JOIN\n(\n"  # noqa: S608 - no value of anybody
        f"    SELECT {period} AS made_{period}, min(is_whole) AS is_whole, any({period_over}) AS over_at\n"
        f"    FROM (SELECT {of_day} AS {period}, as_of >= {day_over} AS is_whole FROM kpi_rollup_days FINAL)\n"
        f"    GROUP BY {period}\n) AS made ON together.{period} = made.made_{period}"
        "\nLEFT JOIN\n(\n"
        f"    SELECT tenant_id AS waiting_tenant, {of_day} AS waiting_{period}, count() AS calls\n"
        f"    FROM (SELECT tenant_id, {day_sql.day(days, 'min(ended_at)')} AS day\n"
        # Not FINAL over the whole table, which is sorted by call id: only of calls that ever were pending of late.
        "        FROM outcome_versions WHERE (tenant_id, call_id) GLOBAL IN (\n"
        "            SELECT tenant_id, call_id FROM outcome_versions\n"
        f"            WHERE outcome = 'pending' AND ended_at >= now64(3, 'UTC') - toIntervalDay({PENDING_DAYS}))\n"
        "        GROUP BY tenant_id, call_id HAVING argMax(outcome, version) = 'pending')\n"
        f"    GROUP BY waiting_tenant, waiting_{period}\n) AS waiting"
        f" ON together.tenant_id = waiting.waiting_tenant AND together.{period} = waiting.waiting_{period}"
    )


def _over_everywhere(days: TenantDays, day: str) -> str:
    """When a day is over, by the clock of the tenant where it ends last."""
    ends = [f"toDateTime64(toStartOfDay({day} + 1, {quote_string(zone.key)}), 3, 'UTC')" for zone in days.zones]
    return ends[0] if len(ends) == 1 else f"greatest({', '.join(ends)})"


def _groups(dimension: Dimension, grain: str) -> str:
    """The sums of each group; where it is known who took the calls, made of those of its agents."""
    keys = ("period", "day", "tenant_id", *DIMENSIONS[dimension], "kpi")
    source = AGENTS_OF.get(dimension)
    agent = "NULL" if source is None else "agent_id"
    rows = (
        f"SELECT {', '.join((*keys, *SUMS))}, {agent} AS taken_by FROM kpi_rollup\n"  # noqa: S608 - no value of anybody
        f"WHERE grain = {quote_string(grain)} AND dimension = {quote_string(source or dimension)}"
    )
    return _summed(keys, rows)


def _summed(keys: Sequence[str], rows: str) -> str:
    """Rows that have the same keys together, with squares and products of the sums of agents beside those of calls."""
    groups = ", ".join(keys)
    of_agents = ", ".join(
        (
            "sum(of_agent.numerator * of_agent.numerator) AS agent_numerator_squares",
            "sum(of_agent.numerator * of_agent.denominator) AS agent_products",
            "sum(of_agent.denominator * of_agent.denominator) AS agent_denominator_squares",
        )
    )
    of_agent, together = (", ".join(f"sum({of}.{name}) AS {name}" for name in SUMS) for of in ("each", "of_agent"))
    return (
        f"\n(\n    SELECT {groups}, {together},\n        {of_agents}\n"
        f"    FROM\n    (\n        SELECT {groups}, taken_by, {of_agent}\n"
        f"        FROM\n        (\n{rows}\n        ) AS each\n"
        f"        GROUP BY {groups}, taken_by\n    ) AS of_agent\n    GROUP BY {groups}\n) AS together"
    )


def _wide_view(registry: KpiRegistry, name: str, dimension: Dimension) -> str:
    keys = DIMENSIONS[dimension]
    columns = [
        KpiColumn("day", "Date32", _DAY, "day"),
        KpiColumn("tenant_id", "LowCardinality(String)", _TENANT, "tenant_id"),
        *(_key(key) for key in keys),
        *(
            KpiColumn(
                kpi.id,
                "Nullable(Float64)",
                f"{kpi.name.en} ({kpi.name.zh}), {kpi.unit}; null where no call counts",
                f"{_number(kpi.scale)} * anyOrNullIf(numerator / denominator, kpi = {quote_string(kpi.id)}"
                f" AND n > 0 AND {_IS_DECIDED})",
            )
            for kpi in registry.ratios
        ),
    ]
    body = (
        f"SELECT\n    {_selected(columns)}\nFROM kpi_rollup\n"
        f"WHERE grain = 'day' AND dimension = {quote_string(dimension)}\n"
        f"GROUP BY {', '.join(('day', 'tenant_id', *keys))}"
    )
    return _view(name, columns, body, "One row per day and key, one column per KPI; how many calls count is not shown.")


def _between_view(registry: KpiRegistry, *, by_industry: bool) -> str:
    """A view with parameters has no list of columns."""
    keys = tuple(dict.fromkeys(key for columns in DIMENSIONS.values() for key in columns))
    chosen = ", ".join(f"if({_is_one_of(_with_column(key))}, daily.{key}, NULL) AS of_{key}" for key in keys)
    renamed = ", ".join(f"of_{key} AS {key}" for key in keys)
    sources = _multi_if(
        [(f"{{dimension:String}} = {quote_string(name)}", quote_string(source)) for name, source in AGENTS_OF.items()],
        "{dimension:String}",
    )
    agent = f"if({_is_one_of(AGENTS_OF)}, daily.agent_id, NULL)"
    rows = (
        f"SELECT tenant_id, {renamed}, kpi, {', '.join(SUMS)}, taken_by FROM\n("
        f"SELECT tenant_id, {chosen}, kpi, {', '.join(SUMS)}, {agent} AS taken_by\n"
        f"FROM kpi_rollup AS daily\nWHERE grain = 'day' AND dimension = {sources}\n"
        "    AND day BETWEEN {first:Date32} AND {last:Date32})"
    )
    return (
        f"CREATE OR REPLACE VIEW kpi_between {ON_CLUSTER} SQL SECURITY DEFINER AS "
        f"{_names(registry.ratios, by_industry=by_industry, has_agents=_is_one_of(AGENTS_OF))}"
        f"SELECT\n    tenant_id, {', '.join(keys)},\n    {_selected(_VALUE_COLUMNS)}\n"
        f"FROM {_summed(('tenant_id', *keys, 'kpi'), rows)}{_industries(by_industry)}\n"
        "COMMENT 'KPIs of all days from first to last (both included) together, by a dimension such as agent: "
        "kpi_between(dimension = ..., first = ..., last = ...).'"
    )


def _with_column(column: str) -> list[Dimension]:
    return [dimension for dimension, columns in DIMENSIONS.items() if column in columns]


def _is_one_of(dimensions: Iterable[Dimension]) -> str:
    return f"{{dimension:String}} IN ({', '.join(map(quote_string, dimensions))})"


def _query_view(kpi: Kpi, stretch: Stretch, *, by_industry: bool) -> str:
    comment = quote_string(
        f"{kpi.name.en} ({kpi.name.zh}) by tenant: kpi_{kpi.id}(first = ..., last = ...), both days included."
    )
    return (
        f"CREATE OR REPLACE VIEW kpi_{kpi.id} {ON_CLUSTER} SQL SECURITY DEFINER AS "
        f"{_names((kpi,), by_industry=by_industry)}"
        f"SELECT\n    tenant_id,\n    {_selected(_VALUE_COLUMNS)}\n"
        f"FROM\n(\n{query_sums(kpi, 'tenant', stretch)}\n) AS together{_industries(by_industry)}\nCOMMENT {comment}"
    )


def _key(name: str) -> KpiColumn:
    return KpiColumn(name, "Nullable(String)", _KEY_COMMENTS[name], name)


def _names(kpis: Sequence[Kpi], *, by_industry: bool, has_agents: str = "false") -> str:
    """What the columns of `_value_columns` are written with, as a WITH clause. `has_agents` says, in SQL, whether
    agents are units, too."""
    names = {
        "kind_of": _of_kpi(kpis, [quote_string(kpi.kind) for kpi in kpis]),
        "scale_of": _of_kpi(kpis, [_number(kpi.scale) for kpi in kpis]),
        "lowest_of": _of_kpi(kpis, [_number(bounds(kpi.unit)[0]) for kpi in kpis]),
        "highest_of": _of_kpi(kpis, [_number(bounds(kpi.unit)[1]) for kpi in kpis]),
        "is_share_of": _of_kpi(kpis, [str(kpi.unit == "share").lower() for kpi in kpis]),
        "minimum_of": _of_kpi(kpis, [str(kpi.minimum_n) for kpi in kpis]),
        "direction_of": _of_kpi(kpis, [quote_string(kpi.direction) for kpi in kpis]),
        "target_of": _target(kpis, by_industry=by_industry),
        "withheld": f"n = 0 OR NOT ({_IS_DECIDED})",
        "ratio": "numerator / denominator",
        "numerator_spread": "n * numerator_squares - numerator * numerator",
        "denominator_spread": "n * denominator_squares - denominator * denominator",
        "varies": "n >= 2 AND numerator_spread > 0 AND denominator_spread > 0",
        "correlation": "greatest(-1., least(1., (n * products - numerator * denominator)"
        " / sqrt(numerator_spread * denominator_spread)))",
        "fisher_half": f"{Z95!r} * sqrt((1 + correlation * correlation / 2) / (toFloat64(n) - 3))",
        **(_AGENT_NAMES if has_agents != "false" else {}),
        "agents_spread": "0." if has_agents == "false" else f"if({has_agents}, {_AGENTS_SPREAD}, 0.)",
        "too_few_agents": f"{has_agents} AND agents < {LEAST_AGENTS!r}" if has_agents != "false" else "false",
        "binomial": "denominator * ratio * (1 - ratio)",
        "alone": "n / if(binomial > 0, greatest(1., agents_spread / binomial), 1.)",
        "wilson_middle": f"ratio + {Z95 * Z95!r} / (2 * alone)",
        "wilson_half": f"{Z95!r} * sqrt(greatest(ratio * (1 - ratio), 0.) / alone"
        f" + {Z95 * Z95!r} / (4. * alone * alone))",
        "wilson_below": f"1 + {Z95 * Z95!r} / alone",
        "spread": "greatest(n * greatest(numerator_squares - 2 * ratio * products"
        " + ratio * ratio * denominator_squares, 0.) / (toFloat64(n) - 1), agents_spread)",
        "delta_half": f"{Z95!r} * sqrt(spread) / denominator",
        "parts": "denominator / if(binomial > 0, greatest(1., spread / binomial), 1.)",
        "parts_middle": f"ratio + {Z95 * Z95!r} / (2 * parts)",
        "parts_half": f"{Z95!r} * sqrt(greatest(ratio * (1 - ratio), 0.) / parts"
        f" + {Z95 * Z95!r} / (4 * parts * parts))",
        "parts_below": f"1 + {Z95 * Z95!r} / parts",
        "times_poisson": "if(numerator > 0, greatest(1., spread / numerator), 1.)",
        "seen": "numerator / times_poisson",
        "gamma_low": f"times_poisson / denominator * seen"
        f" * pow(greatest(1 - 1 / (9 * seen) - {Z95!r} / (3 * sqrt(seen)), 0.), 3)",
        "gamma_high": f"times_poisson / denominator * (seen + 1)"
        f" * pow(1 - 1 / (9 * (seen + 1)) + {Z95!r} / (3 * sqrt(seen + 1)), 3)",
        "none_seen": f"{NO_EVENT_LIMIT!r} / denominator",
    }
    return "WITH\n    " + ",\n    ".join(f"{sql} AS {name}" for name, sql in names.items()) + "\n"


_AGENT_NAMES = {
    "agents": "if(agent_denominator_squares > 0, denominator * denominator / agent_denominator_squares, 0.)",
    "student_times": "(8 * (agents - 1) + 3) / (8 * (agents - 1) + 1)",
    "student_squared": f"(agents - 1) * (exp(pow({Z95!r} * student_times, 2) / (agents - 1)) - 1)",
}
"""As `effective_agents` and `student95` of `kpi_statistics`."""

_AGENTS_SPREAD = (
    "agents / (agents - 1) * greatest(agent_numerator_squares - 2 * ratio * agent_products"
    f" + ratio * ratio * agent_denominator_squares, 0.) * student_squared / {Z95 * Z95!r}"
)
"""As `agents_spread` of `kpi_statistics`."""


def _limit(sign: str) -> str:
    """The lower (-) or upper (+) limit, as in `kpi_statistics.estimate`."""
    low = sign == "-"
    bounded = "scale_of * least(greatest({}, lowest_of), highest_of)"
    return (
        "multiIf(withheld, NULL, "
        "kind_of = 'correlation' AND (n < 4 OR NOT varies), NULL, "
        "kind_of = 'correlation' AND abs(correlation) >= 1, correlation, "
        f"kind_of = 'correlation', tanh(atanh(correlation) {sign} fisher_half), "
        "too_few_agents, NULL, "
        f"kind_of = 'share', {bounded.format(f'(wilson_middle {sign} wilson_half) / wilson_below')}, "
        "n < 2, NULL, "
        f"kind_of = 'events' AND is_share_of, {bounded.format(f'(parts_middle {sign} parts_half) / parts_below')}, "
        f"kind_of = 'events' AND numerator <= 0, {bounded.format('0.' if low else 'none_seen')}, "
        f"kind_of = 'events', {bounded.format('gamma_low' if low else 'gamma_high')}, "
        f"{bounded.format(f'ratio {sign} delta_half')})"
    )


_VALUE_COLUMNS = (
    KpiColumn("kpi", "LowCardinality(String)", "id of the KPI, see the view kpis", "kpi"),
    KpiColumn("n", "UInt64", "calls that count", "n"),
    KpiColumn(
        "value",
        "Nullable(Float64)",
        "the KPI, in its unit",
        "multiIf(withheld, NULL, kind_of != 'correlation', scale_of * ratio, varies, correlation, NULL)",
    ),
    KpiColumn(
        "low", "Nullable(Float64)", "lower limit of its 95 % interval; null for too few calls or agents", _limit("-")
    ),
    KpiColumn(
        "high", "Nullable(Float64)", "upper limit of its 95 % interval; null for too few calls or agents", _limit("+")
    ),
    KpiColumn("target", "Nullable(Float64)", "what to reach; null: no number is set", "target_of"),
    KpiColumn(
        "verdict",
        "LowCardinality(String)",
        "reached or missed; pending while more than a tenth of the calls are to come; too_few where fewer calls count "
        "than minimum_n; no_target",
        f"multiIf(NOT ({_IS_DECIDED}), 'pending', isNull(value) OR n < minimum_of, 'too_few', "
        "isNull(target), 'no_target', "
        "if(direction_of = 'higher', value >= target, value <= target), 'reached', 'missed')",
    ),
    KpiColumn("numerator", "Float64", "sum over the calls that count; add these up for longer times", "numerator"),
    KpiColumn("denominator", "Float64", "sum over the calls that count; add these up for longer times", "denominator"),
    KpiColumn("pending", "UInt64", "calls that will count, and do not yet", "pending"),
)


def _target(kpis: Sequence[Kpi], *, by_industry: bool) -> str:
    """As `Kpi.target_of`: that of the tenant, of its industry, of all."""
    own = [
        (f"kpi = {quote_string(kpi.id)} AND tenant_id = {quote_string(tenant)}", _number(number))
        for kpi in kpis
        for tenant, number in sorted(kpi.targets_by_tenant.items())
    ]
    of_industry = [
        (f"kpi = {quote_string(kpi.id)} AND tenant_industry = {quote_string(industry)}", _number(number))
        for kpi in kpis
        for industry, number in sorted(kpi.targets_by_industry.items())
        if by_industry
    ]
    targets = [_multi_if(choices, _NO_NUMBER) for choices in (own, of_industry) if choices]
    targets.append(_of_kpi(kpis, [_NO_NUMBER if kpi.target is None else _number(kpi.target) for kpi in kpis]))
    return targets[0] if len(targets) == 1 else f"coalesce({', '.join(targets)})"


def _industries(by_industry: bool) -> str:
    """The industry of most calls of each tenant; read only where a target depends on it."""
    if not by_industry:
        return ""
    return (
        "\nLEFT JOIN\n(\n    SELECT tenant_id, argMax(industry, calls) AS tenant_industry\n"
        "    FROM (SELECT tenant_id, industry, sum(calls) AS calls FROM kpi_rollup\n"
        "        WHERE grain = 'day' AND dimension = 'industry' GROUP BY tenant_id, industry)\n"
        "    GROUP BY tenant_id\n) AS of_tenant USING (tenant_id)"
    )


def _of_kpi(kpis: Sequence[Kpi], values: Sequence[str]) -> str:
    """The value that belongs to the KPI of the row; the most frequent one is not spelt out."""
    usual = Counter(values).most_common(1)[0][0]
    named: dict[str, list[str]] = {}
    for kpi, value in zip(kpis, values, strict=True):
        if value != usual:
            named.setdefault(value, []).append(quote_string(kpi.id))
    return _multi_if([(f"kpi IN ({', '.join(ids)})", value) for value, ids in named.items()], usual)


def _multi_if(choices: Sequence[tuple[str, str]], otherwise: str) -> str:
    parts = [part for choice in choices for part in choice]
    return f"multiIf({', '.join((*parts, otherwise))})" if parts else otherwise


def _number(value: float) -> str:
    return "inf" if value == float("inf") else repr(float(value))


def _selected(columns: Iterable[KpiColumn]) -> str:
    return ",\n    ".join(
        column.sql if column.sql == column.name else f"{column.sql} AS `{column.name}`" for column in columns
    )


def _view(name: str, columns: Sequence[KpiColumn], body: str, comment: str) -> str:
    # In back quotes: somebody may call a KPI `index`.
    listed = ",\n    ".join(
        f"`{column.name}` {column.type} COMMENT {quote_string(column.comment)}" for column in columns
    )
    head = f"CREATE OR REPLACE VIEW {name} {ON_CLUSTER}\n(\n    {listed}\n)\nSQL SECURITY DEFINER"
    return f"{head}\nAS {body}\nCOMMENT {quote_string(comment)}"


def demands_query(stretch: Stretch, *, by_day: bool = False) -> str:
    """R61, R62: demands by how many calls are about them, with the words that show them; if asked for, of each day."""
    day = "day, " if by_day else ""
    return f"""\
SELECT
    {day}tenant_id,
    inquiry_type,
    topic_id,
    any(mentions.name) AS name,
    count() AS calls,
    any(called.calls_of_type) AS calls_of_inquiry_type,
    countIf(measures['customer_agitated_segments'] > 0) AS agitated,
    countIf(isNotNull(measures['customer_agitated_segments'])) AS agitation_known,
    countIf(resolution = 'unresolved') AS unresolved,
    countIf(resolution IN ('resolved', 'unresolved')) AS resolution_known,
    countIf(resolution = 'pending') AS resolution_pending,
    arrayMap(
        example -> (example.2, example.3, -example.1),
        groupArraySorted(5)((-mentions.confidence, call_id, mentions.quote))
    ) AS examples
FROM
({_mentions(stretch)}) AS mentions
INNER JOIN
(
    SELECT
        {day}tenant_id, call_id, inquiry_type, measures, resolution,
        count() OVER (PARTITION BY {day}tenant_id, inquiry_type) AS calls_of_type
    FROM {stretch.calls}
    WHERE outcome = 'analyzed'
) AS called USING (tenant_id, call_id)
GROUP BY {day}tenant_id, inquiry_type, topic_id"""  # noqa: S608 - no value of anybody is in it


def customer_demands_query(stretch: Stretch) -> str:
    """R63: topics by who the customer is, as it is known now."""
    return f"""\
SELECT
    tenant_id,
    attribute,
    customers,
    topic_id,
    any(about.name) AS name,
    count() AS calls,
    any(known.group_calls) AS calls_of_customers,
    any(about.calls_of_topic) - count() AS calls_of_others_about_it,
    any(known.calls_of_tenant) - any(known.group_calls) AS calls_of_others
FROM
(
    SELECT tenant_id, call_id, topic_id, name, count() OVER (PARTITION BY tenant_id, topic_id) AS calls_of_topic
    FROM
    ({_mentions(stretch)}) AS mentions
    INNER JOIN
    (
        SELECT tenant_id, call_id
        FROM {stretch.calls}
        WHERE outcome = 'analyzed'
    ) AS called USING (tenant_id, call_id)
) AS about
INNER JOIN
(
    SELECT
        tenant_id, call_id, calls_of_tenant,
        belongs.1 AS attribute,
        belongs.2 AS customers,
        count() OVER (PARTITION BY tenant_id, attribute, customers) AS group_calls
    FROM
    (
        SELECT
            tenant_id, call_id,
            count() OVER (PARTITION BY tenant_id) AS calls_of_tenant,
            arrayDistinct(arrayConcat(
                arrayMap(tag -> ('tag', toString(tag)), newest_customer_tags),
                if(
                    isNull(newest_customer_value_tier),
                    [],
                    [('value_tier', toString(assumeNotNull(newest_customer_value_tier)))]
                )
            )) AS groups
        FROM {stretch.calls}
        WHERE outcome = 'analyzed'
    )
    ARRAY JOIN groups AS belongs
) AS known USING (tenant_id, call_id)
GROUP BY tenant_id, attribute, customers, topic_id"""  # noqa: S608 - no value of anybody is in it


def _mentions(stretch: Stretch) -> str:
    return f"""
    SELECT
        tenant_id, call_id, topic_id,
        argMax(topics.name, topics.confidence) AS name,
        argMax(topics.quote, topics.confidence) AS quote,
        max(topics.confidence) AS confidence
    FROM topics
    WHERE ended_at >= {stretch.start} AND ended_at < {stretch.end}
    GROUP BY tenant_id, call_id, topic_id
"""  # noqa: S608 - no value of anybody is in it


def _demands_view(stretch: Stretch) -> str:
    return f"""\
CREATE OR REPLACE VIEW demands {ON_CLUSTER} SQL SECURITY DEFINER AS
{demands_query(stretch)}
COMMENT 'What customers call for, with examples: one row per tenant, inquiry type and topic; demands(first = ..., \
last = ...), days of the tenant, both included.'"""


def _customer_demands_view(stretch: Stretch) -> str:
    return f"""\
CREATE OR REPLACE VIEW customer_demands {ON_CLUSTER} SQL SECURITY DEFINER AS
{customer_demands_query(stretch)}
COMMENT 'What customers of a value tier or tag call for, against all other calls of the tenant; \
customer_demands(first = ..., last = ...), days of the tenant, both included.'"""
