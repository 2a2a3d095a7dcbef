"""Why a KPI of one stretch of days differs from that of another: the SQL that splits the difference into parts that add
up to it. Pure: text in, text out (docs/adr/0071-why-changed.md).

Calls are laid in classes level by level, each level within the classes of the one before. Where a level has classes
that both periods know, these are compared by the midpoint formula of Kitagawa (Components of a difference between two
rates, Journal of the American Statistical Association 50, 1955; Das Gupta, Standardization and decomposition of rates,
1993): of Σ w·r, the change of the shares w at the mean of the ratios r is the level's part, the change of the ratios at
the mean of the shares goes on to the next level. What the interaction of both would be is halved between them. Classes
that one period alone knows are first left out; what that moves is the level's part, too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from processors.kpi.sql import FIRST, LAST, TOPICS_OF_CALL, Stretch, quote_string
from processors.kpi.statistics import DECIDED_PER_PENDING
from schemas.clickhouse.cluster import ON_CLUSTER
from schemas.config.kpis.kpi import BY_TOPIC, DIMENSIONS, Kpi, KpiRegistry
from schemas.config.kpis.kpi_expression import MAX_NUMBER

LEAST_COMPARABLE = 0.2
"""Of a period's denominator, what the classes that both know must hold at least; else the level tells nothing."""

FIRST_BEFORE = "{first_before:Date32}"
LAST_BEFORE = "{last_before:Date32}"

WHY_COLUMNS = (
    *("tenant_id", "part", "item", "value", "amount", "is_separable"),
    *("n_before", "n_after", "item_before", "item_after", "kpi_before", "kpi_after"),
)
"""The columns of the view `why_changed`."""


@dataclass(frozen=True)
class ChangePart:
    """A part of a difference, of one item of it: a group, a version, a class of calls.

    `value` is in the unit of the KPI, `amount` in that of its numerator; both add up. Null while calls are pending.
    `item_before` and `item_after` are the KPI among the calls of the item.
    """

    tenant_id: str
    part: str
    item: str | None
    value: float | None
    amount: float | None
    is_separable: bool
    n_before: int
    n_after: int
    item_before: float | None
    item_after: float | None
    kpi_before: float | None
    kpi_after: float | None


@dataclass(frozen=True)
class _Level:
    """What calls are told apart by: the part's name, the class of a call as SQL, what else makes a class comparable,
    and whether a level that cannot be told leaves the rest unexplained."""

    part: str
    sql: str
    comparable: str = "true"
    is_needed: bool = True


LEVELS = (
    _Level("late", "if(is_late, 'late', 'on time')", "class = 'on time'", is_needed=False),
    _Level("industry", "if({by:String} = 'industry', NULL, toNullable(toString(industry)))"),
    _Level("mix", "of_group"),
    _Level("models", "toNullable(model_version)"),
    _Level("forms", "form_version"),
    _Level("rules", "toNullable(rules_version)"),
)
"""In this order: late calls are left out first, and rules are compared among calls that are alike in all else."""

PARTS = (*(level.part for level in LEVELS), "within", "unexplained", "volume")
"""Every part, in the order in which they are shown."""


def why_changed_query(kpis: Sequence[Kpi], stretch: Stretch) -> str:
    """A row for each part, and for each item of a part. Parameters: kpi, by, first_before, last_before, first, last.

    `stretch` is that of days (`stretch_of_days`). Only ratios can be split.
    """
    before = stretch.calls.replace(FIRST, FIRST_BEFORE).replace(LAST, LAST_BEFORE)
    return why_changed_of(_cells(kpis, before, stretch.calls))


