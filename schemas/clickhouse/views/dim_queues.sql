-- From the roll-ups, so that it costs little; as far behind as they are.
CREATE OR REPLACE VIEW dim_queues {{on_cluster}}
(
    tenant_id LowCardinality(String) COMMENT 'whose queue it is',
    queue LowCardinality(Nullable(String)) COMMENT 'queue, as calls name it',
    first_day Date32 COMMENT 'first day of the tenant with a call of the queue',
    last_day Date32 COMMENT 'last day of the tenant with a call of the queue',
    calls UInt64 COMMENT 'calls that came through it'
)
SQL SECURITY DEFINER
AS SELECT
    tenant_id,
    named AS queue,
    first_day,
    last_day,
    queue_calls AS calls
FROM
(
    SELECT tenant_id, queue AS named, min(day) AS first_day, max(day) AS last_day, sum(calls) AS queue_calls
    FROM kpi_rollup_rows
    WHERE grain = 'day' AND dimension = 'queue' AND isNotNull(queue)
    GROUP BY tenant_id, named
)
COMMENT 'One row per queue that calls name, from the roll-ups.';
