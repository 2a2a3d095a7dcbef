-- Roll-ups of every KPI, by day and by hour. A materialised view would count every delivery and every judgement again;
-- so the worker `rollup` makes the rows of a day anew from the calls, and puts them in place of the old ones in one step
-- (a partition is a day). What people see is always one whole state of a day.
CREATE TABLE IF NOT EXISTS {{everywhere kpi_rollup_rows}} {{on_cluster}}
(
    tenant_id LowCardinality(String) COMMENT 'whose calls they are',
    day Date32 COMMENT 'day on which the calls ended, in the time zone of the setting timezone',
    grain LowCardinality(String) COMMENT 'day or hour',
    period DateTime('UTC') COMMENT 'start of the day or hour, UTC' CODEC(Delta, ZSTD(1)),
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
    `kpis.kpi` Array(LowCardinality(String)) COMMENT 'KPI of the registry',
    `kpis.n` Array(UInt64) COMMENT 'calls that count for the KPI' CODEC(ZSTD(1)),
    `kpis.numerator` Array(Float64) COMMENT 'sum of the numerator' CODEC(ZSTD(1)),
    `kpis.denominator` Array(Float64) COMMENT 'sum of the denominator' CODEC(ZSTD(1)),
    `kpis.numerator_squares` Array(Float64) COMMENT 'sum of squares of the numerator, for intervals' CODEC(ZSTD(1)),
    `kpis.products` Array(Float64) COMMENT 'sum of numerator times denominator, for intervals' CODEC(ZSTD(1)),
    `kpis.denominator_squares` Array(Float64) COMMENT 'sum of squares of the denominator, for intervals' CODEC(ZSTD(1))
)
ENGINE = {{engine MergeTree}}
PARTITION BY day
ORDER BY (grain, dimension, tenant_id, period)
SETTINGS index_granularity = 1024
COMMENT 'One row per period, dimension and group, with its KPIs inside it. Query kpi_rollup instead.';

CREATE TABLE IF NOT EXISTS {{everywhere kpi_rollup_days}} {{on_cluster}}
(
    day Date32 COMMENT 'day that was rolled up',
    as_of DateTime64(3, 'UTC') COMMENT 'everything stored until then is in it, UTC',
    definition String COMMENT 'digest of the KPIs, the time zone and the window of first contacts that it was made by'
)
ENGINE = {{engine ReplacingMergeTree(as_of)}}
ORDER BY day
COMMENT 'Which day was rolled up when. A day is made again when something of it was stored later.';