def why_changed_of(cells: str) -> str:
    """The same of cells: tenant_id, k0, k1 … (a class for each of `LEVELS`), scale, pending_before, pending_after, and
    for both periods n, x (Σ numerator) and y (Σ denominator), as n_before, x_before, y_before and so on."""
    rows = _with_totals(cells)
    for depth in range(len(LEVELS)):
        rows = _descended(rows, depth)
    every = ", ".join(("tenant_id", *(f"p{depth}" for depth in range(len(LEVELS)))))
    totals = ", ".join(f"of_tenant.{number} AS {name}" for number, name in enumerate(_TOTALS, start=1))
    n_before, x_before, y_before, n_after, x_after, y_after = (f"sum(sums[{number}])" for number in range(1, 7))
    return f"""\
WITH {totals}
SELECT
    tenant_id,
    told.1 AS part,
    told.2 AS item,
    if(is_withheld, NULL, scale * sum(told.3)) AS value,
    if(is_withheld, NULL, sum(told.3) * (y_of_before + y_of_after) / 2
        + if(part = 'volume', (y_of_after - y_of_before) * (ratio_before + ratio_after) / 2, 0)) AS amount,
    min(told.4) = 1 AS is_separable,
    toUInt64({n_before}) AS n_before,
    toUInt64({n_after}) AS n_after,
    scale * {x_before} / nullIf({y_before}, 0) AS item_before,
    scale * {x_after} / nullIf({y_after}, 0) AS item_after,
    if(is_withheld, NULL, scale * ratio_before) AS kpi_before,
    if(is_withheld, NULL, scale * ratio_after) AS kpi_after
FROM
(
    SELECT
        tenant_id, of_tenant, sums, sumForEach(xy) OVER path AS l,
        arrayConcat(told_so_far, [
            (
                if(is_unclear, 'unexplained', 'within'), p{_MIX},
                if(l[2] > 0 AND l[4] > 0, weight * (l[3] / l[4] - l[1] / l[2]) / count() OVER path, 0),
                true
            ),
            ('volume', NULL, 0, true)
        ]) AS every_part
    FROM
({rows})
    WINDOW path AS (PARTITION BY {every})
)
ARRAY JOIN every_part AS told
GROUP BY tenant_id, of_tenant, part, item
ORDER BY tenant_id, indexOf({list(PARTS)}, part), abs(value) DESC, item"""  # noqa: S608 - no value of anybody is in it


def why_changed_view(registry: KpiRegistry, stretch: Stretch) -> str:
    """The view `why_changed`; parameters as in `why_changed_query`."""
    return (
        f"CREATE OR REPLACE VIEW why_changed {ON_CLUSTER} SQL SECURITY DEFINER AS\n"
        f"{why_changed_query(registry.ratios, stretch)}\n"
        "COMMENT 'Why a KPI of the days first to last differs from that of first_before to last_before: parts that add "
        "up to the difference; why_changed(kpi = ..., by = ..., first_before = ..., last_before = ..., first = ..., "
        "last = ...).'"
    )


_MIX = next(depth for depth, level in enumerate(LEVELS) if level.part == "mix")
_TOTALS = ("scale", "is_withheld", "ratio_before", "ratio_after", "y_of_before", "y_of_after")
_SUMS = tuple(f"{sums}_{period}" for period in ("before", "after") for sums in ("n", "x", "y"))


