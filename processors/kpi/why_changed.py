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
    of_tenant = ", ".join(_TOTALS)
    return f"""\
SELECT
    tenant_id,
    told.1 AS part,
    told.2 AS item,
    if(is_withheld, NULL, scale * sum(told.3)) AS value,
    if(is_withheld, NULL, sum(told.3) * (y_of_before + y_of_after) / 2
        + if(part = 'volume', (y_of_after - y_of_before) * (ratio_before + ratio_after) / 2, 0)) AS amount,
    min(told.4) = 1 AS is_separable,
    sum(n_before) AS n_before,
    sum(n_after) AS n_after,
    scale * sum(x_before) / nullIf(sum(y_before), 0) AS item_before,
    scale * sum(x_after) / nullIf(sum(y_after), 0) AS item_after,
    if(is_withheld, NULL, scale * ratio_before) AS kpi_before,
    if(is_withheld, NULL, scale * ratio_after) AS kpi_after
FROM
(
    SELECT
        tenant_id, {of_tenant}, n_before, n_after, x_before, x_after, y_before, y_after,
        arrayConcat(told_so_far, [
            (
                if(is_unclear, 'unexplained', 'within'), p{_MIX},
                if(sum(a_y) OVER path > 0 AND sum(b_y) OVER path > 0,
                    weight * (sum(b_x) OVER path / sum(b_y) OVER path - sum(a_x) OVER path / sum(a_y) OVER path)
                        / count() OVER path, 0),
                true
            ),
            ('volume', NULL, 0, true)
        ]) AS every_part
    FROM
({rows})
    WINDOW path AS (PARTITION BY {every})
)
ARRAY JOIN every_part AS told
GROUP BY tenant_id, {of_tenant}, part, item
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
    choices = [
        part
        for sql, names in together.items()
        if sql != usual
        for part in (f"{{kpi:String}} IN ({', '.join(names)})", sql)
    ]
    return f"multiIf({', '.join((*choices, usual))})" if choices else usual


def _groups() -> str:
    """The groups of a call by the dimension that is asked for, as texts."""
    choices: list[str] = []
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
        choices += [f"{{by:String}} = {quote_string(dimension)}", f"CAST({groups}, 'Array(Nullable(String))')"]
    return f"multiIf({', '.join(choices)}, CAST([NULL], 'Array(Nullable(String))'))"


def _joined(texts: Sequence[str]) -> str:
    return f"concat({(', ' + quote_string(' · ') + ', ').join(texts)})"


def _with_totals(cells: str) -> str:
    """The cells of tenants that have both periods, with the ratios of both, and nothing told yet."""
    keys = ", ".join(f"k{depth}" for depth in range(len(LEVELS)))
    return f"""
    SELECT
        tenant_id, {keys}, {", ".join(_SUMS)}, scale,
        x_before AS a_x, y_before AS a_y, x_after AS b_x, y_after AS b_y,
        sum(y_before) OVER of_tenant AS y_of_before, sum(y_after) OVER of_tenant AS y_of_after,
        sum(x_before) OVER of_tenant / y_of_before AS ratio_before,
        sum(x_after) OVER of_tenant / y_of_after AS ratio_after,
        sum(n_before) OVER of_tenant < {DECIDED_PER_PENDING} * sum(pending_before) OVER of_tenant
            OR sum(n_after) OVER of_tenant < {DECIDED_PER_PENDING} * sum(pending_after) OVER of_tenant AS is_withheld,
        toFloat64(1) AS weight, false AS is_unclear,
        CAST([], 'Array(Tuple(String, Nullable(String), Float64, Bool))') AS told_so_far
    FROM ({cells}) AS cells
    WINDOW of_tenant AS (PARTITION BY tenant_id)
    QUALIFY y_of_before > 0 AND y_of_after > 0"""  # noqa: S608 - no value of anybody is in it


def _descended(rows: str, depth: int) -> str:
    """The rows one level deeper: what the level tells is added, classes of one period alone no longer count."""
    level = LEVELS[depth]
    path = ", ".join(("tenant_id", *(f"p{above}" for above in range(depth))))
    deeper = "".join(f", k{below}" for below in range(depth + 1, len(LEVELS)))
    carried = f"{path}{deeper}, {', '.join(_SUMS)}, {', '.join(_TOTALS)}"
    ratios = "(c_b_x / c_b_y + c_a_x / c_a_y) / 2 - (k_b_x / k_b_y + k_a_x / k_a_y) / 2"
    alone = " ".join(
        f"{sign} if(c_{side}_y > 0 AND k_{side}_y > 0, "
        f"c_{side}_y / p_{side}_y * (c_{side}_x / c_{side}_y - k_{side}_x / k_{side}_y), 0)"
        for sign, side in (("+", "b"), ("-", "a"))
    )
    sums = [f"{side}_{what}" for side in "ab" for what in "xy"]
    of_class = ", ".join(f"sum({name}) OVER of_class AS c_{name}" for name in sums)
    of_kept = ", ".join(f"sumIf({name}, is_kept) OVER above AS k_{name}" for name in sums)
    of_all = ", ".join(f"sum({name}) OVER above AS p_{name}" for name in sums)
    return f"""
    SELECT
        {carried},
        if(is_told, class, NULL) AS p{depth},
        {", ".join(f"if(is_told AND NOT is_kept, 0, {name}) AS {name}" for name in sums)},
        weight_above * if(is_told AND is_kept, (c_a_y / k_a_y + c_b_y / k_b_y) / 2, 1) AS weight,
        is_unclear OR {"NOT is_told" if level.is_needed else "false"} AS is_unclear,
        arrayPushBack(told_so_far, (
            {quote_string(level.part)},
            if(is_told, class, NULL),
            multiIf(
                NOT is_told, 0,
                is_kept, weight_above * (c_b_y / k_b_y - c_a_y / k_a_y) * ({ratios}) / in_class,
                weight_above * ({alone}) / in_class
            ),
            is_told
        )) AS told_so_far
    FROM
    (
        SELECT
            *, {of_kept}, {of_all},
            k_a_y >= {LEAST_COMPARABLE} * p_a_y AND k_b_y >= {LEAST_COMPARABLE} * p_b_y AS is_told
        FROM
        (
            SELECT
                {carried}, k{depth} AS class, {", ".join(sums)}, weight AS weight_above, is_unclear, told_so_far,
                {of_class}, count() OVER of_class AS in_class,
                c_a_y > 0 AND c_b_y > 0 AND ifNull({level.comparable}, false) AS is_kept
            FROM ({rows})
            WINDOW of_class AS (PARTITION BY {path}, k{depth})
        )
        WINDOW above AS (PARTITION BY {path})
    )"""  # noqa: S608 - no value of anybody is in it
