CREATE OR REPLACE VIEW kpi_rollup {{on_cluster}}
(
    tenant_id LowCardinality(String) COMMENT 'whose calls they are',
    day Date32 COMMENT 'day on which the calls ended, in the time zone of the setting timezone',
    grain LowCardinality(String) COMMENT 'day or hour',
    period DateTime('UTC') COMMENT 'start of the day or hour, UTC',
    dimension LowCardinality(String) COMMENT 'what the calls are grouped by; only the columns that it names have a meaning',
    industry LowCardinality(Nullable(String)) COMMENT 'industry profile',
    agent_team LowCardinality(Nullable(String)) COMMENT 'team of the agent at the time of the call',
    agent_id LowCardinality(Nullable(String)) COMMENT 'number of the agent',
    queue LowCardinality(Nullable(String)) COMMENT 'queue that the call came through',
    inquiry_type LowCardinality(Nullable(String)) COMMENT 'inquiry type as the telephony side knows it',
    course_type LowCardinality(Nullable(String)) COMMENT 'course type (education)',
    order_status LowCardinality(Nullable(String)) COMMENT 'newest known status of the order',
    customer_value_tier LowCardinality(Nullable(String)) COMMENT 'newest known value tier of the customer',
    calls UInt64 COMMENT 'calls of the group',
    kpi LowCardinality(String) COMMENT 'KPI of the registry',
    n UInt64 COMMENT 'calls that count for the KPI',
    numerator Float64 COMMENT 'sum of the numerator',
    denominator Float64 COMMENT 'sum of the denominator',
    numerator_squares Float64 COMMENT 'sum of squares of the numerator, for intervals',
    products Float64 COMMENT 'sum of numerator times denominator, for intervals',
    denominator_squares Float64 COMMENT 'sum of squares of the denominator, for intervals'
)
SQL SECURITY DEFINER
AS SELECT
    tenant_id,
    day,
    grain,
    period,
    dimension,
    industry,
    agent_team,
    agent_id,
    queue,
    inquiry_type,
    course_type,
    order_status,
    customer_value_tier,
    calls,
    kpi,
    n,
    numerator,
    denominator,
    numerator_squares,
    products,
    denominator_squares
FROM kpi_rollup_rows
ARRAY JOIN
    kpis.kpi AS kpi,
    kpis.n AS n,
    kpis.numerator AS numerator,
    kpis.denominator AS denominator,
    kpis.numerator_squares AS numerator_squares,
    kpis.products AS products,
    kpis.denominator_squares AS denominator_squares
COMMENT 'One row per period, dimension, group and KPI: sums over calls. The views kpi_* make values of them.';