def _cells(kpis: Sequence[Kpi], before: str, after: str) -> str:
    """Calls that are alike in all levels, together. A call with several topics counts in equal parts for each."""
    known = ", ".join(quote_string(kpi.id) for kpi in kpis)
    ratios = {kpi.id: kpi.ratio for kpi in kpis if kpi.ratio is not None}
    numerator, denominator, pending, scale = (
        _of_kpi({name: getattr(ratio, field) for name, ratio in ratios.items()}, kind)
        for field, kind in (("numerator", "number"), ("denominator", "number"), ("pending", "flag"), ("scale", "scale"))
    )
    classes = ", ".join(f"{level.sql} AS k{depth}" for depth, level in enumerate(LEVELS))
    keys = ", ".join(f"k{depth}" for depth in range(len(LEVELS)))
    periods = " UNION ALL ".join(
        f"SELECT *, {is_after} AS is_after FROM {calls}"  # noqa: S608 - no value of anybody
        for is_after, calls in ((0, before), (1, after))
    )
    sums = ", ".join(
        f"sumIf({what}, counts AND is_after = {is_after}) AS {name}_{period}"
        for period, is_after in (("before", 0), ("after", 1))
        for name, what in (("n", "1"), ("x", "assumeNotNull(x) * part"), ("y", "assumeNotNull(y) * part"))
    )
    to_come = ", ".join(
        f"sumIf(part, NOT counts AND is_pending AND is_after = {is_after}) AS pending_{period}"
        for period, is_after in (("before", 0), ("after", 1))
    )
    return f"""
    SELECT tenant_id, {keys}, any(kpi_scale) AS scale, {sums}, {to_come}
    FROM
    (
        SELECT
            tenant_id, is_after, {classes}, kpi_scale, x, y, is_pending, 1 / length(groups) AS part,
            ifNull(abs(x) <= {MAX_NUMBER!r} AND y > 0 AND y <= {MAX_NUMBER!r}, false) AS counts
        FROM
        (
            SELECT
                tenant_id, is_after, is_late, industry, model_version, form_version, rules_version,
                {_groups()} AS groups,
                {numerator} AS x, {denominator} AS y, {pending} AS is_pending, {scale} AS kpi_scale
            FROM ({periods})
            WHERE throwIf({{kpi:String}} NOT IN ({known}), 'kpi must be one that the view kpis has, and a ratio') = 0
                AND throwIf({{by:String}} NOT IN ({", ".join(map(quote_string, DIMENSIONS))}),
                    'by must be a dimension, such as tenant, team, topic or inquiry_type') = 0
        )
        ARRAY JOIN groups AS of_group
    )
    GROUP BY tenant_id, {keys}"""  # noqa: S608 - no value of anybody is in it


def _of_kpi(texts: Mapping[str, object], kind: str) -> str:
    """The expression of the KPI that is asked for; only that one is worked out."""
    made = {
        "number": "toNullable(toFloat64({}))",
        "flag": "ifNull({}, false)",
        "scale": "toFloat64({})",
    }[kind]
    together: dict[str, list[str]] = {}
    for name, text in texts.items():
        together.setdefault(made.format(text), []).append(quote_string(name))
    usual = max(together, key=lambda sql: len(together[sql]))
    choices = [(f"has([{', '.join(names)}], {{kpi:String}})", sql) for sql, names in together.items() if sql != usual]
    return _chosen(choices, usual)


def _chosen(choices: Sequence[tuple[str, str]], otherwise: str) -> str:
    """What belongs to the condition that is true, of conditions over parameters alone. ClickHouse puts it in the place
    of an `if` when it plans, but would carry all choices of a `multiIf` through every level above."""
    ifs = "".join(f"if({condition}, {sql}, " for condition, sql in choices)
    return f"{ifs}{otherwise}{')' * len(choices)}"


def _groups() -> str:
    """The groups of a call by the dimension that is asked for, as texts."""
    choices: list[tuple[str, str]] = []
    for dimension, columns in DIMENSIONS.items():
        if dimension == "tenant":
            continue
        texts = [f"ifNull(toString({column}), '–')" for column in columns if column != "topic"]
        if dimension not in BY_TOPIC:
            only = f"toNullable(toString({columns[0]}))" if len(columns) == 1 else _joined(texts)
            groups = f"[{only}]"
        elif texts:
            groups = f"arrayMap(topic -> {_joined([*texts, 'ifNull(toString(topic), ' + quote_string('–') + ')'])}, "
            groups += f"{TOPICS_OF_CALL})"
        else:
            groups = f"arrayMap(topic -> toNullable(toString(topic)), {TOPICS_OF_CALL})"
        choices.append((f"{{by:String}} = {quote_string(dimension)}", f"CAST({groups}, 'Array(Nullable(String))')"))
    return _chosen(choices, "CAST([NULL], 'Array(Nullable(String))')")


def _joined(texts: Sequence[str]) -> str:
    return f"concat({(', ' + quote_string(' · ') + ', ').join(texts)})"


def _with_totals(cells: str) -> str:
    """The cells of tenants that have both periods, with the ratios of both, and nothing told yet.

    `sums` are those of `_SUMS`; `xy` x and y before, x and y after, of what still counts. Arrays, because each column
    and each window costs planning, again at every level above.
    """
    keys = ", ".join(f"k{depth}" for depth in range(len(LEVELS)))
    return f"""
    SELECT
        tenant_id, {keys}, [{", ".join(f"toFloat64({name})" for name in _SUMS)}] AS sums,
        [sums[2], sums[3], sums[5], sums[6]] AS xy,
        sum(y_before) OVER each_tenant AS y_of_before, sum(y_after) OVER each_tenant AS y_of_after,
        sum(x_before) OVER each_tenant / y_of_before AS ratio_before,
        sum(x_after) OVER each_tenant / y_of_after AS ratio_after,
        sum(n_before) OVER each_tenant < {DECIDED_PER_PENDING} * sum(pending_before) OVER each_tenant
            OR sum(n_after) OVER each_tenant < {DECIDED_PER_PENDING} * sum(pending_after) OVER each_tenant
            AS is_withheld,
        ({", ".join(_TOTALS)}) AS of_tenant,
        toFloat64(1) AS weight, false AS is_unclear,
        CAST([], 'Array(Tuple(String, Nullable(String), Float64, Bool))') AS told_so_far
    FROM ({cells}) AS cells
    WINDOW each_tenant AS (PARTITION BY tenant_id)
    QUALIFY y_of_before > 0 AND y_of_after > 0"""  # noqa: S608 - no value of anybody is in it


def _descended(rows: str, depth: int) -> str:
    """The rows one level deeper: what the level tells is added, classes of one period alone no longer count."""
    level = LEVELS[depth]
    path = ", ".join(("tenant_id", *(f"p{above}" for above in range(depth))))
    deeper = "".join(f", k{below}" for below in range(depth + 1, len(LEVELS)))
    carried = f"{path}{deeper}, sums, of_tenant"
    ratios = "(c[3] / c[4] + c[1] / c[2]) / 2 - (k[3] / k[4] + k[1] / k[2]) / 2"
    alone = " ".join(
        f"{sign} if(c[{y}] > 0 AND k[{y}] > 0, c[{y}] / p[{y}] * (c[{x}] / c[{y}] - k[{x}] / k[{y}]), 0)"
        for sign, x, y in (("+", 3, 4), ("-", 1, 2))
    )
    return f"""
    SELECT
        {carried},
        if(is_told, class, NULL) AS p{depth},
        if(is_told AND NOT is_kept, [0., 0., 0., 0.], xy) AS xy,
        weight_above * if(is_told AND is_kept, (c[2] / k[2] + c[4] / k[4]) / 2, 1) AS weight,
        is_unclear OR {"NOT is_told" if level.is_needed else "false"} AS is_unclear,
        arrayPushBack(told_so_far, (
            {quote_string(level.part)},
            if(is_told, class, NULL),
            multiIf(
                NOT is_told, 0,
                is_kept, weight_above * (c[4] / k[4] - c[2] / k[2]) * ({ratios}) / in_class,
                weight_above * ({alone}) / in_class
            ),
            is_told
        )) AS told_so_far
    FROM
    (
        SELECT
            *, sumForEachIf(xy, is_kept) OVER above AS k, sumForEach(xy) OVER above AS p,
            k[2] >= {LEAST_COMPARABLE} * p[2] AND k[4] >= {LEAST_COMPARABLE} * p[4] AS is_told
        FROM
        (
            SELECT
                {carried}, k{depth} AS class, xy, weight AS weight_above, is_unclear, told_so_far,
                sumForEach(xy) OVER of_class AS c, count() OVER of_class AS in_class,
                c[2] > 0 AND c[4] > 0 AND ifNull({level.comparable}, false) AS is_kept
            FROM ({rows})
            WINDOW of_class AS (PARTITION BY {path}, k{depth})
        )
        WINDOW above AS (PARTITION BY {path})
    )"""  # noqa: S608 - no value of anybody is in it
